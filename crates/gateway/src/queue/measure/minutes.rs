//! Owns what is kept of each minute of a queue, for the page about a sale that is over: thirty days
//! in one hash.
//!
//! A minute is written by `HSETNX`, so of many gateways one does, and the others change nothing. Totals
//! are of one life of the queue; a reader takes differences. Beside it stand the sums of what all gateways
//! counted in it. Two fields for each of 43,200 minutes are the most that the hash has.

use chassis::time::Timestamp;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::sums::{self, Sums};
use crate::queue::{Queue, QueueError, StoreError};

/// Minutes that are kept: thirty days.
const KEPT: i64 = 30 * 24 * 60;
/// Older ones that are dropped with each that is written: as many as may have been missed.
const DROPPED: i64 = 60;
/// Minutes of one answer: a day.
pub const MOST_MINUTES: i64 = 24 * 60;
const MINUTE_S: i64 = 60;

/// A queue as it was in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Minute {
    /// Which life of the queue.
    pub epoch: u64,
    /// Visitors in line.
    pub waiting: u64,
    /// Visitors inside.
    pub active: u64,
    /// Visitors away whose turn came; their places are kept.
    pub parked: u64,
    /// Visitors who joined in this life.
    pub joined: u64,
    /// Visitors let in in this life.
    pub admitted: u64,
    /// Visitors let in in this life who did not show up.
    pub no_shows: u64,
    /// Visitors in line who were away at their turn and are here again.
    #[serde(default)]
    pub returned: u64,
    /// Visitors who bought in this life.
    #[serde(default)]
    pub bought: u64,
    /// What was left to sell, where that is known.
    #[serde(default)]
    pub remaining: Option<u64>,
}

impl Queue {
    /// Step: keeps the minute of `now`, unless it is kept already. Says whether this call did.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn keep_minute(&self, now: Timestamp) -> Result<bool, QueueError> {
        let snapshot = self.snapshot();
        let minute = Minute {
            epoch: snapshot.epoch,
            waiting: snapshot.waiting,
            active: snapshot.active,
            parked: snapshot.parked,
            joined: snapshot.joined,
            admitted: snapshot.admitted,
            no_shows: snapshot.no_shows,
            returned: snapshot.returned,
            bought: snapshot.bought,
            remaining: snapshot.remaining,
        };
        let json = serde_json::to_string(&minute);
        let json = json.map_err(|_| StoreError::Odd("a minute that is no JSON"))?;
        let (key, number) = (&self.entry.keys.minutes, number_of(now));
        let mut keep = redis::cmd("HSETNX");
        if !self
            .store()
            .command::<bool>(keep.arg(key).arg(number).arg(json))
            .await?
        {
            return Ok(false);
        }
        let mut drop_old = redis::cmd("HDEL");
        drop_old.arg(key);
        for age in 0..DROPPED {
            let old = number - KEPT - age;
            drop_old.arg(old).arg(sums::field(old));
        }
        let _: i64 = self.store().command(&drop_old).await?;
        let mut end = redis::cmd("EXPIRE");
        let _: i64 = self
            .store()
            .command(end.arg(key).arg(KEPT * MINUTE_S))
            .await?;
        Ok(true)
    }

    /// The minutes from `from` on that were kept, oldest first; `count` of them are looked at.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn minutes(
        &self,
        from: Timestamp,
        count: i64,
    ) -> Result<Vec<(Timestamp, Minute, Sums)>, QueueError> {
        let first = number_of(from);
        let mut asked = redis::cmd("HMGET");
        asked.arg(&self.entry.keys.minutes);
        let count = count.clamp(1, MOST_MINUTES);
        for number in first..first + count {
            asked.arg(number).arg(sums::field(number));
        }
        let found: Vec<Option<String>> = self.store().command(&asked).await?;
        let read = |(number, pair): (i64, &[Option<String>])| {
            let [json, sums] = pair else { return None };
            let minute: Minute = serde_json::from_str(json.as_ref()?).ok()?;
            let at = Timestamp::from_timestamp(number * MINUTE_S, 0)?;
            Some((at, minute, Sums::read(sums.as_deref())))
        };
        Ok((first..).zip(found.chunks(2)).filter_map(read).collect())
    }
}

/// The number of the minute since 1970.
pub(super) fn number_of(instant: Timestamp) -> i64 {
    instant.timestamp().div_euclid(MINUTE_S)
}

/// The first instant of the last `count` minutes.
pub fn last_minutes(now: Timestamp, count: i64) -> Timestamp {
    now - TimeDelta::minutes(count.clamp(1, MOST_MINUTES) - 1)
}
