//! Records of `__remote_log_metadata`, as the `toString` of Kafka's classes shows them.

use std::{collections::BTreeMap, fmt::Write};

use wire::{
    message::{Decode, DecodeError},
    primitives::{Reader, Uuid},
    records::{
        RemoteLogSegmentMetadataRecord, RemoteLogSegmentMetadataSnapshotRecord,
        RemoteLogSegmentMetadataUpdateRecord, RemotePartitionDeleteMetadataRecord,
    },
};

use super::framed::Frame;

/// Kafka's classes refuse a segment in no state, and one without a leader epoch.
const NO_STATE: &str = "state can not be null";
const NO_EPOCHS: &str = "segmentLeaderEpochs can not be null or empty";

/// The text of a record, or the sentence that Kafka's tool prints instead.
pub(super) fn remote_log_text(value: Option<&[u8]>) -> Result<String, String> {
    let value = value.ok_or(
        "Cannot invoke \"java.nio.ByteBuffer.remaining()\" because the return value of \
         \"org.apache.kafka.common.record.internal.Record.value()\" is null",
    )?;
    let mut reader = Reader::new(value);
    let frame = Frame::read(&mut reader)?;
    match frame.key {
        0 => segment(&read(&frame, &mut reader)?),
        1 => segment_update(&read(&frame, &mut reader)?),
        2 => partition_delete(&read(&frame, &mut reader)?),
        3 => segment_snapshot(&read(&frame, &mut reader)?),
        _ => Err(frame.unknown()),
    }
}

fn read<'v, R: Decode<'v>>(frame: &Frame, reader: &mut Reader<'v>) -> Result<R, String> {
    let record = R::decode(reader, frame.version).map_err(|_: DecodeError| frame.unreadable())?;
    frame.check_end(reader)?;
    Ok(record)
}

fn segment(record: &RemoteLogSegmentMetadataRecord<'_>) -> Result<String, String> {
    let id = &record.remote_log_segment_id;
    let partition = &id.topic_id_partition;
    let state = segment_state(record.remote_log_segment_state)?;
    let epochs = epochs(record.segment_leader_epochs.iter().map(|entry| (entry.leader_epoch, entry.offset)))?;
    Ok(format!(
        "RemoteLogSegmentMetadata{{remoteLogSegmentId={}, startOffset={}, endOffset={}, brokerId={}, maxTimestampMs={}, \
         eventTimestampMs={}, segmentLeaderEpochs={epochs}, segmentSizeInBytes={}, customMetadata={}, state={state}, \
         txnIdxEmpty={}}}",
        segment_id(partition.id, &partition.name, partition.partition, id.id),
        record.start_offset,
        record.end_offset,
        record.broker_id,
        record.max_timestamp_ms,
        record.event_timestamp_ms,
        record.segment_size_in_bytes,
        custom_metadata(record.custom_metadata.as_deref()),
        record.txn_index_empty,
    ))
}

fn segment_update(record: &RemoteLogSegmentMetadataUpdateRecord<'_>) -> Result<String, String> {
    let id = &record.remote_log_segment_id;
    let partition = &id.topic_id_partition;
    Ok(format!(
        "RemoteLogSegmentMetadataUpdate{{remoteLogSegmentId={}, customMetadata={}, state={}, eventTimestampMs={}, \
         brokerId={}}}",
        segment_id(partition.id, &partition.name, partition.partition, id.id),
        custom_metadata(record.custom_metadata.as_deref()),
        segment_state(record.remote_log_segment_state)?,
        record.event_timestamp_ms,
        record.broker_id,
    ))
}

fn partition_delete(record: &RemotePartitionDeleteMetadataRecord<'_>) -> Result<String, String> {
    let state = match record.remote_partition_delete_state {
        0 => "DELETE_PARTITION_MARKED",
        1 => "DELETE_PARTITION_STARTED",
        2 => "DELETE_PARTITION_FINISHED",
        // Kafka prints the text of an exception that has none.
        _ => return Err("null".to_owned()),
    };
    let partition = &record.topic_id_partition;
    Ok(format!(
        "RemotePartitionDeleteMetadata{{topicPartition={}, state={state}, eventTimestampMs={}, brokerId={}}}",
        topic_id_partition(partition.id, &partition.name, partition.partition),
        record.event_timestamp_ms,
        record.broker_id,
    ))
}

fn segment_snapshot(record: &RemoteLogSegmentMetadataSnapshotRecord<'_>) -> Result<String, String> {
    let state = segment_state(record.remote_log_segment_state)?;
    let epochs = epochs(record.segment_leader_epochs.iter().map(|entry| (entry.leader_epoch, entry.offset)))?;
    Ok(format!(
        "RemoteLogSegmentMetadataSnapshot{{segmentId={}, startOffset={}, endOffset={}, maxTimestampMs={}, \
         segmentLeaderEpochs={epochs}, segmentSizeInBytes={}, customMetadata={}, state={state}, txnIdxEmpty={}}}",
        record.segment_id,
        record.start_offset,
        record.end_offset,
        record.max_timestamp_ms,
        record.segment_size_in_bytes,
        custom_metadata(record.custom_metadata.as_deref()),
        record.txn_index_empty,
    ))
}

fn segment_id(topic_id: Uuid, topic: &str, partition: i32, id: Uuid) -> String {
    let topic_id_partition = topic_id_partition(topic_id, topic, partition);
    format!("RemoteLogSegmentId{{topicIdPartition={topic_id_partition}, id={id}}}")
}

fn topic_id_partition(topic_id: Uuid, topic: &str, partition: i32) -> String {
    format!("{topic_id}:{topic}-{partition}")
}

fn segment_state(state: i8) -> Result<&'static str, String> {
    Ok(match state {
        0 => "COPY_SEGMENT_STARTED",
        1 => "COPY_SEGMENT_FINISHED",
        2 => "DELETE_SEGMENT_STARTED",
        3 => "DELETE_SEGMENT_FINISHED",
        _ => return Err(NO_STATE.to_owned()),
    })
}

/// A sorted Java map, in which the last of two equal epochs wins.
fn epochs(entries: impl Iterator<Item = (i32, i64)>) -> Result<String, String> {
    let sorted: BTreeMap<i32, i64> = entries.collect();
    if sorted.is_empty() {
        return Err(NO_EPOCHS.to_owned());
    }
    let mut text = String::from("{");
    for (index, (epoch, offset)) in sorted.iter().enumerate() {
        let separator = if index > 0 { ", " } else { "" };
        let _ = write!(text, "{separator}{epoch}={offset}");
    }
    text.push('}');
    Ok(text)
}

fn custom_metadata(bytes: Option<&[u8]>) -> String {
    bytes.map_or("Optional.empty".to_owned(), |bytes| {
        format!("Optional[CustomMetadata{{{} bytes}}]", bytes.len())
    })
}
