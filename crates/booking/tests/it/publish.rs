//! From the outbox to the topic: everything arrives, in order, from however many publishers.

use std::time::Duration;

use booking::db::DbError;
use booking::outbox::{self, Ended, Ending, Leased, PublisherOptions};
use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::publish_post::{Post, TOPIC, assert_in_order};

const LEASE: TimeDelta = TimeDelta::seconds(10);

/// Takes as a publisher does, without sending.
async fn claim(post: &Post, turn: usize, owner: Uuid) -> Vec<Leased> {
    let now = post.clock.now();
    post.db(turn)
        .transaction(move |tx| outbox::claim(tx, owner, now, now + LEASE, 100))
        .await
        .expect("claimed")
}

async fn write_endings(post: &Post, owner: Uuid, seq: i64, ending: Ending) {
    let now = post.clock.now();
    let ended = [Ended { seq, ending }];
    post.db(0)
        .transaction(move |tx| outbox::write_endings(tx, owner, &ended, now))
        .await
        .expect("ended");
}

fn failed(post: &Post, pause: TimeDelta) -> Ending {
    Ending::Failed {
        again_at: post.clock.now() + pause,
        refused: false,
        reason: "away".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_as_a_cloud_event_under_the_key_of_its_aggregate() {
    let post = Post::open().await;
    let reservation = Uuid::new_v4();
    post.record_one(reservation, json!({ "number": 1, "title": "정 \"x\"" }))
        .await;
    let published = post.publisher(0).step().await.unwrap();
    assert_eq!((published.taken, published.delivered), (1, 1));
    let [event] = &post.arrived(TOPIC, 1).await[..] else {
        panic!("one event");
    };
    assert_eq!(event.key, reservation.to_string());
    let header = |name: &str| event.headers[name].as_str();
    assert_eq!(header("ce_specversion"), "1.0");
    assert_eq!(header("ce_source"), "/usher/booking");
    assert_eq!(header("ce_type"), "reservation.held");
    assert_eq!(header("ce_subject"), format!("reservation/{reservation}"));
    assert_eq!(header("content-type"), "application/json");
    assert!(header("ce_time").ends_with('Z') && header("ce_sequence").len() == 20);
    let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
    assert_eq!(payload["title"], "정 \"x\"");
    let stored = "SELECT COUNT(*) FROM outbox WHERE state = 'delivered' AND delivered_at IS NOT NULL \
        AND claimed_by IS NULL AND claimed_until IS NULL";
    assert_eq!(post.fixture.number(stored).await, 1);
    assert_eq!(post.publisher(0).step().await.unwrap().taken, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_publishers_at_once_each_event_is_sent_once_and_in_the_order_of_its_aggregate() {
    let post = Post::open().await;
    for _ in 0..40 {
        post.record(Uuid::new_v4(), 0..6).await;
    }
    let small = PublisherOptions {
        batch: 7,
        ..PublisherOptions::default()
    };
    let publishers: Vec<_> = (0..4)
        .map(|turn| post.publisher_with(turn, "", small))
        .collect();
    // There is more to take than they take together, so none of them goes away empty.
    let first = join_all(publishers.iter().map(|it| it.step())).await;
    let first: Vec<_> = first.into_iter().map(Result::unwrap).collect();
    assert!(first.iter().all(|it| it.taken > 0), "all work: {first:?}");
    let then = join_all(publishers.iter().map(|it| post.drain(it))).await;
    let delivered = first.iter().chain(&then).map(|it| it.delivered);
    assert_eq!(delivered.sum::<usize>(), 240);
    let seen = post.everything(TOPIC).await;
    assert_eq!(seen.len(), 240, "none is sent twice");
    assert_in_order(&seen, 0..6);
}

#[tokio::test]
async fn only_the_earliest_pending_event_of_an_aggregate_can_be_taken() {
    let post = Post::open().await;
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    post.record(one, 0..3).await;
    let [mine, theirs] = [Uuid::new_v4(), Uuid::new_v4()];
    let first = claim(&post, 0, mine).await;
    assert_eq!(first.len(), 1, "the head alone");
    assert_eq!(claim(&post, 1, theirs).await.len(), 0, "nothing behind it");
    post.record(other, 0..1).await;
    assert_eq!(claim(&post, 1, theirs).await[0].aggregate_id, other);

    write_endings(
        &post,
        mine,
        first[0].seq,
        failed(&post, TimeDelta::seconds(5)),
    )
    .await;
    assert_eq!(
        claim(&post, 1, theirs).await.len(),
        0,
        "nothing overtakes a pause"
    );
    post.clock.advance(Duration::from_secs(5));
    let again = claim(&post, 1, theirs).await;
    assert_eq!((again[0].id, again[0].attempts), (first[0].id, 1));
    write_endings(&post, theirs, again[0].seq, Ending::Delivered).await;
    let next = claim(&post, 0, mine).await;
    assert_eq!((next.len(), next[0].seq > first[0].seq), (1, true));
    let reason = "no".to_owned();
    write_endings(&post, mine, next[0].seq, Ending::Dead { reason }).await;
    assert_eq!(
        claim(&post, 0, mine).await.len(),
        1,
        "what was given up blocks nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_take_at_the_same_time_never_take_the_same_event_nor_two_of_an_aggregate() {
    let post = Post::open().await;
    let aggregates: Vec<_> = (0..60).map(|_| Uuid::new_v4()).collect();
    for aggregate in &aggregates {
        post.record(*aggregate, 0..3).await;
    }
    let now = post.clock.now();
    let taken = crate::fixture::all_at_once((0..8).map(|turn| {
        let db = post.db(turn);
        async move {
            let mut all = Vec::new();
            let owner = Uuid::new_v4();
            for _ in 0..5 {
                let claimed: Result<_, DbError> = db
                    .transaction(move |tx| outbox::claim(tx, owner, now, now + LEASE, 3))
                    .await;
                all.extend(claimed.expect("claimed"));
            }
            all
        }
    }))
    .await;
    let mut taken: Vec<_> = taken.into_iter().flatten().collect();
    assert!(taken.len() <= aggregates.len());
    taken.extend(claim(&post, 0, Uuid::new_v4()).await);
    let mut heads: Vec<_> = taken.iter().map(|it| it.aggregate_id).collect();
    heads.sort();
    heads.dedup();
    assert_eq!((taken.len(), heads.len()), (60, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_had_in_hand_when_it_was_killed_is_sent_by_another_when_the_lease_ends() {
    let post = Post::open().await;
    post.record(Uuid::new_v4(), 0..2).await;
    let in_hand = claim(&post, 0, Uuid::new_v4()).await;
    let publisher = post.publisher(1);
    assert_eq!(publisher.step().await.unwrap().taken, 0);
    post.clock.advance(Duration::from_secs(11));
    assert_eq!(post.drain(&publisher).await.delivered, 2);
    let seen = post.everything(TOPIC).await;
    assert_eq!(seen[0].id(), in_hand[0].id);
    assert_in_order(&seen, 0..2);
}

#[tokio::test]
async fn a_publisher_that_lost_its_lease_may_say_that_an_event_arrived_and_nothing_else() {
    let post = Post::open().await;
    post.record(Uuid::new_v4(), 0..1).await;
    let [late, present] = [Uuid::new_v4(), Uuid::new_v4()];
    let seq = claim(&post, 0, late).await[0].seq;
    post.clock.advance(Duration::from_secs(11));
    assert_eq!(claim(&post, 1, present).await[0].seq, seq);
    write_endings(&post, late, seq, failed(&post, TimeDelta::days(1))).await;
    let reason = "no".to_owned();
    write_endings(&post, late, seq, Ending::Dead { reason }).await;
    let untouched = "SELECT COUNT(*) FROM outbox WHERE state = 'pending' AND attempts = 0 AND claimed_by IS NOT NULL";
    assert_eq!(post.fixture.number(untouched).await, 1);
    write_endings(&post, late, seq, Ending::Delivered).await;
    assert_eq!(post.count("delivered").await, 1);
}

#[tokio::test]
async fn delivered_events_are_forgotten_after_a_while_and_no_others() {
    let post = Post::open().await;
    for _ in 0..4 {
        post.record(Uuid::new_v4(), 0..1).await;
    }
    let owner = Uuid::new_v4();
    let taken = claim(&post, 0, owner).await;
    for event in &taken[..2] {
        write_endings(&post, owner, event.seq, Ending::Delivered).await;
    }
    let reason = "no".to_owned();
    write_endings(&post, owner, taken[2].seq, Ending::Dead { reason }).await;
    let forget = async |older_than, batch| {
        let forgotten: Result<_, DbError> = post
            .db(0)
            .transaction(move |tx| outbox::forget(tx, older_than, batch))
            .await;
        forgotten.expect("forgotten")
    };
    let before = post.clock.now() - TimeDelta::days(7);
    assert_eq!(forget(before, 10).await, 0, "still young");
    let after = post.clock.now() + TimeDelta::seconds(1);
    assert_eq!(forget(after, 1).await, 1, "a batch at most");
    assert_eq!(forget(after, 10).await, 1);
    assert_eq!(
        (post.count("dead").await, post.count("pending").await),
        (1, 1)
    );
}
