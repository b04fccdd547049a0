//! The verb `refund`: money goes back, all of it or a part, seats with it or not; nothing is deleted.
//!
//! Every refund of a payment is a part with a number of its own, which the refund and the ledger carry, so a part is
//! booked once. All parts of a payment come one after another: the buyer's lock is taken before anything is read.

mod plan;
mod terms;

use chassis::time::{Clock, Timestamp};
use diesel::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::{Payment, PaymentState, find};
use crate::audit::{self, Action, Actor};
use crate::crash;
use crate::db::{At, Conn, DbError, Id, Tx, fails_with_db, update};
use crate::ledger::{self, Cause, Entry};
use crate::outbox::{self, EventType};
use crate::reservation::{self, Reservation, ReservationState};
use crate::schema::{payments, refunds, reservations};
use crate::seat::SeatNumbers;
use crate::wallet;
use plan::{Plan, before, planned};
use terms::percent_at;

/// How much of a payment is to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// All that is left of it, with all its seats.
    Rest,
    /// These seats and what they cost.
    Seats(SeatNumbers),
    /// So much money, in minor units; the seats stay unless it is all that is left.
    Amount(i64),
}

/// A wish to have a payment back.
#[derive(Debug, Clone)]
pub struct Refund {
    /// Id of the refund that it becomes.
    pub refund_id: Uuid,
    /// Who paid.
    pub user_id: Uuid,
    /// What was paid.
    pub payment_id: Uuid,
    /// How much of it.
    pub extent: Extent,
}

/// A refund that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refunded {
    /// Its id.
    pub id: Uuid,
    /// What this refund gave back, in minor units.
    pub amount: i64,
    /// The seats that are free again, ascending.
    pub seat_numbers: Vec<u16>,
    /// The payment afterwards.
    pub payment: Payment,
    /// The reservation as it was before, whose seats they were.
    pub reservation: Reservation,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why nothing was refunded.
#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    /// The user has no such payment.
    #[error("no such payment")]
    PaymentNotFound,
    /// All of it was given back before.
    #[error("already refunded")]
    AlreadyRefunded,
    /// The payment has no such seats, or no longer.
    #[error("not seats of this payment: {0:?}")]
    SeatsUnknown(Vec<u16>),
    /// More money than can be given back now.
    #[error("at most {refundable} can be given back")]
    TooMuch {
        /// How much can be, in minor units.
        refundable: i64,
    },
    /// By the rules of the date it is too late, and was when it was paid.
    #[error("it is too late for a refund")]
    TooLate,
    /// The show has started, so seats are no longer given back.
    #[error("the show has started")]
    ShowStarted,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(RefundError);

/// By which rules money goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terms {
    /// Those of the date, or those that it had when it was paid.
    OfDate,
    /// All of the price, at any time: the seller gives it back.
    Everything,
}

/// Gives back what the wish says.
///
/// Fourteen statements: the date, the buyer's lock, payment, reservation, then those of `give_back`.
pub fn refund(tx: &mut Tx, wish: &Refund, clock: &Clock) -> Result<Refunded, RefundError> {
    let (paid, now) = locked(tx, wish, clock)?;
    let by = (wish.refund_id, Actor::User(wish.user_id));
    give_back(tx, paid, &wish.extent, Terms::OfDate, by, now)
}

/// The same of anybody's payment, for the operator of this name: all of the price, at any time.
pub(crate) fn refund_for(
    tx: &mut Tx,
    wish: &Refund,
    by: &str,
    clock: &Clock,
) -> Result<Refunded, RefundError> {
    let (paid, now) = locked(tx, wish, clock)?;
    let by = (wish.refund_id, Actor::Operator(by));
    give_back(tx, paid, &wish.extent, Terms::Everything, by, now)
}

/// What was paid, read once the buyer is locked. Four statements.
fn locked(
    tx: &mut Tx,
    wish: &Refund,
    clock: &Clock,
) -> Result<((Payment, Reservation), Timestamp), RefundError> {
    let schedule_id = date_of(tx, wish.user_id, wish.payment_id)?;
    let now = reservation::lock_buyer(tx, schedule_id, wish.user_id, clock)?;
    let payment = find(tx, wish.user_id, wish.payment_id)?.ok_or(RefundError::PaymentNotFound)?;
    let reservation = reservation::stored(tx, wish.user_id, payment.reservation_id)?
        .ok_or(DbError::Unexpected("a payment has no reservation"))?;
    Ok(((payment, reservation), now))
}

/// Gives back what is left of a paid reservation. The caller has the buyer's lock.
pub(crate) fn refund_rest(
    tx: &mut Tx,
    reservation: Reservation,
    terms: Terms,
    by: (Uuid, Actor<'_>),
    now: Timestamp,
) -> Result<Refunded, RefundError> {
    let payment: Payment = payments::table
        .filter(payments::reservation_id.eq(Id(reservation.id)))
        .select(Payment::as_select())
        .first(tx)
        .optional()?
        .ok_or(RefundError::PaymentNotFound)?;
    give_back(tx, (payment, reservation), &Extent::Rest, terms, by, now)
}

/// Which date a user's payment is for; that never changes. One statement.
fn date_of(conn: &mut Conn, user_id: Uuid, payment_id: Uuid) -> Result<Uuid, RefundError> {
    let found: Option<Id> = payments::table
        .inner_join(reservations::table)
        .filter(payments::id.eq(Id(payment_id)))
        .filter(payments::user_id.eq(Id(user_id)))
        .select(reservations::schedule_id)
        .first(conn)
        .optional()?;
    found.map(Uuid::from).ok_or(RefundError::PaymentNotFound)
}

/// Ten statements for a payment of which nothing was given back: the rules, reservation, wallet, ledger, payment, refund,
/// its seats twice, audit, outbox. Two more for any other.
fn give_back(
    tx: &mut Tx,
    (payment, reservation): (Payment, Reservation),
    extent: &Extent,
    terms: Terms,
    (refund_id, actor): (Uuid, Actor<'_>),
    now: Timestamp,
) -> Result<Refunded, RefundError> {
    if reservation.state != ReservationState::Confirmed {
        return Err(RefundError::AlreadyRefunded);
    }
    let percent = match terms {
        Terms::Everything => 100,
        Terms::OfDate => percent_at(tx, payment.id, reservation.schedule_id, now)?,
    };
    let before = before(tx, &payment, &reservation)?;
    let plan = planned(&payment, &reservation, before, extent, (terms, percent))?;
    move_on(tx, &reservation, &plan)?;
    crash::point("refund.moved");
    let payment = write(tx, payment, &plan, refund_id, now)?;
    crash::point("refund.booked");
    free(tx, &reservation, &plan, refund_id)?;
    let refunded = Refunded {
        id: refund_id,
        amount: plan.amount,
        seat_numbers: plan.seats.iter().map(|seat| seat.number).collect(),
        payment,
        reservation,
        created_at: now,
    };
    tell(tx, &refunded, plan.is_last, actor, now)?;
    crash::point("refund.recorded");
    Ok(refunded)
}

/// Moves the reservation on: what only one of two refunds of the same seats can do.
fn move_on(tx: &mut Tx, reservation: &Reservation, plan: &Plan) -> Result<(), RefundError> {
    let paid = reservations::table
        .find(Id(reservation.id))
        .filter(reservations::state.eq(ReservationState::Confirmed))
        .filter(reservations::amount.eq(reservation.amount));
    let moved = if plan.is_last {
        update(paid, reservations::state.eq(ReservationState::Refunded)).execute(tx)?
    } else if plan.seats.is_empty() {
        return Ok(());
    } else {
        let price: i64 = plan.seats.iter().map(|seat| seat.price).sum();
        let count = u16::try_from(plan.seats.len()).unwrap_or(u16::MAX);
        let rest = (
            reservations::amount.eq(reservations::amount - price),
            reservations::seat_count.eq(reservations::seat_count - count),
        );
        update(paid, rest).execute(tx)?
    };
    if moved == 1 {
        Ok(())
    } else {
        Err(RefundError::AlreadyRefunded)
    }
}

/// Books the part: wallet and ledger, the payment, the refund.
fn write(
    tx: &mut Tx,
    payment: Payment,
    plan: &Plan,
    refund_id: Uuid,
    now: Timestamp,
) -> Result<Payment, RefundError> {
    let part = plan.part;
    if plan.amount > 0 {
        let (user_id, id) = (payment.user_id, payment.id);
        let entry = Entry::new(user_id, Cause::Refunded, id, plan.amount, now);
        let entry = Entry { part, ..entry };
        wallet::put_in(tx, &entry)?;
        ledger::record(tx, &entry)?;
    }
    let after = Payment {
        refunded_amount: payment.refunded_amount + plan.amount,
        state: if plan.is_last {
            PaymentState::Refunded
        } else {
            PaymentState::PartiallyRefunded
        },
        ..payment
    };
    let before = payments::table
        .find(Id(payment.id))
        .filter(payments::state.eq(payment.state))
        .filter(payments::refunded_amount.eq(payment.refunded_amount));
    let changes = (
        payments::state.eq(after.state),
        payments::refunded_amount.eq(after.refunded_amount),
    );
    if update(before, changes).execute(tx)? == 0 {
        return Err(RefundError::AlreadyRefunded);
    }
    diesel::insert_into(refunds::table)
        .values((
            refunds::id.eq(Id(refund_id)),
            refunds::payment_id.eq(Id(payment.id)),
            refunds::part.eq(part),
            refunds::amount.eq(plan.amount),
            refunds::created_at.eq(At(now)),
        ))
        .execute(tx)?;
    Ok(after)
}

fn free(
    tx: &mut Tx,
    reservation: &Reservation,
    plan: &Plan,
    refund_id: Uuid,
) -> Result<(), RefundError> {
    if plan.seats.is_empty() {
        return Ok(());
    }
    let part = Reservation {
        seats: plan.seats.clone(),
        ..reservation.clone()
    };
    let returned_by = (!plan.is_last).then_some(refund_id);
    if reservation::unsell(tx, &part, returned_by)? == plan.seats.len() {
        Ok(())
    } else {
        Err(DbError::Unexpected("a confirmed reservation does not have its seats").into())
    }
}

/// Writes what happened into the audit log and the outbox.
fn tell(
    tx: &mut Tx,
    refunded: &Refunded,
    is_last: bool,
    actor: Actor<'_>,
    now: Timestamp,
) -> Result<(), DbError> {
    let Refunded {
        id,
        amount,
        seat_numbers,
        payment,
        reservation,
        ..
    } = refunded;
    let part = json!({ "refundId": id, "amount": amount, "seatNumbers": seat_numbers,
        "paymentId": payment.id, "scheduleId": reservation.schedule_id });
    let (action, event_type) = if is_last {
        (Action::Refunded, EventType::PaymentRefunded)
    } else {
        (
            Action::PartiallyRefunded,
            EventType::PaymentPartiallyRefunded,
        )
    };
    let of_payment = payment.change(action, actor);
    let mut changes = vec![audit::Change {
        detail: json!({ "reservationId": reservation.id, "amount": amount, "refundId": id }),
        ..of_payment
    }];
    if !seat_numbers.is_empty() {
        let of_seats = reservation.change(action, actor);
        changes.insert(
            0,
            audit::Change {
                detail: part,
                ..of_seats
            },
        );
    }
    audit::record(tx, &changes, now)?;
    let mut event = payment.event(event_type, reservation);
    event.payload["refund"] = json!({ "id": id, "amount": amount, "seatNumbers": seat_numbers });
    event.payload["refundedAmount"] = json!(payment.refunded_amount);
    outbox::record(tx, &[event], now)
}
