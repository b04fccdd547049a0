//! The table of cron lines, and the steps that they trigger.

mod venue;

use std::sync::Arc;
use std::time::Duration;

use chassis::schedule::{RunningSchedule, Schedule};
use chassis::server::StartError;
use chassis::time::{Clock, Timestamp};
use chrono::TimeDelta;
use prometheus::Registry;
use tokio::time::{Instant, sleep_until};

use crate::Booking;
use crate::db::{Db, DbError, Tx};
use crate::forwarder::Endpoint;
use crate::kafka::TopicError;
use crate::metrics::Metrics;
use crate::outbox::Published;
use crate::{forwarder, idempotency, integrity, outbox, reconciliation, reservation};

/// Batches of one run; the rest waits for the next.
const BATCHES_AT_MOST: u32 = 20;
/// How long a repetition gets the first answer.
const KEYS_LIVE: TimeDelta = TimeDelta::hours(24);
/// Rows that one transaction forgets.
const FORGET_BATCH: u32 = 1_000;
/// While there is much to publish, what comes within this time is published together, so that many changes cost few
/// transactions. Where nothing was published for as long, a change does not wait.
const GATHER: Duration = Duration::from_millis(50);

/// Starts the schedule. Every instance runs the steps; the steps skip each other's rows.
pub async fn start(app: &Arc<Booking>, registry: &Registry) -> Result<RunningSchedule, StartError> {
    let [
        sweeper,
        forgetter,
        auditor,
        publisher,
        gauge,
        remover,
        topics,
        sealer,
    ] = [(); 8].map(|()| Arc::clone(app));
    let schedule = Schedule::new(registry)
        .await?
        .trigger("sweep", "* * * * * *", move || sweep(Arc::clone(&sweeper)))
        .await?
        .trigger("forget", "30 * * * * *", move || {
            let older_than = forgetter.clock.now() - KEYS_LIVE;
            forget(forgetter.db.clone(), idempotency::forget, older_than)
        })
        .await?
        .trigger("seal", "* * * * * *", move || seal(Arc::clone(&sealer)))
        .await?
        .trigger("reconcile", "15 */10 * * * *", move || {
            reconcile(Arc::clone(&auditor))
        })
        .await?
        .trigger_with("publish", "* * * * * *", app.events.clone(), move || {
            publish(Arc::clone(&publisher))
        })
        .await?
        .trigger("ensure_topics", "*/10 * * * * *", move || {
            ensure_topics(Arc::clone(&topics))
        })
        .await?
        .trigger("measure_outbox", "*/5 * * * * *", move || {
            measure_outbox(Arc::clone(&gauge))
        })
        .await?
        .trigger("forget_events", "45 * * * * *", move || {
            let older_than = remover.clock.now() - remover.outbox_keep;
            forget(remover.db.clone(), outbox::forget, older_than)
        })
        .await?;
    Ok(venue::add(schedule, app).await?.start().await?)
}

/// Starts the schedule of a forwarder.
pub async fn start_forwarder(
    db: Db,
    clock: Clock,
    keep: TimeDelta,
    registry: &Registry,
) -> Result<RunningSchedule, StartError> {
    let forget = move || forget(db.clone(), forwarder::forget, clock.now() - keep);
    let schedule = Schedule::new(registry)
        .await?
        .trigger("forget_receipts", "45 * * * * *", forget)
        .await?;
    Ok(schedule.start().await?)
}

/// Ends holds that are over, batch by batch.
///
/// # Errors
/// When the database fails; the next run goes on.
pub async fn sweep(app: Arc<Booking>) -> Result<(), DbError> {
    for _ in 0..BATCHES_AT_MOST {
        let (now, batch) = (app.clock.now(), app.sweep_batch);
        let expired = app
            .db
            .transaction(move |tx| reservation::expire(tx, now, batch))
            .await?;
        app.sale.metrics.holds.expired.inc_by(expired as u64);
        if expired > 0 {
            app.events.notify();
        }
        if expired < batch as usize {
            break;
        }
    }
    Ok(())
}

/// Removes rows that are older than they are kept: at most so many, in one transaction, and says how many.
type Forget = fn(&mut Tx, Timestamp, u32) -> Result<usize, DbError>;

/// Removes rows that are older than this, batch by batch: keys that are not repeated any more, events that were delivered,
/// receipts of those that were passed on.
async fn forget(db: Db, step: Forget, older_than: Timestamp) -> Result<(), DbError> {
    for _ in 0..BATCHES_AT_MOST {
        let forgotten = db
            .transaction(move |tx| step(tx, older_than, FORGET_BATCH))
            .await?;
        if forgotten < FORGET_BATCH as usize {
            break;
        }
    }
    Ok(())
}

/// Seals the rows that were written since the last time, batch by batch.
async fn seal(app: Arc<Booking>) -> Result<(), DbError> {
    for _ in 0..BATCHES_AT_MOST {
        if !app.db.read(integrity::is_due).await? {
            break;
        }
        let now = app.clock.now();
        let seal = move |tx: &mut _| integrity::seal(tx, now);
        let sealed = app.db.transaction(seal).await?;
        app.metrics.sealed.inc_by(sealed.rows as u64);
        if !sealed.is_full {
            break;
        }
    }
    let now = app.clock.now();
    let lag = app.db.read(move |conn| integrity::lag(conn, now)).await?;
    app.metrics.seal_lag.set(lag.num_seconds());
    Ok(())
}

/// Compares the books, and raises the alarm on one unit of difference.
async fn reconcile(app: Arc<Booking>) -> Result<(), DbError> {
    let (now, most) = (app.clock.now(), app.sale.limits.seats_per_user);
    let check = move |conn: &mut _| reconciliation::check(conn, now, most);
    let report = app.db.read_for(reconciliation::WITHIN, check).await?;
    let differences = i64::try_from(report.differences.len()).unwrap_or(i64::MAX);
    app.metrics.differences.set(differences);
    for difference in report.differences {
        log::error!("the books do not agree: {difference:?}");
    }
    Ok(())
}

/// Publishes what is due, batch by batch. Without brokers the outbox waits.
async fn publish(app: Arc<Booking>) -> Result<(), DbError> {
    let Some(publisher) = &app.publisher else {
        return Ok(());
    };
    for _ in 0..BATCHES_AT_MOST {
        let begun = Instant::now();
        let published = publisher.round().await?;
        count(&app.metrics, published);
        let is_unusable = publisher.topic_trouble().is_some();
        app.metrics.topic_unusable.set(is_unusable.into());
        if !published.has_more() {
            count(&app.metrics, publisher.end().await?);
            return Ok(());
        }
        if !publisher.is_full(published.taken) {
            sleep_until(begun + GATHER).await;
        }
    }
    count(&app.metrics, publisher.end().await?);
    app.events.notify();
    Ok(())
}

fn count(metrics: &Metrics, published: Published) {
    metrics.published.inc_by(published.delivered as u64);
    metrics.unpublished.inc_by(published.failed as u64);
    metrics.dead_lettered.inc_by(published.dead as u64);
}

/// Counts what waits in the outbox, for the metrics.
async fn measure_outbox(app: Arc<Booking>) -> Result<(), DbError> {
    let backlog = app.db.read(outbox::backlog).await?;
    app.metrics.backlog.set(backlog.pending);
    app.metrics.lag.set(backlog.lag_s(app.clock.now()));
    app.metrics.dead_letters.set(backlog.dead);
    let (now, endpoints) = (app.clock.now(), app.db.read(forwarder::endpoints).await?);
    let longest_s = |since: fn(&Endpoint) -> Option<Timestamp>| {
        let first = endpoints.iter().filter_map(since).min();
        first.map_or(0, |first| (now - first).num_seconds().max(0))
    };
    let metrics = &app.metrics;
    metrics
        .webhook_waiting
        .set(endpoints.iter().map(|it| it.waiting).sum());
    metrics.webhook_oldest.set(longest_s(|it| it.oldest_at));
    metrics
        .webhook_unmeasured
        .set(longest_s(|it| it.measured_at));
    let stopped = endpoints.iter().filter(|it| it.stopped.is_some()).count();
    metrics.webhook_stopped.set(stopped as i64);
    Ok(())
}

/// Makes the topics where they are missing. While the brokers are away there is nothing to say: the lag says it.
async fn ensure_topics(app: Arc<Booking>) -> Result<(), TopicError> {
    let Some(publisher) = &app.publisher else {
        return Ok(());
    };
    match publisher.ensure_topics().await {
        Err(TopicError::Away(cause)) => {
            log::debug!("topics: {cause}");
            Ok(())
        }
        outcome => outcome,
    }
}
