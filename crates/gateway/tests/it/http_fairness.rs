//! How fair a queue is, as everybody sees it: what was promised and kept, who did not come, and what should
//! never happen.

use std::time::Duration;

use serde_json::{Value, json};
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

/// Polls until the visitor is inside.
async fn enters(app: &TestApp, place: &Value) {
    until(async || app.poll(place).await.1["state"] == "active").await;
}

/// Seconds that a visitor is told it takes at most, as soon as they are told.
async fn told_at_most(app: &TestApp, place: &Value) -> u64 {
    let mut most = None;
    until(async || {
        most = app.poll(place).await.1["etaSeconds"]["max"].as_u64();
        most.is_some()
    })
    .await;
    most.unwrap()
}

/// The one place is given back once, so that a speed is known.
async fn one_was_inside(app: &TestApp) -> Value {
    app.rule(json!({ "maxActive": 1, "leaseSeconds": 600 }))
        .await;
    let first = app.join().await;
    enters(app, &first).await;
    let second = app.join().await;
    app.persist_leave(&first).await;
    enters(app, &second).await;
    second
}

#[actix_web::test]
async fn a_promise_is_kept_by_who_is_inside_at_its_end_and_broken_for_who_is_not() {
    let app = TestApp::open().await;
    let inside = one_was_inside(&app).await;
    let lucky = app.join().await;
    told_at_most(&app, &lucky).await;
    says(&app, &[("promises", 0), ("promisesKept", 0)]).await;
    app.persist_leave(&inside).await;
    enters(&app, &lucky).await;
    says(&app, &[("promises", 1), ("promisesKept", 1)]).await;

    let late = app.join().await;
    let at_most = told_at_most(&app, &late).await;
    app.clock.advance(Duration::from_secs(at_most));
    says(&app, &[("promises", 1)]).await;
    // Beyond the end, and the pause that they were told.
    app.clock.advance(Duration::from_secs(120));
    app.poll(&late).await;
    says(&app, &[("promises", 2), ("promisesKept", 1)]).await;
    app.poll(&late).await;
    says(&app, &[("promises", 2), ("promisesKept", 1)]).await;
    app.close().await;
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
