//! What a visitor costs Redis: bytes, and commands where the line is short and where it is long.
//! `USHER_CAPACITY` says how many wait; 100,000 if it does not.

use std::time::Duration;

use chassis::time::Clock;
use gateway::queue::policy::{Order, PolicyChange, State};
use gateway::queue::{Queue, Seed, Standing, Ticket};
use redis::aio::MultiplexedConnection;
use testbed::{Redis, RedisOptions, Scratch};

use crate::fixture::{Fixture, is_active, places, state, user};

/// What Redis may spend on one visitor, all in all.
const MOST_BYTES: f64 = 150.0;
/// The same where nearly all have gone from one lane to another: the table of the one they left is kept
/// for a while.
const MOST_BYTES_MOVED: f64 = 170.0;
/// What the keys of a visitor take who waits, is parked, is inside: 118, 129 and 312 bytes and at most 8 more.
const MOST_BYTES_IN_KEYS: [u64; 3] = [126, 137, 320];
const LOTS: i64 = 1 << 52;
const STEP: Duration = Duration::from_secs(4);

fn crowd_size() -> u64 {
    let wanted = std::env::var("USHER_CAPACITY").ok();
    wanted.map_or(100_000, |wanted| {
        wanted.parse().expect("a number of visitors")
    })
}

/// One gateway and a Redis of its own.
pub struct Scene {
    pub fixture: Fixture,
    pub queue: Queue,
    pub redis: MultiplexedConnection,
    empty: u64,
    server: Redis,
    _scratch: Scratch,
}

impl Scene {
    pub async fn new(rules: PolicyChange) -> Self {
        let scratch = Scratch::new().unwrap();
        let server = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
        let fixture = Fixture::at(&server.url(), Clock::system());
        let queue = fixture.queue("main", rules).await;
        let redis = crate::fixture::plain(&server.url()).await;
        let mut scene = Self {
            fixture,
            queue,
            redis,
            empty: 0,
            server,
            _scratch: scratch,
        };
        // Scripts and connections are there before anybody waits.
        scene.queue.admit().await.unwrap();
        scene.fixture.queues.refresh().await.unwrap();
        scene.empty = scene.used().await;
        scene
    }

    /// Another gateway at the same Redis.
    pub fn twin(&self) -> Fixture {
        Fixture::at(&self.server.url(), self.fixture.clock.clone())
    }

    async fn used(&mut self) -> u64 {
        let section: String = redis::cmd("INFO")
            .arg("memory")
            .query_async(&mut self.redis)
            .await
            .unwrap();
        let used = section
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        used.unwrap().trim().parse().unwrap()
    }

    /// Puts so many in line as join does, only faster. Tickets are given out from a second ago on.
    /// Who takes part in a draw has a score below all lots.
    pub async fn fill(&mut self, size: u64, is_undrawn: bool) -> Vec<Ticket> {
        let now = u64::try_from(self.fixture.clock.now().timestamp_micros()).unwrap();
        let (first, epoch) = (now - size, self.queue.snapshot().epoch);
        let ticket = |number| Ticket {
            user: user(),
            number,
            epoch,
        };
        let tickets: Vec<_> = (first..now).map(ticket).collect();
        for part in tickets.chunks(2_000) {
            let mut fill = redis::cmd("ZADD");
            fill.arg("q:{main}:waiting");
            for ticket in part {
                let score = i64::try_from(ticket.number).unwrap();
                let below = if is_undrawn { 2 * LOTS } else { 0 };
                fill.arg(score - below).arg(ticket.user.0.as_bytes());
            }
            fill.exec_async(&mut self.redis).await.unwrap();
        }
        let mut last = redis::cmd("HSET");
        last.arg("q:{main}:meta").arg("last").arg(now - 1);
        last.exec_async(&mut self.redis).await.unwrap();
        tickets
    }

    /// What these keys take, each element counted.
    async fn bytes_in(&mut self, keys: &[&str]) -> u64 {
        let mut sum = 0;
        for key in keys {
            let mut usage = redis::cmd("MEMORY");
            usage.arg("USAGE").arg(format!("q:{{main}}:{key}"));
            usage.arg("SAMPLES").arg(0);
            let bytes: Option<u64> = usage.query_async(&mut self.redis).await.unwrap();
            sum += bytes.unwrap_or(0);
        }
        sum
    }

    async fn bytes_each(&mut self, visitors: u64) -> f64 {
        (self.used().await - self.empty) as f64 / visitors as f64
    }
}

#[tokio::test]
async fn a_visitor_costs_at_most_150_bytes_also_where_many_are_away_or_inside() {
    let size = crowd_size();
    let rules = PolicyChange {
        state: Some(State::Paused),
        ..places(i64::try_from(size / 20).unwrap())
    };
    let mut scene = Scene::new(rules).await;
    let tickets = scene.fill(size, false).await;
    let waiting = scene.bytes_each(size).await;
    let waiting_in_keys = scene.bytes_in(&["waiting"]).await / size;

    // A tenth of those at the head are there, half of the rest of the near ones never came back.
    let there: Vec<_> = tickets.iter().step_by(10).take(20_000).copied().collect();
    for run in 0..30 {
        scene.fixture.pass(STEP);
        if run % 5 == 0 {
            scene.queue.present(&there).await.unwrap();
        }
        scene.queue.admit().await.unwrap();
    }
    scene.queue.present(&there).await.unwrap();
    let recorded = scene.bytes_each(size).await;
    scene.fixture.change("main", state(State::Open)).await;
    for _ in 0..size / 1_000 {
        scene.queue.admit().await.unwrap();
    }
    for ticket in &there {
        if is_active(&scene.queue.rank(ticket).await) {
            // Showing up takes the visitor out of the set of those who did not.
            continue;
        }
        break;
    }
    scene.fixture.queues.refresh().await.unwrap();
    let seen = scene.queue.snapshot();
    let mixed = scene.bytes_each(size).await;
    assert!(
        seen.active >= 100 && seen.parked > 2 * seen.active,
        "{seen:?}"
    );
    assert!(waiting.max(recorded) <= MOST_BYTES && mixed <= MOST_BYTES_MOVED);
    let parked = scene.bytes_in(&["parked", "parked_before"]).await / seen.parked;
    let inside = scene.bytes_in(&["active", "unclaimed", "tickets"]).await / seen.active;
    let in_keys = [waiting_in_keys, parked, inside];
    let mut bounded = in_keys.iter().zip(MOST_BYTES_IN_KEYS);
    assert!(bounded.all(|(it, most)| *it <= most), "{in_keys:?}");
}

/// Lets one in again and again; how many commands Redis ran for each.
async fn commands_per_admission(size: u64) -> u64 {
    let mut scene = Scene::new(places(1)).await;
    scene.fill(size, false).await;
    let mut redis = scene.redis.clone();
    redis::cmd("CONFIG")
        .arg("RESETSTAT")
        .exec_async(&mut redis)
        .await
        .unwrap();
    let mut admitted = 0;
    while admitted < 500 {
        // The lease of the one inside ends.
        scene.fixture.pass(Duration::from_secs(60));
        admitted += scene.queue.admit().await.unwrap().users.len();
    }
    let section: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut redis)
        .await
        .unwrap();
    let calls = section.lines().filter_map(|line| {
        let (_, rest) = line.split_once(":calls=")?;
        rest.split(',').next()?.parse::<u64>().ok()
    });
    calls.sum::<u64>() / 500
}

#[tokio::test]
async fn to_let_one_in_costs_about_the_same_in_a_short_and_in_a_long_line() {
    let long = crowd_size() * 2;
    let few = commands_per_admission(1_000).await;
    let many = commands_per_admission(long).await;
    assert!(
        few > 0 && many.abs_diff(few) <= 1,
        "{few} commands each, {many} in a line of {long}"
    );
}

#[tokio::test]
async fn a_draw_of_many_gives_everybody_the_place_of_their_lot() {
    let size = crowd_size();
    let opens_in = Duration::from_secs(3_600);
    let rules = PolicyChange {
        order: Some(Order::Lottery),
        ..places(100)
    };
    let rules = PolicyChange {
        opens_at: Some(Some(chassis::time::Clock::system().now() + opens_in)),
        ..rules
    };
    let mut scene = Scene::new(rules).await;
    let mut tickets = scene.fill(size, true).await;
    scene.fixture.pass(opens_in);
    let mut admitted = scene.queue.admit().await.unwrap();
    while admitted.users.is_empty() && admitted.more {
        admitted = scene.queue.admit().await.unwrap();
    }
    scene.fixture.queues.refresh().await.unwrap();
    let drawn = scene.queue.snapshot().lottery().and_then(|it| it.drawn);
    let key: Seed = drawn.expect("it is settled").key.parse().unwrap();
    tickets.sort_by_key(|ticket| key.lot(ticket.number));
    let drawn: Vec<_> = tickets[..100]
        .iter()
        .map(|ticket| (ticket.user, ticket.number))
        .collect();
    assert_eq!(admitted.users, drawn);
    scene.fixture.queues.refresh().await.unwrap();
    for (ahead, ticket) in (0..).zip(&tickets[100..]).step_by(997) {
        let place = scene.queue.rank(ticket).await.unwrap();
        assert_eq!(place, Standing::Waiting { ahead });
    }
}
