//! What the answers say of the outages: how many came late, and how many were refused when there was no cause any more.
//!
//! Both are counted over the whole history and written into `target/usher/siege.md`; the objective of both, which
//! `cargo xtask test --long` asks for, is 0.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Nobody waits longer for an answer, whatever is killed, frozen or cut off.
const LATE: Duration = Duration::from_secs(3);
/// When what was wrong is right again, everything works again within this time.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// The counts.
#[derive(Default)]
pub struct Answers {
    all: AtomicUsize,
    late: AtomicUsize,
    refused: AtomicUsize,
    refused_without_cause: AtomicUsize,
    /// When the last outage was over; nothing while there is one.
    healed: Mutex<Option<Instant>>,
}

impl Answers {
    /// Counts an answer to a request that was sent at this instant.
    pub fn count(&self, sent: Instant, status: u16) {
        self.all.fetch_add(1, Ordering::SeqCst);
        if sent.elapsed() > LATE {
            self.late.fetch_add(1, Ordering::SeqCst);
        }
        if status < 500 {
            return;
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        let healed = *self.healed.lock().expect("nobody panics with it");
        if healed.is_some_and(|healed| sent > healed + BACK_WITHIN) {
            self.refused_without_cause.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Counts a request whose client gave up: later than late.
    pub fn count_none(&self) {
        self.late.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on a refusal has a cause.
    pub fn outage_begins(&self) {
        *self.healed.lock().expect("nobody panics with it") = None;
    }

    /// From now on it soon has none.
    pub fn outage_ends(&self) {
        *self.healed.lock().expect("nobody panics with it") = Some(Instant::now());
    }

    /// How many answers there were, and how many refusals among them.
    pub fn so_far(&self) -> (usize, usize) {
        let read = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (read(&self.all), read(&self.refused))
    }

    /// Writes the counts down, and says whether both objectives are met.
    pub fn report(&self) -> bool {
        let (all, refused) = self.so_far();
        let late = self.late.load(Ordering::SeqCst);
        let without_cause = self.refused_without_cause.load(Ordering::SeqCst);
        let (late_s, back_s) = (LATE.as_secs(), BACK_WITHIN.as_secs());
        let table = format!(
            "| objective | limit | counted | of |\n|---|---|---|---|\n\
             | answers later than {late_s} s while faults go on | 0 | {late} | {all} |\n\
             | refusals later than {back_s} s after a fault was healed | 0 | {without_cause} | {refused} |\n"
        );
        testbed::report("siege.md", &table).expect("a report");
        late == 0 && without_cause == 0
    }
}
