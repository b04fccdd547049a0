//! A gateway without HTTP, for tests.

use std::time::Duration;

use chassis::redis::RedisUrl;
use chassis::time::Clock;
use gateway::queue::policy::{PolicyChange, State};
use gateway::queue::{Queue, QueueError, QueueId, Queues, Standing, Ticket, UserId};
use uuid::Uuid;

use crate::test_app::PATIENCE;

/// For how long nobody is let in after a loss.
pub const RECOVERY: Duration = Duration::from_secs(30);

/// One gateway with connections of its own.
#[derive(Clone)]
pub struct Fixture {
    pub queues: Queues,
    pub clock: Clock,
}

impl Fixture {
    /// A gateway at the Redis that all tests share.
    pub fn new() -> Self {
        Self::at(&testbed::redis().url(), Clock::system())
    }

    /// A gateway at the Redis behind `url`.
    pub fn at(url: &str, clock: Clock) -> Self {
        let url = url.parse().unwrap();
        Self::behind(&url, clock)
    }

    /// A gateway at this place.
    pub fn behind(url: &RedisUrl, clock: Clock) -> Self {
        let hot = chassis::redis::connection(url).unwrap();
        let pool = chassis::redis::pool(url, 4).unwrap();
        let queues = Queues::new(hot, pool, clock.clone(), RECOVERY);
        Self { queues, clock }
    }

    /// Another gateway at the shared Redis whose clock moves with this one's.
    pub fn twin(&self) -> Self {
        Self::at(&testbed::redis().url(), self.clock.clone())
    }

    /// A new queue.
    pub async fn queue(&self, name: &str, change: PolicyChange) -> Queue {
        let changed = self.queues.change(&id(name), &change, "a test").await;
        let changed = changed.unwrap();
        assert!(changed.created, "{name} is used by another test");
        changed.queue
    }

    /// The same queue, as this gateway sees it.
    pub async fn open(&self, name: &str) -> Queue {
        answered(async || self.queues.open(&id(name)).await).await
    }

    /// Changes the rules of a queue.
    pub async fn change(&self, name: &str, change: PolicyChange) {
        let changed = self.queues.change(&id(name), &change, "a test").await;
        assert!(!changed.unwrap().created);
    }

    /// Lets time pass for this gateway and its twins.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

/// What `ask` is answered, also by a store that is slow on a busy machine: who is told 503 asks again.
pub async fn answered<T>(ask: impl AsyncFn() -> Result<T, QueueError>) -> T {
    loop {
        match ask().await {
            Err(QueueError::StoreUnavailable(_)) => {}
            answer => return answer.unwrap(),
        }
    }
}

/// So many may be inside, and come in as fast as they like.
pub fn places(max_active: i64) -> PolicyChange {
    PolicyChange {
        max_active: Some(max_active),
        admit_per_second: Some(100_000.0.into()),
        ..PolicyChange::default()
    }
}

/// They stand in this order, and nobody else stands before the last of them.
pub async fn assert_line(queue: &Queue, line: &[Ticket]) {
    for (ahead, ticket) in (0..).zip(line) {
        let place = queue.rank(ticket).await.unwrap();
        assert_eq!(place, Standing::Waiting { ahead }, "{ticket:?}");
    }
}

/// Another state, and all other rules as they were.
pub fn state(state: State) -> PolicyChange {
    PolicyChange {
        state: Some(state),
        ..PolicyChange::default()
    }
}

pub fn id(name: &str) -> QueueId {
    name.parse().unwrap()
}

pub fn user() -> UserId {
    UserId(Uuid::new_v4())
}

/// Joins so many new users one after the other.
pub async fn crowd(queue: &Queue, size: usize) -> Vec<Ticket> {
    let mut tickets = Vec::with_capacity(size);
    for _ in 0..size {
        tickets.push(queue.join(user()).await.unwrap().ticket);
    }
    tickets
}

/// Joins so many new users who come at once.
pub async fn crowd_at_once(queue: &Queue, size: usize) -> Vec<Ticket> {
    let joins = (0..size).map(|_| queue.join(user()));
    let joined = futures_util::future::try_join_all(joins).await.unwrap();
    joined.into_iter().map(|it| it.ticket).collect()
}

pub fn is_active(standing: &Result<Standing, QueueError>) -> bool {
    matches!(standing, Ok(Standing::Active { .. }))
}

pub fn is_over(standing: &Result<Standing, QueueError>) -> bool {
    matches!(standing, Err(QueueError::Over))
}

/// A plain connection, to look behind the curtain.
pub async fn redis() -> redis::aio::MultiplexedConnection {
    plain(&testbed::redis().url()).await
}

/// The same to the Redis behind `url`. It waits for an answer as long as any test does.
pub async fn plain(url: &str) -> redis::aio::MultiplexedConnection {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let client = redis::Client::open(url).unwrap();
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.unwrap()
}
