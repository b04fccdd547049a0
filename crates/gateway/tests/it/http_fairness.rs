//! How fair a queue is, as everybody sees it: who did not come, and what should never happen.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::fixture::plain;
use crate::test_app::{TestApp, said, until};

const FAIRNESS: &str = "/api/v1/queues/main/fairness";

/// Waits until the page says these figures.
async fn says(app: &TestApp, wanted: &[(&str, u64)]) {
    until(async || {
        let (_, fairness) = said(app.get(FAIRNESS)).await;
        wanted.iter().all(|(name, count)| fairness[name] == *count)
    })
    .await;
}

#[actix_web::test]
async fn who_is_let_in_and_does_not_come_is_a_no_show_and_parked() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1, "claimSeconds": 30 }))
        .await;
    app.join().await;
    says(&app, &[("noShows", 0), ("parked", 0)]).await;
    app.clock.advance(Duration::from_secs(31));
    says(&app, &[("noShows", 1), ("parked", 1)]).await;
    app.close().await;
}

#[actix_web::test]
async fn more_inside_than_the_cap_and_more_entries_than_the_rate_are_told_for_a_minute() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 3, "admitPerSecond": 10 }))
        .await;
    let none = [("capOvershoot", 0), ("rateOvershoot", 0)];
    says(&app, &none).await;
    // No gateway does this: eight are written into the store as if they had been let in, and many more as
    // if they had been and had left.
    let mut redis = plain(&app.redis.url()).await;
    let end_us = (app.clock.now() + Duration::from_secs(60)).timestamp_micros();
    let mut write = redis::pipe();
    write.atomic();
    for _ in 0..8 {
        let user = Uuid::new_v4();
        write
            .cmd("ZADD")
            .arg("q:{main}:active")
            .arg(end_us)
            .arg(user.as_bytes());
    }
    write
        .cmd("HINCRBY")
        .arg("q:{main}:meta")
        .arg("admitted")
        .arg(500);
    // Again and again, since only what is between two looks of the gateway counts.
    until(async || {
        write.exec_async(&mut redis).await.unwrap();
        let (_, fairness) = said(app.get(FAIRNESS)).await;
        fairness["capOvershoot"] == 5 && fairness["rateOvershoot"].as_u64() > Some(400)
    })
    .await;
    app.clock.advance(Duration::from_secs(61));
    says(&app, &none).await;
    app.close().await;
}
