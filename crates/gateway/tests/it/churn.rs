//! Three gateways and a crowd that comes, asks, leaves and enters, in real time. What was done is read
//! from Redis itself, which tells every command that it ran, in order: nothing is left to what a
//! client believes. `USHER_CHURN_S` says how long; 10 seconds if it does not.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::time::Clock;
use futures_util::StreamExt as _;
use gateway::queue::policy::PolicyChange;
use gateway::queue::{Queue, Standing};
use testbed::{Redis, RedisOptions, Scratch};
use tokio::task::{JoinHandle, JoinSet};

use crate::fixture::{Fixture, is_active, places, user};

const MAX_ACTIVE: usize = 20;
const PER_SECOND: f64 = 60.0;
const VISITORS: usize = 80;
/// A gateway admits so often; much more often than a scheduler would.
const RING: Duration = Duration::from_millis(20);

/// One script that let visitors in.
#[derive(Default)]
struct Admission {
    at_us: u64,
    tickets: Vec<u64>,
}

/// What Redis said that it did.
#[derive(Default)]
struct Record {
    commands: u64,
    admissions: Vec<Admission>,
    inside: HashSet<String>,
    most_inside: usize,
    entered_while_inside: usize,
    issued: Vec<u64>,
}

impl Record {
    /// One line of MONITOR: `1764.5 [0 lua] "HSET" "q:{main}:tickets" "user" "1764…" …`
    fn read(&mut self, line: &str) {
        let Some((_, command)) = line.split_once(" lua] ") else {
            return;
        };
        self.commands += 1;
        let command = command
            .strip_prefix('"')
            .and_then(|it| it.strip_suffix('"'));
        let words: Vec<&str> = command.unwrap_or_default().split("\" \"").collect();
        match words[..] {
            ["HSET", "q:{main}:tickets", ref pairs @ ..] => self.enter(pairs),
            ["HDEL", "q:{main}:tickets", user] => {
                self.inside.remove(user);
            }
            ["HSET", "q:{main}:meta", "bucket", _, "bucket_at", at_us] => {
                let at_us = at_us.parse().unwrap();
                // Written in the same script, right after those who entered.
                if let Some(last) = self.admissions.last_mut().filter(|last| last.at_us == 0) {
                    last.at_us = at_us;
                }
            }
            // Those who joined together, in the order in which they came.
            ["ZADD", "q:{main}:waiting", ref pairs @ ..] => {
                let numbers = pairs.chunks(2).map(|pair| pair[0].parse::<u64>().unwrap());
                self.issued.extend(numbers);
            }
            _ => {}
        }
    }

    fn enter(&mut self, pairs: &[&str]) {
        let mut admission = Admission::default();
        for pair in pairs.chunks(2) {
            let number = pair[1].parse().unwrap();
            admission.tickets.push(number);
            self.entered_while_inside += usize::from(!self.inside.insert(pair[0].to_owned()));
        }
        self.most_inside = self.most_inside.max(self.inside.len());
        self.admissions.push(admission);
    }

    fn numbers(&self) -> Vec<u64> {
        let each = self.admissions.iter().flat_map(|it| &it.tickets);
        each.copied().collect()
    }

    /// By how many the fullest window is over `PER_SECOND` × (w + 1).
    fn over_the_rate(&self) -> (f64, usize) {
        let (mut worst, mut windows) = (f64::MIN, 0);
        for (from, begin) in self.admissions.iter().enumerate() {
            let mut entered = 0;
            for end in &self.admissions[from..] {
                entered += end.tickets.len();
                let seconds = (end.at_us - begin.at_us) as f64 / 1e6;
                worst = worst.max(entered as f64 - PER_SECOND * (seconds + 1.0));
                windows += 1;
            }
        }
        (worst, windows)
    }
}

/// Comes, asks until it is inside or loses patience, and goes. Returns how often a number grew.
async fn visitor(gateways: Arc<Vec<Queue>>, seed: usize, end: Instant) -> (u64, u64) {
    let (mut visits, mut grew) = (0, 0);
    while Instant::now() < end {
        visits += 1;
        let queue = |turn: u64| &gateways[(seed + turn as usize) % gateways.len()];
        let ticket = queue(visits).join(user()).await.unwrap().ticket;
        let patience = (seed as u64 * 7 + visits * 13) % 400;
        let mut shown = u64::MAX;
        for turn in 0.. {
            let place = queue(visits + turn).rank(&ticket).await;
            if let Ok(Standing::Waiting { ahead }) = place {
                grew += u64::from(ahead > shown);
                shown = ahead;
            }
            // One in three gives up; of those inside each stays a little.
            if (visits % 3 == 0 && turn > patience) || Instant::now() >= end {
                break;
            }
            if is_active(&place) && turn > patience / 8 {
                break;
            }
        }
        queue(visits).leave(&ticket).await.unwrap();
    }
    (visits, grew)
}

async fn ringer(queue: Queue, end: Instant) {
    let mut ticks = tokio::time::interval(RING);
    while Instant::now() < end {
        ticks.tick().await;
        queue.admit().await.unwrap();
    }
}

/// Three gateways at one Redis.
async fn open_doors(redis: &Redis) -> Vec<Queue> {
    let rules = PolicyChange {
        admit_per_second: Some(PER_SECOND.into()),
        ..places(i64::try_from(MAX_ACTIVE).unwrap())
    };
    let mut gateways = Vec::new();
    for gateway in 0..3 {
        let fixture = Fixture::at(&redis.url(), Clock::system());
        gateways.push(match gateway {
            0 => fixture.queue("main", rules.clone()).await,
            _ => fixture.open("main").await,
        });
    }
    gateways
}

/// Reads what Redis says that it does, until it is told the end.
async fn listen(client: &redis::Client) -> JoinHandle<Record> {
    let monitor = client.get_async_monitor().await.unwrap();
    tokio::spawn(async move {
        let mut record = Record::default();
        let mut said = monitor.into_on_message::<String>();
        while let Some(line) = said.next().await {
            if line.contains("\"the end\"") {
                break;
            }
            record.read(&line);
        }
        record
    })
}

/// Everybody comes and goes; visits, and how often a number that was shown grew.
async fn churn(gateways: Vec<Queue>, end: Instant) -> (u64, u64) {
    let mut ringers = JoinSet::new();
    for queue in &gateways {
        ringers.spawn(ringer(queue.clone(), end));
    }
    let shared = Arc::new(gateways);
    let mut visitors = JoinSet::new();
    for seed in 0..VISITORS {
        visitors.spawn(visitor(Arc::clone(&shared), seed, end));
    }
    let each = visitors.join_all().await;
    ringers.join_all().await;
    let add = |sum: (u64, u64), one: (u64, u64)| (sum.0 + one.0, sum.1 + one.1);
    each.into_iter().fold((0, 0), add)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_churn_over_three_gateways_nothing_is_out_of_order_twice_or_too_much() {
    let seconds = std::env::var("USHER_CHURN_S").ok();
    let seconds = seconds.map_or(10, |seconds| seconds.parse().expect("seconds"));
    let scratch = Scratch::new().unwrap();
    let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let gateways = open_doors(&redis).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let listening = listen(&client).await;
    let (visits, grew) = churn(gateways, Instant::now() + Duration::from_secs(seconds)).await;
    let mut plain = crate::fixture::plain(&redis.url()).await;
    let mut last = redis::cmd("ECHO");
    last.arg("the end").exec_async(&mut plain).await.unwrap();
    let record = listening.await.unwrap();

    let numbers = record.numbers();
    let falls = |numbers: &[u64]| numbers.windows(2).filter(|two| two[0] >= two[1]).count();
    let (inversions, disorder) = (falls(&numbers), falls(&record.issued));
    let different: HashSet<_> = numbers.iter().collect();
    let duplicates = numbers.len() - different.len() + record.entered_while_inside;
    let (over_rate, windows) = record.over_the_rate();
    assert!(windows > 0, "no window in which somebody was let in");
    assert_eq!((inversions, disorder, duplicates, grew), (0, 0, 0, 0));
    assert_eq!(
        record.most_inside, MAX_ACTIVE,
        "all places were used, and not one more"
    );
    assert!(over_rate <= 0.0, "{over_rate} too many in some window");
    assert!(record.issued.len() as u64 == visits && numbers.len() > 100);
}
