//! DescribeLogDirs: what lies in which data directory, and how much room there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log_engine::{Log, types::TopicPartition};
use tokio::task::spawn_blocking;
use wire::{
    ErrorCode,
    messages::{
        DescribeLogDirsRequest, DescribeLogDirsResponse,
        describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic},
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    metadata::ops::CLUSTER_METADATA_TOPIC,
    request_context::RequestContext,
};

/// Kafka's number for a size that cannot be found out.
const UNKNOWN_BYTES: i64 = -1;

/// One partition in one directory.
struct Found {
    partition: TopicPartition,
    size: i64,
    offset_lag: i64,
    is_future: bool,
}

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeLogDirsRequest<'_>,
) -> DescribeLogDirsResponse<'r> {
    if !broker.allows(context, Operation::Describe, Resource::cluster()) {
        let error_code = ErrorCode::ClusterAuthorizationFailed.code();
        return DescribeLogDirsResponse { error_code, ..DescribeLogDirsResponse::default() };
    }
    let wanted = request.topics.as_ref().map(|topics| {
        let partitions = |topic: &wire::messages::describe_log_dirs_request::DescribableLogDirTopic<'_>| {
            let numbers = topic.partitions.clone();
            let name: Arc<str> = (*topic.topic).into();
            numbers.into_iter().map(move |partition| TopicPartition { topic: Arc::clone(&name), partition })
        };
        topics.iter().flat_map(partitions).collect::<BTreeSet<_>>()
    });
    let mut found = found_in_directories(broker, wanted.as_ref());
    let mut results = Vec::new();
    for dir in &broker.config().log_dirs {
        let online = broker.engine.is_online(dir);
        let found = found.remove(dir).unwrap_or_default();
        results.push(if online { described(dir, found).await } else { offline(dir) });
    }
    DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() }
}

fn found_in_directories(
    broker: &Broker,
    wanted: Option<&BTreeSet<TopicPartition>>,
) -> BTreeMap<PathBuf, Vec<Found>> {
    let is_wanted = |partition: &TopicPartition| {
        &*partition.topic != CLUSTER_METADATA_TOPIC && wanted.is_none_or(|wanted| wanted.contains(partition))
    };
    let mut found: BTreeMap<PathBuf, Vec<Found>> = BTreeMap::new();
    let logs = broker.engine.logs();
    for log in logs.iter().filter(|log| is_wanted(log.partition())) {
        let (partition, offsets) = (log.partition().clone(), log.offsets());
        let offset_lag = (offsets.high_watermark.get() - offsets.log_end.get()).max(0);
        let current = Found { partition, size: bytes(log.size_bytes()), offset_lag, is_future: false };
        found.entry(log.data_directory().to_owned()).or_default().push(current);
    }
    for moving in broker.engine.moves().into_iter().filter(|moving| is_wanted(&moving.partition)) {
        let end = |log: Arc<Log>| log.offsets().log_end.get();
        let log_end = broker.engine.log(&moving.partition).map_or(0, end);
        let future = Found {
            offset_lag: (log_end - moving.copied_to.get()).max(0),
            size: bytes(moving.copied_bytes),
            partition: moving.partition,
            is_future: true,
        };
        found.entry(moving.directory).or_default().push(future);
    }
    found
}

async fn described<'r>(dir: &Path, found: Vec<Found>) -> DescribeLogDirsResult<'r> {
    let mut topics: BTreeMap<Arc<str>, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for Found { partition, size, offset_lag, is_future } in found {
        topics.entry(partition.topic).or_default().push(DescribeLogDirsPartition {
            partition_index: partition.partition,
            partition_size: size,
            offset_lag,
            is_future_key: is_future,
            ..DescribeLogDirsPartition::default()
        });
    }
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        let name = name.to_string().into();
        DescribeLogDirsTopic { name, partitions, ..DescribeLogDirsTopic::default() }
    });
    let space = {
        let dir = dir.to_owned();
        spawn_blocking(move || rustix::fs::statvfs(&dir)).await
    };
    let (total_bytes, usable_bytes) = match space {
        Ok(Ok(space)) => (bytes(space.f_blocks * space.f_frsize), bytes(space.f_bavail * space.f_frsize)),
        _ => (UNKNOWN_BYTES, UNKNOWN_BYTES),
    };
    DescribeLogDirsResult {
        log_dir: text(dir).into(),
        topics: topics.collect(),
        total_bytes,
        usable_bytes,
        ..DescribeLogDirsResult::default()
    }
}

fn offline<'r>(dir: &Path) -> DescribeLogDirsResult<'r> {
    DescribeLogDirsResult {
        error_code: ErrorCode::KafkaStorageError.code(),
        log_dir: text(dir).into(),
        total_bytes: UNKNOWN_BYTES,
        usable_bytes: UNKNOWN_BYTES,
        ..DescribeLogDirsResult::default()
    }
}

/// As clients are to name it: relative paths depend on where the broker was started.
fn text(dir: &Path) -> String {
    std::path::absolute(dir).map_or_else(|_| dir.display().to_string(), |dir| dir.display().to_string())
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
