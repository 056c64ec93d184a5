//! ElectLeaders: on one node a partition is led by its only replica, or its directory is offline and nobody can lead it.

use wire::{
    ErrorCode,
    messages::{
        ElectLeadersRequest, ElectLeadersResponse,
        elect_leaders_response::{PartitionResult, ReplicaElectionResult},
    },
};

use super::text_of;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    error_map,
    metadata::{
        Image,
        ops::{self, ElectionType},
    },
    request_context::RequestContext,
};

/// Kafka's numbers of what leader is wanted.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: ElectLeadersRequest<'_>,
) -> ElectLeadersResponse<'r> {
    if !broker.allows(context, Operation::Alter, Resource::cluster()) {
        let code = ErrorCode::ClusterAuthorizationFailed;
        return refused(&request, code, text_of(code));
    }
    let wanted = match request.election_type {
        PREFERRED => ElectionType::Preferred,
        UNCLEAN => ElectionType::Unclean,
        other => {
            return refused(&request, ErrorCode::InvalidRequest, &format!("Unknown election type {other}"));
        }
    };
    let image = broker.image();
    let replica_election_results = match &request.topic_partitions {
        Some(topics) => topics
            .iter()
            .map(|topic| {
                let numbers = topic.partitions.iter();
                let results = numbers.map(|number| outcome(&image, &topic.topic, *number, wanted));
                of_topic(&topic.topic, results.collect())
            })
            .collect(),
        None => all(&image, wanted),
    };
    ElectLeadersResponse { replica_election_results, ..ElectLeadersResponse::default() }
}

/// Of all partitions, those are named that need a leader.
fn all<'r>(image: &Image, wanted: ElectionType) -> Vec<ReplicaElectionResult<'r>> {
    let of = |topic: &crate::metadata::TopicImage| {
        let results = topic.partitions.iter().map(|p| outcome(image, &topic.name, p.partition, wanted));
        let not_needed = ErrorCode::ElectionNotNeeded.code();
        of_topic(&topic.name, results.filter(|result| result.error_code != not_needed).collect())
    };
    image.topics().map(|topic| of(topic)).collect()
}

fn outcome<'r>(image: &Image, topic: &str, partition_id: i32, wanted: ElectionType) -> PartitionResult<'r> {
    let refusal = ops::election(image, topic, partition_id, wanted);
    PartitionResult {
        partition_id,
        error_code: error_map::refusal(&refusal).code(),
        error_message: Some(refusal.to_string().into()),
        ..PartitionResult::default()
    }
}

fn of_topic<'r>(topic: &str, partition_result: Vec<PartitionResult<'r>>) -> ReplicaElectionResult<'r> {
    ReplicaElectionResult {
        topic: topic.to_owned().into(),
        partition_result,
        ..ReplicaElectionResult::default()
    }
}

fn refused<'r>(request: &ElectLeadersRequest<'_>, code: ErrorCode, text: &str) -> ElectLeadersResponse<'r> {
    let result = |number: &i32| PartitionResult {
        partition_id: *number,
        error_code: code.code(),
        error_message: Some(text.to_owned().into()),
        ..PartitionResult::default()
    };
    let topics = request.topic_partitions.iter().flatten();
    ElectLeadersResponse {
        error_code: code.code(),
        replica_election_results: topics
            .map(|topic| of_topic(&topic.topic, topic.partitions.iter().map(result).collect()))
            .collect(),
        ..ElectLeadersResponse::default()
    }
}
