//! Owns the names of things in a queue: which queue, whose place, which visit.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest name of a queue; it is part of every key and of a cookie's name.
const LONGEST_NAME: usize = 32;

/// The name of a queue: 1 to 32 of `a-z`, `0-9` and `-`, not beginning with `-`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct QueueId(Arc<str>);

/// A text that cannot be the name of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a queue name is 1 to 32 of a-z, 0-9 and '-', and does not begin with '-'")]
pub struct QueueIdInvalid;

impl QueueId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueueId {
    type Err = QueueIdInvalid;

    fn from_str(name: &str) -> Result<Self, QueueIdInvalid> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let begins = name.bytes().next().is_some_and(letter);
        let all = name.bytes().all(|byte| letter(byte) || byte == b'-');
        if begins && all && name.len() <= LONGEST_NAME {
            Ok(Self(name.into()))
        } else {
            Err(QueueIdInvalid)
        }
    }
}

impl TryFrom<String> for QueueId {
    type Error = QueueIdInvalid;

    fn try_from(name: String) -> Result<Self, QueueIdInvalid> {
        name.parse()
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "QueueId({})", self.0)
    }
}

/// Who visits; 16 raw bytes in Redis, a UUID everywhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

impl UserId {
    /// The member of the sorted sets.
    pub(super) fn member(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The user behind a member of the sorted sets.
    pub(super) fn from_member(member: &[u8]) -> Option<Self> {
        Uuid::from_slice(member).ok().map(Self)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(to)
    }
}

/// One visit of one user: what a token proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Who holds it.
    pub user: UserId,
    /// The place in the order of arrival; below 2^53.
    pub number: u64,
    /// The life of the queue that gave it out, see [`super::Snapshot::epoch`].
    pub epoch: u64,
}

#[cfg(test)]
mod tests {
    use super::QueueId;

    #[test]
    fn a_queue_name_is_short_lower_case_and_begins_with_a_letter_or_digit() {
        let longest = "a".repeat(32);
        for good in ["main", "0", "a-b-", longest.as_str()] {
            assert!(good.parse::<QueueId>().is_ok(), "{good}");
        }
        let too_long = "a".repeat(33);
        let odd = ["", "-a", "Main", "a_b", "a b", "a}", "ä", "a\n", "a:b"];
        for bad in odd.into_iter().chain([too_long.as_str()]) {
            assert!(bad.parse::<QueueId>().is_err(), "{bad}");
        }
    }
}
