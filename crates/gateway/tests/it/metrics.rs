//! What an operator watches: counted once, from the beginning, and true.

use std::time::Duration;

use chassis::time::Clock;
use gateway::queue::policy::{PolicyChange, State};
use gateway::queue::{Queue, UserId};
use serde_json::json;
use testbed::{Redis, RedisOptions, Scratch};
use uuid::Uuid;

use crate::fixture::{Fixture, crowd, is_active, places, redis, state, user};
use crate::test_app::{TestApp, until};

const HOUR: Duration = Duration::from_secs(3_600);

async fn inversions(fixture: &Fixture, queue: &Queue) -> u64 {
    fixture.queues.refresh().await.unwrap();
    queue.snapshot().inversions
}

/// Puts a visitor into the line behind the back of every script.
async fn smuggle(queue: &str, visitor: UserId, ticket: u64) {
    let mut add = redis::cmd("ZADD");
    add.arg(format!("q:{{{queue}}}:waiting")).arg(ticket);
    let mut redis = redis().await;
    let add = add.arg(visitor.0.as_bytes());
    add.exec_async(&mut redis).await.unwrap();
}

#[tokio::test]
async fn a_visitor_who_enters_before_one_who_came_earlier_would_be_seen() {
    let fixture = Fixture::new();
    let queue = fixture.queue("metrics-order", places(1)).await;
    let tickets = crowd(&queue, 5).await;
    for ticket in &tickets[..3] {
        queue.leave(ticket).await.unwrap();
    }
    assert!(is_active(&queue.rank(&tickets[3]).await));
    assert_eq!(inversions(&fixture, &queue).await, 0);
    smuggle("metrics-order", user(), tickets[2].number).await;
    queue.leave(&tickets[3]).await.unwrap();
    assert_eq!(inversions(&fixture, &queue).await, 1);
    let snapshot = queue.snapshot();
    assert_eq!((snapshot.admitted, snapshot.active), (5, 1));
}

#[tokio::test]
async fn who_comes_back_after_a_loss_has_overtaken_nobody() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let fixture = Fixture::at(&redis.url(), Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 3).await;
    fixture.queues.refresh().await.unwrap();
    let mut plain = crate::fixture::plain(&redis.url()).await;
    redis::cmd("FLUSHALL").exec_async(&mut plain).await.unwrap();
    fixture.queues.refresh().await.unwrap();
    fixture.change("main", state(State::Bypass)).await;
    queue.join(user()).await.unwrap();
    queue.rank(&tickets[1]).await.unwrap();
    queue.admit().await.unwrap();
    assert!(is_active(&queue.rank(&tickets[1]).await));
    assert_eq!(inversions(&fixture, &queue).await, 0);
}

#[tokio::test]
async fn how_long_those_who_are_let_in_had_waited_follows_from_their_tickets() {
    let fixture = Fixture::new();
    let paused = PolicyChange {
        state: Some(State::Paused),
        ..places(10)
    };
    let queue = fixture.queue("metrics-wait", paused).await;
    crowd(&queue, 3).await;
    fixture.pass(HOUR);
    assert!(queue.admission_lag() >= HOUR, "nobody rang");
    fixture.change("metrics-wait", state(State::Open)).await;
    queue.admit().await.unwrap();
    assert!(queue.admission_lag() < HOUR);
    let wait = fixture.queues.metrics().admission_wait(queue.id());
    assert_eq!(wait.get_sample_count(), 3);
    assert!(wait.get_sample_sum() >= 3.0 * HOUR.as_secs_f64());
    fixture.queues.remove(queue.id(), "a test").await.unwrap();
    let wait = fixture.queues.metrics().admission_wait(queue.id());
    assert_eq!(wait.get_sample_count(), 0, "it was forgotten");
}

#[actix_web::test]
async fn counters_are_counters_and_all_is_shown_before_it_happens() {
    let app = TestApp::open().await;
    let text = app.metrics().await;
    for line in [
        "# TYPE usher_queue_admitted_total counter",
        "# TYPE usher_queue_waiting gauge",
        r#"usher_queue_inversions_total{queue="main"} 0"#,
        r#"usher_early_polls_total{queue="main"} 0"#,
        r#"usher_streams_open{queue="main"} 0"#,
        r#"usher_queue_open{queue="main"} 1"#,
        r#"usher_admission_wait_seconds_count{queue="main"} 0"#,
        r#"usher_redis_duration_seconds_count{verb="rank"} 0"#,
        r#"usher_redis_duration_seconds_count{verb="revive"} 0"#,
        r#"usher_redis_failures_total{reason="late"} 0"#,
        "usher_redis_breaker_open 0",
        "usher_redis_calls_under_way 0",
        r#"cron_step_skips_total{step="admit"} 0"#,
        r#"build_info{program="gateway""#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    app.rule(json!({ "maxActive": 1 })).await;
    let (inside, waiting) = (app.join().await, app.join().await);
    assert_eq!(inside["state"], "active");
    assert_eq!(app.poll(&waiting).await.0, 200);
    let shown = [
        r#"usher_queue_joined_total{queue="main"} 2"#,
        r#"usher_queue_admitted_total{queue="main"} 1"#,
        r#"usher_queue_waiting{queue="main"} 1"#,
        r#"usher_queue_active{queue="main"} 1"#,
        r#"usher_queue_max_active{queue="main"} 1"#,
        r#"usher_admission_wait_seconds_count{queue="main"} 1"#,
        r#"usher_redis_duration_seconds_count{verb="join"} 2"#,
        r#"usher_redis_duration_seconds_count{verb="rank"} 1"#,
    ];
    until(async || {
        let text = app.metrics().await;
        shown.iter().all(|line| text.contains(line))
    })
    .await;
    app.close().await;
}

#[actix_web::test]
async fn a_redis_that_hangs_is_seen_as_what_it_is() {
    let app = TestApp::open().await;
    let place = app.join().await;
    app.redis.freeze();
    until(async || {
        app.poll(&place).await;
        let text = app.metrics().await;
        text.contains("usher_redis_breaker_open 1")
            && !text.contains(r#"cron_step_failures_total{step="admit"} 0"#)
            && !text.contains(r#"usher_redis_failures_total{reason="redis"} 0"#)
    })
    .await;
    app.redis.thaw();
    // Nobody asks any more, and still it is seen that Redis is back.
    until(async || app.metrics().await.contains("usher_redis_breaker_open 0")).await;
    app.close().await;
}

#[actix_web::test]
async fn no_client_can_make_routes_or_methods_without_number() {
    let app = TestApp::open().await;
    for _ in 0..3 {
        let path = format!("/{}/{}", Uuid::new_v4(), Uuid::new_v4());
        app.get(&path).send().await.unwrap();
        let word = format!("M{}", Uuid::new_v4().simple());
        let method = reqwest::Method::from_bytes(word.as_bytes()).unwrap();
        let request = app.client.request(method, format!("{}{path}", app.url));
        request.send().await.unwrap();
    }
    let text = app.metrics().await;
    let requests = text.lines().filter(|line| {
        line.starts_with("http_request_duration_seconds_count") && !line.contains("/ready")
    });
    let requests: Vec<_> = requests.collect();
    assert_eq!(requests.len(), 2, "{requests:?}");
    app.close().await;
}
