//! AlterReplicaLogDirs: has replicas moved between the data directories of this broker (KIP-113).

use std::path::{Path, PathBuf};

use log_engine::{MoveLogError, types::TopicPartition};
use wire::{
    ErrorCode,
    messages::{
        AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
        alter_replica_log_dirs_response::{AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult},
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

/// Longest name that a directory can have; that of a copy is the partition's and 40 characters.
const DIRECTORY_NAME_MAX: usize = 255;
const FUTURE_SUFFIX_LEN: usize = ".0123456789abcdef0123456789abcdef-future".len();

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: AlterReplicaLogDirsRequest<'r>,
) -> AlterReplicaLogDirsResponse<'r> {
    let allowed = broker.allows(context, Operation::Alter, Resource::cluster());
    let mut results: Vec<AlterReplicaLogDirTopicResult<'r>> = Vec::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            let partitions = topic.partitions.iter().map(|number| {
                let outcome = if allowed {
                    move_replica(broker, &topic.name, *number, &dir.path)
                } else {
                    Err(ErrorCode::ClusterAuthorizationFailed)
                };
                AlterReplicaLogDirPartitionResult {
                    partition_index: *number,
                    error_code: outcome.err().unwrap_or(ErrorCode::None).code(),
                    ..AlterReplicaLogDirPartitionResult::default()
                }
            });
            let partitions = partitions.collect();
            results.push(AlterReplicaLogDirTopicResult {
                topic_name: topic.name.clone(),
                partitions,
                ..AlterReplicaLogDirTopicResult::default()
            });
        }
    }
    AlterReplicaLogDirsResponse { results, ..AlterReplicaLogDirsResponse::default() }
}

/// In the order of Kafka's `ReplicaManager.alterReplicaLogDirs`.
fn move_replica(broker: &Broker, topic: &str, number: i32, directory: &str) -> Result<(), ErrorCode> {
    let partition = TopicPartition { topic: topic.into(), partition: number };
    if partition.to_string().len() + FUTURE_SUFFIX_LEN > DIRECTORY_NAME_MAX {
        return Err(ErrorCode::InvalidTopicException);
    }
    let directory = configured(broker, directory).ok_or(ErrorCode::LogDirNotFound)?;
    if !broker.engine.is_online(&directory) {
        return Err(ErrorCode::KafkaStorageError);
    }
    broker.partition(topic, number).map_err(|error| match error {
        ErrorCode::UnknownTopicOrPartition => error,
        _ => ErrorCode::ReplicaNotAvailable,
    })?;
    broker.engine.move_log(&partition, &directory).map_err(|error| {
        tracing::warn!(%partition, directory = %directory.display(), %error, "the replica is not moved");
        match error {
            MoveLogError::UnknownDirectory { .. } => ErrorCode::LogDirNotFound,
            MoveLogError::UnknownLog { .. } => ErrorCode::ReplicaNotAvailable,
            _ => ErrorCode::KafkaStorageError,
        }
    })
}

/// The data directory of this path, as the configuration names it.
fn configured(broker: &Broker, path: &str) -> Option<PathBuf> {
    let is_meant = |dir: &&PathBuf| std::path::absolute(dir).is_ok_and(|dir| dir == Path::new(path));
    broker.config().log_dirs.iter().find(is_meant).cloned()
}
