//! DeleteGroups: groups without members, and their offsets.

use wire::{
    ErrorCode,
    messages::{DeleteGroupsRequest, DeleteGroupsResponse, delete_groups_response::DeletableGroupResult},
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DeleteGroupsRequest<'r>,
) -> DeleteGroupsResponse<'r> {
    let mut results: Vec<DeletableGroupResult<'r>> = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        // Named twice, answered once.
        if results.iter().any(|result| result.group_id == group_id) {
            continue;
        }
        let deleted = if broker.allows(context, Operation::Delete, Resource::group(&group_id)) {
            broker.groups.delete(&group_id).await
        } else {
            Err(ErrorCode::GroupAuthorizationFailed)
        };
        let error_code = deleted.err().unwrap_or(ErrorCode::None).code();
        results.push(DeletableGroupResult { group_id, error_code, ..DeletableGroupResult::default() });
    }
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}
