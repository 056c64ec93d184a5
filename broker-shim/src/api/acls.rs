//! Access control lists: there is no authorizer that would keep any, and requests are told so, as Kafka without one tells them.

use wire::{
    ErrorCode,
    messages::{
        CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
        DescribeAclsResponse, create_acls_response::AclCreationResult,
        delete_acls_response::DeleteAclsFilterResult,
    },
};

use super::text_of;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

/// Kafka's brokers and its controllers say it in different words.
const NOT_ON_THE_BROKER: &str = "No Authorizer is configured on the broker";
const NOT_CONFIGURED: &str = "No Authorizer is configured.";

pub(super) fn describe<'r>(
    broker: &Broker,
    context: &RequestContext,
    _request: DescribeAclsRequest<'_>,
) -> DescribeAclsResponse<'r> {
    let (code, text) = refusal(broker, context, Operation::Describe, NOT_ON_THE_BROKER);
    DescribeAclsResponse {
        error_code: code.code(),
        error_message: Some(text.into()),
        ..DescribeAclsResponse::default()
    }
}

pub(super) fn create<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: CreateAclsRequest<'_>,
) -> CreateAclsResponse<'r> {
    let (code, text) = refusal(broker, context, Operation::Alter, NOT_CONFIGURED);
    let result = |_| AclCreationResult {
        error_code: code.code(),
        error_message: Some(text.into()),
        ..AclCreationResult::default()
    };
    let results = request.creations.iter().map(result).collect();
    CreateAclsResponse { results, ..CreateAclsResponse::default() }
}

pub(super) fn delete<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DeleteAclsRequest<'_>,
) -> DeleteAclsResponse<'r> {
    let (code, text) = refusal(broker, context, Operation::Alter, NOT_CONFIGURED);
    let result = |_| DeleteAclsFilterResult {
        error_code: code.code(),
        error_message: Some(text.into()),
        ..DeleteAclsFilterResult::default()
    };
    let filter_results = request.filters.iter().map(result).collect();
    DeleteAclsResponse { filter_results, ..DeleteAclsResponse::default() }
}

fn refusal(
    broker: &Broker,
    context: &RequestContext,
    operation: Operation,
    why: &'static str,
) -> (ErrorCode, &'static str) {
    if broker.allows(context, operation, Resource::cluster()) {
        (ErrorCode::SecurityDisabled, why)
    } else {
        (ErrorCode::ClusterAuthorizationFailed, text_of(ErrorCode::ClusterAuthorizationFailed))
    }
}
