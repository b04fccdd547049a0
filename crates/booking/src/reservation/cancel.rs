//! The verb `cancel`: a hold is given back, a paid reservation is refunded in full.

use chassis::time::Timestamp;
use diesel::prelude::*;
use uuid::Uuid;

use super::{Reservation, ReservationState, as_of, seats, stored};
use crate::audit::{self, Action, Actor};
use crate::db::{At, DbError, Id, Tx, fails_with_db, new_id, update};
use crate::outbox::{self, EventType};
use crate::payment::{self, RefundError};
use crate::schema::reservations;

/// What cancelling led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The reservation afterwards.
    pub reservation: Reservation,
    /// Whether this call changed it; the second of two does not.
    pub changed: bool,
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
    /// The wallet has no room for the money.
    #[error("the wallet has no room for the refund")]
    BalanceLimit,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(CancelError);

/// Gives a reservation back; what is over already stays as it is.
///
/// Five statements for a hold: reservation, reading it, its seats, audit, outbox. Two and those of a refund for a
/// paid one.
pub fn cancel(
    tx: &mut Tx,
    user_id: Uuid,
    id: Uuid,
    now: Timestamp,
) -> Result<Cancelled, CancelError> {
    let mine = reservations::table
        .find(Id(id))
        .filter(reservations::user_id.eq(Id(user_id)))
        .filter(reservations::state.eq(ReservationState::Held))
        .filter(reservations::hold_expires_at.gt(At(now)));
    let given_back =
        update(mine, reservations::state.eq(ReservationState::Cancelled)).execute(tx)?;
    let reservation = stored(tx, user_id, id)?.ok_or(CancelError::ReservationNotFound)?;
    if given_back == 1 {
        seats::free(tx, &reservation)?;
        audit::record(
            tx,
            &[reservation.change(Action::Cancelled, Actor::User(user_id))],
            now,
        )?;
        outbox::record(
            tx,
            &[reservation.event(EventType::ReservationCancelled)],
            now,
        )?;
        return Ok(Cancelled {
            reservation,
            changed: true,
        });
    }
    if reservation.state != ReservationState::Confirmed {
        return Ok(Cancelled {
            reservation: as_of(reservation, now),
            changed: false,
        });
    }
    match payment::refund_reservation(tx, reservation.clone(), new_id(now), now) {
        Ok(_) => Ok(Cancelled {
            reservation: Reservation {
                state: ReservationState::Refunded,
                ..reservation
            },
            changed: true,
        }),
        // Another request was faster between the two statements.
        Err(RefundError::AlreadyRefunded) => Ok(Cancelled {
            reservation: Reservation {
                state: ReservationState::Refunded,
                ..reservation
            },
            changed: false,
        }),
        Err(RefundError::PaymentNotFound) => {
            Err(DbError::Unexpected("a confirmed reservation has no payment").into())
        }
        Err(RefundError::ShowStarted) => Err(CancelError::ShowStarted),
        Err(RefundError::BalanceLimit) => Err(CancelError::BalanceLimit),
        Err(RefundError::Db(cause)) => Err(cause.into()),
    }
}
