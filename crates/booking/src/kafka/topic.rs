//! The topics of this service: made where they are missing, left as they are where they exist.
//!
//! The admin client of the library asks for no bearer token, so with those topics are only looked for.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureProducer, Producer as _};

use super::{ClientOptions, Cluster, KafkaContext, ask};

/// How long the brokers may take.
const WITHIN: Duration = Duration::from_secs(5);

/// What a topic is like that this service makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicLayout {
    /// Partitions: as many forwarders can share the events at most.
    pub partitions: i32,
    /// Brokers that keep each event; 0 leaves it to the brokers.
    pub replication: i32,
    /// How long events are kept.
    pub retention: Duration,
}

impl Default for TopicLayout {
    fn default() -> Self {
        Self {
            partitions: 12,
            replication: 0,
            retention: Duration::from_secs(7 * 24 * 3_600),
        }
    }
}

/// Why topics are not known to be there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The brokers do not answer.
    #[error("no answer about topics: {0}")]
    Away(String),
    /// A topic is missing and cannot be made; an operator must do it, or give the right to.
    #[error("the topic {topic} is missing and cannot be made: {reason}")]
    Refused {
        /// Which.
        topic: String,
        /// Why.
        reason: String,
    },
}

/// Makes the topic of events and that of dead letters unless they exist. Any number of instances may do so at once.
///
/// Brokers that know no such request make a topic when it is first used.
pub(super) async fn create_missing(cluster: &Cluster) -> Result<(), TopicError> {
    let admin: AdminClient<KafkaContext> = cluster
        .client(&[], &ClientOptions::default())
        .create_with_context(cluster.context())
        .map_err(away)?;
    let dead_letters = cluster.dead_letter_topic();
    let retention_ms = cluster.layout.retention.as_millis().to_string();
    let wanted = [cluster.topic.as_str(), &dead_letters].map(|name| {
        let replication = match cluster.layout.replication {
            0 => TopicReplication::Fixed(-1),
            brokers => TopicReplication::Fixed(brokers),
        };
        NewTopic::new(name, cluster.layout.partitions, replication)
            .set("retention.ms", &retention_ms)
    });
    let options = AdminOptions::new()
        .request_timeout(Some(WITHIN))
        .operation_timeout(Some(WITHIN));
    let outcomes = match admin.create_topics(&wanted, &options).await {
        Ok(outcomes) => outcomes,
        Err(KafkaError::AdminOp(Code::UnsupportedFeature)) => return Ok(()),
        Err(cause) => return Err(away(cause)),
    };
    let mut unsure = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(name) => log::info!("made the topic {name}"),
            Err((_, Code::TopicAlreadyExists)) => {}
            Err((topic, code)) => unsure.push((topic, code)),
        }
    }
    if unsure.is_empty() {
        return Ok(());
    }
    // Without the right to make topics a broker says no, also about one that is there.
    let unsure = unsure.into_iter();
    let unsure = unsure.map(|(topic, code)| (topic, code.to_string()));
    let unsure = unsure.collect();
    none_missing(move || first_missing(admin.inner(), unsure)).await
}

/// Looks for them with a producer, which gets bearer tokens.
pub(super) async fn find(
    cluster: &Cluster,
    producer: Arc<FutureProducer<KafkaContext>>,
) -> Result<(), TopicError> {
    let reason = "with bearer tokens this service makes none, so an operator must";
    let both = [cluster.topic.clone(), cluster.dead_letter_topic()];
    let both = both.map(|topic| (topic, reason.to_owned()));
    none_missing(move || first_missing(producer.client(), both.into())).await
}

async fn none_missing(
    look: impl FnOnce() -> Result<Option<(String, String)>, String> + Send + 'static,
) -> Result<(), TopicError> {
    match ask(look).await.map_err(TopicError::Away)? {
        None => Ok(()),
        Some((topic, reason)) => Err(TopicError::Refused { topic, reason }),
    }
}

/// The first of these topics that is missing, with what stands beside it.
fn first_missing<C: ClientContext>(
    client: &Client<C>,
    topics: Vec<(String, String)>,
) -> Result<Option<(String, String)>, String> {
    for (topic, reason) in topics {
        let found = client.fetch_metadata(Some(&topic), WITHIN);
        let found = found.map_err(|cause| cause.to_string())?;
        let is_there = |it: &rdkafka::metadata::MetadataTopic| {
            it.name() == topic && it.error().is_none() && !it.partitions().is_empty()
        };
        if !found.topics().iter().any(is_there) {
            return Ok(Some((topic, reason)));
        }
    }
    Ok(None)
}

fn away(cause: KafkaError) -> TopicError {
    TopicError::Away(cause.to_string())
}
