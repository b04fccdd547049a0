//! Owns the figures of several rounds: their median, the least and the most.

use serde::Serialize;

/// What several rounds gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; of two, their mean.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// All zero when there are no rounds.
    pub fn of(rounds: &[f64]) -> Self {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            return Self::default();
        };
        let (lower, upper) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        Self {
            median: (lower + upper) / 2.0,
            least: *least,
            most: *most,
        }
    }

    /// `1,000 /s (900–1,200)`; a single round has no spread.
    pub fn text(&self, unit: &str) -> String {
        let median = number(self.median);
        if self.least == self.most {
            return format!("{median} {unit}");
        }
        let (least, most) = (number(self.least), number(self.most));
        format!("{median} {unit} ({least}–{most})")
    }

    /// `75 % (50–80)`.
    pub fn percent(&self) -> String {
        let percent = |it: f64| (it * 100.0).round();
        let hundredfold = Self {
            median: percent(self.median),
            least: percent(self.least),
            most: percent(self.most),
        };
        hundredfold.text("%")
    }
}

/// Each round by the limit of its own round: what disturbs the machine for a while disturbs both.
pub fn ratios(measured: &[f64], limits: &[f64]) -> Spread {
    let pairs = measured
        .iter()
        .zip(limits)
        .filter(|(_, limit)| **limit > 0.0);
    let each: Vec<_> = pairs.map(|(measured, limit)| measured / limit).collect();
    Spread::of(&each)
}

/// A whole number, thousands apart by commas.
pub fn count(value: usize) -> String {
    parted(value.to_string())
}

/// Three digits that count, thousands apart by commas.
fn number(value: f64) -> String {
    let parts = match value.abs() {
        100.0.. => 1.0,
        10.0.. => 10.0,
        _ => 100.0,
    };
    parted(((value * parts).round() / parts).to_string())
}

/// A comma before every third digit of the whole number that has a digit before it.
fn parted(mut number: String) -> String {
    let mut at = number.find('.').unwrap_or(number.len());
    while at > 3 && number.as_bytes()[at - 4].is_ascii_digit() {
        at -= 3;
        number.insert(at, ',');
    }
    number
}

#[cfg(test)]
mod tests {
    use super::{Spread, count, number, ratios};

    #[test]
    fn the_median_is_the_middle_one_whatever_the_order() {
        let spread = Spread::of(&[9.0, 1.0, 2.0]);
        assert_eq!((spread.median, spread.least, spread.most), (2.0, 1.0, 9.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 9.0]).median, 3.0);
        assert_eq!(Spread::of(&[7.0]).median, 7.0);
        assert_eq!(Spread::of(&[]), Spread::default());
    }

    #[test]
    fn a_ratio_belongs_to_its_round() {
        // The second round was slow for both.
        let ratio = ratios(&[80.0, 8.0, 70.0], &[100.0, 10.0, 100.0]);
        assert_eq!((ratio.median, ratio.least, ratio.most), (0.8, 0.7, 0.8));
        assert_eq!(ratios(&[1.0], &[0.0]), Spread::default());
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        for (value, text) in [
            (0.0, "0"),
            (0.254, "0.25"),
            (9.5, "9.5"),
            (42.06, "42.1"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-123_456.0, "-123,456"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(Spread::of(&[0.5]).percent(), "50 %");
        assert_eq!(Spread::of(&[2.0, 4.0]).text("ms"), "3 ms (2–4)");
    }
}
