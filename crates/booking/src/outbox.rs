//! Owns the events that other systems read.
//!
//! An event is written in the same transaction as the change that it tells of, so there is never one without the other.
//! Its writer holds the lock on its aggregate, so `seq` within one aggregate is the order of the changes, also
//! over several instances. [`Publisher`] reads this table later; recording knows nothing of it.

mod inspection;
mod lease;
mod publisher;

use chassis::time::Timestamp;
use chassis::trace;
use diesel::prelude::*;
use serde_json::Value;
use uuid::Uuid;

use crate::db::{At, DbError, Id, Tx, insert_rows, new_id, stored_as_text};
use crate::schema::outbox;
pub use inspection::{
    Backlog, DeadLetter, RedeliverError, backlog, dead_letters, forget, mark_dead, redeliver,
    redeliver_oldest,
};
pub(crate) use lease::cut;
pub use lease::{Ended, Ending, Leased, claim, renew, write_endings};
pub use publisher::{Published, Publisher, PublisherOptions};

stored_as_text! {
    /// The type of an event.
    pub enum EventType {
        /// Seats were taken for a while.
        ReservationHeld = "reservation.held",
        /// A hold ended unpaid.
        ReservationExpired = "reservation.expired",
        /// A hold was given back.
        ReservationCancelled = "reservation.cancelled",
        /// A reservation was paid.
        PaymentCaptured = "payment.captured",
        /// A payment was given back.
        PaymentRefunded = "payment.refunded",
        /// A part of a payment was given back.
        PaymentPartiallyRefunded = "payment.partially_refunded",
        /// A hold was made longer.
        ReservationExtended = "reservation.extended",
        /// Money was put into a wallet.
        WalletCharged = "wallet.charged",
        /// An operator moved money.
        WalletCorrected = "wallet.corrected",
        /// A date was cancelled; refunds follow.
        ScheduleCancelled = "schedule.cancelled",
        /// Seats are held for somebody of a waiting list.
        WaitlistOffered = "waitlist.offered",
        /// Such an offer ended unpaid, or sales ended before there was one.
        WaitlistExpired = "waitlist.expired",
    }
}

stored_as_text! {
    /// How far an event has come.
    pub enum EventState {
        /// To be published at `next_attempt_at` or later.
        Pending = "pending",
        /// Published.
        Delivered = "delivered",
        /// Given up after the last attempt.
        Dead = "dead",
    }
}

impl EventType {
    /// What `aggregate_id` is the id of: events of one aggregate are published in their order.
    pub fn aggregate_type(self) -> &'static str {
        match self {
            Self::ReservationHeld
            | Self::ReservationExpired
            | Self::ReservationCancelled
            | Self::PaymentCaptured
            | Self::PaymentRefunded
            | Self::PaymentPartiallyRefunded
            | Self::ReservationExtended => "reservation",
            Self::WalletCharged | Self::WalletCorrected => "wallet",
            Self::ScheduleCancelled => "schedule",
            Self::WaitlistOffered | Self::WaitlistExpired => "waitlist",
        }
    }
}

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its type.
    pub event_type: EventType,
    /// The reservation, the user whose wallet it is, the date, or the entry of a waiting list.
    pub aggregate_id: Uuid,
    /// A JSON object.
    pub payload: Value,
}

/// Writes these events. One statement, none for an empty list.
///
/// Each carries the trace of the request that it is written for, so that one trace leads from a visitor to the
/// system that hears of the sale.
pub fn record(tx: &mut Tx, events: &[Event], now: Timestamp) -> Result<(), DbError> {
    let traceparent = trace::current().map(|context| context.to_string());
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            (
                outbox::id.eq(Id(new_id(now))),
                outbox::aggregate_type.eq(event.event_type.aggregate_type()),
                outbox::aggregate_id.eq(Id(event.aggregate_id)),
                outbox::type_.eq(event.event_type),
                outbox::payload.eq(event.payload.to_string()),
                outbox::state.eq(EventState::Pending),
                outbox::next_attempt_at.eq(At(now)),
                outbox::created_at.eq(At(now)),
                outbox::traceparent.eq(traceparent.clone()),
            )
        })
        .collect();
    insert_rows!(tx, outbox::table, rows.as_slice())?;
    Ok(())
}
