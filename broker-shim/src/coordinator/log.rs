//! Between records of a coordinator and the batches of its partition.

use bytes::BytesMut;
use log_engine::{
    batch::{
        BatchBuilder, BatchView, BuildError, Compression, DecompressionCap, NewRecord,
        control::{EndTxnMarker, TxnOutcome, marker_of},
    },
    producer::{TransactionContext, VerificationGuard},
    types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs},
};

/// A record to write: Kafka's key and value, versions included. Without a value it is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// The transaction that records belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transaction {
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: ProducerEpoch,
}

/// The end of a transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndMarker {
    pub(crate) transaction: Transaction,
    pub(crate) coordinator_epoch: i32,
    pub(crate) outcome: TxnOutcome,
}

/// A record of the partition, as it is replayed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRecord<'a> {
    pub(crate) offset: Offset,
    /// The transaction it waits for; `None` where it counts at once.
    pub(crate) transaction: Option<Transaction>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
}

/// What an event appends: one batch, or nothing.
#[derive(Debug)]
pub(crate) enum Write {
    Nothing,
    /// Records that count at once.
    Records {
        records: Vec<Record>,
        replay: Replay,
    },
    /// Records that count once their transaction is committed.
    Transactional {
        transaction: Transaction,
        /// Allows them to open it in the partition.
        verified_by: Option<VerificationGuard>,
        records: Vec<Record>,
    },
    /// The end of a transaction.
    Marker(EndMarker),
}

/// Whether what was written is replayed into the state that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// As at the start.
    Now,
    /// The state is ahead of its records already: they are for the next start.
    AtStart,
}

impl Write {
    pub(crate) fn records(records: Vec<Record>) -> Self {
        if records.is_empty() { Self::Nothing } else { Self::Records { records, replay: Replay::Now } }
    }

    /// For a state that is ahead of its records, as the rebalances of classic groups are.
    pub(crate) fn for_the_start(records: Vec<Record>) -> Self {
        if records.is_empty() { Self::Nothing } else { Self::Records { records, replay: Replay::AtStart } }
    }

    /// The batch; nothing where nothing is written.
    pub(super) fn to_batch(
        &self,
        compression: Compression,
        base_sequence: Sequence,
        now: TimestampMs,
    ) -> Result<Option<BytesMut>, BuildError> {
        let (mut builder, records) = match self {
            Self::Nothing => return Ok(None),
            Self::Records { records, .. } => {
                let builder = BatchBuilder::new(compression);
                (builder.producer(ProducerId::NONE, ProducerEpoch::NONE, base_sequence), records)
            }
            Self::Transactional {
                transaction: Transaction { producer_id, producer_epoch }, records, ..
            } => {
                let builder = BatchBuilder::new(compression).transactional();
                (builder.producer(*producer_id, *producer_epoch, base_sequence), records)
            }
            Self::Marker(EndMarker { transaction, coordinator_epoch, outcome }) => {
                let marker = EndTxnMarker { outcome: *outcome, coordinator_epoch: *coordinator_epoch };
                let batch = marker.to_batch(transaction.producer_id, transaction.producer_epoch, now)?;
                return Ok(Some(BytesMut::from(&batch[..])));
            }
        };
        for Record { key, value } in records {
            let (key, value) = (Some(&key[..]), value.as_deref());
            builder.append(&NewRecord { timestamp: now, key, value, headers: &[] })?;
        }
        Ok(Some(BytesMut::from(&builder.finish()?[..])))
    }

    /// What the partition is told of the transaction.
    pub(super) fn transaction(&self) -> TransactionContext {
        let verified_by = match self {
            Self::Transactional { verified_by, .. } => *verified_by,
            Self::Nothing | Self::Records { .. } | Self::Marker(_) => None,
        };
        TransactionContext { verified_by, ..TransactionContext::default() }
    }

    /// What the state is to replay, now that the batch lies at `first`.
    pub(super) fn replay(&self, first: Offset, mut apply: impl FnMut(Entry<'_>)) {
        let (records, transaction) = match self {
            Self::Nothing | Self::Records { replay: Replay::AtStart, .. } => return,
            Self::Marker(marker) => return apply(Entry::Marker(*marker)),
            Self::Records { records, replay: Replay::Now } => (records, None),
            Self::Transactional { transaction, records, .. } => (records, Some(*transaction)),
        };
        for (at, Record { key, value }) in (0_u32..).zip(records) {
            let (offset, value) = (first.plus(at.into()), value.as_deref());
            apply(Entry::Record(LogRecord { offset, transaction, key: Some(key), value }));
        }
    }
}

/// A record or a marker of the partition.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    Record(LogRecord<'a>),
    Marker(EndMarker),
}

/// A batch that cannot be read as a whole, or from some record on.
#[derive(Debug, thiserror::Error)]
#[error("offset {offset}: {problem}")]
pub(super) struct Unreadable {
    pub(super) offset: Offset,
    pub(super) problem: String,
}

/// Hands every record of a batch to `apply`.
pub(super) fn for_each_entry(
    batch: &BatchView<'_>,
    mut apply: impl FnMut(Entry<'_>),
) -> Result<(), Unreadable> {
    let header = batch.header();
    let unreadable = |offset: Offset, problem: String| Unreadable { offset, problem };
    let transaction =
        Transaction { producer_id: header.producer_id(), producer_epoch: header.producer_epoch() };
    if header.is_control() {
        if let Some((marker, _)) =
            marker_of(batch).map_err(|error| unreadable(header.base_offset(), error.to_string()))?
        {
            let EndTxnMarker { outcome, coordinator_epoch } = marker;
            apply(Entry::Marker(EndMarker { transaction, coordinator_epoch, outcome }));
        }
        return Ok(());
    }
    let transaction = header.is_transactional().then_some(transaction);
    let mut next = header.base_offset();
    let mut records =
        batch.records(DecompressionCap::default()).map_err(|error| unreadable(next, error.to_string()))?;
    while let Some(record) = records.next_record() {
        let record = record.map_err(|error| unreadable(next, error.to_string()))?;
        next = record.offset.next();
        apply(Entry::Record(LogRecord {
            offset: record.offset,
            transaction,
            key: record.key,
            value: record.value,
        }));
    }
    Ok(())
}
