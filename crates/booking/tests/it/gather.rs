//! What comes together is written together: many events cost few transactions, and each arrives once and in its order.

use booking::db::{Db, DbError};
use booking::forwarder::{self, Claimed, Delivery, Outcome, Receipt};
use booking::outbox::PublisherOptions;
use chrono::TimeDelta;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::forward_inbox::{Inbox, RECEIVER, deliverer, message};
use crate::publish_post::{DEADLINE, Post, TOPIC, assert_in_order, patient};

fn transactions(db: &Db) -> u64 {
    let of = db.metrics().duration.with_label_values(&["transaction"]);
    of.get_sample_count()
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_in_a_row_take_one_transaction_each() {
    let post = Post::open().await;
    for _ in 0..5 {
        post.record(Uuid::new_v4(), 0..3).await;
    }
    let whole = PublisherOptions {
        gather: DEADLINE,
        ..patient()
    };
    let (publisher, db) = (post.publisher_with(0, "", whole), post.db(0));
    let before = transactions(&db);
    let mut delivered = Vec::new();
    loop {
        let published = publisher.round().await.unwrap();
        delivered.push(published.delivered);
        if !published.has_more() {
            break;
        }
    }
    assert_eq!(
        delivered,
        [0, 5, 5, 5],
        "each writes what the one before sent"
    );
    assert_eq!(transactions(&db) - before, 4);
    assert_eq!(
        publisher.end().await.unwrap().delivered,
        0,
        "nothing is left"
    );
    let written = "SELECT COUNT(*) FROM outbox WHERE state = 'delivered' AND claimed_by IS NULL";
    assert_eq!(post.fixture.number(written).await, 15);
    let seen = post.everything(TOPIC).await;
    assert_eq!(seen.len(), 15, "none is sent twice");
    assert_in_order(&seen, 0..3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_round_sent_is_written_at_the_end_where_no_other_follows() {
    let post = Post::open().await;
    post.record(Uuid::new_v4(), 0..2).await;
    let publisher = post.publisher(0);
    assert_eq!(publisher.round().await.unwrap().taken, 1);
    assert_eq!(publisher.end().await.unwrap().delivered, 1);
    let second = publisher.step().await.unwrap();
    assert_eq!((second.taken, second.delivered), (1, 1));
    assert_in_order(&post.everything(TOPIC).await, 0..2);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_passed_on_side_by_side_share_their_transactions() {
    let (post, inbox) = (Post::open().await, Inbox::open());
    let (deliverer, db) = (deliverer(&post, 0, &inbox.url, 5), post.db(0));
    let before = transactions(&db);
    let passed = join_all((0..32).map(async |number| {
        let mut delivery = Delivery::new(message(Uuid::new_v4(), number));
        deliverer.attempt(&mut delivery).await
    }));
    assert_eq!(passed.await, [Outcome::Passed; 32]);
    let mut numbers = inbox.numbers();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..32), "each once");
    let taken = transactions(&db) - before;
    assert!(
        taken <= 32,
        "{taken} transactions for 32 claims and 32 receipts"
    );
    let written = "SELECT COUNT(*) FROM forwarded_events WHERE state = 'delivered' AND tries = 1";
    assert_eq!(post.fixture.number(written).await, 32);
}

#[tokio::test]
async fn of_many_events_each_claim_is_answered_for_itself() {
    let post = Post::open().await;
    let [me, other] = [Uuid::new_v4(), Uuid::new_v4()];
    let [new, done, refused, theirs, over] = [(); 5].map(|()| Uuid::new_v4());
    let (now, lasts) = (post.clock.now(), TimeDelta::seconds(20));
    let receipt = move |event_id, owner| Receipt {
        event_id,
        receiver: RECEIVER.to_owned(),
        owner,
    };
    let db = post.db(0);
    let prepared = db.transaction(move |tx| {
        for event in [done, refused, theirs] {
            forwarder::claim(tx, &receipt(event, other), now, now + lasts)?;
        }
        forwarder::claim(tx, &receipt(over, other), now - lasts, now)?;
        forwarder::delivered(tx, &receipt(done, other), now)?;
        forwarder::failed(tx, &receipt(refused, other), true, "no", now)
    });
    prepared.await.unwrap();
    let asked = [new, done, refused, theirs, over];
    let answers: Result<_, DbError> = db
        .transaction(move |tx| forwarder::claim_all(tx, (RECEIVER, me), &asked, now, now + lasts))
        .await;
    let mine = |attempts| Claimed::Mine { attempts };
    let wanted = [
        mine(0),
        Claimed::Done,
        mine(1),
        Claimed::Others { until: now + lasts },
        mine(0),
    ];
    assert_eq!(answers.unwrap(), wanted);
    let held =
        "SELECT COUNT(*) FROM forwarded_events WHERE claimed_by IS NOT NULL AND state = 'sending'";
    assert_eq!(post.fixture.number(held).await, 4);
}
