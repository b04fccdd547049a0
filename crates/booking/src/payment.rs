//! Owns payments: money against seats, all of it or nothing, and the way back.
//!
//! Paying and expiring exclude each other: each begins by moving the reservation on from *held*, and only one can. The
//! loser gets a final answer and an untouched wallet. Order of locks: reservation, wallet, payment, seats by number.

mod refund;

use chassis::time::Timestamp;
use diesel::prelude::*;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, Action, Actor, Change, Entity};
use crate::crash;
use crate::db::{At, Conn, DbError, Id, Tx, fails_with_db, stored_as_text, update};
use crate::ledger::{self, Cause, Entry};
use crate::outbox::{self, Event, EventType};
use crate::reservation::{self, Reservation, ReservationState};
use crate::schema::{payments, reservations};
use crate::wallet;
pub(crate) use refund::refund_reservation;
pub use refund::{Refund, RefundError, Refunded, refund};

stored_as_text! {
    /// Where the money of a payment is.
    pub enum PaymentState {
        /// With the seller.
        Captured = "captured",
        /// Back in the wallet.
        Refunded = "refunded",
    }
}

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = payments)]
pub struct Payment {
    /// Its id.
    #[diesel(deserialize_as = Id)]
    pub id: Uuid,
    /// What was paid; a reservation is paid at most once.
    #[diesel(deserialize_as = Id)]
    pub reservation_id: Uuid,
    /// Who paid.
    #[diesel(deserialize_as = Id)]
    pub user_id: Uuid,
    /// Minor units.
    pub amount: i64,
    /// Where the money is.
    pub state: PaymentState,
    /// When it was paid.
    #[diesel(deserialize_as = At)]
    pub created_at: Timestamp,
}

/// A wish to pay.
#[derive(Debug, Clone, Copy)]
pub struct Pay {
    /// Id of the payment that it becomes.
    pub payment_id: Uuid,
    /// Who pays.
    pub user_id: Uuid,
    /// What for.
    pub reservation_id: Uuid,
}

/// What paying led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The payment.
    pub payment: Payment,
    /// The seats that are sold are those of this reservation.
    pub reservation: Reservation,
}

/// Why nothing was paid.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The user has no such reservation.
    #[error("no such reservation")]
    ReservationNotFound,
    /// The hold is over; another buyer may have the seats.
    #[error("the hold is over")]
    HoldExpired,
    /// The reservation was given back.
    #[error("the reservation was given back")]
    Cancelled,
    /// The reservation is paid, or was paid and refunded.
    #[error("already paid")]
    AlreadyPaid,
    /// There is not enough money in the wallet.
    #[error("{missing} missing")]
    BalanceShort {
        /// How much more is needed, in minor units.
        missing: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(PayError);

/// Pays a held reservation from the wallet of its user; the seats are then sold.
///
/// Nine statements: reservation, reading it, wallet, ledger, payment, its seats twice, audit, outbox.
pub fn pay(tx: &mut Tx, wish: &Pay, now: Timestamp) -> Result<Paid, PayError> {
    let reservation = confirm(tx, wish, now)?;
    crash::point("pay.confirmed");
    if reservation.amount > 0 {
        debit(tx, &reservation, wish.payment_id, now)?;
    }
    let payment = Payment {
        id: wish.payment_id,
        reservation_id: reservation.id,
        user_id: reservation.user_id,
        amount: reservation.amount,
        state: PaymentState::Captured,
        created_at: now,
    };
    crash::point("pay.booked");
    write(tx, &payment)?;
    crash::point("pay.written");
    if !reservation::sell(tx, &reservation)? {
        // By the clock of another instance the hold was over, and another buyer took the seats.
        return Err(PayError::HoldExpired);
    }
    crash::point("pay.sold");
    let actor = Actor::User(payment.user_id);
    let changes = [
        reservation.change(Action::Confirmed, actor),
        payment.change(Action::Captured, actor),
    ];
    audit::record(tx, &changes, now)?;
    crash::point("pay.audited");
    outbox::record(
        tx,
        &[payment.event(EventType::PaymentCaptured, &reservation)],
        now,
    )?;
    crash::point("pay.recorded");
    Ok(Paid {
        payment,
        reservation,
    })
}

/// A user's own payment; another user's is not found. One statement.
pub fn find(conn: &mut Conn, user_id: Uuid, id: Uuid) -> Result<Option<Payment>, DbError> {
    let found = payments::table
        .find(Id(id))
        .filter(payments::user_id.eq(Id(user_id)))
        .select(Payment::as_select())
        .first(conn)
        .optional()?;
    Ok(found)
}

impl Payment {
    fn change<'a>(&self, action: Action, actor: Actor<'a>) -> Change<'a> {
        let detail = json!({ "reservationId": self.reservation_id, "amount": self.amount });
        Change {
            entity: Entity::Payment,
            entity_id: self.id,
            action,
            actor,
            detail,
        }
    }

    /// Its events belong to the reservation, so that they come after the one that told of the hold.
    fn event(&self, event_type: EventType, reservation: &Reservation) -> Event {
        let mut payload = reservation.described();
        payload["paymentId"] = json!(self.id);
        Event {
            event_type,
            aggregate_id: self.reservation_id,
            payload,
        }
    }
}

/// Moves the hold on: mine, held, not over. The row count decides.
fn confirm(tx: &mut Tx, wish: &Pay, now: Timestamp) -> Result<Reservation, PayError> {
    let mine = reservations::table
        .find(Id(wish.reservation_id))
        .filter(reservations::user_id.eq(Id(wish.user_id)))
        .filter(reservations::state.eq(ReservationState::Held))
        .filter(reservations::hold_expires_at.gt(At(now)));
    let confirmed =
        update(mine, reservations::state.eq(ReservationState::Confirmed)).execute(tx)?;
    let reservation = reservation::stored(tx, wish.user_id, wish.reservation_id)?
        .ok_or(PayError::ReservationNotFound)?;
    if confirmed == 1 {
        return Ok(reservation);
    }
    Err(match reservation.state {
        ReservationState::Held | ReservationState::Expired => PayError::HoldExpired,
        ReservationState::Confirmed | ReservationState::Refunded => PayError::AlreadyPaid,
        ReservationState::Cancelled => PayError::Cancelled,
    })
}

fn debit(
    tx: &mut Tx,
    reservation: &Reservation,
    payment_id: Uuid,
    now: Timestamp,
) -> Result<(), PayError> {
    let Reservation {
        user_id, amount, ..
    } = *reservation;
    if !wallet::take_out(tx, user_id, amount)? {
        let missing = amount - wallet::balance(tx, user_id)?;
        // A charge may have come in since; then the next try succeeds, and this one still says a sane number.
        return Err(PayError::BalanceShort {
            missing: missing.max(1),
        });
    }
    crash::point("pay.debited");
    ledger::record(
        tx,
        &Entry::new(user_id, Cause::Captured, payment_id, amount, now),
    )?;
    Ok(())
}

fn write(tx: &mut Tx, payment: &Payment) -> Result<(), DbError> {
    diesel::insert_into(payments::table)
        .values((
            payments::id.eq(Id(payment.id)),
            payments::reservation_id.eq(Id(payment.reservation_id)),
            payments::user_id.eq(Id(payment.user_id)),
            payments::amount.eq(payment.amount),
            payments::state.eq(payment.state),
            payments::created_at.eq(At(payment.created_at)),
        ))
        .execute(tx)?;
    Ok(())
}
