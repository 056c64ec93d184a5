//! A group of writes and flushes that a backend carries out together.

use std::io::{self, IoSlice};

use bytes::Bytes;

use super::{FileHandle, ShortWrite};

/// Parts of one vectored write; the kernel takes no more than this many.
pub(crate) const PARTS_MAX: usize = 1024;

/// Carries out groups. One per committer thread; the buffers of a group stay owned by the queue until the kernel
/// has finished with them, whatever becomes of those who wait for it.
pub trait WriteQueue {
    /// Writes every run of every file and then, for files that ask for it, makes the bytes durable; returns once
    /// all of it has ended one way or the other, with the outcomes filled in. A file is flushed at most once, and
    /// only after all of its bytes were counted.
    fn execute(&mut self, group: &mut WriteGroup);
}

/// Everything that is to be written at once, by file.
#[derive(Debug, Default)]
pub struct WriteGroup {
    /// Each file at most once.
    pub files: Vec<FileGroup>,
    /// What it took, filled in by the queue.
    pub counts: QueueCounts,
}

/// The writes of one file.
#[derive(Debug)]
pub struct FileGroup {
    /// The file.
    pub file: FileHandle,
    /// Contiguous stretches, in order of position.
    pub runs: Vec<Run>,
    /// Whether the file must be durable when the group has ended.
    pub sync: bool,
    /// How the flush ended; `None` where none was asked for, or where no byte was written. Once it has failed it stays
    /// so.
    pub synced: Option<io::Result<()>>,
}

/// A contiguous stretch of one file.
#[derive(Debug)]
pub struct Run {
    /// Where it begins.
    pub position: u64,
    /// Its bytes, at most [`Run::PARTS_MAX`] pieces.
    pub parts: Vec<Bytes>,
    /// How it ended; `Ok` until the queue has run.
    pub outcome: Result<(), ShortWrite>,
}

impl Run {
    /// As many pieces as one vectored write takes.
    pub const PARTS_MAX: usize = PARTS_MAX;

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a group cost in system calls that matter.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct QueueCounts {
    /// Vectored writes, each one contiguous stretch.
    pub writes: u64,
    /// Flushes of a file.
    pub syncs: u64,
    /// Times the ring was entered.
    pub ring_enters: u64,
    /// Entries handed to the ring.
    pub ring_entries: u64,
}

/// Writes the runs of a file one after the other on the calling thread, into the page cache. A run that fails does
/// not keep the others from being tried. Of a file that must be durable the disk gets long runs in pieces while the
/// rest is copied; if it refuses one, that counts as the file's flush, failed.
pub fn write_runs(file: &mut FileGroup, counts: &mut QueueCounts) {
    for run in 0..file.runs.len() {
        write_run(file, run, counts);
    }
}

pub(super) fn write_run(file: &mut FileGroup, run: usize, counts: &mut QueueCounts) {
    counts.writes += 1;
    let FileGroup { file, runs, sync, synced } = file;
    let run = &mut runs[run];
    let piece_max = if *sync && run.len() >= IN_PIECES_FROM { PIECE_LEN } else { u64::MAX };
    let (mut written, mut rest) = (0, &run.parts[..]);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(parts_of_piece(rest, piece_max));
        rest = behind;
        let len: u64 = piece.iter().map(|part| part.len() as u64).sum();
        if let Err(short) = write_parts(file, piece, run.position + written) {
            run.outcome = Err(ShortWrite { written: written + short.written, error: short.error });
            return;
        }
        if !rest.is_empty()
            && let Err(error) = file.start_writeback(run.position + written, len)
        {
            *synced = Some(Err(error));
        }
        written += len;
    }
}

/// Runs of this length and more are handed to the disk in pieces.
const IN_PIECES_FROM: u64 = 4 << 20;

/// Bytes of a piece. Smaller ones cost more than they gain (docs/adr/0003-io-uring-earns-its-place.md).
const PIECE_LEN: u64 = 2 << 20;

/// How many parts, from the front, come nearest to a piece without being more; one at least.
fn parts_of_piece(parts: &[Bytes], piece_max: u64) -> usize {
    let mut len: u64 = 0;
    let fits = |part: &&Bytes| {
        len += part.len() as u64;
        len <= piece_max
    };
    parts.iter().take_while(fits).count().max(1)
}

fn write_parts(file: &FileHandle, parts: &[Bytes], position: u64) -> Result<(), ShortWrite> {
    match parts {
        [only] => file.write_vectored_all_at(&[IoSlice::new(only)], position),
        parts => {
            let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            file.write_vectored_all_at(&slices, position)
        }
    }
}

impl FileGroup {
    /// Whether any byte of the group is in the file, so that a flush has something to do.
    pub(crate) fn wrote_anything(&self) -> bool {
        self.runs.iter().any(|run| match &run.outcome {
            Ok(()) => true,
            Err(short) => short.written > 0,
        })
    }

    /// Whether it has to be flushed now.
    pub(super) fn wants_flush(&self) -> bool {
        self.sync && self.synced.is_none() && self.wrote_anything()
    }

    /// Lets the disk begin with what was written, so that it works on one file's bytes while another's flush waits.
    pub(super) fn start_writeback(&self) -> io::Result<()> {
        let start = self.runs.iter().map(|run| run.position).min().unwrap_or(0);
        let end = self.runs.iter().map(|run| run.position + run.len()).max().unwrap_or(0);
        self.file.start_writeback(start, end - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_as_long_as_it_may_be_and_never_empty() {
        let parts: Vec<Bytes> = [3, 3, 5, 1].map(|len| Bytes::from(vec![0; len])).to_vec();
        for (piece_max, expected) in [(u64::MAX, 4), (11, 3), (10, 2), (6, 2), (5, 1), (1, 1)] {
            assert_eq!(parts_of_piece(&parts, piece_max), expected, "{piece_max}");
        }
    }
}
