//! The courier: one try to pass one event to the receiver, and what follows from its outcome.
//!
//! Promises that an event which the receiver has taken is not posted again, unless this process or MySQL ended before
//! that could be written; it then goes under the same `Webhook-Id`. An event is given up when the receiver refused it
//! too often, or when it said 410. A receiver that is away refuses nothing, so its events wait; but one that takes other
//! events is not away.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use chassis::time::Clock;
use chrono::TimeDelta;
use tokio::time::Instant;
use uuid::Uuid;

use super::receipt::{self, Claimed, Passage};
use super::webhook::{Reply, Webhook};
use crate::db::{Db, DbError, Tx};
use crate::kafka::{Letter, Producer};
use crate::pause;

/// After the first failure; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// So that events do not wait for much longer than that once the receiver is back.
const PAUSE_LONGEST: Duration = Duration::from_secs(60);
/// How long to leave an event alone that another forwarder has.
const OTHERS_PAUSE: Duration = Duration::from_secs(1);
/// What a claim lives longer than the receiver may take, for the database.
const CLAIM_SPARE: TimeDelta = TimeDelta::seconds(10);

/// How a courier goes about it.
#[derive(Debug, Clone)]
pub struct CourierOptions {
    /// The name under which receipts are kept: the consumer group.
    pub receiver: String,
    /// How often the receiver may refuse an event before it is given up.
    pub refusals: u32,
    /// How long the receiver may take.
    pub timeout: Duration,
}

/// Passes events to one receiver.
pub struct Courier {
    id: Uuid,
    db: Db,
    clock: Clock,
    webhook: Webhook,
    producer: Producer,
    options: CourierOptions,
    /// When the receiver last took an event.
    last_taken: Mutex<Option<Instant>>,
}

/// An event that is to be passed on, and what happened to it here so far.
#[derive(Debug, Clone)]
pub struct Errand {
    letter: Letter,
    begun: Instant,
    failures: u32,
    /// The receiver has it; only that is not written yet.
    taken: bool,
}

impl Errand {
    /// An event that was not tried yet.
    pub fn new(letter: Letter) -> Self {
        Self {
            letter,
            begun: Instant::now(),
            failures: 0,
            taken: false,
        }
    }
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// The receiver has it.
    Passed,
    /// It was passed on or given up before.
    Repeated,
    /// It is with the dead letters.
    Buried,
    /// Not yet; worth another try after this pause.
    Later(Duration),
}

impl Courier {
    /// A courier; dead letters go through `producer`.
    pub fn new(
        db: Db,
        clock: Clock,
        webhook: Webhook,
        producer: Producer,
        options: CourierOptions,
    ) -> Self {
        Self {
            id: Uuid::new_v4(),
            db,
            clock,
            webhook,
            producer,
            options,
            last_taken: Mutex::default(),
        }
    }

    /// Tries once. Whoever calls waits as long as it says and tries again, before any later event with the same key.
    pub async fn attempt(&self, errand: &mut Errand) -> Tried {
        match self.tried(errand).await {
            Ok(tried) => tried,
            Err(cause) => {
                log::warn!("an event waits: {cause}");
                self.later(errand, None)
            }
        }
    }

    async fn tried(&self, errand: &mut Errand) -> Result<Tried, DbError> {
        let id = errand.letter.header("ce_id").map(Uuid::parse_str);
        let Some(Ok(event_id)) = id else {
            return Ok(self.bury(errand, "not an event: it has no ce_id").await);
        };
        let passage = Passage {
            event_id,
            receiver: self.options.receiver.clone(),
            owner: self.id,
        };
        if errand.taken {
            return self.write_taken(&passage).await;
        }
        let attempts = match self.claim(&passage).await? {
            Claimed::Mine { attempts } => attempts,
            Claimed::Others { .. } => return Ok(Tried::Later(OTHERS_PAUSE)),
            Claimed::Done => return Ok(Tried::Repeated),
        };
        let posted_at = self.clock.now();
        let id = event_id.to_string();
        match self.webhook.post(&id, &errand.letter, posted_at).await {
            Reply::Taken => {
                errand.taken = true;
                *self.last_taken() = Some(Instant::now());
                self.write_taken(&passage).await
            }
            Reply::Gone => {
                let reason = "the receiver answered 410".to_owned();
                self.give_up(errand, passage, reason).await
            }
            Reply::Refused(reason) => self.refused(errand, passage, attempts, reason, None).await,
            Reply::Away {
                reason,
                retry_after,
            } => {
                // A receiver that has taken something since is not away: it is this event that it cannot take.
                if self.last_taken().is_some_and(|taken| taken > errand.begun) {
                    return self
                        .refused(errand, passage, attempts, reason, retry_after)
                        .await;
                }
                self.write_failed(&passage, false, reason).await?;
                Ok(self.later(errand, retry_after))
            }
        }
    }

    async fn claim(&self, passage: &Passage) -> Result<Claimed, DbError> {
        let (now, passage) = (self.clock.now(), passage.clone());
        let timeout = TimeDelta::from_std(self.options.timeout).unwrap_or_default();
        let until = now + timeout + CLAIM_SPARE;
        self.db
            .transaction(move |tx| receipt::claim(tx, &passage, now, until))
            .await
    }

    async fn refused(
        &self,
        errand: &mut Errand,
        passage: Passage,
        attempts: u32,
        reason: String,
        retry_after: Option<Duration>,
    ) -> Result<Tried, DbError> {
        if attempts + 1 >= self.options.refusals {
            return self.give_up(errand, passage, reason).await;
        }
        self.write_failed(&passage, true, reason).await?;
        Ok(self.later(errand, retry_after))
    }

    /// To the dead letters first: what is not there yet is not given up.
    async fn give_up(
        &self,
        errand: &mut Errand,
        passage: Passage,
        reason: String,
    ) -> Result<Tried, DbError> {
        let buried = self.bury(errand, &reason).await;
        if buried == Tried::Buried {
            let now = self.clock.now();
            log::error!("event {} is a dead letter: {reason}", passage.event_id);
            self.write(move |tx| receipt::dead(tx, &passage, &reason, now))
                .await?;
        }
        Ok(buried)
    }

    async fn bury(&self, errand: &mut Errand, reason: &str) -> Tried {
        let letter = errand.letter.clone();
        match self.producer.bury(letter, reason, false).await {
            Ok(()) => Tried::Buried,
            Err(cause) => {
                log::warn!("a dead letter waits: {cause}");
                self.later(errand, None)
            }
        }
    }

    async fn write_taken(&self, passage: &Passage) -> Result<Tried, DbError> {
        let (now, passage) = (self.clock.now(), passage.clone());
        self.write(move |tx| receipt::delivered(tx, &passage, now))
            .await?;
        Ok(Tried::Passed)
    }

    async fn write_failed(
        &self,
        passage: &Passage,
        refused: bool,
        reason: String,
    ) -> Result<(), DbError> {
        log::warn!("event {} waits: {reason}", passage.event_id);
        let (now, passage) = (self.clock.now(), passage.clone());
        self.write(move |tx| receipt::failed(tx, &passage, refused, &reason, now))
            .await
    }

    async fn write(
        &self,
        act: impl Fn(&mut Tx) -> Result<(), DbError> + Send + Sync + 'static,
    ) -> Result<(), DbError> {
        self.db.transaction(act).await
    }

    fn later(&self, errand: &mut Errand, retry_after: Option<Duration>) -> Tried {
        errand.failures = errand.failures.saturating_add(1);
        let pause = pause::growing(PAUSE_FIRST, PAUSE_LONGEST, errand.failures);
        Tried::Later(pause.max(retry_after.unwrap_or_default()))
    }

    fn last_taken(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.last_taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
