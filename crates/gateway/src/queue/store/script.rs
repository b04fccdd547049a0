//! Owns how a verb reaches Redis: which script, over which connection, and for how long.
//!
//! Each call has an answer or an error within [`ANSWER_WITHIN`], also from a Redis that hangs. Scripts are called
//! by digest; a Redis that does not know one (after a restart or failover) is given it with the call.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use chassis::metrics::{Histogram, IntCounter};
use chassis::redis::{Call as ScriptCall, Connection, Pool, Script};
use chassis::time::{Clock, Timestamp};
use chassis::trace::{Kind, Span};
use redis::{FromRedisValue, ToRedisArgs};

use super::deadline::ANSWER_WITHIN;
use super::keys::Keys;
use super::library;
use crate::metrics::StoreMetrics;
use crate::queue::queues::QueueEntry;
use crate::queue::recovery::loss::Known;

/// A script, and under which name its calls are timed.
pub(in crate::queue) struct Verb {
    script: LazyLock<Script>,
    timer: usize,
}

/// What verbs have in common.
const LIBRARY: [&str; 3] = [
    include_str!("prelude.lua"),
    include_str!("../lottery/draw.lua"),
    include_str!("lanes.lua"),
];

/// Plain commands of a poll, and those of the scheduler and of operators.
const RANK: usize = 0;
const COMMAND: usize = 1;

macro_rules! verbs {
    ($($name:ident = $label:literal $file:literal,)+) => {
        /// Where each script's timer stands: behind those of plain commands.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Timer {
            $($name,)+
        }

        /// The names under which calls are timed, in the order of their timers.
        pub const VERBS: &[&str] = &["rank", "command", $($label,)+];

        $(pub(in crate::queue) static $name: Verb = Verb {
            script: LazyLock::new(|| {
                // Once for each verb and process.
                Script::new(library::assembled(&LIBRARY, include_str!($file)).leak())
            }),
            timer: COMMAND + 1 + Timer::$name as usize,
        };)+
    };
}

verbs! {
    JOIN = "join" "../visit/join.lua",
    TOUCH = "touch" "../visit/touch.lua",
    RESTORE = "restore" "../recovery/restore.lua",
    LEAVE = "leave" "../visit/leave.lua",
    PRESENT = "present" "../visit/present.lua",
    RANKS = "ranks" "../visit/ranks.lua",
    ADMIT = "admit" "../visit/admit.lua",
    SNAPSHOT = "snapshot" "../snapshot.lua",
    CHANGE = "change" "../policy/change.lua",
    REMOVE = "remove" "../policy/remove.lua",
    ENTRANTS = "entrants" "../lottery/entrants.lua",
    SETTLE = "settle" "../lottery/settle.lua",
    PLACE = "place" "../lottery/place.lua",
    REVIVE = "revive" "../recovery/revive.lua",
    ADAPT = "adapt" "../measure/adapt.lua",
    STOCK = "stock" "../measure/stock.lua",
    OVER = "over" "../recovery/over.lua",
    REFUSE = "refuse" "../policy/refuse.lua",
}

/// Why Redis gave no usable answer. For the log; visitors are told to come back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis is not there, or refused.
    #[error("redis: {}", chassis::redis::words(.0))]
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
    /// What befell a call for many, as each of them is told.
    #[error("{0}")]
    ForMany(String),
}

impl StoreError {
    /// The reasons under which failures are counted.
    pub const REASONS: [&'static str; 4] = ["redis", "pool", "late", "odd"];

    /// The same for one of many who asked together.
    pub(in crate::queue) fn shared(&self) -> Self {
        match self {
            Self::Late => Self::Late,
            Self::Odd(what) => Self::Odd(what),
            Self::Redis(_) | Self::Pool(_) | Self::ForMany(_) => Self::ForMany(self.to_string()),
        }
    }

    fn reason(&self) -> usize {
        match self {
            Self::Redis(_) | Self::ForMany(_) => 0,
            Self::Pool(_) => 1,
            Self::Late => 2,
            Self::Odd(_) => 3,
        }
    }
}

/// Redis, as the verbs reach it. Cheap to clone.
#[derive(Clone)]
pub(in crate::queue) struct Store {
    hot: Connection,
    pool: Pool,
    clock: Clock,
    /// Names this process beside what it wrote.
    gateway: Arc<str>,
    // Looked up once, so that timing a call takes no lock and no memory.
    timers: Arc<[Histogram]>,
    failures: [IntCounter; StoreError::REASONS.len()],
}

/// A call that is being put together.
pub(in crate::queue) struct Call<'verb> {
    script: ScriptCall<'verb>,
    timer: usize,
}

impl Call<'_> {
    /// Adds one argument, or several.
    pub fn arg<T: ToRedisArgs>(&mut self, argument: T) -> &mut Self {
        self.script.arg(argument);
        self
    }
}

/// Who waits for a call.
#[derive(Clone, Copy)]
pub(in crate::queue) enum Priority {
    /// Visitors do: over the multiplexed connection.
    Hot,
    /// The scheduler and operators do, who must not delay visitors: over the pool.
    Background,
}

impl Store {
    pub fn new(hot: Connection, pool: Pool, clock: Clock, metrics: &StoreMetrics) -> Self {
        let timer = |verb: &&str| metrics.duration.with_label_values(&[verb]);
        Self {
            hot,
            pool,
            clock,
            gateway: format!("{:x}", rand::random::<u64>()).into(),
            timers: VERBS.iter().map(timer).collect(),
            failures: StoreError::REASONS
                .map(|reason| metrics.failures.with_label_values(&[reason])),
        }
    }

    /// What this process is called in Redis.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// The clock that follows Redis.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time by that clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The same in whole ms since 1970.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.now().timestamp_millis()).unwrap_or(0)
    }

    /// An instant by the clock of Redis, put forward as scripts put theirs.
    pub fn shifted(&self, redis_us: u64) -> u64 {
        redis_us.saturating_add_signed(self.clock.offset_us())
    }

    /// A call of `verb` for the queue with `keys`, of which nothing need be known.
    pub fn call(&self, verb: &'static Verb, keys: &Keys) -> Call<'static> {
        self.call_as(verb, keys, Known::default())
    }

    /// A call of `verb` for a queue that this gateway remembers.
    pub fn call_knowing(&self, verb: &'static Verb, entry: &QueueEntry) -> Call<'static> {
        self.call_as(verb, &entry.keys, entry.memory.known())
    }

    /// It begins with who calls, see `prelude.lua`.
    fn call_as(&self, verb: &'static Verb, keys: &Keys, known: Known) -> Call<'static> {
        let (offset_us, gateway) = (self.clock.offset_us(), &self.gateway);
        let Known { epoch, born, pulse } = known;
        let caller = format!("{offset_us} {gateway} {epoch} {born} {pulse}");
        let mut script = verb.script.call();
        script.key(keys).arg(caller);
        Call {
            script,
            timer: verb.timer,
        }
    }

    /// Runs a script.
    pub async fn run<T: FromRedisValue>(
        &self,
        priority: Priority,
        call: &Call<'_>,
    ) -> Result<T, StoreError> {
        let answer = in_time(async {
            match priority {
                Priority::Hot => Ok(call.script.run(&mut self.hot.clone()).await?),
                // Boxed, so that the hot future stays small: a connection of a pool is large.
                Priority::Background => Box::pin(self.run_in_background(&call.script)).await,
            }
        });
        self.timed(call.timer, answer).await
    }

    async fn run_in_background<T: FromRedisValue>(
        &self,
        call: &ScriptCall<'_>,
    ) -> Result<T, StoreError> {
        Ok(call.run(&mut self.pool.get().await?).await?)
    }

    /// Runs a script that takes keys of its own, in the background. Its time is that of plain commands.
    pub async fn run_alone<T: FromRedisValue>(
        &self,
        call: &ScriptCall<'_>,
    ) -> Result<T, StoreError> {
        let answer = in_time(self.run_in_background(call));
        self.timed(COMMAND, answer).await
    }

    /// Runs plain commands that only read in one round trip for a visitor. For how long is for the
    /// caller to say.
    pub async fn ask<T: FromRedisValue>(&self, pipe: &redis::Pipeline) -> Result<T, StoreError> {
        let answer = async { Ok(pipe.query_async(&mut self.hot.clone()).await?) };
        self.timed(RANK, answer).await
    }

    /// Runs one plain command in the background.
    pub async fn command<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        let answer = in_time(async { Ok(command.query_async(&mut self.pool.get().await?).await?) });
        self.timed(COMMAND, answer).await
    }

    async fn timed<T>(
        &self,
        timer: usize,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut span = Span::begin(Kind::Client, || format!("redis {}", VERBS[timer]));
        span.say("db.system.name", || "redis");
        let began = Instant::now();
        let answer = answer.await;
        self.timers[timer].observe(began.elapsed().as_secs_f64());
        if let Err(cause) = &answer {
            span.failed(cause);
            self.failures[cause.reason()].inc();
        }
        answer
    }
}

/// The answer, or that it came too late.
async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(StoreError::Late),
    }
}

#[cfg(test)]
mod tests {
    use super::{ADMIT, COMMAND, JOIN, RANK, REFUSE, REVIVE, VERBS};

    #[test]
    fn every_verb_is_timed_under_its_own_name() {
        for (verb, name) in [(&JOIN, "join"), (&ADMIT, "admit"), (&REVIVE, "revive")] {
            assert_eq!(VERBS[verb.timer], name);
        }
        assert_eq!((VERBS[RANK], VERBS[COMMAND]), ("rank", "command"));
        assert_eq!(VERBS.len(), REFUSE.timer + 1);
    }
}
