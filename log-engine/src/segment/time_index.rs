//! `.timeindex`: up to which offset no record is younger than a timestamp.
//!
//! ```text
//!  0 timestamp i64 | largest timestamp so far in the segment
//!  8 offset    i32 | last offset of the batch that has it, counted from the segment's base offset
//! ```
//!
//! An entry is written beside each one of the offset index, if its timestamp is larger than the last; and one more
//! when the segment is left or closed, so that the last entry tells the segment's largest timestamp.

use crate::types::{Offset, RelativeOffset, TimestampMs};

use super::index::Entry;
use super::name::FileType;
use super::offset_index::be_u32;

/// Bytes of an entry.
pub(crate) const ENTRY_LEN: usize = 12;

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: TimestampMs,
    pub(crate) offset: RelativeOffset,
}

impl TimeEntry {
    /// The offset the entry stands for, in the segment at `base`.
    pub(crate) fn absolute(self, base: Offset) -> Offset {
        base.plus(i64::from(self.offset.get()))
    }
}

impl Entry for TimeEntry {
    const LEN: usize = ENTRY_LEN;
    const FILE: FileType = FileType::TimeIndex;

    fn encode(self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.timestamp.get().to_be_bytes());
        to.extend_from_slice(&self.offset.get().to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        let timestamp = bytes[..8].iter().fold(0, |number: i64, byte| number << 8 | i64::from(*byte));
        Self { timestamp: TimestampMs::new(timestamp), offset: RelativeOffset::new(be_u32(&bytes[8..12])) }
    }

    fn follows(self, previous: Self) -> bool {
        self.timestamp > previous.timestamp && self.offset >= previous.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_lies_in_the_file_as_kafka_writes_it() {
        let entry = TimeEntry {
            timestamp: TimestampMs::new(0x0102_0304_0506_0708),
            offset: RelativeOffset::new(0x090a_0b0c),
        };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(TimeEntry::decode(&bytes), entry);
    }
}
