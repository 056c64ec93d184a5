//! The batches of a `.log` file as recovery judges them, except that this walk goes on behind damage.

use std::io;
use std::path::Path;

use crate::error::{Corruption, Rule};
use crate::io::{BackendChoice, Disk, DiskFile, FileHandle, NativeDisk, OpenMode};
use crate::segment::scan::{BatchAt, CANDIDATES_MAX, CheckedBatch, CheckedWalk, WalkError};
use crate::types::Offset;

/// A `.log` file, open for reading.
#[derive(Debug)]
pub struct SegmentFile {
    file: FileHandle,
    base_offset: Offset,
    length: u64,
}

impl SegmentFile {
    /// Opens the file of the segment that is named after `base_offset`.
    pub fn open(path: &Path, base_offset: Offset) -> io::Result<Self> {
        let file = NativeDisk::new(BackendChoice::Threads).open(path, OpenMode::Read)?;
        let length = file.len()?;
        Ok(Self { file, base_offset, length })
    }

    /// Bytes in the file when it was opened.
    pub fn size_bytes(&self) -> u64 {
        self.length
    }

    /// All batches. `previous` is the last one of the segment before, which the first has to follow.
    pub fn batches(&self, previous: Option<BatchAt>) -> BatchWalk<'_> {
        BatchWalk::over(&*self.file, self.length, self.base_offset, previous)
    }
}

/// A walk over a file that holds one window of it in memory. See [`SegmentFile::batches`].
pub struct BatchWalk<'a> {
    walk: CheckedWalk<'a>,
    position: u64,
    candidates_left: u32,
}

/// What stands at the walk's place.
#[derive(Debug)]
pub enum Found<'a> {
    /// A batch that is whole, valid and continues the one before it.
    Batch(CheckedBatch<'a>),
    /// Anything else.
    Damage {
        /// What is wrong, and where.
        corruption: Corruption,
        /// Where the walk goes on; `None` where nothing whole follows. The very place of the damage if the batch is whole but
        /// does not follow the one before it: then it comes next.
        resumes_at: Option<u64>,
    },
}

impl<'a> BatchWalk<'a> {
    /// A walk over the first `length` bytes of a segment.
    pub(crate) fn over(
        file: &'a dyn DiskFile,
        length: u64,
        base_offset: Offset,
        previous: Option<BatchAt>,
    ) -> Self {
        let walk = CheckedWalk::new(file, length, base_offset, previous);
        Self { walk, position: 0, candidates_left: CANDIDATES_MAX }
    }

    /// The next batch or damage; `None` at the end. An error is the file system's.
    pub fn next_found(&mut self) -> io::Result<Option<Found<'_>>> {
        let position = self.position;
        let corruption = match self.walk.check_at(position) {
            Ok(None) => return Ok(None),
            Ok(Some(batch)) => {
                self.position = batch.end();
                return Ok(Some(Found::Batch(self.walk.accept(batch)?)));
            }
            Err(WalkError::Corrupt(corruption)) => corruption,
            Err(WalkError::Io(error)) => return Err(error),
        };
        let resumes_at = self.resume(&corruption)?;
        self.position = resumes_at.unwrap_or(u64::MAX);
        Ok(Some(Found::Damage { corruption, resumes_at }))
    }

    fn resume(&mut self, damage: &Corruption) -> io::Result<Option<u64>> {
        let position = damage.position;
        if matches!(damage.rule, Rule::OffsetOrder { .. } | Rule::EpochOrder { .. }) {
            self.walk.forget_previous();
            return Ok(Some(position));
        }
        self.walk.next_whole(position, &mut self.candidates_left)
    }
}
