//! A publisher that is killed with -9 after an event was sent and before that was written.

use std::time::Duration;

use booking::db::DbError;
use diesel::{RunQueryDsl, sql_query};
use testbed::{Program, Scratch, eventually};
use uuid::Uuid;

use crate::process::Booking;
use crate::publish_post::{BROKER, Post, TOPIC};

const SOON: Duration = Duration::from_secs(60);

fn serve(post: &Post, scratch: &Scratch, name: &str) -> Program {
    let more = [
        ("BOOKING_KAFKA_BROKERS", post.broker.bootstrap_servers()),
        ("BOOKING_DB_POOL", "4".to_owned()),
    ];
    let mut booking = Booking::free(&post.fixture.url).start(scratch, name, &more);
    booking.wait_ready(SOON).unwrap();
    booking
}

/// Waits while a count is not yet this.
async fn until(post: &Post, statement: &str, count: i64) {
    eventually(SOON, statement, async || {
        (post.fixture.number(statement).await == count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_publisher_was_killed_between_sending_and_writing_arrives_again_as_the_same()
{
    let (post, scratch) = (Post::open().await, Scratch::new().unwrap());
    let mut killed = serve(&post, &scratch, "killed");
    post.broker.broker_down(BROKER).unwrap();
    post.record(Uuid::new_v4(), 0..1).await;
    until(
        &post,
        "SELECT COUNT(*) FROM outbox WHERE claimed_until IS NOT NULL",
        1,
    )
    .await;

    // Whoever holds the row keeps the publisher from writing that the event was sent.
    let lock = post.fixture.begin(0, |tx| {
        let rows = sql_query("SELECT seq FROM outbox FOR UPDATE");
        Ok::<_, DbError>(rows.execute(tx)?)
    });
    let lock = lock.await;
    post.broker.broker_up(BROKER).unwrap();
    let sent = post.arrived(TOPIC, 1).await;
    killed.kill();
    lock.commit().await;
    assert_eq!(
        post.count("pending").await,
        1,
        "nobody wrote that it was sent"
    );

    let mut next = serve(&post, &scratch, "next");
    until(
        &post,
        "SELECT COUNT(*) FROM outbox WHERE state = 'delivered'",
        1,
    )
    .await;
    let again = post.everything(TOPIC).await;
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|it| it.id() == sent[0].id()), "{again:?}");
    assert_eq!(next.terminate().unwrap(), 0, "{}", next.log_tail());
}
