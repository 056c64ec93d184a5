//! When are index entries due? Pure arithmetic over the batches of a segment, in the order of the log; it is run once
//! when a place is reserved (to know whether an index is full) and once when the batch is published. The rules are
//! those of Kafka's `LogSegment.append` and `TimeIndex.maybeAppend`.

use crate::config::LogConfig;
use crate::types::{FilePosition, Offset, TimestampMs};

use super::index::IndexFile;
use super::offset_index::OffsetEntry;
use super::scan::BatchAt;
use super::time_index::TimeEntry;

/// Where a segment's indexes stand.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    bytes_since_entry: u64,
    offset_entries: u64,
    time_entries: u64,
    last_time: TimestampMs,
    /// Largest timestamp so far, -1 while there is none.
    pub(crate) max_timestamp: TimestampMs,
    /// Last offset of the batch that has it.
    pub(crate) offset_of_max: Offset,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            bytes_since_entry: 0,
            offset_entries: 0,
            time_entries: 0,
            last_time: TimestampMs::NONE,
            max_timestamp: TimestampMs::NONE,
            offset_of_max: Offset::new(-1),
        }
    }
}

/// Entries that one batch makes due.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Due {
    pub(crate) offset_entry: Option<OffsetEntry>,
    pub(crate) time_entry: Option<TimeEntry>,
}

impl Pace {
    /// The pace of a segment of `size` bytes with these indexes, as far as the indexes tell.
    pub(crate) fn resumed(
        base: Offset,
        size: u64,
        offsets: &IndexFile<OffsetEntry>,
        times: &IndexFile<TimeEntry>,
    ) -> Self {
        let last_position = offsets.last().map_or(0, |entry| entry.position.get());
        let last_time = times.last();
        Self {
            bytes_since_entry: size.saturating_sub(last_position),
            offset_entries: offsets.len(),
            time_entries: times.len(),
            last_time: last_time.map_or(TimestampMs::NONE, |entry| entry.timestamp),
            max_timestamp: last_time.map_or(TimestampMs::NONE, |entry| entry.timestamp),
            offset_of_max: last_time.map_or(Offset::new(-1), |entry| entry.absolute(base)),
        }
    }

    /// The same of a segment that was opened or cut: as in Kafka, the bytes until the next entry count from its end.
    pub(crate) fn counting_anew(self) -> Self {
        Self { bytes_since_entry: 0, ..self }
    }

    /// Where the batch of the last offset entry begins.
    pub(crate) fn last_indexed_position(&self, offsets: &IndexFile<OffsetEntry>) -> u64 {
        offsets.last().map_or(0, |entry| entry.position.get())
    }

    /// Takes the next batch and tells which entries it makes due: those stand for the bytes before it, hence its own
    /// size counts only afterwards.
    pub(crate) fn step(&mut self, base: Offset, batch: &BatchAt, interval_bytes: u32) -> Due {
        self.see_timestamp(batch);
        let mut due = Due::default();
        if self.bytes_since_entry > u64::from(interval_bytes) {
            due.offset_entry = batch
                .last_offset
                .relative_to(base)
                .map(|offset| OffsetEntry { offset, position: FilePosition::new(batch.position) });
            self.offset_entries += u64::from(due.offset_entry.is_some());
            due.time_entry = self.last_time_entry(base);
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += batch.size;
        due
    }

    /// The next batch gets an entry: who looks for it shall not have to walk over what lies before it.
    pub(crate) fn entry_is_due(&mut self) {
        self.bytes_since_entry = u64::from(u32::MAX) + 1;
    }

    /// Takes only the timestamp of a batch.
    pub(crate) fn see_timestamp(&mut self, batch: &BatchAt) {
        if batch.max_timestamp > self.max_timestamp {
            self.max_timestamp = batch.max_timestamp;
            self.offset_of_max = batch.last_offset;
        }
    }

    /// The time entry for what was seen so far, if it tells more than the last one. Counts it as written.
    pub(crate) fn last_time_entry(&mut self, base: Offset) -> Option<TimeEntry> {
        if self.max_timestamp <= self.last_time {
            return None;
        }
        let offset = self.offset_of_max.relative_to(base)?;
        self.last_time = self.max_timestamp;
        self.time_entries += 1;
        Some(TimeEntry { timestamp: self.max_timestamp, offset })
    }

    /// Whether an index has no room. The time index keeps one place free for its last entry.
    pub(crate) fn is_full(&self, config: &LogConfig) -> bool {
        self.offset_entries >= config.offset_index_entries_max()
            || self.time_entries + 1 >= config.time_index_entries_max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LeaderEpoch, RelativeOffset};

    fn batch(position: u64, size: u64, last_offset: i64, max_timestamp: i64) -> BatchAt {
        BatchAt {
            position,
            size,
            base_offset: Offset::new(last_offset),
            last_offset: Offset::new(last_offset),
            max_timestamp: TimestampMs::new(max_timestamp),
            leader_epoch: LeaderEpoch::new(0),
            magic: 2,
        }
    }

    #[test]
    fn an_entry_is_due_once_more_than_the_interval_lies_behind_the_last() {
        let mut pace = Pace::default();
        let base = Offset::new(100);
        let due = |pace: &mut Pace, position, size, offset, time| {
            pace.step(base, &batch(position, size, offset, time), 4096)
        };
        assert_eq!(due(&mut pace, 0, 4096, 100, 10), Due::default(), "the first batch has nothing before it");
        assert_eq!(
            due(&mut pace, 4096, 1, 101, 20),
            Due::default(),
            "exactly the interval is not more than it"
        );
        let third = due(&mut pace, 4097, 50, 102, 15);
        assert_eq!(
            third.offset_entry,
            Some(OffsetEntry { offset: RelativeOffset::new(2), position: FilePosition::new(4097) })
        );
        assert_eq!(
            third.time_entry,
            Some(TimeEntry { timestamp: TimestampMs::new(20), offset: RelativeOffset::new(1) }),
            "the largest timestamp so far, with the offset that has it"
        );
        assert_eq!(due(&mut pace, 4147, 5000, 103, 20), Due::default());
        let fifth = due(&mut pace, 9147, 1, 104, 20);
        assert!(fifth.offset_entry.is_some());
        assert_eq!(fifth.time_entry, None, "no larger timestamp, no entry");
        assert_eq!(pace.last_time_entry(base), None);
    }

    #[test]
    fn the_time_index_keeps_room_for_its_last_entry() {
        let config = LogConfig { segment_index_bytes: 24, index_interval_bytes: 0, ..LogConfig::default() };
        let mut pace = Pace::default();
        assert!(!pace.is_full(&config));
        pace.step(Offset::ZERO, &batch(0, 10, 0, 5), 0);
        assert!(!pace.is_full(&config));
        pace.step(Offset::ZERO, &batch(10, 10, 1, 6), 0);
        assert!(pace.is_full(&config), "one of two time entries is taken");
    }

    #[test]
    fn batches_without_timestamps_leave_no_time_entries() {
        let mut pace = Pace::default();
        pace.step(Offset::ZERO, &batch(0, 10, 0, -1), 0);
        let due = pace.step(Offset::ZERO, &batch(10, 10, 1, -1), 0);
        assert!(due.offset_entry.is_some());
        assert_eq!(due.time_entry, None);
    }
}
