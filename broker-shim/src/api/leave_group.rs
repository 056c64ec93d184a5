//! LeaveGroup: up to version 2 one member, later several, also by their static names.

use wire::{
    ErrorCode,
    messages::{
        LeaveGroupRequest, LeaveGroupResponse, leave_group_request::MemberIdentity,
        leave_group_response::MemberResponse,
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    group::Leaving,
    request_context::RequestContext,
};

/// From this version on several may leave.
const FIRST_BATCHED: i16 = 3;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: LeaveGroupRequest<'r>,
) -> LeaveGroupResponse<'r> {
    let is_batched = context.version >= FIRST_BATCHED;
    let one = [Leaving { member: &request.member_id, instance: None, reason: None }];
    let several: Vec<Leaving<'_>> = request.members.iter().map(leaving).collect();
    let left = if broker.allows(context, Operation::Read, Resource::group(&request.group_id)) {
        broker.groups.leave(&request.group_id, if is_batched { &several } else { &one }).await
    } else {
        Err(ErrorCode::GroupAuthorizationFailed)
    };
    match left {
        Ok(codes) if is_batched => {
            let members = request.members.iter().zip(codes).map(answer).collect();
            LeaveGroupResponse { members, ..LeaveGroupResponse::default() }
        }
        Ok(codes) => failed(codes.first().copied().unwrap_or(ErrorCode::None)),
        Err(code) => failed(code),
    }
}

fn leaving<'a>(member: &'a MemberIdentity<'_>) -> Leaving<'a> {
    Leaving {
        member: &member.member_id,
        instance: member.group_instance_id.as_deref(),
        reason: member.reason.as_deref(),
    }
}

fn answer<'r>((member, code): (&MemberIdentity<'r>, ErrorCode)) -> MemberResponse<'r> {
    MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: code.code(),
        ..MemberResponse::default()
    }
}

fn failed<'r>(code: ErrorCode) -> LeaveGroupResponse<'r> {
    LeaveGroupResponse { error_code: code.code(), ..LeaveGroupResponse::default() }
}
