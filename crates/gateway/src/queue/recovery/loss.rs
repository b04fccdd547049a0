//! Owns how a gateway notices that Redis lost a line, and what it puts back.
//!
//! Each gateway counts what it wrote in a pulse of its own beside the line, and remembers the last one that
//! Redis confirmed. Every script compares the two, so a Redis that came back empty, older, from a history that
//! was given up, or with the line of somebody else is known by the first call that would be wrong. The
//! visits that this gateway saw end lately are told to each new life before anybody is brought back to it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::queue::lottery::draw::Draw;
use crate::queue::queues::{QueueEntry, Queues};
use crate::queue::snapshot::{self, QueueLookup};
use crate::queue::store::reply::Reply;
use crate::queue::store::script::{self, Priority};
use crate::queue::{Queue, QueueError, QueueId, Snapshot, StoreError, Ticket, UserId};

/// How many times a lost queue is read again after it was put back.
const REVIVE_TRIES: usize = 3;
/// For how long an end is remembered.
const ENDS_KEPT_MS: u64 = 600_000;
/// Ends that are remembered, of all queues; about 6 MB.
const MOST_ENDS: usize = 100_000;
/// Ends that one script takes: it stands in the way of others for about two milliseconds.
const BATCH: usize = 250;

/// What was found in place of a queue that was lost, as it is counted.
pub const LOSSES: [&str; 4] = ["empty", "older", "another", "alive"];

/// What this gateway knows to be written of one line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::queue) struct Known {
    /// Which life of the queue; 0 while nothing is known.
    pub epoch: u64,
    /// Its first life.
    pub born: u64,
    /// The last write of this gateway that Redis confirmed in this life.
    pub pulse: u64,
}

/// What is remembered of one line in case that Redis loses it.
#[derive(Default)]
pub(in crate::queue) struct Memory {
    known: Mutex<Known>,
    /// The life that knows the ends which this gateway saw before it.
    told: AtomicU64,
    telling: tokio::sync::Mutex<()>,
}

impl Memory {
    /// What is known now.
    pub fn known(&self) -> Known {
        *self.lock()
    }

    /// A snapshot said of which life it is.
    pub fn learn(&self, seen: &Snapshot) {
        let mut known = self.lock();
        if seen.epoch > known.epoch {
            if known.epoch == 0 {
                // Before this gateway knew the queue it saw nothing end.
                self.told.store(seen.epoch, Ordering::Relaxed);
            }
            *known = Known {
                epoch: seen.epoch,
                born: seen.born,
                pulse: 0,
            };
        } else if seen.epoch == known.epoch {
            known.born = seen.born;
        }
    }

    /// Redis confirmed a write. What it confirmed of an older life is nothing any more.
    pub fn confirm(&self, reply: &Reply) -> Result<(), StoreError> {
        let (epoch, pulse): (u64, u64) = (reply.get("epoch")?, reply.get("pulse")?);
        let mut known = self.lock();
        if epoch == known.epoch {
            known.pulse = known.pulse.max(pulse);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A visit that is over.
struct End {
    at_ms: u64,
    queue: QueueId,
    user: UserId,
    number: u64,
}

/// The visits that this gateway saw end lately, oldest first.
#[derive(Default)]
pub(in crate::queue) struct Ends(Mutex<VecDeque<End>>);

impl Ends {
    /// Remembers an end; the oldest are forgotten.
    pub fn note(&self, queue: &QueueId, user: UserId, number: u64, now_ms: u64) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |end: &End| end.at_ms + ENDS_KEPT_MS < now_ms;
        while ends.len() >= MOST_ENDS || ends.front().is_some_and(is_old) {
            ends.pop_front();
        }
        ends.push_back(End {
            at_ms: now_ms,
            queue: queue.clone(),
            user,
            number,
        });
    }

    fn of(&self, queue: &QueueId, now_ms: u64) -> Vec<(UserId, u64)> {
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |end: &&End| end.queue == *queue && end.at_ms + ENDS_KEPT_MS >= now_ms;
        let ends = ends.iter().filter(lately);
        ends.map(|end| (end.user, end.number)).collect()
    }
}

impl Queues {
    /// Reads a remembered queue again and puts back what Redis lost of it.
    ///
    /// # Errors
    /// `Unknown`: an operator removed it, and it is forgotten here too.
    pub(in crate::queue) async fn revive(
        &self,
        entry: &Arc<QueueEntry>,
        priority: Priority,
    ) -> Result<(), QueueError> {
        for _ in 0..REVIVE_TRIES {
            let known = entry.snapshot();
            if let QueueLookup::Present(seen) = self.lookup_known(entry, priority).await?
                && seen.continues(&known)
            {
                let epoch = seen.epoch;
                entry.show(*seen);
                return self.tell_ends(entry, epoch, priority).await;
            }
            if self.put_back(entry, &known, priority).await?.verdict() == "removed" {
                return self.accept(entry, priority).await;
            }
        }
        Err(StoreError::Odd("a queue that vanishes again and again").into())
    }

    /// What Redis says of a queue that this gateway remembers.
    pub(in crate::queue) async fn lookup_known(
        &self,
        entry: &QueueEntry,
        priority: Priority,
    ) -> Result<QueueLookup, StoreError> {
        let call = self.store().call_knowing(&script::SNAPSHOT, entry);
        self.store().run(priority, &call).await
    }

    /// Tells this life of the queue which visits were seen to end before it, once.
    ///
    /// It is called before visits are brought back, and returns when it is done, here or by another task.
    ///
    /// # Errors
    /// `StoreUnavailable`: nobody may be brought back now.
    pub(in crate::queue) async fn tell_ends(
        &self,
        entry: &QueueEntry,
        epoch: u64,
        priority: Priority,
    ) -> Result<(), QueueError> {
        let memory = &entry.memory;
        if memory.told.load(Ordering::Acquire) >= epoch {
            return Ok(());
        }
        let _alone = memory.telling.lock().await;
        if memory.told.load(Ordering::Acquire) >= epoch {
            return Ok(());
        }
        for batch in self
            .ends()
            .of(&entry.id, self.store().now_ms())
            .chunks(BATCH)
        {
            let mut call = self.store().call_knowing(&script::OVER, entry);
            for (user, number) in batch {
                call.arg(user.member()).arg(*number);
            }
            let _: Reply = self.store().run(priority, &call).await?;
        }
        memory.told.fetch_max(epoch, Ordering::AcqRel);
        Ok(())
    }

    /// This gateway saw a visit end.
    pub(in crate::queue) fn note_end(&self, queue: &QueueId, ticket: &Ticket) {
        let now_ms = self.store().now_ms();
        self.ends().note(queue, ticket.user, ticket.number, now_ms);
    }

    /// An operator ended the queue that is remembered; what counts is what is there now.
    async fn accept(&self, entry: &Arc<QueueEntry>, priority: Priority) -> Result<(), QueueError> {
        match self.lookup(&entry.keys, priority).await? {
            QueueLookup::Present(seen) => {
                entry.show(*seen);
                Ok(())
            }
            QueueLookup::Removed(_) | QueueLookup::Gone => {
                self.forget(&entry.id);
                Err(QueueError::Unknown)
            }
        }
    }

    async fn put_back(
        &self,
        entry: &QueueEntry,
        known: &Snapshot,
        priority: Priority,
    ) -> Result<Reply, QueueError> {
        let recovery_us = u64::try_from(self.recovery().as_micros()).unwrap_or(0);
        let mut call = self.store().call_knowing(&script::REVIVE, entry);
        call.arg(known.version)
            .arg(known.last_ticket)
            .arg(recovery_us);
        let draw = known.draw.as_ref();
        call.arg(draw.map_or_else(String::new, Draw::remembered));
        call.arg(draw.map_or(0, |draw| draw.last_ticket));
        call.arg(draw.map_or(0, |draw| draw.entrants));
        call.arg(r#""a gateway that remembered it""#);
        call.arg(snapshot::stored(&known.policy)?);
        let reply: Reply = self.store().run(priority, &call).await?;
        if reply.verdict() == "revived" {
            self.report_loss(&entry.id, &reply.get::<String>("was")?);
        }
        Ok(reply)
    }

    fn report_loss(&self, queue: &QueueId, was: &str) {
        let found = match was {
            "empty" => "was lost in redis",
            "older" => "is older in redis than this gateway knows it",
            "another" => "is another one in redis than this gateway knows",
            _ => "has older rules in redis than this gateway knows",
        };
        log::warn!("queue {queue} {found}, and is put back");
        self.metrics().losses.with_label_values(&[was]).inc();
    }
}

impl Queue {
    /// What a script ended beside what it was asked for: these visits must not come back after a loss.
    pub(in crate::queue) fn note_over(&self, reply: &Reply) -> Result<(), StoreError> {
        let over: Vec<(Vec<u8>, u64)> = reply.get_or_default("over")?;
        for (member, number) in over {
            if let Some(user) = UserId::from_member(&member) {
                let ends = self.queues.ends();
                ends.note(self.id(), user, number, self.store().now_ms());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{ENDS_KEPT_MS, Ends, MOST_ENDS, UserId};

    #[test]
    fn ends_are_remembered_for_ten_minutes_and_only_so_many() {
        let (main, other) = (
            "main".parse().expect("a name"),
            "other".parse().expect("a name"),
        );
        let user = UserId(Uuid::from_u128(1));
        let ends = Ends::default();
        ends.note(&main, user, 1, 1_000);
        ends.note(&other, user, 2, 2_000);
        assert_eq!(ends.of(&main, 1_000 + ENDS_KEPT_MS), [(user, 1)]);
        assert_eq!(ends.of(&main, 1_001 + ENDS_KEPT_MS), []);
        for number in 3..=u64::try_from(MOST_ENDS).expect("a small number") + 3 {
            ends.note(&main, user, number, 3_000);
        }
        let kept = ends.of(&main, 3_000);
        assert_eq!(
            (kept.len(), kept[0].1),
            (MOST_ENDS, 4),
            "the oldest gave way"
        );
    }
}
