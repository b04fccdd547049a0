//! Which partitions this forwarder has, and whether they are read at the moment.
//!
//! librdkafka keeps the pause of a partition across a rebalance, and reads a partition that it gains although others are
//! paused. So the hook of each rebalance pauses or resumes what was just assigned. One lock covers both that and
//! [`Assignment::set_paused`], so a partition cannot be gained in between with the wrong state.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio::sync::watch;

use crate::kafka::{KafkaContext, Refusal};

/// A partition for as long as it stays with this forwarder: it is another one when it was lost and came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Which partition.
    pub partition: i32,
    generation: u64,
}

#[cfg(test)]
impl Owned {
    pub fn of(partition: i32, generation: u64) -> Self {
        Self {
            partition,
            generation,
        }
    }
}

/// What the group has given to this forwarder.
pub struct Assignment {
    client: KafkaContext,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

struct State {
    owned: BTreeMap<i32, Owned>,
    paused: bool,
    /// Counts rebalances.
    generation: u64,
    /// Since when the group has said nothing about partitions; none while it has.
    outside_since: Option<Instant>,
}

impl Assignment {
    /// Nothing is assigned yet.
    pub fn new(client: KafkaContext) -> Self {
        Self {
            client,
            state: Mutex::new(State {
                owned: BTreeMap::new(),
                paused: false,
                generation: 0,
                outside_since: Some(Instant::now()),
            }),
            changes: watch::Sender::new(0),
        }
    }

    /// The partition as it is owned now.
    pub fn owned(&self, partition: i32) -> Option<Owned> {
        self.state().owned.get(&partition).copied()
    }

    /// All partitions that are owned now.
    pub fn all(&self) -> Vec<Owned> {
        self.state().owned.values().copied().collect()
    }

    /// Whether the partition has stayed here since.
    pub fn holds(&self, owned: Owned) -> bool {
        self.owned(owned.partition) == Some(owned)
    }

    /// Whether nothing is read at the moment.
    pub fn is_paused(&self) -> bool {
        self.state().paused
    }

    /// A sentence about this forwarder when it has been outside of its group for so long.
    pub fn outside(&self, still: Duration) -> Option<String> {
        let since = self.state().outside_since?;
        let words = "the group lets this forwarder in no more";
        (since.elapsed() >= still).then(|| words.to_owned())
    }

    /// Why the brokers would not speak with this forwarder.
    pub fn refusal(&self) -> &Refusal {
        &self.client.refusal
    }

    /// Says when partitions come or go.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Stops or resumes reading, also of partitions that are gained later.
    pub fn set_paused<C: Consumer<Self>>(
        &self,
        consumer: &C,
        topic: &str,
        paused: bool,
    ) -> KafkaResult<()> {
        let mut state = self.state();
        state.paused = paused;
        let mut list = TopicPartitionList::new();
        for partition in state.owned.keys() {
            list.add_partition(topic, *partition);
        }
        apply(consumer, &list, paused)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply<K: ConsumerContext, C: Consumer<K>>(
    consumer: &C,
    partitions: &TopicPartitionList,
    paused: bool,
) -> KafkaResult<()> {
    if partitions.count() == 0 {
        return Ok(());
    }
    if paused {
        consumer.pause(partitions)
    } else {
        consumer.resume(partitions)
    }
}

impl ConsumerContext for Assignment {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let mut state = self.state();
            for lost in partitions.elements() {
                state.owned.remove(&lost.partition());
            }
            if state.owned.is_empty() {
                state.outside_since = Some(Instant::now());
            }
            drop(state);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(partitions) = rebalance else {
            return;
        };
        let mut state = self.state();
        state.generation += 1;
        state.outside_since = None;
        let generation = state.generation;
        for gained in partitions.elements() {
            let partition = gained.partition();
            let owned = Owned {
                partition,
                generation,
            };
            state.owned.insert(partition, owned);
        }
        if let Err(cause) = apply(consumer, partitions, state.paused) {
            log::warn!("reading of what was assigned goes on as it was: {cause}");
        }
        log::info!("{} partitions are ours", state.owned.len());
        drop(state);
        self.changes.send_modify(|count| *count += 1);
    }
}

impl ClientContext for Assignment {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = KafkaContext::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, words: &str) {
        self.client.log(level, facility, words);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.client.generate_oauth_token(config)
    }
}
