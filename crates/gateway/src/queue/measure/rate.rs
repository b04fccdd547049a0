//! Owns what is measured of the service behind, for the rate of a queue that finds it itself.
//!
//! Each gateway counts the requests of a queue's visitors for itself: begun, answered, slow, failed.
//! Once a second it adds its counts to those of the others in one script, which moves the rate by one
//! step a second, however many gateways call. What of the counts a failed call took along is lost, which a rate bears.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::queue::store::reply::Reply;
use crate::queue::store::script::{self, Priority};
use crate::queue::{Queue, QueueError, refusal};

/// What one gateway counted of a queue's requests and has not told yet.
#[derive(Debug, Default)]
pub(in crate::queue) struct Measured {
    begun: AtomicU64,
    answered: AtomicU64,
    slow: AtomicU64,
    failed: AtomicU64,
}

/// What a step did to a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// None: another gateway made the step of this second.
    Added,
    /// The rate stays.
    Held,
    /// It grew.
    Up,
    /// It fell.
    Down,
}

impl Step {
    /// The word for it, for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Held => "held",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Queue {
    /// A visitor's request goes to the service.
    pub fn request_begun(&self) {
        self.entry.measured.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// A visitor's request was answered, or never will be; `took` is the time from its end to the
    /// first byte of its answer, where that is known.
    pub fn request_answered(&self, took: Option<Duration>, is_failure: bool) {
        let target_ms = u128::from(self.snapshot().policy.target_latency_ms);
        let is_slow = took.is_some_and(|it| it.as_millis() > target_ms);
        self.entry.counted.answered(took, is_failure);
        let measured = &self.entry.measured;
        measured.answered.fetch_add(1, Ordering::Relaxed);
        measured
            .slow
            .fetch_add(u64::from(is_slow), Ordering::Relaxed);
        measured
            .failed
            .fetch_add(u64::from(is_failure), Ordering::Relaxed);
    }

    /// Step: adds what was measured here, and moves the rate if it is time. `None` where the rate is set.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn adapt(&self) -> Result<Option<Step>, QueueError> {
        let measured = &self.entry.measured;
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let taken = [
            take(&measured.begun),
            take(&measured.answered),
            take(&measured.slow),
            take(&measured.failed),
        ];
        if !self.snapshot().policy.admit_per_second.is_found() {
            return Ok(None);
        }
        let mut call = self.store().call(&script::ADAPT, &self.entry.keys);
        for count in taken {
            call.arg(count);
        }
        let reply: Reply = self.store().run(Priority::Background, &call).await?;
        match reply.verdict() {
            // A queue that is gone is put back by the next refresh, or was removed.
            "fixed" | "gone" | "removed" => Ok(None),
            "added" => Ok(Some(Step::Added)),
            "held" => Ok(Some(Step::Held)),
            "up" => Ok(Some(Step::Up)),
            "down" => Ok(Some(Step::Down)),
            other => Err(refusal(other)),
        }
    }
}
