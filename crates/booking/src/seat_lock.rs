//! Owns the seat locks in Redis: they thin the crowd before it reaches MySQL.
//!
//! A lock is never the judge. It may vanish at any moment, with its Redis or by itself, and nothing is sold twice: the
//! conditional update in `reservation` decides, and every verb is right without this module. All a lock does is to
//! answer most of a thousand people who want one seat in a millisecond and without a connection to MySQL.
//! So a Redis that is away or slow is no error: after a short wait everybody passes.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chassis::redis::{Call, Connection, Script};
use chassis::time::Clock;
use tokio::time::timeout;
use uuid::Uuid;

use crate::metrics::SeatLockMetrics;
use crate::reservation::SeatNumbers;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("seat_lock/take.lua")));
static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("seat_lock/release.lua")));

/// No answer within this time counts as none: the crowd is then let through to the judge.
const PATIENCE: Duration = Duration::from_millis(500);
/// After a failure Redis is left alone for this long, and then asked by one request.
const BREAK_US: i64 = 1_000_000;
/// A lock lives no longer: by then the seat itself says that it is held.
const LIVES_AT_MOST: Duration = Duration::from_secs(5);
/// The breaker's value while Redis answers.
const WELL: i64 = 0;

/// What asking for locks led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thinned {
    /// All locks are taken: go on to the judge, and release them if it says no.
    Passed,
    /// Others have the locks of these seats: they are being reserved at this moment.
    Taken(Vec<u16>),
    /// Redis did not answer in time: go on to the judge.
    NotThinned,
}

/// The locks. Clones share the connection and the breaker.
#[derive(Clone)]
pub struct SeatLock {
    redis: Connection,
    clock: Clock,
    /// Until when Redis is left alone, in microseconds of the clock; [`WELL`] while it answers.
    broken_until_us: Arc<AtomicI64>,
    metrics: SeatLockMetrics,
}

impl SeatLock {
    /// Locks in this Redis. All share the connection: a crowd must not wait for one.
    pub fn new(redis: Connection, clock: Clock) -> Self {
        Self {
            redis,
            clock,
            broken_until_us: Arc::new(AtomicI64::new(WELL)),
            metrics: SeatLockMetrics::new(),
        }
    }

    /// What is counted and timed here.
    pub fn metrics(&self) -> &SeatLockMetrics {
        &self.metrics
    }

    /// Takes the locks of all these seats for `owner`, or says which of them others have.
    ///
    /// `owner` is the reservation's id; for a request that may be repeated it is `Claim::request_id`. The locks live no
    /// longer than `hold`, for which the seats will be held.
    pub async fn take(
        &self,
        schedule_id: Uuid,
        seats: &SeatNumbers,
        owner: Uuid,
        hold: Duration,
    ) -> Thinned {
        let lives_ms = hold.min(LIVES_AT_MOST).as_millis().max(1);
        let mut call = TAKE.call();
        for key in keys(schedule_id, seats.as_slice()) {
            call.key(key);
        }
        call.arg(owner.as_bytes().as_slice())
            .arg(lives_ms.to_string());
        let answer: Option<Vec<usize>> = self.ask("take", &call).await;
        let (thinned, outcome) = match answer {
            None => (Thinned::NotThinned, "unthinned"),
            Some(others) if others.is_empty() => (Thinned::Passed, "passed"),
            Some(others) => {
                let numbered = |position: usize| seats.as_slice().get(position - 1).copied();
                let taken = others.into_iter().filter_map(numbered).collect();
                (Thinned::Taken(taken), "taken")
            }
        };
        self.metrics.asked.with_label_values(&[outcome]).inc();
        thinned
    }

    /// Gives back those of the locks that are still `owner`'s: after a transaction that failed, or a hold that was given
    /// back. Without an answer they end by themselves.
    pub async fn release(&self, schedule_id: Uuid, numbers: &[u16], owner: Uuid) {
        if numbers.is_empty() {
            return;
        }
        let mut call = RELEASE.call();
        for key in keys(schedule_id, numbers) {
            call.key(key);
        }
        call.arg(owner.as_bytes().as_slice());
        let _: Option<u32> = self.ask("release", &call).await;
    }

    /// Runs a script, unless Redis is being left alone.
    async fn ask<T: redis::FromRedisValue>(&self, verb: &str, call: &Call<'_>) -> Option<T> {
        if !self.may_ask() {
            return None;
        }
        let mut redis = self.redis.clone();
        let asked = timeout(PATIENCE, call.run(&mut redis));
        let began = Instant::now();
        let asked = asked.await;
        let duration = self.metrics.duration.with_label_values(&[verb]);
        duration.observe(began.elapsed().as_secs_f64());
        match asked {
            Ok(Ok(answer)) => {
                self.metrics.off.set(0);
                self.broken_until_us.store(WELL, Ordering::Relaxed);
                Some(answer)
            }
            Ok(Err(cause)) => self.leave_alone(&cause.to_string()),
            Err(_) => self.leave_alone("no answer in time"),
        }
    }

    /// While Redis is away, one request in each second tries it; the others do not wait.
    fn may_ask(&self) -> bool {
        let until_us = self.broken_until_us.load(Ordering::Relaxed);
        if until_us == WELL {
            return true;
        }
        let now_us = self.clock.now().timestamp_micros();
        now_us >= until_us
            && self
                .broken_until_us
                .compare_exchange(
                    until_us,
                    now_us + BREAK_US,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    fn leave_alone<T>(&self, cause: &str) -> Option<T> {
        self.metrics.failures.inc();
        self.metrics.off.set(1);
        let until_us = self.clock.now().timestamp_micros() + BREAK_US;
        if self.broken_until_us.swap(until_us, Ordering::Relaxed) == WELL {
            log::warn!("seat locks are off until Redis answers again: {cause}");
        }
        None
    }
}

/// One key for each seat; those of a schedule share a hash tag, so that one script reaches them on a cluster.
fn keys(schedule_id: Uuid, numbers: &[u16]) -> impl Iterator<Item = String> {
    numbers
        .iter()
        .map(move |number| format!("seat:{{{schedule_id}}}:{number}"))
}
