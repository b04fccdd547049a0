//! The verb `extend`: a hold lasts longer, once, while others still find free seats.

use chassis::time::{Clock, Timestamp};
use diesel::prelude::*;
use uuid::Uuid;

use super::{Limits, Reservation, ReservationState, buyer, stored};
use crate::audit::{self, Action, Actor};
use crate::crash;
use crate::db::{At, Conn, DbError, Id, Tx, fails_with_db, one_of, update};
use crate::outbox::{self, EventType};
use crate::schema::{reservations, schedules, seats};
use crate::seat::{self, SeatState};

/// Why a hold is not extended.
#[derive(Debug, thiserror::Error)]
pub enum ExtendError {
    /// The user has no such reservation.
    #[error("no such reservation")]
    ReservationNotFound,
    /// The hold is over; the seats may be another buyer's.
    #[error("the hold is over")]
    HoldExpired,
    /// The reservation was given back.
    #[error("the reservation was given back")]
    Cancelled,
    /// The reservation is paid, or was paid and refunded.
    #[error("already paid")]
    AlreadyPaid {
        /// The payment that did it.
        payment_id: Option<Uuid>,
    },
    /// It was extended before.
    #[error("extended before")]
    AlreadyExtended,
    /// The last seats are not kept from others, and none while somebody waits for any.
    #[error("only {free} seats are free")]
    SeatsScarce {
        /// Seats of the date that are free.
        free: i64,
    },
    /// Holds end at the start of the show, or are not extended at all.
    #[error("a hold cannot be longer")]
    NoLonger,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(ExtendError);

/// Makes a hold last longer, once.
///
/// Eight statements: reading it, the buyer's lock, the start of the show, free seats, reservation, seats, audit, outbox.
pub fn extend(
    tx: &mut Tx,
    user_id: Uuid,
    id: Uuid,
    limits: &Limits,
    clock: &Clock,
) -> Result<Reservation, ExtendError> {
    let held = stored(tx, user_id, id)?.ok_or(ExtendError::ReservationNotFound)?;
    let now = buyer::lock(tx, held.schedule_id, user_id, clock)?;
    let (starts_at, waiting): (At, u32) = schedules::table
        .find(Id(held.schedule_id))
        .select((schedules::starts_at, schedules::waiting))
        .first(tx)?;
    let until = (held.hold_expires_at + limits.extension).min(starts_at.0);
    if until <= held.hold_expires_at {
        return Err(ExtendError::NoLonger);
    }
    let free = free_seats(tx, held.schedule_id, now)?;
    if waiting > 0 || free < i64::from(limits.extension_free_seats) {
        return Err(ExtendError::SeatsScarce { free });
    }
    let live = reservations::table
        .find(Id(id))
        .filter(reservations::state.eq(ReservationState::Held))
        .filter(reservations::hold_expires_at.gt(At(now)))
        .filter(reservations::extended_at.is_null());
    let changes = (
        reservations::hold_expires_at.eq(At(until)),
        reservations::extended_at.eq(Some(At(now))),
    );
    if update(live, changes).execute(tx)? == 0 {
        return Err(why_not(tx, user_id, id, now)?);
    }
    crash::point("extend.moved");
    let its = seats::table
        .filter(seats::schedule_id.eq(Id(held.schedule_id)))
        .filter(one_of(seats::number, held.seat_numbers()))
        .filter(seats::reservation_id.eq(Id(id)))
        .filter(seats::state.eq(SeatState::Held));
    let kept = update(its, seats::hold_expires_at.eq(Some(At(until)))).execute(tx)?;
    if kept != held.seats.len() {
        // By the clock of another instance the hold was over, and another buyer took the seats.
        return Err(ExtendError::HoldExpired);
    }
    let extended = Reservation {
        hold_expires_at: until,
        ..held
    };
    let change = extended.change(Action::Extended, Actor::User(user_id));
    audit::record(tx, &[change], now)?;
    outbox::record(tx, &[extended.event(EventType::ReservationExtended)], now)?;
    Ok(extended)
}

fn free_seats(conn: &mut Conn, schedule_id: Uuid, now: Timestamp) -> Result<i64, DbError> {
    let free = seats::table
        .filter(seats::schedule_id.eq(Id(schedule_id)))
        .filter(seat::is_free(now))
        .count()
        .get_result(conn)?;
    Ok(free)
}

fn why_not(
    conn: &mut Conn,
    user_id: Uuid,
    id: Uuid,
    now: Timestamp,
) -> Result<ExtendError, DbError> {
    let Some(found) = stored(conn, user_id, id)? else {
        return Ok(ExtendError::ReservationNotFound);
    };
    let payment_id = found.payment_id;
    Ok(match found.seen_at(now).state {
        ReservationState::Held => ExtendError::AlreadyExtended,
        ReservationState::Expired => ExtendError::HoldExpired,
        ReservationState::Cancelled => ExtendError::Cancelled,
        ReservationState::Confirmed | ReservationState::Refunded => {
            ExtendError::AlreadyPaid { payment_id }
        }
    })
}
