//! The buyer's lock: what one user has of one date is counted and changed under it, one request after another.
//!
//! Every verb that does either takes this lock first and reads the time after it, so a deadline is never judged by a
//! time that went by while the verb waited. Two instances whose clocks differ agree all the same: a hold that the limit
//! no longer counts is ended in the same transaction, so a late payment finds it expired by its state, whatever its own
//! clock says.

use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use diesel::prelude::*;
use uuid::Uuid;

use super::{ReservationState, expire};
use crate::db::{At, DbError, Id, Tx, upsert};
use crate::schema::{buyers, reservations};

/// Unpaid holds that are older are forgiven.
const FORGIVEN_AFTER: TimeDelta = TimeDelta::hours(24);

/// What a user has of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holdings {
    /// Seats that are bought, or held and not over.
    pub seats: usize,
    /// Holds since the last payment, of the last 24 hours.
    pub unpaid_in_a_row: usize,
}

/// Locks the buyer until the transaction ends, and reads the time under the lock. One statement.
pub(crate) fn lock(
    tx: &mut Tx,
    schedule_id: Uuid,
    user_id: Uuid,
    clock: &Clock,
) -> Result<Timestamp, DbError> {
    let asked_at = clock.now();
    let buyer = diesel::insert_into(buyers::table).values((
        buyers::schedule_id.eq(Id(schedule_id)),
        buyers::user_id.eq(Id(user_id)),
        buyers::last_seen_at.eq(At(asked_at)),
    ));
    upsert(buyer, buyers::last_seen_at.eq(At(asked_at))).execute(tx)?;
    Ok(clock.now())
}

type Row = (ReservationState, u16, At, At);

/// What the user has at `now`, under the lock; a hold that is over is ended here and not counted. One statement, and
/// those of `expire` when there is such a hold.
pub(super) fn holdings(
    tx: &mut Tx,
    schedule_id: Uuid,
    user_id: Uuid,
    now: Timestamp,
) -> Result<Holdings, DbError> {
    let rows: Vec<Row> = reservations::table
        .filter(reservations::schedule_id.eq(Id(schedule_id)))
        .filter(reservations::user_id.eq(Id(user_id)))
        .order(reservations::id.desc())
        .select((
            reservations::state,
            reservations::seat_count,
            reservations::hold_expires_at,
            reservations::created_at,
        ))
        .load(tx)?;
    let is_over = |(state, _, over, _): &&Row| *state == ReservationState::Held && over.0 <= now;
    if rows.iter().any(|row| is_over(&row)) {
        expire::end_of_buyer(tx, schedule_id, user_id, now)?;
    }
    let has = |row: &&Row| {
        matches!(row.0, ReservationState::Held | ReservationState::Confirmed) && !is_over(row)
    };
    let unpaid = |row: &&Row| {
        let paid = matches!(
            row.0,
            ReservationState::Confirmed | ReservationState::Refunded
        );
        !paid && now - row.3.0 < FORGIVEN_AFTER
    };
    Ok(Holdings {
        seats: rows.iter().filter(has).map(|row| usize::from(row.1)).sum(),
        unpaid_in_a_row: rows.iter().take_while(unpaid).count(),
    })
}
