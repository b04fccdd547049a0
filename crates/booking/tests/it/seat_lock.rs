use std::time::Duration;

use booking::reservation::ReserveError;
use booking::seat::SeatNumbers;
use booking::seat_lock::{LockOutcome, SeatLock};
use chassis::time::Clock;
use testbed::{Redis, RedisOptions, Scratch};
use uuid::Uuid;

use crate::fixture::{Fixture, all_at_once};

const HOLD: Duration = Duration::from_secs(300);

fn seats(numbers: &[i64]) -> SeatNumbers {
    SeatNumbers::parse(numbers, 4).unwrap()
}

fn lock(url: &str) -> SeatLock {
    SeatLock::new(
        chassis::redis::connection(&url.parse().unwrap()).unwrap(),
        Clock::system(),
    )
}

/// A connection to look behind the curtain, which waits longer than any machine is busy.
pub async fn plain(url: &str) -> redis::aio::MultiplexedConnection {
    let patience = Some(Duration::from_secs(60));
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(patience)
        .set_response_timeout(patience);
    let client = redis::Client::open(url).unwrap();
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.unwrap()
}

#[tokio::test]
async fn all_locks_of_a_reservation_are_taken_or_those_are_named_that_others_have() {
    let lock = lock(&testbed::redis().url());
    let (schedule, first, second) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    assert_eq!(
        lock.take(schedule, &seats(&[7, 8]), first, HOLD).await,
        LockOutcome::Acquired
    );
    assert_eq!(
        lock.take(schedule, &seats(&[6, 7, 8, 9]), second, HOLD)
            .await,
        LockOutcome::Contended(vec![7, 8])
    );
    assert_eq!(
        lock.take(schedule, &seats(&[6, 9]), second, HOLD).await,
        LockOutcome::Acquired,
        "none was taken before"
    );
    assert_eq!(
        lock.take(Uuid::new_v4(), &seats(&[7, 8]), second, HOLD)
            .await,
        LockOutcome::Acquired,
        "another date"
    );
    assert_eq!(
        lock.take(schedule, &seats(&[7, 8]), first, HOLD).await,
        LockOutcome::Acquired,
        "its own"
    );
}

#[tokio::test]
async fn only_the_owner_gives_a_lock_back() {
    let lock = lock(&testbed::redis().url());
    let (schedule, first, second) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    lock.take(schedule, &seats(&[7, 8]), first, HOLD).await;
    lock.release(schedule, &[7, 8], second).await;
    assert_eq!(
        lock.take(schedule, &seats(&[7]), second, HOLD).await,
        LockOutcome::Contended(vec![7])
    );
    lock.release(schedule, &[7, 8], first).await;
    assert_eq!(
        lock.take(schedule, &seats(&[7, 8]), second, HOLD).await,
        LockOutcome::Acquired
    );
}

#[tokio::test]
async fn a_lock_lives_no_longer_than_its_hold_nor_than_five_seconds() {
    let url = testbed::redis().url();
    let lock = lock(&url);
    let mut redis = plain(&url).await;
    for (hold, most) in [(HOLD, 5_000), (Duration::from_secs(3), 3_000)] {
        let schedule = Uuid::new_v4();
        lock.take(schedule, &seats(&[7]), Uuid::new_v4(), hold)
            .await;
        let left_ms: i64 = redis::cmd("PTTL")
            .arg(format!("seat:{{{schedule}}}:7"))
            .query_async(&mut redis)
            .await
            .unwrap();
        assert!((1..=most).contains(&left_ms), "{left_ms}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_everybody_passes_and_only_one_in_a_second_waits() {
    let scratch = Scratch::new().expect("a folder");
    let mut server = Redis::start(scratch.path(), RedisOptions::default()).expect("a server");
    let clock = Clock::system();
    let lock = SeatLock::new(
        chassis::redis::connection(&server.url().parse().unwrap()).unwrap(),
        clock.clone(),
    );
    let schedule = Uuid::new_v4();
    assert_eq!(
        lock.take(schedule, &seats(&[1]), Uuid::new_v4(), HOLD)
            .await,
        LockOutcome::Acquired
    );

    server.freeze();
    assert_eq!(
        lock.take(schedule, &seats(&[1]), Uuid::new_v4(), HOLD)
            .await,
        LockOutcome::Unavailable
    );
    let seen = lock.metrics();
    assert_eq!((seen.failures.get(), seen.off.get()), (1, 1));
    let alone = all_at_once((0..200).map(|_| {
        let lock = lock.clone();
        async move {
            lock.take(schedule, &seats(&[1]), Uuid::new_v4(), HOLD)
                .await
        }
    }));
    let answers = tokio::time::timeout(Duration::from_secs(60), alone)
        .await
        .expect("no call hangs");
    assert!(
        answers
            .iter()
            .all(|answer| *answer == LockOutcome::Unavailable)
    );
    // A call that waited for it got no answer. In a minute these are sixty at most.
    assert!(seen.failures.get() < 100, "{}", seen.failures.get());
    let unthinned = seen.asked.with_label_values(&["unthinned"]);
    assert_eq!(unthinned.get(), 201);
    server.thaw();
    assert_eq!(
        asked_again(&lock, &clock, schedule, 2).await,
        LockOutcome::Acquired
    );
    assert_eq!(seen.off.get(), 0);

    server.kill();
    assert_eq!(
        lock.take(schedule, &seats(&[3]), Uuid::new_v4(), HOLD)
            .await,
        LockOutcome::Unavailable
    );
    server.restart().expect("a restart");
    assert_eq!(
        asked_again(&lock, &clock, schedule, 3).await,
        LockOutcome::Acquired
    );
}

/// What Redis says once it is asked again. On a busy machine it may be late, and the circuit opens once more.
async fn asked_again(lock: &SeatLock, clock: &Clock, schedule: Uuid, seat: i64) -> LockOutcome {
    let owner = Uuid::new_v4();
    for _ in 0..60 {
        clock.advance(Duration::from_secs(2));
        let outcome = lock.take(schedule, &seats(&[seat]), owner, HOLD).await;
        if outcome != LockOutcome::Unavailable {
            return outcome;
        }
    }
    panic!("Redis is not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_everything_in_the_middle_of_a_sale_sells_nothing_twice() {
    let scratch = Scratch::new().expect("a folder");
    let server = Redis::start(scratch.path(), RedisOptions::default()).expect("a server");
    let fixture = Fixture {
        lock: lock(&server.url()),
        ..Fixture::open().await
    };
    let mut redis = plain(&server.url()).await;
    let flush = tokio::spawn(async move {
        loop {
            let _: () = redis::cmd("FLUSHALL")
                .query_async(&mut redis)
                .await
                .unwrap();
        }
    });
    let outcomes = all_at_once((0..600_usize).map(|turn| {
        let fixture = fixture.clone();
        async move {
            let wish = fixture.wish(Uuid::new_v4(), &[(turn % 50) as i64 + 1]);
            match fixture.try_reserve(turn, wish, fixture.now).await {
                Ok(_) => true,
                Err(ReserveError::SeatTaken(_)) => false,
                Err(other) => panic!("{other}"),
            }
        }
    }))
    .await;
    flush.abort();
    assert_eq!(outcomes.iter().filter(|won| **won).count(), 50);
    assert_eq!(
        fixture.number("SELECT COUNT(*) FROM reservations").await,
        50
    );
    fixture.reconciled().await;
}

#[tokio::test]
async fn on_a_cluster_the_locks_of_a_schedule_lie_on_one_master_and_schedules_on_several() {
    let lock = lock(&testbed::redis_cluster().url());
    for _ in 0..12 {
        let (schedule, first, second) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        let taken = lock.take(schedule, &seats(&[7, 8]), first, HOLD).await;
        assert_eq!(taken, LockOutcome::Acquired);
        let refused = lock.take(schedule, &seats(&[8, 9]), second, HOLD).await;
        assert_eq!(refused, LockOutcome::Contended(vec![8]));
        lock.release(schedule, &[7, 8], first).await;
        let taken = lock.take(schedule, &seats(&[8, 9]), second, HOLD).await;
        assert_eq!(taken, LockOutcome::Acquired);
    }
}
