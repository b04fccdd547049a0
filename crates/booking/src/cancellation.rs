//! Owns giving a reservation back: a hold is ended, a paid reservation is refunded in full.
//!
//! Stands above `reservation` and `payment`, which do not know it. The buyer's lock comes first, so a payment, an expiry
//! and a cancellation of one reservation happen one after another.

use chassis::time::Clock;
use diesel::prelude::*;
use uuid::Uuid;

use crate::audit::{self, Action, Actor};
use crate::crash;
use crate::db::{At, DbError, Id, Tx, fails_with_db, new_id, update};
use crate::outbox::{self, EventType};
use crate::payment::{self, RefundError, Terms};
use crate::reservation::{self, Reservation, ReservationState};
use crate::schema::reservations;

/// What cancelling led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The reservation afterwards.
    pub reservation: Reservation,
    /// Whether this call changed it; the second of two does not.
    pub changed: bool,
    /// What it gave back of a payment, in minor units.
    pub refunded: Option<i64>,
}

/// Why a reservation is not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// The user has no such reservation.
    #[error("no such reservation")]
    ReservationNotFound,
    /// It is paid and the show has started, so it is no longer given back.
    #[error("the show has started")]
    ShowStarted,
    /// It is paid and by the rules of the date it is too late to give it back.
    #[error("it is too late for a refund")]
    TooLate,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(CancelError);

/// What became of a reservation whose date is cancelled.
#[derive(Debug)]
pub(crate) enum CalledOff {
    /// Its hold was ended.
    HoldEnded(Reservation),
    /// It was paid, and this much went back.
    Refunded(Reservation, i64),
    /// Somebody else was faster.
    OverAlready,
}

/// Ends a reservation whose date is cancelled, whenever that is: a hold is ended, what was paid goes back in full.
///
/// Six statements for a hold, fourteen for a paid one.
pub(crate) fn call_off(
    tx: &mut Tx,
    user_id: Uuid,
    id: Uuid,
    by: Actor<'_>,
    clock: &Clock,
) -> Result<CalledOff, DbError> {
    let find = |tx: &mut Tx| {
        let found = reservation::stored(tx, user_id, id)?;
        found.ok_or(DbError::Unexpected("a reservation is gone"))
    };
    let seen = find(tx)?;
    let now = reservation::lock_buyer(tx, seen.schedule_id, user_id, clock)?;
    let held = reservations::table
        .find(Id(id))
        .filter(reservations::state.eq(ReservationState::Held));
    let ended = update(held, reservations::state.eq(ReservationState::Cancelled)).execute(tx)?;
    if ended == 1 {
        reservation::free(tx, &seen)?;
        audit::record(tx, &[seen.change(Action::Cancelled, by)], now)?;
        outbox::record(tx, &[seen.event(EventType::ReservationCancelled)], now)?;
        return Ok(CalledOff::HoldEnded(
            seen.moved_to(ReservationState::Cancelled),
        ));
    }
    let found = find(tx)?;
    if found.state != ReservationState::Confirmed {
        return Ok(CalledOff::OverAlready);
    }
    match payment::refund_rest(tx, found, Terms::Everything, (new_id(now), by), now) {
        Ok(refunded) => Ok(CalledOff::Refunded(refunded.reservation, refunded.amount)),
        Err(RefundError::Db(cause)) => Err(cause),
        Err(RefundError::AlreadyRefunded) => Ok(CalledOff::OverAlready),
        Err(
            RefundError::PaymentNotFound
            | RefundError::ShowStarted
            | RefundError::TooLate
            | RefundError::SeatsUnknown(_)
            | RefundError::TooMuch { .. },
        ) => Err(DbError::Unexpected(
            "a confirmed reservation has no payment",
        )),
    }
}

/// Gives a reservation back; what is over already stays as it is.
///
/// Six statements for a hold: reading it, the buyer's lock, reservation, its seats, audit, outbox. Two and those of a
/// refund for a paid one.
pub fn cancel(
    tx: &mut Tx,
    user_id: Uuid,
    id: Uuid,
    clock: &Clock,
) -> Result<Cancelled, CancelError> {
    let find = |tx: &mut Tx| {
        let found = reservation::stored(tx, user_id, id)?;
        found.ok_or(CancelError::ReservationNotFound)
    };
    let seen = find(tx)?;
    let now = reservation::lock_buyer(tx, seen.schedule_id, user_id, clock)?;
    let live = reservations::table
        .find(Id(id))
        .filter(reservations::state.eq(ReservationState::Held))
        .filter(reservations::hold_expires_at.gt(At(now)));
    let ended = update(live, reservations::state.eq(ReservationState::Cancelled)).execute(tx)?;
    if ended == 1 {
        crash::point("cancel.moved");
        reservation::free(tx, &seen)?;
        crash::point("cancel.freed");
        let change = seen.change(Action::Cancelled, Actor::User(user_id));
        audit::record(tx, &[change], now)?;
        outbox::record(tx, &[seen.event(EventType::ReservationCancelled)], now)?;
        crash::point("cancel.recorded");
        return Ok(Cancelled {
            reservation: seen.moved_to(ReservationState::Cancelled),
            changed: true,
            refunded: None,
        });
    }
    // It may have been paid while this request waited for the lock.
    let found = find(tx)?;
    if found.state != ReservationState::Confirmed {
        return Ok(Cancelled {
            reservation: found.seen_at(now),
            changed: false,
            refunded: None,
        });
    }
    let refunded = found.clone().moved_to(ReservationState::Refunded);
    let by = (new_id(now), Actor::User(user_id));
    match payment::refund_rest(tx, found, Terms::OfDate, by, now) {
        Ok(done) => Ok(Cancelled {
            reservation: refunded,
            changed: true,
            refunded: Some(done.amount),
        }),
        Err(RefundError::AlreadyRefunded) => Ok(Cancelled {
            reservation: refunded,
            changed: false,
            refunded: None,
        }),
        Err(RefundError::PaymentNotFound) => {
            Err(DbError::Unexpected("a confirmed reservation has no payment").into())
        }
        Err(RefundError::ShowStarted) => Err(CancelError::ShowStarted),
        Err(RefundError::TooLate) => Err(CancelError::TooLate),
        Err(RefundError::SeatsUnknown(_) | RefundError::TooMuch { .. }) => {
            Err(DbError::Unexpected("a refund of everything was refused a part").into())
        }
        Err(RefundError::Db(cause)) => Err(cause.into()),
    }
}
