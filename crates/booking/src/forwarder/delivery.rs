//! The delivery of one event: each attempt to pass it to the receiver, and what follows from its outcome.
//!
//! Promises that an event which the receiver has taken is not posted again, unless this process or MySQL ended before
//! that could be written; it then goes under the same `Webhook-Id`. An event is given up when the receiver refused it
//! too often. A receiver that is away refuses nothing, so its events wait; but one that takes other events is not away.
//! One that says 410 gets nothing more until an operator resumes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chassis::time::Clock;
use chrono::TimeDelta;
use tokio::time::Instant;
use uuid::Uuid;

use super::endpoint;
use super::lag::Lag;
use super::receipt::{self, Claimed, Receipt};
use super::receipt_batch::ReceiptBatch;
use super::webhook::{Reply, Webhook};
use crate::db::{Db, DbError, Tx};
use crate::kafka::{Message, Producer, TopicError};
use crate::pause;

/// After the first failure; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// So that events do not wait for much longer than that once the receiver is back.
const PAUSE_LONGEST: Duration = Duration::from_secs(60);
/// How long to wait before asking again for an event that another forwarder has.
const OTHERS_PAUSE: Duration = Duration::from_secs(1);
/// How soon a receiver that was stopped is noticed to be resumed.
const STOPPED_PAUSE: Duration = Duration::from_secs(1);
/// What a claim lives longer than the receiver may take, for the database.
const CLAIM_SPARE: TimeDelta = TimeDelta::seconds(10);

/// How events are delivered.
#[derive(Debug, Clone)]
pub struct DeliveryOptions {
    /// The name under which receipts are kept: the consumer group.
    pub receiver: String,
    /// How often the receiver may refuse an event before it is given up.
    pub refusals: u32,
    /// How long the receiver may take.
    pub timeout: Duration,
}

/// Passes events to one receiver.
pub struct Deliverer {
    id: Uuid,
    db: Db,
    receipts: ReceiptBatch,
    clock: Clock,
    webhook: Webhook,
    producer: Producer,
    options: DeliveryOptions,
    /// When the receiver last took an event.
    last_taken: Mutex<Option<Instant>>,
    /// The receiver wants no more, as far as is known.
    stopped: AtomicBool,
    /// When that was last read; held while it is.
    stopped_read_at: tokio::sync::Mutex<Option<Instant>>,
}

/// An event that is being delivered, and what happened to it in this process so far.
#[derive(Debug, Clone)]
pub struct Delivery {
    message: Message,
    begun: Instant,
    failures: u32,
    /// The receiver has it; only that is not written yet.
    taken: bool,
}

impl Delivery {
    /// An event that was not tried yet.
    pub fn new(message: Message) -> Self {
        Self {
            message,
            begun: Instant::now(),
            failures: 0,
            taken: false,
        }
    }
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Passed,
    /// It was passed on or given up before.
    Repeated,
    /// It is with the dead letters.
    DeadLettered,
    /// It failed; worth another try after this pause.
    Later(Duration),
    /// It was not tried: another forwarder has it, or the receiver is stopped. Ask again after this pause.
    Held(Duration),
}

impl Deliverer {
    /// A deliverer; dead letters go through `producer`.
    pub fn new(
        db: Db,
        clock: Clock,
        webhook: Webhook,
        producer: Producer,
        options: DeliveryOptions,
    ) -> Self {
        let id = Uuid::new_v4();
        let claim = TimeDelta::from_std(options.timeout).unwrap_or_default() + CLAIM_SPARE;
        let receiver = options.receiver.clone();
        Self {
            id,
            receipts: ReceiptBatch::new(db.clone(), clock.clone(), receiver, id, claim),
            db,
            clock,
            webhook,
            producer,
            options,
            last_taken: Mutex::default(),
            // Another forwarder may have been told so: the first attempt reads it.
            stopped: AtomicBool::new(true),
            stopped_read_at: tokio::sync::Mutex::default(),
        }
    }

    /// Tries once. The caller waits as long as it says and tries again, before any later event with the same key.
    pub async fn attempt(&self, delivery: &mut Delivery) -> Outcome {
        let _working = self.receipts.work();
        match self.tried(delivery).await {
            Ok(tried) => tried,
            Err(cause) => {
                log::warn!("an event waits: {cause}");
                self.later(delivery, None)
            }
        }
    }

    async fn tried(&self, delivery: &mut Delivery) -> Result<Outcome, Arc<DbError>> {
        let id = delivery.message.header("ce_id").map(Uuid::parse_str);
        let Some(Ok(event_id)) = id else {
            return Ok(self
                .dead_letter(delivery, "not an event: it has no ce_id")
                .await);
        };
        let receipt = Receipt {
            event_id,
            receiver: self.options.receiver.clone(),
            owner: self.id,
        };
        if delivery.taken {
            self.receipts.deliver(event_id).await?;
            return Ok(Outcome::Passed);
        }
        if self.is_stopped().await? {
            return Ok(Outcome::Held(STOPPED_PAUSE));
        }
        let attempts = match self.receipts.claim(event_id).await? {
            Claimed::Mine { attempts } => attempts,
            Claimed::Others { .. } => return Ok(Outcome::Held(OTHERS_PAUSE)),
            Claimed::Done => return Ok(Outcome::Repeated),
        };
        let posted_at = self.clock.now();
        let id = event_id.to_string();
        match self.webhook.post(&id, &delivery.message, posted_at).await {
            Reply::Taken => {
                delivery.taken = true;
                *self.last_taken() = Some(Instant::now());
                self.receipts.deliver(event_id).await?;
                Ok(Outcome::Passed)
            }
            Reply::Gone => Ok(self.stop(receipt).await?),
            Reply::Refused(reason) => {
                let refused = self.refused(delivery, receipt, attempts, reason, None);
                Ok(refused.await?)
            }
            Reply::Away {
                reason,
                retry_after,
            } => {
                // A receiver that has taken something since is not away: it is this event that it cannot take.
                if self
                    .last_taken()
                    .is_some_and(|taken| taken > delivery.begun)
                {
                    let refused = self.refused(delivery, receipt, attempts, reason, retry_after);
                    return Ok(refused.await?);
                }
                self.write_failed(&receipt, false, reason).await?;
                Ok(self.later(delivery, retry_after))
            }
        }
    }

    /// Whether the receiver wants no more. That is read again while it is so, at most once in a pause for all lanes.
    async fn is_stopped(&self) -> Result<bool, DbError> {
        if !self.stopped.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut read_at = self.stopped_read_at.lock().await;
        if read_at.is_none_or(|at| at.elapsed() >= STOPPED_PAUSE) {
            let receiver = self.options.receiver.clone();
            let look = move |conn: &mut _| endpoint::is_stopped(conn, &receiver);
            self.stopped
                .store(self.db.read(look).await?, Ordering::Relaxed);
            *read_at = Some(Instant::now());
        }
        Ok(self.stopped.load(Ordering::Relaxed))
    }

    /// Whether the receiver was last seen to be stopped.
    pub fn seems_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The receiver said that it wants no more: nothing is sent until an operator resumes it, and nothing is given up.
    async fn stop(&self, receipt: Receipt) -> Result<Outcome, DbError> {
        const REASON: &str = "the receiver answered 410";
        log::error!(
            "{} is stopped until an operator resumes it: {REASON}",
            receipt.receiver
        );
        let now = self.clock.now();
        self.write(move |tx| {
            endpoint::stop(tx, &receipt.receiver, REASON, now)?;
            receipt::failed(tx, &receipt, false, REASON, now)
        })
        .await?;
        self.stopped.store(true, Ordering::Relaxed);
        *self.stopped_read_at.lock().await = Some(Instant::now());
        Ok(Outcome::Held(STOPPED_PAUSE))
    }

    /// Writes how far this forwarder is behind, for operators.
    pub async fn write_lag(&self, lag: Lag) -> Result<(), DbError> {
        let (receiver, now) = (self.options.receiver.clone(), self.clock.now());
        self.write(move |tx| endpoint::write_lag(tx, &receiver, &lag, now))
            .await
    }

    /// Makes the topics where they are missing.
    pub async fn ensure_topics(&self) -> Result<(), TopicError> {
        self.producer.ensure_topics().await
    }

    async fn refused(
        &self,
        delivery: &mut Delivery,
        receipt: Receipt,
        attempts: u32,
        reason: String,
        retry_after: Option<Duration>,
    ) -> Result<Outcome, DbError> {
        if attempts + 1 >= self.options.refusals {
            return self.give_up(delivery, receipt, reason).await;
        }
        self.write_failed(&receipt, true, reason).await?;
        Ok(self.later(delivery, retry_after))
    }

    /// To the dead letters first: what is not there yet is not given up.
    async fn give_up(
        &self,
        delivery: &mut Delivery,
        receipt: Receipt,
        reason: String,
    ) -> Result<Outcome, DbError> {
        let dead_lettered = self.dead_letter(delivery, &reason).await;
        if dead_lettered == Outcome::DeadLettered {
            let now = self.clock.now();
            log::error!("event {} is a dead letter: {reason}", receipt.event_id);
            self.write(move |tx| receipt::dead(tx, &receipt, &reason, now))
                .await?;
        }
        Ok(dead_lettered)
    }

    async fn dead_letter(&self, delivery: &mut Delivery, reason: &str) -> Outcome {
        let message = delivery.message.clone();
        match self.producer.dead_letter(message, reason, false).await {
            Ok(()) => Outcome::DeadLettered,
            Err(cause) => {
                log::warn!("a dead letter waits: {cause}");
                self.later(delivery, None)
            }
        }
    }

    async fn write_failed(
        &self,
        receipt: &Receipt,
        refused: bool,
        reason: String,
    ) -> Result<(), DbError> {
        log::warn!("event {} waits: {reason}", receipt.event_id);
        let (now, receipt) = (self.clock.now(), receipt.clone());
        self.write(move |tx| receipt::failed(tx, &receipt, refused, &reason, now))
            .await
    }

    async fn write(
        &self,
        act: impl Fn(&mut Tx) -> Result<(), DbError> + Send + Sync + 'static,
    ) -> Result<(), DbError> {
        self.db.transaction(act).await
    }

    fn later(&self, delivery: &mut Delivery, retry_after: Option<Duration>) -> Outcome {
        delivery.failures = delivery.failures.saturating_add(1);
        let pause = pause::growing(PAUSE_FIRST, PAUSE_LONGEST, delivery.failures);
        Outcome::Later(pause.max(retry_after.unwrap_or_default()))
    }

    fn last_taken(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.last_taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
