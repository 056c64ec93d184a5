//! FindCoordinator. There is no coordinator yet, which Kafka's clients know from brokers whose internal topics are not there yet.

use wire::{
    ErrorCode,
    messages::{FindCoordinatorRequest, FindCoordinatorResponse, find_coordinator_response::Coordinator},
};

use super::text_of;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

/// Kafka's numbers of what is coordinated.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

const NO_NODE: i32 = -1;
const NO_PORT: i32 = -1;

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: FindCoordinatorRequest<'r>,
) -> FindCoordinatorResponse<'r> {
    let code = |key: &str| code(broker, context, request.key_type, key);
    if context.version < 4 {
        let code = code(&request.key);
        return FindCoordinatorResponse {
            error_code: code.code(),
            error_message: Some(text_of(code).into()),
            node_id: NO_NODE,
            port: NO_PORT,
            ..FindCoordinatorResponse::default()
        };
    }
    let coordinators = request
        .coordinator_keys
        .iter()
        .map(|key| Coordinator {
            error_code: code(key).code(),
            // Of the several, Kafka has a sentence only where it does not know what is coordinated.
            error_message: (request.key_type < GROUP || request.key_type > SHARE)
                .then(|| text_of(ErrorCode::InvalidRequest).into())
                .or_else(|| Coordinator::default().error_message),
            key: key.clone(),
            node_id: NO_NODE,
            port: NO_PORT,
            ..Coordinator::default()
        })
        .collect();
    FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() }
}

fn code(broker: &Broker, context: &RequestContext, key_type: i8, key: &str) -> ErrorCode {
    match key_type {
        GROUP if !broker.allows(context, Operation::Describe, Resource::group(key)) => {
            ErrorCode::GroupAuthorizationFailed
        }
        TRANSACTION if !broker.allows(context, Operation::Describe, Resource::transactional_id(key)) => {
            ErrorCode::TransactionalIdAuthorizationFailed
        }
        GROUP | TRANSACTION => ErrorCode::CoordinatorNotAvailable,
        _ => ErrorCode::InvalidRequest,
    }
}
