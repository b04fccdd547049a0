//! Owns what a seat is, its number, and when it is free.
//!
//! A hold that is over makes a seat free at that very instant, whether or not anything has tidied the row. So every
//! reader asks `is_free` or [`list`] with an instant, and never looks at the stored state alone.

mod numbers;

use chassis::time::Timestamp;
use diesel::dsl::auto_type;
use diesel::prelude::*;
use uuid::Uuid;

use crate::db::{At, Conn, DbError, Id, stored_as_text};
use crate::schema::seats;
pub use numbers::{MAX_SEATS, SeatNumbers, SeatNumbersError};

stored_as_text! {
    /// What a seat is at an instant.
    pub enum SeatState {
        /// Anybody may take it.
        Available = "available",
        /// Taken by a reservation that is not paid yet.
        Held = "held",
        /// Paid.
        Sold = "sold",
        /// Not for sale.
        Blocked = "blocked",
    }
}

/// A seat as a visitor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its number in the schedule.
    pub number: u16,
    /// What seats of its price are called.
    pub grade: String,
    /// Minor units.
    pub price: i64,
    /// Its state at the instant that was asked for.
    pub state: SeatState,
}

/// The seats of a schedule at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Every seat by number.
    pub seats: Vec<Seat>,
    /// When the next hold of one ends: until then nothing changes by itself.
    pub next_end: Option<Timestamp>,
}

/// Every seat of a schedule; none when there is no such schedule. One statement.
pub fn list(conn: &mut Conn, schedule_id: Uuid, now: Timestamp) -> Result<Listed, DbError> {
    let rows: Vec<(u16, String, i64, SeatState, Option<At>)> = seats::table
        .filter(seats::schedule_id.eq(Id(schedule_id)))
        .order(seats::number)
        .select((
            seats::number,
            seats::grade,
            seats::price,
            seats::state,
            seats::hold_expires_at,
        ))
        .load(conn)?;
    let ends = rows.iter().filter_map(|row| row.4.map(Timestamp::from));
    let next_end = ends.filter(|end| *end > now).min();
    let seat = |(number, grade, price, state, hold_expires_at)| Seat {
        number,
        grade,
        price,
        state: effective(state, hold_expires_at, now),
    };
    let seats = rows.into_iter().map(seat).collect();
    Ok(Listed { seats, next_end })
}

/// The state that the stored one amounts to at `now`.
pub(crate) fn effective(
    state: SeatState,
    hold_expires_at: Option<At>,
    now: Timestamp,
) -> SeatState {
    match state {
        SeatState::Held if hold_expires_at.is_some_and(|at| at.0 <= now) => SeatState::Available,
        other => other,
    }
}

/// The same as a condition: the seat is available, or the hold on it is over.
#[auto_type]
pub(crate) fn is_free(now: Timestamp) -> _ {
    let (available, held): (SeatState, SeatState) = (SeatState::Available, SeatState::Held);
    let at: At = At(now);
    seats::state
        .eq(available)
        .or(seats::state.eq(held).and(seats::hold_expires_at.le(at)))
}
