//! The seats that a request wants: by their numbers, or the best there are. Checked once, when the request is parsed.

use crate::concert::Grade;
use crate::seat::{SeatNumbers, SeatNumbersError};

/// Which seats are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These very seats, all of them.
    Numbers(SeatNumbers),
    /// As many of the best that are free.
    Best(Best),
}

/// Some of the best free seats: dearest first, of one price the lowest numbers, side by side while there are such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Best {
    count: u16,
    grade: Option<Grade>,
    approach: Approach,
}

/// What to do about seats that others are taking at this very moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Approach {
    /// Go round them, and give up when there are no others.
    Swift,
    /// Wait until they are taken or free again.
    Patient,
}

impl Best {
    /// `count` seats, of one grade if one is named.
    pub fn parse(count: i64, grade: Option<Grade>, max: u16) -> Result<Self, SeatNumbersError> {
        if count < 1 {
            return Err(SeatNumbersError::Empty);
        }
        match u16::try_from(count) {
            Ok(count) if count <= max => Ok(Self {
                count,
                grade,
                approach: Approach::Swift,
            }),
            _ => Err(SeatNumbersError::TooMany { max }),
        }
    }

    /// The same wish, for a second try after [`ReserveError::Crowded`](super::ReserveError::Crowded): it waits for those
    /// who were faster and so has a final answer.
    pub fn patiently(self) -> Self {
        Self {
            approach: Approach::Patient,
            ..self
        }
    }

    /// How many seats.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Of which grade; of any when not said.
    pub fn grade(&self) -> Option<&str> {
        self.grade.as_ref().map(Grade::as_str)
    }

    pub(super) fn approach(&self) -> Approach {
        self.approach
    }
}

#[cfg(test)]
mod tests {
    use super::Best;
    use crate::seat::SeatNumbersError;

    #[test]
    fn the_best_one_to_four_seats_can_be_asked_for() {
        assert_eq!(Best::parse(4, None, 4).map(|best| best.count()), Ok(4));
        for none in [0, -1, i64::MIN] {
            assert_eq!(Best::parse(none, None, 4), Err(SeatNumbersError::Empty));
        }
        for many in [5, 65_537, i64::MAX] {
            let refused = Err(SeatNumbersError::TooMany { max: 4 });
            assert_eq!(Best::parse(many, None, 4), refused);
        }
    }
}
