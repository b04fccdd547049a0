//! The steps that a venue needs beside those of the sale: dates that are cancelled, what a payment provider is told, seats
//! that are offered to those who wait.

use std::sync::Arc;

use chassis::schedule::Schedule;
use chassis::server::StartError;

use super::BATCHES_AT_MOST;
use crate::Booking;
use crate::crash;
use crate::db::DbError;
use crate::{programme, venue, waitlist};

/// Adds them to a schedule.
pub(super) async fn add(schedule: Schedule, app: &Arc<Booking>) -> Result<Schedule, StartError> {
    let [canceller, instructor, offerer, gauge] = [(); 4].map(|()| Arc::clone(app));
    let schedule = schedule
        .trigger_with(
            "cancel_dates",
            "* * * * * *",
            app.cancellations.clone(),
            move || cancel_dates(Arc::clone(&canceller)),
        )
        .await?
        .trigger_with(
            "instruct_provider",
            "* * * * * *",
            app.instructions.clone(),
            move || instruct_provider(Arc::clone(&instructor)),
        )
        .await?
        .trigger("measure_venue", "*/5 * * * * *", move || {
            measure(Arc::clone(&gauge))
        })
        .await?
        .trigger("offer_seats", "* * * * * *", move || {
            offer_seats(Arc::clone(&offerer))
        })
        .await?;
    Ok(schedule)
}

/// Counts what waits, for the metrics.
async fn measure(app: Arc<Booking>) -> Result<(), DbError> {
    let waiting = app.db.read(venue::waiting).await?;
    app.venue.show(&waiting, app.clock.now());
    Ok(())
}

/// Goes on with cancelled dates, batch by batch.
async fn cancel_dates(app: Arc<Booking>) -> Result<(), DbError> {
    if !app.db.read(programme::is_cancelling).await? {
        return Ok(());
    }
    for _ in 0..BATCHES_AT_MOST {
        let clock = app.clock.clone();
        let step = app
            .db
            .transaction(move |tx| programme::advance(tx, &clock))
            .await?;
        if !step.worked {
            return Ok(());
        }
        crash::point("cancellation.committed");
        app.events.notify();
        app.venue.called_off.inc_by(step.ended.len() as u64);
        for amount in &step.refunded {
            app.sale.metrics.payments.count_refund(*amount);
        }
        for reservation in &step.ended {
            app.sale.seats_changed(reservation).await;
        }
    }
    app.cancellations.notify();
    Ok(())
}

/// Tells the payment provider what is due, batch by batch.
async fn instruct_provider(app: Arc<Booking>) -> Result<(), DbError> {
    let Some(provider) = &app.provider else {
        return Ok(());
    };
    for _ in 0..BATCHES_AT_MOST {
        let (_, more) = provider.step(&app.db, &app.clock).await?;
        if !more {
            return Ok(());
        }
    }
    app.instructions.notify();
    Ok(())
}

/// Offers seats that came back, date by date, and writes down what became of offers.
async fn offer_seats(app: Arc<Booking>) -> Result<(), DbError> {
    let ended = app.db.read(waitlist::ended_offers).await?;
    if !ended.is_empty() {
        let clock = app.clock.clone();
        let follow_up = move |tx: &mut _| waitlist::follow_up(tx, &ended, &clock);
        let lapsed = app.db.transaction(follow_up).await?;
        app.venue.lapsed.inc_by(lapsed as u64);
        if lapsed > 0 {
            app.events.notify();
        }
    }
    for schedule_id in app.db.read(waitlist::waited_for).await? {
        let (limits, hold) = (app.sale.limits, app.offer_hold);
        let clock = app.clock.clone();
        let offer = move |tx: &mut _| waitlist::offer(tx, schedule_id, &limits, hold, &clock);
        let offered = app.db.transaction(offer).await?;
        app.venue.offers.inc_by(offered.reservations.len() as u64);
        app.venue.lapsed.inc_by(offered.expired as u64);
        if !offered.reservations.is_empty() || offered.expired > 0 {
            app.events.notify();
        }
        for reservation in &offered.reservations {
            app.sale.seats_changed(reservation).await;
        }
    }
    Ok(())
}
