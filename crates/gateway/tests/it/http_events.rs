//! A visitor who listens instead of asking.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use testbed::eventually;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::listener::Listener;
use crate::raw::Wire;
use crate::test_app::{TestApp, said, token, until};

const EVENTS: &str = "/api/v1/queues/main/tokens/me/events";
const ME: &str = "/api/v1/queues/main/tokens/me";
const CROWD: usize = 1_000;

async fn listen(app: &TestApp, place: &Value) -> Listener {
    Listener::open(app.get(EVENTS).bearer_auth(token(place))).await
}

async fn leave(app: &TestApp, place: &Value) {
    let (status, _) = said(app.delete(ME).bearer_auth(token(place))).await;
    assert_eq!(status, 204);
}

#[actix_web::test]
async fn a_listener_hears_each_step_to_the_front_in_and_out() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let (first, second) = (app.join().await, app.join().await);
    let mut listener = listen(&app, &second).await;
    assert_eq!(listener.header("content-type"), "text/event-stream");
    assert_eq!(listener.header("cache-control"), "no-store");
    assert_eq!(listener.header("x-accel-buffering"), "no");
    let retry = listener.block().await.unwrap();
    let retry: u64 = retry.strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((2_000..7_000).contains(&retry));
    let place = listener.expect("place").await;
    assert_eq!(place.data["position"], 2);
    assert_eq!(place.data["ticketNumber"], second["ticketNumber"]);
    assert_eq!(place.data["token"], Value::Null);
    leave(&app, &first).await;
    let nearer = listener.expect("place").await;
    assert_eq!(nearer.data["position"], 1);
    assert_ne!(nearer.id, place.id);
    leave(&app, &inside).await;
    let active = listener.expect("active").await;
    assert_eq!(active.data["state"], "active");
    assert_eq!(active.data["position"], 0);
    assert!(active.data["activeUntil"].is_string());
    let (status, _) = app.visit(&second, "/api/v1/seats").await;
    assert_eq!(status, 200);
    let claimed = listener.expect("active").await;
    assert!(
        claimed.data["expiresInSeconds"].as_u64() > Some(400),
        "whoever shows up may stay: {claimed:?}"
    );
    leave(&app, &second).await;
    let gone = listener.expect("gone").await;
    assert_eq!(gone.data["code"], "TOKEN_EXPIRED");
    assert_eq!(listener.next().await, None, "nothing follows");
    app.close().await;
}

#[actix_web::test]
async fn a_listener_whose_visit_idleness_ended_hears_why_as_who_polls_does() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1, "idleSeconds": 5 })).await;
    let inside = app.join().await;
    let mut listener = listen(&app, &inside).await;
    listener.expect("active").await;
    app.clock.advance(Duration::from_secs(10));
    let gone = listener.expect("gone").await;
    assert_eq!(gone.data["code"], "TOKEN_EXPIRED");
    let detail = gone.data["detail"].as_str().unwrap();
    assert!(detail.contains("idle"), "{detail}");
    let (status, polled) = app.poll(&inside).await;
    assert_eq!((status.as_u16(), &polled["detail"]), (410, &json!(detail)));
    app.close().await;
}

#[actix_web::test]
async fn a_stream_that_is_opened_inside_claims_the_full_lease() {
    let app = TestApp::open().await;
    let inside = app.join().await;
    assert_eq!(inside["state"], "active");
    let claim_s = inside["expiresInSeconds"].as_u64();
    assert!(claim_s <= Some(60), "a join claims nothing: {inside}");
    let mut listener = listen(&app, &inside).await;
    listener.block().await.unwrap();
    let active = listener.expect("active").await;
    let lease_s = active.data["expiresInSeconds"].as_u64();
    assert!(lease_s > Some(400), "{active:?}");
    app.close().await;
}

#[actix_web::test]
async fn a_listener_hears_of_a_pause_a_message_and_the_end_of_the_queue() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    app.join().await;
    let waiting = app.join().await;
    let mut listener = listen(&app, &waiting).await;
    listener.expect("place").await;
    app.rule(json!({ "state": "paused", "message": "Back at ten." }))
        .await;
    let place = listener.expect("place").await;
    assert_eq!(place.data["paused"], true);
    assert_eq!(place.data["etaSeconds"], Value::Null);
    let paused = listener.expect("paused").await;
    assert_eq!(paused.data, json!({ "paused": true }));
    let message = listener.expect("message").await;
    assert_eq!(message.data, json!({ "message": "Back at ten." }));
    app.rule(json!({ "state": "open", "message": null })).await;
    listener.expect("place").await;
    let goes_on = listener.expect("paused").await;
    assert_eq!(goes_on.data, json!({ "paused": false }));
    let message = listener.expect("message").await;
    assert_eq!(message.data, json!({ "message": null }));
    let removal = app.delete("/api/v1/queues/main");
    let removal = removal.bearer_auth(crate::test_app::OPERATOR_KEY);
    assert_eq!(said(removal).await.0, 204);
    let gone = listener.expect("gone").await;
    assert_eq!(gone.data["code"], "QUEUE_UNKNOWN");
    app.close().await;
}

#[actix_web::test]
async fn who_comes_back_is_told_what_is_new_and_nothing_twice() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    app.join().await;
    let waiting = app.join().await;
    let place = listen(&app, &waiting).await.expect("place").await;
    let back = |id: &str| {
        let request = app.get(EVENTS).bearer_auth(token(&waiting));
        Listener::open(request.header("Last-Event-ID", id))
    };
    let mut listener = back(&place.id).await;
    app.rule(json!({ "message": "Soon." })).await;
    let told = listener.expect("message").await;
    let mut listener = back(&told.id).await;
    app.rule(json!({ "message": "Now." })).await;
    let told = listener.next().await.unwrap();
    assert_eq!(told.data, json!({ "message": "Now." }), "not `Soon.` again");
    let mut listener = back("nonsense").await;
    listener.expect("place").await;
    app.close().await;
}

#[actix_web::test]
async fn who_has_nothing_to_watch_is_refused_as_when_polling() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let refused = crate::test_app::refused;
    assert_eq!(
        refused(app.get(EVENTS)).await,
        (401, "TOKEN_MISSING".to_owned())
    );
    assert_eq!(
        refused(app.get(EVENTS).bearer_auth("x")).await,
        (401, "TOKEN_INVALID".to_owned())
    );
    let unknown = app.get("/api/v1/queues/nope/tokens/me/events");
    assert_eq!(
        refused(unknown.bearer_auth(token(&place))).await,
        (404, "QUEUE_UNKNOWN".to_owned())
    );
    let head = app.client.head(format!("{}{EVENTS}", app.url));
    let head = head.bearer_auth(token(&place)).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.bytes().await.unwrap().len(), 0);
    leave(&app, &place).await;
    let over = app.get(EVENTS).bearer_auth(token(&place));
    assert_eq!(refused(over).await, (410, "TOKEN_EXPIRED".to_owned()));
    app.close().await;
    let small = TestApp::with(&[("GATEWAY_STREAMS", "1")]).await;
    let place = small.join().await;
    let one = listen(&small, &place).await;
    let full = small.get(EVENTS).bearer_auth(token(&place));
    assert_eq!(refused(full).await, (503, "STREAMS_FULL".to_owned()));
    drop(one);
    small.close().await;
}

#[actix_web::test]
async fn the_fifth_stream_of_a_visit_ends_the_oldest_and_the_four_newest_live() {
    let app = TestApp::open().await;
    let place = app.join().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = listen(&app, &place).await;
        let first = stream.expect("active").await;
        assert_eq!(first.data["userId"], place["userId"]);
        streams.push(stream);
    }
    let mut oldest = streams.remove(0);
    assert_eq!(oldest.next().await, None, "it ends and is told nothing");
    app.rule(json!({ "message": "Now." })).await;
    for stream in &mut streams {
        let told = stream.expect("message").await;
        assert_eq!(told.data, json!({ "message": "Now." }));
    }
    leave(&app, &place).await;
    for stream in &mut streams {
        let gone = stream.expect("gone").await;
        assert_eq!(gone.data["code"], "TOKEN_EXPIRED");
    }
    app.close().await;
}

#[actix_web::test]
async fn the_fifth_stream_of_a_visit_opens_also_where_no_more_may_be_watched() {
    let app = TestApp::with(&[("GATEWAY_STREAMS", "4")]).await;
    let (place, other) = (app.join().await, app.join().await);
    let stranger = || crate::test_app::refused(app.get(EVENTS).bearer_auth(token(&other)));
    let full = (503, "STREAMS_FULL".to_owned());
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = listen(&app, &place).await;
        stream.expect("active").await;
        streams.push(stream);
    }
    assert_eq!(stranger().await, full);
    let mut fifth = listen(&app, &place).await;
    fifth.expect("active").await;
    assert_eq!(streams[0].next().await, None, "the oldest made room");
    let open = async || app.metric("usher_streams_open{queue=\"main\"}").await;
    until(async || open().await == Some(4.0)).await;
    assert_eq!(stranger().await, full, "and for nobody else");
    app.rule(json!({ "message": "Now." })).await;
    for stream in streams[1..].iter_mut().chain([&mut fifth]) {
        stream.expect("message").await;
    }
    app.close().await;
}

#[actix_web::test]
async fn a_client_that_closed_its_half_is_gone_within_two_seconds() {
    let app = TestApp::with(&[("GATEWAY_STREAMS", "1")]).await;
    app.rule(json!({ "maxActive": 1 })).await;
    app.join().await;
    let place = app.join().await;
    let address = app.url.strip_prefix("http://").unwrap();
    let mut client = Wire::to(address).await;
    let bearer = token(&place);
    client
        .send(format!(
            "GET {EVENTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\n\r\n"
        ))
        .await;
    client.until("event: place").await;
    let open = async || app.metric("usher_streams_open{queue=\"main\"}").await;
    assert_eq!(open().await, Some(1.0));
    // A FIN and no RST: it could still read.
    client.stream.shutdown().await.unwrap();
    eventually(Duration::from_secs(2), "the stream to end", async || {
        open().await.is_none_or(|it| it == 0.0).then_some(())
    })
    .await;
    let mut another = listen(&app, &place).await;
    another.expect("place").await;
    app.close().await;
}

#[actix_web::test]
async fn a_stop_ends_every_stream_in_order() {
    let app = TestApp::with(&[("GATEWAY_GRACE_S", "60")]).await;
    let place = app.join().await;
    let mut listener = listen(&app, &place).await;
    listener.expect("active").await;
    let heard = tokio::spawn(async move { while listener.next().await.is_some() {} });
    let stopped = tokio::time::timeout(Duration::from_secs(30), app.close()).await;
    assert!(stopped.is_ok(), "a stream does not hold up the stop");
    heard.await.expect("an end, not a broken connection");
}

#[actix_web::test]
async fn a_stream_outlives_a_store_that_hangs_and_says_that_it_is_away_and_back() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let waiting = app.join().await;
    let mut listener = listen(&app, &waiting).await;
    listener.expect("place").await;
    app.redis.freeze();
    let refused = app.poll(&waiting).await;
    assert_eq!(refused.0, 503);
    let away = listener.expect("store").await;
    assert_eq!(away.data, json!({ "available": false }));
    app.redis.thaw();
    let back = listener.expect("store").await;
    assert_eq!(back.data, json!({ "available": true }));
    app.persist_leave(&inside).await;
    listener.expect("active").await;
    app.close().await;
}

#[actix_web::test]
async fn a_thousand_listeners_each_hear_their_own_place_from_a_few_reads_a_second() {
    let app = TestApp::with(&[("GATEWAY_GRACE_S", "5")]).await;
    app.rule(json!({ "maxActive": 1 })).await;
    let inside = app.join().await;
    let mut places = Vec::new();
    for _ in 0..CROWD {
        places.push(app.join().await);
    }
    let mut listeners: Vec<_> = stream::iter(&places)
        .map(|place| listen(&app, place))
        .buffered(50)
        .collect()
        .await;
    for (listener, position) in listeners.iter_mut().zip(1..) {
        let place = listener.expect("place").await;
        assert_eq!(place.data["position"], position);
    }
    leave(&app, &inside).await;
    listeners[0].expect("active").await;
    for (listener, position) in listeners[1..].iter_mut().zip(1..) {
        let nearer = listener.until(|it| it.name == "place").await;
        assert_eq!(nearer.data["position"], position);
    }
    let shown = format!("usher_streams_open{{queue=\"main\"}} {CROWD}");
    until(async || app.metrics().await.contains(&shown)).await;
    let silent = listeners.pop().expect("the last one");
    let pinged = async {
        let mut silent = silent;
        while silent.block().await.as_deref() != Some(": ping") {}
    };
    pinged.await;
    drop(listeners);
    app.close().await;
}

#[actix_web::test]
async fn a_user_without_a_place_watches_nothing_of_somebody_elses() {
    let app = TestApp::open().await;
    app.rule(json!({ "maxActive": 1 })).await;
    app.join().await;
    let waiting = app.join().await;
    let body = json!({ "userId": Uuid::new_v4() });
    let (_, other) = said(app.post("/api/v1/queues/main/tokens").json(&body)).await;
    let cookie = format!("usher_token_main={}", token(&other));
    let mut listener = Listener::open(app.get(EVENTS).header("Cookie", cookie)).await;
    let place = listener.expect("place").await;
    assert_eq!(place.data["userId"], other["userId"]);
    assert_ne!(place.data["userId"], waiting["userId"]);
    app.close().await;
}
