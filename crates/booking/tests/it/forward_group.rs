//! Forwarders in a group: they come and go, and the receiver gets each event once and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use booking::forwarder::{Forwarder, Status, WatchOptions};
use booking::metrics::ForwardMetrics;
use prometheus::Registry;
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use rdkafka::types::RDKafkaApiKey;
use testbed::eventually;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::forward_inbox::{Inbox, RECEIVER, deliverer};
use crate::publish_post::{BROKER, DEAD, DEADLINE, Office, Post, TOPIC};

/// The stand-in lets a group wait for as long as a session before it shares anew, and for 3 s before the first time.
const SOON: &str = "session.timeout.ms=4500;heartbeat.interval.ms=500";

/// How long a forwarder may stand still here before it says so; longer than a rebalance of the stand-in.
const STILL: Duration = Duration::from_secs(15);
/// What a forwarder has in hand at most, and the one that it was reading when it paused.
const IN_HAND_MOST: i64 = 513;

/// A forwarder in this process.
pub struct Running {
    pub metrics: ForwardMetrics,
    pub status: Status,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// `refusals` as many as a receiver may refuse an event.
    fn start(post: &Office, turn: usize, url: &str, refusals: u32) -> Self {
        Self::start_with(post, turn, url, refusals, SOON)
    }

    /// With these settings of librdkafka.
    pub fn start_with(
        post: &Office,
        turn: usize,
        url: &str,
        refusals: u32,
        settings: &str,
    ) -> Self {
        let metrics = ForwardMetrics::register(&Registry::new());
        let deliverer = deliverer(post, turn, url, refusals);
        let (cluster, clock) = (post.cluster(settings), post.clock.clone());
        let forwarder = Forwarder::new(&cluster, RECEIVER, deliverer, clock, metrics.clone());
        let forwarder = forwarder.expect("a member").watching(WatchOptions {
            every: Duration::from_millis(200),
            still: STILL,
        });
        let status = forwarder.status();
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(forwarder.run(stopping));
        Self {
            metrics,
            status,
            stop,
            task,
        }
    }

    pub async fn stop(self) {
        self.stop.send_replace(true);
        let ended = timeout(DEADLINE, self.task).await;
        ended.expect("ended in time").expect("ended well");
    }
}

/// The forwarders run on other threads meanwhile.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    testbed::wait_for(what, DEADLINE, || is_so().then_some(())).unwrap();
}

/// Publishes what is recorded, and once more what was published before, as after an answer that was lost.
pub async fn publish_again(post: &Office) {
    let again =
        "UPDATE outbox SET state = 'pending', delivered_at = NULL WHERE state = 'delivered'";
    post.fixture.raw(again).await.unwrap();
    post.drain(&post.publisher(0)).await;
}

pub fn assert_once_and_in_order(inbox: &Inbox, aggregates: usize, numbers: std::ops::Range<i64>) {
    let mut by_subject: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for posted in inbox.posted().iter().filter(|it| it.answered < 300) {
        let events = by_subject.entry(posted.subject.clone()).or_default();
        events.push(posted.number);
    }
    assert_eq!(by_subject.len(), aggregates);
    for (subject, got) in by_subject {
        assert_eq!(got, numbers.clone().collect::<Vec<_>>(), "{subject}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_forwarders_come_and_go_the_receiver_gets_each_event_once_and_in_order() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    let aggregates: Vec<_> = (0..12).map(|_| Uuid::new_v4()).collect();
    for aggregate in &aggregates {
        post.record(*aggregate, 0..3).await;
    }
    post.drain(&post.publisher(0)).await;
    let first = Running::start(&post, 0, &inbox.url, 5);
    until("the first events", || inbox.numbers().len() >= 36);
    publish_again(&post).await;
    until("the repetitions", || first.metrics.repeated.get() >= 36);
    let second = Running::start(&post, 1, &inbox.url, 5);
    for aggregate in &aggregates {
        post.record(*aggregate, 3..5).await;
    }
    post.drain(&post.publisher(1)).await;
    until("the next events", || inbox.numbers().len() >= 60);
    first.stop().await;
    publish_again(&post).await;
    until("the last repetitions", || {
        second.metrics.repeated.get() >= 60
    });
    second.stop().await;
    assert_once_and_in_order(&inbox, 12, 0..5);
    assert!(inbox.posted().iter().all(|it| it.verified));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_before_the_receiver_has_it() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    for _ in 0..3 {
        post.record(Uuid::new_v4(), 0..2).await;
    }
    post.drain(&post.publisher(0)).await;
    let unreachable = Running::start(&post, 0, "http://127.0.0.1:1/", 1);
    until("failed tries", || unreachable.metrics.failed.get() >= 3);
    unreachable.stop().await;
    let next = Running::start(&post, 1, &inbox.url, 1);
    until("all events", || inbox.numbers().len() >= 6);
    next.stop().await;
    assert_once_and_in_order(&inbox, 3, 0..2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_goes_to_the_dead_letters_and_those_behind_it_go_on() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    inbox.poison(1, 422);
    let reservation = Uuid::new_v4();
    post.record(reservation, 0..4).await;
    post.drain(&post.publisher(0)).await;
    let running = Running::start(&post, 0, &inbox.url, 2);
    until("what is behind it", || inbox.numbers() == [0, 2, 3]);
    running.stop().await;
    let dead = post.everything(DEAD).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].number(), &dead[0].key),
        (1, &reservation.to_string())
    );
    assert_eq!(dead[0].headers["dlq_reason"], "the receiver answered 422");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_come_and_go_while_reading_is_paused_stay_bounded_and_are_read_afterwards()
{
    const EVENTS: i64 = 1_500;
    let (post, inbox) = (Post::open().await, Inbox::silent());
    post.put_on_topic(0..EVENTS, "").await;
    let first = Running::start(&post, 0, &inbox.url, 5);
    until("a full hand", || first.metrics.in_hand.get() >= 512);
    let second = Running::start(&post, 1, &inbox.url, 5);
    let (mut most, metrics) = (0, [&first.metrics, &second.metrics]);
    until("two who share", || {
        let in_hand = metrics.map(|it| it.in_hand.get());
        most = in_hand.into_iter().fold(most, i64::max);
        metrics.iter().all(|it| it.partitions.get() == 2)
            && metrics.iter().all(|it| it.in_hand.get() >= 512)
    });
    second.stop().await;
    until("all partitions back", || {
        most = most.max(first.metrics.in_hand.get());
        first.metrics.partitions.get() == 4
    });
    assert!(most <= IN_HAND_MOST, "{most} in hand");
    inbox.speak();
    until("every event", || {
        let numbers: BTreeSet<i64> = inbox.numbers().into_iter().collect();
        numbers.len() as i64 == EVENTS
    });
    until("nothing behind", || first.metrics.waiting.get() == 0);
    assert_eq!(first.status.check(), Ok(()));
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_codec_of_kafka_can_be_read() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    let mut numbers = 0..0;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        numbers = numbers.end..numbers.end + 20;
        let settings = format!("compression.codec={codec};linger.ms=50");
        post.put_on_topic(numbers.clone(), &settings).await;
    }
    let running = Running::start(&post, 0, &inbox.url, 5);
    until("all codecs", || inbox.numbers().len() == 100);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_and_is_not_read_is_not_ready_and_an_alarm() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    post.put_on_topic(0..10, "").await;
    let refused = [Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 10_000];
    post.broker.request_errors(RDKafkaApiKey::Fetch, &refused);
    let running = Running::start(&post, 0, &inbox.url, 5);
    until("the alarm", || {
        let told = running.status.check().err().unwrap_or_default();
        told.contains("stands still") && running.metrics.troubled.get() == 1
    });
    assert!(running.metrics.waiting.get() == 10, "all of them wait");
    post.broker.clear_request_errors(RDKafkaApiKey::Fetch);
    until("all events", || inbox.numbers().len() == 10);
    until("ready again", || running.status.check().is_ok());
    assert_eq!(running.metrics.troubled.get(), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_away_and_a_topic_that_is_missing_are_not_ready() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    let running = Running::start(&post, 0, &inbox.url, 5);
    until("ready", || running.status.check().is_ok());
    post.broker.broker_down(BROKER).unwrap();
    until("not ready", || running.status.check().is_err());
    post.broker.broker_up(BROKER).unwrap();
    until("ready again", || running.status.check().is_ok());
    let missing = Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    post.broker.topic_error(TOPIC, missing).unwrap();
    until("a word about the topic", || {
        let told = running.status.check().err().unwrap_or_default();
        told.contains(TOPIC)
    });
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_how_far_a_receiver_is_behind() {
    let (post, inbox) = (Post::open().await, Inbox::silent());
    post.put_on_topic(0..7, "").await;
    let running = Running::start(&post, 0, &inbox.url, 5);
    until("the lag", || running.metrics.waiting.get() == 7);
    let shown = async || {
        post.db(0)
            .read(booking::forwarder::endpoints)
            .await
            .unwrap()
    };
    eventually(DEADLINE, "the lag as it is written", async || {
        (shown().await.first()?.waiting == 7).then_some(())
    })
    .await;
    let endpoint = &shown().await[0];
    assert_eq!(endpoint.receiver, RECEIVER);
    assert!(endpoint.oldest_at.is_some() && endpoint.measured_at.is_some());
    inbox.speak();
    until("nothing behind", || running.metrics.waiting.get() == 0);
    running.stop().await;
}
