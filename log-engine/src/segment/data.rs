//! A stretch of a `.log` file, handed to readers: [`FileSlice`].

use std::io;
use std::os::fd::AsFd;

use bytes::Bytes;

use crate::io::FileHandle;
use crate::io::transfer::{self, Residency};

/// Whole batches (the last one may be cut, as Kafka's fetch responses allow) in a file that stays readable as long as
/// this exists, also when its segment is deleted meanwhile.
#[derive(Debug, Clone)]
pub struct FileSlice {
    file: FileHandle,
    position: u64,
    len: usize,
}

impl FileSlice {
    pub(crate) fn new(file: FileHandle, position: u64, len: usize) -> Self {
        Self { file, position, len }
    }

    /// Bytes of the slice.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the slice has no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes from `from` on, at most `max`, as a slice of their own.
    #[must_use]
    pub fn part(&self, from: usize, max: usize) -> Self {
        let from = from.min(self.len);
        let len = (self.len - from).min(max);
        Self { file: FileHandle::clone(&self.file), position: self.position + from as u64, len }
    }

    /// Where the slice begins in its file.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Sends bytes from `from` on, at most `max`, to a socket by sendfile; answers how many it took. `WouldBlock` where
    /// a non-blocking socket takes none. Waits for the disk where the bytes are not in the page cache: ask
    /// [`FileSlice::is_resident`] first where that matters.
    pub fn send_to(&self, socket: &impl AsFd, from: usize, max: usize) -> io::Result<usize> {
        let len = self.len.saturating_sub(from).min(max);
        transfer::send(&*self.file, self.position + from as u64, len, socket)
    }

    /// Fills `buffer` with the bytes from `from` on; answers how many there were.
    pub fn read_into(&self, from: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.len.saturating_sub(from).min(buffer.len());
        self.file.read_exact_at(&mut buffer[..len], self.position + from as u64)?;
        Ok(len)
    }

    /// A copy of all bytes. May wait for the disk.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.len];
        self.read_into(0, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Whether sending will not wait for the disk.
    pub fn is_resident(&self) -> io::Result<bool> {
        Ok(transfer::residency(&*self.file, self.position, self.len as u64)? == Residency::Resident)
    }

    /// Reads the slice into the page cache, and waits until it is there. Not for a thread that serves sockets.
    pub fn bring_in(&self) -> io::Result<()> {
        self.file.bring_in(self.position, self.len as u64)
    }
}
