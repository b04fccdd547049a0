//! Waiting for a condition, with a deadline instead of a guess.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Looks every 5 ms until `look` finds something; fails with the words of `what` when the deadline passes first.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> io::Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= end {
            let words = format!("waited {} s in vain for {what}", deadline.as_secs_f32());
            return Err(io::Error::new(io::ErrorKind::TimedOut, words));
        }
        thread::sleep(PAUSE);
    }
}
