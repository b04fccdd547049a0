//! Owns who is there: the record of those whose turn may come soon, and polls that come too early.
//!
//! The record is in Redis, bounded, and is what admission parks the absent by (`lanes.lua`). Early
//! polls are counted by each gateway for itself in a fixed piece of memory: a visitor who comes
//! too early at two gateways in turn is not seen, which is enough to see a client that hammers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::queue::store::reply::Reply;
use crate::queue::store::script::{self, Call, Priority, Verb};
use crate::queue::{Queue, QueueError, Ticket, eta};

/// Visits that one script records: it stands in the way of others for about a millisecond.
const BATCH: usize = 200;
/// Visits of which an instant is remembered; 8 bytes each. Of two that fall together the later counts.
const REMEMBERED: usize = 1 << 15;
/// A poll so much before its time, in ms, is still in time: clocks and networks are not exact.
const TOLERANCE_MS: u64 = 250;

/// An instant for each of many visits, of all queues of one gateway: lossy, in bounded memory.
pub(in crate::queue) struct PollTimes(Box<[AtomicU64]>);

impl Default for PollTimes {
    fn default() -> Self {
        Self((0..REMEMBERED).map(|_| AtomicU64::new(0)).collect())
    }
}

impl PollTimes {
    /// Whether the mark of this visit lies after `now_ms`.
    pub fn is_ahead(&self, ticket: &Ticket, now_ms: u64) -> bool {
        let (cell, tag) = self.cell(ticket);
        is_ahead(cell.load(Ordering::Relaxed), tag, now_ms)
    }

    /// Sets the mark of this visit; whether the one before lies after `now_ms`.
    pub fn set(&self, ticket: &Ticket, now_ms: u64, mark_ms: u64) -> bool {
        let (cell, tag) = self.cell(ticket);
        let mark = tag | u64::from(mark_ms as u32);
        is_ahead(cell.swap(mark, Ordering::Relaxed), tag, now_ms)
    }

    /// The cell of a visit, and the upper half of what is in it if it is this visit's.
    fn cell(&self, ticket: &Ticket) -> (&AtomicU64, u64) {
        let (high, low) = ticket.user.0.as_u64_pair();
        let mixed = high ^ low.rotate_left(32) ^ ticket.number;
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = mixed ^ mixed >> 32;
        let cell = &self.0[mixed as usize % REMEMBERED];
        (cell, mixed & !u64::from(u32::MAX))
    }
}

/// The lower half of a cell is an instant in ms, modulo 2^32.
fn is_ahead(kept: u64, tag: u64, now_ms: u64) -> bool {
    let left = (kept as u32).wrapping_sub(now_ms as u32);
    kept & !u64::from(u32::MAX) == tag && left > 0 && left < u32::MAX / 2
}

impl Queue {
    /// Visitors who wait are there, as if they had polled.
    ///
    /// Recorded are only those whose turn may come soon; returns how many. One round trip for 200
    /// visits.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn present(&self, tickets: &[Ticket]) -> Result<u64, QueueError> {
        let mut recorded = 0;
        for batch in tickets.chunks(BATCH) {
            let mut call = self.visitors_call(&script::PRESENT);
            for ticket in batch {
                call.arg(ticket.user.member()).arg(ticket.number);
            }
            let reply: Reply = self.store().run(Priority::Hot, &call).await?;
            recorded += reply.get::<u64>("recorded")?;
        }
        Ok(recorded)
    }

    /// A poll by somebody with `ahead` before them: recorded if they are near and it is needed.
    ///
    /// Not needed where what was recorded here reaches beyond the pause that they are told now and its
    /// allowance: so a client that asks too often costs no more than one that does not.
    pub(in crate::queue) async fn note(
        &self,
        ticket: &Ticket,
        ahead: u64,
    ) -> Result<(), QueueError> {
        let snapshot = self.snapshot();
        if ahead >= snapshot.near {
            return Ok(());
        }
        let (recorded, now_ms) = (self.queues.recorded(), self.store().now_ms());
        let now = self.store().now();
        let (needed_ms, until_ms) = eta::proven_ms(ahead, ticket.number, &snapshot, now);
        if recorded.is_ahead(ticket, now_ms + needed_ms) {
            return Ok(());
        }
        self.present(&[*ticket]).await?;
        recorded.set(ticket, now_ms, now_ms + until_ms);
        Ok(())
    }

    /// A poll after which the visitor is told to wait `pause_ms` at least: counted if it came before
    /// the time that they were told with the one before.
    pub(in crate::queue) fn count_early_poll(&self, ticket: &Ticket, pause_ms: u64) {
        let now_ms = self.store().now_ms();
        let next_ms = now_ms + pause_ms.saturating_sub(TOLERANCE_MS);
        let next_polls = self.queues.next_polls();
        if next_polls.set(ticket, now_ms, next_ms) {
            self.entry.early_polls.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A call of a script that records who is there.
    pub(in crate::queue) fn visitors_call(&self, verb: &'static Verb) -> Call<'static> {
        let mut call = self.store().call_knowing(verb, &self.entry);
        for told in eta::told(&self.snapshot()) {
            call.arg(told);
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::PollTimes;
    use crate::queue::{Ticket, UserId};

    fn ticket(user: u128) -> Ticket {
        Ticket {
            user: UserId(Uuid::from_u128(user)),
            number: 7,
            epoch: 1,
        }
    }

    #[test]
    fn a_mark_is_ahead_until_its_instant_and_is_nobody_elses() {
        let marks = PollTimes::default();
        let (one, two) = (ticket(1), ticket(2));
        assert!(!marks.is_ahead(&one, 1_000));
        assert!(!marks.set(&one, 1_000, 6_000));
        assert!(!marks.set(&two, 1_000, 9_000));
        assert!(marks.is_ahead(&one, 5_999) && !marks.is_ahead(&one, 6_000));
        assert!(marks.set(&two, 8_000, 20_000));
        assert!(!marks.set(&two, 20_000, 25_000));
    }

    #[test]
    fn the_clock_of_marks_may_go_round() {
        let (marks, one) = (PollTimes::default(), ticket(1));
        let late = u64::from(u32::MAX) - 100;
        assert!(!marks.set(&one, late, late + 1_000));
        assert!(marks.set(&one, late + 200, late + 1_200));
        assert!(!marks.set(&one, late + 5_000, late + 6_000));
    }
}
