//! How far each partition is done with, while its events end in any order.

use std::collections::BTreeMap;

use super::assignment::Owned;

/// The events in hand, by partition.
#[derive(Debug, Default)]
pub struct Progress {
    partitions: BTreeMap<i32, Partition>,
}

#[derive(Debug)]
struct Partition {
    owned: Owned,
    /// When each was written to the topic, in milliseconds of unix time.
    in_flight: BTreeMap<i64, Option<i64>>,
    /// The last one that was read.
    highest: i64,
    /// Everything up to here is done with.
    done: i64,
}

/// How far one partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The first event that is not done with.
    pub next: i64,
    /// The first event that was not read.
    pub unread: i64,
    /// When the first that is in hand was written to the topic, in milliseconds of unix time.
    pub oldest_ms: Option<i64>,
}

impl Progress {
    /// An event was read; `written_ms` is when it was written to the topic.
    pub fn begin(&mut self, owned: Owned, offset: i64, written_ms: Option<i64>) {
        match self.partitions.get_mut(&owned.partition) {
            Some(known) if known.owned == owned && known.highest < offset => {
                known.in_flight.insert(offset, written_ms);
                known.highest = offset;
            }
            // New, or read again: it was lost and came back.
            _ => {
                let anew = Partition {
                    owned,
                    in_flight: BTreeMap::from([(offset, written_ms)]),
                    highest: offset,
                    done: offset - 1,
                };
                self.partitions.insert(owned.partition, anew);
            }
        }
    }

    /// An event is done with. The offset up to which all are, when that has grown.
    pub fn end(&mut self, owned: Owned, offset: i64) -> Option<i64> {
        let partition = self.partitions.get_mut(&owned.partition)?;
        if partition.owned != owned {
            return None;
        }
        partition.in_flight.remove(&offset);
        let first = partition.in_flight.keys().next();
        let done = first.map_or(partition.highest, |first| first - 1);
        if done <= partition.done {
            return None;
        }
        partition.done = done;
        Some(done)
    }

    /// Forgets partitions that are not owned any more: their events are another forwarder's.
    pub fn keep(&mut self, is_owned: impl Fn(Owned) -> bool) {
        self.partitions
            .retain(|_, partition| is_owned(partition.owned));
    }

    /// How far a partition has come, once something of it was read.
    pub fn position(&self, owned: Owned) -> Option<Position> {
        let partition = self.partitions.get(&owned.partition)?;
        (partition.owned == owned).then(|| Position {
            next: partition.done + 1,
            unread: partition.highest + 1,
            oldest_ms: partition.in_flight.values().next().copied().flatten(),
        })
    }

    /// Events in hand.
    pub fn in_flight(&self) -> usize {
        self.partitions
            .values()
            .map(|partition| partition.in_flight.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Owned, Position, Progress};

    fn owned(partition: i32) -> Owned {
        Owned::of(partition, 1)
    }

    #[test]
    fn an_offset_is_done_with_when_all_before_it_are() {
        let mut progress = Progress::default();
        (10..14).for_each(|offset| progress.begin(owned(0), offset, Some(offset * 100)));
        progress.begin(owned(1), 7, None);
        assert_eq!(progress.in_flight(), 5);
        assert_eq!(progress.end(owned(0), 11), None);
        assert_eq!(progress.end(owned(0), 13), None);
        assert_eq!(progress.end(owned(0), 10), Some(11));
        let position = Position {
            next: 12,
            unread: 14,
            oldest_ms: Some(1_200),
        };
        assert_eq!(progress.position(owned(0)), Some(position));
        assert_eq!(progress.end(owned(0), 12), Some(13));
        assert_eq!(progress.end(owned(1), 7), Some(7));
        assert_eq!(progress.in_flight(), 0);
    }

    #[test]
    fn gaps_between_offsets_are_nothing_to_wait_for() {
        let mut progress = Progress::default();
        [3, 8, 9]
            .into_iter()
            .for_each(|offset| progress.begin(owned(0), offset, None));
        assert_eq!(progress.end(owned(0), 3), Some(7));
        assert_eq!(progress.end(owned(0), 9), None);
        assert_eq!(progress.end(owned(0), 8), Some(9));
    }

    #[test]
    fn a_partition_that_comes_back_begins_anew() {
        let mut progress = Progress::default();
        let (before, after) = (Owned::of(0, 1), Owned::of(0, 2));
        (0..3).for_each(|offset| progress.begin(before, offset, None));
        assert_eq!(progress.end(before, 0), Some(0));
        progress.begin(after, 1, None);
        assert_eq!(progress.end(before, 1), None, "of the life before");
        assert_eq!(progress.end(after, 1), Some(1));
        assert_eq!(progress.end(owned(5), 1), None, "of another partition");
    }

    #[test]
    fn what_is_lost_is_not_in_hand_any_more() {
        let mut progress = Progress::default();
        (0..3).for_each(|offset| progress.begin(owned(0), offset, None));
        progress.begin(owned(1), 0, None);
        progress.keep(|owned| owned.partition == 1);
        assert_eq!(progress.in_flight(), 1);
        assert_eq!(progress.position(owned(0)), None);
    }
}
