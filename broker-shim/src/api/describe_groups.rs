//! DescribeGroups: classic groups and their members.

use wire::{
    ErrorCode,
    messages::{
        DescribeGroupsRequest, DescribeGroupsResponse,
        describe_groups_response::{DescribedGroup, DescribedGroupMember},
    },
};

use super::metadata::{NOT_ASKED, group_operations};
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    group::{Described, DescribedMember},
    request_context::RequestContext,
};

/// From this version on a group that is not there is said to be so; before it is one that is dead.
const FIRST_WITH_NOT_FOUND: i16 = 6;
/// What stands for the state of a group that is not there.
const DEAD: &str = "Dead";

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeGroupsRequest<'r>,
) -> DescribeGroupsResponse<'r> {
    let operations = if request.include_authorized_operations { group_operations() } else { NOT_ASKED };
    let described = |group_id: &std::borrow::Cow<'r, str>| {
        let group = describe(broker, context, group_id);
        let authorized_operations =
            if group.error_code == ErrorCode::None.code() { operations } else { NOT_ASKED };
        DescribedGroup { group_id: group_id.clone(), authorized_operations, ..group }
    };
    DescribeGroupsResponse {
        groups: request.groups.iter().map(described).collect(),
        ..DescribeGroupsResponse::default()
    }
}

fn describe<'r>(broker: &Broker, context: &RequestContext, group: &str) -> DescribedGroup<'r> {
    let failed = |code: ErrorCode| DescribedGroup { error_code: code.code(), ..DescribedGroup::default() };
    if !broker.allows(context, Operation::Describe, Resource::group(group)) {
        return failed(ErrorCode::GroupAuthorizationFailed);
    }
    match broker.groups.describe(group) {
        Ok(Some(described)) => found(described),
        Ok(None) if context.version >= FIRST_WITH_NOT_FOUND => DescribedGroup {
            error_message: Some(format!("Group {group} not found.").into()),
            group_state: DEAD.into(),
            ..failed(ErrorCode::GroupIdNotFound)
        },
        Ok(None) => DescribedGroup { group_state: DEAD.into(), ..DescribedGroup::default() },
        Err(code) => failed(code),
    }
}

fn found<'r>(described: Described) -> DescribedGroup<'r> {
    DescribedGroup {
        group_state: described.state.into(),
        protocol_type: String::from(described.protocol_type).into(),
        protocol_data: String::from(described.protocol).into(),
        members: described.members.into_iter().map(member).collect(),
        ..DescribedGroup::default()
    }
}

fn member<'r>(member: DescribedMember) -> DescribedGroupMember<'r> {
    DescribedGroupMember {
        member_id: member.id.to_string().into(),
        group_instance_id: member.instance.map(|instance| String::from(instance).into()),
        client_id: String::from(member.client_id).into(),
        client_host: String::from(member.client_host).into(),
        member_metadata: member.metadata.to_vec().into(),
        member_assignment: member.assignment.to_vec().into(),
        ..DescribedGroupMember::default()
    }
}
