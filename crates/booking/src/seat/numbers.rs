//! The numbers of the seats that a request names, checked once when it is parsed.

/// Most seats of a schedule, and the highest seat number.
pub const MAX_SEATS: u16 = 10_000;

/// At least one seat number, none twice, ascending: the order in which seats are locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatNumbers(Vec<u16>);

/// Why numbers cannot be reserved together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeatNumbersError {
    /// There is none.
    #[error("at least one seat is needed")]
    Empty,
    /// A number is named twice.
    #[error("seat {0} is named twice")]
    Repeated(i64),
    /// There are more than a reservation may have.
    #[error("at most {max} seats")]
    TooMany {
        /// How many it may have.
        max: u16,
    },
    /// Numbers that no schedule has.
    #[error("no such seats: {0:?}")]
    Unknown(Vec<i64>),
}

impl SeatNumbers {
    /// The numbers that a request names, at most `max` of them.
    pub fn parse(wanted: &[i64], max: u16) -> Result<Self, SeatNumbersError> {
        if wanted.is_empty() {
            return Err(SeatNumbersError::Empty);
        }
        if wanted.len() > usize::from(max) {
            return Err(SeatNumbersError::TooMany { max });
        }
        let mut sorted = wanted.to_vec();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SeatNumbersError::Repeated(pair[0]));
        }
        let known = |number: &i64| {
            u16::try_from(*number)
                .ok()
                .filter(|number| (1..=MAX_SEATS).contains(number))
        };
        let numbers: Vec<u16> = sorted.iter().filter_map(known).collect();
        if numbers.len() < sorted.len() {
            let unknown = sorted.into_iter().filter(|number| known(number).is_none());
            return Err(SeatNumbersError::Unknown(unknown.collect()));
        }
        Ok(Self(numbers))
    }

    /// Ascending.
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{SeatNumbers, SeatNumbersError};

    #[test]
    fn one_to_four_different_seats_in_any_order_are_sorted() {
        assert_eq!(
            SeatNumbers::parse(&[9, 2, 50], 4).map(|seats| seats.0),
            Ok(vec![2, 9, 50])
        );
    }

    #[test]
    fn odd_wishes_are_told_apart() {
        assert_eq!(SeatNumbers::parse(&[], 4), Err(SeatNumbersError::Empty));
        assert_eq!(
            SeatNumbers::parse(&[1, 2, 3, 4, 5], 4),
            Err(SeatNumbersError::TooMany { max: 4 })
        );
        assert_eq!(
            SeatNumbers::parse(&[7, 8, 7], 4),
            Err(SeatNumbersError::Repeated(7))
        );
        let odd = [i64::MIN, 0, 10_001, i64::MAX];
        assert_eq!(
            SeatNumbers::parse(&odd, 4),
            Err(SeatNumbersError::Unknown(odd.to_vec()))
        );
    }
}
