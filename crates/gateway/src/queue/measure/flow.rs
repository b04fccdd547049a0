//! Owns what the last minutes brought at the door: who entered, who was passed by, which places were given
//! back, and whether these came one by one or in bunches.

use crate::queue::StoreError;
use crate::queue::store::reply::Reply;

/// So many events of a kind are enough to tell a rate to about a fifth.
const ENOUGH: u64 = 30;
/// Into pieces of so many seconds the last minute is cut; the last quarter of an hour into minutes.
pub const PIECE_S: u64 = 10;
const MINUTE_S: u64 = 60;
/// Fewer pieces say nothing of how even they are.
const PIECES_LEAST: usize = 3;

/// What came to pass during so many seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flow {
    pub admitted: u64,
    /// Admitted, and passed by because they are absent.
    pub passed: u64,
    /// Places inside that were given back.
    pub freed: u64,
    pub seconds: u64,
    /// How many places come back together: 1 where each comes by itself.
    pub bunch: f64,
}

/// The same flow over different times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flows {
    /// The last seconds, where the last minute says enough to look that close.
    pub moment: Option<Flow>,
    pub minute: Flow,
    pub quarter: Flow,
}

impl Flow {
    pub fn new(admitted: u64, passed: u64, freed: u64, seconds: u64) -> Self {
        Self {
            admitted,
            passed,
            freed,
            seconds: seconds.max(1),
            bunch: 1.0,
        }
    }

    fn read(reply: &Reply) -> Result<Self, StoreError> {
        Ok(Self::new(
            reply.get("admitted")?,
            reply.get("passed")?,
            reply.get("freed")?,
            reply.get("seconds")?,
        ))
    }

    /// By how many per second the line got shorter.
    pub fn rate(&self) -> Option<f64> {
        (self.passed > 0).then(|| self.passed as f64 / self.seconds as f64)
    }

    /// `freed` are the places that were given back in pieces of this length, the newest first.
    fn in_pieces(self, freed: &[u64], piece_s: u64) -> Self {
        let many = usize::try_from(self.seconds / piece_s).unwrap_or(usize::MAX);
        let bunch = bunch(&freed[..many.min(freed.len())]);
        Self { bunch, ..self }
    }
}

impl Flows {
    /// `tens` and `minutes` are the places given back in each piece, the newest first.
    pub fn new(minute: Flow, quarter: Flow, tens: &[u64], minutes: &[u64]) -> Self {
        let newest = tens.first().filter(|_| minute.freed >= ENOUGH);
        Self {
            // In a full house who enters takes a place that was given back.
            moment: newest.map(|freed| Flow::new(*freed, *freed, *freed, PIECE_S)),
            minute: minute.in_pieces(tens, PIECE_S),
            quarter: quarter.in_pieces(minutes, MINUTE_S),
        }
    }

    /// What a script says of the last minute and the last quarter of an hour.
    pub fn read(reply: &Reply) -> Result<Self, StoreError> {
        let (minute, quarter): (Reply, Reply) = (reply.get("minute")?, reply.get("quarter")?);
        let (tens, minutes): (Vec<u64>, Vec<u64>) =
            (minute.get("freed_by")?, quarter.get("freed_by")?);
        let (minute, quarter) = (Flow::read(&minute)?, Flow::read(&quarter)?);
        Ok(Self::new(minute, quarter, &tens, &minutes))
    }

    /// The last minute if that tells enough, otherwise the last quarter of an hour.
    pub fn best(&self) -> &Flow {
        if self.minute.freed.min(self.minute.admitted) >= ENOUGH {
            &self.minute
        } else {
            &self.quarter
        }
    }

    /// All of them.
    pub fn each(&self) -> impl Iterator<Item = &Flow> {
        self.moment.iter().chain([&self.minute, &self.quarter])
    }
}

/// The variance of counts in pieces of equal length as a share of their mean: 1 for events that know
/// nothing of each other, and the size of the bunches where they come in bunches.
fn bunch(pieces: &[u64]) -> f64 {
    let many = pieces.len() as f64;
    let mean = pieces.iter().sum::<u64>() as f64 / many;
    if pieces.len() < PIECES_LEAST || mean == 0.0 {
        return 1.0;
    }
    let squares: f64 = pieces.iter().map(|it| (*it as f64 - mean).powi(2)).sum();
    (squares / (many - 1.0) / mean).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::{Flow, Flows, bunch};

    #[test]
    fn places_that_come_back_together_are_told_from_those_that_come_one_by_one() {
        assert_eq!(bunch(&[10, 11, 9, 10, 12, 8]), 1.0);
        assert!(bunch(&[0, 0, 0, 100, 0, 0]) > 90.0);
        assert_eq!(bunch(&[0, 100]), 1.0, "too little to tell");
    }

    #[test]
    fn a_minute_that_tells_enough_is_believed_before_a_quarter_of_an_hour() {
        let of = |freed| {
            let flow = Flow::new(freed, freed, freed, 60);
            Flows::new(
                flow,
                Flow::new(900, 900, 900, 900),
                &[freed / 6; 6],
                &[60; 15],
            )
        };
        assert_eq!(of(30).best().freed, 30);
        assert_eq!(of(29).best().freed, 900);
        assert!(of(29).moment.is_none());
        assert_eq!(of(60).moment.map(|it| it.freed), Some(10));
    }
}
