//! Heartbeat: a member is there, and learns whether it is to join again.

use wire::{
    ErrorCode,
    messages::{HeartbeatRequest, HeartbeatResponse},
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: HeartbeatRequest<'_>,
) -> HeartbeatResponse<'r> {
    let HeartbeatRequest { group_id, generation_id, member_id, group_instance_id, .. } = request;
    let code = if broker.allows(context, Operation::Read, Resource::group(&group_id)) {
        broker.groups.heartbeat(&group_id, &member_id, group_instance_id.as_deref(), generation_id)
    } else {
        ErrorCode::GroupAuthorizationFailed
    };
    HeartbeatResponse { error_code: code.code(), ..HeartbeatResponse::default() }
}
