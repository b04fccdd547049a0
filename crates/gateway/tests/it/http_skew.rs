//! Machines whose clocks differ tell the same time: that of Redis.

use chassis::time::Clock;
use serde_json::{Value, json};

use crate::log_lines;
use crate::test_app::{TestApp, TestGateway, payload, token, until};

/// A machine that is so far ahead, in µs.
const AHEAD_US: i64 = 40_000_000;
/// Answers that follow each other may fall into different seconds.
const NEXT_TO: i64 = 5;

fn assert_near(one: &Value, other: &Value) {
    let (one, other) = (one.as_i64().unwrap(), other.as_i64().unwrap());
    assert!((one - other).abs() <= NEXT_TO, "{one} and {other}");
}

#[actix_web::test]
async fn two_gateways_forty_seconds_apart_give_the_same_answer() {
    let app = TestApp::open().await;
    let twin = app.twin_at(Clock::wrong_by(AHEAD_US)).await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let (here, there) = (app.poll(&inside).await.1, twin.poll(&inside).await.1);
    assert_near(&here["expiresInSeconds"], &there["expiresInSeconds"]);

    let (first, second) = (app.join().await, twin.join().await);
    let (one, other) = (payload(token(&first)), payload(token(&second)));
    assert_near(&one["iat"], &other["iat"]);
    assert_near(&one["exp"], &other["exp"]);
    let pass = |echo: &Value| payload(echo["headers"]["x-usher-pass"][0].as_str().unwrap());
    let here = pass(&app.visit(&inside, "/api/v1/seats").await.1);
    let there = pass(&twin.visit(&inside, "/api/v1/seats").await.1);
    assert_near(&here["exp"], &there["exp"]);

    let skew = twin.metric("usher_clock_skew_seconds").await.unwrap();
    assert!((skew - 40.0).abs() < 2.0, "{skew}");
    let skew = app.metric("usher_clock_skew_seconds").await.unwrap();
    assert!(skew.abs() < 2.0, "{skew}");

    // While Redis is away the last offset counts.
    app.redis.freeze();
    let (status, echo) = twin.visit(&inside, "/api/v1/seats").await;
    assert_eq!(status, 200, "{echo}");
    let now = pass(&echo);
    app.redis.thaw();
    assert_near(&now["exp"], &there["exp"]);
    twin.close().await;
    app.close().await;
}

const WARNING: &str = "s ahead of that of redis, which counts";

/// Waits until the metric of the skew shows so much, in seconds.
async fn shows(gateway: &TestGateway, skew: f64) {
    until(async || {
        let shown = gateway.metric("usher_clock_skew_seconds").await;
        shown.is_some_and(|it| (it - skew).abs() < 0.1)
    })
    .await;
}

#[actix_web::test]
async fn a_machine_whose_clock_is_wrong_by_more_than_two_seconds_is_told_once() {
    log_lines::listen();
    let app = TestApp::open().await;
    let nearly = app.twin_at(Clock::wrong_by(1_700_000)).await;
    let ahead = app.twin_at(Clock::wrong_by(2_300_000)).await;
    let behind = app.twin_at(Clock::wrong_by(-61_000_000)).await;
    shows(&nearly, 1.7).await;
    shows(&ahead, 2.3).await;
    shows(&behind, -61.0).await;
    let warned = |skew: &str| log_lines::count(&format!("is {skew} {WARNING}"));
    until(async || warned("2.3") + warned("-61.0") == 2).await;
    // A warning comes with the first look; some later ones were taken since.
    for gateway in [&nearly, &ahead, &behind] {
        let refreshed = r#"cron_step_duration_seconds_count{step="refresh"}"#;
        until(async || gateway.metric(refreshed).await > Some(2.0)).await;
    }
    assert_eq!(["1.7", "2.3", "-61.0"].map(warned), [0, 1, 1]);
    for gateway in [nearly, ahead, behind] {
        gateway.close().await;
    }
    app.close().await;
}
