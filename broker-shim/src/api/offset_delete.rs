//! OffsetDelete: offsets of topics that no member of the group reads.

use wire::{
    ErrorCode,
    messages::{
        OffsetDeleteRequest, OffsetDeleteResponse,
        offset_delete_request::OffsetDeleteRequestTopic,
        offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic},
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: OffsetDeleteRequest<'r>,
) -> OffsetDeleteResponse<'r> {
    let failed =
        |code: ErrorCode| OffsetDeleteResponse { error_code: code.code(), ..OffsetDeleteResponse::default() };
    if !broker.allows(context, Operation::Delete, Resource::group(&request.group_id)) {
        return failed(ErrorCode::GroupAuthorizationFailed);
    }
    let checked: Vec<_> = request.topics.iter().map(|topic| check(broker, context, topic)).collect();
    let wanted: Vec<(&str, i32)> = request
        .topics
        .iter()
        .zip(&checked)
        .flat_map(|(topic, codes)| topic.partitions.iter().zip(codes).map(move |it| (&*topic.name, it)))
        .filter(|(_, (_, code))| **code == ErrorCode::None)
        .map(|(topic, (partition, _))| (topic, partition.partition_index))
        .collect();
    let deleted = if wanted.is_empty() {
        Ok(Vec::new())
    } else {
        broker.groups.delete_offsets(&request.group_id, &wanted).await
    };
    let mut deleted = match deleted {
        Ok(codes) => codes.into_iter(),
        Err(code) => return failed(code),
    };
    let mut answered = |code: ErrorCode| match code {
        ErrorCode::None => deleted.next().unwrap_or(ErrorCode::UnknownServerError),
        refused => refused,
    };
    let topics = request.topics.iter().zip(checked).map(|(topic, codes)| OffsetDeleteResponseTopic {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .zip(codes)
            .map(|(partition, code)| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: answered(code).code(),
            })
            .collect(),
    });
    OffsetDeleteResponse { topics: topics.collect(), ..OffsetDeleteResponse::default() }
}

/// What keeps each partition's offset from being deleted, before the group is asked.
fn check(broker: &Broker, context: &RequestContext, topic: &OffsetDeleteRequestTopic<'_>) -> Vec<ErrorCode> {
    let image = broker.image();
    let allowed = broker.allows(context, Operation::Read, Resource::topic(&topic.name));
    let code = |number: i32| match image.topic(&topic.name) {
        _ if !allowed => ErrorCode::TopicAuthorizationFailed,
        Some(found) if found.partition(number).is_some() => ErrorCode::None,
        _ => ErrorCode::UnknownTopicOrPartition,
    };
    topic.partitions.iter().map(|partition| code(partition.partition_index)).collect()
}
