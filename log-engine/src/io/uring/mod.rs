//! The ring: flushes of many files at once, and large writes of many files side by side.
//!
//! What goes through the ring and what does not was measured (docs/adr/0003-io-uring-earns-its-place.md). A small
//! page cache write costs less as a direct call than as a ring entry, because ext4 passes buffered writes to worker
//! threads. A flush waits for the disk, and flushes of different files that wait together share the journal's
//! commit. So a group is: small runs written directly, large ones of several files entered into the ring,
//! writeback started for each, one submission with a flush per file, one wait for all of them.
//!
//! A flush is only entered once every byte of its file was counted as written. Links would order the two in the
//! kernel, but a short write breaks a link or, unlinked, lets the flush succeed over a hole.

mod in_flight;
mod probe;

use std::io;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use io_uring::{IoUring, opcode, squeue, types};

use super::write::{FileGroup, QueueCounts, Run, WriteGroup, WriteQueue, write_run, write_runs};
use super::{FileHandle, ShortWrite};
use in_flight::{InFlight, Operation, WriteOperation};

pub(super) use probe::probe;

/// Submission entries of a ring, and operations in flight at most, so that neither queue of it ever overflows.
const RING_ENTRIES: u32 = 256;

/// From this length on a run is worth a worker of the ring, if there is another file's to run beside it.
const RING_WRITE_LEN_MIN: u64 = 64 << 10;

/// How often a write that the kernel asks to repeat is repeated before it is made as a direct call, which may wait.
const RETRIES_MAX: u32 = 16;

/// How often a submission is tried that the kernel has no memory for, and how long it is left in peace between.
const SUBMISSIONS_MAX: u32 = 1000;
const SUBMISSION_PAUSE: Duration = Duration::from_millis(1);

/// A ring and what is in flight in it. Belongs to the thread that made it.
pub(super) struct UringQueue {
    ring: IoUring,
    in_flight: InFlight,
    /// The ring refused a submission for good. Whether the kernel took any of it is unknown, so nothing more is
    /// entered and everything fails.
    broken: Option<i32>,
}

impl UringQueue {
    pub(super) fn new() -> io::Result<Self> {
        let (ring, _) = probe::build_ring(RING_ENTRIES)?;
        Ok(Self { ring, in_flight: InFlight::default(), broken: None })
    }
}

impl WriteQueue for UringQueue {
    fn execute(&mut self, group: &mut WriteGroup) {
        let mut pass = Pass::new(group);
        self.enter_large_writes(group, &mut pass);
        write_the_rest(group, &pass);
        if let Some(file) = only_flush(group, &pass) {
            group.counts.syncs += 1;
            group.files[file].synced = Some(group.files[file].file.sync_data());
            return;
        }
        self.flush_what_is_written(group, &mut pass);
        // Ends, because each turn ends with an operation fewer in flight, one nearer to its end, or a broken ring.
        while !self.in_flight.is_empty() && self.broken.is_none() {
            // All at once: waking up for each write to begin its flush earlier gains nothing that could be measured.
            self.submit(self.in_flight.len(), &mut group.counts);
            self.reap(group, &mut pass);
            self.flush_what_is_written(group, &mut pass);
        }
        if let Some(errno) = self.broken {
            fail_what_has_not_ended(group, &pass, errno);
        }
    }
}

/// Where each file of a group stands.
struct Pass {
    files: Vec<FilePass>,
    writes_out: usize,
}

#[derive(Clone, Default)]
struct FilePass {
    /// Which runs travel through the ring; empty for none.
    in_ring: Vec<bool>,
    writes_out: usize,
    flush_begun: bool,
}

impl Pass {
    fn new(group: &WriteGroup) -> Self {
        let is_large = |file: &&FileGroup| file.runs.iter().any(|run| run.len() >= RING_WRITE_LEN_MIN);
        let side_by_side = group.files.iter().filter(is_large).count() > 1;
        let mut room = RING_ENTRIES;
        let mut in_ring = |run: &Run| {
            let yes = side_by_side && room > 0 && run.len() >= RING_WRITE_LEN_MIN;
            room -= u32::from(yes);
            yes
        };
        let plan = |file: &FileGroup| FilePass {
            in_ring: file.runs.iter().map(&mut in_ring).collect(),
            ..FilePass::default()
        };
        Self { files: group.files.iter().map(plan).collect(), writes_out: 0 }
    }
}

fn write_the_rest(group: &mut WriteGroup, pass: &Pass) {
    for (file, pass) in group.files.iter_mut().zip(&pass.files) {
        if pass.in_ring.contains(&true) {
            for run in (0..file.runs.len()).filter(|&run| !pass.in_ring[run]) {
                write_run(file, run, &mut group.counts);
            }
        } else {
            write_runs(file, &mut group.counts);
        }
    }
}

/// The one file to flush, where there is only one and nothing else is under way: a direct call then saves the way
/// through a worker thread and back.
fn only_flush(group: &WriteGroup, pass: &Pass) -> Option<usize> {
    let mut flushes = (0..group.files.len()).filter(|&index| group.files[index].sync);
    let first = flushes.next()?;
    let alone = flushes.next().is_none() && pass.writes_out == 0 && group.files[first].wants_flush();
    alone.then_some(first)
}

impl UringQueue {
    fn enter_large_writes(&mut self, group: &mut WriteGroup, pass: &mut Pass) {
        for file_index in 0..group.files.len() {
            for run_index in 0..group.files[file_index].runs.len() {
                if pass.files[file_index].in_ring[run_index] {
                    let file = FileHandle::clone(&group.files[file_index].file);
                    let run = &group.files[file_index].runs[run_index];
                    let write = WriteOperation::new(file, run, file_index, run_index);
                    group.counts.writes += 1;
                    pass.writes_out += 1;
                    pass.files[file_index].writes_out += 1;
                    self.enter(Operation::Write(write), &mut group.counts);
                }
            }
        }
        if pass.writes_out > 0 {
            // The workers copy while this thread writes the small runs.
            self.submit(0, &mut group.counts);
        }
    }

    /// Begins the flush of every file whose bytes are all counted. Writeback is started for all of them first, so
    /// that the disk is busy with the second file's blocks while the first one's flush waits.
    fn flush_what_is_written(&mut self, group: &mut WriteGroup, pass: &mut Pass) {
        let mut begun = Vec::new();
        for (index, (file, pass)) in group.files.iter_mut().zip(&mut pass.files).enumerate() {
            if self.in_flight.len() + begun.len() >= RING_ENTRIES as usize {
                break; // The rest follows when completions have made room.
            }
            if pass.flush_begun || pass.writes_out > 0 || !file.wants_flush() {
                continue;
            }
            pass.flush_begun = true;
            match file.start_writeback() {
                Ok(()) => begun.push(index),
                Err(error) => file.synced = Some(Err(error)),
            }
        }
        for file_index in begun {
            group.counts.syncs += 1;
            let file = FileHandle::clone(&group.files[file_index].file);
            self.enter(Operation::Flush { file, file_index }, &mut group.counts);
        }
    }

    /// Puts an operation into the table and its entry into the ring.
    fn enter(&mut self, operation: Operation, counts: &mut QueueCounts) {
        let user_data = self.in_flight.insert(operation);
        self.push(user_data, counts);
    }

    fn push(&mut self, user_data: u64, counts: &mut QueueCounts) {
        let Some(entry) = self.in_flight.get(user_data).map(|operation| entry_of(operation, user_data))
        else {
            return;
        };
        // SAFETY: the entry points at an I/O vector and through it at buffers, and names a descriptor, all owned by
        // the operation in the in-flight table. The table gives an operation up only when its own completion has
        // been reaped, and leaks it if the queue is dropped before that.
        match unsafe { self.ring.submission().push(&entry) } {
            Ok(()) => counts.ring_entries += 1,
            // Cannot be, with no more in flight than there are entries; a flush must not be lost if it is.
            Err(_) => self.broken = Some(libc::EBUSY),
        }
    }

    fn submit(&mut self, want: usize, counts: &mut QueueCounts) {
        for _ in 0..SUBMISSIONS_MAX {
            counts.ring_enters += 1;
            let Err(error) = self.ring.submit_and_wait(want) else { return };
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                // No memory for a request, or completions that wait to be reaped.
                Some(libc::EAGAIN | libc::EBUSY) if !self.ring.completion().is_empty() => return,
                Some(libc::EAGAIN | libc::EBUSY) => thread::park_timeout(SUBMISSION_PAUSE),
                errno => {
                    self.broken = Some(errno.unwrap_or(libc::EIO));
                    return;
                }
            }
        }
        // Refused for so long that it is no accident; the entries may or may not have been taken.
        self.broken = Some(libc::EAGAIN);
    }

    fn reap(&mut self, group: &mut WriteGroup, pass: &mut Pass) {
        while let Some(entry) = { self.ring.completion().next() } {
            let (user_data, result) = (entry.user_data(), entry.result());
            match self.in_flight.get_mut(user_data) {
                Some(Operation::Flush { file_index, .. }) => {
                    let outcome =
                        if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) };
                    group.files[*file_index].synced = Some(outcome);
                    self.in_flight.remove(user_data);
                }
                Some(Operation::Write(write)) => match after_write(write, result) {
                    AfterWrite::Again => self.push(user_data, &mut group.counts),
                    AfterWrite::Ended(outcome) => {
                        let (file, run) = (write.file_index, write.run_index);
                        group.files[file].runs[run].outcome = outcome;
                        pass.files[file].writes_out -= 1;
                        pass.writes_out -= 1;
                        self.in_flight.remove(user_data);
                    }
                },
                // A completion of an operation that is not in flight belongs to nobody and must not touch the
                // operation that has its slot now.
                None => debug_assert!(false, "a completion for no operation: {user_data:#x}"),
            }
        }
    }
}

enum AfterWrite {
    Again,
    Ended(Result<(), ShortWrite>),
}

/// A short write goes on behind what arrived, a refusal to wait is repeated a bounded number of times.
fn after_write(write: &mut WriteOperation, result: i32) -> AfterWrite {
    match result {
        0 => AfterWrite::Ended(Err(write.short(io::ErrorKind::WriteZero.into()))),
        1.. => {
            write.advance(u64::from(result.unsigned_abs()));
            if write.is_complete() { AfterWrite::Ended(Ok(())) } else { AfterWrite::Again }
        }
        _ if matches!(-result, libc::EAGAIN | libc::EINTR) => {
            write.retries += 1;
            if write.retries <= RETRIES_MAX {
                AfterWrite::Again
            } else {
                AfterWrite::Ended(write.finish_directly())
            }
        }
        _ => AfterWrite::Ended(Err(write.short(io::Error::from_raw_os_error(-result)))),
    }
}

fn entry_of(operation: &Operation, user_data: u64) -> squeue::Entry {
    match operation {
        Operation::Write(write) => {
            let (vector, count) = write.vector();
            opcode::Writev::new(descriptor(&write.file), vector, count).offset(write.position_now()).build()
        }
        Operation::Flush { file, .. } => {
            opcode::Fsync::new(descriptor(file)).flags(types::FsyncFlags::DATASYNC).build()
        }
    }
    .user_data(user_data)
}

/// A file without a descriptor cannot be in this queue's hands; -1 makes the kernel answer EBADF if it ever were.
fn descriptor(file: &FileHandle) -> types::Fd {
    types::Fd(file.as_fd().map_or(-1, |fd| fd.as_raw_fd()))
}

/// The ring is gone: writes that were entered and flushes that were asked for count as failed.
fn fail_what_has_not_ended(group: &mut WriteGroup, pass: &Pass, errno: i32) {
    let error = || io::Error::from_raw_os_error(errno);
    for (file, pass) in group.files.iter_mut().zip(&pass.files) {
        for (run, _) in file.runs.iter_mut().zip(&pass.in_ring).filter(|(_, in_ring)| **in_ring) {
            run.outcome = Err(ShortWrite { written: 0, error: error() });
        }
        if file.sync && file.synced.is_none() {
            file.synced = Some(Err(error()));
        }
    }
}

#[cfg(test)]
mod tests;
