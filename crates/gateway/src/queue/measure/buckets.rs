//! Owns the few buckets in which times are counted, so that those of many gateways and minutes add up.
//!
//! Bounds are 1, 2, 3, 4, 6, 8, 12, 16, … of a unit, up to 98,304: a day and three hours in seconds. A
//! percentile is told as the bound of its bucket: never less than it was, and at most half more, or one
//! unit more where it is below two. Whatever is above the last bound is told as that.

/// How many there are, with the one for what is above all bounds.
pub(super) const BUCKETS: usize = 34;
const BOUNDS: [u64; BUCKETS - 1] = bounds();

const fn bounds() -> [u64; BUCKETS - 1] {
    let mut bounds = [1; BUCKETS - 1];
    let mut at = 1;
    while at < bounds.len() {
        let doubled = 1 << at.div_ceil(2);
        bounds[at] = if at % 2 == 1 {
            doubled
        } else {
            doubled / 2 * 3
        };
        at += 1;
    }
    bounds
}

/// How often a time fell into each bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets([u64; BUCKETS]);

impl Buckets {
    /// With these counts.
    pub(super) fn new(counts: [u64; BUCKETS]) -> Self {
        Self(counts)
    }

    /// Which bucket a time of so many units falls into.
    pub(super) fn index(units: f64) -> usize {
        BOUNDS.partition_point(|bound| (*bound as f64) < units)
    }

    /// Bounds and counts of the buckets in which there is something; the last has no bound.
    pub fn counts(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = BOUNDS.iter().copied().map(Some).chain([None]);
        bounds.zip(self.0).filter(|(_, count)| *count > 0)
    }

    /// Within so many units this share of all lay; `None` where nothing was counted.
    pub fn percentile(&self, share: f64) -> Option<u64> {
        let all: u64 = self.0.iter().sum();
        let rank = (all as f64 * share).ceil().max(1.0) as u64;
        let reached = self.0.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        let at = reached.into_iter().position(|sum| sum >= rank)?;
        Some(BOUNDS[at.min(BOUNDS.len() - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, BUCKETS, Buckets};

    fn of(times: &[f64]) -> Buckets {
        let mut counts = [0; BUCKETS];
        for time in times {
            counts[Buckets::index(*time)] += 1;
        }
        Buckets(counts)
    }

    #[test]
    fn each_bound_is_at_most_double_and_from_two_on_at_most_half_more_than_the_one_before() {
        assert_eq!(&BOUNDS[..9], &[1, 2, 3, 4, 6, 8, 12, 16, 24]);
        assert_eq!(BOUNDS.last(), Some(&98_304));
        for pair in BOUNDS.windows(2).skip(1) {
            assert!(
                pair[0] < pair[1] && 2 * pair[1] <= 3 * pair[0] + 1,
                "{pair:?}"
            );
        }
    }

    #[test]
    fn a_percentile_is_never_less_than_it_was_and_at_most_half_more() {
        let times: Vec<f64> = (1..=10_000).map(|it| f64::from(it) / 3.0).collect();
        let counted = of(&times);
        for (share, rank) in [(0.5, 5_000), (0.9, 9_000), (0.99, 9_900), (1.0, 10_000)] {
            let (was, told) = (times[rank - 1], counted.percentile(share).expect("some"));
            let told = told as f64;
            assert!(was <= told && told <= was * 1.5, "{share}: {was}, {told}");
        }
    }

    #[test]
    fn nothing_one_and_what_is_above_all_bounds() {
        assert_eq!(of(&[]).percentile(0.5), None);
        assert_eq!(of(&[0.0]).percentile(0.99), Some(1));
        let far = of(&[1e9]);
        assert_eq!(far.percentile(0.5), Some(98_304));
        assert_eq!(far.counts().collect::<Vec<_>>(), [(None, 1)]);
    }
}
