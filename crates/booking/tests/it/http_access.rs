//! Who may do what: booking believes the gateway's pass and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::test_app::{PASS_SECRET, TestApp, answer, signed};

const NOWHERE: &str = "00000000-0000-7000-8000-000000000000";

/// Every route that needs a pass: method, path, and the level it needs.
fn guarded() -> Vec<(Method, String, &'static str)> {
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let at =
        |method: &Method, path: &str, level| (method.clone(), path.replace("{id}", NOWHERE), level);
    vec![
        at(&get, "/api/v1/concerts/{id}/schedules", "active"),
        at(&get, "/api/v1/schedules/{id}/seats", "active"),
        at(&post, "/api/v1/reservations", "active"),
        at(&get, "/api/v1/reservations", "token"),
        at(&get, "/api/v1/reservations/{id}", "token"),
        at(&delete, "/api/v1/reservations/{id}", "token"),
        at(&post, "/api/v1/reservations/{id}/extensions", "token"),
        at(&post, "/api/v1/payments", "token"),
        at(&get, "/api/v1/payments/{id}", "token"),
        at(&post, "/api/v1/payments/{id}/refunds", "token"),
        at(&post, "/api/v1/users/{id}/balance/charges", "token"),
        at(&get, "/api/v1/users/{id}/balance", "token"),
        at(&get, "/api/v1/users/{id}/ledger", "token"),
        at(&post, "/api/v1/admin/concerts", "operator"),
        at(&post, "/api/v1/admin/concerts/{id}/schedules", "operator"),
        at(&get, "/api/v1/admin/reconciliation", "operator"),
        at(&get, "/api/v1/admin/audit", "operator"),
        at(&get, "/api/v1/admin/integrity", "operator"),
        at(&delete, "/api/v1/admin/users/{id}", "operator"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_pass_only_the_concerts_are_shown() {
    let app = TestApp::open().await;
    assert_eq!(app.get("/api/v1/concerts").await.status, 200);
    let concert = app
        .get(&format!("/api/v1/concerts/{}", app.fixture.concert_id))
        .await;
    assert_eq!(
        (concert.status, concert.header("cache-control")),
        (200, Some("public, max-age=1"))
    );
    for (method, path, _) in guarded() {
        let refused = answer(app.request(method.clone(), &path)).await;
        assert_eq!(refused.refusal(), (401, "PASS_INVALID"), "{method} {path}");
        assert!(refused.body["detail"].as_str().unwrap().contains("gateway"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_ended_and_unsigned_passes_open_nothing() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let claims = visitor.claims();
    let mut ended = claims.clone();
    ended["exp"] = json!(app.clock.now().timestamp() - 1);
    let mut long = claims.clone();
    long["exp"] = json!(app.clock.now().timestamp() + 86_400);
    let mut unnamed = claims.clone();
    unnamed["sub"] = json!("not a uuid");
    let mut elsewhere = claims.clone();
    elsewhere["queue"] = json!("'; DROP TABLE seats; --");
    let unsigned = {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        format!("{head}.{}.", URL_SAFE_NO_PAD.encode(claims.to_string()))
    };
    let own = |claims| signed(claims, Algorithm::HS256, &PASS_SECRET);
    for (what, pass) in [
        ("another key", signed(&claims, Algorithm::HS256, &[9; 32])),
        (
            "another algorithm",
            signed(&claims, Algorithm::HS512, &PASS_SECRET),
        ),
        ("no algorithm", unsigned),
        ("ended", own(&ended)),
        ("too long", own(&long)),
        ("no user", own(&unnamed)),
        ("an odd queue", own(&elsewhere)),
        ("no pass at all", "Bearer x".to_owned()),
    ] {
        let request = app
            .request(Method::GET, &app.seats_path())
            .header("X-Usher-Pass", pass);
        assert_eq!(
            answer(request).await.refusal(),
            (401, "PASS_INVALID"),
            "{what}"
        );
    }
    let twice = visitor
        .request(Method::GET, &app.seats_path())
        .header("X-Usher-Pass", visitor.pass());
    assert_eq!(
        answer(twice).await.refusal(),
        (401, "PASS_INVALID"),
        "two passes"
    );
    let bearer = app
        .request(Method::GET, &app.seats_path())
        .bearer_auth(visitor.pass());
    assert_eq!(
        answer(bearer).await.refusal(),
        (401, "PASS_INVALID"),
        "in another header"
    );
    let forwarded = app
        .request(Method::GET, &app.seats_path())
        .header("X-Forwarded-For", "127.0.0.1");
    assert_eq!(
        answer(forwarded).await.refusal(),
        (401, "PASS_INVALID"),
        "another header is no pass"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_asks_for_its_level() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    for (method, path, needs) in guarded() {
        for (caller, level) in [
            (visitor.waiting(), "token"),
            (visitor.clone(), "active"),
            (app.operator(), "operator"),
        ] {
            let code = match (needs, level) {
                ("active", "token") => Some("NOT_ADMITTED"),
                ("operator", "token" | "active") => Some("OPERATOR_ONLY"),
                ("active" | "token", "operator") => Some("VISITOR_ONLY"),
                _ => None,
            };
            let got = answer(caller.request(method.clone(), &path)).await;
            match code {
                Some(code) => assert_eq!(got.refusal(), (403, code), "{method} {path} as {level}"),
                None => assert!(
                    !matches!(got.status, 401 | 403),
                    "{method} {path} as {level}: {got:?}"
                ),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_things_of_another_user_do_not_exist() {
    let app = TestApp::open().await;
    let (owner, thief) = (app.visitor(), app.visitor());
    thief.charge(1_000_000).await;
    let payment = owner.buy(&[1]).await;
    let held = owner.hold(&[2]).await;
    let before = app.fixture.traces().await;

    let reservation = format!("/api/v1/reservations/{held}");
    assert_eq!(
        thief.get(&reservation).await.refusal(),
        (404, "RESERVATION_NOT_FOUND")
    );
    assert_eq!(
        thief.delete(&reservation).await.refusal(),
        (404, "RESERVATION_NOT_FOUND")
    );
    assert_eq!(
        thief.pay(&held, "k").await.refusal(),
        (404, "RESERVATION_NOT_FOUND")
    );
    let payment = format!("/api/v1/payments/{payment}");
    assert_eq!(
        thief.get(&payment).await.refusal(),
        (404, "PAYMENT_NOT_FOUND")
    );
    let refund = thief
        .post_once(&format!("{payment}/refunds"), "k", &json!({}))
        .await;
    assert_eq!(refund.refusal(), (404, "PAYMENT_NOT_FOUND"));
    for path in ["balance", "ledger"] {
        let wallet = thief
            .get(&format!("/api/v1/users/{}/{path}", owner.sub))
            .await;
        assert_eq!(wallet.refusal(), (404, "WALLET_NOT_FOUND"));
    }
    let charge = thief
        .post_once(&owner.charges_path(), "k", &json!({ "amount": 1 }))
        .await;
    assert_eq!(charge.refusal(), (404, "WALLET_NOT_FOUND"));
    assert_eq!(
        thief.get("/api/v1/reservations").await.body["items"],
        json!([])
    );

    assert_eq!(app.fixture.traces().await, before);
    assert_eq!(owner.get(&reservation).await.body["state"], "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_of_another_queue_sees_and_reserves_nothing_of_this_concert() {
    let app = TestApp::open().await;
    let visitor = app.visitor().through("other");
    let before = app.fixture.traces().await;
    let schedules = format!("/api/v1/concerts/{}/schedules", app.fixture.concert_id);
    assert_eq!(
        visitor.get(&schedules).await.refusal(),
        (403, "QUEUE_MISMATCH")
    );
    assert_eq!(
        visitor.get(&app.seats_path()).await.refusal(),
        (403, "QUEUE_MISMATCH")
    );
    assert_eq!(
        visitor.reserve(&[1]).await.refusal(),
        (403, "QUEUE_MISMATCH")
    );
    assert_eq!(app.fixture.traces().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_404_and_a_wrong_method_405() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let unknown = Uuid::new_v4();
    for (path, code) in [
        (format!("/api/v1/concerts/{unknown}"), "CONCERT_NOT_FOUND"),
        (
            format!("/api/v1/concerts/{unknown}/schedules"),
            "CONCERT_NOT_FOUND",
        ),
        (
            format!("/api/v1/schedules/{unknown}/seats"),
            "SCHEDULE_NOT_FOUND",
        ),
        (
            format!("/api/v1/reservations/{unknown}"),
            "RESERVATION_NOT_FOUND",
        ),
        (format!("/api/v1/payments/{unknown}"), "PAYMENT_NOT_FOUND"),
        ("/api/v1/nothing".to_owned(), "NOT_FOUND"),
        ("/".to_owned(), "NOT_FOUND"),
    ] {
        assert_eq!(visitor.get(&path).await.refusal(), (404, code), "{path}");
    }
    let wish = json!({ "scheduleId": unknown, "seatNumbers": [1] });
    let refused = visitor.post("/api/v1/reservations", &wish).await;
    assert_eq!(refused.refusal(), (404, "SCHEDULE_NOT_FOUND"));
    let refused = app
        .operator()
        .post(
            &format!("/api/v1/admin/concerts/{unknown}/schedules"),
            &json!({ "startsAt": "2099-01-01T00:00:00Z" }),
        )
        .await;
    assert_eq!(refused.refusal(), (404, "CONCERT_NOT_FOUND"));
    let refused = answer(visitor.request(Method::PUT, "/api/v1/reservations")).await;
    assert_eq!(refused.refusal(), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(refused.header("allow"), Some("POST, GET, HEAD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sane_request_id_is_kept_and_per_visitor_answers_are_not_stored() {
    let app = TestApp::open().await;
    let request = app
        .visitor()
        .request(Method::GET, "/api/v1/reservations")
        .header("X-Request-Id", "mine-1");
    let got = answer(request).await;
    assert_eq!(
        (got.header("x-request-id"), got.header("cache-control")),
        (Some("mine-1"), Some("no-store"))
    );
    let refused = app.get("/api/v1/reservations").await;
    assert_eq!(
        refused.header("x-request-id"),
        refused.body["requestId"].as_str()
    );
    assert_eq!(refused.header("cache-control"), Some("no-store"));
}
