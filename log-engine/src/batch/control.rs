//! Control records: what brokers write between the clients' records.
//!
//! The key says which kind it is (`version i16 | type i16`), the value belongs to the kind. Only the markers that end
//! transactions are understood here, since producer state depends on them; the values of the KRaft kinds are schema
//! records and none of the engine's business.

use super::builder::{BatchBuilder, BuildError, NewRecord};
use super::compress::{Compression, DecompressionCap};
use super::header::BatchView;
use super::record::RecordError;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// The kinds of control records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRecordType {
    /// Ends a transaction, whose records are void.
    Abort,
    /// Ends a transaction, whose records count.
    Commit,
    /// A KRaft leader begins its epoch.
    LeaderChange,
    /// First record of a KRaft snapshot.
    SnapshotHeader,
    /// Last record of a KRaft snapshot.
    SnapshotFooter,
    /// The version of the KRaft protocol.
    KRaftVersion,
    /// The voters of the KRaft quorum.
    KRaftVoters,
    /// Of a kind not known here.
    Unknown(i16),
}

impl ControlRecordType {
    /// The kind of this number.
    #[must_use]
    pub const fn from_id(id: i16) -> Self {
        match id {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KRaftVersion,
            6 => Self::KRaftVoters,
            _ => Self::Unknown(id),
        }
    }

    /// The number in the key.
    #[must_use]
    pub const fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KRaftVersion => 5,
            Self::KRaftVoters => 6,
            Self::Unknown(id) => id,
        }
    }

    /// The kind that a record's key names.
    pub fn of_key(key: Option<&[u8]>) -> Result<Self, ControlError> {
        let version = i16_at(key.unwrap_or_default(), 0).ok_or(ControlError::Key)?;
        if version < 0 {
            return Err(ControlError::Version { version });
        }
        Ok(Self::from_id(i16_at(key.unwrap_or_default(), 2).ok_or(ControlError::Key)?))
    }

    /// The key of a control record of this kind.
    #[must_use]
    pub const fn to_key(self) -> [u8; 4] {
        let [high, low] = self.id().to_be_bytes();
        [0, 0, high, low]
    }
}

/// Why a control record is not understood.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The key is missing or shorter than 4 bytes.
    #[error("the key of a control record has 4 bytes")]
    Key,
    /// The version of key or value is negative.
    #[error("invalid version {version} of a control record")]
    Version {
        /// The version.
        version: i16,
    },
    /// The value of a transaction marker is missing or too short.
    #[error("the value of a transaction marker has at least 6 bytes")]
    Value,
    /// The record ends no transaction.
    #[error("a control record of kind {found:?} ends no transaction")]
    NotAMarker {
        /// The kind it is.
        found: ControlRecordType,
    },
    /// The batch's records cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The record that ends a producer's transaction in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// How the transaction ended.
    pub outcome: TxnOutcome,
    /// The epoch of the transaction coordinator that wrote the marker.
    pub coordinator_epoch: i32,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Its records count.
    Commit,
    /// Its records are void.
    Abort,
}

impl EndTxnMarker {
    /// Reads a marker off a record's key and value.
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, ControlError> {
        let outcome = match ControlRecordType::of_key(key)? {
            ControlRecordType::Commit => TxnOutcome::Commit,
            ControlRecordType::Abort => TxnOutcome::Abort,
            found => return Err(ControlError::NotAMarker { found }),
        };
        let value = value.ok_or(ControlError::Value)?;
        let version = i16_at(value, 0).ok_or(ControlError::Value)?;
        if version < 0 {
            return Err(ControlError::Version { version });
        }
        // Of a newer version, the fields known here are read and the others left alone, as Kafka does.
        let epoch = value.get(2..).and_then(|rest| rest.first_chunk()).ok_or(ControlError::Value)?;
        Ok(Self { outcome, coordinator_epoch: i32::from_be_bytes(*epoch) })
    }

    /// The value of the marker's record.
    #[must_use]
    pub fn to_value(self) -> [u8; 6] {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        value
    }

    /// The batch that Kafka writes for this marker.
    pub fn to_batch(
        self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        timestamp: TimestampMs,
    ) -> Result<Vec<u8>, BuildError> {
        let kind = match self.outcome {
            TxnOutcome::Commit => ControlRecordType::Commit,
            TxnOutcome::Abort => ControlRecordType::Abort,
        };
        let mut builder = BatchBuilder::new(Compression::None)
            .producer(producer_id, producer_epoch, Sequence::NONE)
            .transactional()
            .control();
        let (key, value) = (kind.to_key(), self.to_value());
        builder.append(&NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] })?;
        builder.finish()
    }
}

/// A control batch of the KRaft kinds: `records` of one kind each with their encoded values.
pub fn kraft_control_batch(
    records: &[(ControlRecordType, &[u8])],
    base_offset: Offset,
    epoch: LeaderEpoch,
    timestamp: TimestampMs,
) -> Result<Vec<u8>, BuildError> {
    let mut builder =
        BatchBuilder::new(Compression::None).base_offset(base_offset).leader_epoch(epoch).control();
    for (kind, value) in records {
        let key = kind.to_key();
        builder.append(&NewRecord { timestamp, key: Some(&key), value: Some(value), headers: &[] })?;
    }
    builder.finish()
}

/// The transaction marker of a control batch with a producer id, and its time; `None` where compaction has removed
/// the marker. Like Kafka, looks at the first record only.
pub fn marker_of(batch: &BatchView<'_>) -> Result<Option<(EndTxnMarker, TimestampMs)>, ControlError> {
    let mut records = batch.records(DecompressionCap::default()).map_err(RecordError::from)?;
    let Some(record) = records.next_record() else { return Ok(None) };
    let record = record?;
    Ok(Some((EndTxnMarker::decode(record.key, record.value)?, record.timestamp)))
}

fn i16_at(bytes: &[u8], at: usize) -> Option<i16> {
    bytes.get(at..)?.first_chunk().map(|field| i16::from_be_bytes(*field))
}
