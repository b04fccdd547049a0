//! What is one's own is reached in every state of the visit; looking for seats and taking them only inside.

use std::time::Duration;

use chrono::TimeDelta;
use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};

use crate::test_app::{Answer, Caller, PASS_SECRET, TestApp, answer, signed};

/// The same visitor, with a pass of this level and state.
async fn asked(
    by: &Caller<'_>,
    (level, state): (&str, &str),
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let mut claims = by.claims();
    claims["level"] = json!(level);
    claims["state"] = json!(state);
    let pass = signed(&claims, Algorithm::HS256, &PASS_SECRET);
    let request = by.app.request(method, path).header("X-Usher-Pass", pass);
    let request = request.header("Idempotency-Key", "k");
    answer(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn own_things_are_reached_while_waiting_inside_and_afterwards() {
    let app = TestApp::open().await;
    for state in ["waiting", "active", "over"] {
        let visitor = app.visitor();
        visitor.charge(1_000_000).await;
        let held = visitor.hold(&[1, 2]).await;
        let own = async |method, path: &str, body| {
            asked(&visitor, ("token", state), method, path, body).await
        };
        let reservation = format!("/api/v1/reservations/{held}");
        for path in [reservation.as_str(), "/api/v1/reservations"] {
            assert_eq!(own(Method::GET, path, None).await.status, 200, "{state}");
        }
        let extensions = format!("{reservation}/extensions");
        let extended = own(Method::POST, &extensions, None).await;
        assert_eq!(extended.status, 201, "{state}: {extended:?}");
        let pay = Some(json!({ "reservationId": held }));
        let paid = own(Method::POST, "/api/v1/payments", pay).await;
        assert_eq!(paid.status, 201, "{state}: {paid:?}");
        let release = (state == "active").then_some("release");
        assert_eq!(paid.header("x-admission"), release, "{state}");
        let payment = format!("/api/v1/payments/{}", paid.id());
        let refunds = format!("{payment}/refunds");
        let seat = Some(json!({ "seatNumbers": [1] }));
        let part = own(Method::POST, &refunds, seat).await;
        assert_eq!((part.status, &part.body["amount"]), (201, &json!(150_000)));
        let seen = own(Method::GET, &payment, None).await.body;
        assert_eq!(seen["state"], "partially_refunded");
        assert_eq!(seen["refundedAmount"], 150_000);
        let given_back = own(Method::DELETE, &reservation, None).await;
        assert_eq!(given_back.status, 204, "{state}");
    }
    app.fixture.reconciled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_looked_for_and_taken_only_inside() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let dates = format!("/api/v1/concerts/{}/schedules", app.fixture.concert_id);
    let seats = app.seats_path();
    for (pass, allowed) in [
        (("active", "active"), true),
        (("active", "waiting"), false),
        (("active", "over"), false),
        (("token", "active"), false),
        (("token", "waiting"), false),
        (("token", "over"), false),
    ] {
        for path in [&dates, &seats] {
            let seen = asked(&visitor, pass, Method::GET, path, None).await;
            assert_eq!(seen.status == 200, allowed, "{pass:?} {path}: {seen:?}");
        }
        let wish = Some(app.wish(&[1]));
        let held = asked(&visitor, pass, Method::POST, "/api/v1/reservations", wish).await;
        if allowed {
            assert_eq!(held.status, 201, "{pass:?}: {held:?}");
        } else {
            assert_eq!(held.refusal(), (403, "NOT_ADMITTED"), "{pass:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_things_are_reached_through_any_queue_and_paying_them_ends_no_other_visit() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    visitor.charge(1_000_000).await;
    let held = visitor.hold(&[1]).await;
    let elsewhere = visitor.through("another");
    let paid = elsewhere.pay(&held, "k").await;
    assert_eq!((paid.status, paid.header("x-admission")), (201, None));
    let refunds = format!("/api/v1/payments/{}/refunds", paid.id());
    let refunded = elsewhere.post_once(&refunds, "k", &json!({})).await;
    assert_eq!(refunded.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_refund_is_read() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let payment = visitor.buy(&[1, 2]).await;
    let refunds = format!("/api/v1/payments/{payment}/refunds");
    for (body, code) in [
        (json!({ "seats": [1] }), "BODY_INVALID"),
        (json!({ "seatNumbers": [1], "amount": 1 }), "BODY_INVALID"),
        (json!([]), "BODY_INVALID"),
        (json!({ "seatNumbers": [] }), "SEATS_INVALID"),
        (json!({ "seatNumbers": [1, 1] }), "SEATS_INVALID"),
        (json!({ "seatNumbers": [3] }), "SEAT_UNKNOWN"),
        (json!({ "amount": 0 }), "AMOUNT_INVALID"),
        (json!({ "amount": -1 }), "AMOUNT_INVALID"),
        (json!({ "amount": "1" }), "AMOUNT_INVALID"),
        (json!({ "amount": 1.5 }), "AMOUNT_INVALID"),
    ] {
        let refused = visitor.post_once(&refunds, "odd", &body).await;
        assert_eq!(refused.refusal(), (422, code), "{body}");
    }
    let too_large = json!({ "amount": 300_001 });
    let too_large = visitor.post_once(&refunds, "odd", &too_large).await;
    assert_eq!(too_large.refusal(), (409, "REFUND_TOO_LARGE"));
    assert_eq!(too_large.body["refundable"], 300_000);
    let raw = |text: &'static str, kind: &'static str| {
        let request = visitor.request(Method::POST, &refunds).body(text);
        let request = request.header("Idempotency-Key", "raw");
        answer(request.header("Content-Type", kind))
    };
    let broken = raw("{", "application/json").await;
    assert_eq!(broken.refusal(), (400, "BODY_MALFORMED"));
    let odd = raw("a=1", "application/x-www-form-urlencoded").await;
    assert_eq!(odd.refusal(), (415, "CONTENT_TYPE_UNSUPPORTED"));
    // No body is a full refund, and the same request as one whose body says nothing.
    let plain = visitor.request(Method::POST, &refunds);
    let whole = answer(plain.header("Idempotency-Key", "whole")).await;
    assert_eq!(
        (whole.status, &whole.body["state"]),
        (201, &json!("refunded"))
    );
    let replayed = visitor.post_once(&refunds, "whole", &json!({})).await;
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));
    assert_eq!(replayed.body, whole.body);
    let other = json!({ "amount": 1 });
    let reused = visitor.post_once(&refunds, "whole", &other).await;
    assert_eq!(reused.refusal(), (422, "IDEMPOTENCY_KEY_REUSED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_parameter_that_a_route_does_not_have_is_refused_by_its_name() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let held = format!("/api/v1/reservations/{}", visitor.hold(&[1]).await);
    for path in [
        "/api/v1/concerts?limt=1".to_owned(),
        format!("{}?stat=available", app.seats_path()),
        "/api/v1/reservations?state=held".to_owned(),
        format!("{held}?a=1"),
    ] {
        let refused = visitor.get(&path).await;
        assert_eq!(refused.refusal(), (422, "QUERY_UNKNOWN"), "{path}");
    }
    let deleted = visitor.delete(&format!("{held}?force=true")).await;
    assert_eq!(deleted.refusal(), (422, "QUERY_UNKNOWN"));
    let one = json!({ "seatNumbers": [1] });
    let deleted = answer(visitor.request(Method::DELETE, &held).json(&one)).await;
    assert_eq!(deleted.refusal(), (422, "BODY_INVALID"));
    assert_eq!(visitor.get(&held).await.body["state"], "held");
    assert_eq!(visitor.get("/api/v1/concerts?limit=1").await.status, 200);
    assert_eq!(visitor.get("/api/v1/nowhere?a=1").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_is_ones_own_and_when_sales_open() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let held = visitor.hold(&[1]).await;
    let reservations = "/api/v1/reservations";
    let again = visitor.post(reservations, &app.wish(&[1])).await;
    assert_eq!(again.refusal(), (409, "SEAT_TAKEN"));
    let own = json!([{ "seatNumber": 1, "reason": "yours", "reservationId": held }]);
    assert_eq!(again.body["conflicts"], own);
    visitor.charge(1_000_000).await;
    let paid = visitor.pay(&held, "a").await;
    let twice = visitor.pay(&held, "b").await;
    assert_eq!(twice.body["paymentId"], paid.body["id"]);
    let seen = visitor.get(&format!("{reservations}/{held}")).await;
    assert_eq!(seen.body["paymentId"], paid.body["id"]);
}

/// A date whose sales open in an hour; what its operator was told.
async fn date_to_come(app: &TestApp) -> Value {
    let dates = format!(
        "/api/v1/admin/concerts/{}/schedules",
        app.fixture.concert_id
    );
    let at = |hours| (app.clock.now() + TimeDelta::hours(hours)).to_rfc3339();
    let later = json!({ "startsAt": at(48), "salesOpenAt": at(1), "salesCloseAt": at(2) });
    app.operator().post(&dates, &later).await.body
}

/// Asks for a seat of a date, and for a place in its waiting list.
async fn asked_for(visitor: &Caller<'_>, date: &Value) -> [Answer; 2] {
    let wish = json!({ "scheduleId": date["id"], "seatNumbers": [1] });
    let id = date["id"].as_str().unwrap();
    let list = format!("/api/v1/schedules/{id}/waitlist");
    let place = json!({ "count": 1 });
    let seat = visitor.post("/api/v1/reservations", &wish).await;
    [seat, visitor.post(&list, &place).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_sales_say_when_to_who_asks_for_a_seat_and_to_who_would_wait_for_one() {
    let app = TestApp::open().await;
    let (visitor, date) = (app.visitor(), date_to_come(&app).await);
    let opens_in_s = date["opensInSeconds"].as_i64().unwrap();
    assert!((3_000..=3_600).contains(&opens_in_s));
    for is_early in [true, false] {
        for refused in asked_for(&visitor, &date).await {
            assert_eq!(refused.refusal(), (409, "SALES_CLOSED"));
            assert_eq!(refused.body["salesOpenAt"], date["salesOpenAt"]);
            assert_eq!(refused.body["salesCloseAt"], date["salesCloseAt"]);
            assert_eq!(refused.body["retryable"], is_early);
            assert_eq!(refused.body["opensInSeconds"].is_i64(), is_early);
        }
        app.clock.advance(Duration::from_secs(3 * 3_600));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_that_is_cancelled_before_its_opening_is_not_worth_another_try() {
    let app = TestApp::open().await;
    let (visitor, date) = (app.visitor(), date_to_come(&app).await);
    let id = date["id"].as_str().unwrap();
    let act = format!("/api/v1/admin/schedules/{id}/cancellation");
    let storm = json!({ "reason": "Storm" });
    let cancelled = app.operator().post(&act, &storm).await;
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    for refused in asked_for(&visitor, &date).await {
        assert_eq!(refused.refusal(), (409, "SALES_CLOSED"));
        assert_eq!(refused.body["detail"], "This date was cancelled.");
        assert_eq!(refused.body["retryable"], false);
        assert!(refused.body["opensInSeconds"].is_null());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_read_page_by_page_and_by_what_is_asked() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    let payment = visitor.buy(&[1]).await;
    let operator = app.operator();
    let audit = async |query: &str| operator.get(&format!("/api/v1/admin/audit?{query}")).await;
    let of_payment = audit(&format!("entityId={payment}")).await;
    let only = &of_payment.body["items"][0];
    assert_eq!(
        (&only["entity"], &only["action"]),
        (&json!("payment"), &json!("captured"))
    );
    assert_eq!(only["userId"], json!(visitor.sub));
    assert_eq!(only["operator"], Value::Null);
    assert_eq!(only["detail"]["amount"], 150_000);
    let all = audit("limit=200").await;
    let (mut paged, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let page = audit(&query).await;
        paged.extend(page.body["items"].as_array().unwrap().clone());
        match page.body["nextCursor"].as_str() {
            Some(cursor) => query = format!("limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(json!(paged), all.body["items"]);
    let concert = json!({ "title": "A", "queue": "main" });
    operator.post("/api/v1/admin/concerts", &concert).await;
    let own = audit("operator=operator:tests&action=created").await;
    assert_eq!(own.body["items"][0]["operator"], "operator:tests");
    for odd in ["limit=0", "cursor=x", "entityId=x", "from=yesterday"] {
        let refused = audit(odd).await;
        assert_eq!(refused.refusal(), (400, "QUERY_INVALID"), "{odd}");
    }
    assert_eq!(visitor.get("/api/v1/admin/audit").await.status, 403);
}
