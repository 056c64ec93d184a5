//! An index file: entries of one size, read a block at a time.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

const BLOCK: usize = 4096;

/// An open index whose entries have `N` bytes.
pub(super) struct IndexFile<const N: usize> {
    file: File,
    length: u64,
    block: Vec<u8>,
    block_start: u64,
}

impl<const N: usize> IndexFile<N> {
    /// Opens an index; unlike Kafka's tool, never creates it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length, block: Vec::new(), block_start: 0 })
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whole entries, unused ones at the end included.
    pub(super) fn entries(&self) -> u64 {
        self.length / N as u64
    }

    /// The bytes of one entry; zeros where the file became shorter meanwhile.
    pub(super) fn entry(&mut self, index: u64) -> io::Result<[u8; N]> {
        let position = index * N as u64;
        let block_length = (BLOCK / N * N) as u64;
        let start = position / block_length * block_length;
        if self.block.is_empty() || start != self.block_start {
            self.load(start, block_length as usize)?;
        }
        let from = (position - start) as usize;
        Ok(self.block.get(from..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N]))
    }

    fn load(&mut self, start: u64, length: usize) -> io::Result<()> {
        self.block.resize(length, 0);
        self.block_start = start;
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut self.block[filled..], start + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.block[filled..].fill(0);
        Ok(())
    }
}
