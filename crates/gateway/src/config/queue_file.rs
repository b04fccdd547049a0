//! Owns the file of queues that exist from the start: a TOML table each.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::queue::QueueId;
use crate::queue::policy::{Policy, PolicyChange};

/// The queues that exist from the start, read from the file that the variable names.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueFile(pub BTreeMap<QueueId, Policy>);

impl Default for QueueFile {
    fn default() -> Self {
        let main = "main".parse().map(|main| (main, Policy::default()));
        Self(main.into_iter().collect())
    }
}

/// A file of queues that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueFileInvalid {
    /// It cannot be read.
    #[error("cannot read the file: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is not TOML of this form.
    #[error("the file is not a table for each queue: {0}")]
    Form(#[from] toml::de::Error),
    /// A name or a field is out of its range.
    #[error("queue {queue:?}: {cause}")]
    Queue {
        /// The name in the file.
        queue: String,
        /// What is wrong.
        cause: String,
    },
}

impl FromStr for QueueFile {
    type Err = QueueFileInvalid;

    fn from_str(path: &str) -> Result<Self, QueueFileInvalid> {
        Self::of(&std::fs::read_to_string(path)?)
    }
}

impl QueueFile {
    fn of(text: &str) -> Result<Self, QueueFileInvalid> {
        let tables: BTreeMap<String, PolicyChange> = toml::from_str(text)?;
        let checked = |(name, change): (String, PolicyChange)| {
            let invalid = |cause: String| QueueFileInvalid::Queue {
                queue: name.clone(),
                cause,
            };
            let queue = name
                .parse::<QueueId>()
                .map_err(|it| invalid(it.to_string()))?;
            let policy = Policy::default().changed(&change);
            Ok((queue, policy.map_err(|it| invalid(it.to_string()))?))
        };
        tables
            .into_iter()
            .map(checked)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::QueueFile;

    #[test]
    fn a_file_of_queues_is_checked_like_a_change_of_an_operator() {
        let file = QueueFile::of("[main]\nmaxActive = 2\n[vip]\nadmitPerSecond = 0.5\n");
        let file = file.expect("two queues").0;
        assert_eq!(file.len(), 2);
        assert!(file.values().any(|policy| policy.max_active == 2));
        for odd in [
            "[main]\nmaxActiv = 2",
            "[Main]",
            "[main]\nmaxActive = 0",
            "x",
        ] {
            assert!(QueueFile::of(odd).is_err(), "{odd}");
        }
        assert!(
            QueueFile::default()
                .0
                .keys()
                .any(|it| it.as_str() == "main")
        );
    }
}
