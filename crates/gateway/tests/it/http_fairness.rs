//! How fair a queue is, as everybody sees it: who did not come, what was promised, and what should never happen.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::eventually;
use uuid::Uuid;

use crate::fixture::plain;
use crate::test_app::{PATIENCE, TestApp, TestGateway, said, until};

const FAIRNESS: &str = "/api/v1/queues/main/fairness";

/// Waits until the page says these figures.
async fn says(app: &TestGateway, wanted: &[(&str, u64)]) {
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

/// Polls until this visitor is told how long it takes at most, in seconds.
async fn told(app: &TestApp, place: &Value) -> u64 {
    eventually(PATIENCE, "a range", async || {
        app.poll(place).await.1["etaSeconds"]["max"].as_u64()
    })
    .await
}

#[actix_web::test]
async fn whether_the_time_that_was_told_was_kept_is_told_by_every_gateway() {
    let app = TestApp::open().await;
    let twin = app.twin().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let mut line = Vec::new();
    for _ in 0..4 {
        line.push(app.join().await);
    }
    let [first, second, third, fourth] = line.as_slice() else {
        panic!("four came");
    };
    let (_, early) = app.poll(third).await;
    assert_eq!(early["etaSeconds"], Value::Null, "nothing is known yet");
    says(&app, &[("promises", 0), ("promisesKept", 0)]).await;

    // With the first place that is given back something is known.
    app.persist_leave(first).await;
    told(&app, third).await;
    app.persist_leave(second).await;
    until(async || app.poll(third).await.1["state"] == "active").await;
    let kept = [("promises", 1), ("promisesKept", 1)];
    says(&app, &kept).await;
    says(&twin, &kept).await;

    // The third stays for longer than anybody expected.
    let most = told(&app, fourth).await;
    app.clock.advance(Duration::from_secs(most + 60));
    app.poll(fourth).await;
    let broken = [("promises", 2), ("promisesKept", 1)];
    says(&app, &broken).await;
    says(&twin, &broken).await;
    twin.close().await;
    app.close().await;
}

#[actix_web::test]
async fn an_inversion_is_told_and_counted_since_the_begin_of_this_life_of_the_queue() {
    let app = TestApp::open().await;
    let before = app.clock.now();
    app.rule(json!({ "maxActive": 1 })).await;
    let first = app.join().await;
    says(&app, &[("inversions", 0), ("parked", 0)]).await;
    let since = async || {
        let (_, fairness) = said(app.get(FAIRNESS)).await;
        let since: chrono::DateTime<chrono::Utc> =
            fairness["since"].as_str().unwrap().parse().unwrap();
        since
    };
    let begun = since().await;
    assert!((before - begun).num_seconds().abs() < 60, "{begun}");

    // No gateway does this: somebody is put into the line before who was let in.
    let mut redis = plain(&app.redis.url()).await;
    let ticket = first["ticketNumber"].as_u64().unwrap();
    let mut write = redis::cmd("ZADD");
    write.arg("q:{main}:waiting").arg(ticket - 1);
    let user = Uuid::new_v4();
    write.arg(user.as_bytes());
    write.exec_async(&mut redis).await.unwrap();
    app.rule(json!({ "maxActive": 2 })).await;
    says(&app, &[("inversions", 1)]).await;

    let flush = redis::cmd("FLUSHALL").exec_async(&mut redis).await;
    flush.unwrap();
    says(&app, &[("inversions", 0)]).await;
    assert!(since().await > begun, "a new life is counted anew");
    app.close().await;
}
