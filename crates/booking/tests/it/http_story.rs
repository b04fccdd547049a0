//! The way of a buyer, as the gateway lets it through.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use testbed::eventually;

use crate::test_app::{Answer, Caller, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_buys_two_seats_and_has_the_money_back_the_next_day() {
    let app = TestApp::open().await;
    let (concert, schedule) = put_on_sale(&app).await;
    let visitor = app.visitor();
    look_around(&visitor, &concert).await;
    let held = hold_two(&visitor, &schedule).await;
    let payment = pay(&visitor, &held).await;
    app.clock.advance(Duration::from_secs(24 * 3600));
    have_the_money_back(&visitor, &held, &payment).await;
    let books = app.operator().get("/api/v1/admin/reconciliation").await;
    assert_eq!(
        (&books.body["clean"], &books.body["differences"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(books.body["totals"]["ledgerRefunded"], 300_000);
}

async fn put_on_sale(app: &TestApp) -> (Answer, Answer) {
    let operator = app.operator();
    let new = json!({ "title": "Night of the Harps", "venue": "Great Hall", "queue": "main" });
    let concert = operator.post("/api/v1/admin/concerts", &new).await;
    assert_eq!(
        (concert.status, &concert.body["title"]),
        (201, &new["title"])
    );
    let path = format!("/api/v1/concerts/{}", concert.id());
    assert_eq!(concert.header("location"), Some(path.as_str()));
    let dates = format!("/api/v1/admin/concerts/{}/schedules", concert.id());
    let schedule = operator
        .post(&dates, &json!({ "startsAt": "2099-05-01T19:00:00+09:00" }))
        .await;
    assert_eq!(schedule.status, 201, "{schedule:?}");
    assert_eq!(schedule.body["startsAt"], "2099-05-01T10:00:00.000Z");
    (concert, schedule)
}

async fn look_around(visitor: &Caller<'_>, concert: &Answer) {
    let listed = visitor.app.get("/api/v1/concerts").await;
    assert_eq!(listed.body["items"][0]["id"], concert.body["id"]);
    let path = format!("/api/v1/concerts/{}", concert.id());
    assert_eq!(visitor.app.get(&path).await.body, concert.body);
    let schedules = visitor
        .get(&format!("{path}/schedules?available=true"))
        .await;
    assert_eq!(schedules.body["items"][0]["seatsAvailable"], 50);
}

async fn hold_two(visitor: &Caller<'_>, schedule: &Answer) -> Answer {
    let wish = json!({ "scheduleId": schedule.id(), "seatNumbers": [8, 7] });
    let held = visitor.post("/api/v1/reservations", &wish).await;
    assert_eq!(held.status, 201, "{held:?}");
    let path = format!("/api/v1/reservations/{}", held.id());
    assert_eq!(held.header("location"), Some(path.as_str()));
    assert_eq!(
        (&held.body["state"], &held.body["amount"]),
        (&json!("held"), &json!(300_000))
    );
    assert_eq!(
        (&held.body["currency"], &held.body["expiresInSeconds"]),
        (&json!("KRW"), &json!(300))
    );
    assert_eq!(
        held.body["seats"][0],
        json!({ "number": 7, "grade": "VIP", "price": 150_000 })
    );
    held
}

/// With an empty wallet first, then charged, also while waiting in another line. Returns where the payment is.
async fn pay(visitor: &Caller<'_>, held: &Answer) -> String {
    let short = visitor.pay(&held.id(), "too-soon").await;
    assert_eq!(
        (short.refusal(), &short.body["missing"]),
        ((409, "BALANCE_SHORT"), &json!(300_000))
    );
    assert_eq!(short.header("x-admission"), None);
    let charged = visitor.waiting().charge(400_000).await;
    assert_eq!(
        (&charged.body["balance"], &charged.body["currency"]),
        (&json!(400_000), &json!("KRW"))
    );
    let paid = visitor.pay(&held.id(), "pay").await;
    assert_eq!(
        (paid.status, paid.header("x-admission")),
        (201, Some("release")),
        "{paid:?}"
    );
    assert_eq!(
        (&paid.body["state"], &paid.body["amount"]),
        (&json!("captured"), &json!(300_000))
    );
    let path = format!("/api/v1/payments/{}", paid.id());
    assert_eq!(paid.header("location"), Some(path.as_str()));
    assert_eq!(visitor.get(&path).await.body, paid.body);
    let mine = visitor.get("/api/v1/reservations").await;
    assert_eq!(mine.body["items"][0]["state"], "confirmed");
    path
}

async fn have_the_money_back(visitor: &Caller<'_>, held: &Answer, payment: &str) {
    let refunded = visitor
        .post_once(&format!("{payment}/refunds"), "back", &json!({}))
        .await;
    assert_eq!(
        (refunded.status, &refunded.body["amount"]),
        (201, &json!(300_000)),
        "{refunded:?}"
    );
    assert_eq!(visitor.get(payment).await.body["state"], "refunded");
    let reservation = visitor.get(held.header("location").unwrap()).await;
    assert_eq!(reservation.body["state"], "refunded");
    let ledger = visitor
        .get(&format!("/api/v1/users/{}/ledger", visitor.sub))
        .await;
    let entries = ledger.body["items"].as_array().unwrap();
    let causes: Vec<_> = entries
        .iter()
        .map(|entry| entry["cause"].as_str().unwrap())
        .collect();
    assert_eq!(causes, ["refunded", "captured", "charged"]);
    let sum: i64 = entries
        .iter()
        .map(|entry| entry["amount"].as_i64().unwrap())
        .sum();
    assert_eq!((sum, visitor.balance().await), (400_000, 400_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_at_its_second_and_then_another_visitor_gets_the_seat() {
    let app = TestApp::with(&[("BOOKING_HOLD_S", "2")]).await;
    let (first, second) = (app.visitor(), app.visitor());
    first.charge(1_000_000).await;
    let held = first.hold(&[7]).await;
    let taken = second.reserve(&[7, 8]).await;
    assert_eq!(taken.refusal(), (409, "SEAT_TAKEN"));
    assert_eq!(
        taken.body["conflicts"],
        json!([{ "seatNumber": 7, "reason": "held" }])
    );
    assert_eq!(taken.body["retryable"], false);

    app.clock.advance(Duration::from_secs(2));
    let seats = second.get(&app.seats_path()).await;
    assert_eq!(seats.body["items"][6]["state"], "available");
    let shown = first.get(&format!("/api/v1/reservations/{held}")).await;
    assert_eq!(
        (&shown.body["state"], &shown.body["expiresInSeconds"]),
        (&json!("expired"), &json!(0))
    );
    assert_eq!(
        first.pay(&held, "late").await.refusal(),
        (410, "HOLD_EXPIRED")
    );
    assert_eq!(first.balance().await, 1_000_000);
    // The lock in Redis knows only the machine's clock; it lives no longer than the hold.
    eventually(Duration::from_secs(10), "a free seat", async || {
        let taken_over = second.reserve(&[7]).await;
        if taken_over.status == 201 {
            return Some(());
        }
        assert_eq!(taken_over.refusal(), (409, "SEAT_TAKEN"));
        None
    })
    .await;
    assert_eq!(
        first.pay(&held, "later").await.refusal(),
        (410, "HOLD_EXPIRED")
    );
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_is_given_back_can_be_had_at_once() {
    let app = TestApp::open().await;
    let (first, second) = (app.visitor(), app.visitor());
    let held = first.hold(&[1, 2]).await;
    let path = format!("/api/v1/reservations/{held}");
    assert_eq!(first.delete(&path).await.status, 204);
    assert_eq!(
        first.delete(&path).await.status,
        204,
        "the second time is fine"
    );
    assert_eq!(second.reserve(&[1, 2]).await.status, 201);

    let keyed = first
        .post_once("/api/v1/reservations", "k", &app.wish(&[3]))
        .await;
    assert_eq!(keyed.status, 201);
    assert_eq!(
        first
            .delete(&format!("/api/v1/reservations/{}", keyed.id()))
            .await
            .status,
        204
    );
    assert_eq!(app.visitor().reserve(&[3]).await.status, 201);

    let paid = first.buy(&[4]).await;
    let refunded = first
        .post_once(&format!("/api/v1/payments/{paid}/refunds"), "r", &json!({}))
        .await;
    assert_eq!(refunded.status, 201);
    assert_eq!(app.visitor().reserve(&[4]).await.status, 201);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_is_paid_is_refunded_when_it_is_given_back() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let payment = visitor.buy(&[5]).await;
    let reservation = visitor.reservation_of(&payment).await;
    let path = format!("/api/v1/reservations/{reservation}");
    assert_eq!(visitor.delete(&path).await.status, 204);
    assert_eq!(visitor.delete(&path).await.status, 204);
    assert_eq!(visitor.balance().await, 1_000_000);
    let again = visitor
        .post_once(
            &format!("/api/v1/payments/{payment}/refunds"),
            "r",
            &json!({}),
        )
        .await;
    assert_eq!(again.refusal(), (409, "ALREADY_REFUNDED"));
    assert_eq!(visitor.balance().await, 1_000_000);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_who_want_one_seat_exactly_one_gets_it_and_the_others_hear_which() {
    let app = TestApp::open().await;
    let wishes = (0..1000).map(|turn| {
        let (visitor, keyed) = (app.visitor(), turn % 2 == 0);
        async move {
            let path = "/api/v1/reservations";
            let wish = visitor.app.wish(&[9]);
            if keyed {
                visitor.post_once(path, "k", &wish).await
            } else {
                visitor.post(path, &wish).await
            }
        }
    });
    let mut by_status: BTreeMap<u16, u32> = BTreeMap::new();
    for answer in join_all(wishes).await {
        *by_status.entry(answer.status).or_default() += 1;
        if answer.status != 201 {
            assert_eq!(answer.refusal(), (409, "SEAT_TAKEN"));
            assert_eq!(answer.body["conflicts"][0]["seatNumber"], 9);
        }
    }
    assert_eq!(by_status, BTreeMap::from([(201, 1), (409, 999)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_clicks_a_hundred_times_holds_the_seat_once() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let clicks = join_all((0..100).map(|_| visitor.reserve(&[9]))).await;
    let refused: Vec<_> = clicks
        .iter()
        .filter(|answer| answer.status != 201)
        .collect();
    assert_eq!(refused.len(), 99);
    for answer in refused {
        assert_eq!(answer.refusal(), (409, "SEAT_TAKEN"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_show_has_started_nothing_is_sold_or_given_back() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let payment = visitor.buy(&[1]).await;
    let reservations = visitor.get("/api/v1/reservations").await;
    let reservation = reservations.body["items"][0]["id"].as_str().unwrap();
    app.clock.advance(Duration::from_secs(31 * 86_400));
    let refunds = format!("/api/v1/payments/{payment}/refunds");
    let refused = visitor.post_once(&refunds, "late", &json!({})).await;
    assert_eq!(refused.refusal(), (409, "SHOW_STARTED"));
    let cancel = format!("/api/v1/reservations/{reservation}");
    assert_eq!(
        visitor.delete(&cancel).await.refusal(),
        (409, "SHOW_STARTED")
    );
    assert_eq!(visitor.reserve(&[2]).await.refusal(), (409, "SALES_CLOSED"));
    assert_eq!(visitor.balance().await, 850_000);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn booking_sells_on_while_redis_is_away() {
    let app = TestApp::with(&[("BOOKING_REDIS_URL", "redis://127.0.0.1:1/0")]).await;
    app.visitor().buy(&[1, 2]).await;
    assert_eq!(
        app.visitor().reserve(&[2, 3]).await.refusal(),
        (409, "SEAT_TAKEN")
    );
    assert_eq!(app.get("/ready").await.status, 200);
    app.fixture.reconciled().await;
}
