//! One producer: its epoch, its last batches, its open transaction.

use crate::batch::BatchSummary;
use crate::limits::BATCHES_REMEMBERED_PER_PRODUCER;
use crate::types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// A batch that was appended, as far as it is needed to recognise it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendedBatch {
    /// The sequence of its last record.
    pub last_sequence: Sequence,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// How many offsets the last record lies behind the first.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: TimestampMs,
}

impl AppendedBatch {
    /// The sequence of its first record.
    #[must_use]
    pub fn first_sequence(&self) -> Sequence {
        self.last_sequence.minus(self.offset_delta)
    }

    /// The offset of its first record.
    #[must_use]
    pub fn first_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }
}

/// What is known of one producer. Kafka's `ProducerStateEntry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerEntry {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its newest epoch.
    pub producer_epoch: ProducerEpoch,
    /// The epoch of the coordinator that last ended a transaction of it, or -1.
    pub coordinator_epoch: i32,
    /// The time of its last batch or marker.
    pub last_timestamp: TimestampMs,
    /// Where its open transaction began.
    pub current_txn_first_offset: Option<Offset>,
    /// Oldest first; only those of the newest epoch.
    batches: Vec<AppendedBatch>,
}

impl ProducerEntry {
    /// A producer that has written nothing yet.
    #[must_use]
    pub fn new(producer_id: ProducerId) -> Self {
        Self {
            producer_id,
            producer_epoch: ProducerEpoch::NONE,
            coordinator_epoch: -1,
            last_timestamp: TimestampMs::NONE,
            current_txn_first_offset: None,
            batches: Vec::new(),
        }
    }

    /// The last batches of the newest epoch, oldest first: at most five.
    #[must_use]
    pub fn batches(&self) -> &[AppendedBatch] {
        &self.batches
    }

    /// The last batch of the newest epoch.
    #[must_use]
    pub fn last_batch(&self) -> Option<&AppendedBatch> {
        self.batches.last()
    }

    /// The sequence of the last record of the newest epoch, or [`Sequence::NONE`].
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.last_batch().map_or(Sequence::NONE, |batch| batch.last_sequence)
    }

    /// Whether a transaction of this epoch is open. Kafka's `hasOngoingTransaction`.
    #[must_use]
    pub fn has_ongoing_txn(&self, epoch: ProducerEpoch) -> bool {
        self.current_txn_first_offset.is_some() && self.producer_epoch == epoch
    }

    /// Whether nothing was heard of the producer for `expiration_ms`. A transaction keeps it.
    #[must_use]
    pub fn is_expired(&self, now: TimestampMs, expiration_ms: i64) -> bool {
        self.current_txn_first_offset.is_none()
            && now.get().saturating_sub(self.last_timestamp.get()) >= expiration_ms
    }

    /// The remembered batch that `batch` is sent again of.
    pub(super) fn duplicate_of(&self, batch: &BatchSummary) -> Option<&AppendedBatch> {
        let same = |appended: &&AppendedBatch| {
            appended.first_sequence() == batch.base_sequence
                && appended.last_sequence == batch.last_sequence()
        };
        if batch.producer_epoch == self.producer_epoch { self.batches.iter().find(same) } else { None }
    }

    /// Takes an appended batch into account.
    pub(super) fn apply(&mut self, batch: &BatchSummary) {
        if !batch.control {
            self.enter_epoch(batch.producer_epoch);
            self.remember(AppendedBatch {
                last_sequence: batch.last_sequence(),
                last_offset: batch.last_offset(),
                offset_delta: batch.last_offset_delta,
                timestamp: batch.max_timestamp,
            });
            if batch.transactional && self.current_txn_first_offset.is_none() {
                self.current_txn_first_offset = Some(batch.base_offset);
            }
        } else if let Some((marker, timestamp)) = batch.marker {
            self.enter_epoch(batch.producer_epoch);
            self.coordinator_epoch = marker.coordinator_epoch;
            self.current_txn_first_offset = None;
            self.last_timestamp = timestamp;
        }
    }

    /// Restores a remembered batch; also what a snapshot does.
    pub(super) fn remember(&mut self, batch: AppendedBatch) {
        if self.batches.len() == BATCHES_REMEMBERED_PER_PRODUCER {
            self.batches.remove(0);
        }
        self.batches.push(batch);
        self.last_timestamp = batch.timestamp;
    }

    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if self.producer_epoch != epoch {
            self.batches.clear();
            self.producer_epoch = epoch;
        }
    }
}
