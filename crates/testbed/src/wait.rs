//! Waiting for a condition, with a deadline instead of a guess.

use std::env;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Set where a test that counts late answers runs with nothing beside it, so that a late one is the fault of what it tests.
pub const JUDGES_TIME: &str = "USHER_TEST_JUDGES_TIME";

/// Whether late answers fail a test here.
pub fn judges_time() -> bool {
    env::var_os(JUDGES_TIME).is_some()
}

/// Asks every 5 ms until `probe` finds something; an error that names `what` when the deadline passes first.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> Option<T>,
) -> io::Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                late(what, deadline),
            ));
        }
        thread::sleep(PAUSE);
    }
}

/// Asks every 5 ms until `probe` finds something, and lets other tasks run meanwhile.
///
/// # Panics
/// When the deadline passes first, also in the middle of a probe; the message names `what`.
#[cfg(feature = "tokio")]
pub async fn eventually<T>(
    deadline: Duration,
    what: &str,
    probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    eventually_every(PAUSE, deadline, what, probe).await
}

/// The same with a longer pause, where asking keeps busy what is waited for.
///
/// # Panics
/// As [`eventually`].
#[cfg(feature = "tokio")]
pub async fn eventually_every<T>(
    pause: Duration,
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let found = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(pause).await;
        }
    };
    within(deadline, what, found).await
}

/// What a future gives.
///
/// # Panics
/// When the deadline passes first; the message names `what`.
#[cfg(feature = "tokio")]
pub async fn within<T>(deadline: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(deadline, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("{}", late(what, deadline)),
    }
}

fn late(what: &str, deadline: Duration) -> String {
    format!("{what}: not within {} s", deadline.as_secs_f32())
}
