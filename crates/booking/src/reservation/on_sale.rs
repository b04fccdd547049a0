//! What of a date is for sale to a user at an instant: read without a lock, so it rejects early and decides nothing.

use chassis::time::Timestamp;
use diesel::dsl::auto_type;
use diesel::prelude::*;
use uuid::Uuid;

use super::reserve::{Asks, Conflict, Limits, Reason, Reserve, ReserveError};
use super::{ReservedSeat, reserved};
use crate::concert::ClosedSales;
use crate::db::{At, Conn, DbError, Id, one_of};
use crate::precedence;
use crate::schema::{concerts, schedules, seats};
use crate::seat::{self, SeatNumbers, SeatState};

/// When a date is for sale, and to whom.
#[derive(Queryable)]
pub(super) struct OnSale {
    #[diesel(deserialize_as = At)]
    opens_at: Timestamp,
    #[diesel(deserialize_as = At)]
    closes_at: Timestamp,
    #[diesel(deserialize_as = At)]
    pub(super) starts_at: Timestamp,
    cancelled_at: Option<At>,
    is_hidden: bool,
    max_seats: Option<u16>,
    /// How many wait for seats to come back.
    waiting: u32,
    queue: String,
    concert_is_hidden: bool,
}

/// The columns of [`SeatRow`].
#[auto_type]
pub(super) fn seat_columns() -> _ {
    (
        seats::number,
        seats::grade,
        seats::price,
        seats::state,
        seats::hold_expires_at,
        seats::holder_id,
        seats::reservation_id,
    )
}

/// The columns of [`OnSale`].
#[auto_type]
fn date_columns() -> _ {
    (
        schedules::sales_open_at,
        schedules::sales_close_at,
        schedules::starts_at,
        schedules::cancelled_at,
        schedules::hidden,
        schedules::max_seats_per_user,
        schedules::waiting,
        concerts::queue,
        concerts::hidden,
    )
}

impl OnSale {
    /// Most seats that one user may have of it.
    pub(super) fn seats_per_user(&self, limits: &Limits) -> u16 {
        self.max_seats.unwrap_or(limits.seats_per_user)
    }

    pub(super) fn must_be_open_to(
        &self,
        wanted: &Reserve,
        now: Timestamp,
    ) -> Result<(), ReserveError> {
        if self.is_hidden || self.concert_is_hidden {
            return Err(ReserveError::ScheduleNotFound);
        }
        if self.queue != wanted.queue.as_str() {
            return Err(ReserveError::QueueMismatch);
        }
        let (opens_at, closes_at) = (self.opens_at, self.closes_at);
        if self.cancelled_at.is_some() || !(opens_at..closes_at).contains(&now) {
            return Err(ReserveError::SalesClosed(ClosedSales {
                opens_at,
                closes_at,
                is_cancelled: self.cancelled_at.is_some(),
                now,
            }));
        }
        Ok(())
    }
}

pub(super) type SeatRow = (
    u16,
    String,
    i64,
    SeatState,
    Option<At>,
    Option<Id>,
    Option<Id>,
);

/// The wanted seats with their prices, if they are for sale to this user now. Nothing is locked yet.
pub(super) fn offered(
    conn: &mut Conn,
    wanted: &Reserve,
    numbers: &SeatNumbers,
    now: Timestamp,
) -> Result<(Vec<ReservedSeat>, OnSale), ReserveError> {
    let offers: Vec<(SeatRow, OnSale)> = seats::table
        .inner_join(schedules::table.inner_join(concerts::table))
        .filter(seats::schedule_id.eq(Id(wanted.schedule_id)))
        .filter(one_of(seats::number, numbers.as_slice()))
        .order(seats::number)
        .select((seat_columns(), date_columns()))
        .load(conn)?;
    let (seats, mut dates): (Vec<_>, Vec<_>) = offers.into_iter().unzip();
    let Some(date) = dates.pop() else {
        return Err(nothing_offered(conn, wanted, numbers)?);
    };
    date.must_be_open_to(wanted, now)?;
    let is_known = |number: &&u16| seats.iter().any(|seat| seat.0 == **number);
    let unknown = numbers.as_slice().iter().filter(|number| !is_known(number));
    let unknown: Vec<u16> = unknown.copied().collect();
    if !unknown.is_empty() {
        return Err(ReserveError::SeatUnknown(unknown));
    }
    let taken = seats
        .iter()
        .filter_map(|seat| conflict(seat, wanted.user_id, now));
    let taken: Vec<Conflict> = taken.collect();
    if !taken.is_empty() {
        return Err(ReserveError::SeatTaken(taken));
    }
    let reserved = |(number, grade, price, ..): SeatRow| reserved((number, grade, price));
    Ok((seats.into_iter().map(reserved).collect(), date))
}

/// The schedule, if it is for sale to this user now, whatever seats it has left. One statement.
pub(super) fn on_sale(
    conn: &mut Conn,
    wanted: &Reserve,
    now: Timestamp,
) -> Result<OnSale, ReserveError> {
    let found: Option<OnSale> = schedules::table
        .inner_join(concerts::table)
        .filter(schedules::id.eq(Id(wanted.schedule_id)))
        .select(date_columns())
        .first(conn)
        .optional()?;
    let date = found.ok_or(ReserveError::ScheduleNotFound)?;
    date.must_be_open_to(wanted, now)?;
    Ok(date)
}

/// Refuses who would take seats past the waiting list. Nothing where nobody waits, which the date says; else one
/// statement. A request after an entry was made finds it, and one before it was first.
/// `taken` are the grades of seats that the same transaction has taken already; these count as free.
pub(super) fn yield_to_waiting(
    conn: &mut Conn,
    wanted: &Reserve,
    (date, asks): (&OnSale, Asks),
    grades: &[String],
    taken: &[String],
    now: Timestamp,
) -> Result<(), ReserveError> {
    if date.waiting == 0 || asks == Asks::WaitingList {
        return Ok(());
    }
    let of = (wanted.schedule_id, wanted.user_id);
    if precedence::comes_first(conn, of, grades, taken, now)? {
        return Err(ReserveError::WaitlistFirst);
    }
    Ok(())
}

fn nothing_offered(
    conn: &mut Conn,
    wanted: &Reserve,
    numbers: &SeatNumbers,
) -> Result<ReserveError, DbError> {
    let known: i64 = schedules::table
        .find(Id(wanted.schedule_id))
        .count()
        .get_result(conn)?;
    Ok(if known == 0 {
        ReserveError::ScheduleNotFound
    } else {
        ReserveError::SeatUnknown(numbers.as_slice().to_vec())
    })
}

pub(super) fn conflict(seat: &SeatRow, user_id: Uuid, now: Timestamp) -> Option<Conflict> {
    let (seat_number, _, _, state, hold_expires_at, holder_id, reservation_id) = seat;
    let is_own = holder_id.is_some_and(|holder| holder.0 == user_id);
    let reason = match seat::effective(*state, *hold_expires_at, now) {
        SeatState::Available => return None,
        SeatState::Held if is_own => Reason::Yours,
        SeatState::Held => Reason::Held,
        SeatState::Sold => Reason::Sold,
        SeatState::Blocked => Reason::Blocked,
    };
    Some(Conflict {
        seat_number: *seat_number,
        reason,
        reservation_id: reservation_id.filter(|_| is_own).map(Uuid::from),
    })
}
