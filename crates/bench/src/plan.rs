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
    /// The sizes of the goals, with turns of so many seconds.
    pub fn full(seconds: f64) -> Self {
        Self {
            rounds: 3,
            turn: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64((seconds / 8.0).min(1.0)),
            few: 1_000,
            many: 1_000_000,
            entrants: 1_000_000,
            buyers: 1_000,
            streams: 10_000,
            seats: 1_350,
            dates: 3_000,
            sales_per_s: 100,
            venue: 10_000,
        }
    }

    /// So little that it only shows that everything runs.
    pub fn small() -> Self {
        Self {
            rounds: 1,
            turn: Duration::from_millis(100),
            warm_up: Duration::from_millis(20),
            few: 64,
            many: 2_000,
            entrants: 2_000,
            buyers: 20,
            streams: 20,
            seats: 100,
            dates: 10,
            sales_per_s: 20,
            venue: 1_000,
        }
    }

    /// Turn and warm-up.
    pub fn whole_turn(&self) -> Duration {
        self.turn + self.warm_up
    }
}
