//! ListOffsets: earliest, latest, the largest timestamp, and the first record at or after a time.

use std::{collections::HashSet, sync::Arc};

use tokio::task::spawn_blocking;
use wire::{
    ErrorCode,
    messages::{
        ListOffsetsRequest, ListOffsetsResponse,
        list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse},
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    partition::{OffsetQuery, Partition, Visibility},
    request_context::RequestContext,
};

/// Kafka's special timestamps.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// The version from which on a timestamp means what it means. A client that asks in an earlier one is told so, also
/// where there is no such partition (Kafka's `ReplicaManager.isListOffsetsTimestampUnsupported`).
fn first_version_of(timestamp: i64) -> Option<i16> {
    match timestamp {
        LATEST | EARLIEST | 0.. => Some(0),
        MAX_TIMESTAMP => Some(7),
        EARLIEST_LOCAL => Some(8),
        LATEST_TIERED => Some(9),
        EARLIEST_PENDING_UPLOAD => Some(11),
        _ => None,
    }
}

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: ListOffsetsRequest<'r>,
) -> ListOffsetsResponse<'r> {
    let visibility = Visibility::of(request.replica_id, request.isolation_level);
    let mut seen = HashSet::new();
    let mut repeated = HashSet::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            if !seen.insert((&topic.name, partition.partition_index)) {
                repeated.insert((&topic.name, partition.partition_index));
            }
        }
    }
    let mut topics = Vec::new();
    for topic in &request.topics {
        let allowed = broker.allows(context, Operation::Describe, Resource::topic(&topic.name));
        let mut partitions = Vec::new();
        for asked in &topic.partitions {
            let found = if !allowed {
                Err(ErrorCode::TopicAuthorizationFailed)
            } else if repeated.contains(&(&topic.name, asked.partition_index)) {
                Err(ErrorCode::InvalidRequest)
            } else if first_version_of(asked.timestamp).is_none_or(|first| context.version < first) {
                Err(ErrorCode::UnsupportedVersion)
            } else {
                match broker.partition(&topic.name, asked.partition_index) {
                    Err(code) => Err(code),
                    Ok(partition) => {
                        look_up(&partition, asked.current_leader_epoch, asked.timestamp, visibility).await
                    }
                }
            };
            partitions.push(answer(context.version, asked.partition_index, found));
        }
        topics.push(ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions,
            ..ListOffsetsTopicResponse::default()
        });
    }
    ListOffsetsResponse { topics, ..ListOffsetsResponse::default() }
}

/// Earlier versions have no place for the leader epoch.
const FIRST_WITH_EPOCH: i16 = 4;

/// Timestamp, offset and leader epoch of a record.
type Found = (i64, i64, i32);

const NOT_FOUND: Found = (-1, -1, -1);

async fn look_up(
    partition: &Arc<Partition>,
    current_leader_epoch: i32,
    timestamp: i64,
    visibility: Visibility,
) -> Result<Found, ErrorCode> {
    partition.check_leader_epoch(current_leader_epoch)?;
    let query = match timestamp {
        LATEST => return Ok((-1, partition.end(visibility).get(), partition.leader_epoch().get())),
        EARLIEST => OffsetQuery::Earliest,
        EARLIEST_LOCAL => OffsetQuery::EarliestLocal,
        MAX_TIMESTAMP => OffsetQuery::MaxTimestamp,
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok(NOT_FOUND),
        at if at >= 0 => OffsetQuery::AtOrAfter(at),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    // Looking for a time may read the log from disk.
    let partition = Arc::clone(partition);
    spawn_blocking(move || partition.find_offset(query, visibility))
        .await
        .unwrap_or(Err(ErrorCode::UnknownServerError))
        .map(|found| found.unwrap_or(NOT_FOUND))
}

fn answer<'r>(
    version: i16,
    partition_index: i32,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse<'r> {
    let code = found.err().unwrap_or(ErrorCode::None);
    let (timestamp, offset, leader_epoch) = found.unwrap_or(NOT_FOUND);
    let leader_epoch = if version >= FIRST_WITH_EPOCH { leader_epoch } else { NOT_FOUND.2 };
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: code.code(),
        timestamp,
        offset,
        leader_epoch,
        ..ListOffsetsPartitionResponse::default()
    }
}
