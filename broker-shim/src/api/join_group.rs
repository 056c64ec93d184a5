//! JoinGroup: the answer comes once the members that belong together have joined.

use bytes::Bytes;
use wire::{
    ErrorCode,
    messages::{
        JoinGroupRequest, JoinGroupResponse, join_group_request::JoinGroupRequestProtocol,
        join_group_response::JoinGroupResponseMember,
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    group::{ClientFacts, JoinAnswer, JoinRequest, JoinedMember, Waiting},
    metadata::ids,
    request_context::RequestContext,
};

/// From this version on an answer may name no protocol.
const FIRST_WITHOUT_PROTOCOL: i16 = 7;
/// From this version on a member says how long it may take to join again.
const FIRST_WITH_REBALANCE_TIMEOUT: i16 = 1;

pub(super) async fn start(
    broker: &Broker,
    context: &RequestContext,
    request: JoinGroupRequest<'_>,
) -> Waiting<JoinAnswer> {
    if !broker.allows(context, Operation::Read, Resource::group(&request.group_id)) {
        let denied = ErrorCode::GroupAuthorizationFailed;
        return Waiting::answered(JoinAnswer::error(&*request.member_id, denied));
    }
    let Ok(unique) = ids::random_uuid() else {
        return Waiting::answered(JoinAnswer::error(&*request.member_id, ErrorCode::UnknownServerError));
    };
    let has_own_timeout = context.version >= FIRST_WITH_REBALANCE_TIMEOUT;
    let rebalance_timeout_ms =
        if has_own_timeout { request.rebalance_timeout_ms } else { request.session_timeout_ms };
    // As Java writes addresses.
    let host = format!("/{}", context.peer.address.ip());
    let client = ClientFacts { id: context.client_id.as_deref().unwrap_or_default(), host: &host };
    let protocol = |protocol: &JoinGroupRequestProtocol<'_>| {
        (protocol.name.as_ref().into(), Bytes::copy_from_slice(&protocol.metadata))
    };
    let request = JoinRequest {
        version: context.version,
        group: &request.group_id,
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
        client,
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: &request.protocol_type,
        protocols: request.protocols.iter().map(protocol).collect(),
        unique: &unique,
    };
    broker.groups.join(request).await
}

pub(super) fn response<'r>(version: i16, answer: JoinAnswer) -> JoinGroupResponse<'r> {
    let member = |member: JoinedMember| JoinGroupResponseMember {
        member_id: member.id.to_string().into(),
        group_instance_id: member.instance.map(|instance| String::from(instance).into()),
        metadata: member.metadata.to_vec().into(),
        ..JoinGroupResponseMember::default()
    };
    let protocol_name = match answer.protocol {
        None if version < FIRST_WITHOUT_PROTOCOL => Some("".into()),
        protocol => protocol.map(|protocol| String::from(protocol).into()),
    };
    JoinGroupResponse {
        error_code: answer.error.code(),
        generation_id: answer.generation,
        protocol_type: answer.protocol_type.map(|kind| String::from(kind).into()),
        protocol_name,
        leader: answer.leader.to_string().into(),
        skip_assignment: answer.skip_assignment,
        member_id: answer.member.to_string().into(),
        members: answer.members.into_iter().map(member).collect(),
        ..JoinGroupResponse::default()
    }
}
