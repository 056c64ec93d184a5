//! One partition's log. [`Log`] is the facade: every method either answers from memory or is one walk, told in a file
//! of its own.
//!
//! ```text
//!   append   validate -> [tail lock: admit, place, stamp, enqueue] -> commit -> [tail lock: publish] -> ticket
//!   read     offsets -> segment -> index -> batch headers -> slice          (never the tail lock)
//! ```
//!
//! The tail is what appenders share: where the next record goes and what is on its way there. Readers see only what
//! was published.

mod append;
mod close;
mod commit;
pub(crate) mod compact;
mod expire;
mod flush;
mod lookup;
mod offsets;
mod producers;
mod quarantine;
mod read;
pub(crate) mod recover;
pub(crate) mod relocate;
mod roll;
mod room;
mod sweep;
mod tail;
mod truncate;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    TryLockError,
};

use crate::commit::Chain;
use crate::config::LogConfig;
use crate::error::AppendError;
use crate::home::Home;
use crate::io::{atomic_replace, is_full};
use crate::log_dir::{PARTITION_METADATA_FILE, format_partition_metadata};
use crate::producer::{ProducerEntry, Verification, VerificationRequest};
use crate::segment::set::SegmentSet;
use crate::segment::{LogPath, SegmentInfo};
use crate::types::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition};

pub use append::{AppendRequest, AppendTicket, Appended, Attempt, PostponedAppend};
pub use lookup::{FoundOffset, TimestampQuery};
pub use offsets::LogOffsets;
pub(crate) use producers::{aborted_transaction, summary_of};
pub use quarantine::DamagedRange;
pub use read::{Fetched, FetchedData, Isolation, ReadRequest};
pub use recover::LogOpening;

use offsets::SharedOffsets;
use tail::Tail;

/// How often an append that must not wait looks whether the tail is free: for as long as a few appends take.
const TAIL_ATTEMPTS: u32 = 1000;

/// The log of one partition.
pub struct Log {
    partition: TopicPartition,
    topic_id: OnceLock<TopicId>,
    home: Arc<Home>,
    path: Arc<LogPath>,
    config: RwLock<Arc<LogConfig>>,
    offsets: SharedOffsets,
    segments: RwLock<SegmentSet>,
    tail: Mutex<Tail>,
    // Signalled when an append has arrived or failed, if anybody waits for that.
    arrived: Condvar,
    chain: Chain,
    recovery_point: AtomicI64,
    // What the checkpoint is known to say of it, at least.
    noted_recovery_point: AtomicI64,
    // One flush at a time: the second finds its work done.
    flushing: Mutex<flush::Flushed>,
    epochs_dirty: AtomicBool,
    unflushed_bytes: AtomicU64,
    compaction: compact::CompactionState,
    flushed_at: AtomicI64,
    end_listener: OnceLock<Arc<dyn EndListener>>,
    // The same log in another data directory, once it went on there.
    successor: OnceLock<Arc<Log>>,
}

/// Is told after every publication, before the append is acknowledged. Runs on the thread that published: be quick, and do not append from it.
pub trait EndListener: Send + Sync {
    /// Records up to `offsets.log_end` can be read.
    fn published(&self, log: &Log, offsets: LogOffsets);
}

impl Log {
    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The topic's id. Directories written before topics had ids have none, nor has one whose `partition.metadata` was
    /// lost or cannot be read.
    pub fn topic_id(&self) -> Option<TopicId> {
        self.topic_id.get().copied()
    }

    /// Gives a log without a topic id the one that the metadata have for it, durably. Answers the id it has then, which
    /// is another one where it had one.
    pub fn adopt_topic_id(&self, id: TopicId) -> io::Result<TopicId> {
        let in_place = self.flushed();
        if let Some(own) = self.topic_id() {
            return Ok(own);
        }
        if !in_place.gone {
            let path = self.path.get().join(PARTITION_METADATA_FILE);
            atomic_replace(&*self.home.disk, &path, format_partition_metadata(id).as_bytes())?;
        }
        Ok(*self.topic_id.get_or_init(|| id))
    }

    /// The data directory that the log lies in.
    pub fn data_directory(&self) -> &Path {
        &self.home.path
    }

    /// The log's own directory.
    pub fn directory(&self) -> PathBuf {
        self.path.get().to_path_buf()
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another configuration in force, from the next append on. Where its flush policy is durable and the one before
    /// was not, what readers are shown already is on the disk when this returns; if the disk fails, its directory is
    /// offline.
    pub fn update_config(&self, config: LogConfig) {
        let policy = config.flush_policy();
        let mut tail = self.tail();
        let before = std::mem::replace(&mut tail.policy, policy);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = self.home.config(config);
        if policy.durability().is_durable() && !before.durability().is_durable() {
            self.make_shown_durable(tail);
        }
    }

    /// The ends of the log. Takes no lock.
    pub fn offsets(&self) -> LogOffsets {
        self.offsets.snapshot()
    }

    /// Moves the high watermark forward, within the log; it never moves back but where the log is cut. Answers whether it moved. In
    /// memory at once; the next start has the one that was last written in the background or by [`crate::Engine::close`].
    pub fn set_high_watermark(&self, to: Offset) -> bool {
        let moved = self.offsets.raise_high_watermark(to);
        if moved {
            self.home.note_stale();
        }
        if moved && self.offsets.has_unstable() {
            self.release_committed_transactions();
        }
        moved
    }

    /// Up to here a start reads nothing: records, indexes and producer state are on the disk.
    pub fn recovery_point(&self) -> Offset {
        Offset::new(self.recovery_point.load(Ordering::Acquire))
    }

    fn noted_recovery_point(&self) -> Offset {
        Offset::new(self.noted_recovery_point.load(Ordering::Acquire))
    }

    /// Names whoever wants to know of publications; the first one stays.
    pub fn set_end_listener(&self, listener: Arc<dyn EndListener>) -> bool {
        self.end_listener.set(listener).is_ok()
    }

    /// The segments, oldest first; the last one is written to.
    pub fn segments_info(&self) -> Vec<SegmentInfo> {
        self.segments().iter().map(|segment| segment.info()).collect()
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments().iter().map(|segment| segment.published().0).sum()
    }

    /// The newest leader epoch the log was told of.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.tail().epochs.latest()
    }

    /// The largest epoch not above `epoch`, and the offset it ends at (KIP-101).
    pub fn epoch_end_offset(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.tail().epochs.end_offset_of(epoch, self.offsets.log_end())
    }

    /// The log has a leader of this epoch from its end on. Durable when this returns, except on a full disk: there the next
    /// flush makes it so, and until then the batches of the epoch tell of it. Without effect on the disk where the log was
    /// deleted.
    pub fn begin_epoch(&self, epoch: LeaderEpoch) -> io::Result<()> {
        let mut tail = self.wait_while(self.tail(), |tail| tail.handing_over || !tail.pending.is_empty());
        if let Some(successor) = self.successor.get() {
            drop(tail);
            return successor.begin_epoch(epoch);
        }
        let start = tail.next_offset;
        if tail.epochs.assign(epoch, start) {
            self.epochs_dirty.store(true, Ordering::Release);
        }
        drop(tail);
        // Under the old name there is nothing now, or another log.
        let in_place = self.flushed();
        if in_place.gone {
            return Ok(());
        }
        match self.write_epochs() {
            Err(error) if is_full(&error) => Ok(()),
            written => written,
        }
    }

    /// The segments that take no more appends.
    pub(crate) fn closed_segments(&self) -> Vec<Arc<crate::segment::Segment>> {
        let segments = self.segments();
        let active = segments.active().base_offset;
        segments.iter().filter(|segment| segment.base_offset < active).cloned().collect()
    }

    /// Whether a segment is still part of the log.
    pub(crate) fn has_segment(&self, segment: &Arc<crate::segment::Segment>) -> bool {
        self.segments().iter().any(|present| Arc::ptr_eq(present, segment))
    }

    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// The log start, where the first segment's name does not tell it.
    pub(crate) fn log_start_worth_noting(&self) -> Option<Offset> {
        let log_start = self.offsets.log_start();
        (log_start > self.segments().first().base_offset).then_some(log_start)
    }

    // Transactions whose marker is below the high watermark no longer hold back readers of committed data.
    fn release_committed_transactions(&self) {
        let mut tail = self.tail();
        tail.producers.on_high_watermark_updated(self.offsets.high_watermark());
        self.offsets.set_first_unstable(tail.producers.first_unstable_offset());
    }

    /// Whether a coordinator must be asked before the producer's next batch opens a transaction here. Ask it, then append
    /// with the guard.
    pub fn begin_verification(&self, request: &VerificationRequest) -> Result<Verification, AppendError> {
        Ok(self.tail().producers.begin_verification(request, self.home.clock.now())?)
    }

    /// The same for a thread that must not wait for the disk; `None` where somebody else is waiting for it.
    pub fn try_begin_verification(
        &self,
        request: &VerificationRequest,
    ) -> Result<Option<Verification>, AppendError> {
        let Some(mut tail) = self.tail_soon() else { return Ok(None) };
        Ok(Some(tail.producers.begin_verification(request, self.home.clock.now())?))
    }

    /// The producers that write to the log.
    pub fn active_producers(&self) -> Vec<ProducerEntry> {
        self.tail().producers.producers().cloned().collect()
    }

    /// Forgets the producers that have been silent for too long.
    pub(crate) fn expire_producers(&self, now: TimestampMs) {
        self.tail().producers.expire(now, self.home.producer_expiration_ms());
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tail, unless somebody keeps it for longer than arithmetic takes: then it may be the disk.
    fn tail_soon(&self) -> Option<MutexGuard<'_, Tail>> {
        for _ in 0..TAIL_ATTEMPTS {
            match self.tail.try_lock() {
                Ok(tail) => return Some(tail),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }

    fn segments(&self) -> RwLockReadGuard<'_, SegmentSet> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments_mut(&self) -> RwLockWriteGuard<'_, SegmentSet> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }

    // Nothing is on its way when this returns, and nothing can set out while the guard is held.
    fn wait_until_drained<'a>(&'a self, tail: MutexGuard<'a, Tail>) -> MutexGuard<'a, Tail> {
        self.wait_while(tail, |tail| !tail.pending.is_empty())
    }

    fn wait_while<'a>(
        &'a self,
        mut tail: MutexGuard<'a, Tail>,
        condition: impl Fn(&Tail) -> bool,
    ) -> MutexGuard<'a, Tail> {
        while condition(&tail) {
            tail.waiting += 1;
            tail = self.arrived.wait(tail).unwrap_or_else(PoisonError::into_inner);
            tail.waiting -= 1;
        }
        tail
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("partition", &self.partition)
            .field("offsets", &self.offsets.snapshot())
            .finish_non_exhaustive()
    }
}
