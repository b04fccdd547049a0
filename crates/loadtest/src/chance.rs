//! Owns what people do by chance: how long they think, and which seats they like.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Width of the log-normal pause: one in six takes more than twice the median, one in a hundred five times.
const SIGMA: f64 = 0.7;
/// The longest pause, in medians: who thinks for longer is gone.
const MOST_MEDIANS: f64 = 10.0;
/// How many seats a visitor wants, of ten: mostly two.
const WISHES: [usize; 10] = [1, 1, 1, 2, 2, 2, 2, 3, 3, 4];
/// Seats further back are chosen less often: half of all choose in the front third.
const FRONT_PART: usize = 3;

/// The chance of one visitor: the same seed and number give the same behaviour.
#[derive(Debug, Clone)]
pub struct Chance(StdRng);

impl Chance {
    /// Of this visitor.
    pub fn of(seed: u64, visitor: usize) -> Self {
        // Two pairs of small numbers must not give one seed: an odd constant spreads them over all 64 bits.
        let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (visitor as u64);
        Self(StdRng::seed_from_u64(mixed))
    }

    /// A log-normal pause with this median.
    pub fn think(&mut self, median: Duration) -> Duration {
        // Box and Muller: two uniform numbers make a normal one.
        let (a, b) = (1.0 - self.0.random::<f64>(), self.0.random::<f64>());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        median.mul_f64((SIGMA * normal).exp().min(MOST_MEDIANS))
    }

    /// How many seats.
    pub fn wish(&mut self) -> usize {
        WISHES[self.0.random_range(0..WISHES.len())]
    }

    /// A part of a whole: 0 to 1.
    pub fn part(&mut self) -> f64 {
        self.0.random()
    }

    /// One of so many.
    pub fn index(&mut self, count: usize) -> usize {
        self.0.random_range(0..count.max(1))
    }

    /// Takes `count` neighbours, or what there is, of those that are free.
    pub fn choose(&mut self, free: &[u16], count: usize) -> Vec<u16> {
        let count = count.min(free.len());
        let last = free.len() - count;
        let near = if self.0.random() {
            last / FRONT_PART
        } else {
            last
        };
        let first = self.0.random_range(0..=near);
        free[first..first + count].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_think_for_less_than_the_median_and_nobody_for_ever() {
        let mut chance = Chance::of(1, 1);
        let median = Duration::from_secs(2);
        let mut pauses: Vec<_> = (0..10_001).map(|_| chance.think(median)).collect();
        pauses.sort_unstable();
        let middle = pauses[5_000].as_secs_f64();
        assert!((1.9..2.1).contains(&middle), "{middle}");
        assert!(pauses[10_000] <= median * 10);
        assert_eq!(chance.think(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn visitors_differ_and_each_repeats_with_its_seed() {
        let wishes = |seed, visitor| -> Vec<_> {
            let mut chance = Chance::of(seed, visitor);
            (0..32).map(|_| chance.index(1_000)).collect()
        };
        assert_eq!(wishes(1, 2), wishes(1, 2));
        assert_ne!(wishes(1, 2), wishes(1, 3));
        assert_ne!(wishes(1, 2), wishes(2, 2));
    }

    #[test]
    fn seats_are_chosen_among_those_that_are_free() {
        let mut chance = Chance::of(1, 1);
        let free = [3, 4, 9, 12];
        for _ in 0..100 {
            let count = chance.wish();
            let chosen = chance.choose(&free, count);
            assert_eq!(chosen.len(), count);
            assert!(chosen.iter().all(|seat| free.contains(seat)));
        }
        assert_eq!(chance.choose(&[5], 4), [5]);
        assert_eq!(chance.choose(&[], 4), [0; 0]);
    }
}
