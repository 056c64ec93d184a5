//! `.index`: for some batches, the last offset and where the batch begins.
//!
//! ```text
//!  0 offset    i32 | last offset of the batch, counted from the segment's base offset
//!  4 position  i32 | where that batch begins in the .log file
//! ```
//!
//! An entry is due once more than `index.interval.bytes` lie behind the last one.

use crate::types::{FilePosition, Offset, RelativeOffset};

use super::index::Entry;

/// Bytes of an entry.
pub(crate) const ENTRY_LEN: usize = 8;

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct OffsetEntry {
    pub(crate) offset: RelativeOffset,
    pub(crate) position: FilePosition,
}

impl OffsetEntry {
    /// The offset the entry stands for, in the segment at `base`.
    pub(crate) fn absolute(self, base: Offset) -> Offset {
        base.plus(i64::from(self.offset.get()))
    }
}

impl Entry for OffsetEntry {
    const LEN: usize = ENTRY_LEN;

    fn encode(self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.offset.get().to_be_bytes());
        // Segments end below 2^31 bytes, so the position is not cut.
        to.extend_from_slice(&(self.position.get() as u32).to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            offset: RelativeOffset::new(be_u32(&bytes[..4])),
            position: FilePosition::new(u64::from(be_u32(&bytes[4..8]))),
        }
    }

    fn follows(self, previous: Self) -> bool {
        self.offset > previous.offset && self.position > previous.position
    }
}

pub(super) fn be_u32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_lies_in_the_file_as_kafka_writes_it() {
        let entry = OffsetEntry {
            offset: RelativeOffset::new(0x0102_0304),
            position: FilePosition::new(0x0506_0708),
        };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(OffsetEntry::decode(&bytes), entry);
    }
}
