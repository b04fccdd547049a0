//! Ctrl-C and SIGTERM: what runs is ended in order, whatever it is.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Failure;

const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// True after Ctrl-C or SIGTERM. A second one ends this process at once, and with it all that it started.
pub fn listen() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal finds the flag still down.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Runs a command to its end, or ends it when it is time to stop.
pub fn run(command: &mut Command, stop: &AtomicBool) -> Result<ExitStatus, Failure> {
    // A group of its own, so that what the command itself runs can be ended with it.
    let mut child = command.process_group(0).spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop.load(Ordering::Relaxed) {
            Command::new("sh")
                .args(["-c", &format!("kill -TERM -{}", child.id())])
                .status()?;
            child.wait()?;
            return Err(Failure::Stopped);
        }
        thread::sleep(LOOK_PAUSE);
    }
}
