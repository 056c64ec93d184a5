//! FindCoordinator: on one node it is always this broker, once the topic that the coordinator's state lives in is there.

use wire::{
    ErrorCode,
    messages::{FindCoordinatorRequest, FindCoordinatorResponse, find_coordinator_response::Coordinator},
};

use super::text_of;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    config::Endpoint,
    request_context::RequestContext,
};

/// Kafka's numbers of what is coordinated.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

const NO_NODE: i32 = -1;
const NO_PORT: i32 = -1;

/// From this version on several are asked for at once.
const FIRST_BATCHED: i16 = 4;

pub(super) async fn handle<'r>(
    broker: &'r Broker,
    context: &RequestContext,
    request: FindCoordinatorRequest<'r>,
) -> FindCoordinatorResponse<'r> {
    if context.version < FIRST_BATCHED {
        return single(find(broker, context, request.key_type, &request.key).await, broker);
    }
    let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
    for key in &request.coordinator_keys {
        let found = find(broker, context, request.key_type, key).await;
        coordinators.push(Coordinator { key: key.clone(), ..batched(found, broker, request.key_type) });
    }
    FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() }
}

fn single<'r>(found: Result<&'r Endpoint, ErrorCode>, broker: &Broker) -> FindCoordinatorResponse<'r> {
    match found {
        Ok(endpoint) => FindCoordinatorResponse {
            error_message: Some(ErrorCode::None.name().into()),
            node_id: broker.node_id(),
            host: endpoint.host.as_str().into(),
            port: endpoint.port.into(),
            ..FindCoordinatorResponse::default()
        },
        Err(code) => FindCoordinatorResponse {
            error_code: code.code(),
            error_message: Some(text_of(code).into()),
            node_id: NO_NODE,
            port: NO_PORT,
            ..FindCoordinatorResponse::default()
        },
    }
}

fn batched<'r>(found: Result<&'r Endpoint, ErrorCode>, broker: &Broker, key_type: i8) -> Coordinator<'r> {
    match found {
        Ok(endpoint) => Coordinator {
            node_id: broker.node_id(),
            host: endpoint.host.as_str().into(),
            port: endpoint.port.into(),
            ..Coordinator::default()
        },
        Err(code) => Coordinator {
            error_code: code.code(),
            // Of the several, Kafka has a sentence only where it does not know what is coordinated.
            error_message: (!(GROUP..=SHARE).contains(&key_type))
                .then(|| text_of(ErrorCode::InvalidRequest).into())
                .or_else(|| Coordinator::default().error_message),
            node_id: NO_NODE,
            port: NO_PORT,
            ..Coordinator::default()
        },
    }
}

async fn find<'r>(
    broker: &'r Broker,
    context: &RequestContext,
    key_type: i8,
    key: &str,
) -> Result<&'r Endpoint, ErrorCode> {
    match key_type {
        GROUP if !broker.allows(context, Operation::Describe, Resource::group(key)) => {
            Err(ErrorCode::GroupAuthorizationFailed)
        }
        TRANSACTION if !broker.allows(context, Operation::Describe, Resource::transactional_id(key)) => {
            Err(ErrorCode::TransactionalIdAuthorizationFailed)
        }
        GROUP => {
            broker.groups.ensure_topic().await?;
            broker.endpoint(&context.peer.listener).ok_or(ErrorCode::CoordinatorNotAvailable)
        }
        TRANSACTION => {
            broker.transactions.ensure_topic().await?;
            broker.endpoint(&context.peer.listener).ok_or(ErrorCode::CoordinatorNotAvailable)
        }
        _ => Err(ErrorCode::InvalidRequest),
    }
}
