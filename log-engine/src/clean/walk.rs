//! Reading whole batches from a file, a buffer at a time. The buffer grows to the size of a batch that is larger, which
//! is bounded by the file.

use std::io;

use crate::batch::{BatchView, Prefix};
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
    /// The batches that begin before `end`; the buffer's capacity is what is read at once.
    pub(super) fn new(file: &'a dyn DiskFile, position: u64, end: u64, buffer: &'a mut Vec<u8>) -> Self {
        Self { file, position, end, buffer, held: 0, taken: 0 }
    }

    /// The next batch, its checksum verified unless the batch is `trusted`.
    pub(super) fn next_batch(
        &mut self,
        trusted: impl FnOnce(&BatchView<'_>) -> bool,
    ) -> Result<Option<BatchView<'_>>, WalkError> {
        let at = self.position + self.taken as u64;
        if at >= self.end {
            return Ok(None);
        }
        let Some(bytes) = self.hold(Prefix::LEN)? else { return Err(self.cut(Prefix::LEN)) };
        let prefix = match Prefix::read(bytes) {
            Ok(prefix) if prefix.magic == 2 => prefix,
            Ok(prefix) => return Err(WalkError::OldFormat { magic: prefix.magic, position: at }),
            Err(_) => return Err(self.corrupt(Rule::BatchHeader)),
        };
        let size = prefix.size_in_bytes;
        if self.hold(size)?.is_none() {
            return Err(self.cut(size));
        }
        let start = self.taken;
        let Ok(batch) = BatchView::read(&self.buffer[start..start + size]) else {
            return Err(self.corrupt(Rule::BatchHeader));
        };
        if batch.last_offset_delta() < 0 || batch.base_offset().get() < 0 {
            return Err(self.corrupt(Rule::BatchHeader));
        }
        if !trusted(&batch) {
            let (stored, computed) = (batch.crc(), batch.computed_crc());
            if stored != computed {
                return Err(self.corrupt(Rule::CrcMismatch { stored, computed }));
            }
        }
        self.taken += size;
        // Read once more because the borrow above ended with the checks.
        Ok(BatchView::read(&self.buffer[start..start + size]).ok())
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
            let room = self.buffer.len().max(want).min((self.end - self.position) as usize);
            if self.buffer.len() < room {
                self.buffer.resize(room, 0);
            }
            self.file.read_exact_at(&mut self.buffer[self.held..room], self.position + self.held as u64)?;
            self.held = room;
        }
        Ok(Some(&self.buffer[self.taken..self.held]))
    }

    fn cut(&self, expected: usize) -> WalkError {
        let present = self.end - self.position - self.taken as u64;
        self.corrupt(Rule::BatchCut { expected: expected as u64, present })
    }

    fn corrupt(&self, rule: Rule) -> WalkError {
        let position = self.position + self.taken as u64;
        WalkError::Corrupt(Box::new(Corruption { file: self.file.path().to_owned(), position, rule }))
    }
}
