//! What the service behind says of itself by its answers: how much is left, and how much it can bear.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::http_proxy::pass_text;
use crate::listener::Listener;
use crate::raw::{Player, Wire};
use crate::test_app::{TestApp, refused, said, token, until};

static LEFT: AtomicU64 = AtomicU64::new(7);

/// A service with so much left.
async fn shop() -> Player {
    Player::start(|mut wire: Wire, _| async move {
        while !wire.head().await.is_empty() {
            let left = LEFT.load(Ordering::SeqCst);
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nx-usher-remaining: {left}\r\ncontent-length: 2\r\n\r\nok"
            ))
            .await;
        }
    })
    .await
}

#[actix_web::test]
async fn who_waits_is_told_what_is_left_and_the_queue_closes_at_nothing() {
    let player = shop().await;
    let app = TestApp::with(&[("GATEWAY_UPSTREAM", &player.url)]).await;
    app.rule(json!({ "maxActive": 1, "soldOut": "close" }))
        .await;
    let inside = app.join().await;
    let waiting = app.join().await;
    assert_eq!(
        (&waiting["remaining"], &waiting["outlook"]),
        (&Value::Null, &Value::Null)
    );
    let events = app.get("/api/v1/queues/main/tokens/me/events");
    let mut listener = Listener::open(events.bearer_auth(token(&waiting))).await;
    let shop = app.get("/api/v1/seats").bearer_auth(token(&inside));
    let answer = shop.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-usher-remaining"));
    let mut place = Value::Null;
    until(async || {
        place = app.poll(&waiting).await.1;
        place["remaining"] == 7
    })
    .await;
    assert!(place["outlook"].is_string(), "{place}");
    // Who watches is told too, although the own place is the same.
    let is_stock = |event: &crate::listener::Event| event.data["remaining"] == 7;
    listener.until(is_stock).await;
    let (_, status) = said(app.get("/api/v1/queues/main")).await;
    assert_eq!(status["remaining"], 7);

    LEFT.store(0, Ordering::SeqCst);
    assert_eq!(app.visit(&inside, "/api/v1/seats").await.0, 200);
    until(async || {
        place = app.poll(&waiting).await.1;
        place["remaining"] == 0
    })
    .await;
    assert_eq!(
        (&place["outlook"], &place["paused"], &place["message"]),
        (
            &json!("unlikely"),
            &json!(true),
            &json!("Everything is sold.")
        )
    );
    let told = listener.until(|event| event.name == "message").await;
    assert_eq!(told.data["message"], "Everything is sold.");
    let body = json!({ "userId": uuid::Uuid::new_v4() });
    let join = app.post("/api/v1/queues/main/tokens").json(&body);
    assert_eq!(refused(join).await, (403, "QUEUE_CLOSED".to_owned()));
    app.close().await;
}

#[actix_web::test]
async fn what_a_neighbour_tells_of_answers_moves_a_rate_that_is_found() {
    let app = TestApp::open().await;
    let inside = app.join().await;
    let pass = pass_text(&app.visit(&inside, "/api/v1/seats").await.1);
    app.rule(json!({ "admitPerSecond": "auto", "targetLatencyMs": 100, "autoMin": 2 }))
        .await;
    let (_, policy) = said(app.put("/api/v1/queues/main", &json!({}))).await;
    assert_eq!(policy["admitPerSecond"], "auto");
    let tell = |pass: &str, body: Value| {
        let feedback = app.post("/api/v1/authorize/feedback");
        feedback.header("X-Usher-Pass", pass).json(&body)
    };
    let good = json!({ "latencyMs": 900, "status": 200 });
    assert_eq!(
        refused(tell("forged", good.clone())).await,
        (401, "PASS_INVALID".to_owned())
    );
    for odd in [
        json!({ "latencyMs": 900, "status": 99 }),
        json!({ "latencyMs": 3_600_001, "status": 200 }),
        json!({ "latencyMs": 900 }),
    ] {
        assert_eq!(
            refused(tell(&pass, odd)).await,
            (422, "BODY_INVALID".to_owned())
        );
    }
    let status = async || said(app.get("/api/v1/queues/main")).await.1;
    let before = status().await["admitPerSecond"].as_f64().unwrap();
    until(async || {
        for _ in 0..3 {
            assert_eq!(said(tell(&pass, good.clone())).await.0, 204);
        }
        status().await["admitPerSecond"].as_f64().unwrap() < before
    })
    .await;
    let status = status().await;
    assert_eq!(status["rate"]["mode"], "auto", "{status}");
    assert!(status["rate"]["reason"].is_string(), "{status}");
    assert!(app.metric("usher_rate_steps_total{step=\"down\"}").await >= Some(1.0));
    app.close().await;
}
