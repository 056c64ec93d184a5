//! Reading batches from a file, a buffer at a time: as much of each as is wanted. The buffer grows to the size of a batch that
//! is larger, which is bounded by the file.

use std::io;

use crate::batch::{BatchHeader, BatchView, HEADER_LEN, Prefix};
use crate::error::{Corruption, Rule};
use crate::io::DiskFile;

/// Batches of one file, from a position on.
pub(super) struct Walk<'a> {
    file: &'a dyn DiskFile,
    position: u64,
    end: u64,
    buffer: &'a mut Vec<u8>,
    // What the buffer holds of the file, from `position` on.
    held: usize,
    taken: usize,
    // How much is read at once: little while batches are passed over, then more and more.
    ahead: usize,
    // Read of the file since somebody asked.
    read: u64,
}

/// What is read at once behind a batch that was passed over.
const LEAST_AHEAD: usize = 1 << 10;

/// How much of a batch is wanted.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    Header,
    /// All of it, unseen.
    Bytes,
    /// All of it, if its checksum matches.
    Verified,
}

/// A batch of a walk.
pub(super) struct Found<'b> {
    pub(super) position: u64,
    pub(super) header: BatchHeader<'b>,
    /// Unless only the header was wanted.
    pub(super) batch: Option<BatchView<'b>>,
}

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Corrupt(Box<Corruption>),
    /// Only v2 is cleaned.
    #[error("a batch of the old format {magic} at byte {position}")]
    OldFormat { magic: i8, position: u64 },
}

impl<'a> Walk<'a> {
    /// The batches that begin before `end`; the buffer's length is what is read at once.
    pub(super) fn new(file: &'a dyn DiskFile, position: u64, end: u64, buffer: &'a mut Vec<u8>) -> Self {
        let ahead = buffer.len();
        Self { file, position, end, buffer, held: 0, taken: 0, ahead, read: 0 }
    }

    /// Bytes that were read of the file since this was asked before: of batches that were passed over, too, and none twice.
    pub(super) fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    /// The next batch, verified.
    pub(super) fn next_batch(&mut self) -> Result<Option<BatchView<'_>>, WalkError> {
        Ok(self.next(|_| Wanted::Verified)?.and_then(|found| found.batch))
    }

    /// As much of the next batch as is wanted.
    pub(super) fn next(
        &mut self,
        wanted: impl FnOnce(&BatchHeader<'_>) -> Wanted,
    ) -> Result<Option<Found<'_>>, WalkError> {
        let position = self.position + self.taken as u64;
        if position >= self.end {
            return Ok(None);
        }
        let size = self.size_of_next(position)?;
        let Some(bytes) = self.hold(HEADER_LEN)? else { return Err(self.cut(HEADER_LEN)) };
        let Ok(header) = BatchHeader::read(bytes) else { return Err(self.corrupt(Rule::BatchHeader)) };
        if header.last_offset_delta() < 0 || header.base_offset().get() < 0 {
            return Err(self.corrupt(Rule::BatchHeader));
        }
        let wanted = wanted(&header);
        let held = if wanted == Wanted::Header { HEADER_LEN } else { size };
        if self.end - position < size as u64 || self.hold(held)?.is_none() {
            return Err(self.cut(size));
        }
        let start = self.taken;
        if wanted == Wanted::Verified {
            verified(self.file, position, &self.buffer[start..start + size])?;
        }
        self.pass(size);
        // Read once more because the borrow above ended with the checks.
        let bytes = &self.buffer[start..start + held];
        let Ok(header) = BatchHeader::read(bytes) else { return Ok(None) };
        Ok(Some(Found { position, header, batch: BatchView::read(bytes).ok() }))
    }

    fn size_of_next(&mut self, position: u64) -> Result<usize, WalkError> {
        let Some(bytes) = self.hold(Prefix::LEN)? else { return Err(self.cut(Prefix::LEN)) };
        match Prefix::read(bytes) {
            Ok(prefix) if prefix.magic == 2 => Ok(prefix.size_in_bytes),
            Ok(prefix) => Err(WalkError::OldFormat { magic: prefix.magic, position }),
            Err(_) => Err(self.corrupt(Rule::BatchHeader)),
        }
    }

    // What is not held of the batch is not wanted.
    fn pass(&mut self, size: usize) {
        self.taken += size;
        if self.taken > self.held {
            self.position += self.taken as u64;
            (self.held, self.taken) = (0, 0);
            self.ahead = LEAST_AHEAD;
        }
    }

    // At least `want` bytes from the walk's place on; `None` where the file ends before.
    fn hold(&mut self, want: usize) -> io::Result<Option<&[u8]>> {
        if self.held - self.taken < want {
            let left = self.end - self.position - self.taken as u64;
            if left < want as u64 {
                return Ok(None);
            }
            self.buffer.copy_within(self.taken..self.held, 0);
            (self.position, self.held) = (self.position + self.taken as u64, self.held - self.taken);
            self.taken = 0;
            let room = self.ahead.max(want).min((self.end - self.position) as usize);
            if self.buffer.len() < room {
                self.buffer.resize(room, 0);
            }
            self.ahead = (2 * self.ahead).min(self.buffer.len());
            self.file.read_exact_at(&mut self.buffer[self.held..room], self.position + self.held as u64)?;
            self.read += (room - self.held) as u64;
            self.held = room;
        }
        Ok(Some(&self.buffer[self.taken..self.held]))
    }

    fn cut(&self, expected: usize) -> WalkError {
        let present = self.end - self.position - self.taken as u64;
        self.corrupt(Rule::BatchCut { expected: expected as u64, present })
    }

    fn corrupt(&self, rule: Rule) -> WalkError {
        corrupt(self.file, self.position + self.taken as u64, rule)
    }
}

/// The batch in `bytes`, which were read at `position`, if it is whole and its checksum matches.
pub(super) fn verified<'b>(
    file: &dyn DiskFile,
    position: u64,
    bytes: &'b [u8],
) -> Result<BatchView<'b>, WalkError> {
    let batch = BatchView::read(bytes).map_err(|_| corrupt(file, position, Rule::BatchHeader))?;
    let (stored, computed) = (batch.crc(), batch.computed_crc());
    if stored == computed {
        Ok(batch)
    } else {
        Err(corrupt(file, position, Rule::CrcMismatch { stored, computed }))
    }
}

fn corrupt(file: &dyn DiskFile, position: u64, rule: Rule) -> WalkError {
    WalkError::Corrupt(Box::new(Corruption { file: file.path().to_owned(), position, rule }))
}
