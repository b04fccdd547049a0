//! The way of events on Apache Kafka itself: what the stand-in plays is what a broker does.

use std::time::Duration;

use booking::kafka::{Cluster, Producer, SendError, TopicLayout};
use booking::outbox::PublisherOptions;
use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use serde_json::json;
use testbed::{Kafka, KafkaOptions, Scratch};
use uuid::Uuid;

use crate::forward_group::{Running, assert_once_and_in_order, publish_again, until};
use crate::forward_inbox::{Inbox, message};
use crate::publish_post::{DEADLINE, Office, PARTITIONS, assert_in_order, patient};

/// An office at this broker with a topic of its own, which is not made yet.
async fn office(kafka: &Kafka) -> Office {
    let brokers = kafka.brokers().to_owned();
    let topic = format!("events-{}", Uuid::new_v4());
    let layout = TopicLayout {
        partitions: PARTITIONS,
        retention: Duration::from_secs(7_200),
        ..TopicLayout::default()
    };
    let cluster = Cluster {
        layout,
        ..Cluster::new(brokers.parse().unwrap(), topic)
    };
    Office::at(cluster, brokers).await
}

/// The same with its topics.
async fn open(kafka: &Kafka) -> Office {
    let office = office(kafka).await;
    office.publisher(0).ensure_topics().await.unwrap();
    office
}

fn admin(office: &Office) -> AdminClient<DefaultClientContext> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &office.brokers);
    client.create().unwrap()
}

fn partitions(office: &Office, topic: &str) -> usize {
    let admin = admin(office);
    let found = admin.inner().fetch_metadata(Some(topic), DEADLINE).unwrap();
    found.topics()[0].partitions().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_publishers_each_event_arrives_once_and_in_the_order_of_its_aggregate() {
    let office = open(testbed::kafka()).await;
    for _ in 0..20 {
        office.record(Uuid::new_v4(), 0..6).await;
    }
    let small = PublisherOptions {
        batch: 7,
        ..patient()
    };
    let publishers = [0, 1].map(|turn| office.publisher_with(turn, "", small));
    let both = join_all(publishers.iter().map(|it| office.drain(it))).await;
    assert!(both.iter().all(|it| it.delivered > 0), "{both:?}");
    let seen = office.everything(&office.cluster.topic).await;
    assert_eq!(seen.len(), 120, "none is sent twice");
    assert_in_order(&seen, 0..6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_come_by_itself_is_made_as_it_was_wished_by_however_many_ask_at_once()
{
    let office = office(testbed::kafka()).await;
    let topic = office.cluster.topic.clone();
    let impatient = "topic.metadata.propagation.max.ms=500;message.timeout.ms=5000";
    let early = Producer::new(office.cluster(impatient)).unwrap();
    let sent = early.send(&message(Uuid::new_v4(), 1)).await;
    assert!(matches!(sent, Err(SendError::TopicUnusable(_))), "{sent:?}");
    assert!(early.topic_trouble().is_some(), "an alarm");

    let producers: Vec<_> = (0..4)
        .map(|_| Producer::new(office.cluster("")).unwrap())
        .collect();
    for outcome in join_all(producers.iter().map(Producer::ensure_topics)).await {
        outcome.unwrap();
    }
    let admin = admin(&office);
    for topic in [&topic, &office.cluster.dead_letter_topic()] {
        assert_eq!(partitions(&office, topic), PARTITIONS as usize, "{topic}");
        let asked = [ResourceSpecifier::Topic(topic)];
        let told = admin.describe_configs(&asked, &AdminOptions::new()).await;
        let told = told.unwrap().remove(0).unwrap();
        let retention = told.get("retention.ms").unwrap();
        assert_eq!(retention.value.as_deref(), Some("7200000"), "{topic}");
    }
    // One that exists stays as it is.
    let mut other = office.cluster("");
    other.layout.partitions = PARTITIONS + 3;
    Producer::new(other).unwrap().ensure_topics().await.unwrap();
    assert_eq!(partitions(&office, &topic), PARTITIONS as usize);
    early.send(&message(Uuid::new_v4(), 2)).await.unwrap();
    assert_eq!(early.topic_trouble(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_freeze_and_a_kill_of_the_broker_no_event_is_lost_nor_out_of_order() {
    let scratch = Scratch::new().unwrap();
    let mut kafka = Kafka::start(scratch.path(), &KafkaOptions::default()).unwrap();
    let office = open(&kafka).await;
    let hurried = PublisherOptions {
        patience: Duration::from_millis(200),
        refusals: 1,
        ..PublisherOptions::default()
    };
    let publisher = office.publisher_with(0, "", hurried);
    let aggregates: Vec<_> = (0..5).map(|_| Uuid::new_v4()).collect();
    let record = async |numbers: std::ops::Range<i64>| {
        for aggregate in &aggregates {
            office.record(*aggregate, numbers.clone()).await;
        }
    };
    record(0..3).await;
    office.drain(&publisher).await;
    kafka.freeze();
    record(3..6).await;
    let step = publisher.step().await.unwrap();
    assert_eq!((step.delivered, step.in_flight), (0, 5), "{step:?}");
    let other = office.publisher(1);
    assert_eq!(other.step().await.unwrap().taken, 0, "each is under way");
    kafka.thaw();
    office.drain(&publisher).await;
    kafka.kill();
    record(6..9).await;
    let step = publisher.step().await.unwrap();
    assert_eq!((step.delivered, step.dead), (0, 0), "{step:?}");
    kafka.restart().unwrap();
    office.drain(&publisher).await;
    let seen = office.everything(&office.cluster.topic).await;
    assert_in_order(&seen, 0..9);
    assert_eq!(office.count("dead").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_forwarders_share_the_topic_and_over_their_coming_and_going_each_event_is_told_once() {
    come_and_go("").await;
}

/// KIP-848: the brokers share out the partitions, one by one.
#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_where_the_brokers_share_out_the_partitions() {
    come_and_go("group.protocol=consumer").await;
}

/// One forwarder, then two, then the other, with these settings of librdkafka.
async fn come_and_go(settings: &str) {
    let (office, inbox) = (open(testbed::kafka()).await, Inbox::open());
    let aggregates: Vec<_> = (0..12).map(|_| Uuid::new_v4()).collect();
    let record = async |numbers: std::ops::Range<i64>| {
        for aggregate in &aggregates {
            office.record(*aggregate, numbers.clone()).await;
        }
        office.drain(&office.publisher(0)).await;
    };
    record(0..3).await;
    let first = Running::start_with(&office, 0, &inbox.url, 5, settings);
    until("the first events", || inbox.numbers().len() >= 36);
    let second = Running::start_with(&office, 1, &inbox.url, 5, settings);
    until("two who share", || {
        let both = [&first, &second];
        both.iter().all(|it| it.metrics.partitions.get() == 2)
    });
    record(3..5).await;
    until("the next events", || inbox.numbers().len() >= 60);
    first.stop().await;
    until("one who has all", || second.metrics.partitions.get() == 4);
    publish_again(&office).await;
    until("the repetitions", || second.metrics.repeated.get() >= 60);
    record(5..6).await;
    until("the last events", || inbox.numbers().len() >= 72);
    assert_eq!(second.status.check(), Ok(()));
    second.stop().await;
    assert_once_and_in_order(&inbox, 12, 0..6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_broker_finds_too_large_is_a_dead_letter_and_those_behind_it_go_on() {
    let office = office(testbed::kafka()).await;
    let topic = office.cluster.topic.clone();
    let small = NewTopic::new(&topic, PARTITIONS, TopicReplication::Fixed(1));
    let small = small.set("max.message.bytes", "2000");
    let made = admin(&office)
        .create_topics(&[small], &AdminOptions::new())
        .await;
    made.unwrap().remove(0).unwrap();
    let publisher = office.publisher(0);
    publisher.ensure_topics().await.unwrap();
    let reservation = Uuid::new_v4();
    let large = json!({ "number": 0, "filler": "x".repeat(5_000) });
    office.record_one(reservation, large).await;
    office.record(reservation, 1..3).await;
    let all = office.drain(&publisher).await;
    assert_eq!((all.delivered, all.dead), (2, 1), "{all:?}");
    assert_in_order(&office.everything(&topic).await, 1..3);
    let dead = office.arrived(&office.cluster.dead_letter_topic(), 1).await;
    let reason = dead[0].headers["dlq_reason"].to_lowercase();
    assert!(reason.contains("large"), "{reason}");
    assert!(dead[0].payload.is_empty(), "the body is what was too large");
}
