//! OffsetCommit: the consumer's place in each partition, remembered by its group.

use std::sync::Arc;

use wire::{
    ErrorCode,
    messages::{
        OffsetCommitRequest, OffsetCommitResponse,
        offset_commit_request::OffsetCommitRequestTopic,
        offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic},
    },
};

use super::topic_id;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    group::{CommitRequest, Committer, NewOffset},
    metadata::{Image, TopicImage},
    request_context::RequestContext,
};

/// From this version on members of groups of the new protocol commit as well, and a group that is not there is said to be so.
const FIRST_WITH_MEMBER_EPOCHS: i16 = 9;
/// From this version on topics are named by id.
const FIRST_WITH_TOPIC_IDS: i16 = 10;
/// Stands for "as the broker is configured" (Kafka's `OffsetCommitRequest.DEFAULT_RETENTION_TIME`).
const DEFAULT_RETENTION: i64 = -1;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: OffsetCommitRequest<'r>,
) -> OffsetCommitResponse<'r> {
    let image = broker.image();
    let codes = if broker.allows(context, Operation::Read, Resource::group(&request.group_id)) {
        commit(broker, context, &image, &request).await
    } else {
        let denied = |topic: &OffsetCommitRequestTopic<'_>| {
            vec![ErrorCode::GroupAuthorizationFailed; topic.partitions.len()]
        };
        request.topics.iter().map(denied).collect()
    };
    let topics = request.topics.into_iter().zip(codes).map(answer).collect();
    OffsetCommitResponse { topics, ..OffsetCommitResponse::default() }
}

/// A code for each partition of each topic.
async fn commit(
    broker: &Broker,
    context: &RequestContext,
    image: &Image,
    request: &OffsetCommitRequest<'_>,
) -> Vec<Vec<ErrorCode>> {
    let targets: Vec<_> = request.topics.iter().map(|topic| target(broker, context, image, topic)).collect();
    let mut codes: Vec<Vec<ErrorCode>> = Vec::with_capacity(targets.len());
    let mut offsets = Vec::new();
    for (topic, target) in request.topics.iter().zip(&targets) {
        codes.push(
            topic
                .partitions
                .iter()
                .map(|partition| {
                    let target = target.as_ref().map_err(|code| *code)?;
                    if target.partition(partition.partition_index).is_none() {
                        return Err(ErrorCode::UnknownTopicOrPartition);
                    }
                    offsets.push(NewOffset {
                        topic: &target.name,
                        topic_id: topic.topic_id,
                        partition: partition.partition_index,
                        offset: partition.committed_offset,
                        leader_epoch: partition.committed_leader_epoch,
                        metadata: partition.committed_metadata.as_deref(),
                    });
                    Ok(())
                })
                .map(|checked: Result<(), ErrorCode>| checked.err().unwrap_or(ErrorCode::None))
                .collect(),
        );
    }
    if offsets.is_empty() {
        return codes;
    }
    let accepted = offsets.len();
    let committed = broker
        .groups
        .commit(CommitRequest {
            group: &request.group_id,
            by: Committer {
                generation: request.generation_id_or_member_epoch,
                member: &request.member_id,
                instance: request.group_instance_id.as_deref(),
            },
            retention_ms: Some(request.retention_time_ms).filter(|ms| *ms != DEFAULT_RETENTION),
            offsets,
            transaction: None,
            verified_by: None,
            no_group: if context.version < FIRST_WITH_MEMBER_EPOCHS {
                ErrorCode::IllegalGeneration
            } else {
                ErrorCode::GroupIdNotFound
            },
        })
        .await;
    let mut committed = committed.unwrap_or_else(|code| vec![code; accepted]).into_iter();
    for code in codes.iter_mut().flatten().filter(|code| **code == ErrorCode::None) {
        *code = committed.next().unwrap_or(ErrorCode::UnknownServerError);
    }
    codes
}

/// The topic, if the client may consume it.
fn target(
    broker: &Broker,
    context: &RequestContext,
    image: &Image,
    topic: &OffsetCommitRequestTopic<'_>,
) -> Result<Arc<TopicImage>, ErrorCode> {
    let by_id = context.version >= FIRST_WITH_TOPIC_IDS;
    let found = if by_id { image.topic_by_id(topic_id(topic.topic_id)) } else { image.topic(&topic.name) };
    let name = match found {
        Some(found) => &*found.name,
        None if by_id => return Err(ErrorCode::UnknownTopicId),
        None => &topic.name,
    };
    if !broker.allows(context, Operation::Read, Resource::topic(name)) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    found.cloned().ok_or(ErrorCode::UnknownTopicOrPartition)
}

fn answer<'r>(
    (topic, codes): (OffsetCommitRequestTopic<'r>, Vec<ErrorCode>),
) -> OffsetCommitResponseTopic<'r> {
    let partitions = topic.partitions.iter().zip(codes);
    OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions
            .map(|(partition, code)| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code.code(),
                ..OffsetCommitResponsePartition::default()
            })
            .collect(),
        ..OffsetCommitResponseTopic::default()
    }
}
