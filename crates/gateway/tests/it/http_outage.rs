//! Redis hangs, dies, comes back, or forgets everything while visitors ask.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use testbed::eventually;
use uuid::Uuid;

use crate::test_app::{PATIENCE, TestApp, refused, said, token, until};

const TOKENS: &str = "/api/v1/queues/main/tokens";
const ME: &str = "/api/v1/queues/main/tokens/me";
/// Visitors who poll at once.
const CROWD: usize = 40;
/// Polls at the same instant, each on a connection of its own.
const RUSH: usize = 3_000;
/// Polls of each of them while Redis hangs: without a breaker 0.8 s each.
const POLLS: usize = 100;

/// One inside, who has shown up at this gateway, and some who wait.
async fn sale(waiting: usize) -> (TestApp, Value, Vec<Value>) {
    // These tests poll as fast as they can.
    let app = TestApp::with(&[("GATEWAY_VISIT_POLLS_PER_S", "0")]).await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let mut line = Vec::new();
    for _ in 0..waiting {
        line.push(app.join().await);
    }
    (app, inside, line)
}

/// Polls until Redis is reached again.
async fn until_answered(app: &TestApp, place: &Value) -> Value {
    eventually(PATIENCE, "Redis again", async || {
        let (status, said) = app.poll(place).await;
        if status == 200 {
            return Some(said);
        }
        assert_eq!(status, 503, "{said}");
        None
    })
    .await
}

async fn assert_outage(app: &TestApp, inside: &Value, waiting: &Value) {
    let (status, echo) = app.visit(inside, "/api/v1/seats").await;
    assert_eq!(status, 200, "whoever is inside goes on: {echo}");
    let asked = app.get(ME).bearer_auth(token(inside));
    let refusal = refused(asked).await;
    assert_eq!(
        refusal,
        (503, "STORE_UNAVAILABLE".to_owned()),
        "a place is told by Redis alone"
    );
    let answer = app.get(ME).bearer_auth(token(waiting)).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let said: Value = answer.json().await.unwrap();
    assert_eq!(said["code"], "STORE_UNAVAILABLE");
    assert_eq!(said["retryable"], true);
    for request in [
        app.get("/api/v1/seats").bearer_auth(token(waiting)),
        app.post(TOKENS).json(&json!({ "userId": Uuid::new_v4() })),
    ] {
        let refusal = refused(request).await;
        assert_eq!(refusal, (503, "STORE_UNAVAILABLE".to_owned()));
    }
}

#[actix_web::test]
async fn while_redis_hangs_those_inside_go_on_and_nobody_new_is_let_in() {
    let (app, inside, line) = sale(2).await;
    app.redis.freeze();
    assert_outage(&app, &inside, &line[0]).await;
    app.redis.thaw();
    let place = until_answered(&app, &line[1]).await;
    assert_eq!(place["position"], 2);
    app.close().await;
}

#[actix_web::test]
async fn while_redis_is_dead_those_inside_go_on_until_their_lease_ends() {
    let (mut app, inside, line) = sale(1).await;
    app.redis.kill();
    assert_outage(&app, &inside, &line[0]).await;
    app.clock.advance(Duration::from_secs(421));
    let late = app.get("/api/v1/seats").bearer_auth(token(&inside));
    assert_eq!(refused(late).await, (503, "STORE_UNAVAILABLE".to_owned()));
    app.redis.restart().unwrap();
    let place = until_answered(&app, &line[0]).await;
    assert_eq!(place["position"], 1, "back at their own place: {place}");
    app.close().await;
}

#[actix_web::test]
async fn another_gateways_visitors_are_strangers_while_redis_is_away() {
    let (app, inside, _) = sale(0).await;
    let twin = app.twin().await;
    app.redis.freeze();
    let (status, _) = app.visit(&inside, "/api/v1/seats").await;
    assert_eq!(status, 200);
    let there = twin.get("/api/v1/seats").bearer_auth(token(&inside));
    assert_eq!(refused(there).await, (503, "STORE_UNAVAILABLE".to_owned()));
    app.redis.thaw();
    twin.close().await;
    app.close().await;
}

#[actix_web::test]
async fn who_left_or_paid_during_an_outage_does_not_pass_and_the_next_enters_after_it() {
    let (app, inside, line) = sale(1).await;
    app.redis.freeze();
    let sold = app.post("/api/v1/sold").bearer_auth(token(&inside));
    assert_eq!(said(sold).await.0, 201);
    let again = app.get("/api/v1/seats").bearer_auth(token(&inside));
    assert_eq!(refused(again).await, (410, "TOKEN_EXPIRED".to_owned()));
    app.redis.thaw();
    until(async || until_answered(&app, &line[0]).await["state"] == "active").await;
    let over = app.get(ME).bearer_auth(token(&inside));
    assert_eq!(refused(over).await, (410, "TOKEN_EXPIRED".to_owned()));
    let (status, _) = app.visit(&line[0], "/api/v1/seats").await;
    assert_eq!(status, 200);
    app.redis.freeze();
    let left = app.delete(ME).bearer_auth(token(&line[0]));
    assert_eq!(refused(left).await, (503, "STORE_UNAVAILABLE".to_owned()));
    let seats = app.get("/api/v1/seats").bearer_auth(token(&line[0]));
    assert_eq!(refused(seats).await, (503, "STORE_UNAVAILABLE".to_owned()));
    app.redis.thaw();
    app.close().await;
}

#[actix_web::test]
async fn as_soon_as_redis_answers_it_alone_decides() {
    let (app, inside, line) = sale(1).await;
    let twin = app.twin().await;
    app.redis.freeze();
    assert_eq!(app.visit(&inside, "/api/v1/seats").await.0, 200);
    app.redis.thaw();
    twin.persist_leave(&inside).await;
    until_answered(&app, &line[0]).await;
    let over = app.get("/api/v1/seats").bearer_auth(token(&inside));
    assert_eq!(refused(over).await, (410, "TOKEN_EXPIRED".to_owned()));
    twin.close().await;
    app.close().await;
}

#[actix_web::test]
async fn a_redis_that_hangs_never_piles_up_those_who_poll() {
    let (app, _, line) = sale(CROWD).await;
    app.redis.freeze();
    let polls = line.iter().map(async |place| {
        for _ in 0..POLLS {
            let (status, said) = app.poll(place).await;
            assert_eq!(status, 503, "{said}");
        }
    });
    let all = tokio::time::timeout(PATIENCE, join_all(polls)).await;
    assert!(
        all.is_ok(),
        "one waits for Redis, the others are told at once"
    );
    app.redis.thaw();
    for (place, position) in line.iter().zip(1..) {
        let place = until_answered(&app, place).await;
        assert_eq!(place["position"], position);
    }
    app.close().await;
}

#[actix_web::test]
async fn those_whom_an_outage_refused_together_are_told_to_come_back_apart() {
    let (app, _, line) = sale(1).await;
    app.redis.freeze();
    let mut told = BTreeSet::new();
    until(async || {
        let poll = app.get(ME).bearer_auth(token(&line[0]));
        let answer = poll.send().await.unwrap();
        assert_eq!(answer.status(), 503);
        let seconds = answer.headers()["retry-after"].to_str().unwrap();
        told.insert(seconds.to_owned());
        told.len() > 1
    })
    .await;
    // Two seconds, a fifth more or less, rounded up.
    assert_eq!(told, BTreeSet::from(["2".to_owned(), "3".to_owned()]));
    app.redis.thaw();
    app.close().await;
}

#[actix_web::test]
async fn a_crowd_that_asks_at_once_waits_for_its_turn_and_is_answered() {
    let (app, _, line) = sale(1).await;
    let polls = (0..RUSH).map(|_| app.poll(&line[0]));
    for (status, said) in join_all(polls).await {
        assert_eq!(status, 200, "{said}");
    }
    app.close().await;
}

#[actix_web::test]
async fn redis_forgets_everything_while_a_crowd_polls_and_nobody_loses_their_place() {
    let (app, inside, line) = sale(CROWD).await;
    let mut connection = crate::fixture::plain(&app.redis.url()).await;
    for _ in 0..3 {
        let flush = redis::cmd("FLUSHALL").exec_async(&mut connection).await;
        flush.unwrap();
        join_all(line.iter().map(|place| app.poll(place))).await;
    }
    let back = until_answered(&app, &inside).await;
    assert_eq!(
        (&back["state"], &back["position"]),
        (&json!("waiting"), &json!(1)),
        "who was inside is first"
    );
    for (place, position) in line.iter().zip(2..) {
        let now = until_answered(&app, place).await;
        assert_eq!(now["position"], position);
        assert_eq!(now["ticketNumber"], place["ticketNumber"]);
        assert_eq!(now["paused"], true);
    }
    app.close().await;
}

#[actix_web::test]
async fn who_joins_again_with_their_token_after_redis_forgot_everything_has_the_same_place() {
    let (app, _, line) = sale(4).await;
    let leave = app.delete(ME).bearer_auth(token(&line[0]));
    assert_eq!(said(leave).await.0, 204);
    let mut connection = crate::fixture::plain(&app.redis.url()).await;
    let flush = redis::cmd("FLUSHALL").exec_async(&mut connection).await;
    flush.unwrap();

    let newcomer = app.join().await;
    let join = |place: &Value| {
        let body = json!({ "userId": place["userId"] });
        app.post(TOKENS).json(&body)
    };
    let cookie = |place: &Value| format!("usher_token_main={}", token(place));
    let again = [
        said(join(&line[3]).bearer_auth(token(&line[3]))).await,
        said(join(&line[1]).header("Cookie", cookie(&line[1]))).await,
        said(join(&line[2]).bearer_auth(token(&line[2]))).await,
    ];
    for ((status, now), place) in again.iter().zip([&line[3], &line[1], &line[2]]) {
        assert_eq!(*status, 200, "{now}");
        assert_eq!(now["ticketNumber"], place["ticketNumber"]);
    }
    let in_order = [&line[1], &line[2], &line[3], &newcomer];
    for (place, position) in in_order.into_iter().zip(1..) {
        let now = until_answered(&app, place).await;
        assert_eq!(now["position"], position, "with the old token too");
    }
    // Who left has nothing that could come back.
    let (status, new) = said(join(&line[0]).bearer_auth(token(&line[0]))).await;
    assert_eq!((status.as_u16(), &new["position"]), (201, &json!(5)));
    app.close().await;
}
