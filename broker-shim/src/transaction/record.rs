//! Records of `__transaction_state`, in Kafka's format: the key has the transactional id, the value all that is known of it.

use log_engine::types::{ProducerEpoch, ProducerId};
use wire::{
    message::EncodeError,
    primitives::Reader,
    records::{
        TransactionLogKey, TransactionLogValue, decode_versioned, encode_versioned,
        transaction_log_value::PartitionsSchema,
    },
};

use super::state::{Partitions, Producer, TransactionMetadata, TransactionState, TransactionVersion};
use crate::coordinator::{Record, ReplayError};

/// The only type of key there is; its place is that of a version.
const TRANSACTION: i16 = 0;

/// The newest version of a value that is known here.
const NEWEST_VALUE: i16 = 1;

/// What a record says: the id, and what is known of it from then on; nothing where it is forgotten.
pub(super) type Decoded<'a> = (std::borrow::Cow<'a, str>, Option<TransactionMetadata>);

pub(super) fn decode<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Result<Decoded<'a>, ReplayError> {
    let mut reader = Reader::new(key.ok_or(ReplayError::NoKey)?);
    let kind = reader.i16()?;
    if kind != TRANSACTION {
        return Err(ReplayError::UnknownType(kind));
    }
    let key = TransactionLogKey::decode(&mut reader, 0)?;
    let metadata = value.map(decode_value).transpose()?;
    Ok((key.transactional_id, metadata))
}

fn decode_value(bytes: &[u8]) -> Result<TransactionMetadata, ReplayError> {
    let version = Reader::new(bytes).i16()?;
    if !(0..=NEWEST_VALUE).contains(&version) {
        return Err(ReplayError::UnknownVersion(version));
    }
    let (value, _): (TransactionLogValue<'_>, _) = decode_versioned(&mut Reader::new(bytes))?;
    let state = TransactionState::from_id(value.transaction_status)
        .ok_or(ReplayError::UnknownState(value.transaction_status))?;
    let mut partitions = Partitions::new();
    for topic in value.transaction_partitions.iter().flatten() {
        partitions.entry(topic.topic.as_ref().into()).or_default().extend(&topic.partition_ids);
    }
    Ok(TransactionMetadata {
        producer: Producer::new(value.producer_id, value.producer_epoch),
        previous_producer_id: ProducerId::new(value.previous_producer_id),
        next_producer_id: ProducerId::new(value.next_producer_id),
        last_epoch: ProducerEpoch::NONE,
        timeout_ms: value.transaction_timeout_ms,
        state,
        partitions,
        started_ms: value.transaction_start_timestamp_ms,
        updated_ms: value.transaction_last_update_timestamp_ms,
        client_version: TransactionVersion::from_level(value.client_transaction_version),
    })
}

fn key(id: &str) -> Result<Vec<u8>, EncodeError> {
    encode_versioned(&TransactionLogKey { transactional_id: id.into() }, TRANSACTION)
}

/// The id is forgotten.
pub(super) fn tombstone(id: &str) -> Result<Record, EncodeError> {
    Ok(Record { key: key(id)?, value: None })
}

/// What is known of the id from now on, in the format that goes with the finalized `transaction.version`.
pub(super) fn encode(
    id: &str,
    metadata: &TransactionMetadata,
    finalized: TransactionVersion,
) -> Result<Record, EncodeError> {
    let version = finalized.record_version();
    let topics = metadata.partitions.iter().map(|(topic, partitions)| PartitionsSchema {
        topic: topic.as_ref().into(),
        partition_ids: partitions.iter().copied().collect(),
        ..PartitionsSchema::default()
    });
    let mut value = TransactionLogValue {
        producer_id: metadata.producer.id.get(),
        producer_epoch: metadata.producer.epoch.get(),
        transaction_timeout_ms: metadata.timeout_ms,
        transaction_status: metadata.state.id(),
        transaction_partitions: (metadata.state != TransactionState::Empty).then(|| topics.collect()),
        transaction_last_update_timestamp_ms: metadata.updated_ms,
        transaction_start_timestamp_ms: metadata.started_ms,
        ..TransactionLogValue::default()
    };
    if version > 0 {
        value.previous_producer_id = metadata.previous_producer_id.get();
        value.next_producer_id = metadata.next_producer_id.get();
        value.client_transaction_version = metadata.client_version.level();
    }
    Ok(Record { key: key(id)?, value: Some(encode_versioned(&value, version)?) })
}
