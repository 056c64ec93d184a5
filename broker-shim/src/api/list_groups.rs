//! ListGroups, with filters by state and by type.

use wire::{
    ErrorCode,
    messages::{ListGroupsRequest, ListGroupsResponse, list_groups_response::ListedGroup},
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    group::{Filter, Listed},
    request_context::RequestContext,
};

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: ListGroupsRequest<'_>,
) -> ListGroupsResponse<'r> {
    let lower = |words: &[std::borrow::Cow<'_, str>]| words.iter().map(|it| it.to_lowercase()).collect();
    let filter = Filter { states: lower(&request.states_filter), kinds: lower(&request.types_filter) };
    let mut groups = match broker.groups.list(&filter) {
        Ok(groups) => groups,
        Err(code) => {
            return ListGroupsResponse { error_code: code.code(), ..ListGroupsResponse::default() };
        }
    };
    // Who may describe the cluster sees all groups.
    if !broker.allows(context, Operation::Describe, Resource::cluster()) {
        groups.retain(|group| broker.allows(context, Operation::Describe, Resource::group(&group.id)));
    }
    ListGroupsResponse {
        error_code: ErrorCode::None.code(),
        groups: groups.into_iter().map(listed).collect(),
        ..ListGroupsResponse::default()
    }
}

fn listed<'r>(group: Listed) -> ListedGroup<'r> {
    ListedGroup {
        group_id: group.id.to_string().into(),
        protocol_type: String::from(group.protocol_type).into(),
        group_state: group.state.into(),
        group_type: group.kind.into(),
        ..ListedGroup::default()
    }
}
