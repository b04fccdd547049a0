//! What an operator's key may do, and that every refusal is on record.

use reqwest::Method;
use serde_json::{Value, json};

use crate::test_app::{Caller, TestApp, answer};

const NOWHERE: &str = "00000000-0000-7000-8000-000000000000";

/// Every operator's route with the right that it needs.
const ROUTES: &[(Method, &str, &str)] = &[
    (Method::POST, "/api/v1/admin/concerts", "sale"),
    (Method::GET, "/api/v1/admin/concerts", "read"),
    (Method::GET, "/api/v1/admin/concerts/{id}", "read"),
    (Method::PATCH, "/api/v1/admin/concerts/{id}", "sale"),
    (Method::DELETE, "/api/v1/admin/concerts/{id}", "sale"),
    (
        Method::POST,
        "/api/v1/admin/concerts/{id}/schedules",
        "sale",
    ),
    (Method::GET, "/api/v1/admin/concerts/{id}/schedules", "read"),
    (Method::GET, "/api/v1/admin/schedules/{id}", "read"),
    (Method::PATCH, "/api/v1/admin/schedules/{id}", "sale"),
    (Method::DELETE, "/api/v1/admin/schedules/{id}", "sale"),
    (Method::POST, "/api/v1/admin/schedules/{id}/closing", "sale"),
    (Method::GET, "/api/v1/admin/schedules/{id}/seats", "read"),
    (Method::POST, "/api/v1/admin/schedules/{id}/seats", "sale"),
    (
        Method::POST,
        "/api/v1/admin/schedules/{id}/seats/blocks",
        "sale",
    ),
    (
        Method::POST,
        "/api/v1/admin/schedules/{id}/seats/releases",
        "sale",
    ),
    (
        Method::POST,
        "/api/v1/admin/schedules/{id}/cancellation",
        "sale",
    ),
    (
        Method::GET,
        "/api/v1/admin/schedules/{id}/cancellation",
        "read",
    ),
    (
        Method::GET,
        "/api/v1/admin/schedules/{id}/reservations",
        "desk",
    ),
    (Method::GET, "/api/v1/admin/schedules/{id}/payments", "desk"),
    (Method::GET, "/api/v1/admin/schedules/{id}/buyers", "desk"),
    (Method::GET, "/api/v1/admin/users/{id}", "desk"),
    (Method::GET, "/api/v1/admin/users/{id}/balance", "desk"),
    (Method::GET, "/api/v1/admin/users/{id}/ledger", "desk"),
    (Method::GET, "/api/v1/admin/users/{id}/reservations", "desk"),
    (Method::POST, "/api/v1/admin/users/{id}/credits", "money"),
    (
        Method::POST,
        "/api/v1/admin/users/{id}/corrections",
        "money",
    ),
    (Method::POST, "/api/v1/admin/payments/{id}/refunds", "desk"),
    (Method::DELETE, "/api/v1/admin/users/{id}", "desk"),
    (Method::GET, "/api/v1/admin/audit", "desk"),
    (Method::GET, "/api/v1/admin/integrity", "read"),
    (Method::GET, "/api/v1/admin/reconciliation", "read"),
    (Method::GET, "/api/v1/admin/outbox", "read"),
    (Method::POST, "/api/v1/admin/outbox/redeliveries", "sale"),
    (Method::POST, "/api/v1/admin/outbox/resumptions", "sale"),
    (
        Method::POST,
        "/api/v1/admin/outbox/{id}/redeliveries",
        "sale",
    ),
];

async fn asks(caller: &Caller<'_>, method: &Method, path: &str) -> (u16, Value) {
    let path = path.replace("{id}", NOWHERE);
    let answer = answer(caller.request(method.clone(), &path).json(&json!({}))).await;
    (answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_of_operators_needs_its_right_and_each_refusal_is_audited() {
    let app = TestApp::open().await;
    let (all, none) = (app.operator(), app.clerk(&["queue", "of-a-later-version"]));
    for (index, (method, path, right)) in ROUTES.iter().enumerate() {
        let refused = asks(&none, method, path).await;
        assert_eq!(
            (refused.0, &refused.1["code"], &refused.1["right"]),
            (403, &json!("RIGHT_MISSING"), &json!(right)),
            "{method} {path}"
        );
        let audited = app.fixture.number(
            "SELECT COUNT(*) FROM audit_log WHERE entity = 'route' AND action = 'refused' \
             AND actor = 'operator' AND actor_name = 'operator:clerk'",
        );
        assert_eq!(audited.await, index as i64 + 1, "{method} {path}");
        assert_ne!(asks(&all, method, path).await.0, 403, "{method} {path}");
    }
    let detail = "SELECT COUNT(*) FROM audit_log WHERE JSON_VALUE(detail, '$.right') = 'read' \
        AND JSON_VALUE(detail, '$.path') = '/api/v1/admin/outbox' AND JSON_VALUE(detail, '$.method') = 'GET'";
    assert_eq!(app.fixture.number(detail).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_right_opens_its_routes_and_no_others() {
    let app = TestApp::open().await;
    for right in ["read", "sale", "desk", "money"] {
        let rights: &'static [&'static str] = match right {
            "read" => &["read"],
            "sale" => &["sale"],
            "desk" => &["desk"],
            _ => &["money"],
        };
        for (method, path, needed) in ROUTES {
            let got = asks(&app.clerk(rights), method, path).await;
            assert_eq!(got.0 == 403, right != *needed, "{right}: {method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_is_audited_by_the_name_of_the_key() {
    let app = TestApp::open().await;
    let concert = json!({ "title": "Nights", "queue": "main" });
    let operator = app.operator();
    let made = operator.post("/api/v1/admin/concerts", &concert).await;
    assert_eq!(made.status, 201);
    let audited = "SELECT COUNT(*) FROM audit_log WHERE entity = 'concert' AND action = 'created' \
        AND actor = 'operator' AND actor_name = 'operator:tests'";
    // One is the test's own.
    assert_eq!(app.fixture.number(audited).await, 2);
    let long = "x".repeat(300);
    let wordy = Caller {
        sub: long.clone(),
        ..app.operator()
    };
    let made = wordy.post("/api/v1/admin/concerts", &concert).await;
    assert_eq!(made.status, 201);
    let cut = format!(
        "SELECT COUNT(*) FROM audit_log WHERE actor_name = '{}'",
        &long[..128]
    );
    assert_eq!(app.fixture.number(&cut).await, 1);
}
