//! Metadata: brokers, topics and who leads their partitions. Asking for a topic may create it.

use wire::{
    ErrorCode,
    messages::{
        MetadataRequest, MetadataResponse,
        metadata_request::MetadataRequestTopic,
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
    },
};

use super::{topic_id, uuid};
use crate::{
    authorizer::{Operation, Resource},
    broker::{Broker, is_internal},
    metadata::{
        Image, PartitionImage, TopicImage,
        ops::{CreateTopics, NewTopic, check_topic_name},
    },
    request_context::RequestContext,
};

/// What stands where authorized operations were not asked for.
pub(super) const NOT_ASKED: i32 = i32::MIN;

/// Kafka's numbers of operations, as bits: all that exist for a topic.
pub(super) fn topic_operations() -> i32 {
    bits(&[3, 4, 5, 6, 7, 8, 10, 11])
}

/// The same for a group.
pub(super) fn group_operations() -> i32 {
    bits(&[3, 6, 8, 10, 11])
}

/// The same for the cluster.
fn cluster_operations() -> i32 {
    bits(&[5, 7, 8, 9, 10, 11, 12])
}

/// The same for who asks; nothing for who may not see the cluster.
pub(super) fn operations_on_cluster(broker: &Broker, context: &RequestContext, asked: bool) -> i32 {
    match asked {
        false => NOT_ASKED,
        true if broker.allows(context, Operation::Describe, Resource::cluster()) => cluster_operations(),
        true => 0,
    }
}

fn bits(operations: &[u32]) -> i32 {
    operations.iter().map(|operation| 1 << operation).sum()
}

pub(super) async fn handle<'r>(
    broker: &'r Broker,
    context: &RequestContext,
    request: MetadataRequest<'r>,
) -> MetadataResponse<'r> {
    let operations = if request.include_topic_authorized_operations { topic_operations() } else { NOT_ASKED };
    let topics = match request.topics {
        // In version 0 the empty list was the way to ask for all.
        None => all_topics(broker, context, operations),
        Some(wanted) if wanted.is_empty() && context.version == 0 => all_topics(broker, context, operations),
        Some(wanted) => {
            let may_create =
                request.allow_auto_topic_creation && broker.config().flag("auto.create.topics.enable");
            let denied = if may_create { create_missing(broker, context, &wanted).await } else { Vec::new() };
            let image = broker.image();
            let describe = |topic: &MetadataRequestTopic<'r>| match topic.name.as_deref() {
                Some(name) if denied.contains(&name) => missing(topic, ErrorCode::TopicAuthorizationFailed),
                _ => describe_wanted(broker, context, &image, topic, operations),
            };
            wanted.iter().map(describe).collect()
        }
    };
    let cluster_authorized_operations =
        operations_on_cluster(broker, context, request.include_cluster_authorized_operations);
    MetadataResponse {
        brokers: brokers(broker, context),
        cluster_id: Some(broker.cluster_id().into()),
        controller_id: broker.node_id(),
        topics,
        cluster_authorized_operations,
        ..MetadataResponse::default()
    }
}

fn brokers<'r>(broker: &'r Broker, context: &RequestContext) -> Vec<MetadataResponseBroker<'r>> {
    broker
        .endpoint(&context.peer.listener)
        .map(|endpoint| MetadataResponseBroker {
            node_id: broker.node_id(),
            host: endpoint.host.as_str().into(),
            port: endpoint.port.into(),
            rack: broker.config().rack.as_deref().map(Into::into),
            ..MetadataResponseBroker::default()
        })
        .into_iter()
        .collect()
}

fn all_topics<'r>(
    broker: &Broker,
    context: &RequestContext,
    operations: i32,
) -> Vec<MetadataResponseTopic<'r>> {
    let image = broker.image();
    image
        .topics()
        .filter(|topic| broker.allows(context, Operation::Describe, Resource::topic(&topic.name)))
        .map(|topic| describe(&image, topic, operations))
        .collect()
}

/// Creates what is asked for by name, does not exist, and may; answers what this client may not create. What cannot be
/// created is answered as missing.
async fn create_missing<'w>(
    broker: &Broker,
    context: &RequestContext,
    wanted: &'w [MetadataRequestTopic<'_>],
) -> Vec<&'w str> {
    let image = broker.image();
    let allows = |operation, name: &str| broker.allows(context, operation, Resource::topic(name));
    let mut creates_all = None;
    let mut may_create = |name: &str| {
        *creates_all.get_or_insert_with(|| broker.allows(context, Operation::Create, Resource::cluster()))
            || allows(Operation::Create, name)
    };
    let (missing, denied): (Vec<&str>, Vec<&str>) = wanted
        .iter()
        .filter_map(|topic| topic.name.as_deref())
        .filter(|name| image.topic(name).is_none() && !is_internal(name) && check_topic_name(name).is_ok())
        .filter(|name| allows(Operation::Describe, name))
        .partition(|name| may_create(name));
    let missing: Vec<NewTopic> = missing
        .into_iter()
        .map(|name| NewTopic {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        })
        .collect();
    if missing.is_empty() {
        return denied;
    }
    if let Err(error) =
        broker.metadata.create_topics(CreateTopics { topics: missing, validate_only: false }).await
    {
        tracing::warn!(%error, "topics that a client asked for could not be created");
    }
    denied
}

fn missing<'r>(wanted: &MetadataRequestTopic<'r>, code: ErrorCode) -> MetadataResponseTopic<'r> {
    MetadataResponseTopic {
        error_code: code.code(),
        name: wanted.name.clone(),
        topic_id: wanted.topic_id,
        is_internal: wanted.name.as_deref().is_some_and(is_internal),
        topic_authorized_operations: NOT_ASKED,
        ..MetadataResponseTopic::default()
    }
}

fn describe_wanted<'r>(
    broker: &Broker,
    context: &RequestContext,
    image: &Image,
    wanted: &MetadataRequestTopic<'r>,
    operations: i32,
) -> MetadataResponseTopic<'r> {
    let sees = |name: &str| broker.allows(context, Operation::Describe, Resource::topic(name));
    // Whether it exists is not told, either.
    if wanted.name.as_deref().is_some_and(|name| !sees(name)) {
        return missing(wanted, ErrorCode::TopicAuthorizationFailed);
    }
    let found = match &wanted.name {
        Some(name) => image.topic(name),
        None => image.topic_by_id(topic_id(wanted.topic_id)),
    };
    match found {
        Some(topic) if wanted.name.is_none() && !sees(&topic.name) => {
            missing(wanted, ErrorCode::TopicAuthorizationFailed)
        }
        Some(topic) => describe(image, topic, operations),
        None => {
            let code = match &wanted.name {
                Some(name) if check_topic_name(name).is_err() => ErrorCode::InvalidTopicException,
                Some(_) => ErrorCode::UnknownTopicOrPartition,
                None => ErrorCode::UnknownTopicId,
            };
            missing(wanted, code)
        }
    }
}

fn describe<'r>(image: &Image, topic: &TopicImage, operations: i32) -> MetadataResponseTopic<'r> {
    MetadataResponseTopic {
        name: Some(topic.name.to_string().into()),
        topic_id: uuid(topic.topic_id),
        is_internal: is_internal(&topic.name),
        partitions: topic.partitions.iter().map(|partition| describe_partition(image, partition)).collect(),
        topic_authorized_operations: operations,
        ..MetadataResponseTopic::default()
    }
}

fn describe_partition<'r>(image: &Image, partition: &PartitionImage) -> MetadataResponsePartition<'r> {
    let code = if partition.leader < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    MetadataResponsePartition {
        error_code: code.code(),
        partition_index: partition.partition,
        leader_id: partition.leader,
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.to_vec(),
        isr_nodes: partition.isr.to_vec(),
        offline_replicas: image.offline_replicas(partition),
        ..MetadataResponsePartition::default()
    }
}
