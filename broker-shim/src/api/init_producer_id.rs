//! InitProducerId for idempotent producers. Transactional ones need a coordinator, which does not exist yet.

use wire::{
    ErrorCode,
    messages::{InitProducerIdRequest, InitProducerIdResponse},
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    error_map,
    request_context::RequestContext,
};

const NO_ID: i64 = -1;
const NO_EPOCH: i16 = -1;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: InitProducerIdRequest<'_>,
) -> InitProducerIdResponse<'r> {
    match allocate(broker, context, &request).await {
        Ok(producer_id) => {
            InitProducerIdResponse { producer_id, producer_epoch: 0, ..InitProducerIdResponse::default() }
        }
        Err(code) => InitProducerIdResponse {
            error_code: code.code(),
            producer_id: NO_ID,
            producer_epoch: NO_EPOCH,
            ..InitProducerIdResponse::default()
        },
    }
}

async fn allocate(
    broker: &Broker,
    context: &RequestContext,
    request: &InitProducerIdRequest<'_>,
) -> Result<i64, ErrorCode> {
    match request.transactional_id.as_deref() {
        Some(id) if !broker.allows(context, Operation::Write, Resource::transactional_id(id)) => {
            return Err(ErrorCode::TransactionalIdAuthorizationFailed);
        }
        None if !broker.allows(context, Operation::IdempotentWrite, Resource::cluster()) => {
            return Err(ErrorCode::ClusterAuthorizationFailed);
        }
        _ => {}
    }
    if (request.producer_id == NO_ID) != (request.producer_epoch == NO_EPOCH) {
        return Err(ErrorCode::InvalidRequest);
    }
    match request.transactional_id.as_deref() {
        Some("") => Err(ErrorCode::InvalidRequest),
        Some(_) => Err(ErrorCode::NotCoordinator),
        None => match broker.next_producer_id().await {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(ErrorCode::UnknownServerError),
            Err(error) => Err(error_map::change(&error)),
        },
    }
}
