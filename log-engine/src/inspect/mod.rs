//! Read-only views of a log's files for tools, without an engine: nothing is locked, created or repaired.

mod batches;
mod derive;

use std::io;
use std::path::Path;

use crate::error::{Corruption, Rule};
use crate::io::FileLock;
use crate::log_dir::LOCK_FILE;
use crate::segment::index::Entry;
use crate::segment::offset_index::OffsetEntry;
use crate::segment::time_index::TimeEntry;
use crate::types::{FilePosition, Offset, TimestampMs};

pub use crate::clean::choose::{
    Cleanable, LogFacts as CompactionFacts, cleanable, dirty_segments, is_overdue,
};
pub use crate::retain::decide::{RetentionLimits, SegmentsDue, newest_timestamp, segments_due};
pub use crate::segment::scan::{BatchAt, CheckedBatch};
pub use batches::{BatchWalk, Found, SegmentFile};
pub use derive::{Derivation, SegmentIndexes};

pub use crate::segment::name::{
    DirectoryName, FileName, FileState, FileType, file_name, parse_directory_name, parse_file_name,
};
pub use crate::segment::txn_index::{ENTRY_LEN as TXN_INDEX_ENTRY_LEN, parse as parse_txn_index};

/// Bytes of an entry of an `.index` file.
pub const OFFSET_INDEX_ENTRY_LEN: usize = crate::segment::offset_index::ENTRY_LEN;
/// Bytes of an entry of a `.timeindex` file.
pub const TIME_INDEX_ENTRY_LEN: usize = crate::segment::time_index::ENTRY_LEN;

/// An entry of an `.index` file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct OffsetIndexEntry {
    /// Last offset of the batch.
    pub offset: Offset,
    /// Where the batch begins in the `.log` file.
    pub position: FilePosition,
}

/// An entry of a `.timeindex` file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TimeIndexEntry {
    /// Largest timestamp so far.
    pub timestamp: TimestampMs,
    /// Last offset of the batch that has it.
    pub offset: Offset,
}

/// Whether a running process, ours or Kafka's, holds the `.lock` of a data directory: what is read there changes meanwhile.
pub fn is_in_use(data_dir: &Path) -> io::Result<bool> {
    FileLock::is_taken(&data_dir.join(LOCK_FILE))
}

/// The entries of an `.index` file, the zeros that a crash leaves behind them included.
pub fn offset_index_entries<'a>(
    path: &Path,
    base_offset: Offset,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = OffsetIndexEntry> + use<'a>, Corruption> {
    let entries = entries::<OffsetEntry>(path, bytes)?;
    Ok(entries
        .map(move |entry| OffsetIndexEntry { offset: entry.absolute(base_offset), position: entry.position }))
}

/// The entries of a `.timeindex` file, the zeros that a crash leaves behind them included.
pub fn time_index_entries<'a>(
    path: &Path,
    base_offset: Offset,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = TimeIndexEntry> + use<'a>, Corruption> {
    let entries = entries::<TimeEntry>(path, bytes)?;
    Ok(entries
        .map(move |entry| TimeIndexEntry { timestamp: entry.timestamp, offset: entry.absolute(base_offset) }))
}

fn entries<'a, E: Entry>(
    path: &Path,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = E> + use<'a, E>, Corruption> {
    if !bytes.len().is_multiple_of(E::LEN) {
        let rule = Rule::IndexLength { length: bytes.len() as u64, entry: E::LEN as u64 };
        return Err(Corruption { file: path.to_owned(), position: 0, rule });
    }
    Ok(bytes.chunks_exact(E::LEN).map(E::decode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::HEADER_LEN;
    use crate::producer::snapshot;

    #[test]
    fn the_page_about_the_format_has_the_lengths_that_the_code_has() {
        let page = include_str!("../../../docs/format.md");
        for line in [
            format!("| `.index` | {OFFSET_INDEX_ENTRY_LEN} |"),
            format!("| `.timeindex` | {TIME_INDEX_ENTRY_LEN} |"),
            format!("| `.txnindex` | {TXN_INDEX_ENTRY_LEN} |"),
            format!("a header is {HEADER_LEN} bytes"),
            format!("| {HEADER_LEN} | | records"),
            format!("| {} | {} each | entries |", snapshot::ENTRIES, snapshot::ENTRY_LEN),
            format!("| version: {} |", snapshot::VERSION),
        ] {
            assert!(page.contains(&line), "{line}");
        }
    }

    /// The rows of a table of fields behind a heading: where each field begins, and how long it is.
    fn fields(page: &str, heading: &str, nth_table: usize) -> Vec<(usize, usize)> {
        let section = page.split(heading).nth(1).expect(heading);
        let table = section.split("\n\n").filter(|part| part.starts_with('|')).nth(nth_table).expect(heading);
        let row = |line: &str| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            Some((cells.next()?.parse().ok()?, cells.next()?.parse().ok()?))
        };
        table.lines().filter_map(row).collect()
    }

    #[test]
    fn the_fields_in_the_page_about_the_format_leave_no_byte_out() {
        let page = include_str!("../../../docs/format.md");
        for (heading, nth_table, length) in [
            ("### `.log`\n", 0, HEADER_LEN),
            ("### `.snapshot`\n", 0, snapshot::ENTRIES),
            ("### `.snapshot`\n", 1, snapshot::ENTRY_LEN),
            ("#### Formats 0 and 1\n", 0, 26),
        ] {
            let end = fields(page, heading, nth_table).into_iter().fold(0, |end, (offset, bytes)| {
                assert_eq!(offset, end, "{heading}: a field begins where the one before it ends");
                offset + bytes
            });
            assert_eq!(end, length, "{heading}");
        }
    }
}
