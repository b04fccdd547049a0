//! The copy of the checkout in which guards are taken out: a workspace of its own, with a target folder of its own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::AtomicBool;

use super::Change;
use crate::failure::Failure;
use crate::{stop, workspace};

/// What cargo and the copy itself put there.
const OWN: [&str; 2] = ["target", "mutate.log"];

/// A copy.
pub struct Copy {
    folder: PathBuf,
}

impl Copy {
    /// The checkout as it is now, what is not committed included, with these changes. What is there from before is kept
    /// where it is the same, so that cargo builds only what differs.
    pub fn of(checkout: &Path, changes: &[Change]) -> Result<Self, Failure> {
        let folder = checkout.join("target/mutate");
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others"])
            .arg("--exclude-standard")
            .current_dir(checkout);
        let listed = String::from_utf8_lossy(&git.output()?.stdout).into_owned();
        let listed = listed.split('\0').filter(|name| !name.is_empty());
        let files: BTreeSet<_> = listed
            .map(PathBuf::from)
            .filter(|file| checkout.join(file).is_file())
            .collect();
        if files.is_empty() {
            return Err(Failure::Failed("git lists no files".into()));
        }
        for file in &files {
            let (from, to) = (checkout.join(file), folder.join(file));
            let mut wanted = fs::read(&from)?;
            for change in changes.iter().filter(|it| Path::new(&it.file) == file) {
                let text = String::from_utf8_lossy(&wanted).into_owned();
                wanted = change.made_in(&text)?.into_bytes();
            }
            if fs::read(&to).ok().as_ref() != Some(&wanted) {
                fs::create_dir_all(to.parent().unwrap_or(&folder))?;
                fs::write(&to, wanted)?;
                fs::set_permissions(&to, fs::metadata(&from)?.permissions())?;
            }
        }
        let copy = Self { folder };
        copy.remove_others(&copy.folder, &files)?;
        Ok(copy)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the output of cargo is.
    pub fn log(&self) -> PathBuf {
        self.folder.join("mutate.log")
    }

    fn remove_others(&self, within: &Path, files: &BTreeSet<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(within)? {
            let path = entry?.path();
            let own = path.strip_prefix(&self.folder).unwrap_or(&path);
            if OWN.iter().any(|it| own == Path::new(it)) {
                continue;
            }
            if path.is_dir() {
                self.remove_others(&path, files)?;
            } else if !files.contains(own) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Builds the tests and runs these: which of them failed.
    pub fn failed(&self, tests: &[&str], stop: &AtomicBool) -> Result<Vec<String>, Failure> {
        if !self.cargo(&["--no-run"], stop)?.success() {
            let log = self.log().display().to_string();
            return Err(Failure::Failed(format!("it does not build; see {log}")));
        }
        let paths = tests.iter().filter_map(|test| test.split_once("::"));
        let paths: Vec<_> = paths.map(|(_, path)| path).collect();
        let arguments: Vec<_> = ["--no-fail-fast", "--", "--exact"]
            .into_iter()
            .chain(paths.iter().copied())
            .collect();
        self.cargo(&arguments, stop)?;
        let log = fs::read_to_string(self.log())?;
        let mut failed = Vec::new();
        for path in paths {
            if log.contains(&format!("test {path} ... FAILED")) {
                failed.push(path.to_owned());
            } else if !log.contains(&format!("test {path} ... ok")) {
                let log = self.log().display().to_string();
                return Err(Failure::Failed(format!("{path} did not run; see {log}")));
            }
        }
        Ok(failed)
    }

    /// Of the whole workspace: with other packages cargo would choose other features, and build much of it again.
    fn cargo(&self, arguments: &[&str], stop: &AtomicBool) -> Result<ExitStatus, Failure> {
        let log = File::create(self.log())?;
        let mut cargo = workspace::cargo(&["test", "--workspace", "--locked", "--test", "it"]);
        cargo
            .args(arguments)
            .current_dir(&self.folder)
            .env_remove("CARGO_TARGET_DIR")
            .env("CARGO_TERM_COLOR", "never")
            .stdout(log.try_clone()?)
            .stderr(log);
        stop::run(&mut cargo, stop)
    }
}
