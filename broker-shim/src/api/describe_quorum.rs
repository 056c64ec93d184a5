//! DescribeQuorum: who votes on the metadata, and how far each has it. The one voter is this node.

use wire::{
    ErrorCode,
    messages::{
        DescribeQuorumRequest, DescribeQuorumResponse, describe_quorum_request,
        describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData},
    },
    primitives::Uuid,
};

use super::text_of;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    metadata::ops::CLUSTER_METADATA_TOPIC,
    request_context::RequestContext,
};

/// Since this version voters are named by their directories, too, and where they listen (KIP-853).
const TELLS_DIRECTORIES: i16 = 2;

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeQuorumRequest<'_>,
) -> DescribeQuorumResponse<'r> {
    if !broker.allows(context, Operation::Describe, Resource::cluster()) {
        let code = ErrorCode::ClusterAuthorizationFailed;
        return DescribeQuorumResponse {
            error_code: code.code(),
            error_message: Some(text_of(code).into()),
            ..DescribeQuorumResponse::default()
        };
    }
    if !asks_for_the_quorum(&request.topics) {
        let topics = request.topics.iter().map(unknown).collect();
        return DescribeQuorumResponse { topics, ..DescribeQuorumResponse::default() };
    }
    let topic = TopicData {
        topic_name: CLUSTER_METADATA_TOPIC.into(),
        partitions: vec![quorum(broker, context.version)],
        ..TopicData::default()
    };
    let nodes = if context.version >= TELLS_DIRECTORIES { nodes(broker) } else { Vec::new() };
    DescribeQuorumResponse { topics: vec![topic], nodes, ..DescribeQuorumResponse::default() }
}

/// Kafka answers who asks for the one partition of the metadata, and for nothing else.
fn asks_for_the_quorum(topics: &[describe_quorum_request::TopicData<'_>]) -> bool {
    let [topic] = topics else { return false };
    let [partition] = &*topic.partitions else { return false };
    topic.topic_name == CLUSTER_METADATA_TOPIC && partition.partition_index == 0
}

fn unknown<'r>(topic: &describe_quorum_request::TopicData<'_>) -> TopicData<'r> {
    let code = ErrorCode::UnknownTopicOrPartition;
    let partitions = topic.partitions.iter().map(|partition| PartitionData {
        partition_index: partition.partition_index,
        error_code: code.code(),
        error_message: Some(text_of(code).into()),
        ..PartitionData::default()
    });
    TopicData {
        topic_name: topic.topic_name.to_string().into(),
        partitions: partitions.collect(),
        ..TopicData::default()
    }
}

fn quorum<'r>(broker: &Broker, version: i16) -> PartitionData<'r> {
    let provenance = broker.image().provenance();
    let now = broker.engine.config().clock.now().get();
    let directory = if version >= TELLS_DIRECTORIES {
        Uuid(broker.metadata.voter_directory().get())
    } else {
        Uuid::default()
    };
    let ourselves = ReplicaState {
        replica_id: broker.node_id(),
        replica_directory_id: directory,
        log_end_offset: provenance.end_offset.get(),
        last_fetch_timestamp: now,
        last_caught_up_timestamp: now,
        ..ReplicaState::default()
    };
    PartitionData {
        leader_id: broker.node_id(),
        leader_epoch: provenance.epoch.get(),
        high_watermark: provenance.end_offset.get(),
        current_voters: vec![ourselves],
        ..PartitionData::default()
    }
}

fn nodes<'r>(broker: &Broker) -> Vec<Node<'r>> {
    let image = broker.image();
    let nodes = image.controllers().map(|controller| Node {
        node_id: controller.controller_id,
        listeners: controller
            .endpoints
            .iter()
            .map(|endpoint| Listener {
                name: endpoint.name.to_string().into(),
                host: endpoint.host.to_string().into(),
                port: endpoint.port,
                ..Listener::default()
            })
            .collect(),
        ..Node::default()
    });
    nodes.collect()
}
