//! Which seats a schedule has: sections of consecutive numbers, each with a grade and a price.

use super::{Grade, Price};
use crate::seat::MAX_SEATS;

/// Seats of one grade and price: the numbers `from` to `to`, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What these seats are called.
    pub grade: Grade,
    /// What each costs.
    pub price: Price,
    /// First number.
    pub from: u16,
    /// Last number.
    pub to: u16,
}

/// Why sections do not make a layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// There is no section.
    #[error("at least one section is needed")]
    Empty,
    /// A section begins at 0, ends before it begins, or goes beyond the highest number.
    #[error("a section's numbers go from 1 to {MAX_SEATS}, and `from` is not after `to`")]
    Range,
    /// A number is in two sections.
    #[error("seat {0} is in two sections")]
    Overlap(u16),
}

/// Sections that do not overlap, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(Vec<Section>);

impl Layout {
    /// Every seat number with its section, ascending.
    pub fn seats(&self) -> impl Iterator<Item = (u16, &Section)> {
        self.0
            .iter()
            .flat_map(|section| (section.from..=section.to).map(move |number| (number, section)))
    }

    /// How many seats there are.
    pub fn seats_total(&self) -> u32 {
        self.0
            .iter()
            .map(|section| u32::from(section.to - section.from) + 1)
            .sum()
    }
}

impl TryFrom<Vec<Section>> for Layout {
    type Error = LayoutError;

    fn try_from(mut sections: Vec<Section>) -> Result<Self, LayoutError> {
        if sections.is_empty() {
            return Err(LayoutError::Empty);
        }
        if sections
            .iter()
            .any(|section| section.from < 1 || section.from > section.to || section.to > MAX_SEATS)
        {
            return Err(LayoutError::Range);
        }
        sections.sort_by_key(|section| section.from);
        match sections.windows(2).find(|pair| pair[1].from <= pair[0].to) {
            Some(pair) => Err(LayoutError::Overlap(pair[1].from)),
            None => Ok(Self(sections)),
        }
    }
}

/// Seats 1 to 50 in four grades, in KRW.
pub fn default_layout() -> Layout {
    let sections = [
        ("VIP", 150_000, 1, 10),
        ("PREMIUM", 120_000, 11, 20),
        ("REGULAR", 90_000, 21, 35),
        ("ECONOMY", 60_000, 36, 50),
    ];
    let section = |(grade, price, from, to): (&str, i64, u16, u16)| {
        Some(Section {
            grade: Grade::try_from(grade.to_owned()).ok()?,
            price: Price::try_from(price).ok()?,
            from,
            to,
        })
    };
    Layout(sections.into_iter().filter_map(section).collect())
}

#[cfg(test)]
mod tests {
    use super::{Grade, Layout, LayoutError, Price, Section, default_layout};

    fn section(from: u16, to: u16) -> Section {
        let grade = Grade::try_from("A".to_owned()).expect("a grade");
        Section {
            grade,
            price: Price::try_from(1).expect("a price"),
            from,
            to,
        }
    }

    #[test]
    fn the_default_is_fifty_seats_in_four_grades() {
        let layout = default_layout();
        assert_eq!(layout.seats_total(), 50);
        assert!(layout.seats().map(|(number, _)| number).eq(1..=50));
        let priced = |number| {
            layout
                .seats()
                .find(|seat| seat.0 == number)
                .map(|seat| seat.1.price.minor())
        };
        assert_eq!(
            [1, 11, 21, 50].map(priced),
            [150_000, 120_000, 90_000, 60_000].map(Some)
        );
    }

    #[test]
    fn sections_may_come_in_any_order_and_leave_gaps_but_not_overlap() {
        let layout = Layout::try_from(vec![section(20, 21), section(1, 2)]).expect("a layout");
        assert!(layout.seats().map(|(number, _)| number).eq([1, 2, 20, 21]));
        assert_eq!(
            Layout::try_from(vec![section(5, 9), section(1, 5)]),
            Err(LayoutError::Overlap(5))
        );
    }

    #[test]
    fn numbers_out_of_range_make_no_layout() {
        assert_eq!(Layout::try_from(vec![]), Err(LayoutError::Empty));
        for odd in [section(0, 5), section(5, 4), section(1, 10_001)] {
            assert_eq!(Layout::try_from(vec![odd]), Err(LayoutError::Range));
        }
    }
}
