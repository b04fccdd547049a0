//! Random sequences of everything that can happen, over three gateways: the scripts do what the
//! model says, on a single Redis and on a cluster. `USHER_MODEL_CASES` says how many sequences on the
//! single one; 2,000 if it does not.

mod act;
mod pair;

use std::cell::RefCell;
use std::time::Duration;

use gateway::queue::policy::Order;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use testbed::{Redis, RedisCluster, RedisOptions, Scratch};
use tokio::runtime::Runtime;

use self::act::{Act, act};
use self::pair::{Pair, Stop};
use crate::model::{IDLE, Model, Seen};

const USERS: usize = 7;
const GATEWAYS: usize = 3;
/// A sequence that took longer proves nothing: limits could have been crossed.
const STALLED: Duration = Duration::from_millis(900);

/// Sequences on a cluster: the scripts are the same, only the way there is another.
const ON_CLUSTER: u32 = 100;

/// Where the sequences are played.
enum Stage {
    Single(Redis),
    Cluster(RedisCluster),
}

impl Stage {
    fn url(&self) -> String {
        match self {
            Self::Single(redis) => redis.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    fn flush(&self) {
        let servers = match self {
            Self::Single(redis) => std::slice::from_ref(redis),
            Self::Cluster(cluster) => &cluster.masters,
        };
        for server in servers {
            server.ask("FLUSHALL").unwrap();
        }
    }
}

/// Adds up what the sequences brought about.
#[derive(Default, Debug)]
struct Tally {
    sequences: u32,
    acts: usize,
    unsure: u32,
    stalled: u32,
    seen: Seen,
}

impl Tally {
    fn count(&mut self, acts: usize, model: &Model) {
        self.sequences += 1;
        self.acts += acts;
        let (sum, seen) = (&mut self.seen, model.seen);
        sum.parked += seen.parked;
        sum.no_shows += seen.no_shows;
        sum.came_back += seen.came_back;
        sum.restored_in_time += seen.restored_in_time;
        sum.restored_late += seen.restored_late;
        sum.draws += seen.draws;
        sum.sorted += seen.sorted;
        sum.lost += seen.lost;
        sum.idled += seen.idled;
    }

    fn assert_sure(&self) {
        let few = self.sequences / 10;
        assert!(self.stalled + self.unsure <= few, "{self:?}");
    }

    fn assert_worth(&self) {
        self.assert_sure();
        let seen = &self.seen;
        let rarest = [
            seen.parked,
            seen.no_shows,
            seen.came_back,
            seen.restored_in_time,
            seen.restored_late,
            seen.draws,
            seen.sorted,
            seen.lost,
            seen.idled,
        ];
        let enough = rarest
            .iter()
            .all(|count| *count >= u64::from(self.sequences) / 40);
        assert!(enough, "too little happens in these sequences: {self:?}");
    }
}

#[test]
fn any_sequence_of_events_does_what_the_model_says() {
    let cases = std::env::var("USHER_MODEL_CASES").ok();
    let cases = cases.map_or(2_000, |cases| cases.parse().expect("a number of sequences"));
    let scratch = Scratch::new().unwrap();
    let server = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    play(&Stage::Single(server), cases).assert_worth();
}

#[test]
fn any_sequence_of_events_does_the_same_on_a_cluster() {
    let scratch = Scratch::new().unwrap();
    let cluster = RedisCluster::start(scratch.path(), &RedisOptions::default()).unwrap();
    play(&Stage::Cluster(cluster), ON_CLUSTER).assert_sure();
}

/// Between the opening of the doors and the draw one gateway said a place and another did not.
#[test]
fn the_sequence_that_differed_once_does_what_the_model_says() {
    let scratch = Scratch::new().unwrap();
    let server = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let by_lot = Act::Schedule {
        order: Order::Lottery,
        steps: 0,
        via: 0,
    };
    let before = [by_lot, Act::Join(6, 0), Act::Wait(1), Act::Refresh(1)];
    let looks = [Act::Poll(6, 1), Act::Touch(6, 1), Act::Touch(6, 0)];
    let acts: Vec<_> = before.into_iter().chain(looks).collect();
    assert_agree(&Stage::Single(server), &acts);
}

/// A gateway that has not heard of a schedule records a poll until after the pause alone, which is enough for who obeys it.
#[test]
fn a_poll_at_a_gateway_that_knows_of_no_schedule_proves_no_more_than_its_pause() {
    let scratch = Scratch::new().unwrap();
    let server = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
    let in_turn = Act::Schedule {
        order: Order::Fifo,
        steps: 1,
        via: 0,
    };
    let silence = Act::Quiet {
        runs: 8,
        there: 128,
        via: 0,
    };
    let polls = [Act::Join(6, 0), Act::Poll(6, 2), in_turn, Act::Poll(6, 2)];
    let inside = [Act::Join(0, 0), Act::Join(1, 0)];
    let acts: Vec<_> = inside.into_iter().chain(polls).chain([silence]).collect();
    assert_agree(&Stage::Single(server), &acts);
}

fn assert_agree(stage: &Stage, acts: &[Act]) {
    let (is_stalled, played, _) = runtime().block_on(play_one(stage, 0, acts));
    if let Err(Stop::Differs(how)) = played {
        assert!(is_stalled, "{how}");
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// Whether it took too long, why it ended early, and the model afterwards; `idle` is what `idleSeconds` is, 0 for none.
async fn play_one(stage: &Stage, idle: u64, acts: &[Act]) -> (bool, Result<(), Stop>, Model) {
    let mut pair = Pair::begin(stage, idle).await;
    let played = pair.play(acts).await;
    (pair.begun.elapsed() > STALLED, played, pair.model)
}

fn play(stage: &Stage, cases: u32) -> Tally {
    let runtime = runtime();
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let tally = RefCell::new(Tally::default());
    let idles = prop::sample::select(vec![0, IDLE]);
    let sequences = (idles, prop::collection::vec(act(), 1..40));
    let outcome = TestRunner::new(config).run(&sequences, |(idle, acts)| {
        runtime.block_on(async {
            let (is_stalled, played, model) = play_one(stage, idle, &acts).await;
            let mut tally = tally.borrow_mut();
            tally.count(acts.len(), &model);
            tally.stalled += u32::from(is_stalled);
            tally.unsure += u32::from(matches!(played, Err(Stop::Unsure)));
            match played {
                Err(Stop::Differs(how)) if !is_stalled => Err(TestCaseError::fail(how)),
                _ => Ok(()),
            }
        })
    });
    match outcome {
        Ok(()) => tally.into_inner(),
        Err(TestError::Fail(why, (idle, acts))) => {
            panic!("{why}\nwith {idle} s of idleness, after {acts:#?}")
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}
