//! EndTxn: a producer commits or aborts its transaction.

use log_engine::batch::control::TxnOutcome;
use wire::{
    ErrorCode,
    messages::{EndTxnRequest, EndTxnResponse},
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
    transaction::{Producer, TransactionVersion},
};

/// The first version whose clients know `PRODUCER_FENCED` (KIP-588).
const FENCED_FROM: i16 = 2;

/// The first version whose clients go on with another epoch (KIP-890).
const EPOCH_BUMP_FROM: i16 = 5;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: EndTxnRequest<'_>,
) -> EndTxnResponse<'r> {
    let code = match end(broker, context, &request).await {
        Ok(producer) => {
            return EndTxnResponse {
                producer_id: producer.id.get(),
                producer_epoch: producer.epoch.get(),
                ..EndTxnResponse::default()
            };
        }
        Err(ErrorCode::ProducerFenced) if context.version < FENCED_FROM => ErrorCode::InvalidProducerEpoch,
        Err(code) => code,
    };
    EndTxnResponse { error_code: code.code(), ..EndTxnResponse::default() }
}

async fn end(
    broker: &Broker,
    context: &RequestContext,
    request: &EndTxnRequest<'_>,
) -> Result<Producer, ErrorCode> {
    let id = &*request.transactional_id;
    if !broker.allows(context, Operation::Write, Resource::transactional_id(id)) {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    let producer = Producer::new(request.producer_id, request.producer_epoch);
    let outcome = if request.committed { TxnOutcome::Commit } else { TxnOutcome::Abort };
    let client =
        if context.version >= EPOCH_BUMP_FROM { TransactionVersion::V2 } else { TransactionVersion::V0 };
    broker.transactions.end(id, producer, outcome, client).await
}
