//! InitProducerId: an id for an idempotent producer, or a new epoch for a transactional one.

use wire::{
    ErrorCode,
    messages::{InitProducerIdRequest, InitProducerIdResponse},
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
    transaction::{InitRequest, Producer},
};

const NO_ID: i64 = -1;
const NO_EPOCH: i16 = -1;

/// The first version whose clients know `PRODUCER_FENCED` (KIP-588).
const FENCED_FROM: i16 = 4;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: InitProducerIdRequest<'_>,
) -> InitProducerIdResponse<'r> {
    let code = match init(broker, context, &request).await {
        Ok(producer) => {
            return InitProducerIdResponse {
                producer_id: producer.id.get(),
                producer_epoch: producer.epoch.get(),
                ..InitProducerIdResponse::default()
            };
        }
        Err(ErrorCode::ProducerFenced) if context.version < FENCED_FROM => ErrorCode::InvalidProducerEpoch,
        Err(code) => code,
    };
    InitProducerIdResponse {
        error_code: code.code(),
        producer_id: NO_ID,
        producer_epoch: NO_EPOCH,
        ..InitProducerIdResponse::default()
    }
}

async fn init(
    broker: &Broker,
    context: &RequestContext,
    request: &InitProducerIdRequest<'_>,
) -> Result<Producer, ErrorCode> {
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
        Some(id) => {
            let known = Producer::new(request.producer_id, request.producer_epoch);
            let expected = (request.producer_id != NO_ID).then_some(known);
            let init = InitRequest { timeout_ms: request.transaction_timeout_ms, expected };
            broker.transactions.init_producer_id(id, init).await
        }
        None => Ok(Producer::new(broker.producer_ids.next().await?.get(), 0)),
    }
}
