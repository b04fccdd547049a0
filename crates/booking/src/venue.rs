//! Owns the figures of what a venue runs beside the sale: orders at a payment provider, the waiting list, dates that are
//! cancelled. What waits is asked of MySQL and is over all instances; what happened is counted by each for itself.

use chassis::time::Timestamp;
use diesel::dsl::min;
use diesel::prelude::*;

use crate::db::{At, Conn, DbError};
use crate::provider::{Confirmed, OrderState};
use crate::schema::{provider_orders, schedule_cancellations, schedules, waitlist_entries};
use crate::waitlist::EntryState;

chassis::catalogue! {
    /// How a venue's own work stands.
    VenueMetrics;
    /// Orders of which the payment provider has not said anything yet, over all instances
    orders: IntGauge = "booking_provider_orders_pending",
    /// For how long the oldest of them has been waiting, in seconds
    oldest_order: IntGauge = "booking_provider_oldest_order_seconds",
    /// Instructions that the payment provider has not taken yet, over all instances
    untold: IntGauge = "booking_provider_untold",
    /// The most tries that one of them has failed
    untold_tries: IntGauge = "booking_provider_untold_tries",
    /// Events of the payment provider, by what they led to
    events: IntCounterVec = "booking_provider_events_total" by "outcome" ["charged", "paid", "voided", "failed", "nothing"],
    /// Places in waiting lists, over all instances
    waiting: IntGauge = "booking_waitlist_waiting",
    /// Offers of seats that are open, over all instances
    open_offers: IntGauge = "booking_waitlist_offers_open",
    /// Offers of seats that this instance has made
    offers: IntCounter = "booking_waitlist_offers_total",
    /// Offers that ended unpaid, and places that ended without one
    lapsed: IntCounter = "booking_waitlist_lapsed_total",
    /// Dates whose cancellation is not done yet, over all instances
    cancellations: IntGauge = "booking_cancellations_open",
    /// For how long the oldest of them has been going on, in seconds
    oldest_cancellation: IntGauge = "booking_cancellation_oldest_seconds",
    /// Reservations of cancelled dates that this instance has ended
    called_off: IntCounter = "booking_called_off_total",
}

/// What waits at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    orders: i64,
    oldest_order: Option<Timestamp>,
    untold: i64,
    untold_tries: i64,
    waiting: i64,
    open_offers: i64,
    cancellations: i64,
    oldest_cancellation: Option<Timestamp>,
}

/// Counts it. Five statements, each along an index.
pub fn waiting(conn: &mut Conn) -> Result<Waiting, DbError> {
    let (orders, oldest_order): (i64, Option<At>) = provider_orders::table
        .filter(provider_orders::state.eq(OrderState::Pending))
        .select((diesel::dsl::count_star(), min(provider_orders::created_at)))
        .first(conn)?;
    let tries: Vec<u32> = provider_orders::table
        .filter(provider_orders::instruction.is_not_null())
        .select(provider_orders::attempts)
        .load(conn)?;
    let waiting: Vec<u32> = schedules::table
        .filter(schedules::waiting.gt(0))
        .select(schedules::waiting)
        .load(conn)?;
    let open_offers = waitlist_entries::table
        .filter(waitlist_entries::state.eq(EntryState::Offered))
        .count()
        .get_result(conn)?;
    let (cancellations, oldest_cancellation): (i64, Option<At>) = schedule_cancellations::table
        .filter(schedule_cancellations::finished_at.is_null())
        .select((
            diesel::dsl::count_star(),
            min(schedule_cancellations::requested_at),
        ))
        .first(conn)?;
    Ok(Waiting {
        orders,
        oldest_order: oldest_order.map(Timestamp::from),
        untold: tries.len() as i64,
        untold_tries: tries.into_iter().max().unwrap_or_default().into(),
        waiting: waiting.into_iter().map(i64::from).sum(),
        open_offers,
        cancellations,
        oldest_cancellation: oldest_cancellation.map(Timestamp::from),
    })
}

impl VenueMetrics {
    /// Shows what waits at this instant.
    pub fn show(&self, waiting: &Waiting, now: Timestamp) {
        let age_s =
            |since: Option<Timestamp>| since.map_or(0, |since| (now - since).num_seconds().max(0));
        self.orders.set(waiting.orders);
        self.oldest_order.set(age_s(waiting.oldest_order));
        self.untold.set(waiting.untold);
        self.untold_tries.set(waiting.untold_tries);
        self.waiting.set(waiting.waiting);
        self.open_offers.set(waiting.open_offers);
        self.cancellations.set(waiting.cancellations);
        self.oldest_cancellation
            .set(age_s(waiting.oldest_cancellation));
    }

    /// Counts what an event of the provider led to.
    pub fn count(&self, confirmed: &Confirmed) {
        let outcome = match confirmed {
            Confirmed::Charged(_) => "charged",
            Confirmed::Paid(_) => "paid",
            Confirmed::Voided => "voided",
            Confirmed::Failed => "failed",
            Confirmed::Nothing => "nothing",
        };
        self.events.with_label_values(&[outcome]).inc();
    }
}
