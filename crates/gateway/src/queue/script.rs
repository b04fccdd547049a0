//! Owns how a verb reaches Redis: which script, over which connection, and for how long.
//!
//! Promises an answer within [`ANSWER_WITHIN`], also from a Redis that hangs. Scripts are called
//! by digest; a Redis that does not know one (after a restart or failover) is given it with the call.

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use chassis::redis::{Call, Connection, Pool, Script};
use chassis::time::{Clock, Timestamp};
use redis::FromRedisValue;

use super::keys::Keys;

/// The visitor waits for it; together with the way there and back it stays within a second.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(900);

macro_rules! verb {
    ($name:ident, $file:literal) => {
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("prelude.lua"),
                include_str!("draw.lua"),
                include_str!("lanes.lua"),
                include_str!($file)
            ))
        });
    };
}

verb!(JOIN, "join.lua");
verb!(TOUCH, "touch.lua");
verb!(RESTORE, "restore.lua");
verb!(LEAVE, "leave.lua");
verb!(PRESENT, "present.lua");
verb!(RANKS, "ranks.lua");
verb!(ADMIT, "admit.lua");
verb!(SNAPSHOT, "snapshot.lua");
verb!(CHANGE, "change.lua");
verb!(REMOVE, "remove.lua");
verb!(REVIVE, "revive.lua");

/// Why Redis gave no usable answer. For the log; visitors are told to come back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis is not there, or refused.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// No connection of the pool was to be had.
    #[error("redis pool: {0}")]
    Pool(#[from] deadpool_redis::PoolError),
    /// No answer in time.
    #[error("redis gave no answer within {ANSWER_WITHIN:?}")]
    Late,
    /// Something else writes into these keys, or a script and its caller do not fit.
    #[error("unexpected in redis: {0}")]
    Odd(&'static str),
}

/// The ways to Redis. Cheap to clone.
#[derive(Clone)]
pub(super) struct Store {
    hot: Connection,
    pool: Pool,
    clock: Clock,
}

/// Which way a call takes.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// The multiplexed connection: visitors.
    Hot,
    /// The pool: the scheduler and operators, who must not stand in the way of visitors.
    Rare,
}

impl Store {
    pub fn new(hot: Connection, pool: Pool, clock: Clock) -> Self {
        Self { hot, pool, clock }
    }

    /// The time of this gateway: for what it notes for itself alone.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The same in whole ms since 1970.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.now().timestamp_millis()).unwrap_or(0)
    }

    /// A call of `script` for the queue with `keys`, which begins with the offset of the clock.
    pub fn call<'script>(&self, script: &'script Script, keys: &Keys) -> Call<'script> {
        let mut call = script.call();
        call.key(keys).arg(self.clock.offset_us());
        call
    }

    /// Runs a script.
    pub async fn run<T: FromRedisValue>(&self, way: Way, call: &Call<'_>) -> Result<T, StoreError> {
        in_time(async {
            match way {
                Way::Hot => Ok(call.run(&mut self.hot.clone()).await?),
                Way::Rare => Ok(call.run(&mut self.pool.get().await?).await?),
            }
        })
        .await
    }

    /// Runs plain commands in one round trip on the hot way.
    pub async fn ask<T: FromRedisValue>(&self, pipe: &redis::Pipeline) -> Result<T, StoreError> {
        in_time(async { Ok(pipe.query_async(&mut self.hot.clone()).await?) }).await
    }

    /// Runs one plain command on the rare way.
    pub async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        in_time(async { Ok(command.query_async(&mut self.pool.get().await?).await?) }).await
    }
}

/// The answer, or that it came too late.
pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Late),
    }
}
