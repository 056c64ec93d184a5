//! Reassignments of partitions to other brokers: on one node there is nowhere to go, and none is ever in progress.

use wire::{
    ErrorCode,
    messages::{
        AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
        ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
        alter_partition_reassignments_response::{ReassignablePartitionResponse, ReassignableTopicResponse},
    },
};

use super::text_of;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    error_map,
    metadata::ops::{self, Refusal},
    request_context::RequestContext,
};

pub(super) fn alter<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: AlterPartitionReassignmentsRequest<'_>,
) -> AlterPartitionReassignmentsResponse<'r> {
    if !broker.allows(context, Operation::Alter, Resource::cluster()) {
        let code = ErrorCode::ClusterAuthorizationFailed;
        return AlterPartitionReassignmentsResponse {
            error_code: code.code(),
            error_message: Some(text_of(code).into()),
            ..AlterPartitionReassignmentsResponse::default()
        };
    }
    // An empty request is answered by Kafka before it has an answer to fill.
    if request.topics.is_empty() {
        return AlterPartitionReassignmentsResponse::default();
    }
    let image = broker.image();
    let responses = request.topics.iter().map(|topic| ReassignableTopicResponse {
        name: topic.name.to_string().into(),
        partitions: topic
            .partitions
            .iter()
            .map(|wanted| {
                let number = wanted.partition_index;
                let outcome = ops::reassignment(&image, &topic.name, number, wanted.replicas.as_deref());
                of_partition(number, outcome)
            })
            .collect(),
        ..ReassignableTopicResponse::default()
    });
    AlterPartitionReassignmentsResponse {
        error_message: None,
        responses: responses.collect(),
        ..AlterPartitionReassignmentsResponse::default()
    }
}

fn of_partition<'r>(partition_index: i32, outcome: Result<(), Refusal>) -> ReassignablePartitionResponse<'r> {
    let (error_code, error_message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err(Refusal::NoReassignment) => (ErrorCode::NoReassignmentInProgress, None),
        Err(refusal) => (error_map::refusal(&refusal), Some(refusal.to_string().into())),
    };
    ReassignablePartitionResponse {
        partition_index,
        error_code: error_code.code(),
        error_message,
        ..ReassignablePartitionResponse::default()
    }
}

pub(super) fn list<'r>(
    broker: &Broker,
    context: &RequestContext,
    _request: ListPartitionReassignmentsRequest<'_>,
) -> ListPartitionReassignmentsResponse<'r> {
    let allowed = broker.allows(context, Operation::Describe, Resource::cluster());
    let code = if allowed { ErrorCode::None } else { ErrorCode::ClusterAuthorizationFailed };
    ListPartitionReassignmentsResponse {
        error_code: code.code(),
        error_message: (!allowed).then(|| text_of(code).into()),
        ..ListPartitionReassignmentsResponse::default()
    }
}
