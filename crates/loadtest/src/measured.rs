//! Owns what a run gave: counts by class, status and fault, and how long answers took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::outcome::name;
use crate::{Class, Fault};

/// In µs: five minutes, far above every time limit.
const LONGEST_US: u64 = 300_000_000;
/// Three digits of each figure are right.
const DIGITS: u8 = 3;

/// Figures of many requests. Those of several threads are put together with [`Measured::merge`].
#[derive(Debug, Clone, Serialize)]
#[serde(into = "Value")]
pub struct Measured {
    latency_us: Histogram<u64>,
    late_us: Histogram<u64>,
    /// How many had this status, or this reason to have none.
    outcomes: BTreeMap<Result<u16, Fault>, u64>,
    elapsed: Duration,
}

impl Default for Measured {
    fn default() -> Self {
        let empty = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        let empty = empty.expect("bounds that a histogram takes");
        Self {
            latency_us: empty.clone(),
            late_us: empty,
            outcomes: BTreeMap::new(),
            elapsed: Duration::ZERO,
        }
    }
}

impl Measured {
    /// Counts one request: its status or why there was none, and how long that took.
    pub fn record(&mut self, outcome: Result<u16, Fault>, latency: Duration) {
        *self.outcomes.entry(outcome).or_default() += 1;
        self.latency_us.saturating_record(micros(latency));
    }

    /// Notes how much later than due a request was sent: what the generator itself added.
    pub fn record_late(&mut self, late: Duration) {
        self.late_us.saturating_record(micros(late));
    }

    /// Says how long the run took, for [`Measured::throughput`].
    pub fn set_elapsed(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
    }

    /// All that was measured at the same time.
    pub fn together<'a>(all: impl IntoIterator<Item = &'a Measured>) -> Self {
        let mut together = Self::default();
        all.into_iter().for_each(|it| together.merge(it));
        together
    }

    /// Adds what was measured at the same time.
    pub fn merge(&mut self, other: &Measured) {
        // Both have the same bounds, so neither can fail.
        let _ = self.latency_us.add(&other.latency_us);
        let _ = self.late_us.add(&other.late_us);
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(*outcome).or_default() += count;
        }
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    /// What came after `earlier`, which is a copy of this one at an earlier time, within `elapsed`.
    pub fn since(&self, earlier: &Measured, elapsed: Duration) -> Measured {
        let mut rest = self.clone();
        // Both have the same bounds, and no count was taken back.
        let _ = rest.latency_us.subtract(&earlier.latency_us);
        let _ = rest.late_us.subtract(&earlier.late_us);
        for (outcome, count) in &earlier.outcomes {
            *rest.outcomes.entry(*outcome).or_default() -= count;
        }
        rest.outcomes.retain(|_, count| *count > 0);
        rest.elapsed = elapsed;
        rest
    }

    /// How many requests.
    pub fn count(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// How many of this class.
    pub fn of(&self, class: Class) -> u64 {
        let counted = self.outcomes.iter();
        let counted = counted.filter(|(outcome, _)| Class::of(**outcome) == class);
        counted.map(|(_, count)| count).sum()
    }

    /// How many had this status, or no answer for this reason.
    pub fn with(&self, outcome: Result<u16, Fault>) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }

    /// What came, if it is asked for, and how often: the most frequent first.
    pub fn answers(&self, is_asked: impl Fn(Result<u16, Fault>) -> bool) -> String {
        let asked = self.outcomes.iter().filter(|(it, _)| is_asked(**it));
        let mut counts: Vec<_> = asked.map(|(it, count)| (*count, name(*it))).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let part = |(count, name): &(u64, String)| format!("{count} × {name}");
        counts.iter().map(part).collect::<Vec<_>>().join(", ")
    }

    /// How long the run took, without its warm-up.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Requests per second.
    pub fn throughput(&self) -> f64 {
        if self.elapsed.is_zero() {
            return 0.0;
        }
        self.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in milliseconds that so many of a hundred requests did not exceed; 0 when there were none.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        self.latency_us.value_at_percentile(percent) as f64 / 1e3
    }

    /// The longest latency in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.latency_us.max() as f64 / 1e3
    }

    /// How late the generator itself sent 99 of a hundred requests at most, in milliseconds. When this is near the
    /// latency, the generator was measured and not the server.
    fn late_p99_ms(&self) -> f64 {
        self.late_us.value_at_percentile(99.0) as f64 / 1e3
    }

    /// The same in words, if requests were due by the clock.
    pub fn lateness(&self) -> Option<String> {
        let late = self.late_p99_ms();
        let words = format!("99 of 100 were sent within {late:.1} ms of when they were due");
        (!self.late_us.is_empty()).then_some(words)
    }

    /// How many answers took how long: the upper end of each bucket in milliseconds and its count. The ends grow by
    /// the same factor; empty buckets stand only between others.
    fn counts_by_latency(&self) -> Vec<(f64, u64)> {
        const FIRST_US: u64 = 100;
        const GROWTH: f64 = 1.5;
        let buckets = self.latency_us.iter_log(FIRST_US, GROWTH).map(|bucket| {
            let end_ms = bucket.value_iterated_to() as f64 / 1e3;
            (end_ms, bucket.count_since_last_iteration())
        });
        buckets.skip_while(|(_, count)| *count == 0).collect()
    }
}

/// Everything, for programs.
impl From<Measured> for Value {
    fn from(it: Measured) -> Value {
        let counts = |is_status: bool| -> Map<String, Value> {
            let all = it.outcomes.iter();
            let of_kind = all.filter(|(outcome, _)| outcome.is_ok() == is_status);
            let named = of_kind.map(|(it, count)| (name(*it), json!(count)));
            named.collect()
        };
        json!({
            "count": it.count(),
            "success": it.of(Class::Success),
            "refusal": it.of(Class::Refusal),
            "error": it.of(Class::Error),
            "statuses": counts(true),
            "faults": counts(false),
            "seconds": it.elapsed.as_secs_f64(),
            "perSecond": it.throughput(),
            "latencyMs": {
                "mean": it.latency_us.mean() / 1e3,
                "p50": it.percentile_ms(50.0),
                "p90": it.percentile_ms(90.0),
                "p95": it.percentile_ms(95.0),
                "p99": it.percentile_ms(99.0),
                "p999": it.percentile_ms(99.9),
                "max": it.max_ms(),
            },
            "lateMsP99": it.late_p99_ms(),
            "histogram": it.counts_by_latency(),
        })
    }
}

/// Requests by what came of them and how long that took.
impl FromIterator<(Result<u16, Fault>, Duration)> for Measured {
    fn from_iter<I: IntoIterator<Item = (Result<u16, Fault>, Duration)>>(all: I) -> Self {
        let mut measured = Self::default();
        all.into_iter()
            .for_each(|(outcome, latency)| measured.record(outcome, latency));
        measured
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros())
        .unwrap_or(LONGEST_US)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ms(values: impl Iterator<Item = u64>) -> Measured {
        let all = values.map(|ms| (Ok(200), Duration::from_millis(ms)));
        let mut measured: Measured = all.collect();
        measured.set_elapsed(Duration::from_secs(2));
        measured
    }

    fn near(found: f64, wanted: f64) {
        let is_near = (found - wanted).abs() <= wanted * 0.002;
        assert!(is_near, "{found}, not {wanted}");
    }

    #[test]
    fn merging_gives_what_one_thread_would_have_measured() {
        let mut merged = of_ms(1..=500);
        merged.merge(&of_ms(501..=1_000));
        let whole = of_ms(1..=1_000);
        for percent in [1.0, 50.0, 99.0, 100.0] {
            assert_eq!(merged.percentile_ms(percent), whole.percentile_ms(percent));
        }
        assert_eq!(merged.count(), 1_000);
        // At the same time, not one after the other.
        assert_eq!(merged.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn a_part_of_a_run_is_what_came_after_its_begin() {
        let mut whole = of_ms(1..=500);
        let before = whole.clone();
        whole.merge(&of_ms(501..=1_000));
        let part = whole.since(&before, Duration::from_secs(1));
        assert_eq!((part.count(), part.with(Ok(200))), (500, 500));
        near(part.percentile_ms(1.0), 505.0);
        assert_eq!(part.throughput(), 500.0);
    }

    #[test]
    fn answers_are_counted_by_class_status_and_fault() {
        let all = [Ok(201), Ok(409), Ok(409), Ok(503), Err(Fault::Timeout)];
        let all = all.into_iter().map(|it| (it, Duration::from_millis(1)));
        let measured: Measured = all.collect();
        assert_eq!(measured.of(Class::Success), 1);
        assert_eq!(measured.of(Class::Refusal), 2);
        assert_eq!(measured.of(Class::Error), 2);
        assert_eq!(measured.with(Ok(409)), 2);
        assert_eq!(measured.with(Err(Fault::Timeout)), 1);
        let json = Value::from(measured);
        assert_eq!(json["statuses"]["409"], 2);
        assert_eq!(json["faults"]["timeout"], 1);
    }

    #[test]
    fn an_empty_run_has_zeros_and_no_division_by_nothing() {
        let nothing = Measured::default();
        let figures = (nothing.throughput(), nothing.percentile_ms(99.0));
        assert_eq!(figures, (0.0, 0.0));
    }
}
