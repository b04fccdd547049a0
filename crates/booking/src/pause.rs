//! Owns how long to wait before something is tried again.

use std::time::Duration;

use rand::Rng;

/// Doublings after which any pause is at its longest.
const DOUBLINGS_AT_MOST: u32 = 20;

/// The pause after `failures` in a row, one at least: it doubles from `first` up to `longest`, and is then cut by up to
/// half at random, so that those who failed together do not come back together.
pub fn growing(first: Duration, longest: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(DOUBLINGS_AT_MOST);
    let whole = first.saturating_mul(1 << doublings).min(longest);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::growing;

    #[test]
    fn a_pause_doubles_up_to_its_longest_and_is_never_less_than_half() {
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        for (failures, whole_ms) in [
            (1, 500),
            (2, 1_000),
            (3, 2_000),
            (7, 30_000),
            (4_000_000_000, 30_000),
        ] {
            let whole = Duration::from_millis(whole_ms);
            for _ in 0..100 {
                let pause = growing(first, longest, failures);
                assert!(
                    whole / 2 <= pause && pause <= whole,
                    "{failures}: {pause:?}"
                );
            }
        }
    }
}
