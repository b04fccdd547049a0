//! Secrets of one folder: made once from the kernel's random bytes, used again next time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const RANDOM_BYTES: usize = 32;

/// The keys that gateway and booking are started with. Hex digits, which base64url decoders take as well.
#[derive(Clone)]
pub struct Keys {
    /// Signs tokens.
    pub token: String,
    /// Signs passes from gateway to booking.
    pub pass: String,
    /// Opens the operator routes.
    pub operator: String,
}

impl Keys {
    /// Reads the keys from a file of `NAME=value` lines; makes the file when it is not there.
    pub fn load_or_make(path: &Path) -> io::Result<Keys> {
        match std::fs::read_to_string(path) {
            Ok(text) => Keys::parse(&text).ok_or_else(|| {
                io::Error::other(format!(
                    "{} lacks a key; remove the file to get new keys",
                    path.display()
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Keys::make(path),
            Err(error) => Err(error),
        }
    }

    fn parse(text: &str) -> Option<Keys> {
        let find = |name: &str| {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            (!value.is_empty()).then(|| value.to_owned())
        };
        Some(Keys {
            token: find("TOKEN_KEY")?,
            pass: find("PASS_KEY")?,
            operator: find("OPERATOR_KEY")?,
        })
    }

    fn make(path: &Path) -> io::Result<Keys> {
        let keys = Keys {
            token: random_hex()?,
            pass: random_hex()?,
            operator: random_hex()?,
        };
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        writeln!(
            file,
            "TOKEN_KEY={}\nPASS_KEY={}\nOPERATOR_KEY={}",
            keys.token, keys.pass, keys.operator
        )?;
        Ok(keys)
    }
}

/// 256 random bits as 64 hex digits.
pub(crate) fn random_hex() -> io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
