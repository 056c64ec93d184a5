//! Batches that keep all rules, what the log keeps of each, and how they get their place.

use crate::batch::compress::CompressionType;
use crate::batch::control::{self, ControlError, EndTxnMarker};
use crate::batch::header::{
    BatchView, TimestampType, stamp_base_offset, stamp_leader_epoch, stamp_max_timestamp,
};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// What the log keeps of a batch that it appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSummary {
    /// Where the batch begins in the appended bytes.
    pub position: usize,
    /// Bytes of the batch.
    pub size_in_bytes: usize,
    /// The offset of the first record; of a batch that is still to get its offsets, what the client wrote.
    pub base_offset: Offset,
    /// The last offset, counted from the first.
    pub last_offset_delta: i32,
    /// The epoch of its leader; of a batch that is still to be stamped, what the client wrote.
    pub leader_epoch: LeaderEpoch,
    /// The largest timestamp, as it will be stored.
    pub max_timestamp: TimestampMs,
    /// The codec, as it will be stored.
    pub compression: CompressionType,
    /// The producer id, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first record.
    pub base_sequence: Sequence,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
    /// Whether it holds control records.
    pub control: bool,
    /// How many records it says it holds.
    pub record_count: i32,
    /// The transaction marker and its time, in control batches that carry one.
    pub marker: Option<(EndTxnMarker, TimestampMs)>,
}

impl BatchSummary {
    /// The summary of a stored batch at `position`.
    pub fn of(batch: &BatchView<'_>, position: usize) -> Result<Self, ControlError> {
        let marker =
            if batch.is_control() && batch.has_producer_id() { control::marker_of(batch)? } else { None };
        Ok(Self {
            position,
            size_in_bytes: batch.size_in_bytes(),
            base_offset: batch.base_offset(),
            last_offset_delta: batch.last_offset_delta(),
            leader_epoch: batch.leader_epoch(),
            max_timestamp: batch.max_timestamp(),
            compression: batch.compression().unwrap_or_default(),
            producer_id: batch.producer_id(),
            producer_epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
            transactional: batch.is_transactional(),
            control: batch.is_control(),
            record_count: batch.record_count(),
            marker,
        })
    }

    /// The offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The sequence of the last record, or [`Sequence::NONE`].
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        match self.base_sequence {
            Sequence::NONE => Sequence::NONE,
            base => base.plus(self.last_offset_delta),
        }
    }

    /// The same batch at its place in the log.
    #[must_use]
    pub fn at(self, base_offset: Offset) -> Self {
        Self { base_offset, ..self }
    }
}

/// Batches that keep all rules.
#[derive(Debug)]
pub struct ValidBatches {
    pub(super) batches: Vec<BatchSummary>,
    pub(super) valid_bytes: usize,
    pub(super) rewritten: Option<Vec<u8>>,
    pub(super) was_rewritten: bool,
    pub(super) stamp: Stamp,
}

/// What is written into the batches once their place is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// Offsets, epoch and the time.
    Leader(TimestampType, TimestampMs),
    /// Nothing: the batches bring all that with them.
    Nothing,
}

impl ValidBatches {
    /// The batches, in order. Empty only where nothing of what was replicated is to be stored.
    #[must_use]
    pub fn batches(&self) -> &[BatchSummary] {
        &self.batches
    }

    /// The batches, to keep.
    #[must_use]
    pub fn into_batches(self) -> Vec<BatchSummary> {
        self.batches
    }

    /// Bytes of the input that are batches; what follows is a piece of a batch and is dropped, as in Kafka.
    #[must_use]
    pub fn valid_bytes(&self) -> usize {
        self.valid_bytes
    }

    /// The bytes to append instead of the input, where the batch had to be built anew.
    #[must_use]
    pub fn take_rewritten(&mut self) -> Option<Vec<u8>> {
        self.rewritten.take()
    }

    /// Whether the batch had to be built anew, and [`Self::take_rewritten`] has, or had, the bytes.
    #[must_use]
    pub fn was_rewritten(&self) -> bool {
        self.was_rewritten
    }

    /// The broker's time, where the topic's timestamps are the broker's.
    #[must_use]
    pub fn log_append_time(&self) -> Option<TimestampMs> {
        match self.stamp {
            Stamp::Leader(TimestampType::LogAppendTime, now) => Some(now),
            _ => None,
        }
    }

    /// The offset of the last record, if the first gets `base`.
    #[must_use]
    pub fn last_offset(&self, base: Offset) -> Offset {
        let records: i64 = self.batches.iter().map(|batch| i64::from(batch.last_offset_delta) + 1).sum();
        base.plus(records - 1)
    }

    /// Gives the batches the time they will be stored with, and the checksum where that changes it. `stamp` does so
    /// too; done before, outside a lock, it leaves `stamp` nothing to compute.
    ///
    /// # Panics
    /// If `bytes` are not those that were validated.
    pub fn stamp_time(&self, bytes: &mut [u8]) {
        let Stamp::Leader(timestamp_type, _) = self.stamp else { return };
        for batch in &self.batches {
            let bytes = &mut bytes[batch.position..batch.position + batch.size_in_bytes];
            stamp_max_timestamp(bytes, timestamp_type, batch.max_timestamp);
        }
    }

    /// Gives the batches their place: offsets from `base` on, the leader's epoch and the time. `bytes` are the
    /// valid bytes of the input, or the rewritten ones. Batches that bring their offsets are left as they are.
    ///
    /// # Panics
    /// If `bytes` are not those that were validated.
    pub fn stamp(&mut self, bytes: &mut [u8], base: Offset, epoch: LeaderEpoch) {
        if self.stamp == Stamp::Nothing {
            return;
        }
        self.stamp_time(bytes);
        let mut next = base;
        for batch in &mut self.batches {
            let bytes = &mut bytes[batch.position..batch.position + batch.size_in_bytes];
            stamp_base_offset(bytes, next);
            stamp_leader_epoch(bytes, epoch);
            (batch.base_offset, batch.leader_epoch) = (next, epoch);
            next = batch.last_offset().next();
        }
    }
}
