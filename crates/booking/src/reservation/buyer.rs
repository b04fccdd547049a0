//! The buyer's lock: what one user has of one date is counted and changed under it, one request after another.
//!
//! Every verb that does either takes this lock first and reads the time after it, so a deadline is never judged by a
//! time that went by while the verb waited. Two instances whose clocks differ agree all the same: a hold that the limit
//! no longer counts is ended in the same transaction, so a late payment finds it expired by its state, whatever its own
//! clock says.

use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Datetime};
use uuid::Uuid;

use super::{ReservationState, expire};
use crate::db::{At, Conn, DbError, Id, Tx, kept};
use crate::schema::reservations;

/// Unpaid holds that are older are forgiven.
const FORGIVEN_AFTER: TimeDelta = TimeDelta::hours(24);

/// What a user has of a date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    /// Seats that are bought, or held and not over.
    pub seats: usize,
    /// Holds since the last payment, of the last 24 hours.
    pub unpaid_in_a_row: usize,
}

/// Who was seen before is seen later now: the update always changes its row, so one that is new can be told by the count.
const SEEN: &str = "INSERT INTO buyers (schedule_id, user_id, last_seen_at) VALUES (?, ?, ?) \
    ON DUPLICATE KEY UPDATE last_seen_at = GREATEST(?, last_seen_at + INTERVAL 1 MICROSECOND)";

/// Locks the buyer until the transaction ends, and reads the time under the lock. One statement.
pub(crate) fn lock(
    tx: &mut Tx,
    schedule_id: Uuid,
    user_id: Uuid,
    clock: &Clock,
) -> Result<Timestamp, DbError> {
    line_up(tx, schedule_id, user_id, clock).map(|(now, _)| now)
}

/// What a buyer who is locked has at `now`, read after the lock. One statement, and those of `expire` where a hold is over: it
/// is ended here and not counted.
pub(super) fn tidied(
    tx: &mut Tx,
    schedule_id: Uuid,
    user_id: Uuid,
    now: Timestamp,
) -> Result<Holdings, DbError> {
    let rows = rows(tx, schedule_id, user_id)?;
    if rows.iter().any(|row| is_over(row, now)) {
        expire::end_of_buyer(tx, schedule_id, user_id, now)?;
    }
    Ok(counted(&rows, now))
}

/// What they have, without a lock. One statement.
pub(super) fn count(
    conn: &mut Conn,
    schedule_id: Uuid,
    user_id: Uuid,
    now: Timestamp,
) -> Result<Holdings, DbError> {
    Ok(counted(&rows(conn, schedule_id, user_id)?, now))
}

/// The same, and whether this buyer was never seen before. Such a one has nothing of the date: each reservation was made by a
/// buyer who was locked, and their row stays as long as the date.
pub(super) fn line_up(
    tx: &mut Tx,
    schedule_id: Uuid,
    user_id: Uuid,
    clock: &Clock,
) -> Result<(Timestamp, bool), DbError> {
    let asked_at = At(clock.now());
    let seen = kept(SEEN)
        .bind_all::<Binary, _>(&[Id(schedule_id), Id(user_id)])
        .bind_all::<Datetime, _>(&[asked_at, asked_at])
        .execute(tx)?;
    // One row is counted for an insert and two for an update.
    Ok((clock.now(), seen == 1))
}

type Row = (ReservationState, u16, At, At);

fn rows(conn: &mut Conn, schedule_id: Uuid, user_id: Uuid) -> Result<Vec<Row>, DbError> {
    let rows = reservations::table
        .filter(reservations::schedule_id.eq(Id(schedule_id)))
        .filter(reservations::user_id.eq(Id(user_id)))
        .order(reservations::id.desc())
        .select((
            reservations::state,
            reservations::seat_count,
            reservations::hold_expires_at,
            reservations::created_at,
        ))
        .load(conn)?;
    Ok(rows)
}

/// Whether it is a hold that ended and is not tidied yet.
fn is_over((state, _, over, _): &Row, now: Timestamp) -> bool {
    *state == ReservationState::Held && over.0 <= now
}

/// Newest first. A hold that is over is not counted.
fn counted(rows: &[Row], now: Timestamp) -> Holdings {
    let has = |row: &&Row| {
        matches!(row.0, ReservationState::Held | ReservationState::Confirmed) && !is_over(row, now)
    };
    let unpaid = |row: &&Row| {
        let paid = matches!(
            row.0,
            ReservationState::Confirmed | ReservationState::Refunded
        );
        !paid && now - row.3.0 < FORGIVEN_AFTER
    };
    Holdings {
        seats: rows.iter().filter(has).map(|row| usize::from(row.1)).sum(),
        unpaid_in_a_row: rows.iter().take_while(unpaid).count(),
    }
}
