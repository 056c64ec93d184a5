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
use super::name::FileType;

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
    const FILE: FileType = FileType::OffsetIndex;

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
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::commit::DirState;
    use crate::io::{BackendChoice, NativeDisk};
    use crate::segment::index::{Floor, IndexFile};
    use crate::segment::name::FileState;
    use crate::segment::open_files::OpenFiles;
    use crate::segment::place::{LogPath, Names, Site};
    use crate::segment::scan::ReadMode;

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

    fn names(directory: &Path, base_offset: u32) -> Names {
        let disk = Arc::new(NativeDisk::new(BackendChoice::Threads));
        let site =
            Site { disk, open_files: OpenFiles::new(100), flusher: Arc::new(DirState::new(directory)) };
        let path = LogPath::new(&Arc::new(site), directory.to_owned());
        Names::new(&path, Offset::new(i64::from(base_offset)), FileState::Live)
    }

    /// An index whose entries lie as `step` spreads them, written to a file as far as whole pages of it go.
    fn index(names: &Names, step: impl Fn(u32) -> u32) -> IndexFile<OffsetEntry> {
        let mut index = IndexFile::empty();
        let mut offset = 0;
        for number in 1..=5000 {
            offset += step(number);
            let position = FilePosition::new(u64::from(number) * 4100);
            index
                .append(names, OffsetEntry { offset: RelativeOffset::new(offset), position })
                .expect("written");
        }
        index
    }

    #[test]
    fn entries_written_outside_the_lock_are_neither_lost_nor_doubled_by_those_that_come_meanwhile() {
        let directory = tempfile::tempdir().expect("a directory");
        // A page is full after 512 entries, and is written by the append that fills it.
        for (before, meanwhile) in [(0, 3), (1, 0), (300, 100), (300, 212), (300, 300), (511, 1), (600, 600)]
        {
            let names = names(directory.path(), before * 1000 + meanwhile);
            let mut index = IndexFile::empty();
            let mut expected = Vec::new();
            let mut append = |index: &mut IndexFile<OffsetEntry>, count: u32| {
                for _ in 0..count {
                    let number = expected.len() as u32 / 8 + 1;
                    let position = FilePosition::new(u64::from(number) * 100);
                    let entry = OffsetEntry { offset: RelativeOffset::new(number), position };
                    entry.encode(&mut expected);
                    index.append(&names, entry).expect("written");
                }
            };
            append(&mut index, before);
            let file = index.handle(&names).expect("opened");
            let tail = index.encoded_tail();
            append(&mut index, meanwhile);
            file.write_all_at(&tail.bytes, tail.position()).expect("written");
            index.tail_was_written(&tail);
            assert_eq!(index.len(), u64::from(before + meanwhile));
            append(&mut index, 5);
            index.trim(&names).expect("written");
            assert_eq!(
                std::fs::read(names.path(FileType::OffsetIndex)).expect("read"),
                expected,
                "{before}, then {meanwhile}"
            );
        }
    }

    #[test]
    fn a_search_finds_the_same_wherever_it_was_told_to_look_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let even = |_| 7;
        let skewed = |number| if number % 1000 == 0 { 50_000 } else { 1 };
        let steps: [fn(u32) -> u32; 2] = [even, skewed];
        for (number, (name, step)) in (0..).zip(["even", "skewed"].into_iter().zip(steps)) {
            let names = names(directory.path(), number);
            let mut index = index(&names, step);
            let whole = u64::from(index.last().expect("entries").offset.get());
            for offset in (0..=whole + 10).step_by(97) {
                let reached = |entry: OffsetEntry| u64::from(entry.offset.get()) <= offset;
                let mut found =
                    |near: Option<u64>| match index.floor(&names, reached, ReadMode::Blocking).expect("read")
                    {
                        Floor::Found(entry) => entry,
                        Floor::InFile(view) => match near {
                            Some(part) => view.near(part, whole).floor(reached, ReadMode::Blocking),
                            None => view.floor(reached, ReadMode::Blocking),
                        }
                        .expect("read"),
                    };
                let straight = found(None);
                for part in [0, offset, whole / 2, whole, u64::MAX] {
                    assert_eq!(found(Some(part)), straight, "{name}: {offset} near {part}");
                }
            }
        }
    }
}
