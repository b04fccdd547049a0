//! From the topic to the receiver: each event once, signed, in order; what cannot be passed on is not lost.

use std::time::Duration;

use booking::db::{DbError, Page};
use booking::forwarder::{self, Claimed, Deliverer, Delivery, Outcome, Receipt};

use booking::kafka::Message;
use booking::outbox::{self, RedeliverError};
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use testbed::eventually;
use uuid::Uuid;

use crate::fixture::OPERATOR;
use crate::forward_inbox::{Inbox, RECEIVER, deliver, deliverer, message};
use crate::publish_post::{DEAD, DEADLINE, Post, TOPIC};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_posted_once_and_signed_and_a_repetition_is_dropped() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    let id = Uuid::new_v4();
    let deliverer = deliverer(&post, 0, &inbox.url, 5);
    assert_eq!(
        deliver(&deliverer, message(id, 1)).await,
        (Outcome::Passed, 1)
    );
    assert_eq!(
        deliver(&deliverer, message(id, 1)).await,
        (Outcome::Repeated, 1)
    );
    let other = crate::forward_inbox::deliverer(&post, 1, &inbox.url, 5);
    assert_eq!(
        deliver(&other, message(id, 1)).await,
        (Outcome::Repeated, 1)
    );
    let [posted] = &inbox.posted()[..] else {
        panic!("one request: {:?}", inbox.posted());
    };
    assert_eq!((posted.id.clone(), posted.verified), (id.to_string(), true));
    assert_eq!(posted.body["type"], "reservation.held");
    assert_eq!(posted.body["timestamp"], "2026-05-01T10:00:00.000Z");
    assert_eq!(posted.body["sequence"], "00000000000000000001");
    assert_eq!(
        (posted.subject.as_str(), posted.number),
        ("reservation/1", 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_is_tried_again_after_growing_pauses_under_the_same_id() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    inbox.answer(&[500, 302, 422]);
    let deliverer = deliverer(&post, 0, &inbox.url, 5);
    let mut delivery = Delivery::new(message(Uuid::new_v4(), 1));
    for whole_s in [1, 2, 4] {
        let Outcome::Later(pause) = deliverer.attempt(&mut delivery).await else {
            panic!("refused");
        };
        let whole = Duration::from_secs(whole_s);
        assert!(whole / 2 <= pause && pause <= whole, "{pause:?}");
    }
    assert_eq!(deliverer.attempt(&mut delivery).await, Outcome::Passed);
    let posted = inbox.posted();
    assert_eq!(posted.len(), 4);
    assert!(posted.iter().all(|it| it.id == posted[0].id && it.verified));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_refused_too_often_is_a_dead_letter_also_over_restarts() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    inbox.answer(&[400; 3]);
    let id = Uuid::new_v4();
    let mut delivery = Delivery::new(message(id, 1));
    let first = deliverer(&post, 0, &inbox.url, 3);
    assert!(matches!(
        first.attempt(&mut delivery).await,
        Outcome::Later(_)
    ));
    drop(first);
    let next = deliverer(&post, 1, &inbox.url, 3);
    assert_eq!(
        deliver(&next, message(id, 1)).await,
        (Outcome::DeadLettered, 2)
    );
    let dead = post.arrived(DEAD, 1).await;
    assert_eq!((dead[0].id(), dead[0].number()), (id, 1));
    assert_eq!(dead[0].headers["dlq_reason"], "the receiver answered 400");
    assert_eq!(deliver(&next, message(id, 1)).await.0, Outcome::Repeated);
    assert_eq!(
        deliver(&next, message(Uuid::new_v4(), 2)).await.0,
        Outcome::Passed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_stops_the_receiver_for_all_forwarders_until_an_operator_resumes_it() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    inbox.answer(&[410]);
    let first = deliverer(&post, 0, &inbox.url, 1);
    let mut delivery = Delivery::new(message(Uuid::new_v4(), 0));
    let attempt = async |deliverer: &Deliverer, delivery: &mut Delivery| {
        matches!(deliverer.attempt(delivery).await, Outcome::Held(_))
    };
    assert!(attempt(&first, &mut delivery).await, "nothing is given up");
    assert!(first.seems_stopped());
    let mut other = Delivery::new(message(Uuid::new_v4(), 1));
    assert!(attempt(&first, &mut other).await);
    let another = deliverer(&post, 1, &inbox.url, 1);
    assert!(attempt(&another, &mut other).await, "it reads that first");
    assert_eq!(inbox.posted().len(), 1, "nobody asks the receiver again");
    let endpoints = post.db(0).read(forwarder::endpoints).await.unwrap();
    assert!(endpoints[0].stopped.is_some(), "{endpoints:?}");

    let now = post.clock.now();
    let resumed: Result<_, DbError> = post
        .db(0)
        .transaction(move |tx| forwarder::resume(tx, OPERATOR, now))
        .await;
    assert_eq!(resumed.unwrap(), [RECEIVER]);
    eventually(DEADLINE, "the receiver again", async || {
        (first.attempt(&mut delivery).await == Outcome::Passed).then_some(())
    })
    .await;
    assert_eq!(inbox.numbers(), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sends_again_what_was_given_up_and_sees_all_tries_that_failed() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    post.record(Uuid::new_v4(), 0..1).await;
    post.drain(&post.publisher(0)).await;
    let id = post.arrived(TOPIC, 1).await[0].id();
    inbox.answer(&[503, 503, 400, 400]);
    let deliverer = deliverer(&post, 0, &inbox.url, 2);
    assert_eq!(
        deliver(&deliverer, message(id, 0)).await,
        (Outcome::DeadLettered, 4)
    );
    let now = post.clock.now();
    let redelivered = post
        .db(0)
        .transaction(move |tx| {
            let page = Page {
                limit: 1,
                after: None,
            };
            let shown = outbox::dead_letters(tx, page)?;
            outbox::redeliver(tx, id, OPERATOR, now)?;
            Ok::<_, RedeliverError>(shown)
        })
        .await
        .unwrap();
    assert_eq!((redelivered[0].id, redelivered[0].attempts), (id, 4));
    let reason = redelivered[0].last_error.as_deref();
    assert_eq!(reason, Some("the receiver answered 400"));
    post.drain(&post.publisher(0)).await;
    let again = post.everything(TOPIC).await;
    assert_eq!((again.len(), again[1].id()), (2, id));
    assert_eq!(
        deliver(&deliverer, message(id, 0)).await,
        (Outcome::Passed, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_may_name_the_instant_until_which_it_is_away() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    inbox.away_for(TimeDelta::seconds(40));
    inbox.answer(&[503]);
    let deliverer = deliverer(&post, 0, &inbox.url, 5);
    let mut delivery = Delivery::new(message(Uuid::new_v4(), 1));
    let Outcome::Later(pause) = deliverer.attempt(&mut delivery).await else {
        panic!("away");
    };
    // The date has whole seconds.
    let (least, most) = (Duration::from_secs(30), Duration::from_secs(40));
    assert!(least <= pause && pause <= most, "{pause:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_refuses_nothing_and_may_say_how_long_to_wait() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    inbox.answer(&[502, 504, 429, 503]);
    let away = deliverer(&post, 0, &inbox.url, 1);
    let mut delivery = Delivery::new(message(Uuid::new_v4(), 1));
    for _ in 0..3 {
        assert!(matches!(
            away.attempt(&mut delivery).await,
            Outcome::Later(_)
        ));
    }
    let Outcome::Later(pause) = away.attempt(&mut delivery).await else {
        panic!("away");
    };
    assert!(pause >= Duration::from_secs(7), "{pause:?}");
    assert_eq!(away.attempt(&mut delivery).await, Outcome::Passed);

    let nobody = deliverer(&post, 0, "http://user:hunter2@127.0.0.1:1/events", 1);
    let mut delivery = Delivery::new(message(Uuid::new_v4(), 2));
    for _ in 0..3 {
        assert!(matches!(
            nobody.attempt(&mut delivery).await,
            Outcome::Later(_)
        ));
    }
    let told = "SELECT COUNT(*) FROM forwarded_events WHERE state = 'sending' AND attempts = 0 \
        AND last_error LIKE '%refused%' AND last_error NOT LIKE '%hunter2%'";
    assert_eq!(post.fixture.number(told).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_alone_breaks_the_receiver_is_given_up_although_it_seems_to_be_away() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    inbox.poison(1, 502);
    let deliverer = deliverer(&post, 0, &inbox.url, 3);
    let mut poison = Delivery::new(message(Uuid::new_v4(), 1));
    for _ in 0..5 {
        assert!(matches!(
            deliverer.attempt(&mut poison).await,
            Outcome::Later(_)
        ));
    }
    assert_eq!(
        deliver(&deliverer, message(Uuid::new_v4(), 2)).await.0,
        Outcome::Passed
    );
    for _ in 0..2 {
        assert!(matches!(
            deliverer.attempt(&mut poison).await,
            Outcome::Later(_)
        ));
    }
    assert_eq!(deliverer.attempt(&mut poison).await, Outcome::DeadLettered);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_try_the_same_event_at_once_one_posts_it() {
    let (post, inbox) = (Post::open().await, Inbox::silent());
    let id = Uuid::new_v4();
    let deliverers: Vec<_> = (0..8)
        .map(|turn| deliverer(&post, turn, &inbox.url, 5))
        .collect();
    let mut tries: FuturesUnordered<_> = deliverers
        .iter()
        .map(|deliverer| async move { deliverer.attempt(&mut Delivery::new(message(id, 1))).await })
        .collect();
    // The one that posts waits for its answer while the others are told to come later.
    for _ in 0..7 {
        let told = tries.next().await.unwrap();
        assert!(matches!(told, Outcome::Held(_)), "{told:?}");
    }
    inbox.speak();
    assert_eq!(tries.next().await, Some(Outcome::Passed));
    assert_eq!(inbox.posted().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_forwarder_was_killed_is_tried_by_another_when_the_claim_ends() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    let receipt = Receipt {
        event_id: Uuid::new_v4(),
        receiver: RECEIVER.to_owned(),
        owner: Uuid::new_v4(),
    };
    let (now, killed) = (post.clock.now(), receipt.clone());
    let claimed: Result<_, DbError> = post
        .db(0)
        .transaction(move |tx| forwarder::claim(tx, &killed, now, now + TimeDelta::seconds(15)))
        .await;
    assert_eq!(claimed.unwrap(), Claimed::Mine { attempts: 0 });
    let deliverer = deliverer(&post, 1, &inbox.url, 5);
    let mut delivery = Delivery::new(message(receipt.event_id, 1));
    assert!(matches!(
        deliverer.attempt(&mut delivery).await,
        Outcome::Held(_)
    ));
    assert_eq!(inbox.posted().len(), 0);
    post.clock.advance(Duration::from_secs(16));
    assert_eq!(deliverer.attempt(&mut delivery).await, Outcome::Passed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_goes_to_the_dead_letters() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    let stray = Message {
        key: "stray".into(),
        headers: Vec::new(),
        payload: b"hello".to_vec(),
    };
    let deliverer = deliverer(&post, 0, &inbox.url, 5);
    assert_eq!(deliver(&deliverer, stray).await, (Outcome::DeadLettered, 1));
    let dead = post.arrived(DEAD, 1).await;
    assert_eq!(
        (dead[0].key.as_str(), dead[0].payload.as_str()),
        ("stray", "hello")
    );
    assert!(dead[0].headers["dlq_reason"].contains("ce_id"));
    assert_eq!(inbox.posted().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_forgotten_after_a_while() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    let deliverer = deliverer(&post, 0, &inbox.url, 5);
    for number in 0..3 {
        deliver(&deliverer, message(Uuid::new_v4(), number)).await;
    }
    let forget = async |older_than, batch| {
        let forgotten: Result<_, DbError> = post
            .db(0)
            .transaction(move |tx| forwarder::forget(tx, older_than, batch))
            .await;
        forgotten.expect("forgotten")
    };
    assert_eq!(forget(post.clock.now() - TimeDelta::days(1), 10).await, 0);
    let after = post.clock.now() + TimeDelta::seconds(1);
    assert_eq!(forget(after, 2).await, 2);
    assert_eq!(forget(after, 10).await, 1);
}
