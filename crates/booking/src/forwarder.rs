//! Owns the delivery of events from the topic to a receiver: a consumer group, signed webhooks, once per event.
//!
//! Events with the same key are passed on one after the other, others side by side. An offset is stored when its event
//! and all before it in the partition are passed on, so what a killed forwarder had in hand is read again; receipts then
//! keep it from being sent again. Must not know what the events are about.

mod delivery;
mod progress;
mod receipt;
mod webhook;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use chassis::time::Clock;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::Forwarding;
use crate::db::Db;
use crate::kafka::{Cluster, KafkaLogContext, Message, Producer};
use crate::metrics::ForwardMetrics;
pub use delivery::{Deliverer, Delivery, DeliveryOptions, Outcome};
use progress::Progress;
pub use receipt::{Claimed, Receipt, claim, dead, delivered, failed, forget};
pub use webhook::{ID, Reply, SIGNATURE, Secrets, TIMESTAMP, Webhook, WebhookUrl};

/// Events that are passed on side by side.
const LANES: usize = 32;
/// Events in hand at most; then reading pauses until half of them are passed on.
const ROOM: usize = 512;
/// After the consumer said that something is wrong; it recovers by itself.
const READ_PAUSE: Duration = Duration::from_millis(500);

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
    let deliverer = Deliverer::new(db, clock, webhook, producer, options);
    Ok(Forwarder::new(
        &config.cluster,
        &config.group,
        deliverer,
        metrics,
    )?)
}

/// Reads the topic and hands events to the deliverer.
pub struct Forwarder {
    consumer: StreamConsumer<KafkaLogContext>,
    topic: String,
    deliverer: Arc<Deliverer>,
    metrics: ForwardMetrics,
}

/// An event with its place on the topic.
struct Job {
    delivery: Delivery,
    partition: i32,
    offset: i64,
}

/// A job that is done with.
struct Done {
    partition: i32,
    offset: i64,
}

impl Forwarder {
    /// A member of the group. It joins in the background, so this succeeds while the brokers are away.
    pub fn new(
        cluster: &Cluster,
        group: &str,
        deliverer: Deliverer,
        metrics: ForwardMetrics,
    ) -> Result<Self, KafkaError> {
        let consumer: StreamConsumer<KafkaLogContext> = cluster
            .consumer(group)
            .create_with_context(KafkaLogContext)?;
        consumer.subscribe(&[&cluster.topic])?;
        Ok(Self {
            consumer,
            topic: cluster.topic.clone(),
            deliverer: Arc::new(deliverer),
            metrics,
        })
    }

    /// Passes events on until `stop` says true; tries that run are finished, and what was done is committed.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (done, mut finished) = mpsc::unbounded_channel();
        let mut lanes = JoinSet::new();
        let entrances: Vec<_> = (0..LANES)
            .map(|_| {
                let (entrance, jobs) = mpsc::unbounded_channel();
                let lane = Lane {
                    deliverer: Arc::clone(&self.deliverer),
                    metrics: self.metrics.clone(),
                    done: done.clone(),
                    stop: stop.clone(),
                };
                lanes.spawn(lane.run(jobs));
                entrance
            })
            .collect();
        drop(done);
        let mut progress = Progress::default();
        let mut paused = false;
        loop {
            let next = tokio::select! {
                () = stopped(&mut stop) => break,
                Some(job) = finished.recv() => Next::Done(job),
                read = self.consumer.recv() => match read {
                    Ok(message) => Next::Read(job(&message), lane_of(&message)),
                    Err(cause) => Next::Trouble(cause),
                },
            };
            match next {
                Next::Done(job) => self.note(&mut progress, &job),
                Next::Read(job, lane) => {
                    progress.begin(job.partition, job.offset);
                    // A lane ends only when its entrance is closed, which is below.
                    let _ = entrances[lane].send(job);
                }
                Next::Trouble(cause) => {
                    log::warn!("reading events: {cause}");
                    sleep(READ_PAUSE).await;
                }
            }
            self.metrics.in_hand.set(progress.in_flight() as i64);
            self.make_room(&progress, &mut paused);
        }
        drop(entrances);
        while let Some(job) = finished.recv().await {
            self.note(&mut progress, &job);
        }
        while lanes.join_next().await.is_some() {}
        log::info!("leaving the group");
    }

    /// Stores how far everything is done; the consumer commits what is stored, at the latest when it leaves.
    fn note(&self, progress: &mut Progress, job: &Done) {
        let Some(offset) = progress.end(job.partition, job.offset) else {
            return;
        };
        if let Err(cause) = self
            .consumer
            .store_offset(&self.topic, job.partition, offset)
        {
            // The partition is somebody else's by now, who will read the event again and find its receipt.
            log::debug!(
                "offset {offset} of partition {} is not stored: {cause}",
                job.partition
            );
        }
    }

    /// Pauses reading when much is in hand. The consumer is still asked, so that it stays in its group.
    fn make_room(&self, progress: &Progress, paused: &mut bool) {
        let full = progress.in_flight() >= ROOM;
        let roomy = progress.in_flight() <= ROOM / 2;
        let change = match *paused {
            false if full => StreamConsumer::pause,
            true if roomy => StreamConsumer::resume,
            _ => return,
        };
        let assigned = self.consumer.assignment();
        match assigned.and_then(|partitions| change(&self.consumer, &partitions)) {
            Ok(()) => *paused = full,
            Err(cause) => log::warn!("reading goes on as it was: {cause}"),
        }
    }
}

/// Passes on what it is given, one after the other.
struct Lane {
    deliverer: Arc<Deliverer>,
    metrics: ForwardMetrics,
    done: mpsc::UnboundedSender<Done>,
    stop: watch::Receiver<bool>,
}

impl Lane {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = jobs.recv().await {
            let Job {
                mut delivery,
                partition,
                offset,
            } = job;
            while let Outcome::Later(pause) = self.attempt(&mut delivery).await {
                tokio::select! {
                    () = stopped(&mut self.stop) => return,
                    () = sleep(pause) => {}
                }
            }
            // Nobody listens only when the forwarder is gone.
            let _ = self.done.send(Done { partition, offset });
            if *self.stop.borrow() {
                return;
            }
        }
    }

    async fn attempt(&self, delivery: &mut Delivery) -> Outcome {
        let tried = self.deliverer.attempt(delivery).await;
        match tried {
            Outcome::Passed => self.metrics.passed.inc(),
            Outcome::Repeated => self.metrics.repeated.inc(),
            Outcome::DeadLettered => self.metrics.dead.inc(),
            Outcome::Later(_) => self.metrics.failed.inc(),
        }
        tried
    }
}

/// What happens next to a forwarder.
enum Next {
    Done(Done),
    Read(Job, usize),
    Trouble(KafkaError),
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the same as a stop.
    let _ = stop.wait_for(|it| *it).await;
}

fn lane_of(message: &BorrowedMessage<'_>) -> usize {
    let mut hasher = DefaultHasher::new();
    message.key().hash(&mut hasher);
    hasher.finish() as usize % LANES
}

fn job(read: &BorrowedMessage<'_>) -> Job {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = read.headers().into_iter().flat_map(|all| all.iter());
    let message = Message {
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
    };
    Job {
        delivery: Delivery::new(message),
        partition: read.partition(),
        offset: read.offset(),
    }
}
