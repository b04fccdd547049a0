//! Owns the clock and the form in which an instant is shown.
//!
//! Only [`Clock`] reads the time; everything else takes `now` as an argument. A test moves its own
//! clock forward instead of sleeping.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{SubsecRound, TimeDelta, Utc};

/// An instant in UTC.
pub type Timestamp = chrono::DateTime<Utc>;

/// The one reader of the machine's time. Clones share their offsets.
///
/// It may follow the clock of a store, so that processes on machines whose clocks differ tell the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_us: Arc<AtomicI64>,
    /// How far the store's clock is ahead of the machine's, as it was last measured.
    store_ahead_us: Arc<AtomicI64>,
    /// How wrong the machine's clock is made: 0 outside tests.
    wrong_by_us: i64,
    stopped_at: Option<Timestamp>,
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still at this instant, for tests of what happens at an exact moment.
    pub fn stopped_at(instant: Timestamp) -> Self {
        Self {
            stopped_at: Some(instant),
            ..Self::default()
        }
    }

    /// The clock of a machine that is wrong by so many microseconds, for tests.
    pub fn wrong_by(us: i64) -> Self {
        Self {
            wrong_by_us: us,
            ..Self::default()
        }
    }

    /// The present instant, cut to whole microseconds, which is what the stores keep: by the clock of the
    /// store that is followed, or by the machine's.
    pub fn now(&self) -> Timestamp {
        self.machine_now() + TimeDelta::microseconds(self.store_ahead_us.load(Ordering::Relaxed))
    }

    /// The same by the machine's clock alone.
    pub fn machine_now(&self) -> Timestamp {
        let ahead_us = self.offset_us().saturating_add(self.wrong_by_us);
        (self.stopped_at.unwrap_or_else(Utc::now) + TimeDelta::microseconds(ahead_us))
            .trunc_subsecs(6)
    }

    /// Follows the clock of a store, which said `store` after it was asked at `asked`, by the machine's clock.
    ///
    /// Each answer leaves a range as wide as it took. While the offset that counts lies in it, it stays, so that a
    /// busy machine moves nobody's clock.
    pub fn follow(&self, store: Timestamp, asked: Timestamp) {
        if self.stopped_at.is_some() {
            return;
        }
        let least = (store - self.machine_now()).num_microseconds().unwrap_or(0);
        let most = (store - asked).num_microseconds().unwrap_or(0);
        let known = self.store_ahead_us.load(Ordering::Relaxed);
        if !(least..=most).contains(&known) {
            let middle = least + (most - least) / 2;
            self.store_ahead_us.store(middle, Ordering::Relaxed);
        }
    }

    /// How far the machine's clock is ahead of the store's, in microseconds; below 0 where it is behind.
    pub fn skew_us(&self) -> i64 {
        -self.store_ahead_us.load(Ordering::Relaxed)
    }

    /// Moves this clock and its clones forward. For tests.
    pub fn advance(&self, by: Duration) {
        let by_us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.offset_us.fetch_add(by_us, Ordering::SeqCst);
    }

    /// Moves this clock and its clones forward or back. For tests.
    pub fn shift(&self, by: TimeDelta) {
        let by_us = by.num_microseconds().unwrap_or_default();
        self.offset_us.fetch_add(by_us, Ordering::SeqCst);
    }

    /// How far this clock was moved ahead of the machine's, in microseconds: 0 outside tests.
    pub fn offset_us(&self) -> i64 {
        self.offset_us.load(Ordering::SeqCst)
    }
}

/// `2026-05-01T10:00:00.000Z`, the only form in which the services show an instant.
pub fn rfc3339(instant: Timestamp) -> String {
    instant.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Whole seconds of a time that is left, rounded up; 0 when it is over.
pub fn whole_seconds(left: TimeDelta) -> i64 {
    let left_us = left.num_microseconds().unwrap_or(i64::MAX).max(0);
    left_us.saturating_add(999_999) / 1_000_000
}

/// For `#[serde(with = "chassis::time::wire")]`: RFC 3339 with milliseconds.
pub mod wire {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Timestamp, rfc3339};

    /// Writes an instant.
    pub fn serialize<S: Serializer>(instant: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&rfc3339(*instant))
    }

    /// Reads an instant; any RFC 3339 offset is accepted.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(from)
    }
}

/// For `#[serde(with = "chassis::time::wire_option")]`: the same, or `null`.
pub mod wire_option {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Timestamp, rfc3339};

    /// Writes an instant or `null`.
    pub fn serialize<S: Serializer>(instant: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => to.serialize_str(&rfc3339(*instant)),
            None => to.serialize_none(),
        }
    }

    /// Reads an instant or `null`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Option::<Timestamp>::deserialize(from)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Clock, rfc3339};

    #[test]
    fn a_clone_of_a_clock_moves_with_it() {
        let clock = Clock::system();
        let twin = clock.clone();
        let before = clock.now();
        clock.advance(Duration::from_secs(300));
        assert!(twin.now() - before >= chrono::TimeDelta::seconds(300));
    }

    #[test]
    fn a_stopped_clock_moves_only_when_it_is_told() {
        let instant = chrono::DateTime::from_timestamp_micros(1_777_629_600_000_001);
        let clock = Clock::stopped_at(instant.expect("in range"));
        assert_eq!(Some(clock.now()), instant);
        clock.advance(Duration::from_micros(1));
        assert_eq!(clock.now().timestamp_micros(), 1_777_629_600_000_002);
    }

    #[test]
    fn a_clock_that_follows_a_store_tells_its_time_and_is_not_moved_by_a_slow_answer() {
        let (clock, truth) = (Clock::wrong_by(40_000_000), Clock::system());
        let asked = clock.machine_now();
        clock.follow(truth.now(), asked);
        let difference = (clock.now() - truth.now()).num_milliseconds();
        assert!(difference.abs() < 20_000, "{difference}");
        assert!((clock.skew_us() - 40_000_000).abs() < 20_000_000);
        let (skew_us, long_ago) = (clock.skew_us(), asked - chrono::TimeDelta::seconds(90));
        // Told a second ago, or up to 90 s before: what is known lies within.
        clock.follow(truth.now() - chrono::TimeDelta::seconds(1), long_ago);
        assert_eq!(clock.skew_us(), skew_us, "as good as any in that range");
    }

    #[test]
    fn an_instant_is_shown_with_milliseconds_and_a_z() {
        let instant = chrono::DateTime::from_timestamp_millis(1_777_629_600_000).expect("in range");
        assert_eq!(rfc3339(instant), "2026-05-01T10:00:00.000Z");
    }
}
