//! Where things are: programs of the system, binaries of this workspace, folders for a while.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::checkout::checkout;

const RAM_DISK: &str = "/dev/shm";
/// The data of one test run stays below this; containers often give a RAM disk of 64 MB.
const RAM_DISK_FREE_KIB: u64 = 1024 * 1024;
/// Debian keeps servers where the path of an ordinary user does not lead.
const MORE_FOLDERS: [&str; 4] = [
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
];

/// Which of cargo's two profiles a binary is taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// `target/debug`
    #[default]
    Debug,
    /// `target/release`
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Profile::Debug => "debug",
            Profile::Release => "release",
        }
    }
}

/// What a server shows to clients that connect over TLS; files in PEM form.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Its certificate.
    pub certificate: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
}

/// Writes what a test has counted into `target/usher/` of the checkout, for those who read it afterwards.
///
/// # Errors
/// When nothing can be written there.
pub fn report(name: &str, text: &str) -> io::Result<()> {
    let folder = checkout().join("target/usher");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), text)
}

/// A binary of this workspace, in the target folder that the running program comes from.
///
/// # Errors
/// When it has not been built; the error says how to build it.
pub fn binary(name: &str, profile: Profile) -> io::Result<PathBuf> {
    let running = env::current_exe()?;
    let target = running
        .ancestors()
        .skip(1)
        .find(|folder| folder.ends_with("debug") || folder.ends_with("release"))
        .and_then(Path::parent)
        .ok_or_else(|| {
            io::Error::other(format!(
                "{} is in no target folder of cargo",
                running.display()
            ))
        })?;
    let path = target.join(profile.folder()).join(name);
    if path.is_file() {
        return Ok(path);
    }
    let flag = if profile == Profile::Release {
        " --release"
    } else {
        ""
    };
    let words = format!(
        "{} is not there; run `cargo build{flag} -p {name}` first",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::NotFound, words))
}

/// A program of the system, looked for in the search path and in the usual folders for servers.
///
/// # Errors
/// When it is not installed.
pub fn find_program(name: &str) -> io::Result<PathBuf> {
    let search = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&search)
        .chain(MORE_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let words =
                format!("{name} is not installed; `cargo xtask up` installs what is missing");
            io::Error::new(io::ErrorKind::NotFound, words)
        })
}

/// Whether this process may do everything on the machine.
pub fn is_root() -> io::Result<bool> {
    let output = Command::new("id").arg("-u").output()?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// Makes a folder with all that another holds.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// A shell that does this when its stdin ends. That is when this process ends, however it ends, or drops the other end.
pub(crate) fn at_the_end(act: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("read -r _; {act}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    shell
}

/// A new folder, in RAM where there is room, that is removed when the process ends, however it ends.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    remover: Child,
}

impl Scratch {
    /// Makes the folder, readable by nobody else.
    pub fn new() -> io::Result<Scratch> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = roomy_folder().join(format!("usher-{}-{number}", process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        DirBuilder::new().mode(0o700).create(&path)?;
        // A server that is just dying may still write: try for 5 s.
        let remove =
            r#"n=0; until rm -rf -- "$0" || [ "$n" -ge 50 ]; do n=$((n + 1)); sleep 0.1; done"#;
        let remover = at_the_end(remove).arg(&path).spawn()?;
        Ok(Scratch { path, remover })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        // There is nobody to tell: a folder that stays behind is swept at the next start of the machine.
        let _ = self.remover.wait();
    }
}

fn roomy_folder() -> PathBuf {
    let free = Command::new("df")
        .args(["-Pk", RAM_DISK])
        .stderr(Stdio::null())
        .output();
    let free_kib = free.ok().and_then(|answer| {
        let text = String::from_utf8(answer.stdout).ok()?;
        text.lines()
            .nth(1)?
            .split_whitespace()
            .nth(3)?
            .parse::<u64>()
            .ok()
    });
    match free_kib {
        Some(kib) if kib >= RAM_DISK_FREE_KIB => PathBuf::from(RAM_DISK),
        _ => env::temp_dir(),
    }
}
