//! Owns what an answer counts as.

/// Whether an answer is a success, a refusal that is right, or an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// 2xx and 304.
    Success,
    /// The state of the sale says no: 403, 409, 410, 429.
    Refusal,
    /// Everything else, and no answer at all. Requests here are well formed and go to what
    /// exists, so 400, 404 or 422 is a mistake too.
    Error,
}

impl Class {
    /// What a status counts as, or that there was none.
    pub fn of(outcome: Result<u16, Fault>) -> Self {
        match outcome {
            Ok(200..=299 | 304) => Class::Success,
            Ok(403 | 409 | 410 | 429) => Class::Refusal,
            Ok(_) | Err(_) => Class::Error,
        }
    }
}

/// A status, or why there was none, in words.
pub(crate) fn name(outcome: Result<u16, Fault>) -> String {
    outcome.map_or_else(|fault| fault.to_string(), |status| status.to_string())
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// Nobody took the connection.
    #[error("no connection")]
    Connect,
    /// Nothing within the time limit.
    #[error("timeout")]
    Timeout,
    /// The connection ended before the answer did.
    #[error("broken connection")]
    Broken,
    /// Not HTTP/1.1.
    #[error("not HTTP")]
    Malformed,
    /// It was due, and the run was over before a connection was free for it.
    #[error("never sent")]
    Unsent,
}
