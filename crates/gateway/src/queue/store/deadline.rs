//! Owns by when a visitor is answered: one deadline for all that a request asks, however much that is.
//!
//! It runs from the begin of the request, so waiting for a turn, for a batch and for several calls adds up to no more
//! than [`ANSWER_WITHIN`]. Only who waited for a turn while the store answered others starts afresh: a crowd is
//! served one after another, and while a store is silent nobody waits for those before. A request that has
//! a turn came earlier and gives it back at its own deadline, so the wait for it ends by then too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::queue::{Queue, QueueError, StoreError};

/// The visitor waits for it; together with the way there and back, on a machine that has much else to do, it stays
/// within a second.
pub(in crate::queue) const ANSWER_WITHIN: Duration = Duration::from_millis(750);

/// When the store last answered a visitor.
#[derive(Debug)]
pub(in crate::queue) struct LastAnswer {
    origin: Instant,
    after_us: AtomicU64,
}

impl Default for LastAnswer {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            after_us: AtomicU64::new(0),
        }
    }
}

impl LastAnswer {
    /// It did now.
    fn note(&self) {
        let after_us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(0);
        self.after_us.fetch_max(after_us, Ordering::Relaxed);
    }

    fn at(&self) -> Instant {
        self.origin + Duration::from_micros(self.after_us.load(Ordering::Relaxed))
    }
}

impl Queue {
    /// The same queue for a request that began then.
    pub(in crate::queue) fn begun(self, at: Instant) -> Self {
        Self {
            begun: Some(at),
            ..self
        }
    }

    /// The same queue for a request that waited for its turn.
    pub fn after_turn(&self) -> Self {
        let begun = self.begun.unwrap_or_else(Instant::now);
        self.clone().begun(begun.max(self.entry.last_answer.at()))
    }

    /// The same queue for what comes after the answer, however much later.
    pub fn answered(&self) -> Self {
        Self {
            begun: None,
            ..self.clone()
        }
    }

    /// The answer to a visitor, or that it came too late.
    pub(in crate::queue) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, QueueError>>,
    ) -> Result<T, QueueError> {
        let begun = self.begun.unwrap_or_else(Instant::now);
        let answer = timeout_at(begun + ANSWER_WITHIN, answer).await;
        let answer = answer.map_err(|_| StoreError::Late)?;
        if !matches!(answer, Err(QueueError::StoreUnavailable(_))) {
            self.entry.last_answer.note();
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::LastAnswer;

    #[tokio::test(start_paused = true)]
    async fn a_wait_counts_from_the_last_answer_on() {
        let answers = LastAnswer::default();
        let begun = Instant::now();
        advance(Duration::from_millis(40)).await;
        answers.note();
        let answered = Instant::now();
        advance(Duration::from_millis(500)).await;
        assert_eq!(begun.max(answers.at()), answered, "the store went silent");
        answers.note();
        assert_eq!(begun.max(answers.at()), Instant::now(), "it answers others");
    }
}
