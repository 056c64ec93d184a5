//! A segment in the making, under names that end in `.cleaned`: what compaction writes. It becomes a [`Segment`] like any
//! other, whose files are already open, and is then renamed into its place.

use std::io;
use std::sync::Arc;

use crate::error::Rule;
use crate::io::{FileHandle, OpenMode, with_suffix};
use crate::types::{Offset, TimestampMs};

use super::files::Flushed;
use super::name::{CLEANED, FileState, FileType, SWAP};
use super::place::Names;
use super::scan::BatchAt;
use super::txn_index::AbortedTransaction;
use super::{LogPath, Segment, State, ignore_missing};

/// The files of a segment, in the order in which they are renamed: the records first, so that a segment whose renaming
/// was cut short is known by what is still `.cleaned` of it.
const FILES: [FileType; 4] = [FileType::Log, FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex];

/// Bytes of segments are counted in 31 bits.
const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

pub(crate) struct CleanedSegment {
    names: Names,
    file: FileHandle,
    state: State,
    index_interval_bytes: u32,
}

impl CleanedSegment {
    /// Begins a segment; what an earlier attempt left goes.
    pub(crate) fn create(
        path: &Arc<LogPath>,
        base_offset: Offset,
        index_interval_bytes: u32,
    ) -> io::Result<Self> {
        remove_leftovers(path, base_offset)?;
        let names = Names::new(path, base_offset, FileState::Cleaned);
        let file = names.open_to_keep(FileType::Log, OpenMode::CreateNew)?;
        let mut state = State::empty(base_offset);
        let file = state.log_file.keep(file);
        Ok(Self { names, file, state, index_interval_bytes })
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
            self.state.note(&self.names, &at, self.index_interval_bytes)?;
            rest = rest.get(at.size as usize..).unwrap_or_default();
        }
        Ok(())
    }

    /// Notes a transaction that was aborted and of which something is left.
    pub(crate) fn append_aborted(&mut self, transaction: &AbortedTransaction) -> io::Result<()> {
        self.state.txn_index.append(&self.names, transaction)
    }

    /// All of it is in the files and these are on the disk; still under their `.cleaned` names. They stay open until they
    /// have their plain ones.
    pub(crate) fn finish(mut self, end: Offset, created: TimestampMs) -> io::Result<Arc<Segment>> {
        let names = &self.names;
        self.state.append_last_time_entry(names)?;
        self.state.end_offset = end;
        self.state.created = created;
        let indexes = [self.state.offset_index.trim(names)?, self.state.time_index.trim(names)?];
        let txn_index = self.state.txn_index.trim(names)?;
        self.file.sync_data()?;
        indexes.into_iter().chain(txn_index).try_for_each(|file| file.sync_data())?;
        self.state.flushed = Flushed::up_to(self.state.size);
        self.state.flushed.stay_open(true);
        Ok(Segment::with_state(self.names, self.state))
    }
}

/// Removes what a cleaning of the segment at `base_offset` left under names of its own.
pub(crate) fn remove_leftovers(path: &LogPath, base_offset: Offset) -> io::Result<()> {
    for file_type in FILES {
        for suffix in [CLEANED, SWAP] {
            ignore_missing(
                path.disk().remove_file(&with_suffix(&path.file(base_offset, file_type), suffix)),
            )?;
        }
    }
    Ok(())
}

impl Segment {
    /// Renames the files from `.cleaned` to `.swap`.
    pub(crate) fn make_swap(&self) -> io::Result<()> {
        self.rename_files(&self.files(), FileState::Cleaned, FileState::Swap)
    }

    /// Renames the files from `.swap` to their plain names.
    pub(crate) fn make_live(&self) -> io::Result<()> {
        self.rename_files(&self.files(), FileState::Swap, FileState::Live)?;
        self.open_as_needed();
        Ok(())
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
