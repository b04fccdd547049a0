//! The table of cron lines, and the steps that they ring.

use std::sync::Arc;

use chassis::schedule::{Ringing, Schedule};
use chassis::server::StartError;
use chrono::TimeDelta;

use crate::Booking;
use crate::db::DbError;
use crate::{idempotency, reservation};

/// Batches of one ring of the sweeper; the rest waits for the next second.
const SWEEPS_AT_MOST: u32 = 20;
/// How long a repetition gets the first answer.
const KEYS_LIVE: TimeDelta = TimeDelta::hours(24);
/// Keys that one statement forgets.
const FORGET_BATCH: u32 = 1_000;

/// Begins to ring. Every instance rings; the steps skip each other's rows.
pub async fn start(app: &Arc<Booking>) -> Result<Ringing, StartError> {
    let (sweeper, forgetter) = (Arc::clone(app), Arc::clone(app));
    let schedule = Schedule::new()
        .await?
        .ring("sweep", "* * * * * *", move || sweep(Arc::clone(&sweeper)))
        .await?
        .ring("forget", "30 * * * * *", move || {
            forget(Arc::clone(&forgetter))
        })
        .await?;
    Ok(schedule.start().await?)
}

/// Ends holds that are over, batch by batch.
async fn sweep(app: Arc<Booking>) -> Result<(), DbError> {
    for _ in 0..SWEEPS_AT_MOST {
        let (now, batch) = (app.clock.now(), app.sweep_batch);
        let expired = app
            .db
            .transaction(move |tx| reservation::expire(tx, now, batch))
            .await?;
        app.metrics.expired.inc_by(expired as u64);
        if expired < batch as usize {
            break;
        }
    }
    Ok(())
}

/// Forgets a batch of keys that nobody will repeat any more.
async fn forget(app: Arc<Booking>) -> Result<(), DbError> {
    let older_than = app.clock.now() - KEYS_LIVE;
    app.db
        .transaction(move |tx| idempotency::forget(tx, older_than, FORGET_BATCH))
        .await
        .map(drop)
}
