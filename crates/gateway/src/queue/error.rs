//! Owns why a verb of the queue did not do what it was asked for.

use std::time::Duration;

use super::policy::PolicyError;
use super::store::script::StoreError;

/// Why a verb did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no queue of this name.
    #[error("there is no such queue")]
    Unknown,
    /// The operator closed the queue to newcomers.
    #[error("the queue is closed")]
    Closed,
    /// The line is as long as the operator allows.
    #[error("the line is full")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The visit is over: the lease ended, or the visitor left. They may join again.
    #[error("the visit is over")]
    Over,
    /// The rules are not the ones that the operator saw.
    #[error("the rules were changed meanwhile")]
    Changed,
    /// Others change the rules again and again; nothing was changed by this.
    #[error("the rules are changed by others all the time")]
    Contended,
    /// The visit is over because nothing was asked for `idleSeconds`. They may join again.
    #[error("the visit is over because nothing was asked for too long")]
    Idle,
    /// A rule is out of its range.
    #[error(transparent)]
    Refused(#[from] PolicyError),
    /// Redis gave no answer; visitors keep what they have.
    #[error("the queue cannot be reached now: {0}")]
    StoreUnavailable(#[from] StoreError),
}

impl QueueError {
    /// The same for each of many who asked together.
    pub(super) fn shared(&self) -> Self {
        match self {
            Self::Unknown => Self::Unknown,
            Self::Closed => Self::Closed,
            Self::Full { retry_after } => Self::Full {
                retry_after: *retry_after,
            },
            Self::Over => Self::Over,
            Self::Idle => Self::Idle,
            Self::Changed => Self::Changed,
            Self::Contended => Self::Contended,
            Self::Refused(cause) => Self::Refused(cause.clone()),
            Self::StoreUnavailable(cause) => Self::StoreUnavailable(cause.shared()),
        }
    }
}

/// What a verdict that is no place means.
pub(super) fn refusal(verdict: &str) -> QueueError {
    match verdict {
        "over" => QueueError::Over,
        "idle" => QueueError::Idle,
        "removed" => QueueError::Unknown,
        "gone" | "lost" => StoreError::Odd("a queue that vanishes again and again").into(),
        _ => StoreError::Odd("a verdict that no script gives").into(),
    }
}
