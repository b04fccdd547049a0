//! A Redis that forgets its scripts, hangs or dies.

use std::time::{Duration, Instant};

use chassis::time::Clock;
use gateway::queue::{QueueError, Standing};
use testbed::{Redis, RedisOptions, Scratch, within};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, crowd, id, is_active, places, plain, user};
use crate::test_app::PATIENCE;

/// One answer takes less than a second; 300 one after the other take four minutes.
const NO_PILE_UP: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_redis_that_forgot_its_scripts_is_given_them_again() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let fixture = Fixture::at(&redis.url(), Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let flush = || async {
        let mut redis = plain(&redis.url()).await;
        let flush = redis::cmd("SCRIPT")
            .arg("FLUSH")
            .exec_async(&mut redis)
            .await;
        flush.unwrap();
    };
    flush().await;
    let first = queue.join(user()).await.unwrap();
    flush().await;
    assert!(is_active(&queue.touch(&first.ticket).await));
    let second = queue.join(user()).await.unwrap();
    flush().await;
    assert!(queue.leave(&first.ticket).await.unwrap().freed);
    flush().await;
    queue.admit().await.unwrap();
    flush().await;
    assert!(is_active(&queue.rank(&second.ticket).await));
    flush().await;
    fixture.queues.refresh().await.unwrap();
    flush().await;
    fixture.change("main", places(2)).await;
    flush().await;
    fixture.queues.remove(queue.id(), "a test").await.unwrap();
}

#[tokio::test]
async fn a_redis_that_hangs_is_told_within_a_second_to_all_who_ask() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let fixture = Fixture::at(&redis.url(), Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    redis.freeze();
    let mut tasks = JoinSet::new();
    for task in 0..300 {
        let (fixture, queue, ticket) = (fixture.clone(), queue.clone(), tickets[task % 2]);
        tasks.spawn(async move {
            match task % 5 {
                0 => queue.join(user()).await.err(),
                1 => queue.touch(&ticket).await.err(),
                2 => queue.leave(&ticket).await.err(),
                3 => fixture.queues.open(&id("other")).await.err(),
                _ => queue.rank(&ticket).await.err(),
            }
        });
    }
    let all = tokio::time::timeout(NO_PILE_UP, tasks.join_all()).await;
    for refused in all.expect("each waits for itself, not for those before") {
        assert!(
            matches!(refused, Some(QueueError::StoreUnavailable(_))),
            "{refused:?}"
        );
    }
    assert!(fixture.queues.refresh().await.is_err());
    assert!(queue.admit().await.is_err());
    assert_eq!(
        queue.snapshot().policy.max_active,
        1,
        "what is known stays known"
    );

    redis.thaw();
    let place = until_answered(|| queue.rank(&tickets[1])).await;
    assert!(matches!(
        place,
        Standing::Waiting { .. } | Standing::Active { .. }
    ));
}

#[tokio::test]
async fn what_a_request_has_waited_for_already_is_taken_off_its_time() {
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let fixture = Fixture::at(&redis.url(), Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    let begun = tokio::time::Instant::now() - Duration::from_millis(700);
    let late = fixture.queues.open_for(queue.id(), begun).await.unwrap();
    redis.freeze();
    let all = async {
        [
            late.rank(&tickets[1]).await.err(),
            late.touch(&tickets[0]).await.err(),
            late.join(user()).await.err(),
            late.leave(&tickets[1]).await.err(),
        ]
    };
    // One call alone is given up later.
    for refused in within(Duration::from_millis(500), "all of it", all).await {
        assert!(
            matches!(refused, Some(QueueError::StoreUnavailable(_))),
            "{refused:?}"
        );
    }
    redis.thaw();
}

#[tokio::test]
async fn after_a_redis_died_and_came_back_empty_the_line_goes_on() {
    let scratch = Scratch::new().unwrap();
    let mut redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let fixture = Fixture::at(&redis.url(), Clock::system());
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    redis.kill();
    let refused = queue.rank(&tickets[1]).await;
    assert!(
        matches!(refused, Err(QueueError::StoreUnavailable(_))),
        "{refused:?}"
    );
    assert!(matches!(
        queue.join(user()).await,
        Err(QueueError::StoreUnavailable(_))
    ));
    assert!(fixture.queues.refresh().await.is_err());
    redis.restart().unwrap();
    let place = until_answered(|| queue.rank(&tickets[1])).await;
    assert_eq!(place, Standing::Waiting { ahead: 0 });
}

/// Asks again until Redis is reached.
pub async fn until_answered<T, F>(ask: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, QueueError>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(QueueError::StoreUnavailable(_)) if Instant::now() < end => {
                tokio::task::yield_now().await;
            }
            Err(cause) => panic!("{cause}"),
        }
    }
}
