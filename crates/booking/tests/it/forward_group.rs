//! Forwarders in a group: they come and go, and the receiver gets each event once and in order.

use std::collections::BTreeMap;

use booking::forwarder::Forwarder;
use booking::metrics::ForwardMetrics;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::forward_inbox::{Inbox, RECEIVER, deliverer};
use crate::publish_post::{DEAD, DEADLINE, Post};

/// The stand-in lets a group wait for as long as a session before it shares anew, and for 3 s before the first time.
const SOON: &str = "session.timeout.ms=4500;heartbeat.interval.ms=500";

struct Running {
    metrics: ForwardMetrics,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// `refusals` as many as a receiver may refuse an event.
    fn start(post: &Post, turn: usize, url: &str, refusals: u32) -> Self {
        let metrics = ForwardMetrics::register(&Registry::new());
        let deliverer = deliverer(post, turn, url, refusals);
        let forwarder = Forwarder::new(&post.cluster(SOON), RECEIVER, deliverer, metrics.clone());
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(forwarder.expect("a member").run(stopping));
        Self {
            metrics,
            stop,
            task,
        }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        let ended = timeout(DEADLINE, self.task).await;
        ended.expect("ended in time").expect("ended well");
    }
}

/// The forwarders run on other threads meanwhile.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    testbed::wait_for(what, DEADLINE, || is_so().then_some(())).unwrap();
}

/// Publishes what is recorded, and once more what was published before, as after an answer that was lost.
async fn publish_again(post: &Post) {
    let again =
        "UPDATE outbox SET state = 'pending', delivered_at = NULL WHERE state = 'delivered'";
    post.fixture.raw(again).await.unwrap();
    post.drain(&post.publisher(0)).await;
}

fn assert_once_and_in_order(inbox: &Inbox, aggregates: usize, numbers: std::ops::Range<i64>) {
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
