//! Owns what is counted of each minute of a queue: waits of those who were let in, answers of the service
//! behind, promises.
//!
//! Each gateway counts for itself and adds its counts to those of the others every other second, in a
//! batch of one minute. A batch is sent again until Redis has said that it was added, and the script adds
//! it once; so what happened while Redis was away is not lost, for an hour at most, and nothing is counted
//! twice. A count may stand in the minute after, if it came in the last two seconds.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chassis::redis::Script;
use chassis::time::Timestamp;

use super::buckets::{BUCKETS, Buckets};
use super::minutes::number_of;
use crate::queue::{Queue, QueueError};

static SUMS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("sums.lua")));

/// Minutes that a gateway keeps while Redis is away. Older ones are dropped.
const PENDING: usize = 60;
/// For how long Redis remembers a batch, in seconds: longer than a gateway sends it.
const BATCH_KEPT_S: u64 = 2 * 60 * 60;

// The places of counts. Gateways of two releases add to the same sums: a place never changes its meaning.
const ANSWERED: usize = 0;
const FAILED: usize = 1;
const PROMISES: usize = 2;
const PROMISES_KEPT: usize = 3;
const WAITS: usize = 4;
const FIRST_BYTES: usize = WAITS + BUCKETS;
const PLACES: usize = FIRST_BYTES + BUCKETS;

/// What all gateways counted of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums([u64; PLACES]);

/// What this gateway counted and Redis has not said to have.
#[derive(Debug)]
pub(in crate::queue) struct Counted {
    now: [AtomicU64; PLACES],
    /// Oldest first; only the first may have been sent.
    pending: tokio::sync::Mutex<VecDeque<Batch>>,
}

#[derive(Debug)]
struct Batch {
    /// The script knows it again by this.
    number: u64,
    /// The first instant by which it was counted.
    at: Timestamp,
    counts: [u64; PLACES],
    is_sent: bool,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            now: [const { AtomicU64::new(0) }; PLACES],
            pending: tokio::sync::Mutex::default(),
        }
    }
}

impl Counted {
    /// Somebody was let in who had waited so long.
    pub fn waited(&self, seconds: f64) {
        self.add(WAITS + Buckets::index(seconds), 1);
    }

    /// The service behind answered, or did not; `took` is the time to the first byte, where that is known.
    pub fn answered(&self, took: Option<Duration>, is_failure: bool) {
        self.add(ANSWERED, 1);
        if is_failure {
            self.add(FAILED, 1);
        }
        if let Some(took) = took {
            let ms = took.as_secs_f64() * 1_000.0;
            self.add(FIRST_BYTES + Buckets::index(ms), 1);
        }
    }

    fn add(&self, place: usize, count: u64) {
        self.now[place].fetch_add(count, Ordering::Relaxed);
    }

    /// What was counted since the last call, if anything was.
    fn take(&self) -> Option<[u64; PLACES]> {
        let counts = std::array::from_fn(|at| self.now[at].swap(0, Ordering::Relaxed));
        (counts != [0; PLACES]).then_some(counts)
    }
}

impl Sums {
    /// Requests of visitors that the service behind answered, or did not.
    pub fn answered(&self) -> u64 {
        self.0[ANSWERED]
    }

    /// Those of them with a 5xx, or without an answer.
    pub fn failed(&self) -> u64 {
        self.0[FAILED]
    }

    /// Ends of the time that visitors were told, which came: all, and those that were kept.
    pub fn promises(&self) -> (u64, u64) {
        (self.0[PROMISES], self.0[PROMISES_KEPT])
    }

    /// How long those who were let in had waited, in seconds.
    pub fn waits(&self) -> Buckets {
        self.buckets(WAITS)
    }

    /// From the end of a request to the first byte of its answer, in ms.
    pub fn first_bytes(&self) -> Buckets {
        self.buckets(FIRST_BYTES)
    }

    fn buckets(&self, from: usize) -> Buckets {
        Buckets::new(std::array::from_fn(|at| self.0[from + at]))
    }

    /// As the script packs them; places of a later release are left out.
    pub(super) fn read(packed: Option<&str>) -> Self {
        let mut sums = [0; PLACES];
        for part in packed.unwrap_or_default().split(' ') {
            let read = part.split_once(':').and_then(|(place, sum)| {
                let place: usize = place.parse().ok()?;
                Some((sums.get_mut(place)?, sum.parse().ok()?))
            });
            if let Some((place, sum)) = read {
                *place = sum;
            }
        }
        Self(sums)
    }
}

/// The field of a minute's sums, beside that of the minute itself.
pub(super) fn field(minute: i64) -> String {
    format!("s{minute}")
}

impl Queue {
    /// A ticket number is the instant of joining in µs, so the time that somebody waited follows from it.
    pub(in crate::queue) fn note_admission(&self, at_us: u64, entered: &[(Vec<u8>, u64)]) {
        for (_, ticket) in entered {
            let waited_s = at_us.saturating_sub(*ticket) as f64 / 1e6;
            self.entry.admission_wait.observe(waited_s);
            self.entry.counted.waited(waited_s);
        }
        let now_ms = self.store().now_ms();
        self.entry
            .admission_ran_at_ms
            .store(now_ms, Ordering::Relaxed);
    }

    /// Promises of visitors of this gateway came to their end: so many, and so many were kept.
    pub fn count_promises(&self, (all, kept): (u64, u64)) {
        self.entry.counted.add(PROMISES, all);
        self.entry.counted.add(PROMISES_KEPT, kept);
    }

    /// Step: adds what was counted here to the sums of the minute of `now`.
    ///
    /// # Errors
    /// `StoreUnavailable`: what could not be added is sent again by the next step.
    pub async fn add_sums(&self, now: Timestamp) -> Result<(), QueueError> {
        let mut pending = self.entry.counted.pending.lock().await;
        if let Some(counts) = self.entry.counted.take() {
            collect(&mut pending, now, counts);
        }
        while let Some(batch) = pending.front_mut() {
            batch.is_sent = true;
            self.add_batch(batch).await?;
            pending.pop_front();
        }
        Ok(())
    }

    async fn add_batch(&self, batch: &Batch) -> Result<(), QueueError> {
        // So that the sums of a minute are never without the minute.
        self.keep_minute(batch.at).await?;
        let (keys, store) = (&self.entry.keys, self.store());
        let mut call = SUMS.call();
        call.key(&keys.minutes).key(keys.batch(store.gateway()));
        call.arg(field(number_of(batch.at))).arg(batch.number);
        call.arg(BATCH_KEPT_S);
        let counted = batch.counts.iter().enumerate();
        for (place, count) in counted.filter(|(_, count)| **count > 0) {
            call.arg(place).arg(count);
        }
        let _: bool = store.run_alone(&call).await?;
        Ok(())
    }
}

/// A batch that was sent may have been added already, so nothing more is put into it.
fn collect(pending: &mut VecDeque<Batch>, at: Timestamp, counts: [u64; PLACES]) {
    let is_of_now = |it: &&mut Batch| !it.is_sent && number_of(it.at) == number_of(at);
    if let Some(batch) = pending.back_mut().filter(is_of_now) {
        for (sum, count) in batch.counts.iter_mut().zip(counts) {
            *sum += count;
        }
        return;
    }
    if pending.len() == PENDING {
        pending.pop_front();
    }
    pending.push_back(Batch {
        number: rand::random(),
        at,
        counts,
        is_sent: false,
    });
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use chassis::time::Timestamp;
    use chrono::TimeDelta;

    use super::{ANSWERED, PENDING, PLACES, Sums, collect};

    #[test]
    fn sums_are_read_as_they_are_packed_and_places_of_a_later_release_are_left_out() {
        let sums = Sums::read(Some("0:12 1:2 4:3 10:1 9999:5"));
        assert_eq!((sums.answered(), sums.failed()), (12, 2));
        let waits: Vec<_> = sums.waits().counts().collect();
        assert_eq!(waits, [(Some(1), 3), (Some(12), 1)]);
        assert_eq!(Sums::read(None).answered(), 0);
    }

    #[test]
    fn nothing_is_put_into_a_batch_that_was_sent_and_the_oldest_minutes_go_first() {
        let mut pending = VecDeque::new();
        let mut counts = [0; PLACES];
        counts[ANSWERED] = 1;
        let at = |minutes| Timestamp::default() + TimeDelta::minutes(minutes);
        collect(&mut pending, at(0), counts);
        collect(&mut pending, at(0), counts);
        assert_eq!((pending.len(), pending[0].counts[ANSWERED]), (1, 2));
        pending[0].is_sent = true;
        collect(&mut pending, at(0), counts);
        assert_eq!((pending.len(), pending[0].counts[ANSWERED]), (2, 2));
        for minute in 1..=60 {
            collect(&mut pending, at(minute), counts);
        }
        assert_eq!((pending.len(), pending[0].at), (PENDING, at(1)));
    }
}
