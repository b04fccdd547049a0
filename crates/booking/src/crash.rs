//! Owns what only tests may do to a process: the points at which they end it, as SIGKILL would, and how far its clock is off.
//!
//! `BOOKING_CRASH_AT` names the point: nothing is flushed, undone or said. `BOOKING_CLOCK_OFFSET_MS` moves the clock. Both
//! are no configuration: only builds with debug assertions know them, and in a release build they are nothing at all.

use chassis::time::Clock;

/// Variables that tests use and no page names.
pub const OF_TESTS: [&str; 2] = ["BOOKING_CRASH_AT", "BOOKING_CLOCK_OFFSET_MS"];

/// The clock of the machine, in a debug build as far off as a test wants it.
pub fn clock() -> Clock {
    let clock = Clock::system();
    #[cfg(debug_assertions)]
    if let Some(offset_ms) = std::env::var(OF_TESTS[1])
        .ok()
        .and_then(|text| text.parse().ok())
    {
        clock.shift(chrono::TimeDelta::milliseconds(offset_ms));
    }
    clock
}

/// Ends the process if this is the point that a test has chosen.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var(OF_TESTS[0]).ok());
    if CHOSEN.as_deref() == Some(name) {
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn point(_: &str) {}
