//! Cargo as this workspace uses it.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;

const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// The folder of the checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The cargo that runs this program, in the checkout, without what `cargo run` put into the environment.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || text == "CARGO_BIN_NAME"
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds the two services, with the stand-in for Kafka if it is wanted; cargo's own output is shown. `stop` ends the
/// build early.
pub fn build_services(release: bool, stand_in: bool, stop: &AtomicBool) -> Result<(), Failure> {
    let mut arguments = vec!["build", "-p", "gateway", "-p", "booking", "--bins"];
    if stand_in {
        arguments.extend(["-p", "kafka-stand-in"]);
    }
    if release {
        arguments.push("--release");
    }
    // A group of its own, so that the compilers which cargo runs can be stopped with it.
    let mut build = cargo(&arguments).process_group(0).spawn()?;
    let status = loop {
        if let Some(status) = build.try_wait()? {
            break status;
        }
        if stop.load(Ordering::Relaxed) {
            Command::new("sh")
                .args(["-c", &format!("kill -TERM -{}", build.id())])
                .status()?;
            build.wait()?;
            return Err(Failure::Stopped);
        }
        thread::sleep(LOOK_PAUSE);
    };
    if status.success() {
        return Ok(());
    }
    Err(Failure::Failed(
        "the build failed; cargo says above what to mend".into(),
    ))
}
