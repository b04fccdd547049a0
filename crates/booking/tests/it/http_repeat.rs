//! Requests that are sent again: one effect, the same answer.

use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::test_app::{Answer, Caller, TestApp, answer};
use reqwest::Method;

fn is_replay_of(again: &Answer, first: &Answer) {
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(
        again.header("x-admission"),
        None,
        "a repetition ends no visit"
    );
    assert_eq!(
        (
            first.header("idempotent-replayed"),
            again.header("idempotent-replayed")
        ),
        (None, Some("true"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_has_one_effect_and_the_same_answer() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let (charge, amount) = (visitor.charges_path(), json!({ "amount": 500_000 }));
    let charged = visitor.post_once(&charge, "k", &amount).await;
    is_replay_of(&visitor.post_once(&charge, "k", &amount).await, &charged);
    assert_eq!(visitor.balance().await, 500_000);

    let reservations = "/api/v1/reservations";
    let held = visitor
        .post_once(reservations, "k", &app.wish(&[1, 2]))
        .await;
    assert_eq!(held.status, 201, "{held:?}");
    is_replay_of(
        &visitor
            .post_once(reservations, "k", &app.wish(&[1, 2]))
            .await,
        &held,
    );

    let paid = visitor.pay(&held.id(), "k").await;
    assert_eq!(paid.header("x-admission"), Some("release"));
    is_replay_of(&visitor.pay(&held.id(), "k").await, &paid);
    assert_eq!(visitor.balance().await, 200_000);

    let refunds = format!("/api/v1/payments/{}/refunds", paid.id());
    let refunded = visitor.post_once(&refunds, "k", &json!({})).await;
    is_replay_of(
        &visitor.post_once(&refunds, "k", &json!({})).await,
        &refunded,
    );
    assert_eq!(visitor.balance().await, 500_000);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_another_body_is_refused_and_keys_of_users_and_routes_never_meet() {
    let app = TestApp::open().await;
    let (visitor, other) = (app.visitor(), app.visitor());
    visitor
        .post_once(&visitor.charges_path(), "k", &json!({ "amount": 1000 }))
        .await;
    let reused = visitor
        .post_once(&visitor.charges_path(), "k", &json!({ "amount": 1001 }))
        .await;
    assert_eq!(reused.refusal(), (422, "IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(visitor.balance().await, 1000);
    let others = other
        .post_once(&other.charges_path(), "k", &json!({ "amount": 7 }))
        .await;
    assert_eq!(
        (others.status, others.header("idempotent-replayed")),
        (201, None)
    );
    let held = visitor
        .post_once("/api/v1/reservations", "k", &app.wish(&[1]))
        .await;
    assert_eq!(held.status, 201, "{held:?}");
    let reused = visitor
        .post_once("/api/v1/reservations", "k", &app.wish(&[2]))
        .await;
    assert_eq!(reused.refusal(), (422, "IDEMPOTENCY_KEY_REUSED"));
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_kept_so_the_same_key_may_try_again() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let held = visitor.hold(&[1]).await;
    assert_eq!(
        visitor.pay(&held, "k").await.refusal(),
        (409, "BALANCE_SHORT")
    );
    visitor.charge(150_000).await;
    assert_eq!(visitor.pay(&held, "k").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_only_with_a_sound_key() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let payment = visitor.buy(&[1]).await;
    let held = visitor.hold(&[2]).await;
    let before = app.fixture.traces().await;
    let routes = [
        (visitor.charges_path(), json!({ "amount": 1 })),
        (
            "/api/v1/payments".to_owned(),
            json!({ "reservationId": held }),
        ),
        (format!("/api/v1/payments/{payment}/refunds"), json!({})),
    ];
    for (path, body) in &routes {
        assert_eq!(
            visitor.post(path, body).await.refusal(),
            (400, "IDEMPOTENCY_KEY_MISSING"),
            "{path}"
        );
        for odd in ["a b", "\u{e9}", "\t", &"x".repeat(256)] {
            let refused = visitor.post_once(path, odd, body).await;
            assert_eq!(
                refused.refusal(),
                (400, "IDEMPOTENCY_KEY_INVALID"),
                "{path} {odd:?}"
            );
        }
        let twice = visitor.request(Method::POST, path).json(body);
        let twice = twice
            .header("Idempotency-Key", "a")
            .header("Idempotency-Key", "b");
        assert_eq!(
            answer(twice).await.refusal(),
            (400, "IDEMPOTENCY_KEY_INVALID"),
            "{path}"
        );
    }
    assert_eq!(app.fixture.traces().await, before);
    let odd = "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~".repeat(7);
    assert_eq!(
        visitor
            .post_once(&routes[0].0, &odd, &routes[0].1)
            .await
            .status,
        201
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_payments_of_one_reservation_with_different_keys_one_succeeds() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    visitor.charge(1_000_000).await;
    let held = visitor.hold(&[1, 2]).await;
    let keys: Vec<String> = (0..50).map(|turn| format!("key-{turn}")).collect();
    let paid = join_all(keys.iter().map(|key| visitor.pay(&held, key))).await;
    let winners = paid.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(winners, 1);
    for refused in paid.iter().filter(|answer| answer.status != 201) {
        assert_eq!(refused.refusal(), (409, "ALREADY_PAID"));
        assert_eq!(refused.header("x-admission"), None);
    }
    assert_eq!(visitor.balance().await, 700_000);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_charges_with_one_key_are_one_charge() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let (path, body) = (visitor.charges_path(), json!({ "amount": 1000 }));
    let charged = join_all((0..50).map(|_| visitor.post_once(&path, "k", &body))).await;
    let fresh = charged
        .iter()
        .filter(|answer| answer.header("idempotent-replayed").is_none());
    assert_eq!(fresh.filter(|answer| answer.status == 201).count(), 1);
    for answer in &charged {
        assert_eq!((answer.status, &answer.body), (201, &charged[0].body));
    }
    assert_eq!(visitor.balance().await, 1000);
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_was_given_back_cannot_be_paid() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    visitor.charge(1_000_000).await;
    let held = visitor.hold(&[1]).await;
    visitor
        .delete(&format!("/api/v1/reservations/{held}"))
        .await;
    assert_eq!(
        visitor.pay(&held, "k").await.refusal(),
        (409, "RESERVATION_CANCELLED")
    );
    let payment = visitor.buy(&[2]).await;
    let reservation = visitor.reservation_of(&payment).await;
    let again = visitor.pay(&reservation, "another").await;
    assert_eq!(again.refusal(), (409, "ALREADY_PAID"));
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_made_is_answered_and_ends_the_visit_or_is_not_made() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    visitor.charge(1_000_000).await;
    let held = visitor.hold(&[1]).await;
    // What says whose visit it ends cannot be read.
    let away = app.fixture.raw("RENAME TABLE concerts TO lost").await;
    away.unwrap();
    let failed = visitor.pay(&held, "k").await;
    assert_eq!(failed.status, 500, "{failed:?}");
    let payments = "SELECT COUNT(*) FROM payments";
    assert_eq!(app.fixture.number(payments).await, 0);
    let back = app.fixture.raw("RENAME TABLE lost TO concerts").await;
    back.unwrap();
    let paid = visitor.pay(&held, "k").await;
    assert_eq!(paid.status, 201, "{paid:?}");
    assert_eq!(paid.header("x-admission"), Some("release"));
    assert_eq!(paid.header("idempotent-replayed"), None);
    is_replay_of(&visitor.pay(&held, "k").await, &paid);
    app.fixture.reconciled().await;
}

/// Puts an answer under a key as it was stored when the body said no more than this, in the form of fingerprints.
async fn stored_long_ago(visitor: &Caller<'_>, route: &str, key: &str, said: &str, body: &str) {
    let person: Uuid = visitor.sub.parse().unwrap();
    let statement = format!(
        "INSERT INTO idempotency_keys (user_id, route, idempotency_key, fingerprint, status, body, created_at) \
         SELECT subject, '{route}', '{key}', UNHEX(SHA2('{said}', 256)), 201, '{body}', NOW(6) \
         FROM subjects WHERE person = x'{}'",
        person.simple()
    );
    let stored = visitor.app.fixture.raw(&statement).await.unwrap();
    assert_eq!(stored, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_before_requests_could_say_more_still_gets_its_answer() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let payment = visitor.buy(&[1, 2]).await;
    let refunds = format!("/api/v1/payments/{payment}/refunds");
    let (route, said) = (
        "POST /api/v1/payments/{paymentId}/refunds",
        format!(r#"{{"paymentId":"{payment}",}}"#),
    );
    let before = app.fixture.traces().await;
    stored_long_ago(&visitor, route, "old", &said, "{\"told\":1}").await;
    let bare = visitor.request(Method::POST, &refunds);
    let bare = answer(bare.header("Idempotency-Key", "old")).await;
    for again in [bare, visitor.post_once(&refunds, "old", &json!({})).await] {
        assert_eq!((again.status, &again.body), (201, &json!({ "told": 1 })));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
    let part = json!({ "amount": 1 });
    let part = visitor.post_once(&refunds, "old", &part).await;
    assert_eq!(part.refusal(), (422, "IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(app.fixture.traces().await, before, "nothing was given back");

    let held = visitor.hold(&[3]).await;
    let said = format!(r#"{{"reservationId":"{held}",}}"#);
    let route = "POST /api/v1/payments";
    stored_long_ago(&visitor, route, "old", &said, "{\"told\":2}").await;
    let again = visitor.pay(&held, "old").await;
    assert_eq!((again.status, &again.body), (201, &json!({ "told": 2 })));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let body = json!({ "reservationId": held, "with": "wallet" });
    let other = visitor.post_once("/api/v1/payments", "old", &body).await;
    assert_eq!(other.refusal(), (422, "IDEMPOTENCY_KEY_REUSED"));
}
