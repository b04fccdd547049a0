//! The table of cron lines. Every gateway runs the steps; the scripts make N runs admit what one would.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::schedule::{RunningSchedule, Schedule};
use chassis::server::StartError;
use chassis::time::Timestamp;

use prometheus::Registry;

use crate::beacon::BeaconError;
use crate::identity::IdentityError;
use crate::queue::{Queue, QueueError, RevealError, each};
use crate::{Gateway, proxy};

/// Bound one run for a queue; what is left waits for the next second, and holds up no other queue.
const MOST_BATCHES: usize = 20;
const LONGEST_RUN: Duration = Duration::from_millis(500);

/// Starts the schedule.
pub async fn start(app: Arc<Gateway>, registry: &Registry) -> Result<RunningSchedule, StartError> {
    let (identifying, keeping) = (app.clone(), app.clone());
    let (admitting, settling, telling) = (app.clone(), app.clone(), app.clone());
    let (comparing, promising, checking) = (app.clone(), app.clone(), app.clone());
    let measuring = app.clone();
    let (asking, adding) = (app.clone(), app.clone());
    let schedule = Schedule::new(registry)
        .await?
        .trigger("admit", "* * * * * *", move || admit(admitting.clone()))
        .await?
        .trigger("check", "*/2 * * * * *", move || check(checking.clone()))
        .await?
        .trigger("measure", "* * * * * *", move || measure(measuring.clone()))
        .await?
        .trigger("beacon", "*/2 * * * * *", move || beacon(asking.clone()))
        .await?
        .trigger("identity", "30 * * * * *", move || {
            identity(identifying.clone())
        })
        .await?
        .trigger("promises", "*/2 * * * * *", move || {
            share_promises(promising.clone())
        })
        .await?
        .trigger("settings", "*/3 * * * * *", move || {
            compare_settings(comparing.clone())
        })
        .await?
        .trigger("settle", "* * * * * *", move || settle(settling.clone()))
        .await?
        .trigger("tell", "* * * * * *", move || tell(telling.clone()))
        .await?
        .trigger("minutes", "5 * * * * *", move || minutes(keeping.clone()))
        .await?
        .trigger("sums", "*/2 * * * * *", move || sums(adding.clone()))
        .await?
        .trigger("refresh", "* * * * * *", move || refresh(app.clone()))
        .await?;
    Ok(schedule.start().await?)
}

/// Step: compares this gateway's settings with those of the others.
pub async fn compare_settings(app: Arc<Gateway>) -> Result<(), QueueError> {
    let settings = &app.settings;
    let others = app
        .queues
        .exchange_settings(settings.gateway(), settings.seals())
        .await?;
    let differing = settings.compare(&others);
    let gauge = &app.trust_metrics.settings_differ;
    gauge.set(i64::try_from(differing).unwrap_or(i64::MAX));
    Ok(())
}

/// Step: adds up with the other gateways how often the time that visitors were told was kept.
pub async fn share_promises(app: Arc<Gateway>) -> Result<(), QueueError> {
    for queue in app.queues.list() {
        let counted = app.fairness.unshared(queue.id());
        queue.count_promises(counted);
        let all = queue.share_promises(counted).await?;
        app.fairness.share(queue.id(), all);
    }
    Ok(())
}

/// Step: fills the free places of every queue.
pub async fn admit(app: Arc<Gateway>) -> Result<(), QueueError> {
    let queues = app.queues.list();
    each(queues.iter().map(fill).collect()).await
}

async fn fill(queue: &Queue) -> Result<(), QueueError> {
    let began = Instant::now();
    for _ in 0..MOST_BATCHES {
        match queue.admit().await {
            Ok(admitted) if admitted.more && began.elapsed() < LONGEST_RUN => {}
            // Removed between the snapshot and now.
            Ok(_) | Err(QueueError::Unknown) => break,
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

/// Step: tells what was measured and heard of the services behind, and finds the rates that are to be.
pub async fn measure(app: Arc<Gateway>) -> Result<(), QueueError> {
    let queues = app.queues.list();
    each(queues.iter().map(|it| measure_one(&app, it)).collect()).await
}

async fn measure_one(app: &Gateway, queue: &Queue) -> Result<(), QueueError> {
    queue.tell_stock().await?;
    if let Some(step) = queue.adapt().await? {
        let steps = &app.upstream_metrics.rate_steps;
        steps.with_label_values(&[step.as_str()]).inc();
    }
    Ok(())
}

/// Step: asks the services behind whether they are well, where that was wanted.
pub async fn check(app: Arc<Gateway>) -> Result<(), Infallible> {
    proxy::check(&app.routes().upstreams()).await;
    Ok(())
}

/// Step: asks the beacons that draws wait for. Several gateways may: the first answer is taken.
pub async fn beacon(app: Arc<Gateway>) -> Result<(), BeaconError> {
    let mut outcome = Ok(());
    for queue in app.queues.list() {
        if let Err(cause) = draw_by_beacon(&app, &queue).await {
            // The draws of other queues do not wait for this one.
            outcome = Err(cause);
        }
    }
    outcome
}

async fn draw_by_beacon(app: &Gateway, queue: &Queue) -> Result<(), BeaconError> {
    let named = queue.awaited_beacon();
    let Some(address) = named.and_then(|named| app.beacons.address(&named)) else {
        return Ok(());
    };
    let Some(said) = app.beacons.ask(&address).await? else {
        return Ok(());
    };
    match app.queues.reveal(queue.id(), said).await {
        Ok(()) | Err(RevealError::TooLate) => {}
        Err(cause) => log::warn!("the beacon of {} is not taken: {cause}", queue.id()),
    }
    Ok(())
}

/// Step: keeps the keys of the identity provider young.
pub async fn identity(app: Arc<Gateway>) -> Result<(), IdentityError> {
    app.identity.refresh(app.clock.now()).await
}

/// Step: ends in Redis what ended while it was away.
pub async fn settle(app: Arc<Gateway>) -> Result<(), QueueError> {
    app.visits.settle().await
}

/// Step: tells those who watch their place what is new.
pub async fn tell(app: Arc<Gateway>) -> Result<(), QueueError> {
    app.streams.look().await
}

/// Step: takes the snapshots that all visitors of this gateway are answered from.
pub async fn refresh(app: Arc<Gateway>) -> Result<(), QueueError> {
    if app.store.is_circuit_open() {
        // Also where no visitor asks, it is found out that Redis is back.
        let _ = crate::ping(app.store.clone()).await;
    }
    app.queues.refresh().await?;
    let queues = app.queues.list();
    for queue in &queues {
        app.fairness.observe(queue.id(), &queue.snapshot());
    }
    app.fairness.retain(&queues);
    Ok(())
}

/// Step: keeps the minute of every queue.
pub async fn minutes(app: Arc<Gateway>) -> Result<(), QueueError> {
    let now = app.clock.now();
    let queues = app.queues.list();
    each(queues.iter().map(|queue| keep(queue, now)).collect()).await
}

/// Step: adds what this gateway counted to the sums of the minute of every queue.
pub async fn sums(app: Arc<Gateway>) -> Result<(), QueueError> {
    let now = app.clock.now();
    let queues = app.queues.list();
    each(queues.iter().map(|queue| queue.add_sums(now)).collect()).await
}

async fn keep(queue: &Queue, now: Timestamp) -> Result<(), QueueError> {
    queue.keep_minute(now).await.map(|_| ())
}
