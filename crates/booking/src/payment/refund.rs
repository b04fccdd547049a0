//! The verb `refund`: the money goes back, the seats are free again, and nothing is deleted.

use chassis::time::{Clock, Timestamp};
use diesel::prelude::*;
use uuid::Uuid;

use super::{Payment, PaymentState, find};
use crate::audit::{self, Action, Actor};
use crate::db::{At, DbError, Id, Tx, fails_with_db, update};
use crate::idempotency::{OnceError, Outcome, Request};
use crate::ledger::{self, Cause, Entry};
use crate::outbox::{self, EventType};
use crate::reservation::{self, Reservation, ReservationState};
use crate::sale::Sale;
use crate::schema::{payments, refunds, reservations, schedules};
use crate::wallet;

/// A wish to have a payment back.
#[derive(Debug, Clone, Copy)]
pub struct Refund {
    /// Id of the refund that it becomes.
    pub refund_id: Uuid,
    /// Who paid.
    pub user_id: Uuid,
    /// What was paid.
    pub payment_id: Uuid,
}

/// A refund that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refunded {
    /// Its id.
    pub id: Uuid,
    /// The payment afterwards.
    pub payment: Payment,
    /// The seats that are free again are those of this reservation.
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
    /// The money was given back before.
    #[error("already refunded")]
    AlreadyRefunded,
    /// The show has started, so seats are no longer given back.
    #[error("the show has started")]
    ShowStarted,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

fails_with_db!(RefundError);

impl Sale {
    /// Gives back all of anybody's payment, once, for the operator of this name.
    pub async fn refund_for(
        &self,
        wish: Refund,
        by: String,
        request: Request<Refunded>,
    ) -> Result<Outcome<Refunded>, OnceError<RefundError>> {
        let clock = self.clock.clone();
        let act = move |tx: &mut _| {
            let (reservation, now) = locked(tx, &wish, &clock)?;
            refund_any(tx, reservation, wish.refund_id, Actor::Operator(&by), now)
        };
        let outcome = request.run(&self.db, &self.clock, act).await?;
        self.after(&outcome).await;
        Ok(outcome)
    }

    /// Gives back all of a payment, once: the money is in the wallet and the seats are free.
    pub async fn refund(
        &self,
        wish: Refund,
        request: Request<Refunded>,
    ) -> Result<Outcome<Refunded>, OnceError<RefundError>> {
        let clock = self.clock.clone();
        let act = move |tx: &mut _| refund(tx, &wish, &clock);
        let outcome = request.run(&self.db, &self.clock, act).await?;
        self.after(&outcome).await;
        Ok(outcome)
    }

    async fn after(&self, outcome: &Outcome<Refunded>) {
        if let Some(refunded) = outcome.fresh() {
            self.metrics.payments.count_refund(refunded.payment.amount);
            self.seats_changed(&refunded.reservation).await;
        }
    }
}

/// Gives back all of a payment, once.
///
/// Fourteen statements: payment, reservation, the buyer's lock, then those of `refund_reservation`.
pub fn refund(tx: &mut Tx, wish: &Refund, clock: &Clock) -> Result<Refunded, RefundError> {
    let (reservation, now) = locked(tx, wish, clock)?;
    refund_reservation(tx, reservation, wish.refund_id, now)
}

/// What was paid, once the buyer is locked. Three statements.
fn locked(
    tx: &mut Tx,
    wish: &Refund,
    clock: &Clock,
) -> Result<(Reservation, Timestamp), RefundError> {
    let payment = find(tx, wish.user_id, wish.payment_id)?.ok_or(RefundError::PaymentNotFound)?;
    let reservation = reservation::stored(tx, wish.user_id, payment.reservation_id)?
        .ok_or(DbError::Unexpected("a payment has no reservation"))?;
    let now = reservation::lock_buyer(tx, reservation.schedule_id, wish.user_id, clock)?;
    Ok((reservation, now))
}

/// Gives back what was paid for a reservation, once, until the show starts. The caller has the buyer's lock.
///
/// Eleven statements: start of the show, reservation, reading the payment, wallet, ledger, payment, refund, seats twice,
/// audit, outbox.
pub(crate) fn refund_reservation(
    tx: &mut Tx,
    reservation: Reservation,
    refund_id: Uuid,
    now: Timestamp,
) -> Result<Refunded, RefundError> {
    let starts_at: At = schedules::table
        .find(Id(reservation.schedule_id))
        .select(schedules::starts_at)
        .first(tx)?;
    let actor = Actor::User(reservation.user_id);
    let refunded = refund_any(tx, reservation, refund_id, actor, now)?;
    if starts_at.0 <= now {
        return Err(RefundError::ShowStarted);
    }
    Ok(refunded)
}

/// The same at any time, for whom it is not the customer who asks.
pub(crate) fn refund_any(
    tx: &mut Tx,
    reservation: Reservation,
    refund_id: Uuid,
    by: Actor<'_>,
    now: Timestamp,
) -> Result<Refunded, RefundError> {
    // Moving the reservation on is what only one of two refunds can do.
    let paid = reservations::table
        .find(Id(reservation.id))
        .filter(reservations::state.eq(ReservationState::Confirmed));
    let moved = update(paid, reservations::state.eq(ReservationState::Refunded)).execute(tx)?;
    if moved == 0 {
        return Err(RefundError::AlreadyRefunded);
    }
    let payment: Payment = payments::table
        .filter(payments::reservation_id.eq(Id(reservation.id)))
        .select(Payment::as_select())
        .first(tx)?;
    credit(tx, &payment, now)?;
    write(tx, &payment, refund_id, now)?;
    if reservation::unsell(tx, &reservation)? != reservation.seats.len() {
        return Err(DbError::Unexpected("a confirmed reservation does not have its seats").into());
    }
    let reservation = Reservation {
        state: ReservationState::Refunded,
        ..reservation
    };
    let payment = Payment {
        state: PaymentState::Refunded,
        ..payment
    };
    let changes = [
        reservation.change(Action::Refunded, by),
        payment.change(Action::Refunded, by),
    ];
    audit::record(tx, &changes, now)?;
    outbox::record(
        tx,
        &[payment.event(EventType::PaymentRefunded, &reservation)],
        now,
    )?;
    Ok(Refunded {
        id: refund_id,
        payment,
        reservation,
        created_at: now,
    })
}

/// The entry the other way round; the captured one stays. It goes in however full the wallet is.
fn credit(tx: &mut Tx, payment: &Payment, now: Timestamp) -> Result<(), DbError> {
    let Payment {
        id,
        user_id,
        amount,
        ..
    } = *payment;
    if amount == 0 {
        return Ok(());
    }
    wallet::put_in(tx, user_id, amount, now)?;
    ledger::record(tx, &Entry::new(user_id, Cause::Refunded, id, amount, now))?;
    Ok(())
}

fn write(
    tx: &mut Tx,
    payment: &Payment,
    refund_id: Uuid,
    now: Timestamp,
) -> Result<(), RefundError> {
    let captured = payments::table
        .find(Id(payment.id))
        .filter(payments::state.eq(PaymentState::Captured));
    let moved = update(captured, payments::state.eq(PaymentState::Refunded)).execute(tx)?;
    if moved == 0 {
        return Err(RefundError::AlreadyRefunded);
    }
    diesel::insert_into(refunds::table)
        .values((
            refunds::id.eq(Id(refund_id)),
            refunds::payment_id.eq(Id(payment.id)),
            refunds::amount.eq(payment.amount),
            refunds::created_at.eq(At(now)),
        ))
        .execute(tx)?;
    Ok(())
}
