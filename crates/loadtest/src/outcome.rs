//! Owns what an answer counts as.

use std::fmt;

/// Whether an answer is what was hoped for, a no that is right, or wrong.
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
    /// What a status counts as.
    pub fn of(status: u16) -> Self {
        match status {
            200..=299 | 304 => Class::Success,
            403 | 409 | 410 | 429 => Class::Refusal,
            _ => Class::Error,
        }
    }
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// No connection.
    Connect,
    /// Nothing within the time limit.
    Timeout,
    /// The connection ended before the answer did.
    Broken,
    /// Not HTTP/1.1.
    Malformed,
    /// It was due, and the run was over before a connection was free for it.
    Unsent,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Fault::Connect => "no connection",
            Fault::Timeout => "timeout",
            Fault::Broken => "broken connection",
            Fault::Malformed => "not HTTP",
            Fault::Unsent => "never sent",
        })
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn a_no_is_no_error_and_an_overload_is_one() {
        for status in [200, 201, 204, 304] {
            assert_eq!(Class::of(status), Class::Success, "{status}");
        }
        for status in [403, 409, 410, 429] {
            assert_eq!(Class::of(status), Class::Refusal, "{status}");
        }
        for status in [0, 301, 400, 401, 404, 405, 413, 422, 500, 502, 503, 504] {
            assert_eq!(Class::of(status), Class::Error, "{status}");
        }
    }
}
