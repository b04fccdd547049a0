//! Owns the seat locks in Redis: they reject early, before a request reaches MySQL.
//!
//! A lock never decides a sale. It may vanish at any moment, with its Redis or by itself, and nothing is sold twice: the
//! conditional update in `reservation` decides, and every verb is right without this module. All a lock does is to
//! answer most of a thousand people who want one seat in a millisecond and without a connection to MySQL.
//! So a Redis that is away or slow is no error: after a short wait every request goes on to MySQL.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chassis::metrics::STORE_S;
use chassis::redis::{Call, Connection, Script};
use chassis::time::Clock;
use chassis::trace::{Kind, Span};
use tokio::time::timeout;
use uuid::Uuid;

use crate::patience;
use crate::seat::SeatNumbers;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("seat_lock/take.lua")));
static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("seat_lock/release.lua")));

/// A call that takes longer counts as failed: the request goes on to MySQL.
const PATIENCE: Duration = Duration::from_millis(500);
/// After a failure the circuit is open for this long; then one request tries.
const OPEN_US: i64 = 1_000_000;
/// A lock lives no longer: by then the seat itself says that it is held.
const LIVES_AT_MOST: Duration = Duration::from_secs(5);
/// The circuit's value while Redis answers.
const CLOSED: i64 = 0;

/// What asking for locks led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockOutcome {
    /// All locks are taken: go on to MySQL, and release them if it refuses.
    Acquired,
    /// Others have the locks of these seats: they are being reserved at this moment.
    Contended(Vec<u16>),
    /// Redis did not answer in time: go on to MySQL.
    Unavailable,
}

chassis::catalogue! {
    /// What the locks of seats reject early.
    SeatLockMetrics;
    /// Times that locks were asked for: all were taken (passed), others had one (taken), Redis did not say (unthinned)
    asked: IntCounterVec = "booking_seat_locks_total" by "outcome" ["passed", "taken", "unthinned"],
    /// Time until Redis answered, or was given up
    duration: HistogramVec = "booking_seat_lock_duration_seconds" by "verb" ["take", "release"] in STORE_S,
    /// Calls that Redis did not answer in time or refused; the request then goes on to MySQL
    failures: IntCounter = "booking_seat_lock_failures_total",
    /// 1 while Redis is not asked because it did not answer
    off: IntGauge = "booking_seat_locks_off",
}

/// The locks. Clones share the connection and the circuit.
#[derive(Clone)]
pub struct SeatLock {
    redis: Connection,
    clock: Clock,
    /// Until when Redis is not asked, in microseconds of the clock; [`CLOSED`] while it answers.
    open_until_us: Arc<AtomicI64>,
    lives_at_most: Duration,
    metrics: SeatLockMetrics,
}

impl SeatLock {
    /// Locks in this Redis. All share the connection, so that no request waits for one.
    pub fn new(redis: Connection, clock: Clock) -> Self {
        Self {
            redis,
            clock,
            open_until_us: Arc::new(AtomicI64::new(CLOSED)),
            lives_at_most: LIVES_AT_MOST,
            metrics: SeatLockMetrics::new(),
        }
    }

    /// The same with locks that live no longer than this. For tests whose time is not the machine's.
    pub fn living(self, lives_at_most: Duration) -> Self {
        Self {
            lives_at_most,
            ..self
        }
    }

    /// What is counted and timed here.
    pub fn metrics(&self) -> &SeatLockMetrics {
        &self.metrics
    }

    /// Takes the locks of all these seats for `owner`, or says which of them others have.
    ///
    /// An owner never contends with itself. The locks live no longer than `hold`, for which the seats will be held.
    pub async fn take(
        &self,
        schedule_id: Uuid,
        seats: &SeatNumbers,
        owner: Uuid,
        hold: Duration,
    ) -> LockOutcome {
        let lives_ms = hold.min(self.lives_at_most).as_millis().max(1);
        let mut call = TAKE.call();
        for key in keys(schedule_id, seats.as_slice()) {
            call.key(key);
        }
        call.arg(owner.as_bytes().as_slice())
            .arg(lives_ms.to_string());
        let answer: Option<Vec<usize>> = self.ask("take", &call).await;
        let (outcome, label) = match answer {
            None => (LockOutcome::Unavailable, "unthinned"),
            Some(others) if others.is_empty() => (LockOutcome::Acquired, "passed"),
            Some(others) => {
                let numbered = |position: usize| seats.as_slice().get(position - 1).copied();
                let taken = others.into_iter().filter_map(numbered).collect();
                (LockOutcome::Contended(taken), "taken")
            }
        };
        self.metrics.asked.with_label_values(&[label]).inc();
        outcome
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

    /// Runs a script, unless the circuit is open.
    async fn ask<T: redis::FromRedisValue>(&self, verb: &str, call: &Call<'_>) -> Option<T> {
        if !self.may_ask() {
            return None;
        }
        let mut redis = self.redis.clone();
        let asked = timeout(patience::at_most(PATIENCE), call.run(&mut redis));
        let mut span = Span::begin(Kind::Client, || format!("redis {verb}"));
        span.say("db.system.name", || "redis");
        let began = Instant::now();
        let asked = patience::spend(asked).await;
        let duration = self.metrics.duration.with_label_values(&[verb]);
        duration.observe(began.elapsed().as_secs_f64());
        match asked {
            Ok(Ok(answer)) => {
                self.metrics.off.set(0);
                self.open_until_us.store(CLOSED, Ordering::Relaxed);
                Some(answer)
            }
            Ok(Err(cause)) => self.open_circuit(&cause.to_string(), span),
            Err(_) => self.open_circuit("no answer in time", span),
        }
    }

    /// While Redis is away, one request in each second tries it; the others do not wait.
    fn may_ask(&self) -> bool {
        let until_us = self.open_until_us.load(Ordering::Relaxed);
        if until_us == CLOSED {
            return true;
        }
        let now_us = self.clock.now().timestamp_micros();
        now_us >= until_us
            && self
                .open_until_us
                .compare_exchange(
                    until_us,
                    now_us + OPEN_US,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    fn open_circuit<T>(&self, cause: &str, mut span: Span) -> Option<T> {
        span.failed(&cause);
        self.metrics.failures.inc();
        self.metrics.off.set(1);
        let until_us = self.clock.now().timestamp_micros() + OPEN_US;
        if self.open_until_us.swap(until_us, Ordering::Relaxed) == CLOSED {
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
