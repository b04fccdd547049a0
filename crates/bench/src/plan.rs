//! Owns how much is measured: rounds, seconds, sizes.

use std::time::Duration;

/// The sizes of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often limit and subject take turns.
    pub rounds: usize,
    /// What is counted of each turn.
    pub turn: Duration,
    /// What runs before it is counted.
    pub warm_up: Duration,
    /// A short line.
    pub few: usize,
    /// A long line.
    pub many: usize,
    /// Who take part in a draw.
    pub entrants: usize,
    /// Who want the same seat.
    pub buyers: usize,
    /// Who watch their place.
    pub streams: usize,
    /// Seats of the date that is looked at.
    pub seats: usize,
    /// Dates of a long run.
    pub dates: usize,
    /// Sales a second.
    pub sales_per_s: u32,
    /// Seats of a date that is sold from; a venue may have 10,000.
    pub venue: usize,
}

impl Plan {
    /// The sizes of the goals, with turns of so many seconds; or so little that it only shows that everything runs.
    pub fn new(seconds: f64, is_small: bool) -> Self {
        let size = |full, small| if is_small { small } else { full };
        // Long enough for a service that was built without optimisation to make its connections and answer.
        let seconds = if is_small { 0.4 } else { seconds };
        Self {
            rounds: size(3, 1),
            turn: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64((seconds / 8.0).min(1.0)),
            few: size(1_000, 64),
            many: size(1_000_000, 2_000),
            entrants: size(1_000_000, 2_000),
            buyers: size(1_000, 20),
            streams: size(10_000, 20),
            seats: size(1_350, 100),
            dates: size(3_000, 10),
            sales_per_s: if is_small { 20 } else { 100 },
            venue: size(10_000, 1_000),
        }
    }

    /// What runs before it is counted, and what is counted.
    pub fn span(&self) -> (Duration, Duration) {
        (self.warm_up, self.turn)
    }

    /// Turn and warm-up.
    pub fn whole_turn(&self) -> Duration {
        self.turn + self.warm_up
    }
}
