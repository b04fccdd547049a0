//! The table of cron lines, and the steps that they ring.

use std::sync::Arc;

use chassis::schedule::{Ringing, Schedule};
use chassis::server::StartError;
use chrono::TimeDelta;

use crate::Booking;
use crate::db::DbError;
use crate::{idempotency, reconciliation, reservation};

/// Batches of one ring; the rest waits for the next.
const BATCHES_AT_MOST: u32 = 20;
/// How long a repetition gets the first answer.
const KEYS_LIVE: TimeDelta = TimeDelta::hours(24);
/// Keys that one transaction forgets.
const FORGET_BATCH: u32 = 1_000;

/// Begins to ring. Every instance rings; the steps skip each other's rows.
pub async fn start(app: &Arc<Booking>) -> Result<Ringing, StartError> {
    let [sweeper, forgetter, auditor] = [(); 3].map(|()| Arc::clone(app));
    let schedule = Schedule::new()
        .await?
        .ring("sweep", "* * * * * *", move || sweep(Arc::clone(&sweeper)))
        .await?
        .ring("forget", "30 * * * * *", move || {
            forget(Arc::clone(&forgetter))
        })
        .await?
        .ring("reconcile", "15 */10 * * * *", move || {
            reconcile(Arc::clone(&auditor))
        })
        .await?;
    Ok(schedule.start().await?)
}

/// Ends holds that are over, batch by batch.
async fn sweep(app: Arc<Booking>) -> Result<(), DbError> {
    for _ in 0..BATCHES_AT_MOST {
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

/// Forgets keys that nobody will repeat any more, batch by batch.
async fn forget(app: Arc<Booking>) -> Result<(), DbError> {
    for _ in 0..BATCHES_AT_MOST {
        let older_than = app.clock.now() - KEYS_LIVE;
        let forgotten = app
            .db
            .transaction(move |tx| idempotency::forget(tx, older_than, FORGET_BATCH))
            .await?;
        if forgotten < FORGET_BATCH as usize {
            break;
        }
    }
    Ok(())
}

/// Compares the books, and raises the alarm on one unit of difference.
async fn reconcile(app: Arc<Booking>) -> Result<(), DbError> {
    let now = app.clock.now();
    let report = app
        .db
        .read(move |conn| reconciliation::check(conn, now))
        .await?;
    let differences = i64::try_from(report.differences.len()).unwrap_or(i64::MAX);
    app.metrics.differences.set(differences);
    for difference in report.differences {
        log::error!("the books do not agree: {difference:?}");
    }
    Ok(())
}
