//! Owns the delivery of events from the topic to a receiver: a consumer group, signed webhooks, once per event.
//!
//! Events with the same key are passed on one after the other, others side by side. An offset is stored when its event
//! and all before it in the partition are passed on, so what a killed forwarder had in hand is read again; receipts then
//! keep it from being sent again. It never stands still unseen: [`Status`] compares what is there with what is read. Must
//! not know what the events are about.

mod assignment;
mod delivery;
mod endpoint;
mod lag;
mod lane;
mod progress;
mod receipt;
mod receipt_batch;
mod webhook;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use chassis::time::Clock;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout_at};

use self::assignment::Assignment;
use self::lag::{Lag, Mark, Watch};
use self::lane::{Job, Lane, Offset, stopped};
use self::progress::Progress;
use crate::config::Forwarding;
use crate::db::Db;
use crate::kafka::{self, Cluster, Message, Producer};
use crate::metrics::ForwardMetrics;
pub use delivery::{Deliverer, Delivery, DeliveryOptions, Outcome};
pub use endpoint::{Endpoint, list as endpoints, resume};
pub use receipt::{
    Claimed, Receipt, claim, claim_all, dead, delivered, delivered_all, failed, forget,
};
pub use webhook::{Reply, Webhook};

/// Events that are passed on side by side.
const LANES: usize = 32;
/// Events in hand at most; then reading pauses until half of them are passed on.
const ROOM: usize = 512;
/// After the consumer said that something is wrong; it recovers by itself.
const READ_PAUSE: Duration = Duration::from_millis(500);
/// How long an answer of theirs is good for.
const MEASURED_FOR: Duration = Duration::from_secs(30);

/// How long it may take to leave the group.
const LEAVE: Duration = Duration::from_secs(10);

/// How a forwarder watches itself.
#[derive(Debug, Clone, Copy)]
pub struct WatchOptions {
    /// How often the brokers are asked how far it is behind. Default 5 s.
    pub every: Duration,
    /// For how long events may be there and not be read, or it may be outside of its group. Default 60 s: longer than a
    /// rebalance takes.
    pub still: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            still: Duration::from_secs(60),
        }
    }
}

/// Why a forwarder cannot even begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The client of the brokers cannot be made as it is configured.
    #[error("no client for the brokers: {0}")]
    Kafka(#[from] KafkaError),
    /// The client of the receiver cannot be made.
    #[error("no client for the receiver: {0}")]
    Webhook(#[from] reqwest::Error),
}

/// A forwarder as it is configured.
pub fn open(
    config: &Forwarding,
    db: Db,
    clock: Clock,
    metrics: ForwardMetrics,
) -> Result<Forwarder, OpenError> {
    let (url, secrets) = (config.webhook_url.clone(), config.webhook_secrets.clone());
    let webhook = Webhook::new(url, secrets, config.webhook_timeout)?;
    let producer = Producer::new(config.cluster.clone())?;
    let options = DeliveryOptions {
        receiver: config.group.clone(),
        refusals: config.webhook_refusals,
        timeout: config.webhook_timeout,
    };
    let deliverer = Deliverer::new(db, clock.clone(), webhook, producer, options);
    let (cluster, group) = (&config.cluster, &config.group);
    Ok(Forwarder::new(cluster, group, deliverer, clock, metrics)?)
}

/// Reads the topic and hands events to the deliverer.
pub struct Forwarder {
    consumer: Arc<StreamConsumer<Assignment>>,
    topic: String,
    deliverer: Arc<Deliverer>,
    clock: Clock,
    metrics: ForwardMetrics,
    status: watch::Sender<Measured>,
    watch: WatchOptions,
}

/// The last measurement.
struct Measured {
    at: Instant,
    /// Why something stands still, or why nothing could be measured.
    trouble: Option<String>,
}

/// Whether a forwarder reads what is there.
#[derive(Clone)]
pub struct Status {
    measured: watch::Receiver<Measured>,
    assignment: Arc<Assignment>,
    still: Duration,
}

impl Status {
    /// A sentence for the operator when it does not.
    pub fn check(&self) -> Result<(), String> {
        let measured = self.measured.borrow();
        if let Some(trouble) = &measured.trouble {
            return Err(trouble.clone());
        }
        if measured.at.elapsed() > MEASURED_FOR {
            return Err("the brokers have not answered for a while".to_owned());
        }
        self.assignment.outside(self.still).map_or(Ok(()), Err)
    }
}

impl Forwarder {
    /// A member of the group. It joins in the background, so this succeeds while the brokers are away.
    pub fn new(
        cluster: &Cluster,
        group: &str,
        deliverer: Deliverer,
        clock: Clock,
        metrics: ForwardMetrics,
    ) -> Result<Self, KafkaError> {
        let assignment = Assignment::new(cluster.context());
        let consumer: StreamConsumer<Assignment> =
            cluster.consumer(group).create_with_context(assignment)?;
        let unmeasured = Measured {
            at: Instant::now(),
            trouble: Some("the brokers have not answered yet".to_owned()),
        };
        Ok(Self {
            consumer: Arc::new(consumer),
            topic: cluster.topic.clone(),
            deliverer: Arc::new(deliverer),
            clock,
            metrics,
            status: watch::Sender::new(unmeasured),
            watch: WatchOptions::default(),
        })
    }

    /// The same, watching itself otherwise.
    pub fn watching(mut self, watch: WatchOptions) -> Self {
        self.watch = watch;
        self
    }

    /// Whether it reads what is there, from now on.
    pub fn status(&self) -> Status {
        Status {
            measured: self.status.subscribe(),
            assignment: Arc::clone(self.consumer.context()),
            still: self.watch.still,
        }
    }

    /// Passes events on until `stop` says true; tries that run are finished, and what was done is committed.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        if let Err(cause) = self.deliverer.ensure_topics().await {
            // The publisher makes them too; until then there is nothing to read.
            log::warn!("{cause}");
        }
        if let Err(cause) = self.consumer.subscribe(&[&self.topic]) {
            log::error!("the topic cannot be subscribed to: {cause}");
        }
        let mut lanes = JoinSet::new();
        let (entrances, mut finished) = self.open_lanes(&mut lanes, &stop);
        let (measured, mut marks) = mpsc::unbounded_channel();
        let mut measuring = interval(self.watch.every);
        measuring.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.consumer.context().changes();
        let (mut progress, mut watch) = (Progress::default(), Watch::new(self.watch.still));
        let mut is_measuring = false;
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(done) = finished.recv() => self.note(&mut progress, done),
                Ok(()) = changes.changed() => {
                    progress.keep(|owned| self.consumer.context().holds(owned));
                }
                _ = measuring.tick(), if !is_measuring => {
                    is_measuring = true;
                    self.measure(measured.clone());
                }
                Some(found) = marks.recv() => {
                    is_measuring = false;
                    self.report(found, &progress, &mut watch);
                }
                read = self.consumer.recv() => match read {
                    Ok(message) => self.begin(&message, &mut progress, &entrances),
                    Err(cause) => {
                        self.metrics.read_errors.inc();
                        log::warn!("reading events: {cause}");
                        sleep(READ_PAUSE).await;
                    }
                },
            }
            self.metrics.in_hand.set(progress.in_flight() as i64);
            self.make_room(&progress);
        }
        drop(entrances);
        while let Some(done) = finished.recv().await {
            self.note(&mut progress, done);
        }
        while lanes.join_next().await.is_some() {}
        let measured = async {
            if is_measuring {
                marks.recv().await;
            }
        };
        leave(self.consumer, measured).await;
    }

    fn open_lanes(
        &self,
        lanes: &mut JoinSet<()>,
        stop: &watch::Receiver<bool>,
    ) -> (Vec<Entrance>, mpsc::UnboundedReceiver<Offset>) {
        let (done, finished) = mpsc::unbounded_channel();
        let entrances = (0..LANES).map(|_| {
            let (entrance, jobs) = mpsc::unbounded_channel();
            let lane = Lane {
                deliverer: Arc::clone(&self.deliverer),
                assignment: Arc::clone(self.consumer.context()),
                metrics: self.metrics.clone(),
                done: done.clone(),
                stop: stop.clone(),
            };
            lanes.spawn(lane.run(jobs));
            entrance
        });
        (entrances.collect(), finished)
    }

    fn begin(&self, read: &BorrowedMessage<'_>, progress: &mut Progress, entrances: &[Entrance]) {
        // What was read just before the partition was lost is the next owner's.
        let Some(owned) = self.consumer.context().owned(read.partition()) else {
            return;
        };
        let offset = read.offset();
        progress.begin(owned, offset, read.timestamp().to_millis());
        let job = Job {
            delivery: Delivery::new(message(read)),
            at: Offset { owned, offset },
        };
        // A lane ends only when its entrance is closed, which is at the end of the run.
        let _ = entrances[lane_of(read)].send(job);
    }

    /// Stores how far everything is done; the consumer commits what is stored, at the latest when it leaves.
    fn note(&self, progress: &mut Progress, done: Offset) {
        let Some(offset) = progress.end(done.owned, done.offset) else {
            return;
        };
        let partition = done.owned.partition;
        if let Err(cause) = self.consumer.store_offset(&self.topic, partition, offset) {
            // The partition is another forwarder's by now, which will read the event again and find its receipt.
            log::debug!("offset {offset} of partition {partition} is not stored: {cause}");
        }
    }

    /// Pauses reading when much is in hand. The consumer is still asked, so that it stays in its group.
    fn make_room(&self, progress: &Progress) {
        let assignment = self.consumer.context();
        let full = progress.in_flight() >= ROOM;
        let roomy = progress.in_flight() <= ROOM / 2;
        let paused = match assignment.is_paused() {
            false if full => true,
            true if roomy => false,
            _ => return,
        };
        if let Err(cause) = assignment.set_paused(&*self.consumer, &self.topic, paused) {
            log::warn!("reading goes on as it was: {cause}");
        }
    }

    /// Asks the brokers how far they are, without waiting.
    fn measure(&self, found: mpsc::UnboundedSender<Result<Vec<Mark>, String>>) {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        tokio::spawn(async move {
            let marks = kafka::ask(move || lag::marks(&consumer, &topic)).await;
            // The receiver is gone when the forwarder has stopped.
            let _ = found.send(marks);
        });
    }

    /// Shows how far this forwarder is behind, and raises the alarm when it stands still.
    fn report(&self, found: Result<Vec<Mark>, String>, progress: &Progress, watch: &mut Watch) {
        let assignment = self.consumer.context();
        let paused = assignment.is_paused();
        let now = (Instant::now(), self.clock.now());
        let outcome = found.map(|marks| watch.compare(&marks, progress, paused, now));
        let trouble = match &outcome {
            Ok(lag) => {
                self.metrics.waiting.set(lag.waiting() as i64);
                self.metrics.oldest.set(lag.oldest_s(now.1));
                self.metrics.partitions.set(lag.partitions.len() as i64);
                assignment.refusal().is_over();
                let outside = || assignment.outside(self.watch.still);
                lag.stands_still.clone().or_else(outside)
            }
            Err(cause) => Some(assignment.refusal().added_to(cause.clone())),
        };
        self.metrics.troubled.set(trouble.is_some().into());
        self.metrics
            .stopped
            .set(self.deliverer.seems_stopped().into());
        if trouble.is_some() && trouble != self.status.borrow().trouble {
            log::error!(
                "events are not read: {}",
                trouble.as_deref().unwrap_or_default()
            );
        }
        self.status.send_replace(Measured { at: now.0, trouble });
        if let Ok(lag) = outcome {
            self.write(lag);
        }
    }

    fn write(&self, lag: Lag) {
        let deliverer = Arc::clone(&self.deliverer);
        tokio::spawn(async move {
            if let Err(cause) = deliverer.write_lag(lag).await {
                log::debug!("how far the receiver is behind is not written: {cause}");
            }
        });
    }
}

/// Leaves the group on a thread of its own, once a measurement under way, which holds the consumer too, is done. When members
/// come and go at the same moment, librdkafka may wait for the group without end; then nobody waits for it. What is done but
/// not committed is read again by another, who finds the receipts.
async fn leave(consumer: Arc<StreamConsumer<Assignment>>, measured: impl Future<Output = ()>) {
    log::info!("leaving the group");
    let until = Instant::now() + LEAVE;
    let is_measured = timeout_at(until.into(), measured).await.is_ok();
    let (left, gone) = oneshot::channel();
    thread::spawn(move || {
        drop(consumer);
        // Nobody listens any more when it took too long.
        let _ = left.send(());
    });
    if !is_measured || timeout_at(until.into(), gone).await.is_err() {
        log::warn!("the group does not let this forwarder go; it will notice by itself");
    }
}

/// Where a lane takes its jobs.
type Entrance = mpsc::UnboundedSender<Job>;

fn lane_of(message: &BorrowedMessage<'_>) -> usize {
    let mut hasher = DefaultHasher::new();
    message.key().hash(&mut hasher);
    hasher.finish() as usize % LANES
}

fn message(read: &BorrowedMessage<'_>) -> Message {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = read.headers().into_iter().flat_map(|all| all.iter());
    Message {
        key: text(read.key().unwrap_or_default()),
        headers: headers
            .map(|header| {
                (
                    header.key.to_owned(),
                    text(header.value.unwrap_or_default()),
                )
            })
            .collect(),
        payload: read.payload().unwrap_or_default().to_vec(),
    }
}
