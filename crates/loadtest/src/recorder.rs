//! Owns the figures of a scenario while it runs: by step of the story, by second, and what went wrong first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use strum::IntoStaticStr;

use crate::{Class, Fault, Measured};

/// A kind of call, in the order of the story, as they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Step {
    /// A place in the line.
    Join,
    /// Where one stands.
    Poll,
    /// The dates.
    Dates,
    /// The seats.
    Seats,
    /// Holding seats.
    Reserve,
    /// Money into the wallet.
    Charge,
    /// Paying.
    Pay,
    /// Giving the place up.
    Leave,
}

impl Step {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Figures of one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Answers that were hoped for.
    pub success: u64,
    /// A no that is right.
    pub refusal: u64,
    /// What was wrong.
    pub error: u64,
    /// In milliseconds.
    pub p50_ms: f64,
    /// In milliseconds.
    pub p95_ms: f64,
    /// In milliseconds.
    pub p99_ms: f64,
    /// Visitors on their way.
    pub visitors: u64,
}

/// Texts of errors that are kept; more would say the same again.
const ERRORS_KEPT: usize = 8;
const LONGEST_ERROR: usize = 300;

/// Gathers the figures of one run, on the one thread that drives it.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    /// All but what is put together at the end.
    so_far: RefCell<Record>,
    /// The second that is going on.
    second: RefCell<Measured>,
    /// Visitors on their way now.
    pub visitors: Cell<u64>,
    /// Seats that were paid for.
    pub sold: Cell<u64>,
    over: Cell<bool>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            so_far: RefCell::default(),
            second: RefCell::default(),
            visitors: Cell::new(0),
            sold: Cell::new(0),
            over: Cell::new(false),
        }
    }
}

impl Recorder {
    /// Counts a call that was due at `due` and is answered now.
    pub fn record(&self, step: Step, outcome: Result<u16, Fault>, due: Instant) {
        let latency = due.elapsed();
        self.roll();
        let steps = &mut self.so_far.borrow_mut().steps;
        steps.entry(step).or_default().record(outcome, latency);
        self.second.borrow_mut().record(outcome, latency);
    }

    /// Notes how late the generator itself was with a call.
    pub fn late(&self, step: Step, late: Duration) {
        let steps = &mut self.so_far.borrow_mut().steps;
        steps.entry(step).or_default().record_late(late);
    }

    /// Keeps the words of an error, if it is one of the first.
    pub fn error(&self, words: impl FnOnce() -> String) {
        let errors = &mut self.so_far.borrow_mut().errors;
        if errors.len() < ERRORS_KEPT {
            let mut text = words();
            while text.len() > LONGEST_ERROR {
                text.pop();
            }
            errors.push(text);
        }
    }

    /// Closes the seconds that are over.
    pub fn roll(&self) {
        let over = usize::try_from(self.start.elapsed().as_secs()).unwrap_or(usize::MAX);
        let seconds = &mut self.so_far.borrow_mut().seconds;
        while seconds.len() < over {
            let second = self.second.take();
            seconds.push(Second {
                success: second.of(Class::Success),
                refusal: second.of(Class::Refusal),
                error: second.of(Class::Error),
                p50_ms: second.percentile_ms(50.0),
                p95_ms: second.percentile_ms(95.0),
                p99_ms: second.percentile_ms(99.0),
                visitors: self.visitors.get(),
            });
        }
    }

    /// The last whole second, and how many there were.
    pub fn last(&self) -> (usize, Second) {
        let seconds = &self.so_far.borrow().seconds;
        (seconds.len(), seconds.last().copied().unwrap_or_default())
    }

    /// All calls together.
    pub fn all(&self) -> Measured {
        let mut all = Measured::together(self.so_far.borrow().steps.values());
        all.set_elapsed(self.start.elapsed());
        all
    }

    /// Whether the figures are final.
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Ends it.
    pub fn finish(&self) -> Record {
        self.over.set(true);
        self.roll();
        let all = self.all();
        let mut record = self.so_far.take();
        let each = record.steps.values_mut();
        each.for_each(|measured| measured.set_elapsed(all.elapsed()));
        Record { all, ..record }
    }
}

/// The figures of a run that is over.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    /// By step, those that occurred.
    pub steps: BTreeMap<Step, Measured>,
    /// All together.
    pub all: Measured,
    /// Every whole second.
    pub seconds: Vec<Second>,
    /// The words of the first errors.
    pub errors: Vec<String>,
}

impl Record {
    /// The figures of one step, empty ones when it did not occur.
    pub fn step(&self, wanted: Step) -> Measured {
        self.steps.get(&wanted).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_counted_apart_and_all_together() {
        let recorder = Recorder::default();
        let now = Instant::now();
        recorder.record(Step::Join, Ok(201), now);
        recorder.record(Step::Reserve, Ok(409), now);
        recorder.record(Step::Reserve, Err(Fault::Broken), now);
        let record = recorder.finish();
        let names: Vec<_> = record.steps.keys().map(|step| step.name()).collect();
        assert_eq!(names, ["join", "reserve"]);
        assert_eq!(record.step(Step::Reserve).of(Class::Refusal), 1);
        assert_eq!(record.step(Step::Reserve).of(Class::Error), 1);
        assert_eq!((record.all.count(), record.step(Step::Pay).count()), (3, 0));
    }

    #[test]
    fn only_the_first_errors_are_kept_and_none_is_long() {
        let recorder = Recorder::default();
        for _ in 0..100 {
            recorder.error(|| "é".repeat(1_000));
        }
        let errors = recorder.finish().errors;
        assert_eq!(errors.len(), ERRORS_KEPT);
        assert!(errors.iter().all(|text| text.len() <= LONGEST_ERROR));
    }
}
