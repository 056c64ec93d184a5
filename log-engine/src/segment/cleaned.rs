//! A segment in the making, under names that end in `.cleaned`: what compaction writes. It becomes a [`Segment`] like any
//! other, whose files are already open, and is then renamed into its place.

use std::io;
use std::sync::Arc;

use crate::error::Rule;
use crate::io::{Disk, FileHandle, OpenMode, with_suffix};
use crate::types::{Offset, TimestampMs};

use super::index::IndexFile;
use super::name::{CLEANED, FileType, SWAP};
use super::pace::Pace;
use super::scan::BatchAt;
use super::txn_index::{AbortedTransaction, TxnIndex};
use super::{LogPath, Segment, State, ignore_missing};

/// The files of a segment, in the order in which they are renamed: the records first, so that a segment whose renaming
/// was cut short is known by what is still `.cleaned` of it.
const FILES: [FileType; 4] = [FileType::Log, FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex];

/// Bytes of segments are counted in 31 bits.
const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

pub(crate) struct CleanedSegment {
    base_offset: Offset,
    disk: Arc<dyn Disk>,
    path: Arc<LogPath>,
    file: FileHandle,
    state: State,
    index_interval_bytes: u32,
}

impl CleanedSegment {
    /// Begins a segment; what an earlier attempt left goes.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        path: &Arc<LogPath>,
        base_offset: Offset,
        index_interval_bytes: u32,
    ) -> io::Result<Self> {
        remove_leftovers(disk, path, base_offset)?;
        let named = |file_type| with_suffix(&path.file(base_offset, file_type), CLEANED);
        let file = disk.open(&named(FileType::Log), OpenMode::CreateNew)?;
        let state = State {
            size: 0,
            end_offset: base_offset,
            pace: Pace::default(),
            created: TimestampMs::NONE,
            offset_index: IndexFile::empty(named(FileType::OffsetIndex)),
            time_index: IndexFile::empty(named(FileType::TimeIndex)),
            txn_index: TxnIndex::empty(named(FileType::TxnIndex)),
        };
        let (disk, path) = (Arc::clone(disk), Arc::clone(path));
        Ok(Self { base_offset, disk, path, file, state, index_interval_bytes })
    }

    /// Adds whole batches.
    pub(crate) fn append(&mut self, batches: &[u8]) -> io::Result<()> {
        let position = self.state.size;
        if position + batches.len() as u64 > SEGMENT_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the cleaned segment outgrows 2^31 bytes",
            ));
        }
        self.file.write_all_at(batches, position)?;
        let mut rest = batches;
        while !rest.is_empty() {
            let at = BatchAt::read(rest, self.state.size)
                .map_err(|rule: Rule| io::Error::other(rule.to_string()))?;
            self.state.note(&self.disk, self.base_offset, &at, self.index_interval_bytes)?;
            rest = rest.get(at.size as usize..).unwrap_or_default();
        }
        Ok(())
    }

    /// Notes a transaction that was aborted and of which something is left.
    pub(crate) fn append_aborted(&mut self, transaction: &AbortedTransaction) -> io::Result<()> {
        self.state.txn_index.append(&self.disk, transaction)
    }

    /// All of it is in the files and these are on the disk; still under their `.cleaned` names.
    pub(crate) fn finish(mut self, end: Offset, created: TimestampMs) -> io::Result<Arc<Segment>> {
        self.state.append_last_time_entry(&self.disk, self.base_offset)?;
        self.state.end_offset = end;
        self.state.created = created;
        let indexes = [self.state.offset_index.trim(&self.disk)?, self.state.time_index.trim(&self.disk)?];
        let txn_index = self.state.txn_index.trim(&self.disk)?;
        self.file.sync_data()?;
        indexes.into_iter().chain(txn_index).try_for_each(|file| file.sync_data())?;
        Ok(Segment::with_state(&self.disk, &self.path, self.base_offset, self.state, Some(self.file)))
    }
}

/// Removes what a cleaning of the segment at `base_offset` left under names of its own.
pub(crate) fn remove_leftovers(disk: &Arc<dyn Disk>, path: &LogPath, base_offset: Offset) -> io::Result<()> {
    for file_type in FILES {
        for suffix in [CLEANED, SWAP] {
            ignore_missing(disk.remove_file(&with_suffix(&path.file(base_offset, file_type), suffix)))?;
        }
    }
    Ok(())
}

impl Segment {
    /// Renames the files from `.cleaned` to `.swap`.
    pub(crate) fn make_swap(&self) -> io::Result<()> {
        self.exchange_suffix(&self.files(), CLEANED, SWAP)
    }

    /// Renames the files from `.swap` to their plain names.
    pub(crate) fn make_live(&self) -> io::Result<()> {
        self.exchange_suffix(&self.files(), SWAP, "")
    }

    /// Bytes of the offset index and of the time index.
    pub(crate) fn index_bytes(&self) -> (u64, u64) {
        let state = self.state();
        (
            state.offset_index.len() * super::offset_index::ENTRY_LEN as u64,
            state.time_index.len() * super::time_index::ENTRY_LEN as u64,
        )
    }
}
