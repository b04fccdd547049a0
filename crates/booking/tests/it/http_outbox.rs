//! What operators see of the events, and what booking does with and without brokers.

use std::time::Duration;

use chassis::time::rfc3339;
use rdkafka::mocking::MockCluster;
use serde_json::{Value, json};
use testbed::eventually;
use tokio::time::timeout;
use uuid::Uuid;

use crate::test_app::{TestApp, answer};

const OUTBOX: &str = "/api/v1/admin/outbox";

fn redeliveries(id: &str) -> String {
    format!("{OUTBOX}/{id}/redeliveries")
}

/// Gives up the events of this type, oldest first.
async fn kill(app: &TestApp, event_type: &str) {
    let statement = format!(
        "UPDATE outbox SET state = 'dead', attempts = 20, last_error = 'Broker: no' WHERE type = '{event_type}'"
    );
    app.fixture.raw(&statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_brokers_booking_serves_and_operators_see_what_waits() {
    let app = TestApp::open().await;
    let empty = app.operator().get(OUTBOX).await;
    assert_eq!(
        (empty.status, empty.body),
        (
            200,
            json!({ "backlog": 0, "lagSeconds": 0, "dead": 0, "webhooks": [], "items": [], "nextCursor": null })
        )
    );
    app.visitor().buy(&[1]).await;
    app.clock.advance(Duration::from_secs(30));
    let waits = app.operator().get(OUTBOX).await.body;
    assert_eq!((&waits["backlog"], &waits["dead"]), (&json!(3), &json!(0)));
    assert!(waits["lagSeconds"].as_i64().unwrap() >= 30, "{waits}");
    assert_eq!(app.visitor().get(OUTBOX).await.refusal().0, 403);
    assert_eq!(app.get(OUTBOX).await.refusal().0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_newest_first_with_their_reason() {
    let app = TestApp::open().await;
    let visitor = app.visitor();
    for amount in [1, 2, 3] {
        visitor.charge(amount).await;
    }
    kill(&app, "wallet.charged").await;
    let operator = app.operator();
    let first = operator.get(&format!("{OUTBOX}?limit=2")).await.body;
    assert_eq!((&first["backlog"], &first["dead"]), (&json!(0), &json!(3)));
    let cursor = first["nextCursor"].as_str().expect("another page");
    let second = operator
        .get(&format!("{OUTBOX}?limit=2&cursor={cursor}"))
        .await;
    let items = |page: &Value| page["items"].as_array().unwrap().clone();
    let all = [items(&first), items(&second.body)].concat();
    let person = format!("/api/v1/admin/users/{}", visitor.sub);
    let subject = operator.get(&person).await.body["subject"].clone();
    assert_eq!((all.len(), &second.body["nextCursor"]), (3, &Value::Null));
    let ids: Vec<_> = all.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    for letter in &all {
        assert_eq!(letter["type"], "wallet.charged");
        assert_eq!(
            (&letter["aggregateType"], &letter["aggregateId"]),
            (&json!("wallet"), &subject)
        );
        assert_eq!(
            (&letter["attempts"], &letter["lastError"]),
            (&json!(20), &json!("Broker: no"))
        );
        assert!(letter["createdAt"].as_str().unwrap() <= rfc3339(app.clock.now()).as_str());
    }
    for odd in ["?limit=0", "?limit=201", "?cursor=x"] {
        let refused = operator.get(&format!("{OUTBOX}{odd}")).await;
        assert_eq!(refused.refusal(), (400, "QUERY_INVALID"), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sends_a_dead_letter_again_and_nothing_else() {
    let app = TestApp::open().await;
    app.visitor().charge(1).await;
    kill(&app, "wallet.charged").await;
    let operator = app.operator();
    let letters = operator.get(OUTBOX).await.body;
    let id = letters["items"][0]["id"].as_str().unwrap();
    let path = redeliveries(id);
    assert_eq!(
        app.visitor().post(&path, &Value::Null).await.refusal().0,
        403
    );
    let again = operator.post(&path, &Value::Null).await;
    assert_eq!(
        (again.status, again.body),
        (
            202,
            json!({ "id": id, "type": "wallet.charged", "state": "pending" })
        )
    );
    assert_eq!(
        operator.post(&path, &Value::Null).await.refusal(),
        (409, "EVENT_NOT_DEAD")
    );
    let unknown = redeliveries(&Uuid::new_v4().to_string());
    assert_eq!(
        operator.post(&unknown, &Value::Null).await.refusal(),
        (404, "EVENT_NOT_FOUND")
    );
    let odd = redeliveries("1;DROP TABLE outbox");
    assert_eq!(
        operator.post(&odd, &Value::Null).await.refusal(),
        (400, "PATH_INVALID")
    );
    let waits = operator.get(OUTBOX).await.body;
    assert_eq!((&waits["backlog"], &waits["dead"]), (&json!(1), &json!(0)));
    let audited = "SELECT COUNT(*) FROM audit_log WHERE entity = 'event' AND action = 'redelivered' AND actor = 'operator'";
    assert_eq!(app.fixture.number(audited).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_dead_letters_are_sent_again_at_once_the_oldest_first() {
    let app = TestApp::open().await;
    for amount in [1, 2, 3] {
        app.visitor().charge(amount).await;
    }
    kill(&app, "wallet.charged").await;
    let (operator, path) = (app.operator(), format!("{OUTBOX}/redeliveries"));
    let refused = app.visitor().post(&path, &json!({})).await;
    assert_eq!(refused.refusal(), (403, "OPERATOR_ONLY"));
    for odd in [
        json!({ "limit": 0 }),
        json!({ "limit": 1_001 }),
        json!({ "all": 1 }),
    ] {
        assert_eq!(operator.post(&path, &odd).await.status, 422, "{odd}");
    }
    let first = operator.post(&path, &json!({ "limit": 2 })).await;
    assert_eq!(
        (first.status, first.body),
        (202, json!({ "redelivered": 2, "dead": 1 }))
    );
    let left =
        "SELECT COUNT(*) FROM outbox WHERE state = 'dead' AND seq < (SELECT MAX(seq) FROM outbox)";
    assert_eq!(app.fixture.number(left).await, 0, "the oldest first");
    for expected in [1, 0] {
        let next = operator.post(&path, &json!({})).await;
        assert_eq!(next.body, json!({ "redelivered": expected, "dead": 0 }));
    }
    let audited = "SELECT COUNT(*) FROM audit_log WHERE action = 'redelivered'";
    assert_eq!(app.fixture.number(audited).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_webhook_is_shown_and_a_receiver_that_is_stopped_is_resumed() {
    let app = TestApp::open().await;
    for statement in [
        "INSERT INTO webhook_lag VALUES ('data-platform', 0, 3, NOW(6) - INTERVAL 90 SECOND, NOW(6)), \
            ('data-platform', 1, 4, NOW(6) - INTERVAL 30 SECOND, NOW(6))",
        "INSERT INTO webhook_endpoints VALUES ('data-platform', NOW(6), 'the receiver answered 410')",
    ] {
        app.fixture.raw(statement).await.unwrap();
    }
    let operator = app.operator();
    let shown = operator.get(OUTBOX).await.body["webhooks"][0].clone();
    assert_eq!(
        (
            &shown["receiver"],
            &shown["waiting"],
            &shown["stoppedReason"]
        ),
        (
            &json!("data-platform"),
            &json!(7),
            &json!("the receiver answered 410")
        )
    );
    let oldest_s = shown["oldestSeconds"].as_i64().unwrap();
    assert!(oldest_s >= 90, "{shown}");
    let path = format!("{OUTBOX}/resumptions");
    let resumed = operator.post(&path, &json!({})).await;
    assert_eq!(
        (resumed.status, resumed.body),
        (202, json!({ "receivers": ["data-platform"] }))
    );
    assert_eq!(
        operator.get(OUTBOX).await.body["webhooks"][0]["stoppedAt"],
        Value::Null
    );
    let again = operator.post(&path, &json!({})).await;
    assert_eq!(again.body, json!({ "receivers": [] }));
    let audited = "SELECT COUNT(*) FROM audit_log WHERE action = 'resumed'";
    assert_eq!(app.fixture.number(audited).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_brokers_what_is_sold_is_told() {
    let broker = MockCluster::new(1).unwrap();
    let app = TestApp::with(&[("BOOKING_KAFKA_BROKERS", &broker.bootstrap_servers())]).await;
    app.visitor().buy(&[1, 2]).await;
    eventually(Duration::from_secs(60), "an empty outbox", async || {
        (app.operator().get(OUTBOX).await.body["backlog"] == json!(0)).then_some(())
    })
    .await;
    let delivered = "SELECT COUNT(*) FROM outbox WHERE state = 'delivered'";
    assert_eq!(app.fixture.number(delivered).await, 3);
    let metrics = app.client.get(format!("{}/metrics", app.admin_base));
    let text = metrics.send().await.unwrap().text().await.unwrap();
    for line in [
        "booking_outbox_delivered_total 3",
        "booking_outbox_failed_total 0",
        "booking_outbox_dead_total 0",
        "booking_outbox_backlog ",
        "booking_outbox_lag_seconds ",
        "booking_outbox_dead_letters 0",
        "booking_outbox_topic_unusable 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_away_do_not_stop_a_sale() {
    let app = TestApp::with(&[("BOOKING_KAFKA_BROKERS", "127.0.0.1:1")]).await;
    app.visitor().buy(&[1]).await;
    assert_eq!(app.operator().get(OUTBOX).await.body["backlog"], 3);
    let ready = answer(app.client.get(format!("{}/ready", app.admin_base))).await;
    assert_eq!(ready.status, 200);
    let mut app = app;
    let running = app.running.take().unwrap();
    timeout(Duration::from_secs(30), running.stop())
        .await
        .expect("stopped");
}
