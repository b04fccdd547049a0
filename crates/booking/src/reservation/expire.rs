//! The sweeper's step: tidies reservations whose hold is over.
//!
//! No buyer waits for it: a seat is free at the instant that its hold ends, tidied or not. The step makes the stored state
//! say so, and records the event. Several instances may take steps at once; they skip each other's rows.

use std::collections::BTreeMap;

use chassis::time::Timestamp;
use diesel::prelude::*;
use uuid::Uuid;

use super::{Reservation, ReservationRow, ReservationState, seats, with_seats};
use crate::audit::{self, Action, Actor};
use crate::db::{At, DbError, Id, Tx};
use crate::outbox::{self, EventType};
use crate::schema::reservations;

/// Expires at most `batch` reservations whose hold is over at `now`, longest over first, and says how many.
///
/// One statement when there is nothing to do, else five and one more for each schedule.
pub fn expire(tx: &mut Tx, now: Timestamp, batch: u32) -> Result<usize, DbError> {
    let over: Vec<ReservationRow> = reservations::table
        .filter(reservations::state.eq(ReservationState::Held))
        .filter(reservations::hold_expires_at.le(At(now)))
        .order(reservations::hold_expires_at)
        .limit(batch.into())
        .for_update()
        .skip_locked()
        .select(ReservationRow::as_select())
        .load(tx)?;
    end(tx, over, now)
}

/// Expires what this user held of this date until `now` or earlier. The caller has the buyer's lock.
///
/// Waits for a sweeper that has a row: it needs no lock of the buyer, so it never waits for the caller.
pub(super) fn end_of_buyer(
    tx: &mut Tx,
    schedule_id: Uuid,
    user_id: Uuid,
    now: Timestamp,
) -> Result<usize, DbError> {
    let over: Vec<ReservationRow> = reservations::table
        .filter(reservations::schedule_id.eq(Id(schedule_id)))
        .filter(reservations::user_id.eq(Id(user_id)))
        .filter(reservations::state.eq(ReservationState::Held))
        .filter(reservations::hold_expires_at.le(At(now)))
        .for_update()
        .select(ReservationRow::as_select())
        .load(tx)?;
    end(tx, over, now)
}

/// Ends holds whose rows are locked.
fn end(tx: &mut Tx, over: Vec<ReservationRow>, now: Timestamp) -> Result<usize, DbError> {
    if over.is_empty() {
        return Ok(0);
    }
    // What is held was never paid.
    let unpaid = over.into_iter().map(|row| (row, None)).collect();
    let expired = with_seats(tx, unpaid)?;
    let ids: Vec<Id> = expired
        .iter()
        .map(|reservation| Id(reservation.id))
        .collect();
    diesel::update(reservations::table)
        .filter(reservations::id.eq_any(&ids))
        .set(reservations::state.eq(ReservationState::Expired))
        .execute(tx)?;
    free_seats(tx, &expired)?;
    let changes: Vec<_> = expired
        .iter()
        .map(|r| r.change(Action::Expired, Actor::Sweeper))
        .collect();
    let events: Vec<_> = expired
        .iter()
        .map(|r| r.event(EventType::ReservationExpired))
        .collect();
    audit::record(tx, &changes, now)?;
    outbox::record(tx, &events, now)?;
    Ok(expired.len())
}

/// Frees the seats that no other reservation has taken over yet, schedule by schedule and by number, the order of all other verbs.
fn free_seats(tx: &mut Tx, expired: &[Reservation]) -> Result<(), DbError> {
    let mut by_schedule: BTreeMap<Uuid, (Vec<u16>, Vec<Id>)> = BTreeMap::new();
    for reservation in expired {
        let (numbers, ids) = by_schedule.entry(reservation.schedule_id).or_default();
        numbers.extend(reservation.seat_numbers());
        ids.push(Id(reservation.id));
    }
    for (schedule_id, (numbers, ids)) in by_schedule {
        seats::free_of_many(tx, schedule_id, &numbers, &ids)?;
    }
    Ok(())
}
