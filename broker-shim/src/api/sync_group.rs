//! SyncGroup: the answer comes once the leader has handed in the assignment.

use bytes::Bytes;
use wire::{
    ErrorCode,
    messages::{SyncGroupRequest, SyncGroupResponse, sync_group_request::SyncGroupRequestAssignment},
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    group::{SyncAnswer, SyncRequest, Waiting},
    request_context::RequestContext,
};

/// From this version on a member says which protocol it follows.
const FIRST_WITH_PROTOCOL: i16 = 5;

pub(super) async fn start(
    broker: &Broker,
    context: &RequestContext,
    request: SyncGroupRequest<'_>,
) -> Waiting<SyncAnswer> {
    // Kafka's `SyncGroupRequest.areMandatoryProtocolTypeAndNamePresent`.
    let says_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.version >= FIRST_WITH_PROTOCOL && !says_protocol {
        return Waiting::answered(SyncAnswer::error(ErrorCode::InconsistentGroupProtocol));
    }
    if !broker.allows(context, Operation::Read, Resource::group(&request.group_id)) {
        return Waiting::answered(SyncAnswer::error(ErrorCode::GroupAuthorizationFailed));
    }
    let assignment = |assignment: &SyncGroupRequestAssignment<'_>| {
        (assignment.member_id.as_ref().into(), Bytes::copy_from_slice(&assignment.assignment))
    };
    let request = SyncRequest {
        group: &request.group_id,
        generation: request.generation_id,
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        protocol_type: request.protocol_type.as_deref(),
        protocol: request.protocol_name.as_deref(),
        assignments: request.assignments.iter().map(assignment).collect(),
    };
    broker.groups.sync(request).await
}

pub(super) fn response<'r>(answer: SyncAnswer) -> SyncGroupResponse<'r> {
    SyncGroupResponse {
        error_code: answer.error.code(),
        protocol_type: answer.protocol_type.map(|kind| String::from(kind).into()),
        protocol_name: answer.protocol.map(|protocol| String::from(protocol).into()),
        assignment: answer.assignment.to_vec().into(),
        ..SyncGroupResponse::default()
    }
}
