//! How the seats of a hold are taken: whether the buyer may have so many, and the UPDATE whose row count decides.
//!
//! The caller has locked the buyer. Knows nothing of who waits for seats to come back.

use chassis::time::Timestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Datetime, SmallInt, Unsigned};

use super::buyer::{self, Holdings};
use super::on_sale::{OnSale, SeatRow, conflict, on_sale, seat_columns};
use super::{Conflict, Limits, Reason, Reservation, Reserve, ReserveError};
use crate::db::{At, DbError, Id, Tx, kept, one_of, times, update};
use crate::schema::{schedules, seats};
use crate::seat::{self, SeatState};

/// Sees under the buyer's lock that the user may have `count` seats more. One statement, and those that end their own holds
/// that are over.
pub(super) fn must_be_allowed(
    tx: &mut Tx,
    wanted: &Reserve,
    date: &OnSale,
    count: usize,
    limits: &Limits,
    now: Timestamp,
) -> Result<(), ReserveError> {
    let has = buyer::tidied(tx, wanted.schedule_id, wanted.user_id, now)?;
    must_be_within(limits, date.seats_per_user(limits), has, count)
}

pub(super) fn must_be_within(
    limits: &Limits,
    max: u16,
    has: Holdings,
    count: usize,
) -> Result<(), ReserveError> {
    if has.seats + count > usize::from(max) {
        return Err(too_many(max, has));
    }
    if has.unpaid_in_a_row >= usize::from(limits.unpaid_holds) {
        return Err(ReserveError::TooManyHolds {
            held: has.unpaid_in_a_row,
        });
    }
    Ok(())
}

pub(super) fn too_many(max: u16, has: Holdings) -> ReserveError {
    let has = u16::try_from(has.seats).unwrap_or(u16::MAX);
    ReserveError::TooManySeats { max, has }
}

/// Takes the seats as [`hold_until_start`] does, for a buyer who is not new to the date. One statement. Where it takes nothing
/// the buyer may be at a limit; then [`must_be_allowed`] says it exactly, and the seats are tried once more.
pub(super) fn hold_what_is_allowed(
    tx: &mut Tx,
    wanted: &Reserve,
    held: &mut Reservation,
    (date, limits): (&OnSale, &Limits),
    end: impl Fn(&OnSale) -> Timestamp,
) -> Result<(), ReserveError> {
    let (count, now) = (held.seats.len(), held.created_at);
    // No less than none: more seats than the limit were refused before.
    let room = usize::from(date.seats_per_user(limits)).saturating_sub(count);
    match hold_seats_within(tx, held, room, limits.unpaid_holds)? {
        0 => {
            must_be_allowed(tx, wanted, date, count, limits, now)?;
            hold_until_start(tx, wanted, held, end)
        }
        taken if taken == count => Ok(()),
        _ => Err(taken_by_others(tx, held, now)?),
    }
}

/// As [`hold_seats`], if the buyer has no hold that is over, at most `room` seats, and fewer unpaid holds, of whatever age,
/// than may follow each other; says how many rows it took.
///
/// What a buyer has grows under the buyer's lock alone. The lock was granted before this statement began, and at READ
/// COMMITTED it sees all that was committed by then, as a statement between the two would.
fn hold_seats_within(
    tx: &mut Tx,
    held: &Reservation,
    room: usize,
    unpaid_holds: u16,
) -> Result<usize, DbError> {
    let (numbers, now) = (held.seat_numbers(), held.created_at);
    let marks = times(numbers.len(), "?");
    let taken = kept(format!(
        "UPDATE `seats` SET state = 'held', reservation_id = ?, holder_id = ?, hold_expires_at = ? \
         WHERE schedule_id = ? AND number IN ({marks}) \
         AND (state = 'available' OR (state = 'held' AND hold_expires_at <= ?)) \
         AND (SELECT s.starts_at FROM schedules s WHERE s.id = ?) >= ? \
         AND (SELECT COALESCE(SUM(IF(r.state IN ('held', 'confirmed'), r.seat_count, 0)), 0) <= ? \
             AND COALESCE(SUM(IF(r.state = 'held' AND r.hold_expires_at <= ?, 1, 0)), 0) = 0 \
             AND COALESCE(SUM(IF(r.state IN ('confirmed', 'refunded'), 0, 1)), 0) < ? \
             FROM reservations r WHERE r.schedule_id = ? AND r.user_id = ?)"
    ))
    .bind_all::<Binary, _>(&[Id(held.id), Id(held.user_id)])
    .bind::<Datetime, _>(At(held.hold_expires_at))
    .bind::<Binary, _>(Id(held.schedule_id))
    .bind_all::<Unsigned<SmallInt>, _>(&numbers)
    .bind::<Datetime, _>(At(now))
    .bind::<Binary, _>(Id(held.schedule_id))
    .bind::<Datetime, _>(At(held.hold_expires_at))
    .bind::<BigInt, _>(i64::try_from(room).unwrap_or(0))
    .bind::<Datetime, _>(At(now))
    .bind::<BigInt, _>(i64::from(unpaid_holds))
    .bind_all::<Binary, _>(&[Id(held.schedule_id), Id(held.user_id)])
    .execute(tx)?;
    Ok(taken)
}

/// Takes the seats for as long as the hold may last. The date was read before the buyer was locked, and its show may have
/// been moved to earlier since: then the hold ends earlier. From the lock on it stays as it is read here, because who moves
/// a show waits for its buyers. One statement; one more where it takes no seats, and another where the show was moved.
pub(super) fn hold_until_start(
    tx: &mut Tx,
    wanted: &Reserve,
    held: &mut Reservation,
    end: impl Fn(&OnSale) -> Timestamp,
) -> Result<(), ReserveError> {
    let now = held.created_at;
    if hold_seats(tx, held, now)? {
        return Ok(());
    }
    let end = end(&on_sale(tx, wanted, now)?);
    if end < held.hold_expires_at {
        held.hold_expires_at = end;
        if hold_seats(tx, held, now)? {
            return Ok(());
        }
    }
    Err(taken_by_others(tx, held, now)?)
}

/// Takes the seats that are free, or whose hold is over, by number, if the show does not start before the hold ends. The
/// row count decides: fewer rows than wanted seats means that another buyer was faster, or that the show was moved.
fn hold_seats(tx: &mut Tx, held: &Reservation, now: Timestamp) -> Result<bool, DbError> {
    let numbers = held.seat_numbers();
    // Read without a lock, which every sale of the date would share.
    let starts_at = schedules::table
        .filter(schedules::id.eq(Id(held.schedule_id)))
        .select(schedules::starts_at)
        .single_value();
    let free = seats::table
        .filter(seats::schedule_id.eq(Id(held.schedule_id)))
        .filter(one_of(seats::number, numbers.as_slice()))
        .filter(starts_at.ge(At(held.hold_expires_at)))
        .filter(seat::is_free(now));
    let changes = (
        seats::state.eq(SeatState::Held),
        seats::reservation_id.eq(Id(held.id)),
        seats::holder_id.eq(Id(held.user_id)),
        seats::hold_expires_at.eq(At(held.hold_expires_at)),
    );
    let taken = update(free, changes).execute(tx)?;
    Ok(taken == numbers.len())
}

/// Which of the seats others have. The transaction is undone.
fn taken_by_others(
    tx: &mut Tx,
    held: &Reservation,
    now: Timestamp,
) -> Result<ReserveError, DbError> {
    let others: Vec<SeatRow> = seats::table
        .filter(seats::schedule_id.eq(Id(held.schedule_id)))
        .filter(one_of(seats::number, held.seat_numbers()))
        .filter(
            seats::reservation_id
                .is_null()
                .or(seats::reservation_id.ne(Id(held.id))),
        )
        .order(seats::number)
        .select(seat_columns())
        .load(tx)?;
    // A seat that was lost and is free again by now was held at the moment that counted.
    let lost = others.iter().map(|seat| {
        conflict(seat, held.user_id, now).unwrap_or(Conflict {
            seat_number: seat.0,
            reason: Reason::Held,
            reservation_id: None,
        })
    });
    Ok(ReserveError::SeatTaken(lost.collect()))
}
