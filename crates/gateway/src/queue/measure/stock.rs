//! Owns what is left to sell: what the service behind says of it, and what that means for who waits.
//!
//! Each gateway remembers what it heard last and tells the others once a second; what was heard last
//! by any of them holds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

use crate::queue::store::reply::Reply;
use crate::queue::store::script::{self, Priority};
use crate::queue::{Queue, QueueError, Snapshot, Standing, refusal};

/// Nine of ten outcomes of a normal distribution lie within so many standard deviations.
const NINE_IN_TEN: f64 = 1.645;
/// Before anybody was seen it is as if so many had come and each had bought one.
const PRIOR: f64 = 2.0;

/// What one gateway heard and has not told yet.
#[derive(Debug, Default)]
pub(in crate::queue) struct Heard {
    left: Mutex<Option<(u64, Instant)>>,
    bought: AtomicU64,
}

/// Whether something will be left when the turn of somebody comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outlook {
    /// In nine of ten cases at least.
    Likely,
    /// Nobody can say.
    Uncertain,
    /// In one of ten cases at most.
    Unlikely,
}

impl Queue {
    /// The service behind said at this instant that so much is left.
    pub fn heard_remaining(&self, left: u64, at: Instant) {
        let heard = self.entry.heard.left.lock();
        *heard.unwrap_or_else(PoisonError::into_inner) = Some((left, at));
    }

    /// A visitor bought.
    pub fn heard_bought(&self) {
        self.entry.heard.bought.fetch_add(1, Ordering::Relaxed);
    }

    /// Step: tells what was heard here.
    ///
    /// # Errors
    /// `StoreUnavailable`: what could not be told is told by the next step.
    pub async fn tell_stock(&self) -> Result<(), QueueError> {
        let heard = &self.entry.heard;
        let left = heard
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let bought = heard.bought.swap(0, Ordering::Relaxed);
        if left.is_none() && bought == 0 {
            return Ok(());
        }
        let told = self.tell(left, bought).await;
        if told.is_err() {
            heard.bought.fetch_add(bought, Ordering::Relaxed);
            let mut newer = heard.left.lock().unwrap_or_else(PoisonError::into_inner);
            if newer.is_none() {
                *newer = left;
            }
        }
        told
    }

    async fn tell(&self, left: Option<(u64, Instant)>, bought: u64) -> Result<(), QueueError> {
        let mut call = self.store().call(&script::STOCK, &self.entry.keys);
        match left {
            Some((left, at)) => {
                let age_us = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
                call.arg(left).arg(age_us)
            }
            None => call.arg("").arg(0),
        };
        call.arg(bought);
        let reply: Reply = self.store().run(Priority::Background, &call).await?;
        match reply.verdict() {
            // A queue that is gone is put back by the next refresh, or was removed.
            "noted" | "older" | "gone" | "removed" => Ok(()),
            other => Err(refusal(other)),
        }
    }
}

impl Outlook {
    /// Of somebody who stands so; `None` where nothing is known of what is left, or of the turn.
    pub fn of(standing: &Standing, snapshot: &Snapshot) -> Option<Self> {
        let left = snapshot.remaining?;
        let ahead = match standing {
            Standing::Waiting { ahead } => *ahead,
            Standing::Scheduled { ahead, .. } => (*ahead)?,
            Standing::Active { .. } => return None,
        };
        if left == 0 {
            return Some(Self::Unlikely);
        }
        // Those inside may buy too, and so may those who were away at their turn.
        let before = (ahead + snapshot.returned + snapshot.active) as f64;
        let decided = snapshot.admitted.saturating_sub(snapshot.active) as f64;
        let sold = snapshot.stock.saturating_sub(left).max(snapshot.bought) as f64;
        let each = (sold + PRIOR) / (decided + PRIOR);
        // What one buys has about the deviation of how many do, and how many do is known by those who
        // were seen.
        let deviation = (before * each + before.powi(2) * each / (decided + PRIOR)).sqrt();
        let (wanted, left) = (before * each, left as f64);
        Some(if left >= wanted + NINE_IN_TEN * deviation + 1.0 {
            Self::Likely
        } else if left <= wanted - NINE_IN_TEN * deviation {
            Self::Unlikely
        } else {
            Self::Uncertain
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Outlook;
    use crate::queue::measure::flow::Flow;
    use crate::queue::policy::Policy;
    use crate::queue::{Snapshot, Standing};

    fn outlook(ahead: u64, left: u64, decided: u64, sold: u64) -> Option<Outlook> {
        let mut snapshot = Snapshot::of_flow(Policy::default(), Flow::new(1, 1, 1, 60));
        snapshot.active = 0;
        snapshot.admitted = decided;
        snapshot.remaining = Some(left);
        snapshot.stock = left + sold;
        Outlook::of(&Standing::Waiting { ahead }, &snapshot)
    }

    #[test]
    fn what_was_bought_before_tells_who_will_find_something() {
        // Every second visitor bought one.
        assert_eq!(outlook(100, 500, 1_000, 500), Some(Outlook::Likely));
        assert_eq!(outlook(1_000, 500, 1_000, 500), Some(Outlook::Uncertain));
        assert_eq!(outlook(5_000, 500, 1_000, 500), Some(Outlook::Unlikely));
        // Everybody bought four.
        assert_eq!(outlook(100, 500, 1_000, 4_000), Some(Outlook::Likely));
        assert_eq!(outlook(200, 500, 1_000, 4_000), Some(Outlook::Unlikely));
    }

    #[test]
    fn before_anybody_was_seen_only_the_plain_cases_are_told() {
        assert_eq!(outlook(0, 50, 0, 0), Some(Outlook::Likely));
        assert_eq!(outlook(10, 1_000, 0, 0), Some(Outlook::Likely));
        assert_eq!(outlook(100, 100, 0, 0), Some(Outlook::Uncertain));
        assert_eq!(outlook(5, 0, 0, 0), Some(Outlook::Unlikely));
    }

    #[test]
    fn nothing_is_told_where_nothing_is_known() {
        let snapshot = Snapshot::of_flow(Policy::default(), Flow::new(1, 1, 1, 60));
        assert_eq!(
            Outlook::of(&Standing::Waiting { ahead: 1 }, &snapshot),
            None
        );
    }
}
