//! Owns the points at which tests end the process, as SIGKILL would: nothing is flushed, undone or said.
//!
//! `BOOKING_CRASH_AT` names the point. It is no configuration: only builds with debug assertions know it, and in a
//! release build a point is nothing at all.

/// Ends the process if this is the point that a test has chosen.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("BOOKING_CRASH_AT").ok());
    if CHOSEN.as_deref() == Some(name) {
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn point(_: &str) {}
