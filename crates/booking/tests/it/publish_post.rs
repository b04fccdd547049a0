//! A post office of its own for each test: a broker in this process that can be made to fail or a real one, publishers on
//! both instances of the service, and a reader of what arrived.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use booking::db::Db;
use booking::kafka::{Cluster, Producer};
use booking::outbox::{self, Event, EventType, Published, Publisher, PublisherOptions};
use chassis::time::Clock;
use rdkafka::bindings::rd_kafka_resp_err_t;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaApiKey;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::fixture::Fixture;

pub const TOPIC: &str = "booking.events.v1";
pub const DEAD: &str = "booking.events.v1.dlq";
pub const PARTITIONS: i32 = 4;
/// The only broker.
pub const BROKER: i32 = 1;
/// As long as any test waits for something to arrive.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A step waits for whatever it has sent.
pub fn patient() -> PublisherOptions {
    PublisherOptions {
        patience: DEADLINE,
        ..PublisherOptions::default()
    }
}

/// An office at a broker that can be made to fail.
pub struct Post {
    pub broker: MockCluster<'static, DefaultProducerContext>,
    office: Office,
}

impl Deref for Post {
    type Target = Office;

    fn deref(&self) -> &Office {
        &self.office
    }
}

/// What sends and reads events at some broker.
pub struct Office {
    pub fixture: Fixture,
    pub clock: Clock,
    /// What publishers and forwarders are told of the brokers.
    pub cluster: Cluster,
    /// Where a reader finds them that may do everything.
    pub brokers: String,
}

/// An event as it stands on a topic.
#[derive(Debug, Clone)]
pub struct Seen {
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub payload: String,
}

impl Seen {
    pub fn id(&self) -> Uuid {
        self.headers["ce_id"].parse().expect("a UUID")
    }

    pub fn number(&self) -> i64 {
        let payload: serde_json::Value = serde_json::from_str(&self.payload).expect("JSON");
        payload["number"].as_i64().expect("a number")
    }
}

impl Post {
    pub async fn open() -> Self {
        let broker = MockCluster::new(1).expect("a broker");
        for topic in [TOPIC, DEAD] {
            broker.create_topic(topic, PARTITIONS, 1).expect("a topic");
        }
        let brokers = broker.bootstrap_servers();
        let cluster = Cluster::new(brokers.parse().expect("brokers"), TOPIC.to_owned());
        Self {
            broker,
            office: Office::at(cluster, brokers).await,
        }
    }

    /// Lets the broker refuse the next requests of this kind.
    pub fn refuse(&self, code: rd_kafka_resp_err_t, times: usize) {
        self.broker
            .request_errors(RDKafkaApiKey::Produce, &vec![code; times]);
    }
}

impl Office {
    pub async fn at(cluster: Cluster, brokers: String) -> Self {
        Self {
            fixture: Fixture::open().await,
            clock: Clock::system(),
            cluster,
            brokers,
        }
    }

    /// The same books, with brokers that are reached otherwise.
    pub fn as_told(&self, cluster: Cluster) -> Self {
        Self {
            fixture: self.fixture.clone(),
            clock: self.clock.clone(),
            cluster,
            brokers: self.brokers.clone(),
        }
    }

    /// With these settings of librdkafka.
    pub fn cluster(&self, options: &str) -> Cluster {
        Cluster {
            options: options.parse().expect("options"),
            ..self.cluster.clone()
        }
    }

    pub fn db(&self, turn: usize) -> Db {
        self.fixture.db(turn).clone()
    }

    /// One whose step ends when all that it took has arrived or failed, however busy the machine is.
    pub fn publisher(&self, turn: usize) -> Publisher {
        self.publisher_with(turn, "", patient())
    }

    /// With these settings of librdkafka in place of the defaults.
    pub fn publisher_with(
        &self,
        turn: usize,
        settings: &str,
        options: PublisherOptions,
    ) -> Publisher {
        let producer = Producer::new(self.cluster(settings)).expect("a producer");
        Publisher::new(self.db(turn), self.clock.clone(), producer, options)
    }

    /// Numbered events of one reservation, each in a transaction of its own.
    pub async fn record(&self, aggregate_id: Uuid, numbers: std::ops::Range<i64>) {
        for number in numbers {
            self.record_one(aggregate_id, json!({ "number": number }))
                .await;
        }
    }

    pub async fn record_one(&self, aggregate_id: Uuid, payload: serde_json::Value) {
        let event = Event {
            event_type: EventType::ReservationHeld,
            aggregate_id,
            payload,
        };
        let now = self.clock.now();
        self.db(0)
            .transaction(move |tx| outbox::record(tx, std::slice::from_ref(&event), now))
            .await
            .expect("recorded");
    }

    /// Writes numbered events to the topic past the outbox, each of a reservation of its own.
    pub async fn put_on_topic(&self, numbers: std::ops::Range<i64>, settings: &str) {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        for (name, value) in settings.split(';').filter_map(|it| it.split_once('=')) {
            client.set(name, value);
        }
        let producer: FutureProducer = client.create().expect("a producer");
        let sent: Vec<_> = numbers
            .map(|number| {
                let message = crate::forward_inbox::message(Uuid::new_v4(), number);
                let headers = message.headers.iter();
                let headers = headers.fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header {
                        key,
                        value: Some(value),
                    })
                });
                let key = Uuid::new_v4().to_string();
                let topic = &self.cluster.topic;
                let record = FutureRecord::to(topic).key(&key).headers(headers);
                let queued = producer.send_result(record.payload(&message.payload));
                queued.map_err(|(cause, _)| cause).expect("room")
            })
            .collect();
        for outcome in futures_util::future::join_all(sent).await {
            outcome
                .expect("told")
                .map_err(|(cause, _)| cause)
                .expect("sent");
        }
    }

    pub async fn count(&self, state: &str) -> i64 {
        let statement = format!("SELECT COUNT(*) FROM outbox WHERE state = '{state}'");
        self.fixture.number(&statement).await
    }

    /// Steps until nothing is pending. Time is moved past the pauses, but never past a lease of whoever is only slow.
    pub async fn drain(&self, publisher: &Publisher) -> Published {
        let mut all = Published::default();
        let drained = async {
            while self.count("pending").await > 0 {
                let step = publisher.step().await.expect("a step");
                all.taken += step.taken;
                all.delivered += step.delivered;
                all.failed += step.failed;
                all.dead += step.dead;
                let in_hand = "SELECT COUNT(*) FROM outbox WHERE state = 'pending' AND claimed_by IS NOT NULL";
                if step == Published::default() && self.fixture.number(in_hand).await == 0 {
                    self.clock.advance(Duration::from_secs(1));
                }
            }
        };
        timeout(DEADLINE, drained).await.expect("drained in time");
        all
    }

    /// The first `count` events on a topic, partition after partition in their order there.
    pub async fn arrived(&self, topic: &str, count: usize) -> Vec<Seen> {
        self.read(topic, |seen| seen.len() == count).await
    }

    /// All that arrived: reads until one more event, which it sends last, has come through each partition.
    pub async fn everything(&self, topic: &str) -> Vec<Seen> {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .create()
            .expect("a producer");
        let mark = Uuid::new_v4().to_string();
        for partition in 0..PARTITIONS {
            let record = FutureRecord::to(topic).key(&mark).payload("");
            let record = record.partition(partition);
            producer.send(record, DEADLINE).await.expect("sent");
        }
        let is_mark = |it: &Seen| it.key == mark;
        let ends = PARTITIONS as usize;
        let all = |seen: &[Seen]| seen.iter().filter(|it| is_mark(it)).count() == ends;
        let mut seen = self.read(topic, all).await;
        seen.retain(|it| !is_mark(it));
        seen
    }

    async fn read(&self, topic: &str, is_enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let reader: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", Uuid::new_v4().to_string())
            .set("fetch.wait.max.ms", "20")
            .create()
            .expect("a reader");
        let mut places = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let place = places.add_partition_offset(topic, partition, Offset::Beginning);
            place.expect("a place");
        }
        reader.assign(&places).expect("assigned");
        let mut seen = Vec::new();
        while !is_enough(&seen) {
            let read = timeout(DEADLINE, reader.recv()).await;
            let message = read.expect("another event in time").expect("an event");
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
            let headers = message.headers().into_iter().flat_map(|all| all.iter());
            seen.push(Seen {
                key: text(message.key().expect("a key")),
                headers: headers
                    .map(|it| (it.key.to_owned(), text(it.value.expect("a value"))))
                    .collect(),
                payload: text(message.payload().unwrap_or_default()),
            });
        }
        seen
    }
}

/// Repetitions taken out, the numbers of each aggregate must be these, in this order.
pub fn assert_in_order(seen: &[Seen], numbers: std::ops::Range<i64>) {
    let mut by_key: BTreeMap<&str, Vec<(Uuid, i64)>> = BTreeMap::new();
    for event in seen {
        let events = by_key.entry(&event.key).or_default();
        if !events.iter().any(|(id, _)| *id == event.id()) {
            events.push((event.id(), event.number()));
        }
    }
    for (key, events) in by_key {
        let got: Vec<i64> = events.into_iter().map(|(_, number)| number).collect();
        assert_eq!(got, numbers.clone().collect::<Vec<_>>(), "{key}");
    }
}
