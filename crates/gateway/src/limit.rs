//! Owns how often one source, or one visit, may ask for something.
//!
//! Each gateway counts for itself, so with N of them a source gets at most N times as many. What
//! is remembered of each is one instant: when its bucket will be full again (the generic cell
//! rate algorithm). Bounded: when no more sources fit, a new one is not counted.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chassis::time::Timestamp;

use crate::config::VisitLimits;
use crate::queue::UserId;

/// About 5 MB.
const MOST_KEYS: usize = 100_000;
const MINUTE_US: i64 = 60_000_000;
const SECOND_US: i64 = 1_000_000;

/// Looking through all sources takes about a millisecond, so it is done this rarely.
const SWEEP_US: i64 = 1_000_000;

/// A bucket of each source, which holds what a minute brings.
pub type SourceLimit = Limit<IpAddr>;

/// A bucket of each visit, by user and ticket number.
pub type VisitLimit = Limit<(UserId, u64)>;

/// What visitors and sources may do, and how often.
pub struct Limits {
    /// Places that one source asks for.
    pub joins: SourceLimit,
    /// Wrong operator keys of one source.
    pub wrong_keys: SourceLimit,
    /// Polls of one token.
    pub polls: VisitLimit,
    /// Requests of a visitor who is inside that are passed on.
    pub requests: VisitLimit,
}

/// Wrong operator keys of one source in a minute: more than a person mistypes.
const WRONG_KEYS_PER_MINUTE: u32 = 20;

impl Limits {
    /// By the configuration.
    pub fn new(joins_per_minute: u32, visit: VisitLimits) -> Self {
        let twice = |per_s: u32| VisitLimit::per_second(per_s, per_s.saturating_mul(2));
        Self {
            joins: SourceLimit::per_minute(joins_per_minute),
            wrong_keys: SourceLimit::per_minute(WRONG_KEYS_PER_MINUTE),
            polls: twice(visit.polls_per_s),
            requests: twice(visit.requests_per_s),
        }
    }
}

/// A bucket for each key.
pub struct Limit<K> {
    /// What one request takes, in µs of filling; 0 is no limit.
    each_us: i64,
    burst: i64,
    memory: Mutex<Memory<K>>,
}

struct Memory<K> {
    /// When the bucket is full, in µs.
    full_at: HashMap<K, i64>,
    /// When those with a full bucket are forgotten next, in µs.
    sweep_at: i64,
}

/// Somebody who asked too often, and when it may ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests")]
pub struct TooMany {
    /// From now.
    pub retry_after: Duration,
}

impl<K: Eq + Hash> Limit<K> {
    /// So many a minute, and as many at once; 0 is no limit.
    pub fn per_minute(count: u32) -> Self {
        Self::new(MINUTE_US, count, count)
    }

    /// So many a second, and `burst` at once; 0 is no limit.
    pub fn per_second(count: u32, burst: u32) -> Self {
        Self::new(SECOND_US, count, burst)
    }

    fn new(period_us: i64, count: u32, burst: u32) -> Self {
        Self {
            each_us: period_us.checked_div(i64::from(count)).unwrap_or(0),
            burst: i64::from(burst.max(1)),
            memory: Mutex::new(Memory {
                full_at: HashMap::new(),
                sweep_at: 0,
            }),
        }
    }

    /// Whether the bucket of `key` holds one. Takes nothing.
    ///
    /// # Errors
    /// It is empty.
    pub fn check(&self, key: &K, now: Timestamp) -> Result<(), TooMany> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        match memory.full_at.get(key) {
            Some(full_at) => self.next(*full_at, now.timestamp_micros()).map(|_| ()),
            None => Ok(()),
        }
    }

    /// When the bucket will be full after one more was taken from it.
    fn next(&self, full_at: i64, now_us: i64) -> Result<i64, TooMany> {
        let next = full_at.max(now_us) + self.each_us;
        let late_us = next - now_us - self.each_us * self.burst;
        if late_us <= 0 {
            return Ok(next);
        }
        let retry_after = Duration::from_micros(u64::try_from(late_us).unwrap_or(0));
        Err(TooMany { retry_after })
    }

    /// Takes one from the bucket of `key`.
    ///
    /// # Errors
    /// It is empty.
    pub fn take(&self, key: K, now: Timestamp) -> Result<(), TooMany> {
        if self.each_us == 0 {
            return Ok(());
        }
        let now_us = now.timestamp_micros();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let Memory { full_at, sweep_at } = &mut *memory;
        if full_at.len() >= MOST_KEYS && !full_at.contains_key(&key) {
            // A full bucket and one that is not remembered are the same. A crowd of strangers shall not make
            // each of them look through all.
            if now_us >= *sweep_at {
                *sweep_at = now_us + SWEEP_US;
                full_at.retain(|_, at| *at > now_us);
            }
            if full_at.len() >= MOST_KEYS {
                return Ok(());
            }
        }
        let at = full_at.entry(key).or_insert(now_us);
        *at = self.next(*at, now_us)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use chassis::time::Timestamp;

    use super::{Limit, MOST_KEYS, SourceLimit};

    fn source(number: usize) -> IpAddr {
        IpAddr::from(u32::try_from(number).expect("few").to_be_bytes())
    }

    #[test]
    fn a_source_has_a_minutes_worth_at_once_and_then_what_time_brings() {
        let limit = SourceLimit::per_minute(6);
        let now = Timestamp::default();
        let granted = |now, tries: usize| {
            let taken = (0..tries).filter(|_| limit.take(source(1), now).is_ok());
            taken.count()
        };
        assert_eq!(granted(now, 10), 6);
        let refused = limit.take(source(1), now).expect_err("empty");
        assert_eq!(refused.retry_after, Duration::from_secs(10));
        assert!(limit.take(source(2), now).is_ok(), "others are not touched");
        assert_eq!(granted(now + Duration::from_secs(10), 10), 1);
        assert_eq!(granted(now + Duration::from_secs(600), 10), 6);
    }

    #[test]
    fn a_burst_is_more_than_what_a_second_brings() {
        let limit = Limit::per_second(2, 5);
        let now = Timestamp::default();
        let granted = |now| (0..9).filter(|_| limit.take(1, now).is_ok()).count();
        assert_eq!(granted(now), 5);
        assert_eq!(granted(now + Duration::from_secs(1)), 2);
        assert_eq!(granted(now + Duration::from_secs(60)), 5);
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let limit = SourceLimit::per_minute(0);
        let taken = (0..1_000).all(|_| limit.take(source(1), Timestamp::default()).is_ok());
        assert!(taken);
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_who_has_a_full_bucket() {
        let limit = SourceLimit::per_minute(1);
        let now = Timestamp::default();
        for number in 0..MOST_KEYS + 10 {
            assert!(limit.take(source(number), now).is_ok());
        }
        let remembered = || {
            let memory = limit.memory.lock().expect("not poisoned");
            memory.full_at.len()
        };
        assert_eq!(remembered(), MOST_KEYS);
        assert!(limit.take(source(0), now).is_err(), "not forgotten by it");
        let later = now + Duration::from_secs(61);
        assert!(limit.take(source(MOST_KEYS + 5), later).is_ok());
        assert_eq!(remembered(), 1);
        let sweeps = || limit.memory.lock().expect("not poisoned").sweep_at;
        let swept = sweeps();
        let soon = later + Duration::from_millis(500);
        for number in MOST_KEYS + 6..2 * MOST_KEYS + 100 {
            assert!(limit.take(source(number), soon).is_ok());
        }
        assert_eq!((sweeps(), remembered()), (swept, MOST_KEYS));
    }
}
