//! The producer, and how it comes back from what would end it.
//!
//! A producer that met a fatal error stays dead, and some brokers fence one off for ever after an outage, so another one
//! takes its place. What the old one still has in flight is reported by the old one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::{Cluster, KafkaContext, Message, Refusal, TopicError, topic};

/// Failures in a row after which another producer is tried.
const FAILURES_IN_A_ROW: u32 = 20;
/// Defaults that an operator may change: a send outlives an outage of this length, and a batch gathers for 2 ms.
const DEFAULTS: [(&str, &str); 2] = [("message.timeout.ms", "60000"), ("linger.ms", "2")];

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The brokers are away, or cannot at the moment: nothing that is the fault of the message. It may have arrived.
    #[error("{0}")]
    Away(String),
    /// The topic is missing, or this service may not write to it. That is not about the message: it waits.
    #[error("{0}")]
    TopicUnusable(String),
    /// A broker refused this message. A later try may pass.
    #[error("{0}")]
    Refused(String),
    /// No repetition helps: it is too large, or not what a topic takes.
    #[error("{0}")]
    Hopeless(String),
}

/// Sends messages.
pub struct Producer {
    cluster: Cluster,
    dead_letter_topic: String,
    active: Mutex<ActiveProducer>,
    refusal: Refusal,
    /// Both topics were there when this was last asked for.
    has_topics: AtomicBool,
}

/// The producer of librdkafka that is in use.
struct ActiveProducer {
    producer: Arc<FutureProducer<KafkaContext>>,
    failures: u32,
    /// Why the topic cannot be written to, since it was last tried.
    topic_trouble: Option<String>,
}

impl Producer {
    /// A producer. It connects in the background, so this succeeds while the brokers are away.
    pub fn new(cluster: Cluster) -> Result<Self, KafkaError> {
        let refusal = Refusal::default();
        let active = ActiveProducer {
            producer: open(&cluster, &refusal)?,
            failures: 0,
            topic_trouble: None,
        };
        Ok(Self {
            dead_letter_topic: cluster.dead_letter_topic(),
            cluster,
            active: Mutex::new(active),
            refusal,
            has_topics: AtomicBool::new(false),
        })
    }

    /// Makes the topics where they are missing; with bearer tokens it only says which is. Costs nothing once they are there,
    /// until one turns out to be missing.
    pub async fn ensure_topics(&self) -> Result<(), TopicError> {
        if !self.has_topics.load(Ordering::Relaxed) {
            let ensured = if self.cluster.security.tokens().is_some() {
                let producer = Arc::clone(&self.active().producer);
                topic::find(&self.cluster, producer).await
            } else {
                topic::create_missing(&self.cluster).await
            };
            ensured.map_err(|cause| match cause {
                // The client for questions hears of no refusals; the producer hears the same ones.
                TopicError::Away(cause) => TopicError::Away(self.refusal.added_to(cause)),
                other => other,
            })?;
            self.has_topics.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Sends a message to the topic and returns when all replicas have it.
    pub async fn send(&self, message: &Message) -> Result<(), SendError> {
        self.send_to(&self.cluster.topic, message).await
    }

    /// Sends it to the dead letters, with the reason. `without_body` when the body is what no topic takes.
    pub async fn dead_letter(
        &self,
        message: Message,
        reason: &str,
        without_body: bool,
    ) -> Result<(), SendError> {
        let dead = message.dead(reason, without_body);
        self.send_to(&self.dead_letter_topic, &dead).await
    }

    async fn send_to(&self, topic: &str, message: &Message) -> Result<(), SendError> {
        let producer = Arc::clone(&self.active().producer);
        let headers = OwnedHeaders::new_with_capacity(message.headers.len());
        let headers = message
            .headers
            .iter()
            .fold(headers, |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            });
        let record = FutureRecord::to(topic)
            .key(&message.key)
            .payload(&message.payload)
            .headers(headers);
        let outcome = match producer.send_result(record) {
            Err((cause, _)) => Err(cause),
            Ok(delivery) => match delivery.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((cause, _))) => Err(cause),
                Err(_) => Err(KafkaError::Canceled),
            },
        };
        let outcome = outcome.map_err(|cause| match meaning_of(&cause) {
            SendError::Away(reason) => SendError::Away(self.refusal.added_to(reason)),
            other => other,
        });
        if outcome.is_ok() {
            self.refusal.is_over();
        }
        self.note_topic(&outcome);
        self.note(&producer, outcome.is_ok());
        outcome
    }

    /// Why the topic cannot be written to; none when it could the last time.
    pub fn topic_trouble(&self) -> Option<String> {
        self.active().topic_trouble.clone()
    }

    fn note_topic(&self, outcome: &Result<(), SendError>) {
        match outcome {
            Ok(()) => self.active().topic_trouble = None,
            Err(SendError::TopicUnusable(reason)) => {
                self.has_topics.store(false, Ordering::Relaxed);
                let before = self.active().topic_trouble.replace(reason.clone());
                if before.as_ref() != Some(reason) {
                    log::error!("events wait, because the topic cannot be used: {reason}");
                }
            }
            Err(_) => {}
        }
    }

    /// Takes another producer when this one seems to be of no more use.
    fn note(&self, producer: &Arc<FutureProducer<KafkaContext>>, sent: bool) {
        let mut active = self.active();
        if !Arc::ptr_eq(&active.producer, producer) {
            return;
        }
        active.failures = if sent { 0 } else { active.failures + 1 };
        let fatal = producer.client().fatal_error();
        if fatal.is_none() && active.failures < FAILURES_IN_A_ROW {
            return;
        }
        let words = fatal.map_or_else(|| "many failures in a row".to_owned(), |(_, words)| words);
        log::warn!("taking a new producer: {words}");
        match open(&self.cluster, &self.refusal) {
            Ok(producer) => active.producer = producer,
            Err(cause) => log::error!("no new producer: {cause}"),
        }
        active.failures = 0;
    }

    fn active(&self) -> std::sync::MutexGuard<'_, ActiveProducer> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(
    cluster: &Cluster,
    refusal: &Refusal,
) -> Result<Arc<FutureProducer<KafkaContext>>, KafkaError> {
    let mut client = cluster.client(&DEFAULTS, &cluster.producer_options);
    client.set("enable.idempotence", "true");
    client.set("acks", "all");
    // The one that the clients of other languages use: the same key is in the same partition for all.
    client.set("partitioner", "murmur2_random");
    let context = KafkaContext {
        refusal: refusal.clone(),
        ..cluster.context()
    };
    client.create_with_context(context).map(Arc::new)
}

/// What a failure means for the message. What is not known here is nothing that it could help.
fn meaning_of(cause: &KafkaError) -> SendError {
    use RDKafkaErrorCode as Code;
    let Some(code) = cause.rdkafka_error_code() else {
        return SendError::Away(cause.to_string());
    };
    let words = code.to_string();
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::InvalidRecord => {
            SendError::Hopeless(words)
        }
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::InvalidTopic => SendError::TopicUnusable(words),
        Code::PolicyViolation | Code::InvalidTimestamp => SendError::Refused(words),
        _ => SendError::Away(words),
    }
}
