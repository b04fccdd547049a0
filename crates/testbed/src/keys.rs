//! Secrets of one folder: made once from the kernel's random bytes, used again next time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const RANDOM_BYTES: usize = 32;

/// The keys that the services are started with. Hex digits, which base64url decoders take as well.
#[derive(Clone)]
pub struct Keys {
    /// Signs tokens.
    pub token: String,
    /// Signs passes from gateway to booking.
    pub pass: String,
    /// Opens the operator routes.
    pub operator: String,
    /// Signs events for a receiver; `whsec_` and what is base64 too.
    pub webhook: String,
    /// The same between booking and a payment provider.
    pub provider: String,
    /// Signs tokens of an identity provider where there is no other.
    pub identity: String,
}

impl Keys {
    /// Reads the keys from a file of `NAME=value` lines; makes those that are not there and adds them.
    pub fn load_or_make(path: &Path) -> io::Result<Keys> {
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut key = |name: &str| {
            let found = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            match found.filter(|value| !value.is_empty()) {
                Some(value) => Ok::<_, io::Error>(value.to_owned()),
                None => {
                    let made = random_hex()?;
                    writeln!(file, "{name}={made}")?;
                    Ok(made)
                }
            }
        };
        Ok(Keys {
            token: key("TOKEN_KEY")?,
            pass: key("PASS_KEY")?,
            operator: key("OPERATOR_KEY")?,
            webhook: format!("whsec_{}", key("WEBHOOK_KEY")?),
            provider: format!("whsec_{}", key("PROVIDER_KEY")?),
            identity: key("IDENTITY_KEY")?,
        })
    }
}

/// 256 random bits as 64 hex digits.
pub(crate) fn random_hex() -> io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
