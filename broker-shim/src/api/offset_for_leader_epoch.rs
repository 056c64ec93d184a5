//! OffsetForLeaderEpoch (KIP-101): where the records of an epoch end.

use wire::{
    ErrorCode,
    messages::{
        OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        offset_for_leader_epoch_request::OffsetForLeaderPartition,
        offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult},
    },
};

use log_engine::types::LeaderEpoch;

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: OffsetForLeaderEpochRequest<'r>,
) -> OffsetForLeaderEpochResponse<'r> {
    let topics = request
        .topics
        .iter()
        .map(|topic| {
            let allowed = broker.allows(context, Operation::Describe, Resource::topic(&topic.topic));
            let partitions = topic.partitions.iter().map(|partition| {
                let found = if allowed {
                    end_of(broker, &topic.topic, partition)
                } else {
                    Err(ErrorCode::TopicAuthorizationFailed)
                };
                answer(partition.partition, found)
            });
            OffsetForLeaderTopicResult {
                partitions: partitions.collect(),
                topic: topic.topic.clone(),
                ..OffsetForLeaderTopicResult::default()
            }
        })
        .collect();
    OffsetForLeaderEpochResponse { topics, ..OffsetForLeaderEpochResponse::default() }
}

fn end_of(
    broker: &Broker,
    topic: &str,
    asked: &OffsetForLeaderPartition<'_>,
) -> Result<Option<(i32, i64)>, ErrorCode> {
    let partition = broker.partition(topic, asked.partition)?;
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    Ok(partition.epoch_end(LeaderEpoch::new(asked.leader_epoch)).map(|(epoch, end)| (epoch.get(), end.get())))
}

fn answer<'r>(partition: i32, found: Result<Option<(i32, i64)>, ErrorCode>) -> EpochEndOffset<'r> {
    let code = found.err().unwrap_or(ErrorCode::None);
    let (leader_epoch, end_offset) = found.ok().flatten().unwrap_or((-1, -1));
    EpochEndOffset {
        error_code: code.code(),
        partition,
        leader_epoch,
        end_offset,
        ..EpochEndOffset::default()
    }
}
