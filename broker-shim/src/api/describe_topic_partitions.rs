//! DescribeTopicPartitions: topics page by page, in the order of their names.

use wire::{
    ErrorCode,
    messages::{
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        describe_topic_partitions_response::{
            Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        },
    },
};

use super::{metadata::topic_operations, uuid};
use crate::{
    authorizer::{Operation, Resource},
    broker::{Broker, is_internal},
    metadata::{Image, PartitionImage, TopicImage, ops::check_topic_name},
    request_context::RequestContext,
};

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeTopicPartitionsRequest<'r>,
) -> DescribeTopicPartitionsResponse<'r> {
    let image = broker.image();
    let (first_topic, first_partition) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), cursor.partition_index.max(0)),
        None => (String::new(), 0),
    };
    let most = broker.config().number("max.request.partition.size.limit");
    let mut left = usize::try_from(most.min(request.response_partition_limit.into())).unwrap_or(0).max(1);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names(&request, &image, &first_topic) {
        if left == 0 {
            response.next_cursor = Some(Cursor { topic_name: name.into(), ..Cursor::default() });
            break;
        }
        let from = if name == first_topic { first_partition } else { 0 };
        let (topic, rest) = page(broker, context, &image, &name, from, left);
        left -= topic.partitions.len().max(1).min(left);
        response.topics.push(topic);
        if let Some(partition_index) = rest {
            response.next_cursor =
                Some(Cursor { topic_name: name.into(), partition_index, ..Cursor::default() });
            break;
        }
    }
    response
}

/// The names to answer, sorted, from the cursor on. No name at all asks for every topic.
fn names(request: &DescribeTopicPartitionsRequest<'_>, image: &Image, first: &str) -> Vec<String> {
    let mut names: Vec<String> = if request.topics.is_empty() {
        image.topics().map(|topic| topic.name.to_string()).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.to_string()).collect()
    };
    names.retain(|name| name.as_str() >= first);
    names.sort_unstable();
    names.dedup();
    names
}

/// One topic's partitions from one on, and where the next page begins if there are more.
fn page<'r>(
    broker: &Broker,
    context: &RequestContext,
    image: &Image,
    name: &str,
    from: i32,
    most: usize,
) -> (DescribeTopicPartitionsResponseTopic<'r>, Option<i32>) {
    let topic = match image.topic(name) {
        _ if !broker.allows(context, Operation::Describe, Resource::topic(name)) => {
            return (missing(name, ErrorCode::TopicAuthorizationFailed), None);
        }
        Some(topic) => topic,
        None if check_topic_name(name).is_err() => {
            return (missing(name, ErrorCode::InvalidTopicException), None);
        }
        None => return (missing(name, ErrorCode::UnknownTopicOrPartition), None),
    };
    let mut rest = topic.partitions.iter().filter(|partition| partition.partition >= from);
    let partitions = rest.by_ref().take(most).map(|partition| describe(image, partition)).collect();
    let next = rest.next().map(|partition| partition.partition);
    (whole(topic, partitions), next)
}

fn missing<'r>(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic<'r> {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name.to_owned().into()),
        is_internal: is_internal(name),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn whole<'r>(
    topic: &TopicImage,
    partitions: Vec<DescribeTopicPartitionsResponsePartition<'r>>,
) -> DescribeTopicPartitionsResponseTopic<'r> {
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.to_string().into()),
        topic_id: uuid(topic.topic_id),
        is_internal: is_internal(&topic.name),
        partitions,
        topic_authorized_operations: topic_operations(),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn describe<'r>(image: &Image, partition: &PartitionImage) -> DescribeTopicPartitionsResponsePartition<'r> {
    DescribeTopicPartitionsResponsePartition {
        partition_index: partition.partition,
        leader_id: partition.leader,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.to_vec(),
        isr_nodes: partition.isr.to_vec(),
        offline_replicas: image.offline_replicas(partition),
        eligible_leader_replicas: Some(partition.eligible_leader_replicas.to_vec()),
        last_known_elr: Some(partition.last_known_elr.to_vec()),
        ..DescribeTopicPartitionsResponsePartition::default()
    }
}
