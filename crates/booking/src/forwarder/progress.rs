//! How far each partition is done with, while its events end in any order.

use std::collections::{BTreeMap, BTreeSet};

/// The events in hand, by partition.
#[derive(Debug, Default)]
pub struct Progress {
    partitions: BTreeMap<i32, Partition>,
}

#[derive(Debug)]
struct Partition {
    in_flight: BTreeSet<i64>,
    /// The last one that was read.
    highest: i64,
    /// Everything up to here is done with.
    done: i64,
}

impl Partition {
    fn beginning_at(offset: i64) -> Self {
        Self {
            in_flight: BTreeSet::from([offset]),
            highest: offset,
            done: offset - 1,
        }
    }
}

impl Progress {
    /// An event was read.
    pub fn begin(&mut self, partition: i32, offset: i64) {
        match self.partitions.get_mut(&partition) {
            Some(known) if known.highest < offset => {
                known.in_flight.insert(offset);
                known.highest = offset;
            }
            // New, or read again: it was somebody else's for a while.
            _ => {
                let anew = Partition::beginning_at(offset);
                self.partitions.insert(partition, anew);
            }
        }
    }

    /// An event is done with. The offset up to which all are, when that has grown.
    pub fn end(&mut self, partition: i32, offset: i64) -> Option<i64> {
        let partition = self.partitions.get_mut(&partition)?;
        partition.in_flight.remove(&offset);
        let first = partition.in_flight.first();
        let done = first.map_or(partition.highest, |first| first - 1);
        if done <= partition.done {
            return None;
        }
        partition.done = done;
        Some(done)
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
    use super::Progress;

    #[test]
    fn an_offset_is_done_with_when_all_before_it_are() {
        let mut progress = Progress::default();
        (10..14).for_each(|offset| progress.begin(0, offset));
        progress.begin(1, 7);
        assert_eq!(progress.in_flight(), 5);
        assert_eq!(progress.end(0, 11), None);
        assert_eq!(progress.end(0, 13), None);
        assert_eq!(progress.end(0, 10), Some(11));
        assert_eq!(progress.end(0, 12), Some(13));
        assert_eq!(progress.end(1, 7), Some(7));
        assert_eq!(progress.in_flight(), 0);
    }

    #[test]
    fn gaps_between_offsets_are_nothing_to_wait_for() {
        let mut progress = Progress::default();
        [3, 8, 9]
            .into_iter()
            .for_each(|offset| progress.begin(0, offset));
        assert_eq!(progress.end(0, 3), Some(7));
        assert_eq!(progress.end(0, 9), None);
        assert_eq!(progress.end(0, 8), Some(9));
    }

    #[test]
    fn a_partition_that_comes_back_begins_anew() {
        let mut progress = Progress::default();
        (0..3).for_each(|offset| progress.begin(0, offset));
        assert_eq!(progress.end(0, 0), Some(0));
        progress.begin(0, 1);
        assert_eq!(progress.end(0, 2), None, "of the life before");
        assert_eq!(progress.end(0, 1), Some(1));
        assert_eq!(progress.end(5, 1), None, "of another partition");
    }
}
