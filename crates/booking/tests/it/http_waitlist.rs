//! The waiting list of a date: seats that come back go to those who wait, in order, and to nobody else.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::test_app::{Answer, Caller, TestApp, answer};

/// A house that is sold out but for nothing: every seat belongs to somebody. Returns their payments, seat by seat.
async fn sold_out(app: &TestApp) -> Vec<(Caller<'_>, String)> {
    let mut sold = Vec::new();
    for from in (1..=50).step_by(2) {
        let visitor = app.visitor();
        let payment = visitor.buy(&[from, from + 1]).await;
        sold.push((visitor, payment));
    }
    sold
}

fn path(app: &TestApp) -> String {
    format!("/api/v1/schedules/{}/waitlist", app.fixture.schedule_id)
}

async fn join(visitor: &Caller<'_>, count: i64) -> Answer {
    visitor
        .post(&path(visitor.app), &json!({ "count": count }))
        .await
}

/// The visitor's own entry, as it is now.
async fn entry(visitor: &Caller<'_>) -> Value {
    let listed = visitor
        .get(&format!("/api/v1/users/{}/waitlist", visitor.sub))
        .await;
    listed.body["items"][0].clone()
}

async fn until(visitor: &Caller<'_>, state: &str) -> Value {
    testbed::eventually(Duration::from_secs(60), "the entry", async || {
        let entry = entry(visitor).await;
        (entry["state"] == state).then_some(entry)
    })
    .await
}

async fn give_back(seller: &(Caller<'_>, String)) {
    let refunds = format!("/api/v1/payments/{}/refunds", seller.1);
    let back = seller.0.post_once(&refunds, "back", &json!({})).await;
    assert_eq!(back.status, 201, "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_come_back_are_offered_in_order_and_cannot_be_bought_past_the_list() {
    let app = TestApp::open().await;
    let sellers = sold_out(&app).await;
    let (first, second, stranger) = (app.visitor(), app.visitor(), app.visitor());
    let joined = join(&first, 2).await;
    assert_eq!((joined.status, &joined.body["position"]), (201, &json!(1)));
    assert_eq!(join(&second, 2).await.body["position"], 2);
    let again = join(&first, 1).await;
    assert_eq!(
        (again.status, &again.body["id"], &again.body["count"]),
        (200, &joined.body["id"], &json!(2))
    );

    give_back(&sellers[3]).await;
    let past = stranger.reserve(&[7]).await;
    assert_eq!(past.status, 409, "{past:?}");
    let offered = until(&first, "offered").await;
    let reservation = offered["reservationId"].as_str().expect("a reservation");
    first.charge(1_000_000).await;
    assert_eq!(first.pay(reservation, "offered").await.status, 201);
    until(&first, "taken").await;
    assert_eq!(entry(&second).await["position"], 1);
    let events = "SELECT COUNT(*) FROM outbox WHERE type = 'waitlist.offered'";
    assert_eq!(app.fixture.number(events).await, 1);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_nobody_takes_goes_to_the_next() {
    let app = TestApp::open().await;
    let sellers = sold_out(&app).await;
    let (first, second) = (app.visitor(), app.visitor());
    join(&first, 2).await;
    join(&second, 1).await;
    give_back(&sellers[0]).await;
    until(&first, "offered").await;
    assert_eq!(entry(&second).await["state"], "waiting");
    app.clock.advance(Duration::from_secs(601));
    until(&first, "lapsed").await;
    let offered = until(&second, "offered").await;
    let path = format!(
        "/api/v1/reservations/{}",
        offered["reservationId"].as_str().unwrap()
    );
    let held = second.get(&path).await.body;
    assert_eq!(
        (&held["state"], held["seats"].as_array().map(Vec::len)),
        (&json!("held"), Some(1))
    );
    let events = "SELECT COUNT(*) FROM outbox WHERE type = 'waitlist.expired'";
    assert_eq!(app.fixture.number(events).await, 1);
    // The other seat serves nobody in the list, so anybody may have it.
    let other = if held["seats"][0]["number"] == 1 {
        2
    } else {
        1
    };
    assert_eq!(app.visitor().reserve(&[other]).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_wait_exactly_as_many_are_served_as_seats_come_back_and_those_are_the_first() {
    let app = TestApp::open().await;
    let sellers = sold_out(&app).await;
    let mut waiting = Vec::new();
    for _ in 0..12 {
        let visitor = app.visitor();
        join(&visitor, 1).await;
        waiting.push(visitor);
    }
    let crowd: Vec<_> = (0..20).map(|_| app.visitor()).collect();
    let buyers = crowd.iter().flat_map(|visitor| {
        (1..=8).map(move |seat| async move { visitor.reserve(&[seat]).await.status })
    });
    let returns = async {
        for seller in &sellers[..4] {
            give_back(seller).await;
        }
    };
    let (past, ()) = tokio::join!(futures_util::future::join_all(buyers), returns);
    // 409 for each, or 503 where too many ask at once; what counts is that nobody got a seat.
    assert!(past.iter().all(|status| *status != 201), "{past:?}");
    for visitor in &waiting[..8] {
        until(visitor, "offered").await;
    }
    for visitor in &waiting[8..] {
        assert_eq!(entry(visitor).await["state"], "waiting");
    }
    let waits = "SELECT waiting FROM schedules";
    assert_eq!(app.fixture.number(waits).await, 4);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_for_those_who_find_no_seats_and_may_be_left() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    assert_eq!(join(&visitor, 1).await.refusal(), (409, "SEATS_AVAILABLE"));
    sold_out(&app).await;
    assert_eq!(join(&visitor, 5).await.refusal(), (422, "TOO_MANY_SEATS"));
    assert_eq!(join(&visitor, 0).await.refusal(), (422, "BODY_INVALID"));
    let odd = json!({ "count": 1, "grade": "BOX" });
    assert_eq!(
        visitor.post(&path(&app), &odd).await.refusal(),
        (422, "GRADE_UNKNOWN")
    );
    let elsewhere = join(&visitor.through("other"), 1).await;
    assert_eq!(elsewhere.refusal(), (403, "QUEUE_MISMATCH"));
    let joined = join(&visitor, 1).await;
    let own = format!("/api/v1/users/{}/waitlist/{}", visitor.sub, joined.id());
    assert_eq!(
        app.visitor().delete(&own).await.refusal(),
        (404, "WALLET_NOT_FOUND")
    );
    for _ in 0..2 {
        assert_eq!(visitor.delete(&own).await.status, 204);
    }
    assert_eq!(entry(&visitor).await["state"], "left");
    assert_eq!(app.fixture.number("SELECT waiting FROM schedules").await, 0);

    join(&visitor, 1).await;
    let closing = format!(
        "/api/v1/admin/schedules/{}/closing",
        app.fixture.schedule_id
    );
    let closed = answer(
        app.operator()
            .request(Method::POST, &closing)
            .json(&json!({})),
    );
    assert_eq!(closed.await.status, 200);
    until(&visitor, "expired").await;
    assert_eq!(join(&visitor, 1).await.refusal(), (409, "SALES_CLOSED"));
}
