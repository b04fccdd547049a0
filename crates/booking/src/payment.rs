//! Owns payments: money against seats, all of it or nothing, and the way back.
//!
//! Paying and expiring exclude each other: each begins by moving the reservation on from *held*, and only one can. The
//! loser gets a final answer and an untouched wallet. Order of locks: buyer, then reservation, wallet and seats in one
//! statement, payment.
//! The deadline is judged by the time under the buyer's lock, so a payment that waited is judged as late as it is.

mod refund;
mod register;

use chassis::time::{Clock, Timestamp};
use diesel::prelude::*;
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, Action, Actor, Change, Entity};
use crate::concert::Promise;
use crate::crash;
use crate::db::{At, Conn, DbError, Id, Tx, fails_with_db, stored_as_text};
use crate::ledger::{self, Cause, Entry};
use crate::outbox::{self, Event, EventType};
use crate::reservation::{self, OfDate, Reservation, ReservationState, SaleOfHold};
use crate::schema::payments;
use crate::wallet;
pub use refund::{Extent, Refund, RefundError, Refunded, refund};
pub(crate) use refund::{Terms, refund_for, refund_rest};
pub use register::{MadeRefund, any, of_date, of_user, refunds_of_user};

chassis::catalogue! {
    /// What has happened to payments.
    PaymentMetrics;
    /// Reservations that were paid
    payments: IntCounter = "booking_payments_total",
    /// Money that was captured for them, in won
    captured: IntCounter = "booking_captured_won_total",
    /// Seats that were sold by them
    sold: IntCounter = "booking_seats_sold_total",
    /// Payments that were given back, also by giving back a paid reservation
    refunds: IntCounter = "booking_refunds_total",
    /// Money that went back into wallets by them, in won
    refunded: IntCounter = "booking_refunded_won_total",
}

impl PaymentMetrics {
    pub(crate) fn count_refund(&self, amount: i64) {
        self.refunds.inc();
        self.refunded.inc_by(amount.unsigned_abs());
    }

    pub(crate) fn count(&self, paid: &Paid) {
        self.payments.inc();
        self.captured.inc_by(paid.payment.amount.unsigned_abs());
        self.sold.inc_by(paid.reservation.seats.len() as u64);
    }
}

stored_as_text! {
    /// Where the money of a payment is.
    pub enum PaymentState {
        /// With the seller.
        Captured = "captured",
        /// A part of it is back in the wallet.
        PartiallyRefunded = "partially_refunded",
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
    /// What was paid, in minor units.
    pub amount: i64,
    /// What was given back of it so far, in minor units.
    pub refunded_amount: i64,
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
    /// The queue before the concert.
    pub queue: String,
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
    AlreadyPaid {
        /// The payment that did it.
        payment_id: Option<Uuid>,
    },
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
/// Seven statements: reading the reservation, the buyer's lock, the reservation with its seats and the wallet, ledger,
/// payment, audit, outbox.
pub fn pay(tx: &mut Tx, wish: &Pay, clock: &Clock) -> Result<Paid, PayError> {
    let (reservation, OfDate { queue, promise }) = find_held(tx, wish)?;
    let now = reservation::lock_buyer(tx, reservation.schedule_id, wish.user_id, clock)?;
    crash::point("pay.lined-up");
    // The stored end may be later than the start of the show, if that was moved while the hold was made.
    if reservation.hold_expires_at <= now {
        return Err(why_not(tx, &reservation, now)?);
    }
    let entry = price_of(&reservation, wish.payment_id, now);
    confirm(tx, &reservation, entry.as_ref(), now)?;
    crash::point("pay.sold");
    if let Some(entry) = &entry {
        ledger::record(tx, entry)?;
    }
    let payment = Payment {
        id: wish.payment_id,
        reservation_id: reservation.id,
        user_id: reservation.user_id,
        amount: reservation.amount,
        refunded_amount: 0,
        state: PaymentState::Captured,
        created_at: now,
    };
    crash::point("pay.booked");
    write(tx, &payment, promise)?;
    crash::point("pay.written");
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
    let reservation = Reservation {
        payment_id: Some(payment.id),
        ..reservation.moved_to(ReservationState::Confirmed)
    };
    Ok(Paid {
        payment,
        reservation,
        queue,
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

/// The reservation as it is before anything is locked; what pays it does not change later.
fn find_held(conn: &mut Conn, wish: &Pay) -> Result<(Reservation, OfDate), PayError> {
    reservation::stored_with_date(conn, wish.user_id, wish.reservation_id)?
        .ok_or(PayError::ReservationNotFound)
}

/// What a reservation costs, as it goes out of the wallet of its user; nothing where its seats are free.
fn price_of(reservation: &Reservation, payment_id: Uuid, now: Timestamp) -> Option<Entry> {
    let Reservation {
        user_id, amount, ..
    } = *reservation;
    (amount > 0).then(|| Entry::new(user_id, Cause::Captured, payment_id, amount, now))
}

/// Moves the hold on, sells its seats and takes the money.
fn confirm(
    tx: &mut Tx,
    reservation: &Reservation,
    entry: Option<&Entry>,
    now: Timestamp,
) -> Result<(), PayError> {
    match reservation::sell(tx, reservation, entry, now)? {
        SaleOfHold::Done => Ok(()),
        // By the clock of another instance the hold was over, and another buyer took the seats.
        SaleOfHold::Short => Err(PayError::HoldExpired),
        SaleOfHold::Nothing => Err(why_not(tx, reservation, now)?),
    }
}

/// Why a payment changed nothing. The buyer is locked, so what the reservation is it will stay.
fn why_not(tx: &mut Tx, reservation: &Reservation, now: Timestamp) -> Result<PayError, PayError> {
    let found = reservation::stored(tx, reservation.user_id, reservation.id)?
        .ok_or(PayError::ReservationNotFound)?;
    Ok(match found.state {
        ReservationState::Held if found.hold_expires_at > now => {
            let missing = found.amount - wallet::balance(tx, found.user_id)?;
            if !reservation::has_all(tx, &found)? {
                return Ok(PayError::HoldExpired);
            }
            // A charge may have come in since; then the next try succeeds, and this one still says a sane number.
            PayError::BalanceShort {
                missing: missing.max(1),
            }
        }
        ReservationState::Held | ReservationState::Expired => PayError::HoldExpired,
        ReservationState::Confirmed | ReservationState::Refunded => PayError::AlreadyPaid {
            payment_id: found.payment_id,
        },
        ReservationState::Cancelled => PayError::Cancelled,
    })
}

/// The promise stays with the payment: what the rules are later may only be better.
fn write(tx: &mut Tx, payment: &Payment, promise: Promise) -> Result<(), DbError> {
    diesel::insert_into(payments::table)
        .values((
            payments::id.eq(Id(payment.id)),
            payments::reservation_id.eq(Id(payment.reservation_id)),
            payments::user_id.eq(Id(payment.user_id)),
            payments::amount.eq(payment.amount),
            payments::state.eq(payment.state),
            payments::created_at.eq(At(payment.created_at)),
            payments::refund_full_until.eq(At(promise.full_until)),
            payments::refund_share_until.eq(At(promise.share_until)),
            payments::refund_share_percent.eq(Some(promise.share_percent)),
        ))
        .execute(tx)?;
    Ok(())
}
