//! Owns the figures of a scenario while it runs: by step of the story, by second, and what went wrong first.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{Class, Fault, Measured};

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// In the order of the story.
    pub const ALL: [Step; 8] = [
        Step::Join,
        Step::Poll,
        Step::Dates,
        Step::Seats,
        Step::Reserve,
        Step::Charge,
        Step::Pay,
        Step::Leave,
    ];

    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Step::Join => "join",
            Step::Poll => "poll",
            Step::Dates => "dates",
            Step::Seats => "seats",
            Step::Reserve => "reserve",
            Step::Charge => "charge",
            Step::Pay => "pay",
            Step::Leave => "leave",
        }
    }
}

/// Figures of one second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Second {
    /// By class: success, refusal, error.
    pub counts: [u64; 3],
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
    steps: RefCell<Vec<Measured>>,
    open: RefCell<Open>,
    seconds: RefCell<Vec<Second>>,
    errors: RefCell<Vec<String>>,
    /// Visitors on their way now.
    pub visitors: Cell<u64>,
    /// Seats that were paid for.
    pub sold: Cell<u64>,
}

/// The second that is going on.
#[derive(Debug)]
struct Open {
    latency_us: Histogram<u64>,
    counts: [u64; 3],
}

impl Default for Recorder {
    fn default() -> Self {
        let latency_us =
            Histogram::new_with_bounds(1, 300_000_000, 2).expect("bounds that a histogram takes");
        Self {
            start: Instant::now(),
            steps: RefCell::new(vec![Measured::default(); Step::ALL.len()]),
            open: RefCell::new(Open {
                latency_us,
                counts: [0; 3],
            }),
            seconds: RefCell::default(),
            errors: RefCell::default(),
            visitors: Cell::new(0),
            sold: Cell::new(0),
        }
    }
}

impl Recorder {
    /// When it began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Counts a call that was due at `due` and is answered now.
    pub fn record(&self, step: Step, class: Class, outcome: Result<u16, Fault>, due: Instant) {
        let latency = due.elapsed();
        self.roll();
        self.steps.borrow_mut()[step as usize].record_as(class, outcome, latency);
        let mut open = self.open.borrow_mut();
        open.counts[class as usize] += 1;
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        open.latency_us.saturating_record(us);
    }

    /// Notes how late the generator itself was with a call.
    pub fn late(&self, step: Step, late: Duration) {
        self.steps.borrow_mut()[step as usize].record_late(late);
    }

    /// Keeps the words of an error, if it is one of the first.
    pub fn error(&self, words: impl FnOnce() -> String) {
        let mut errors = self.errors.borrow_mut();
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
        let mut seconds = self.seconds.borrow_mut();
        while seconds.len() < over {
            let mut open = self.open.borrow_mut();
            let ms = |percent| open.latency_us.value_at_percentile(percent) as f64 / 1e3;
            seconds.push(Second {
                counts: open.counts,
                p50_ms: ms(50.0),
                p95_ms: ms(95.0),
                p99_ms: ms(99.0),
                visitors: self.visitors.get(),
            });
            open.latency_us.reset();
            open.counts = [0; 3];
        }
    }

    /// The last whole second, and how many there were.
    pub fn last(&self) -> (usize, Second) {
        let seconds = self.seconds.borrow();
        (seconds.len(), seconds.last().copied().unwrap_or_default())
    }

    /// All calls together.
    pub fn all(&self) -> Measured {
        let mut all = Measured::default();
        self.steps.borrow().iter().for_each(|step| all.merge(step));
        all.set_elapsed(self.start.elapsed());
        all
    }

    /// Ends it.
    pub fn finish(&self) -> Record {
        let all = self.all();
        let elapsed = all.elapsed();
        let measured = self.steps.borrow();
        let steps = Step::ALL.into_iter().zip(measured.iter().cloned());
        let steps =
            steps
                .filter(|(_, measured)| measured.count() > 0)
                .map(|(step, mut measured)| {
                    measured.set_elapsed(elapsed);
                    (step, measured)
                });
        self.roll();
        Record {
            steps: steps.collect(),
            all,
            seconds: self.seconds.take(),
            errors: self.errors.take(),
        }
    }
}

/// The figures of a run that is over.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// By step, those that occurred.
    pub steps: Vec<(Step, Measured)>,
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
        let found = self.steps.iter().find(|(step, _)| *step == wanted);
        found
            .map(|(_, measured)| measured.clone())
            .unwrap_or_default()
    }

    /// Everything as JSON.
    pub fn to_json(&self) -> Value {
        let steps: serde_json::Map<_, _> = self
            .steps
            .iter()
            .map(|(step, measured)| (step.name().to_owned(), measured.to_json()))
            .collect();
        let seconds = self.seconds.iter().map(|it| {
            let [success, refusal, error] = it.counts;
            json!({ "success": success, "refusal": refusal, "error": error, "visitors": it.visitors,
                "p50Ms": it.p50_ms, "p95Ms": it.p95_ms, "p99Ms": it.p99_ms })
        });
        json!({
            "all": self.all.to_json(),
            "steps": steps,
            "seconds": seconds.collect::<Vec<_>>(),
            "errors": self.errors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_counted_apart_and_all_together() {
        let recorder = Recorder::default();
        let now = Instant::now();
        recorder.record(Step::Join, Class::Success, Ok(201), now);
        recorder.record(Step::Reserve, Class::Refusal, Ok(409), now);
        recorder.record(Step::Reserve, Class::Error, Err(Fault::Broken), now);
        let record = recorder.finish();
        let names: Vec<_> = record.steps.iter().map(|(step, _)| step.name()).collect();
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
