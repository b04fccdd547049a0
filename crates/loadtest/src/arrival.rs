//! Owns when requests or visitors are due: rates over time, and the instants that follow from them.
//!
//! Pure arithmetic. The number of arrivals by an instant is the integral of the rate, so an instant is found by
//! turning that integral around; nothing is added up step by step, and no error grows.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// A rate that goes from one value to another in a straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Segment {
    from: f64,
    to: f64,
    seconds: f64,
}

impl Segment {
    fn count(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.seconds
    }

    /// After how many seconds so many have arrived.
    fn when(&self, count: f64) -> f64 {
        if count <= 0.0 {
            return 0.0;
        }
        let slope = (self.to - self.from) / self.seconds;
        // This form of the root does not divide by the slope, which may be 0.
        let root = (self.from * self.from + 2.0 * slope * count)
            .max(0.0)
            .sqrt();
        2.0 * count / (self.from + root)
    }
}

/// Arrivals per second over time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    segments: Vec<Segment>,
}

impl Profile {
    /// The same rate for so long.
    pub fn steady(rate: f64, length: Duration) -> Self {
        Self::default().then(rate, rate, length)
    }

    /// `count` arrivals within `length`: a fifth of it up to the peak, the rest down to nothing.
    pub fn burst(count: u64, length: Duration) -> Self {
        let peak = 2.0 * count as f64 / length.as_secs_f64();
        let up = length / 5;
        Self::default()
            .then(0.0, peak, up)
            .then(peak, 0.0, length - up)
    }

    /// Goes on with a rate that changes from `from` to `to`.
    pub fn then(mut self, from: f64, to: f64, length: Duration) -> Self {
        if !length.is_zero() {
            let seconds = length.as_secs_f64();
            self.segments.push(Segment { from, to, seconds });
        }
        self
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.segments.iter().map(|it| it.seconds).sum())
    }

    /// How many arrive in all.
    pub fn total(&self) -> u64 {
        self.count().round() as u64
    }

    fn count(&self) -> f64 {
        self.segments.iter().map(Segment::count).sum()
    }

    /// When so many have arrived; none when there are fewer.
    fn when(&self, count: f64) -> Option<Duration> {
        let (mut left, mut passed) = (count, 0.0);
        for segment in &self.segments {
            let here = segment.count();
            if left < here {
                return Some(Duration::from_secs_f64(passed + segment.when(left)));
            }
            left -= here;
            passed += segment.seconds;
        }
        None
    }

    /// Evenly spaced by the rate.
    pub fn even(self) -> Arrivals {
        // The sum of the segments may be slightly above the total, so the total decides how many there are.
        let all = 0..self.total();
        Box::new(all.map_while(move |number| self.when(number as f64)))
    }

    /// As people come who do not know of each other: a Poisson process of this rate. The same seed gives the same instants.
    pub fn random(self, seed: u64) -> Arrivals {
        let (mut chance, mut count) = (StdRng::seed_from_u64(seed), 0.0);
        Box::new(std::iter::from_fn(move || {
            // A number in [0, 1) taken from 1 is never 0, which has no logarithm.
            count -= (1.0 - chance.random::<f64>()).ln();
            self.when(count)
        }))
    }
}

/// The instants at which something is due, counted from the start, in order.
pub type Arrivals = Box<dyn Iterator<Item = Duration> + Send>;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seconds(profile: Profile) -> Vec<f64> {
        profile.even().map(|due| due.as_secs_f64()).collect()
    }

    #[test]
    fn a_steady_rate_is_evenly_spaced_and_no_rate_is_nothing() {
        let due = seconds(Profile::steady(4.0, SECOND));
        assert_eq!(due, [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(seconds(Profile::steady(0.0, SECOND)), [0.0; 0]);
        assert_eq!(seconds(Profile::default()), [0.0; 0]);
    }

    #[test]
    fn a_ramp_comes_closer_and_closer() {
        // 0 to 8 a second within 2 s: 8 in all, the n-th after 2 * sqrt(n / 8).
        let due = seconds(Profile::default().then(0.0, 8.0, 2 * SECOND));
        assert_eq!(due.len(), 8);
        for (n, due) in due.iter().enumerate() {
            let wanted = 2.0 * (n as f64 / 8.0).sqrt();
            assert!((due - wanted).abs() < 1e-6, "{n}: {due}");
        }
    }

    #[test]
    fn segments_follow_each_other_without_a_gap() {
        let profile = Profile::steady(1.0, 2 * SECOND).then(10.0, 10.0, SECOND);
        assert_eq!((profile.total(), profile.length()), (12, 3 * SECOND));
        let due = seconds(profile);
        assert_eq!(due.len(), 12);
        assert_eq!(due[..3], [0.0, 1.0, 2.0]);
        assert!((due[3] - 2.1).abs() < 1e-9);
    }

    #[test]
    fn a_burst_has_its_count_and_its_peak_early() {
        let profile = Profile::burst(1_000, 10 * SECOND);
        assert_eq!(profile.total(), 1_000);
        let due = seconds(profile);
        let within = |from: f64, to: f64| due.iter().filter(|it| (from..to).contains(*it)).count();
        assert_eq!(due.len(), 1_000);
        assert!(within(1.0, 3.0) > 2 * within(6.0, 8.0));
        assert!(due.is_sorted());
    }

    #[test]
    fn a_random_stream_keeps_its_rate_and_repeats_with_its_seed() {
        let profile = Profile::steady(1_000.0, 10 * SECOND);
        let stream = |seed| -> Vec<_> { profile.clone().random(seed).collect() };
        let due = stream(7);
        // Four standard deviations of a Poisson count of 10,000; and the seed is fixed.
        assert!((9_600..10_400).contains(&due.len()), "{}", due.len());
        assert!(due.is_sorted());
        assert_eq!(due, stream(7));
        assert_ne!(due, stream(8));
    }
}
