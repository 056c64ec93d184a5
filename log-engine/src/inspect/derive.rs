//! What follows from the batches of a log: index entries, leader epochs. The engine's own rules, for tools that write a
//! derived file anew; recovery has them from the same functions.

use crate::epoch::{EpochCache, EpochEntry};
use crate::log::{aborted_transaction, summary_of};
use crate::producer::{ProducerStates, SnapshotError};
use crate::segment::index::Entry;
use crate::segment::pace::Pace;
use crate::segment::scan::CheckedBatch;
use crate::types::{Offset, TimestampMs};

/// Sees the batches of a log in order, and tells what the files beside them have to hold.
#[derive(Debug)]
pub struct Derivation {
    index_interval_bytes: u32,
    producers: ProducerStates,
    epochs: EpochCache,
    base_offset: Offset,
    pace: Pace,
    indexes: SegmentIndexes,
}

/// The content of a segment's index files, in bytes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SegmentIndexes {
    /// Of `.index`.
    pub offset_index: Vec<u8>,
    /// Of `.timeindex`.
    pub time_index: Vec<u8>,
    /// Of `.txnindex`; where it is empty, there is no such file.
    pub txn_index: Vec<u8>,
}

impl Derivation {
    /// Begins where a log does. `index_interval_bytes` is what the topic has for `index.interval.bytes`.
    #[must_use]
    pub fn new(log_start: Offset, index_interval_bytes: u32) -> Self {
        Self {
            index_interval_bytes,
            producers: ProducerStates::new(log_start),
            epochs: EpochCache::default(),
            base_offset: log_start,
            pace: Pace::default(),
            indexes: SegmentIndexes::default(),
        }
    }

    /// Takes the producers from the bytes of a `.snapshot` at `offset`, instead of from the batches before it, some of which
    /// may be gone.
    pub fn restore_producers(&mut self, snapshot: &[u8], offset: Offset) -> Result<(), SnapshotError> {
        // None has expired: whoever opens the log next looks at that.
        self.producers = ProducerStates::from_snapshot(snapshot, offset, TimestampMs::new(0), i64::MAX)?;
        Ok(())
    }

    /// Goes on with the segment of `base_offset`.
    pub fn begin_segment(&mut self, base_offset: Offset) {
        self.base_offset = base_offset;
        self.pace = Pace::default();
        self.indexes = SegmentIndexes::default();
    }

    /// Takes the next batch.
    pub fn see(&mut self, batch: &CheckedBatch<'_>) {
        let due = self.pace.step(self.base_offset, &batch.at, self.index_interval_bytes);
        if let Some(entry) = due.offset_entry {
            entry.encode(&mut self.indexes.offset_index);
        }
        if let Some(entry) = due.time_entry {
            entry.encode(&mut self.indexes.time_index);
        }
        self.epochs.assign(batch.at.leader_epoch, batch.at.base_offset);
        if batch.at.magic < 2 {
            return;
        }
        let completed =
            summary_of(batch.bytes, batch.at.position).and_then(|summary| self.producers.replay(&summary));
        if let Some(aborted) = completed.as_ref().and_then(aborted_transaction) {
            self.indexes.txn_index.extend(aborted.encode());
        }
    }

    /// The segment ends here: what its indexes hold, the last entry of its time index included.
    pub fn end_segment(&mut self) -> SegmentIndexes {
        if let Some(entry) = self.pace.last_time_entry(self.base_offset) {
            entry.encode(&mut self.indexes.time_index);
        }
        std::mem::take(&mut self.indexes)
    }

    /// The leader epochs of the batches seen so far.
    #[must_use]
    pub fn epochs(&self) -> &[EpochEntry] {
        self.epochs.entries()
    }
}
