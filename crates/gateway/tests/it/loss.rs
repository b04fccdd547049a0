//! Redis loses everything; nobody loses their place.

use std::time::Duration;

use chassis::time::Clock;
use gateway::queue::policy::{Policy, State};
use gateway::queue::{QueueError, Standing};
use rand::seq::SliceRandom as _;
use testbed::{Redis, RedisOptions, Scratch};
use tokio::task::JoinSet;

use crate::fixture::{
    Fixture, RECOVERY, assert_line, crowd, id, is_active, is_over, places, redis, state, user,
};

/// A Redis of its own, because all that it holds will be thrown away.
pub struct Store {
    pub redis: Redis,
    _scratch: Scratch,
}

impl Store {
    pub fn start() -> Self {
        let scratch = Scratch::new().unwrap();
        let redis = Redis::start(scratch.path(), RedisOptions::default()).unwrap();
        Self {
            redis,
            _scratch: scratch,
        }
    }

    pub fn fixture(&self, clock: &Clock) -> Fixture {
        Fixture::at(&self.redis.url(), clock.clone())
    }

    pub async fn flush(&self) {
        let mut redis = crate::fixture::plain(&self.redis.url()).await;
        redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    }
}

#[tokio::test]
async fn after_a_loss_everybody_comes_back_to_their_own_ticket_number() {
    let (store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", places(2)).await;
    let tickets = crowd(&queue, 10).await;
    fixture.queues.refresh().await.unwrap();
    store.flush().await;
    fixture.queues.refresh().await.unwrap();

    let snapshot = queue.snapshot();
    assert!(snapshot.epoch > tickets[0].epoch && snapshot.recovering && snapshot.paused());
    assert_eq!(snapshot.policy.max_active, 2);
    let newcomer = queue.join(user()).await.unwrap();
    assert!(
        newcomer.ticket.number > tickets[9].number,
        "nobody overtakes"
    );
    for ticket in tickets.iter().rev() {
        let place = queue.rank(ticket).await.unwrap();
        assert_eq!(place, Standing::Waiting { ahead: 0 });
    }
    let place = queue.rank(&newcomer.ticket).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 10 });
    assert!(
        queue.admit().await.unwrap().users.is_empty(),
        "all may come back first"
    );

    fixture.pass(RECOVERY);
    queue.admit().await.unwrap();
    assert!(
        is_active(&queue.rank(&tickets[0]).await),
        "who was inside is inside first"
    );
    assert!(is_active(&queue.rank(&tickets[1]).await));
    let place = queue.rank(&tickets[2]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
}

#[tokio::test]
async fn a_visit_that_came_back_and_ended_does_not_come_back_again() {
    let (store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 3).await;
    store.flush().await;
    for ticket in &tickets {
        queue.rank(ticket).await.unwrap();
    }
    queue.leave(&tickets[1]).await.unwrap();
    assert!(
        is_over(&queue.rank(&tickets[1]).await),
        "left while waiting"
    );
    fixture.pass(RECOVERY);
    queue.admit().await.unwrap();
    assert!(is_active(&queue.rank(&tickets[0]).await));
    fixture.pass(Duration::from_secs(420));
    assert!(
        is_over(&queue.rank(&tickets[0]).await),
        "before anyone swept"
    );
    queue.admit().await.unwrap();
    assert!(is_over(&queue.rank(&tickets[0]).await), "the lease ended");
    assert!(queue.join(tickets[0].user).await.unwrap().created);
    assert!(
        is_over(&queue.rank(&tickets[0]).await),
        "there is a newer visit"
    );
}

#[tokio::test]
async fn a_visitor_finds_the_queue_again_before_the_next_refresh() {
    let (store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", places(1)).await;
    let tickets = crowd(&queue, 2).await;
    store.flush().await;
    let place = queue.rank(&tickets[1]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
    store.flush().await;
    assert!(queue.join(user()).await.unwrap().created);
    store.flush().await;
    assert!(!queue.leave(&tickets[0]).await.unwrap().freed);
}

#[tokio::test]
async fn a_gateway_that_remembers_wins_over_one_that_made_the_queue_anew() {
    let (store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", places(7)).await;
    fixture.change("main", places(8)).await;
    let ticket = crowd(&queue, 1).await[0];
    store.flush().await;
    let ignorant = store.fixture(&clock);
    let policy = Policy::default();
    ignorant
        .queues
        .define(&id("main"), policy, "configuration")
        .await
        .unwrap();
    let newcomer = ignorant.open("main").await.join(user()).await.unwrap();

    fixture.queues.refresh().await.unwrap();
    assert_eq!(queue.snapshot().policy.max_active, 8);
    let place = queue.rank(&ticket).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 0 });
    assert!(queue.rank(&newcomer.ticket).await.is_ok());
    ignorant.queues.refresh().await.unwrap();
    assert_eq!(ignorant.open("main").await.snapshot().policy.max_active, 8);
}

#[tokio::test]
async fn a_queue_that_an_operator_removed_is_not_put_back() {
    let (store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let queue = fixture.queue("main", places(1)).await;
    let ticket = crowd(&queue, 1).await[0];
    let remembered = other.open("main").await;
    fixture.queues.remove(&id("main"), "a test").await.unwrap();
    other.queues.refresh().await.unwrap();
    let gone = other.queues.open(&id("main")).await;
    assert!(matches!(gone, Err(QueueError::Unknown)));

    // Also where it was made anew between two refreshes.
    fixture.queue("main", places(3)).await;
    let stale = remembered.rank(&ticket).await;
    assert!(matches!(stale, Err(QueueError::Over)), "{stale:?}");
    other.queues.refresh().await.unwrap();
    assert_eq!(other.open("main").await.snapshot().policy.max_active, 3);
}

#[tokio::test]
async fn an_operator_changes_a_lost_queue_from_what_is_remembered() {
    let (store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", places(7)).await;
    store.flush().await;
    fixture.change("main", state(State::Paused)).await;
    let policy = &queue.snapshot().policy;
    assert_eq!((policy.max_active, policy.state), (7, State::Paused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_comes_back_at_once_over_two_gateways_stands_as_before() {
    let (store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let queue = fixture.queue("main", places(1)).await;
    let gateways = [queue.clone(), other.open("main").await];
    let tickets = crowd(&queue, 200).await;
    store.flush().await;
    let mut tasks = JoinSet::new();
    for (index, ticket) in tickets.iter().copied().enumerate() {
        let queue = gateways[index % 2].clone();
        tasks.spawn(async move { queue.rank(&ticket).await.unwrap() });
    }
    tasks.join_all().await;
    assert_line(&queue, &tickets).await;
    for fixture in [&fixture, &other] {
        fixture.queues.refresh().await.unwrap();
    }
    let epochs = gateways.map(|queue| queue.snapshot().epoch);
    assert_eq!(epochs[0], epochs[1], "one new life, not two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_old_token_and_a_new_join_at_once_one_place_comes_out() {
    let (store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let queue = fixture.queue("main", places(1)).await;
    let at_other = other.open("main").await;
    let tickets = crowd(&queue, 300).await;
    store.flush().await;
    fixture.queues.refresh().await.unwrap();
    let mut tasks = JoinSet::new();
    let first = tickets[0];
    for (index, old) in tickets.into_iter().enumerate() {
        let (queue, at_other) = (queue.clone(), at_other.clone());
        tasks.spawn(async move {
            let polls = tokio::spawn(async move { at_other.rank(&old).await.is_ok() });
            // The join falls before, into or after the round trips of the poll.
            for _ in 0..index % 5 {
                let _ = queue.rank(&first).await;
            }
            let joined = queue.join(old.user).await.unwrap();
            let came_back = polls.await.unwrap();
            assert!(
                queue.rank(&joined.ticket).await.is_ok(),
                "a place was promised twice"
            );
            assert_eq!(came_back, joined.ticket.number == old.number);
            assert_eq!(joined.created, !came_back);
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn who_leaves_before_they_came_back_does_not_come_back() {
    let (store, clock) = (Store::start(), Clock::system());
    let fixture = store.fixture(&clock);
    let queue = fixture.queue("main", places(1)).await;
    let ticket = crowd(&queue, 1).await[0];
    store.flush().await;
    fixture.queues.refresh().await.unwrap();
    assert!(!queue.leave(&ticket).await.unwrap().freed);
    assert!(is_over(&queue.rank(&ticket).await));
}

#[tokio::test]
async fn a_place_that_a_failover_forgot_comes_back() {
    let fixture = Fixture::new();
    let queue = fixture.queue("loss-failover", places(1)).await;
    let tickets = crowd(&queue, 3).await;
    // The replica that took over had not heard of the last visitor.
    let mut redis = redis().await;
    let mut pipe = redis::pipe();
    pipe.cmd("ZREM")
        .arg("q:{loss-failover}:waiting")
        .arg(tickets[2].user.0.as_bytes());
    pipe.cmd("HSET")
        .arg("q:{loss-failover}:meta")
        .arg("last")
        .arg(tickets[1].number);
    pipe.exec_async(&mut redis).await.unwrap();
    let place = queue.rank(&tickets[2]).await.unwrap();
    assert_eq!(place, Standing::Waiting { ahead: 1 });
    let next = queue.join(user()).await.unwrap();
    assert!(next.ticket.number > tickets[2].number);
    queue.leave(&tickets[2]).await.unwrap();
    assert!(is_over(&queue.rank(&tickets[2]).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_who_wait_and_a_hundred_inside_all_stand_as_before_after_a_loss() {
    const INSIDE: usize = 100;
    const ALL: usize = 10_100;
    let (store, clock) = (Store::start(), Clock::system());
    let (fixture, other) = (store.fixture(&clock), store.fixture(&clock));
    let queue = fixture.queue("main", places(100)).await;
    let gateways = [queue.clone(), other.open("main").await];
    let tickets = crowd(&queue, ALL).await;
    for fixture in [&fixture, &other] {
        fixture.queues.refresh().await.unwrap();
    }
    assert_eq!(
        (queue.snapshot().active, queue.snapshot().waiting),
        (100, 10_000)
    );
    store.flush().await;

    let mut returning = tickets.clone();
    returning.shuffle(&mut rand::rng());
    let mut tasks = JoinSet::new();
    for (index, part) in returning.chunks(ALL / 40).enumerate() {
        let (queue, part) = (gateways[index % 2].clone(), part.to_vec());
        tasks.spawn(async move {
            for ticket in part {
                let place = queue.rank(&ticket).await.unwrap();
                assert!(matches!(place, Standing::Waiting { .. }), "{place:?}");
            }
        });
    }
    tasks.join_all().await;
    fixture.pass(RECOVERY);
    let first = queue.admit().await.unwrap().users;
    let mut entered: Vec<_> = first.iter().map(|(_, number)| *number).collect();
    let inside: Vec<_> = tickets[..INSIDE]
        .iter()
        .map(|ticket| ticket.number)
        .collect();
    assert_eq!(
        entered, inside,
        "those who were inside are inside again, and nobody else"
    );

    fixture.change("main", places(1_000_000)).await;
    while entered.len() < ALL {
        let admitted = queue.admit().await.unwrap();
        assert!(
            !admitted.users.is_empty() && admitted.parked == 0,
            "{admitted:?}"
        );
        entered.extend(admitted.users.iter().map(|(_, number)| *number));
    }
    let inversions = entered.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    assert_eq!(inversions, 0);
}
