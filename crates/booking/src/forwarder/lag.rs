//! How far this forwarder is behind, and whether it stands still: what the brokers say of its partitions, compared with
//! what was read and passed on.
//!
//! It goes by what happens and not by what is reported: events that are there and are not read for a while, for whatever
//! reason, are an alarm. So a batch that cannot be read, a right that was taken away and a mistake of ours look the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chassis::time::Timestamp;
use chrono::DateTime;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::assignment::{Assignment, Owned};
use super::progress::Progress;

/// How long the brokers may take for each answer.
const WITHIN: Duration = Duration::from_secs(2);

/// Where a partition ends, and how far it is done with as the brokers know it.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    owned: Owned,
    end: i64,
    /// The first event that is not done with, or the first that is still there.
    next: i64,
}

/// Asks the brokers. It blocks for as long as they may take.
pub fn marks(consumer: &StreamConsumer<Assignment>, topic: &str) -> Result<Vec<Mark>, String> {
    let away = |cause: KafkaError| cause.to_string();
    let found = consumer.fetch_metadata(Some(topic), WITHIN).map_err(away)?;
    let found = found.topics().iter().find(|it| it.name() == topic);
    let Some(found) = found else {
        return Err(format!("the topic {topic} is missing"));
    };
    if let Some(code) = found.error() {
        let words = rdkafka::types::RDKafkaErrorCode::from(code);
        return Err(format!("the topic {topic} cannot be read: {words}"));
    }
    let all = consumer.context().all();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::new();
    for owned in &all {
        list.add_partition(topic, owned.partition);
    }
    let committed = consumer.committed_offsets(list, WITHIN).map_err(away)?;
    let mut marks = Vec::new();
    for owned in all {
        let (begin, end) = consumer
            .fetch_watermarks(topic, owned.partition, WITHIN)
            .map_err(away)?;
        let next = match committed.find_partition(topic, owned.partition) {
            Some(found) => match found.offset() {
                Offset::Offset(offset) => offset.max(begin),
                _ => begin,
            },
            None => begin,
        };
        marks.push(Mark { owned, end, next });
    }
    Ok(marks)
}

/// How far one partition is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Which partition.
    pub partition: i32,
    /// Events that are not done with.
    pub waiting: u64,
    /// Since when the oldest of them has been waiting.
    pub oldest_at: Option<Timestamp>,
}

/// How far this forwarder is behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lag {
    /// Of each partition.
    pub partitions: Vec<Behind>,
    /// Why something stands still.
    pub stands_still: Option<String>,
}

impl Lag {
    /// Events that are not done with.
    pub fn waiting(&self) -> u64 {
        self.partitions.iter().map(|it| it.waiting).sum()
    }

    /// For how long the oldest of them has been waiting, in seconds.
    pub fn oldest_s(&self, now: Timestamp) -> i64 {
        let oldest = self.partitions.iter().filter_map(|it| it.oldest_at).min();
        oldest.map_or(0, |oldest| (now - oldest).num_seconds().max(0))
    }
}

/// What the measurements before have shown.
#[derive(Debug)]
pub struct Watch {
    /// For how long events may be there and not be read.
    still: Duration,
    partitions: BTreeMap<i32, Watched>,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    owned: Owned,
    /// The first event that was not read.
    unread: i64,
    /// Since when it has been that one although there are others behind it.
    still_since: Instant,
    /// When this was first seen to be behind.
    behind_since: Option<Timestamp>,
}

impl Watch {
    /// Nothing was measured yet.
    pub fn new(still: Duration) -> Self {
        Self {
            still,
            partitions: BTreeMap::new(),
        }
    }

    /// What these marks mean, compared with those before. Nothing is expected to be read while `paused`.
    pub fn compare(
        &mut self,
        marks: &[Mark],
        progress: &Progress,
        paused: bool,
        now: (Instant, Timestamp),
    ) -> Lag {
        let mut lag = Lag::default();
        let mut seen = BTreeMap::new();
        for mark in marks {
            let position = progress.position(mark.owned);
            let next = position.map_or(mark.next, |it| it.next.max(mark.next));
            let unread = position.map_or(mark.next, |it| it.unread.max(mark.next));
            let waiting = u64::try_from(mark.end - next).unwrap_or(0);
            let before = self.partitions.get(&mark.owned.partition);
            let before = before.filter(|it| it.owned == mark.owned);
            let moves = paused || unread >= mark.end || before.is_none_or(|it| it.unread != unread);
            let still_since = match before {
                Some(before) if !moves => before.still_since,
                _ => now.0,
            };
            if now.0.duration_since(still_since) >= self.still {
                let partition = mark.owned.partition;
                lag.stands_still = Some(format!(
                    "partition {partition} stands still at event {unread} of {}",
                    mark.end
                ));
            }
            let behind_since = (waiting > 0).then(|| {
                let known = before.and_then(|it| it.behind_since);
                known.unwrap_or(now.1)
            });
            let written = position
                .and_then(|it| it.oldest_ms)
                .and_then(DateTime::from_timestamp_millis);
            lag.partitions.push(Behind {
                partition: mark.owned.partition,
                waiting,
                oldest_at: behind_since.map(|since| written.unwrap_or(since)),
            });
            let watched = Watched {
                owned: mark.owned,
                unread,
                still_since,
                behind_since,
            };
            seen.insert(mark.owned.partition, watched);
        }
        self.partitions = seen;
        lag
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use chassis::time::Timestamp;
    use chrono::DateTime;

    use super::{Mark, Owned, Progress, Watch};

    const STILL: Duration = Duration::from_secs(60);

    fn at(after: Duration) -> (Instant, Timestamp) {
        let begin = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        // One instant for the whole process is enough: only differences count.
        static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        (*BEGIN.get_or_init(Instant::now) + after, begin + after)
    }

    fn mark(end: i64, next: i64) -> Mark {
        Mark {
            owned: Owned::of(2, 1),
            end,
            next,
        }
    }

    #[test]
    fn what_is_there_and_is_not_read_is_an_alarm_after_a_while() {
        let (mut watch, mut progress) = (Watch::new(STILL), Progress::default());
        progress.begin(Owned::of(2, 1), 4, Some(1_799_999_990_000));
        let first = watch.compare(&[mark(9, 4)], &progress, false, at(Duration::ZERO));
        assert_eq!((first.waiting(), first.stands_still), (5, None));
        let later = watch.compare(&[mark(9, 4)], &progress, false, at(STILL));
        let told = later.stands_still.clone().expect("stands still");
        assert!(told.contains("partition 2") && told.contains('5'), "{told}");
        assert_eq!(later.oldest_s(at(STILL).1), 70, "since it was written");
        progress.begin(Owned::of(2, 1), 5, None);
        let moved = watch.compare(&[mark(9, 4)], &progress, false, at(STILL * 2));
        assert_eq!(moved.stands_still, None);
    }

    #[test]
    fn one_that_was_never_read_stands_still_too() {
        let (mut watch, progress) = (Watch::new(STILL), Progress::default());
        watch.compare(&[mark(9, 4)], &progress, false, at(Duration::ZERO));
        let later = watch.compare(&[mark(9, 4)], &progress, false, at(STILL));
        assert!(later.stands_still.is_some());
        assert_eq!(later.oldest_s(at(STILL).1), 60, "since it was first seen");
    }

    #[test]
    fn nothing_to_read_and_a_pause_are_no_alarm() {
        let (mut watch, progress) = (Watch::new(STILL), Progress::default());
        for (mark, paused) in [(mark(4, 4), false), (mark(9, 4), true)] {
            watch.compare(&[mark], &progress, paused, at(Duration::ZERO));
            let later = watch.compare(&[mark], &progress, paused, at(STILL * 2));
            assert_eq!(later.stands_still, None);
        }
    }
}
