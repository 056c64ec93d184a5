//! A `.log` file read through one bounded buffer, front to back with small steps back.
//!
//! Memory is that of the buffer: a batch that does not fit is read in pieces. The buffer grows only to hold one record
//! that is larger than it.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// How much is read at once.
pub(super) const READ_AHEAD: usize = 512 * 1024;

/// An open `.log` file and the part of it that lies in memory.
pub(super) struct Segment {
    file: File,
    end: u64,
    length: u64,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Segment {
    /// Opens a file; nothing past `limit` is read.
    pub(super) fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        if length > i32::MAX as u64 {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than the largest segment, 2147483647 bytes",
            ));
        }
        Ok(Self { file, end: length.min(limit), length, buffer: Vec::new(), start: 0, filled: 0 })
    }

    /// Where reading ends: the end of the file, or the limit.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether the limit, not the file, is what reading ends at.
    pub(super) fn is_cut_by_limit(&self) -> bool {
        self.end < self.length
    }

    /// The bytes from `position`, at least `wanted` of them unless the file ends before.
    pub(super) fn bytes(&mut self, position: u64, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX));
        if position < self.start || position + wanted as u64 > self.start + self.filled as u64 {
            self.refill(position, wanted)?;
        }
        let from = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        Ok(self.buffer.get(from..self.filled).unwrap_or_default())
    }

    fn refill(&mut self, position: u64, wanted: usize) -> io::Result<()> {
        let kept = match position.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok()) {
            Some(skip) if skip < self.filled => {
                self.buffer.copy_within(skip..self.filled, 0);
                self.filled - skip
            }
            _ => 0,
        };
        self.start = position;
        self.filled = kept;
        let size = wanted.max(READ_AHEAD);
        if self.buffer.len() < size || self.buffer.len() > size.max(READ_AHEAD * 2) {
            self.buffer.resize(size, 0);
            self.buffer.shrink_to_fit();
        }
        let until =
            self.buffer.len().min(usize::try_from(self.end - position.min(self.end)).unwrap_or(usize::MAX));
        while self.filled < until {
            let at = self.start + self.filled as u64;
            match self.file.read_at(&mut self.buffer[self.filled..until], at) {
                Ok(0) => {
                    // The file became shorter while it was read.
                    self.end = at;
                    self.length = at;
                    break;
                }
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
