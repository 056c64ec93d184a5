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
    /// How the flush ended; `None` where none was asked for, or where no byte was written.
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
/// not keep the others from being tried.
pub fn write_runs(file: &mut FileGroup, counts: &mut QueueCounts) {
    for run in &mut file.runs {
        write_run(&file.file, run, counts);
    }
}

pub(super) fn write_run(file: &FileHandle, run: &mut Run, counts: &mut QueueCounts) {
    counts.writes += 1;
    run.outcome = match run.parts.as_slice() {
        [only] => file.write_vectored_all_at(&[IoSlice::new(only)], run.position),
        parts => {
            let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            file.write_vectored_all_at(&slices, run.position)
        }
    };
}

impl FileGroup {
    /// Whether any byte of the group is in the file, so that a flush has something to do.
    pub(crate) fn wrote_anything(&self) -> bool {
        self.runs.iter().any(|run| match &run.outcome {
            Ok(()) => true,
            Err(short) => short.written > 0,
        })
    }

    /// Lets the disk begin with what was written, so that it works on one file's bytes while another's flush waits.
    pub(super) fn start_writeback(&self) -> io::Result<()> {
        let start = self.runs.iter().map(|run| run.position).min().unwrap_or(0);
        let end = self.runs.iter().map(|run| run.position + run.len()).max().unwrap_or(0);
        self.file.start_writeback(start, end - start)
    }
}
