//! A draw among many goes on in bounded steps, whoever takes them, and other queues go on beside it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gateway::merkle::Tree;
use gateway::queue::policy::PolicyChange;
use gateway::queue::{Queue, Ticket, VERBS};

use crate::capacity::Scene;
use crate::fixture::{Fixture, answered, crowd, is_active, places};
use crate::lottery::{HOUR, by_lot, key, lottery, public};

/// What one step may ask of Redis: 20 pages that are read and written again, and what an admission asks.
const MOST_CALLS: u64 = 45;
/// More than as many pages.
const MANY: u64 = 26_000;

/// What this gateway has asked of Redis so far.
fn calls(fixture: &Fixture) -> u64 {
    let duration = &fixture.queues.metrics().duration;
    let count = |verb: &&str| duration.with_label_values(&[verb]).get_sample_count();
    VERBS.iter().map(count).sum()
}

/// A lottery among so many, whose doors have just opened.
async fn scene(size: u64) -> (Scene, Vec<Ticket>) {
    let mut scene = Scene::new(places(1)).await;
    scene.fixture.change("main", lottery(&scene.fixture)).await;
    let tickets = scene.fill(size, true).await;
    scene.fixture.pass(HOUR);
    (scene, tickets)
}

async fn is_fixed(fixture: &Fixture, queue: &Queue) -> bool {
    public(fixture, queue).await.entry.is_some()
}

#[tokio::test]
async fn beside_a_big_draw_another_queue_lets_in_after_each_bounded_step() {
    let (scene, tickets) = scene(MANY).await;
    let Scene { fixture, queue, .. } = &scene;
    let one_a_second = PolicyChange {
        admit_per_second: Some(1.0.into()),
        ..places(1_000)
    };
    let beside = fixture.queue("beside", one_a_second).await;
    let waiting = crowd(&beside, 50).await;
    let (mut before_root, most) = (0, AtomicU64::new(0));
    loop {
        let step = answered(async || {
            let asked = calls(fixture);
            let step = queue.admit().await;
            most.fetch_max(calls(fixture) - asked, Ordering::Relaxed);
            step
        });
        let step = step.await;
        if !step.users.is_empty() {
            break;
        }
        assert!(step.more, "the draw goes on");
        before_root += u64::from(!is_fixed(fixture, queue).await);
        fixture.pass(Duration::from_secs(1));
        beside.present(&waiting).await.unwrap();
        let let_in = answered(async || beside.admit().await).await.users;
        assert_eq!(let_in.len(), 1);
    }
    assert!(before_root >= 2, "read in {before_root} steps and one");
    let most = most.into_inner();
    assert!(most <= MOST_CALLS, "{most} calls in one step");
    let numbers = tickets.iter().map(|ticket| ticket.number);
    let entry = public(fixture, queue).await.entry.unwrap();
    assert_eq!(entry.root, Tree::new(numbers.collect()).root());
    assert_eq!(entry.entrants, MANY);
}

#[tokio::test]
async fn who_goes_from_lane_to_lane_while_it_is_read_takes_part_once_and_another_gateway_goes_on() {
    let (mut scene, tickets) = scene(12_000).await;
    // The first and the last of them are away.
    let away: Vec<_> = tickets[..5].iter().chain(&tickets[11_995..]).collect();
    for ticket in &away {
        let member = ticket.user.0.as_bytes();
        let score = i64::try_from(ticket.number).unwrap() - (1 << 53);
        let mut pipe = redis::pipe();
        pipe.zrem("q:{main}:waiting", member);
        pipe.zadd("q:{main}:parked", member, score);
        pipe.exec_async(&mut scene.redis).await.unwrap();
    }
    let other = scene.twin();
    let at_other = other.open("main").await;
    let step = async |queue: &Queue| answered(async || queue.admit().await).await.more;
    assert!(step(&scene.queue).await, "it reads");
    assert!(step(&at_other).await, "and so does the other");
    assert!(!is_fixed(&other, &at_other).await);
    for ticket in away {
        answered(async || scene.queue.rank(ticket).await).await;
    }
    // The one that read first is never heard of again.
    while step(&at_other).await {}
    let entry = public(&other, &at_other).await.entry.unwrap();
    let numbers: BTreeSet<_> = tickets.iter().map(|ticket| ticket.number).collect();
    let kept = at_other.entrants().await.unwrap().unwrap();
    assert!(kept.tickets().iter().eq(&numbers), "each, and each once");
    assert_eq!((entry.root, entry.entrants), (kept.root(), 12_000));
    // A gateway that read nothing has the list from the store.
    let third = scene.twin();
    let listed = third.open("main").await.entrants().await.unwrap();
    assert_eq!(listed, Some(kept));
    let line = by_lot(&key(&other, &at_other).await, &tickets);
    assert!(is_active(&at_other.touch(&line[0]).await));
}
