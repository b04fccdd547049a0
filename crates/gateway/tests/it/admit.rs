//! Admission: never too many inside, never too fast, always in order, over any number of gateways.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway::queue::policy::{PolicyChange, State};
use gateway::queue::{Queue, Standing};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, crowd, places, redis, state, user};
use crate::store::until_answered;

async fn three_gateways(name: &str, change: PolicyChange) -> (Fixture, [Queue; 3]) {
    let fixture = Fixture::new();
    let queue = fixture.queue(name, change).await;
    let second = fixture.twin().open(name).await;
    let third = fixture.twin().open(name).await;
    (fixture, [queue, second, third])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_never_let_more_inside_than_allowed() {
    const MAX_ACTIVE: u64 = 7;
    let (_room, gateways) = three_gateways("admit-churn", places(7)).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut ringers = JoinSet::new();
    for queue in gateways.clone() {
        let over = Arc::clone(&over);
        ringers.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                until_answered(|| queue.admit()).await;
            }
            0
        });
    }
    let sampler = Arc::clone(&over);
    ringers.spawn(async move {
        // One command is atomic: it sees all places inside at one instant.
        let (mut redis, mut most) = (redis().await, 0);
        while !sampler.load(Ordering::SeqCst) {
            let mut inside = redis::cmd("ZCARD");
            inside.arg("q:{admit-churn}:active");
            most = most.max(inside.query_async(&mut redis).await.unwrap());
        }
        most
    });
    let mut visitors = JoinSet::new();
    for visitor in 0..60 {
        let queue = gateways[visitor % 3].clone();
        visitors.spawn(async move {
            for _ in 0..10 {
                // A call that was given up on a busy machine may have had its effect; repeated, it changes nothing.
                let user = user();
                let ticket = until_answered(|| queue.join(user)).await.ticket;
                while !matches!(
                    until_answered(|| queue.rank(&ticket)).await,
                    Standing::Active { .. }
                ) {}
                until_answered(|| queue.leave(&ticket)).await;
            }
        });
    }
    visitors.join_all().await;
    over.store(true, Ordering::SeqCst);
    let most = ringers.join_all().await.into_iter().max().unwrap();
    assert_eq!(most, MAX_ACTIVE, "all places were used, and not one more");
}

/// Admits at three gateways at once in many small steps of time; says when how many entered.
async fn admissions(name: &str, per_second: f64, step: Duration, steps: u32) -> Vec<(i64, usize)> {
    let rules = PolicyChange {
        state: Some(State::Paused),
        admit_per_second: Some(per_second.into()),
        ..places(1_000_000)
    };
    let (fixture, gateways) = three_gateways(name, rules).await;
    let line = crowd(&gateways[0], 600).await;
    fixture.change(name, state(State::Open)).await;
    let mut admissions = Vec::new();
    for _ in 0..steps {
        fixture.pass(step);
        gateways[0].present(&line).await.unwrap();
        let [one, two, three] = &gateways;
        let (one, two, three) = tokio::join!(one.admit(), two.admit(), three.admit());
        for admitted in [one.unwrap(), two.unwrap(), three.unwrap()] {
            admissions.push((admitted.at.timestamp_micros(), admitted.users.len()));
        }
    }
    admissions.sort_unstable();
    admissions
}

/// Checks every window that begins and ends with an admission; returns how many entered.
fn check_windows(admissions: &[(i64, usize)], per_second: f64) -> usize {
    for (from, (begin_us, _)) in admissions.iter().enumerate() {
        let mut entered = 0;
        for (end_us, users) in &admissions[from..] {
            entered += users;
            let seconds = (end_us - begin_us) as f64 / 1e6;
            let most = per_second.max(1.0) + per_second * seconds;
            assert!(
                entered as f64 <= most + 1e-9,
                "{entered} within {seconds} s"
            );
        }
    }
    admissions.iter().map(|(_, users)| users).sum()
}

#[tokio::test]
async fn three_gateways_let_in_no_faster_than_one_would() {
    let step = Duration::from_micros(7_310);
    let admissions = admissions("admit-rate", 40.5, step, 400).await;
    let span = (admissions[admissions.len() - 1].0 - admissions[0].0) as f64 / 1e6;
    let entered = check_windows(&admissions, 40.5) as f64;
    // The bucket was full, and what it gained was all given out.
    assert!(
        entered >= 40.0 + (40.5 * span).floor() - 1.0,
        "{entered} in {span} s"
    );
}

#[tokio::test]
async fn a_rate_below_one_lets_in_one_at_a_time() {
    let admissions = admissions("admit-slow", 0.5, Duration::from_millis(130), 200).await;
    let span = (admissions[admissions.len() - 1].0 - admissions[0].0) as f64 / 1e6;
    let entered = check_windows(&admissions, 0.5) as f64;
    assert!(admissions.iter().all(|(_, users)| *users <= 1));
    assert!(entered >= (0.5 * span).floor(), "{entered} in {span} s");
}

#[tokio::test]
async fn ringing_often_loses_no_fraction_of_the_rate() {
    let admissions = admissions("admit-often", 3.333, Duration::from_micros(997), 3_000).await;
    let span = (admissions[admissions.len() - 1].0 - admissions[0].0) as f64 / 1e6;
    let entered = check_windows(&admissions, 3.333) as f64;
    assert!(
        entered >= (3.0 + 3.333 * span).floor() - 1.0,
        "{entered} in {span} s"
    );
}

#[tokio::test]
async fn a_position_never_goes_up_while_others_come_go_and_enter() {
    let (_room, gateways) = three_gateways("admit-position", places(3)).await;
    let watched = crowd(&gateways[0], 30).await;
    let mut shown = vec![u64::MAX; watched.len()];
    for round in 0..27 {
        let comer = gateways[1].join(user()).await.unwrap().ticket;
        if round % 3 == 0 {
            gateways[2].leave(&comer).await.unwrap();
        }
        gateways[round % 3].leave(&watched[round]).await.unwrap();
        for (ticket, before) in watched.iter().zip(&mut shown).skip(round + 1) {
            let ahead = match gateways[2].rank(ticket).await.unwrap() {
                Standing::Waiting { ahead } => ahead + 1,
                _ => 0,
            };
            assert!(ahead <= *before, "{ahead} after {before}");
            *before = ahead;
        }
    }
    assert!(shown[27..].iter().all(|ahead| *ahead == 0), "{shown:?}");
}

#[tokio::test]
async fn the_observed_rate_and_the_count_of_the_last_minute_are_shown() {
    let (fixture, gateways) = three_gateways("admit-count", places(100)).await;
    crowd(&gateways[0], 60).await;
    fixture.queues.refresh().await.unwrap();
    let snapshot = gateways[0].snapshot();
    assert_eq!((snapshot.admitted_last_minute, snapshot.admitted), (60, 60));
    assert!(snapshot.rate.is_some_and(|rate| rate > 0.0));
    fixture.pass(Duration::from_secs(61));
    fixture.queues.refresh().await.unwrap();
    let snapshot = gateways[0].snapshot();
    assert_eq!(snapshot.admitted_last_minute, 0);
    assert_eq!((snapshot.admitted, snapshot.active), (60, 0), "unclaimed");
    assert!(
        snapshot.rate.is_some_and(|rate| rate < 1.0),
        "of the last quarter of an hour"
    );
    fixture.pass(Duration::from_secs(15 * 60));
    fixture.queues.refresh().await.unwrap();
    let snapshot = gateways[0].snapshot();
    assert_eq!((snapshot.admitted_last_minute, snapshot.rate), (0, None));
}
