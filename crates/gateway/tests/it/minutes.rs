//! What is kept of each minute of a queue.

use std::time::Duration;

use chassis::time::Clock;
use chrono::TimeDelta;
use gateway::queue::{Queue, Sums};
use redis::Script;
use serde_json::{Value, json};

use crate::fixture::{Fixture, crowd, places, redis};
use crate::loss::Store;
use crate::raw::{Player, Wire};
use crate::test_app::{OPERATOR_KEY, TestApp, refused, said, token, until};

#[tokio::test]
async fn a_minute_is_kept_once_by_whichever_gateway_is_first() {
    let fixture = Fixture::new();
    let queue = fixture.queue("minutes", places(1)).await;
    crowd(&queue, 3).await;
    fixture.queues.refresh().await.unwrap();
    let now = fixture.clock.now();
    assert!(queue.keep_minute(now).await.unwrap());
    let twin = fixture.twin();
    let other = twin.open("minutes").await;
    assert!(!other.keep_minute(now).await.unwrap(), "it is kept already");
    assert!(
        other
            .keep_minute(now + TimeDelta::minutes(2))
            .await
            .unwrap()
    );
    let kept = other.minutes(now, 5).await.unwrap();
    assert_eq!(kept.len(), 2, "the minute between was nobody's");
    let (at, minute, _) = kept[0];
    assert!(at <= now && now < at + TimeDelta::minutes(1));
    assert_eq!((minute.waiting, minute.active), (2, 1));
    assert_eq!((minute.joined, minute.admitted), (3, 1));
}

#[tokio::test]
async fn minutes_are_dropped_after_thirty_days() {
    let fixture = Fixture::new();
    let queue = fixture.queue("minutes-old", places(1)).await;
    let long_ago = fixture.clock.now();
    queue.keep_minute(long_ago).await.unwrap();
    // The minute itself was missed when its time came; the one after it finds it.
    let later = long_ago + TimeDelta::days(30) + TimeDelta::minutes(1);
    queue.keep_minute(later).await.unwrap();
    assert_eq!(queue.minutes(long_ago, 1).await.unwrap(), []);
}

#[actix_web::test]
async fn only_operators_see_minutes_as_json_or_as_a_table() {
    let app = TestApp::open().await;
    let path = "/api/v1/queues/main/minutes";
    let refusal = refused(app.get(path)).await;
    assert_eq!(refusal, (401, "OPERATOR_KEY_INVALID".to_owned()));
    let (status, page) = said(app.get(path).bearer_auth(OPERATOR_KEY)).await;
    assert_eq!((status.as_u16(), &page["nextCursor"]), (200, &Value::Null));
    let table = app
        .get(path)
        .bearer_auth(OPERATOR_KEY)
        .header("Accept", "text/csv");
    let table = table.send().await.unwrap().text().await.unwrap();
    assert!(table.starts_with("at,epoch,waiting,active,parked,joined,admitted,noShows"));
    let columns = |line: &str| line.split(',').count();
    let mut lines = table.lines();
    let named = lines.next().map(columns);
    assert!(lines.all(|line| Some(columns(line)) == named), "{table}");
    app.close().await;
}

/// The sums of the one minute that was kept.
async fn sums(queue: &Queue, fixture: &Fixture) -> Sums {
    let kept = queue.minutes(fixture.clock.now(), 1).await.unwrap();
    kept[0].2
}

#[tokio::test]
async fn what_gateways_count_of_a_minute_adds_up_with_percentiles_over_all_of_them() {
    let fixture = Fixture::new();
    let queue = fixture.queue("minutes-sums", places(10)).await;
    let other = fixture.twin().open("minutes-sums").await;
    let now = fixture.clock.now();
    for ms in 1..=90 {
        queue.request_answered(Some(Duration::from_millis(ms)), false);
    }
    queue.add_sums(now).await.unwrap();
    for ms in [900, 950] {
        other.request_answered(Some(Duration::from_millis(ms)), true);
    }
    other.request_answered(None, true);
    other.count_promises((7, 5));
    // The own counts of a minute are told in more than one batch.
    other.add_sums(now).await.unwrap();
    other.add_sums(now).await.unwrap();
    queue.request_answered(Some(Duration::from_millis(10)), false);
    queue.add_sums(now).await.unwrap();
    crowd(&other, 3).await;
    other.add_sums(now).await.unwrap();
    let sums = sums(&queue, &fixture).await;
    assert_eq!((sums.answered(), sums.failed()), (94, 3));
    assert_eq!(sums.promises(), (7, 5));
    let told = sums.first_bytes();
    assert_eq!(
        (told.percentile(0.5), told.percentile(0.99)),
        (Some(48), Some(1_024))
    );
    assert_eq!(sums.waits().percentile(0.99), Some(1), "nobody had to wait");
    assert_eq!(sums.waits().counts().map(|it| it.1).sum::<u64>(), 3);
}

#[tokio::test]
async fn who_waited_is_counted_by_how_long_when_they_enter() {
    let fixture = Fixture::new();
    let queue = fixture.queue("minutes-waits", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    fixture.pass(Duration::from_secs(100));
    fixture.queues.refresh().await.unwrap();
    queue.show_up(&tickets[1]).await.unwrap();
    queue.leave(&tickets[0]).await.unwrap();
    queue.admit().await.unwrap();
    queue.add_sums(fixture.clock.now()).await.unwrap();
    let waits = sums(&queue, &fixture).await.waits();
    let counted: Vec<_> = waits.counts().collect();
    assert_eq!(counted, [(Some(1), 1), (Some(128), 1)]);
}

#[tokio::test]
async fn what_was_counted_while_redis_hung_is_added_once_when_it_is_back() {
    let store = Store::start();
    let fixture = store.fixture(&Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let now = fixture.clock.now();
    queue.request_answered(None, true);
    store.redis.freeze();
    assert!(queue.add_sums(now).await.is_err());
    queue.request_answered(None, true);
    assert!(queue.add_sums(now).await.is_err());
    store.redis.thaw();
    // The connections of the pool are made anew.
    until(async || queue.add_sums(now).await.is_ok()).await;
    assert_eq!(sums(&queue, &fixture).await.failed(), 2);
}

#[tokio::test]
async fn a_batch_that_is_sent_again_after_its_answer_was_lost_is_added_once() {
    let script = Script::new(include_str!("../../src/queue/measure/sums.lua"));
    let mut redis = redis().await;
    let mut send = async |batch: u64, amount: u64| -> bool {
        let mut call = script.prepare_invoke();
        call.key("q:{sums}:minutes").key("q:{sums}:batch:1");
        call.arg("s1").arg(batch).arg(60).arg(0).arg(amount);
        call.invoke_async(&mut redis).await.unwrap()
    };
    assert!(send(1, 5).await);
    assert!(!send(1, 5).await, "it was added");
    assert!(send(2, 4).await);
    let mut redis = crate::fixture::redis().await;
    let mut read = ::redis::cmd("HGET");
    let kept: String = read
        .arg("q:{sums}:minutes")
        .arg("s1")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(kept, "0:9");
}

#[actix_web::test]
async fn two_gateways_tell_one_sum_of_what_the_service_behind_answered_their_visitors() {
    let player = Player::start(|mut wire: Wire, _| async move {
        loop {
            let head = wire.head().await;
            let status = match head.contains("/broken") {
                _ if head.is_empty() => return,
                true => "500 Internal Server Error",
                false => "200 OK",
            };
            wire.send(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok"))
                .await;
        }
    })
    .await;
    let app = TestApp::with(&[("GATEWAY_UPSTREAM", &player.url)]).await;
    let twin = app.twin().await;
    let inside = app.join().await;
    for (gateway, path, status) in [
        (&*app, "/api/v1/seats", 200),
        (&twin, "/api/v1/seats", 200),
        (&twin, "/api/v1/broken", 500),
    ] {
        let request = gateway.get(path).bearer_auth(token(&inside));
        assert_eq!(request.send().await.unwrap().status(), status);
    }
    let mut items = Value::Null;
    until(async || {
        let path = "/api/v1/queues/main/minutes?count=5";
        let page = said(twin.get(path).bearer_auth(OPERATOR_KEY)).await.1;
        items = page["items"].clone();
        sum(&items, "answered") == 3
    })
    .await;
    assert_eq!(sum(&items, "failed"), 1);
    let minutes = items.as_array().unwrap().iter();
    let waited = minutes.flat_map(|it| it["waits"].as_array().unwrap());
    assert_eq!(
        waited.cloned().collect::<Vec<_>>(),
        [json!({ "upTo": 1, "count": 1 })]
    );
    twin.close().await;
    app.close().await;
}

fn sum(items: &Value, name: &str) -> u64 {
    let items = items.as_array().unwrap().iter();
    items.map(|it| it[name].as_u64().unwrap()).sum()
}
