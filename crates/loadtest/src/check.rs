//! Owns what a run is judged by: objectives of speed, and whether seats, money and order are right.

use serde::Serialize;

use crate::recorder::Record;
use crate::settings::Settings;
use crate::shop::Books;
use crate::{Class, Measured};

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Right or wrong, on any machine.
    Correct,
    /// Fast enough on this one.
    Fast,
}

/// Something that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    fn new(kind: Kind, what: &str, wanted: String, found: String, kept: bool) -> Self {
        let what = what.to_owned();
        Self {
            kind,
            what,
            wanted,
            found,
            kept,
        }
    }

    /// Two figures that must be the same.
    pub fn same(what: &str, wanted: u64, found: u64) -> Self {
        let kept = wanted == found;
        let (wanted, found) = (wanted.to_string(), found.to_string());
        Self::new(Kind::Correct, what, wanted, found, kept)
    }

    /// A figure that must not be above another.
    pub fn at_most(kind: Kind, what: &str, most: u64, found: u64) -> Self {
        let (wanted, kept) = (format!("≤ {most}"), found <= most);
        Self::new(kind, what, wanted, found.to_string(), kept)
    }
}

/// The percentiles that the objective names; `of` says whose they are.
pub fn speed(settings: &Settings, of: &str, measured: &Measured) -> Vec<Check> {
    let limits = [(settings.p95_ms, 95.0), (settings.p99_ms, 99.0)];
    let within = |(limit, percent): (Option<f64>, f64)| {
        let (most, ms) = (limit?, measured.percentile_ms(percent));
        let (what, wanted) = (format!("p{percent} of {of}"), format!("≤ {most} ms"));
        let found = format!("{ms:.1} ms");
        Some(Check::new(Kind::Fast, &what, wanted, found, ms <= most))
    };
    limits.into_iter().filter_map(within).collect()
}

/// No more errors than allowed.
pub fn errors(settings: &Settings, record: &Record) -> Check {
    let found = record.all.of(Class::Error);
    Check::at_most(Kind::Correct, "errors", settings.errors, found)
}

/// The books agree.
pub fn agree(books: &Books) -> Check {
    let what = "seats, payments and ledger";
    let found = match books.clean {
        true => "agree",
        false => &books.differences,
    };
    let (wanted, found) = ("agree".to_owned(), found.to_owned());
    Check::new(Kind::Correct, what, wanted, found, books.clean)
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
pub fn drift(settings: &Settings, record: &Record, skip: usize) -> Check {
    /// A difference of a few milliseconds is chance on a machine that does other things too.
    const FLOOR_MS: f64 = 5.0;
    let seconds = record.seconds.iter().skip(skip);
    let busy = seconds.filter(|it| it.success + it.refusal + it.error > 0);
    let p95: Vec<_> = busy.map(|it| it.p95_ms).collect();
    let tenth = (p95.len() / 10).max(1).min(p95.len());
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let (first, last) = (mean(&p95[..tenth]), mean(&p95[p95.len() - tenth..]));
    let what = "p95 of the last tenth against the first";
    let wanted = format!("≤ {} times", settings.drift);
    let found = format!("{first:.1} ms, then {last:.1} ms");
    let kept = last <= (first * settings.drift).max(FLOOR_MS);
    Check::new(Kind::Fast, what, wanted, found, kept)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recorder::Second;
    use crate::{Scenario, Size};

    fn lenient() -> Settings {
        Settings {
            p99_ms: None,
            ..Scenario::Soak.defaults(Size::Small)
        }
    }

    #[test]
    fn an_objective_is_missed_above_its_limit_and_not_asked_when_there_is_none() {
        let all = (1..=100).map(|ms| (Ok(200), Duration::from_millis(ms)));
        let measured: Measured = all.collect();
        let mut settings = lenient();
        assert_eq!(speed(&settings, "all", &measured), []);
        for (limit, kept) in [(90.0, false), (96.0, true)] {
            settings.p95_ms = Some(limit);
            let checks = speed(&settings, "all", &measured);
            assert_eq!((checks.len(), checks[0].kept), (1, kept), "{checks:?}");
        }
    }

    #[test]
    fn errors_are_counted_against_what_is_allowed() {
        let mut record = Record::default();
        record.all.record(Ok(409), Duration::ZERO);
        record.all.record(Ok(503), Duration::ZERO);
        let mut settings = lenient();
        assert!(!errors(&settings, &record).kept);
        settings.errors = 1;
        assert!(errors(&settings, &record).kept);
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
        let second = |p95_ms: &f64| Second {
            success: 1,
            p95_ms: *p95_ms,
            ..Second::default()
        };
        let kept = |p95_ms: &[&[f64]]| {
            let mut record = Record::default();
            record.seconds.extend(p95_ms.concat().iter().map(second));
            drift(&lenient(), &record, 1).kept
        };
        assert!(kept(&[&[1_000.0], &[10.0; 19], &[19.0; 2]]));
        assert!(!kept(&[&[1_000.0], &[10.0; 19], &[21.0; 2]]));
        assert!(kept(&[]), "nothing is no drift");
    }
}
