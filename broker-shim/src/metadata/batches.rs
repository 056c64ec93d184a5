//! Between records and the batches in which the metadata log and its snapshots hold them.

use log_engine::{
    batch::{BatchBuilder, BatchView, Compression, DecompressionCap, NewRecord},
    types::{LeaderEpoch, Offset, TimestampMs},
};

use super::{
    codec::{self, MetadataVersion},
    raft::{self, ControlRecord, EncodeBatchError},
    record::MetadataRecord,
};

/// Bytes that are no metadata batch.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("at position {position}: {problem}")]
pub struct BatchProblem {
    /// Where the batch begins.
    pub position: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// One batch, decoded.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DecodedBatch {
    pub(super) base_offset: Offset,
    pub(super) next_offset: Offset,
    pub(super) epoch: LeaderEpoch,
    pub(super) timestamp: TimestampMs,
    pub(super) entries: Vec<Entry>,
}

/// One record of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Metadata(MetadataRecord),
    Control(ControlRecord),
    /// Of a type or version that this build does not know; with what it is called.
    Unknown(String),
}

/// One batch of metadata records.
pub(super) fn data_batch(
    records: &[MetadataRecord],
    version: MetadataVersion,
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: TimestampMs,
) -> Result<Vec<u8>, EncodeBatchError> {
    let mut builder = BatchBuilder::new(Compression::None).base_offset(base_offset).leader_epoch(epoch);
    for record in records {
        let value = codec::encode(record, version)?;
        builder.append(&NewRecord { timestamp: now, key: None, value: Some(&value), headers: &[] })?;
    }
    Ok(builder.finish()?)
}

/// Decodes whole batches, as they follow each other in `bytes`. `position` is where the first lies in its file.
pub(super) fn decode_batches(
    mut bytes: &[u8],
    mut position: u64,
) -> impl Iterator<Item = Result<DecodedBatch, BatchProblem>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let decoded = decode_batch(bytes).map_err(|problem| BatchProblem { position, problem });
        match decoded {
            Ok((batch, size)) => {
                bytes = bytes.get(size..).unwrap_or_default();
                position += size as u64;
                Some(Ok(batch))
            }
            Err(problem) => {
                bytes = &[];
                Some(Err(problem))
            }
        }
    })
}

fn decode_batch(bytes: &[u8]) -> Result<(DecodedBatch, usize), String> {
    let view = BatchView::read(bytes).map_err(|error| error.to_string())?;
    if !view.crc_is_valid() {
        return Err("the checksum is wrong".to_owned());
    }
    let header = view.header();
    let mut entries = Vec::new();
    let mut records = view.records(DecompressionCap::default()).map_err(|error| error.to_string())?;
    while let Some(record) = records.next_record() {
        let record = record.map_err(|error| error.to_string())?;
        entries.push(if header.is_control() {
            decode_control(record.key, record.value)?
        } else {
            decode_metadata(record.value)?
        });
    }
    let batch = DecodedBatch {
        base_offset: header.base_offset(),
        next_offset: header.next_offset(),
        epoch: header.leader_epoch(),
        timestamp: header.max_timestamp(),
        entries,
    };
    Ok((batch, header.size_in_bytes()))
}

fn decode_control(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Entry, String> {
    match raft::decode(key, value) {
        Ok(record) => Ok(Entry::Control(record)),
        Err(error) if codec::is_unknown(&error) => Ok(Entry::Unknown(error.to_string())),
        Err(error) => Err(error.to_string()),
    }
}

fn decode_metadata(value: Option<&[u8]>) -> Result<Entry, String> {
    let value = value.ok_or("a metadata record has no value")?;
    match codec::decode(value) {
        Ok(record) => Ok(Entry::Metadata(record)),
        Err(error) if codec::is_unknown(&error) => Ok(Entry::Unknown(error.to_string())),
        Err(error) => Err(error.to_string()),
    }
}
