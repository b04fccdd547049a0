//! Owns what a run is judged by: objectives of speed, and whether seats, money and order are right.

use serde_json::{Value, json};

use crate::recorder::Record;
use crate::settings::Objective;
use crate::shop::Books;
use crate::{Class, Measured};

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Right or wrong, on any machine.
    Correct,
    /// Fast enough on this one.
    Fast,
}

/// Something that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is about.
    pub kind: Kind,
    /// What was looked at.
    pub what: String,
    /// What must be.
    pub wanted: String,
    /// What is.
    pub found: String,
    /// Whether it holds.
    pub kept: bool,
}

impl Check {
    /// Two figures that must be the same.
    pub fn same(what: &str, wanted: u64, found: u64) -> Self {
        Self {
            kind: Kind::Correct,
            what: what.to_owned(),
            wanted: wanted.to_string(),
            found: found.to_string(),
            kept: wanted == found,
        }
    }

    /// A figure that must not be above another.
    pub fn at_most(kind: Kind, what: &str, most: u64, found: u64) -> Self {
        Self {
            kind,
            what: what.to_owned(),
            wanted: format!("≤ {most}"),
            found: found.to_string(),
            kept: found <= most,
        }
    }

    fn within_ms(what: String, most_ms: f64, found_ms: f64) -> Self {
        Self {
            kind: Kind::Fast,
            what,
            wanted: format!("≤ {most_ms} ms"),
            found: format!("{found_ms:.1} ms"),
            kept: found_ms <= most_ms,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        json!({ "what": self.what, "wanted": self.wanted, "found": self.found, "kept": self.kept,
            "kind": if self.kind == Kind::Correct { "correct" } else { "fast" } })
    }
}

/// The percentiles that the objective names; `of` says whose they are.
pub fn speed(objective: &Objective, of: &str, measured: &Measured) -> Vec<Check> {
    [(objective.p95_ms, 95.0), (objective.p99_ms, 99.0)]
        .into_iter()
        .filter_map(|(limit, percent)| {
            let what = format!("p{percent} of {of}");
            Some(Check::within_ms(
                what,
                limit?,
                measured.percentile_ms(percent),
            ))
        })
        .collect()
}

/// No more errors than allowed.
pub fn errors(objective: &Objective, record: &Record) -> Check {
    Check::at_most(
        Kind::Correct,
        "errors",
        objective.errors,
        record.all.of(Class::Error),
    )
}

/// The books agree.
pub fn agree(books: &Books) -> Check {
    Check {
        kind: Kind::Correct,
        what: "seats, payments and ledger".to_owned(),
        wanted: "agree".to_owned(),
        found: if books.clean {
            "agree".to_owned()
        } else {
            books.differences.clone()
        },
        kept: books.clean,
    }
}

/// The books agree, and as many seats are sold as were paid for here.
pub fn books(books: &Books, paid: u64) -> Vec<Check> {
    vec![
        agree(books),
        Check::same("seats sold, each once", paid, books.sold),
    ]
}

/// How many times slower the last tenth was than the first, in the mean of its p95 by second; the `skip` seconds in
/// which the rate still grew are left out.
pub fn drift(objective: &Objective, record: &Record, skip: usize) -> Check {
    /// A difference of a few milliseconds is chance on a machine that does other things too.
    const FLOOR_MS: f64 = 5.0;
    let busy = |it: &&crate::recorder::Second| it.counts.iter().any(|count| *count > 0);
    let seconds: Vec<f64> = record
        .seconds
        .iter()
        .skip(skip)
        .filter(busy)
        .map(|it| it.p95_ms)
        .collect();
    let tenth = (seconds.len() / 10).max(1).min(seconds.len());
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let (first, last) = (
        mean(&seconds[..tenth]),
        mean(&seconds[seconds.len() - tenth..]),
    );
    Check {
        kind: Kind::Fast,
        what: "p95 of the last tenth against the first".to_owned(),
        wanted: format!("≤ {} times", objective.drift),
        found: format!("{first:.1} ms, then {last:.1} ms"),
        kept: last <= (first * objective.drift).max(FLOOR_MS),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recorder::Second;

    const NOTHING: Objective = Objective {
        p95_ms: None,
        p99_ms: None,
        errors: 0,
        drift: 2.0,
    };

    #[test]
    fn an_objective_is_missed_above_its_limit_and_not_asked_when_there_is_none() {
        let mut measured = Measured::default();
        for ms in 1..=100 {
            measured.record(Ok(200), Duration::from_millis(ms));
        }
        let mut objective = NOTHING;
        assert_eq!(speed(&objective, "all", &measured), []);
        for (limit, kept) in [(90.0, false), (96.0, true)] {
            objective.p95_ms = Some(limit);
            let checks = speed(&objective, "all", &measured);
            assert_eq!((checks.len(), checks[0].kept), (1, kept), "{checks:?}");
        }
    }

    #[test]
    fn errors_are_counted_against_what_is_allowed() {
        let mut record = Record::default();
        record.all.record(Ok(409), Duration::ZERO);
        record.all.record(Ok(503), Duration::ZERO);
        let mut objective = NOTHING;
        assert!(!errors(&objective, &record).kept);
        objective.errors = 1;
        assert!(errors(&objective, &record).kept);
    }

    #[test]
    fn books_are_wrong_when_they_differ_or_a_seat_is_missing() {
        let kept = |clean, sold, paid| {
            let found = Books {
                clean,
                sold,
                ..Books::default()
            };
            books(&found, paid).iter().all(|check| check.kept)
        };
        assert!(kept(true, 3, 3));
        assert!(!kept(false, 3, 3));
        assert!(!kept(true, 4, 3));
        assert!(!kept(true, 2, 3));
    }

    #[test]
    fn a_run_that_grows_slower_drifts() {
        let record = |last_ms: f64| {
            let second = |p95_ms| Second {
                counts: [1, 0, 0],
                p95_ms,
                ..Second::default()
            };
            let mut seconds = vec![second(1_000.0)];
            seconds.extend((0..19).map(|_| second(10.0)));
            seconds.push(second(last_ms));
            seconds.push(second(last_ms));
            Record {
                seconds,
                ..Record::default()
            }
        };
        let objective = NOTHING;
        assert!(drift(&objective, &record(19.0), 1).kept);
        assert!(!drift(&objective, &record(21.0), 1).kept);
        assert!(
            drift(&objective, &Record::default(), 1).kept,
            "nothing is no drift"
        );
    }
}
