//! The publisher: takes events that are due, sends them, writes what became of them.
//!
//! No row is locked while an event is on its way. A round never waits long: what a slow broker still has is left under
//! way, its lease is renewed by the rounds that follow, and other events are taken meanwhile. What became of the events of
//! one round is written in the transaction that takes those of the next. Any number of publishers may run. One that is
//! killed leaves its leases to end, and its events are sent again by others.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use chassis::time::{Clock, Timestamp, rfc3339};
use chassis::trace::{Kind, Span};
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::lease::{self, Ended, Ending, Leased};
use crate::crash;
use crate::db::{Db, DbError};
use crate::kafka::{Message, Producer, SendError, TopicError};
use crate::pause;

/// Who says so: the `ce_source` of every event.
const SOURCE: &str = "/usher/booking";
/// After the first failure; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// So that no event waits for much longer than that once the brokers are back.
const PAUSE_LONGEST: Duration = Duration::from_secs(30);

/// How a publisher goes about it.
#[derive(Debug, Clone, Copy)]
pub struct PublisherOptions {
    /// Events in flight at the same time. Default 500.
    pub batch: u32,
    /// How long an event stays with its publisher unless the lease is renewed: what others wait after a kill.
    /// Default 10 s.
    pub lease: TimeDelta,
    /// How long a round waits for the brokers before it leaves the rest in flight. Default 500 ms.
    pub patience: Duration,
    /// How long a round waits for the slower ones once the brokers have the first event. Default 50 ms.
    pub gather: Duration,
    /// How often a broker may refuse an event before it is given up. Default 20, which takes some eight minutes.
    pub refusals: u32,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            batch: 500,
            lease: TimeDelta::seconds(10),
            patience: Duration::from_millis(500),
            gather: Duration::from_millis(50),
            refusals: 20,
        }
    }
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Events that it took.
    pub taken: usize,
    /// Events that all replicas have now.
    pub delivered: usize,
    /// Tries that failed.
    pub failed: usize,
    /// Events that it gave up.
    pub dead: usize,
    /// Events that are still in flight.
    pub in_flight: usize,
}

impl Published {
    /// Whether another round would find something to do.
    pub fn has_more(&self) -> bool {
        self.taken > 0 && self.in_flight == 0
    }
}

/// Publishes the outbox.
pub struct Publisher {
    /// The owner of its leases.
    id: Uuid,
    db: Db,
    clock: Clock,
    producer: Arc<Producer>,
    options: PublisherOptions,
    flight: Mutex<Flight>,
}

/// What this publisher has taken and not yet written off.
#[derive(Default)]
struct Flight {
    sending: FuturesUnordered<BoxFuture<'static, Ended>>,
    seqs: Vec<i64>,
    /// Known, but MySQL was away when it was to be written.
    unwritten: Vec<Ended>,
}

impl Publisher {
    /// A publisher with nothing in flight.
    pub fn new(db: Db, clock: Clock, producer: Producer, options: PublisherOptions) -> Self {
        Self {
            id: Uuid::new_v4(),
            db,
            clock,
            producer: Arc::new(producer),
            options,
            flight: Mutex::default(),
        }
    }

    /// Takes what is due, sends it and writes what became of it, and of what earlier rounds had left in flight.
    pub async fn step(&self) -> Result<Published, DbError> {
        let mut flight = self.flight.lock().await;
        let mut published = self.exchange(&mut flight).await?;
        let patience = Instant::now() + self.options.patience;
        flight.gather(patience, self.options.patience).await;
        published.in_flight = flight.sending.len();
        self.settle(&mut flight, &mut published).await?;
        Ok(published)
    }

    /// The same, but what became of what it sent is written by the next round, together with what that takes; so many
    /// rounds in a row take one transaction each. Where there is no next, [`Publisher::end`] writes it.
    pub async fn round(&self) -> Result<Published, DbError> {
        let mut flight = self.flight.lock().await;
        let mut published = self.exchange(&mut flight).await?;
        let patience = Instant::now() + self.options.patience;
        flight.gather(patience, self.options.gather).await;
        published.in_flight = flight.sending.len();
        Ok(published)
    }

    /// Writes what became of what the last round sent, as far as that is known.
    pub async fn end(&self) -> Result<Published, DbError> {
        let mut flight = self.flight.lock().await;
        let mut published = Published::default();
        self.settle(&mut flight, &mut published).await?;
        Ok(published)
    }

    /// Whether there may be more than were taken.
    pub fn is_full(&self, taken: usize) -> bool {
        taken >= self.options.batch as usize
    }

    /// Makes the topics where they are missing.
    pub async fn ensure_topics(&self) -> Result<(), TopicError> {
        self.producer.ensure_topics().await
    }

    /// Why the topic cannot be written to; none when it could the last time.
    pub fn topic_trouble(&self) -> Option<String> {
        self.producer.topic_trouble()
    }

    /// Writes what is known, renews what is in flight, takes what is due and sends it. One transaction.
    async fn exchange(&self, flight: &mut Flight) -> Result<Published, DbError> {
        let ended: Arc<[Ended]> = mem::take(&mut flight.unwritten).into();
        let is_known = |seq: &i64| ended.iter().any(|one| one.seq == *seq);
        let seqs = flight.seqs.iter().copied();
        let in_flight: Vec<i64> = seqs.filter(|seq| !is_known(seq)).collect();
        let room = self.options.batch.saturating_sub(in_flight.len() as u32);
        let (owner, now) = (self.id, self.clock.now());
        let (until, written) = (now + self.options.lease, Arc::clone(&ended));
        let outcome = self
            .db
            .transaction(move |tx| {
                lease::exchange(tx, owner, &written, &in_flight, (now, until), room)
            })
            .await;
        let (mut published, taken) = flight.written(ended, outcome)?;
        published.taken = taken.len();
        if !taken.is_empty() {
            crash::point("publish.claimed");
        }
        for event in taken {
            flight.seqs.push(event.seq);
            let (producer, clock) = (Arc::clone(&self.producer), self.clock.clone());
            let refusals = self.options.refusals;
            let sending = async move { send(&producer, &clock, event, refusals).await };
            flight.sending.push(Box::pin(sending));
        }
        Ok(published)
    }

    /// Writes what is known. What cannot be written now is kept for the next round.
    async fn settle(&self, flight: &mut Flight, published: &mut Published) -> Result<(), DbError> {
        if flight.unwritten.is_empty() {
            return Ok(());
        }
        let ended: Arc<[Ended]> = mem::take(&mut flight.unwritten).into();
        let (owner, now, written) = (self.id, self.clock.now(), Arc::clone(&ended));
        let outcome = self
            .db
            .transaction(move |tx| lease::write_endings(tx, owner, &written, now))
            .await;
        let (counted, ()) = flight.written(ended, outcome)?;
        published.delivered += counted.delivered;
        published.failed += counted.failed;
        published.dead += counted.dead;
        Ok(())
    }
}

impl Flight {
    /// Waits until the brokers have answered for everything; for as long as `linger` after the first answer, and not
    /// beyond `patience`.
    async fn gather(&mut self, patience: Instant, linger: Duration) {
        let Ok(Some(first)) = timeout_at(patience, self.sending.next()).await else {
            return;
        };
        crash::point("publish.sent");
        self.unwritten.push(first);
        let until = patience.min(Instant::now() + linger);
        while let Ok(Some(next)) = timeout_at(until, self.sending.next()).await {
            self.unwritten.push(next);
        }
    }

    /// Counts what was written, or keeps it where it was not.
    fn written<T>(
        &mut self,
        ended: Arc<[Ended]>,
        outcome: Result<T, DbError>,
    ) -> Result<(Published, T), DbError> {
        let done = match outcome {
            Ok(done) => done,
            Err(cause) => {
                self.unwritten = ended.to_vec();
                return Err(cause);
            }
        };
        if !ended.is_empty() {
            crash::point("publish.written");
        }
        self.seqs
            .retain(|seq| !ended.iter().any(|one| one.seq == *seq));
        let mut published = Published::default();
        for one in ended.iter() {
            match &one.ending {
                Ending::Delivered => published.delivered += 1,
                Ending::Failed { .. } => published.failed += 1,
                Ending::Dead { .. } => published.dead += 1,
            }
        }
        Ok((published, done))
    }
}

/// Sends one event, to the dead letters when it was refused for the last time.
///
/// It is only given up when the dead letters have it: while the brokers are away, every event waits.
async fn send(producer: &Producer, clock: &Clock, mut event: Leased, refusals: u32) -> Ended {
    let traceparent = event.traceparent.take();
    let mut span = Span::after(traceparent.as_deref(), Kind::Producer, || {
        format!("publish {}", event.event_type.as_str())
    });
    span.say("messaging.system", || "kafka");
    span.say("messaging.message.id", || event.id.to_string());
    // The reader of the event goes on from there.
    let own = span.context().map(|step| step.to_string());
    event.traceparent = own.or(traceparent);
    let message = message(&event);
    let failure = match producer.send(&message).await {
        Ok(()) => {
            return Ended {
                seq: event.seq,
                ending: Ending::Delivered,
            };
        }
        Err(failure) => failure,
    };
    let (refused, last, reason) = match &failure {
        SendError::Away(reason) | SendError::TopicUnusable(reason) => (false, false, reason),
        SendError::Refused(reason) => (true, event.refusals + 1 >= refusals, reason),
        SendError::Hopeless(reason) => (true, true, reason),
    };
    span.failed(reason);
    let without_body = matches!(failure, SendError::Hopeless(_));
    if last
        && producer
            .dead_letter(message, reason, without_body)
            .await
            .is_ok()
    {
        log::error!("event {} is a dead letter: {reason}", event.id);
        return Ended {
            seq: event.seq,
            ending: Ending::Dead {
                reason: reason.clone(),
            },
        };
    }
    let pause = pause::growing(PAUSE_FIRST, PAUSE_LONGEST, event.attempts + 1);
    Ended {
        seq: event.seq,
        ending: Ending::Failed {
            again_at: later(clock.now(), pause),
            refused,
            reason: reason.clone(),
        },
    }
}

/// The event as it stands on the topic.
fn message(event: &Leased) -> Message {
    let aggregate_type = event.event_type.aggregate_type();
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", event.id.to_string()),
        ("ce_source", SOURCE.to_owned()),
        ("ce_type", event.event_type.as_str().to_owned()),
        ("ce_time", rfc3339(event.created_at)),
        (
            "ce_subject",
            format!("{aggregate_type}/{}", event.aggregate_id),
        ),
        // Twenty digits sort as text as they do as numbers: an event that was sent again late shows that it is older.
        ("ce_sequence", format!("{:020}", event.seq)),
        ("content-type", "application/json".to_owned()),
    ];
    let traceparent = event.traceparent.clone();
    let traced = traceparent.map(|value| ("ce_traceparent", value));
    let headers = headers.into_iter().chain(traced);
    Message {
        key: event.aggregate_id.to_string(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        payload: event.payload.clone().into_bytes(),
    }
}

/// Whole microseconds, as the database keeps them.
fn later(now: Timestamp, pause: Duration) -> Timestamp {
    let pause_us = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
    now + TimeDelta::microseconds(pause_us)
}
