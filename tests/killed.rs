//! Processes that are killed in the middle of a sale of two hundred stories.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::{Sale, Visitor, reached};
use serde_json::json;
use tokio::task::JoinSet;

const STORIES: u16 = 200;

/// Buys one seat, whatever happens to the processes; two visitors want each seat at first.
async fn buy(mut visitor: Visitor, number: u16) -> (u64, String) {
    visitor.enter().await;
    let charged = visitor.persist(|it| it.charging(1_000, "charge")).await;
    assert_eq!(charged.status, 201, "{charged:?}");
    let mut wanted = number / 2 + 1;
    for attempt in 0.. {
        let key = format!("hold-{attempt}");
        let held = visitor.persist(|it| it.reserving(&[wanted], &key)).await;
        if held.status == 409 {
            // Taken by the other one: from the far end there are seats enough for everybody.
            wanted = 2 * STORIES - number - attempt;
            continue;
        }
        assert_eq!(held.status, 201, "{held:?}");
        let reservation = held.body["id"].as_str().unwrap().to_owned();
        let paid = visitor.persist(|it| it.paying(&reservation, "pay")).await;
        assert_eq!(paid.status, 201, "{paid:?}");
        return (
            held.body["seats"][0]["number"].as_u64().unwrap(),
            reservation,
        );
    }
    unreachable!("the attempts do not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_seat_is_sold_twice_when_gateway_and_booking_are_killed_in_the_middle() {
    let mut sale = Sale::open(2, 2 * STORIES).await;
    sale.rule(
        json!({ "maxActive": 40, "admitPerSecond": 1_000, "leaseSeconds": 20, "claimSeconds": 5 }),
    )
    .await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut stories = JoinSet::new();
    for number in 0..STORIES {
        let visitor = sale.visitor(usize::from(number));
        let done = done.clone();
        stories.spawn(async move {
            let bought = buy(visitor, number).await;
            done.fetch_add(1, Ordering::SeqCst);
            bought
        });
    }
    reached(&done, 20).await;
    sale.stack.gateways[0].kill();
    sale.stack.gateways[0].restart().unwrap();
    reached(&done, 60).await;
    sale.stack.bookings[0].kill();
    sale.stack.bookings[0].restart().unwrap();
    reached(&done, 100).await;
    sale.stack.gateways[1].kill();
    sale.stack.bookings[0].kill();
    sale.stack.bookings[0].restart().unwrap();
    sale.stack.gateways[1].restart().unwrap();

    let bought = stories.join_all().await;
    let seats: BTreeSet<_> = bought.iter().map(|(seat, _)| seat).collect();
    assert_eq!(seats.len(), usize::from(STORIES), "a seat was sold twice");
    sale.assert_books_agree().await;
}
