//! What brokers do at the worst moment, and that every event still arrives, in order, under the same id.

use std::time::Duration;

use booking::outbox::{Published, PublisherOptions};
use rdkafka::bindings::rd_kafka_resp_err_t as Code;
use serde_json::json;
use uuid::Uuid;

use crate::publish_post::{BROKER, DEAD, Post, TOPIC, assert_in_order, patient};

/// Events that fail soon, so that these tests need not wait for a minute.
const IMPATIENT: &str = "message.timeout.ms=1500";

async fn two_reservations(post: &Post) {
    for _ in 0..2 {
        post.record(Uuid::new_v4(), 0..3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_broker_is_down_events_wait_under_way_and_arrive_when_it_is_up() {
    let post = Post::open().await;
    let publisher = post.publisher_with(0, "", PublisherOptions::default());
    post.record(Uuid::new_v4(), 0..1).await;
    assert_eq!(post.drain(&publisher).await.delivered, 1);
    post.broker.broker_down(BROKER).unwrap();
    post.record(Uuid::new_v4(), 0..1).await;
    let step = publisher.step().await.unwrap();
    assert_eq!((step.taken, step.delivered, step.in_flight), (1, 0, 1));
    let other = post.publisher(1);
    // As long as its publisher steps, nobody else gets it, however late it is.
    for _ in 0..3 {
        post.clock.advance(Duration::from_secs(8));
        assert_eq!(publisher.step().await.unwrap().in_flight, 1);
        assert_eq!(other.step().await.unwrap().taken, 0);
    }
    post.broker.broker_up(BROKER).unwrap();
    post.drain(&publisher).await;
    assert_eq!(post.everything(TOPIC).await.len(), 2, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_is_longer_than_a_send_lives_kills_no_event() {
    let post = Post::open().await;
    let options = PublisherOptions {
        refusals: 1,
        ..PublisherOptions::default()
    };
    let publisher = post.publisher_with(0, IMPATIENT, options);
    two_reservations(&post).await;
    post.broker.broker_down(BROKER).unwrap();
    let mut failed = 0;
    while failed < 4 {
        failed += publisher.step().await.unwrap().failed;
        post.clock.advance(Duration::from_secs(40));
    }
    let waits = "SELECT COUNT(*) FROM outbox WHERE state = 'pending' AND attempts > 0 AND refusals = 0 AND last_error IS NOT NULL";
    assert_eq!(post.fixture.number(waits).await, 2, "the two heads");
    post.broker.broker_up(BROKER).unwrap();
    let all = post.drain(&publisher).await;
    assert_eq!((all.delivered, all.dead), (6, 0));
    assert_in_order(&post.everything(TOPIC).await, 0..3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_broker_keeps_a_step_no_longer_than_its_patience_and_loses_nothing() {
    let post = Post::open().await;
    let options = PublisherOptions {
        patience: Duration::from_millis(50),
        ..PublisherOptions::default()
    };
    let publisher = post.publisher_with(0, "", options);
    // Several such round trips stand before the first event is there: no machine is so busy that a step sees it.
    let slow = Duration::from_secs(3);
    post.broker.broker_round_trip_time(BROKER, slow).unwrap();
    two_reservations(&post).await;
    let step = publisher.step().await.unwrap();
    assert_eq!((step.taken, step.delivered), (2, 0));
    post.record(Uuid::new_v4(), 0..3).await;
    let step = publisher.step().await.unwrap();
    assert_eq!(
        (step.taken, step.in_flight),
        (1, 3),
        "others are taken meanwhile: {step:?}"
    );
    let slow = Duration::from_millis(300);
    post.broker.broker_round_trip_time(BROKER, slow).unwrap();
    post.drain(&publisher).await;
    let seen = post.everything(TOPIC).await;
    assert_eq!(seen.len(), 9);
    assert_in_order(&seen, 0..3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_for_a_while_delays_events_and_does_not_reorder_them() {
    let post = Post::open().await;
    let publisher = post.publisher(0);
    two_reservations(&post).await;
    post.refuse(Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, 3);
    let all = post.drain(&publisher).await;
    assert_eq!((all.delivered, all.dead), (6, 0));
    assert!(all.failed > 0, "{all:?}");
    let refused = "SELECT COUNT(*) FROM outbox WHERE refusals > 0 AND last_error LIKE '%olicy%'";
    assert!(post.fixture.number(refused).await > 0);
    assert_in_order(&post.everything(TOPIC).await, 0..3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_cannot_be_used_is_an_alarm_and_makes_no_dead_letter() {
    let post = Post::open().await;
    let options = PublisherOptions {
        refusals: 1,
        ..patient()
    };
    let publisher = post.publisher_with(0, "", options);
    two_reservations(&post).await;
    for lost in [
        Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        Code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    ] {
        post.refuse(lost, 5);
        let step = publisher.step().await.unwrap();
        assert_eq!((step.dead, step.delivered), (0, 0), "{step:?}");
        assert!(publisher.topic_trouble().is_some());
        post.clock.advance(Duration::from_secs(60));
    }
    let all = post.drain(&publisher).await;
    assert_eq!((all.delivered, all.dead), (6, 0), "{all:?}");
    assert_eq!(publisher.topic_trouble(), None);
    let refused = "SELECT COUNT(*) FROM outbox WHERE refusals > 0";
    assert_eq!(post.fixture.number(refused).await, 0);
    assert_in_order(&post.everything(TOPIC).await, 0..3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_for_the_last_time_is_a_dead_letter_with_the_reason() {
    let post = Post::open().await;
    let options = PublisherOptions {
        refusals: 3,
        ..PublisherOptions::default()
    };
    let publisher = post.publisher_with(0, "", options);
    let reservation = Uuid::new_v4();
    post.record(reservation, 0..2).await;
    // Every request about this one event is refused; the dead letter then passes.
    post.refuse(Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, 3);
    let all = post.drain(&publisher).await;
    assert_eq!((all.failed, all.dead, all.delivered), (2, 1, 1), "{all:?}");
    let dead = post.arrived(DEAD, 1).await;
    assert_eq!(
        (dead[0].key.as_str(), dead[0].number()),
        (reservation.to_string().as_str(), 0)
    );
    assert!(dead[0].headers["dlq_reason"].contains("olicy"), "{dead:?}");
    assert_eq!(dead[0].headers["ce_type"], "reservation.held");
    let seen = post.everything(TOPIC).await;
    assert_eq!(
        seen.iter().map(|it| it.number()).collect::<Vec<_>>(),
        [1],
        "what is behind it goes on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_letters_do_not_take_is_not_given_up() {
    let post = Post::open().await;
    let options = PublisherOptions {
        refusals: 1,
        ..patient()
    };
    let publisher = post.publisher_with(0, "", options);
    post.record(Uuid::new_v4(), 0..1).await;
    post.refuse(Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, 2);
    assert_eq!(publisher.step().await.unwrap().failed, 1);
    assert_eq!(post.count("pending").await, 1);
    let all = post.drain(&publisher).await;
    assert_eq!((all.delivered, all.dead), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_goes_to_the_dead_letters_at_once_and_those_behind_it_go_on() {
    let post = Post::open().await;
    let reservation = Uuid::new_v4();
    let poison = json!({ "number": 0, "filler": "x".repeat(1_100_000) });
    post.record_one(reservation, poison).await;
    post.record(reservation, 1..3).await;
    post.record(Uuid::new_v4(), 1..3).await;
    let all = post.drain(&post.publisher(0)).await;
    assert_eq!((all.delivered, all.dead, all.failed), (4, 1, 0));
    assert_in_order(&post.everything(TOPIC).await, 1..3);
    let dead = post.arrived(DEAD, 1).await;
    assert_eq!(dead[0].key, reservation.to_string());
    assert!(dead[0].payload.is_empty(), "the body is what nobody takes");
    assert!(
        dead[0].headers["dlq_reason"]
            .to_lowercase()
            .contains("too large"),
        "{dead:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fatal_error_a_new_producer_takes_over() {
    let post = Post::open().await;
    let publisher = post.publisher(0);
    post.record(Uuid::new_v4(), 0..1).await;
    assert_eq!(
        publisher.step().await.unwrap(),
        Published {
            taken: 1,
            delivered: 1,
            ..Published::default()
        }
    );
    two_reservations(&post).await;
    post.refuse(Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 1);
    let all = post.drain(&publisher).await;
    assert_eq!(all.delivered, 6);
    assert!(all.failed > 0, "the old producer is dead: {all:?}");
    let seen = post.everything(TOPIC).await;
    assert_eq!(seen.len(), 7);
}
