//! Owns what everybody may see of how fair a queue is: whether more were let in than the rules allow,
//! and how often the time that was told was kept.
//!
//! Cap and rate are watched from outside the scripts, once a second, by what a snapshot says: a second
//! opinion on them. A promise is the end of the first range that a visitor was told; it is kept when
//! they see themselves inside by then, at the latest with the next look that they were told to take.
//! Bounded: of a crowd some thousands of promises are followed.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chassis::time::Timestamp;
use chrono::TimeDelta;

use crate::queue::policy::State;
use crate::queue::{Queue, QueueId, Snapshot, Ticket};

/// Promises that are followed at the same time, of all queues; 8 bytes each.
const FOLLOWED: usize = 1 << 15;
/// A promise that nobody looked at for so long after its end is given up, in seconds.
const GIVEN_UP_S: u64 = 600;
/// What is told of overshoots.
const WINDOW: TimeDelta = TimeDelta::seconds(60);

/// What one gateway watches of all queues.
pub struct Fairness {
    queues: Mutex<HashMap<QueueId, Watched>>,
    promises: Box<[AtomicU64]>,
}

/// What is told of one queue, beside its counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FairnessCounts {
    /// Most visitors inside beyond the cap after somebody was let in, in the last minute.
    pub cap_overshoot: u64,
    /// Visitors let in beyond the rate in the last minute.
    pub rate_overshoot: u64,
    /// Promises whose end has come.
    pub promises: u64,
    /// Those that were kept.
    pub promises_kept: u64,
}

#[derive(Default)]
struct Watched {
    last: Option<Sample>,
    /// What the token bucket may hold at most, by what was seen.
    level: f64,
    overshoots: VecDeque<(Timestamp, u64, u64)>,
    promises: u64,
    promises_kept: u64,
    /// Counted here and not yet shared with the other gateways.
    unshared: (u64, u64),
}

/// What of a snapshot is compared with the next one.
#[derive(Clone, Copy, PartialEq)]
struct Sample {
    at: Timestamp,
    life: (u64, u64),
    state: State,
    admitted: u64,
    rate: f64,
}

/// The end of the range that a visitor was told, in one word of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Promise {
    /// Whose it is: 20 bits, never 0.
    tag: u64,
    /// In seconds since 1970.
    end_s: u64,
    /// Until when the visitor looks again, in seconds.
    pause_s: u64,
    /// It was counted already.
    is_done: bool,
}

impl Promise {
    const MOST_PAUSE_S: u64 = (1 << 11) - 1;

    fn done(tag: u64, now_s: u64) -> Self {
        Self {
            tag,
            end_s: now_s,
            pause_s: 0,
            is_done: true,
        }
    }

    fn read(word: u64) -> Option<Self> {
        (word != 0).then_some(Self {
            tag: word >> 44,
            pause_s: word >> 33 & Self::MOST_PAUSE_S,
            is_done: word >> 32 & 1 == 1,
            end_s: word & u64::from(u32::MAX),
        })
    }

    fn written(self) -> u64 {
        let pause_s = self.pause_s.min(Self::MOST_PAUSE_S);
        let end_s = self.end_s & u64::from(u32::MAX);
        self.tag << 44 | pause_s << 33 | u64::from(self.is_done) << 32 | end_s
    }

    /// A visitor who is let in sees it with the next look.
    fn is_broken_at(&self, now_s: u64) -> bool {
        !self.is_done && now_s > self.end_s + self.pause_s
    }
}

/// Whether nobody else changed the slot meanwhile.
fn swap(slot: &AtomicU64, kept: u64, next: u64) -> bool {
    let order = Ordering::Relaxed;
    slot.compare_exchange(kept, next, order, order).is_ok()
}

fn seconds(instant: Timestamp) -> u64 {
    u64::try_from(instant.timestamp()).unwrap_or(0)
}

impl Default for Fairness {
    fn default() -> Self {
        Self {
            queues: Mutex::default(),
            promises: (0..FOLLOWED).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Fairness {
    /// Step: compares a snapshot with the one before.
    pub fn observe(&self, id: &QueueId, seen: &Snapshot) {
        let mut queues = self.queues();
        let watched = queues.entry(id.clone()).or_default();
        watched.observe(seen);
    }

    /// Lets go of queues that are gone.
    pub fn retain(&self, queues: &[Queue]) {
        self.queues()
            .retain(|id, _| queues.iter().any(|queue| queue.id() == id));
    }

    /// What is told of a queue.
    pub fn of(&self, id: &QueueId) -> FairnessCounts {
        let queues = self.queues();
        let Some(watched) = queues.get(id) else {
            return FairnessCounts::default();
        };
        let most = |of: fn(&(Timestamp, u64, u64)) -> u64| watched.overshoots.iter().map(of);
        FairnessCounts {
            cap_overshoot: most(|it| it.1).max().unwrap_or(0),
            rate_overshoot: most(|it| it.2).sum(),
            promises: watched.promises,
            promises_kept: watched.promises_kept,
        }
    }

    /// Promises of a queue that were counted here since the last call: all, and kept.
    pub fn unshared(&self, id: &QueueId) -> (u64, u64) {
        let mut queues = self.queues();
        queues
            .get_mut(id)
            .map_or((0, 0), |it| std::mem::take(&mut it.unshared))
    }

    /// The promises of all gateways.
    pub fn share(&self, id: &QueueId, (promises, kept): (u64, u64)) {
        if let Some(watched) = self.queues().get_mut(id) {
            (watched.promises, watched.promises_kept) = (promises, kept);
        }
    }

    /// A visitor who waits is told that it takes `latest_s` at most, and to look again after `pause_s`.
    pub fn promised(
        &self,
        queue: &QueueId,
        ticket: &Ticket,
        (latest_s, pause_s): (u64, u64),
        now: Timestamp,
    ) {
        let now_s = seconds(now);
        let (slot, tag) = self.slot(ticket);
        let kept = slot.load(Ordering::Relaxed);
        let promise = Promise::read(kept);
        match promise {
            Some(promise) if promise.tag == tag => {
                if promise.is_broken_at(now_s)
                    && swap(slot, kept, Promise::done(tag, now_s).written())
                {
                    self.count(queue, false);
                } else if !promise.is_done {
                    let next = Promise { pause_s, ..promise };
                    swap(slot, kept, next.written());
                }
            }
            Some(other) if now_s < other.end_s + GIVEN_UP_S => {}
            _ => {
                let promise = Promise {
                    tag,
                    end_s: now_s + latest_s,
                    pause_s,
                    is_done: false,
                };
                swap(slot, kept, promise.written());
            }
        }
    }

    /// A visitor sees that they are inside.
    pub fn arrived(&self, queue: &QueueId, ticket: &Ticket, now: Timestamp) {
        let (slot, tag) = self.slot(ticket);
        let kept = slot.load(Ordering::Relaxed);
        let Some(promise) = Promise::read(kept).filter(|it| it.tag == tag) else {
            return;
        };
        // Only one of several looks at the same time counts.
        if swap(slot, kept, 0) && !promise.is_done {
            self.count(queue, !promise.is_broken_at(seconds(now)));
        }
    }

    fn count(&self, queue: &QueueId, is_kept: bool) {
        let mut queues = self.queues();
        let watched = queues.entry(queue.clone()).or_default();
        let kept = u64::from(is_kept);
        watched.promises += 1;
        watched.promises_kept += kept;
        watched.unshared = (watched.unshared.0 + 1, watched.unshared.1 + kept);
    }

    fn slot(&self, ticket: &Ticket) -> (&AtomicU64, u64) {
        let (high, low) = ticket.user.0.as_u64_pair();
        let mixed = high ^ low.rotate_left(32) ^ ticket.number;
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = mixed ^ mixed >> 32;
        let tag = (mixed >> 44).max(1);
        (&self.promises[mixed as usize % FOLLOWED], tag)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<QueueId, Watched>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// A visitor is let in only with fewer inside than the cap, and a token in the bucket. So after a time in
    /// which the rules were the same and somebody was let in no more than the cap are inside, and no
    /// more came than a full bucket and the time brought.
    fn observe(&mut self, seen: &Snapshot) {
        let now = Sample {
            at: seen.at,
            life: (seen.epoch, seen.version),
            state: seen.state,
            admitted: seen.admitted,
            rate: seen.admit_per_second,
        };
        let before = self.last.replace(now);
        // A rate that is found may have fallen just now.
        let rate = before.map_or(now.rate, |it| it.rate.max(now.rate));
        let size = rate.max(1.0);
        let same = before.filter(|it| (it.life, it.state) == (now.life, now.state));
        let Some(before) = same.filter(|it| now.state == State::Open && it.at <= now.at) else {
            self.level = size;
            return;
        };
        let entered = now.admitted.saturating_sub(before.admitted);
        let passed_s = (now.at - before.at).num_microseconds().unwrap_or(0) as f64 / 1e6;
        // Nobody knows when in this time they came; so what came in and went out is not capped before.
        self.level += passed_s * rate - entered as f64;
        let beyond_rate = (-self.level).max(0.0).floor() as u64;
        self.level = self.level.clamp(0.0, size);
        let beyond_cap = if entered > 0 {
            seen.active
                .saturating_sub(u64::from(seen.policy.max_active))
        } else {
            0
        };
        self.overshoots.retain(|(at, _, _)| now.at - *at < WINDOW);
        if beyond_cap > 0 || beyond_rate > 0 {
            self.overshoots.push_back((now.at, beyond_cap, beyond_rate));
        }
    }
}

#[cfg(test)]
mod tests {
    use chassis::time::Timestamp;
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::{Fairness, Promise};
    use crate::queue::{QueueId, Ticket, UserId};

    fn ticket(user: u128) -> Ticket {
        Ticket {
            user: UserId(Uuid::from_u128(user)),
            number: 7,
            epoch: 1,
        }
    }

    #[test]
    fn a_promise_is_kept_by_its_end_and_the_next_look_and_broken_after_that() {
        let fairness = Fairness::default();
        let queue: QueueId = "main".parse().expect("a name");
        let at = |s: i64| Timestamp::default() + TimeDelta::seconds(1_000 + s);
        let (one, two, three) = (ticket(1), ticket(2), ticket(3));
        for visitor in [&one, &two, &three] {
            fairness.promised(&queue, visitor, (60, 5), at(0));
        }
        fairness.promised(&queue, &one, (500, 10), at(30));
        fairness.arrived(&queue, &one, at(70));
        fairness.arrived(&queue, &one, at(71));
        fairness.arrived(&queue, &two, at(66));
        fairness.promised(&queue, &three, (60, 5), at(66));
        fairness.promised(&queue, &three, (60, 5), at(200));
        fairness.arrived(&queue, &three, at(201));
        let told = fairness.of(&queue);
        assert_eq!((told.promises, told.promises_kept), (3, 1));
        assert_eq!(fairness.unshared(&queue), (3, 1));
        assert_eq!(fairness.unshared(&queue), (0, 0));
    }

    #[test]
    fn a_promise_fits_into_a_word() {
        let promise = Promise {
            tag: (1 << 20) - 1,
            end_s: u64::from(u32::MAX) - 5,
            pause_s: 2_047,
            is_done: true,
        };
        assert_eq!(Promise::read(promise.written()), Some(promise));
        assert_eq!(Promise::read(0), None);
    }
}
