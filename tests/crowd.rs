//! Crowds on real processes: one place each, one order, one buyer. Counted, never timed.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;
use std::time::Instant;

use e2e::{Sale, tally};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::iter;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_who_want_one_seat_exactly_one_gets_it() {
    let sale = Sale::open(2, 50).await;
    let visitors = sale.inside(1_000).await;
    let answers = join_all(visitors.iter().map(|visitor| visitor.reserve(&[7], "mine"))).await;
    assert_eq!(
        tally(&answers),
        BTreeMap::from([("201".into(), 1), ("409 SEAT_TAKEN".into(), 999)])
    );
    for said in answers.iter().filter(|said| said.status == 409) {
        assert_eq!(said.code(), "SEAT_TAKEN");
        assert_eq!(
            said.body["conflicts"],
            json!([{ "seatNumber": 7, "reason": "held" }])
        );
    }
    sale.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reservation_is_paid_once_and_one_charge_counted_once() {
    let sale = Sale::open(2, 50).await;
    let mut visitor = sale.visitor(0);
    visitor.enter().await;
    let charges = join_all((0..200).map(|_| visitor.charge(1_500, "same"))).await;
    assert_eq!(tally(&charges), BTreeMap::from([("201".into(), 200)]));
    assert!(
        charges.iter().all(|said| said.body == charges[0].body),
        "one answer for all"
    );
    let ledger = format!("/api/v1/users/{}/ledger", visitor.user);
    let entries = visitor.get(&ledger).await;
    assert_eq!(
        entries.body["items"].as_array().unwrap().len(),
        1,
        "{entries:?}"
    );

    let held = visitor.reserve(&[1], "hold").await.body;
    let reservation = held["id"].as_str().unwrap();
    let keys: Vec<String> = (0..200).map(|number| format!("pay-{number}")).collect();
    let payments = join_all(keys.iter().map(|key| visitor.pay(reservation, key))).await;
    let paid = payments.iter().filter(|said| said.status == 201).count();
    assert_eq!(paid, 1, "{:?}", tally(&payments));
    for said in payments.iter().filter(|said| said.status != 201) {
        // The payment ended the visit, and who is not inside may ask for own things twice a second.
        assert!(
            matches!(said.code(), "ALREADY_PAID" | "RATE_LIMITED"),
            "{said:?}"
        );
    }
    visitor.enter().await;
    let balance = visitor
        .get(&format!("/api/v1/users/{}/balance", visitor.user))
        .await;
    assert_eq!(balance.body["balance"], 500);
    sale.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_joins_over_two_gateways_are_numbered_as_they_arrive() {
    let sale = Sale::open(2, 50).await;
    sale.rule(json!({ "state": "paused" })).await;
    let join = |number| {
        let mut visitor = sale.visitor(number);
        async move {
            let began = Instant::now();
            let said = visitor.join().await;
            assert_eq!(said.status, 201, "{said:?}");
            let number = said.body["ticketNumber"].as_u64().unwrap();
            (began, Instant::now(), number, visitor)
        }
    };
    let mut joined: Vec<_> = iter(0..5_000)
        .map(join)
        .buffer_unordered(64)
        .collect()
        .await;

    // Who had their answer before another one asked came first, and has the smaller number.
    joined.sort_by_key(|(began, ..)| *began);
    let mut answered: Vec<_> = joined
        .iter()
        .map(|(_, ended, number, _)| (*ended, *number))
        .collect();
    answered.sort_unstable();
    let (mut next, mut highest) = (0, 0);
    let mut inversions = 0;
    for (began, _, number, _) in &joined {
        while answered.get(next).is_some_and(|(ended, _)| ended < began) {
            highest = highest.max(answered[next].1);
            next += 1;
        }
        inversions += usize::from(*number <= highest);
    }
    assert_eq!(inversions, 0);

    joined.sort_by_key(|(_, _, number, _)| *number);
    let duplicates = joined
        .windows(2)
        .filter(|pair| pair[0].2 == pair[1].2)
        .count();
    assert_eq!(duplicates, 0);
    for (index, (_, _, _, visitor)) in joined.iter().enumerate().step_by(500) {
        let place = visitor.poll().await.body;
        assert_eq!(
            place["position"],
            index as u64 + 1,
            "the line is in the order of numbers"
        );
    }
}
