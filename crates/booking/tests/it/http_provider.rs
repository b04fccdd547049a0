//! Money from a payment provider: it comes twice, late, in any order or not at all, and is booked once or goes back.

use std::time::Duration;

use booking::sandbox;
use booking::signed::Secrets;
use chassis::env::Configuration as _;
use chassis::time::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::test_app::{Answer, Caller, TestApp, answer};

const SECRET: &str = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0";
const DEADLINE: Duration = Duration::from_secs(60);
const EVENTS: &str = "/api/v1/provider/events";

/// With a provider that nobody answers for: what it says is up to the test.
async fn silent() -> TestApp {
    TestApp::with(&[
        ("BOOKING_CHARGES", "provider"),
        ("BOOKING_PROVIDER_URL", "http://127.0.0.1:1"),
        ("BOOKING_PROVIDER_SECRET", SECRET),
    ])
    .await
}

async fn say_signed(app: &TestApp, secret: &str, body: &str) -> Answer {
    let secrets: Secrets = secret.parse().expect("a secret");
    let (id, unix_s) = (Uuid::new_v4().to_string(), app.clock.now().timestamp());
    answer(
        app.request(Method::POST, EVENTS)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", unix_s)
            .header("webhook-signature", secrets.sign(&id, unix_s, body))
            .body(body.to_owned()),
    )
    .await
}

/// What the provider says of an order; the status of booking's answer.
async fn say(app: &TestApp, event: &str, order: &str, amount: i64) -> u16 {
    let body = json!({ "type": event, "timestamp": "2026-05-01T10:00:00Z", "data": { "orderId": order, "amount": amount } });
    say_signed(app, SECRET, &body.to_string()).await.status
}

/// Orders money for the wallet; the order.
async fn order(visitor: &Caller<'_>, key: &str, amount: i64) -> String {
    let asked = visitor
        .post_once(&visitor.charges_path(), key, &json!({ "amount": amount }))
        .await;
    assert_eq!(
        (asked.status, &asked.body["state"]),
        (202, &json!("pending")),
        "{asked:?}"
    );
    asked.body["chargeId"]
        .as_str()
        .expect("an order")
        .to_owned()
}

async fn charge_state(visitor: &Caller<'_>, order: &str) -> Value {
    let path = format!("{}/{order}", visitor.charges_path());
    visitor.get(&path).await.body["state"].clone()
}

async fn pay_by_provider(visitor: &Caller<'_>, reservation: &str, key: &str) -> Answer {
    let body = json!({ "reservationId": reservation, "with": "provider" });
    visitor.post_once("/api/v1/payments", key, &body).await
}

async fn instruction(app: &TestApp, order: &str, expected: &str) {
    let id = order.replace('-', "");
    let statement = format!(
        "SELECT COUNT(*) FROM provider_orders WHERE id = UNHEX('{id}') AND instruction = '{expected}'"
    );
    assert_eq!(app.fixture.number(&statement).await, 1, "{expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_is_booked_when_the_provider_says_so_and_once_however_often_it_does() {
    let app = silent().await;
    let visitor = app.visitor();
    let ordered = order(&visitor, "k", 200_000).await;
    assert_eq!(order(&visitor, "k", 200_000).await, ordered, "a repetition");
    assert_eq!(visitor.balance().await, 0);
    assert_eq!(charge_state(&visitor, &ordered).await, "pending");
    let said = (0..20).map(|_| say(&app, "order.captured", &ordered, 200_000));
    let statuses = futures_util::future::join_all(said).await;
    assert!(statuses.iter().all(|status| *status == 204), "{statuses:?}");
    assert_eq!(visitor.balance().await, 200_000);
    assert_eq!(charge_state(&visitor, &ordered).await, "succeeded");
    assert_eq!(say(&app, "order.failed", &ordered, 200_000).await, 204);
    assert_eq!(
        visitor.balance().await,
        200_000,
        "late words change nothing"
    );
    let events = "SELECT COUNT(*) FROM outbox WHERE type = 'wallet.charged'";
    assert_eq!(app.fixture.number(events).await, 1);
    let of_order = format!("/api/v1/admin/audit?entity=order&entityId={ordered}");
    let rows = app.operator().get(&of_order).await.body["items"].clone();
    let told: Vec<_> = (rows.as_array().unwrap().iter())
        .map(|row| {
            (
                row["action"].as_str().unwrap(),
                row["actor"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("confirmed", "provider"), ("created", "user")]);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_failed_first_and_has_the_money_in_the_end_is_believed() {
    let app = silent().await;
    let visitor = app.visitor();
    let ordered = order(&visitor, "k", 5_000).await;
    assert_eq!(say(&app, "order.failed", &ordered, 5_000).await, 204);
    assert_eq!(charge_state(&visitor, &ordered).await, "failed");
    assert_eq!(say(&app, "order.captured", &ordered, 5_000).await, 204);
    assert_eq!(visitor.balance().await, 5_000);
    app.fixture.reconciled().await;
}

const MOST: i64 = 100_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_ordered_than_the_wallet_has_room_for_and_money_that_is_there_goes_in() {
    let app = silent().await;
    let visitor = app.visitor();
    let mut orders = Vec::new();
    for key in 0..10 {
        orders.push(order(&visitor, &key.to_string(), MOST).await);
    }
    let ordered = async |key: &str, amount: i64| {
        let body = json!({ "amount": amount });
        visitor.post_once(&visitor.charges_path(), key, &body).await
    };
    let beyond = ordered("beyond", 1).await;
    assert_eq!(
        beyond.refusal(),
        (422, "BALANCE_LIMIT"),
        "all is on its way"
    );
    assert_eq!(say(&app, "order.captured", &orders[0], MOST).await, 204);
    let beyond = ordered("beyond", 1).await;
    assert_eq!(beyond.refusal(), (422, "BALANCE_LIMIT"), "some is there");
    // What failed leaves room for another; when both come in the end, both go in.
    assert_eq!(say(&app, "order.failed", &orders[1], MOST).await, 204);
    orders.push(order(&visitor, "in-its-place", MOST).await);
    assert_eq!(ordered("beyond", 1).await.status, 422);
    for order in &orders {
        assert_eq!(say(&app, "order.captured", order, MOST).await, 204);
    }
    assert_eq!(visitor.balance().await, 11 * MOST);
    assert_eq!(ordered("beyond", 1).await.status, 422);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_a_user_makes_at_once_are_counted_one_after_another() {
    let app = silent().await;
    let visitor = app.visitor();
    let body = json!({ "amount": MOST });
    let made = (0..20).map(async |key| {
        let path = visitor.charges_path();
        visitor.post_once(&path, &key.to_string(), &body).await
    });
    let made = futures_util::future::join_all(made).await;
    let accepted = made.iter().filter(|it| it.status == 202).count();
    let waits = "SELECT COUNT(*) FROM provider_orders";
    assert_eq!(app.fixture.number(waits).await, accepted as i64);
    assert!((1..=10).contains(&accepted), "{made:?}");
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_and_money_come_together_and_the_provider_is_told_to_collect_it() {
    let app = silent().await;
    let visitor = app.visitor();
    let held = visitor.hold(&[1, 2]).await;
    let pending = pay_by_provider(&visitor, &held, "p").await;
    assert_eq!(
        (pending.status, &pending.body["state"]),
        (202, &json!("pending")),
        "{pending:?}"
    );
    assert_eq!(pending.header("x-admission"), None);
    let twice = pay_by_provider(&visitor, &held, "other").await;
    assert_eq!(twice.refusal(), (409, "PAYMENT_IN_PROGRESS"));
    let id = pending.id();
    let path = format!("/api/v1/payments/{id}");
    assert_eq!(visitor.get(&path).await.body["state"], "pending");
    instruction(&app, &id, "open").await;
    for _ in 0..3 {
        assert_eq!(say(&app, "order.authorised", &id, 300_000).await, 204);
    }
    let paid = visitor.get(&path).await.body;
    assert_eq!(
        (&paid["state"], &paid["amount"]),
        (&json!("captured"), &json!(300_000))
    );
    instruction(&app, &id, "capture").await;
    let seats = visitor.get(&app.seats_path()).await.body;
    assert_eq!(seats["items"][0]["state"], "sold");
    assert_eq!(visitor.balance().await, 0);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_answers_after_the_hold_is_over_lets_the_money_go() {
    let app = silent().await;
    let (visitor, other) = (app.visitor(), app.visitor());
    let held = visitor.hold(&[1]).await;
    let id = pay_by_provider(&visitor, &held, "p").await.id();
    app.clock.advance(Duration::from_secs(301));
    // Seats that are chosen need no lock, which would live in the time of Redis.
    let best = json!({ "scheduleId": app.fixture.schedule_id, "count": 1 });
    let taken = other.post("/api/v1/reservations", &best).await;
    assert_eq!(taken.body["seats"][0]["number"], 1, "{taken:?}");
    assert_eq!(say(&app, "order.authorised", &id, 150_000).await, 204);
    instruction(&app, &id, "void").await;
    let path = format!("/api/v1/payments/{id}");
    assert_eq!(visitor.get(&path).await.body["state"], "voided");
    assert_eq!((visitor.balance().await, other.balance().await), (0, 0));
    let booked = "SELECT COUNT(*) FROM ledger_entries";
    assert_eq!(app.fixture.number(booked).await, 0);
    // The same after the user has given the hold back, or paid it from the wallet.
    let third = app.visitor();
    let held = third.hold(&[2]).await;
    let id = pay_by_provider(&third, &held, "p").await.id();
    third.delete(&format!("/api/v1/reservations/{held}")).await;
    assert_eq!(say(&app, "order.authorised", &id, 150_000).await, 204);
    instruction(&app, &id, "void").await;
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_by_the_provider_or_speaks_of_another_amount_changes_nothing() {
    let app = silent().await;
    let visitor = app.visitor();
    let ordered = order(&visitor, "k", 1_000).await;
    let body = json!({ "type": "order.captured", "data": { "orderId": ordered, "amount": 1_000 } })
        .to_string();
    let other = "whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI=";
    assert_eq!(
        say_signed(&app, other, &body).await.refusal(),
        (401, "SIGNATURE_INVALID")
    );
    let bare = answer(app.request(Method::POST, EVENTS).body(body));
    assert_eq!(bare.await.refusal(), (401, "SIGNATURE_INVALID"));
    assert_eq!(say(&app, "order.captured", &ordered, 999).await, 422);
    let unknown = Uuid::new_v4().to_string();
    assert_eq!(say(&app, "order.captured", &unknown, 1_000).await, 404);
    assert_eq!(
        say_signed(&app, SECRET, "{").await.refusal(),
        (400, "BODY_MALFORMED")
    );
    assert_eq!(
        say_signed(&app, SECRET, "{}").await.refusal(),
        (422, "BODY_INVALID")
    );
    assert_eq!(
        say(&app, "order.of-a-later-version", &ordered, 1_000).await,
        204
    );
    assert_eq!(visitor.balance().await, 0);
    let stranger = app.visitor();
    let path = format!("{}/{ordered}", stranger.charges_path());
    assert_eq!(
        stranger.get(&path).await.refusal(),
        (404, "CHARGE_NOT_FOUND")
    );

    let direct = TestApp::open().await;
    let signed = say_signed(&direct, SECRET, "{}").await;
    assert_eq!(
        signed.refusal(),
        (401, "SIGNATURE_INVALID"),
        "there is no provider"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_collects_holds_and_lets_go_of_money_as_it_is_told() {
    // The sandbox needs booking's address and booking needs the sandbox's, so one of them is chosen first.
    let address = format!("127.0.0.1:{}", testbed::free_port());
    let provider_url = format!("http://{address}");
    let app = TestApp::with(&[
        ("BOOKING_CHARGES", "provider"),
        ("BOOKING_PROVIDER_URL", &provider_url),
        ("BOOKING_PROVIDER_SECRET", SECRET),
    ])
    .await;
    let lookup = |name: &str| match name {
        "BOOKING_SANDBOX_LISTEN" => Some(address.clone()),
        "BOOKING_SANDBOX_EVENTS_URL" => Some(format!("{}{EVENTS}", app.base)),
        "BOOKING_PROVIDER_SECRET" => Some(SECRET.to_owned()),
        _ => None,
    };
    let config = booking::config::Sandbox::found(&lookup).expect("a configuration");
    let running = sandbox::start(config, Clock::system()).expect("a sandbox");
    let visitor = app.visitor();
    // 14 is said twice, 15 fails first, 13 fails for good.
    for (amount, key) in [(200_014, "twice"), (100_015, "at-last"), (50_013, "never")] {
        order(&visitor, key, amount).await;
    }
    testbed::eventually(DEADLINE, "the charges", async || {
        (visitor.balance().await == 300_029).then_some(())
    })
    .await;
    let held = visitor.hold(&[1]).await;
    let id = pay_by_provider(&visitor, &held, "p").await.id();
    let client = reqwest::Client::new();
    testbed::eventually(DEADLINE, "the money is collected", async || {
        let shown = client
            .get(format!("{provider_url}/orders/{id}"))
            .send()
            .await
            .ok()?;
        let shown: Value = shown.json().await.ok()?;
        (shown["state"] == "captured").then_some(())
    })
    .await;
    let path = format!("/api/v1/payments/{id}");
    assert_eq!(visitor.get(&path).await.body["state"], "captured");
    app.fixture.reconciled().await;
    running.stop().await;
}
