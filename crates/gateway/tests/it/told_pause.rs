//! What a visitor is told to wait, near the head: it is short, and whoever obeys it loses nothing.

use std::time::Duration;

use chassis::time::Clock;
use gateway::queue::policy::{AdmitRate, PolicyChange};
use gateway::queue::{Queue, Standing, Ticket};
use testbed::{Redis, RedisOptions, Scratch};

use crate::fixture::{Fixture, answered, crowd, crowd_at_once, is_active, places};

const SECOND: Duration = Duration::from_secs(1);
/// The longest pause near the head, in seconds.
const PAUSE_MOST_S: u64 = 30;

/// A visitor who asks when they are told to, a second later at most.
struct Visitor {
    ticket: Ticket,
    due_s: u64,
    /// When they were let in, and when they learned it.
    entered_s: Option<u64>,
    learned_s: Option<u64>,
}

/// Visitors of one queue, and the time by seconds.
struct Scene {
    fixture: Fixture,
    queue: Queue,
    visitors: Vec<Visitor>,
    now_s: u64,
    longest_told_s: u64,
    _server: Redis,
    _scratch: Scratch,
}

impl Scene {
    /// A queue with twenty places, all of them taken, and so many visitors in line.
    async fn new(claim_s: i64, in_line: usize) -> (Self, Vec<Ticket>) {
        let scratch = Scratch::new().unwrap();
        let server = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
        let fixture = Fixture::at(&server.url(), Clock::system());
        let rules = PolicyChange {
            claim_seconds: Some(claim_s),
            lease_seconds: Some(3_600),
            admit_per_second: Some(1_000.0.into()),
            ..places(20)
        };
        let queue = fixture.queue("main", rules).await;
        let inside = crowd(&queue, 20).await;
        for ticket in &inside {
            assert!(is_active(&queue.touch(ticket).await));
        }
        let tickets = crowd_at_once(&queue, in_line).await;
        let visitor = |ticket| Visitor {
            ticket,
            due_s: 0,
            entered_s: None,
            learned_s: None,
        };
        let scene = Self {
            visitors: tickets.into_iter().map(visitor).collect(),
            fixture,
            queue,
            now_s: 0,
            longest_told_s: 0,
            _server: server,
            _scratch: scratch,
        };
        (scene, inside)
    }

    /// One second: all who are due ask, and the gateway does what it does each second. How many it parked.
    async fn second(&mut self) -> u64 {
        for visitor in &mut self.visitors {
            if visitor.due_s > self.now_s || visitor.learned_s.is_some() {
                continue;
            }
            let poll = async || self.queue.poll(&visitor.ticket).await;
            let (standing, forecast) = answered(poll).await;
            // With the most that jitter adds.
            let told_s = forecast.pause_ms(1.0).div_ceil(1_000);
            match standing {
                Standing::Active { .. } => visitor.learned_s = Some(self.now_s),
                _ => {
                    visitor.due_s = self.now_s + told_s;
                    self.longest_told_s = self.longest_told_s.max(told_s);
                }
            }
        }
        self.fixture.pass(SECOND);
        self.now_s += 1;
        let mut parked = 0;
        loop {
            let admitted = answered(async || self.queue.admit().await).await;
            let entered = admitted.users.iter().map(|(user, _)| *user);
            for user in entered {
                let mut visitors = self.visitors.iter_mut();
                let visitor = visitors.find(|it| it.ticket.user == user).unwrap();
                assert_eq!(visitor.entered_s, None, "let in twice");
                visitor.entered_s = Some(self.now_s);
            }
            assert_eq!(admitted.no_shows, 0, "who obeyed");
            parked += admitted.parked;
            if !admitted.more {
                break;
            }
        }
        answered(async || self.fixture.queues.refresh().await).await;
        parked
    }

    /// One of those inside leaves, and the next in line is let in.
    async fn one_leaves(&mut self, inside: &Ticket) {
        answered(async || self.queue.leave(inside).await).await;
        let mut visitors = self.visitors.iter_mut();
        let next = visitors.find(|it| it.entered_s.is_none()).unwrap();
        next.entered_s = Some(self.now_s);
    }
}

#[tokio::test]
async fn who_obeys_the_pause_that_was_told_learns_within_it_that_there_is_room_and_loses_nothing() {
    for claim_s in [60, 20] {
        let (mut scene, inside) = Scene::new(claim_s, 400).await;
        // Places come back so rarely that most of the line would wait for hours.
        for ticket in &inside[..4] {
            for _ in 0..30 {
                assert_eq!(scene.second().await, 0, "who obeyed is not absent");
            }
            scene.one_leaves(ticket).await;
        }
        let most_s = PAUSE_MOST_S.min(claim_s as u64 / 2);
        assert_eq!(scene.longest_told_s, most_s, "near the head");
        let more = PolicyChange {
            max_active: Some(1_000),
            ..PolicyChange::default()
        };
        scene.fixture.change("main", more).await;
        for _ in 0..=most_s + 1 {
            assert_eq!(scene.second().await, 0, "who obeyed is not absent");
        }
        let late = |it: &&Visitor| {
            let since_s = |learned_s| learned_s - it.entered_s.unwrap_or(learned_s);
            it.learned_s.is_none_or(|it| since_s(it) > most_s)
        };
        assert_eq!(scene.visitors.iter().filter(late).count(), 0, "all learned");
        let snapshot = scene.queue.snapshot();
        let lost = (snapshot.no_shows, snapshot.parked, snapshot.waiting);
        assert_eq!(lost, (0, 0, 0), "claims of {claim_s} s");
        assert_eq!(snapshot.active, 416);
    }
}

#[tokio::test]
async fn near_the_head_is_told_by_the_best_rate_that_a_found_one_may_reach() {
    let (mut scene, inside) = Scene::new(600, 400).await;
    // One place came back, so that a long time is expected.
    scene.one_leaves(&inside[0]).await;
    let rate = |rate: AdmitRate, best: f64| PolicyChange {
        admit_per_second: Some(rate),
        auto_min: Some(0.1),
        auto_max: Some(best),
        ..PolicyChange::default()
    };
    scene.fixture.pass(600 * SECOND);
    let last = scene.visitors[399].ticket;
    for (rule, is_short) in [
        (rate(0.1.into(), 100.0), false),
        (rate(AdmitRate::AUTO, 100.0), true),
        (rate(AdmitRate::AUTO, 1.0), false),
    ] {
        scene.fixture.change("main", rule).await;
        let rate = scene.queue.snapshot().admit_per_second;
        assert_eq!(rate, 0.1, "the rate in force is the same");
        let (_, forecast) = answered(async || scene.queue.poll(&last).await).await;
        let told_s = forecast.pause_ms(1.0).div_ceil(1_000);
        assert_eq!(told_s <= PAUSE_MOST_S, is_short, "{told_s} s");
    }
}

#[tokio::test]
async fn presence_is_the_pause_that_was_told_and_its_allowance_whatever_a_claim_is() {
    for claim_s in [10, 60, 600] {
        let (mut scene, inside) = Scene::new(claim_s, 40).await;
        for ticket in &inside[..3] {
            for _ in 0..30 {
                scene.second().await;
            }
            scene.one_leaves(ticket).await;
        }
        // The last of them asks now, and never again.
        let last = scene.visitors.last_mut().unwrap();
        last.due_s = u64::MAX;
        let (_, forecast) = answered(async || scene.queue.poll(&last.ticket).await).await;
        let told_s = forecast.pause_ms(1.0).div_ceil(1_000);
        assert_eq!(told_s, PAUSE_MOST_S.min(claim_s as u64 / 2));
        let (mut silent_s, allowance_s) = (1, (told_s / 4).max(5));
        while scene.second().await == 0 {
            silent_s += 1;
        }
        // A gateway records half an allowance more, and looks each second.
        let proven_s = told_s + allowance_s..=told_s + allowance_s * 3 / 2 + 2;
        assert!(
            proven_s.contains(&silent_s),
            "claims of {claim_s} s: parked after {silent_s} s, told {told_s} s"
        );
    }
}
