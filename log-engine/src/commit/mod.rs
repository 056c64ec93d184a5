//! The committer: the only one that appends at a log's end, one per data directory.
//!
//! Appends of all partitions wait in two lanes. The lane of `os` appends is led by whichever appending thread finds
//! it idle: that thread writes into the page cache and serves those who came meanwhile, so that an append on a quiet
//! directory costs one write and no hand-off between threads. The lane of `sync` and `group` appends belongs to a thread
//! of its own: whatever waits there when a flush ends forms the next group and shares the next flush; where all of it is
//! `group`, after a while of gathering.
//!
//! ```text
//!   enqueue (under the partition's lock, no I/O) -> lane -> group -> WriteQueue -> CommitTarget::committed
//!   drive   (after the lock)                          leads the os lane inline, or wakes a thread
//! ```
//!
//! It knows files and buffers, not logs: what was reserved where, and what a success publishes, is the target's.
//! Appends of one target complete in the order in which they were enqueued, whatever their durability.

mod bell;
mod carry;
mod chain;
mod dir_state;
mod durable;
mod failure;
mod flushes;
mod gather;
mod group;
mod lane;
mod lead;
mod ticket;
mod waiting;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;

use crate::io::{Disk, FileHandle, QueueCounts};

pub use chain::Chain;
pub use dir_state::{DirState, Offline, OfflineListener};
pub use failure::CommitError;
pub use ticket::{Abandoned, Resolver, Ticket};

use bell::Bell;
use lane::Lanes;

/// When an append counts as committed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Durability {
    /// The bytes are in the page cache: they survive the process, not the machine.
    Os,
    /// The bytes are on the disk: they survive a power loss.
    Sync,
    /// As `Sync`, and the flush may be put off for a while so that more appends share it.
    Group,
}

impl Durability {
    /// Whether the bytes survive a power loss.
    pub const fn is_durable(self) -> bool {
        matches!(self, Self::Sync | Self::Group)
    }
}

/// One append, already placed.
#[derive(Debug)]
pub struct CommitRequest {
    /// The file the bytes belong to.
    pub file: FileHandle,
    /// Where they begin in it.
    pub position: u64,
    /// The bytes.
    pub bytes: Bytes,
    /// What has to be true before the target is told.
    pub durability: Durability,
    /// Who is told.
    pub target: Arc<dyn CommitTarget>,
    /// What the target is told it was; the committer does not look at it.
    pub reservation: u64,
}

/// Whoever is told how an append ended, usually a log.
pub trait CommitTarget: Send + Sync + fmt::Debug {
    /// Failure and order of this target's appends; always the same one.
    fn chain(&self) -> &Chain;

    /// The append of `reservation` ended. Called once per append, in the order of enqueueing, on whichever thread
    /// led the group. Must be short and must not call back into [`Committer::drive`].
    fn committed(&self, reservation: u64, result: Result<(), CommitError>);
}

/// Bounds of a committer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CommitLimits {
    /// Bytes that may wait or be in flight before [`Committer::has_room`] says no: what a data directory's appends hold
    /// of memory, groups included, but for one append of each thread that was admitted at the same moment.
    pub waiting_bytes_max: u64,
    /// Bytes of one group of `os` appends; a single larger append is a group of its own. Small, because a caller's
    /// thread may write it.
    pub os_group_bytes_max: u64,
    /// Bytes of one group of durable appends; a single larger append is a group of its own. Large enough that big
    /// batches share a flush too; at most half of `waiting_bytes_max`, so that the next group gathers meanwhile.
    pub sync_group_bytes_max: u64,
    /// Appends of one group, of either kind.
    pub group_appends_max: usize,
    /// For how long a [`Durability::Group`] append that could be flushed waits for others, at most.
    pub group_delay_max: Duration,
}

impl Default for CommitLimits {
    fn default() -> Self {
        Self {
            waiting_bytes_max: 64 << 20,
            os_group_bytes_max: 8 << 20,
            sync_group_bytes_max: 32 << 20,
            group_appends_max: 1024,
            group_delay_max: Duration::from_millis(5),
        }
    }
}

/// Appends for one data directory.
#[derive(Debug)]
pub struct Committer {
    lanes: Arc<Lanes>,
    threads: Vec<JoinHandle<()>>,
}

impl Committer {
    /// Starts the committer of the data directory `dir`. Its write queue is made here, so that a refusal is the
    /// caller's to see.
    pub fn start(disk: &Arc<dyn Disk>, dir: &Path, limits: CommitLimits) -> io::Result<Self> {
        let lanes = Arc::new(Lanes::new(Arc::new(DirState::new(dir)), limits));
        let mut committer = Self { lanes, threads: Vec::with_capacity(2) };
        committer.threads.push(start_os_lane(Arc::clone(&committer.lanes))?);
        committer.threads.push(start_sync_lane(Arc::clone(disk), Arc::clone(&committer.lanes))?);
        Ok(committer)
    }

    /// Enqueues an append and carries it out or has it carried out: [`Committer::enqueue`], then
    /// [`Committer::drive`].
    pub fn commit(&self, request: CommitRequest) {
        self.enqueue(request);
        self.drive();
    }

    /// Puts an append in its lane. Does no I/O and may be called under a lock; appends of one target that are
    /// enqueued one after the other end one after the other. Nothing moves before [`Committer::drive`].
    pub fn enqueue(&self, request: CommitRequest) {
        let _ = self.enqueue_behind_bell(request);
    }

    /// The same for a request whose target has a ticket to resolve: where the append shares a flush, threads may wait for
    /// the ticket at the bell that this answers ([`Ticket::announced_by`]).
    pub(crate) fn enqueue_behind_bell(&self, request: CommitRequest) -> Option<Arc<Bell>> {
        self.lanes.enqueue(request)
    }

    /// Sees to it that what was enqueued gets written: leads the `os` lane on this thread if nobody does, wakes
    /// the thread of the `sync` lane. Call it without any lock.
    pub fn drive(&self) {
        self.lanes.drive();
    }

    /// Whether the bound on waiting bytes leaves room. Ask before reserving; the bound is soft by what was
    /// admitted at the same moment.
    pub fn has_room(&self) -> bool {
        self.lanes.has_room()
    }

    /// Blocks until there is room, or the directory is offline. Never call it under a lock.
    pub fn wait_for_room(&self) {
        self.lanes.wait_for_room();
    }

    /// Whether the directory still serves, shared with everybody who writes in it.
    pub fn dir_state(&self) -> &Arc<DirState> {
        &self.lanes.dir
    }

    /// What was done so far.
    pub fn counts(&self) -> CommitCounts {
        self.lanes.counters.read()
    }
}

impl Drop for Committer {
    /// Everything enqueued is carried out before this returns.
    fn drop(&mut self) {
        let close_in_order = [Lanes::close_os_lane as fn(&Lanes), Lanes::close_sync_lane];
        for (close, thread) in close_in_order.into_iter().zip(self.threads.drain(..)) {
            close(&self.lanes);
            join(thread);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    // The last to let go of a committer may be a target that one of its lanes has just told; that lane ends by itself.
    if thread.thread().id() != thread::current().id() {
        // A lane that panicked has taken its directory offline; there is nothing left to do about it here.
        let _ = thread.join();
    }
}

fn start_os_lane(lanes: Arc<Lanes>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("commit-os".to_owned()).spawn(move || lanes.run_os_lane())
}

/// The thread makes its own queue, because a ring belongs to the thread that made it.
fn start_sync_lane(disk: Arc<dyn Disk>, lanes: Arc<Lanes>) -> io::Result<JoinHandle<()>> {
    let (ready, made) = mpsc::channel();
    let run = move || match disk.write_queue() {
        Ok(queue) => {
            let _ = ready.send(Ok(()));
            lanes.run_sync_lane(queue);
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    };
    let thread = thread::Builder::new().name("commit-sync".to_owned()).spawn(run)?;
    made.recv().unwrap_or_else(|_| Err(io::Error::other("the committer's thread ended before it began")))?;
    Ok(thread)
}

/// Totals since the start of a committer.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct CommitCounts {
    /// Appends that ended, well or not.
    pub appends: u64,
    /// Bytes of appends that ended well.
    pub bytes: u64,
    /// Appends written by the thread that brought them.
    pub inline_appends: u64,
    /// Groups carried out.
    pub groups: u64,
    /// Vectored writes, flushes, ring enters and ring entries.
    pub queue: QueueCounts,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    appends: AtomicU64,
    bytes: AtomicU64,
    inline_appends: AtomicU64,
    groups: AtomicU64,
    writes: AtomicU64,
    syncs: AtomicU64,
    ring_enters: AtomicU64,
    ring_entries: AtomicU64,
}

impl Counters {
    fn read(&self) -> CommitCounts {
        CommitCounts {
            appends: self.appends.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            inline_appends: self.inline_appends.load(Relaxed),
            groups: self.groups.load(Relaxed),
            queue: QueueCounts {
                writes: self.writes.load(Relaxed),
                syncs: self.syncs.load(Relaxed),
                ring_enters: self.ring_enters.load(Relaxed),
                ring_entries: self.ring_entries.load(Relaxed),
            },
        }
    }

    pub(crate) fn add_queue(&self, counts: QueueCounts) {
        self.writes.fetch_add(counts.writes, Relaxed);
        self.syncs.fetch_add(counts.syncs, Relaxed);
        self.ring_enters.fetch_add(counts.ring_enters, Relaxed);
        self.ring_entries.fetch_add(counts.ring_entries, Relaxed);
    }

    pub(crate) fn add_group(&self, appends: u64, bytes: u64, inline: bool) {
        self.groups.fetch_add(1, Relaxed);
        self.appends.fetch_add(appends, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        if inline {
            self.inline_appends.fetch_add(appends, Relaxed);
        }
    }
}

#[cfg(test)]
mod failure_tests;
#[cfg(test)]
mod tests;
