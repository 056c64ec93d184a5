//! The ring through the crate `tokio-uring`: one task a file, writes first, then its flush. Exists to be measured against
//! the ring of our own (docs/adr/0003-io-uring-earns-its-place.md) and is a feature nobody needs to switch on.
//!
//! The runtime lives on the committer's thread and is entered for one group at a time; the engine as a whole stays without
//! a runtime. Buffers are owned by the crate's operations until they complete, also where a task is dropped.

use std::fs::File;
use std::io;
use std::mem;

use bytes::{Buf, Bytes};
use tokio_uring::Runtime;

use super::write::{FileGroup, QueueCounts, Run, WriteGroup, WriteQueue, write_runs};
use super::{FileHandle, ShortWrite};

/// Operations in flight; the crate enters what is more when there is room.
const RING_ENTRIES: u32 = 256;

pub(super) struct TokioUringQueue {
    runtime: Runtime,
}

impl TokioUringQueue {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Runtime::new(tokio_uring::builder().entries(RING_ENTRIES))?;
        Ok(Self { runtime })
    }
}

impl WriteQueue for TokioUringQueue {
    fn execute(&mut self, group: &mut WriteGroup) {
        let files = mem::take(&mut group.files);
        let done = self.runtime.block_on(async {
            let tasks: Vec<_> = files.into_iter().map(|file| tokio_uring::spawn(carry_out(file))).collect();
            let mut done = Vec::with_capacity(tasks.len());
            for task in tasks {
                done.push(task.await.expect("the task does not panic and nobody aborts it"));
            }
            done
        });
        for (file, counts) in done {
            group.counts.writes += counts.writes;
            group.counts.syncs += counts.syncs;
            group.counts.ring_entries += counts.ring_entries;
            group.files.push(file);
        }
        group.counts.ring_enters += 1;
    }
}

async fn carry_out(mut group: FileGroup) -> (FileGroup, QueueCounts) {
    let mut counts = QueueCounts::default();
    match open(&group.file) {
        Ok(file) => {
            for run in &mut group.runs {
                counts.writes += 1;
                run.outcome = write(&file, run, &mut counts).await;
            }
            if group.wants_flush() {
                counts.syncs += 1;
                counts.ring_entries += 1;
                group.synced = Some(file.sync_data().await);
            }
        }
        // No descriptor is left, or the file has none: plain calls need no second one.
        Err(_) => {
            write_runs(&mut group, &mut counts);
            if group.wants_flush() {
                counts.syncs += 1;
                group.synced = Some(group.file.sync_data());
            }
        }
    }
    (group, counts)
}

/// The file under a descriptor of its own, since the crate closes what it is given.
fn open(file: &FileHandle) -> io::Result<tokio_uring::fs::File> {
    let descriptor = file.as_fd().ok_or(io::ErrorKind::Unsupported)?.try_clone_to_owned()?;
    Ok(tokio_uring::fs::File::from_std(File::from(descriptor)))
}

async fn write(file: &tokio_uring::fs::File, run: &Run, counts: &mut QueueCounts) -> Result<(), ShortWrite> {
    let mut parts: Vec<Bytes> = run.parts.iter().filter(|part| !part.is_empty()).cloned().collect();
    let mut written = 0;
    // Ends, because each turn writes something or is the last.
    while !parts.is_empty() {
        counts.ring_entries += 1;
        let (result, rest) = file.writev_at(parts, run.position + written).await;
        parts = rest;
        match result {
            Ok(0) => return Err(ShortWrite { written, error: io::ErrorKind::WriteZero.into() }),
            Ok(n) => {
                written += n as u64;
                advance(&mut parts, n);
            }
            Err(error) => return Err(ShortWrite { written, error }),
        }
    }
    Ok(())
}

/// Leaves what lies behind the first `n` bytes.
fn advance(parts: &mut Vec<Bytes>, mut n: usize) {
    let whole = parts.iter().take_while(|part| {
        let fits = part.len() <= n;
        n -= if fits { part.len() } else { 0 };
        fits
    });
    let whole = whole.count();
    parts.drain(..whole);
    if let Some(first) = parts.first_mut() {
        first.advance(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_left_out_of_what_is_written_next() {
        let parts = || vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de"), Bytes::from_static(b"f")];
        for (n, expected) in [(0, "abc,de,f"), (2, "c,de,f"), (3, "de,f"), (4, "e,f"), (5, "f"), (6, "")] {
            let mut rest = parts();
            advance(&mut rest, n);
            let rest: Vec<_> = rest.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
            assert_eq!(rest.join(","), expected, "{n}");
        }
    }
}
