//! AddOffsetsToTxn: a producer adds the partition of a group's offsets to its transaction.

use wire::{
    ErrorCode,
    messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse},
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    group::OFFSETS_TOPIC,
    request_context::RequestContext,
    transaction::{Partitions, Producer, TransactionVersion},
};

/// The first version whose clients know `PRODUCER_FENCED` (KIP-588).
const FENCED_FROM: i16 = 2;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: AddOffsetsToTxnRequest<'_>,
) -> AddOffsetsToTxnResponse<'r> {
    let code = match add(broker, context, &request).await {
        Ok(()) => ErrorCode::None,
        Err(ErrorCode::ProducerFenced) if context.version < FENCED_FROM => ErrorCode::InvalidProducerEpoch,
        Err(code) => code,
    };
    AddOffsetsToTxnResponse { error_code: code.code(), ..AddOffsetsToTxnResponse::default() }
}

async fn add(
    broker: &Broker,
    context: &RequestContext,
    request: &AddOffsetsToTxnRequest<'_>,
) -> Result<(), ErrorCode> {
    let id = &*request.transactional_id;
    if !broker.allows(context, Operation::Write, Resource::transactional_id(id)) {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    if !broker.allows(context, Operation::Read, Resource::group(&request.group_id)) {
        return Err(ErrorCode::GroupAuthorizationFailed);
    }
    let number = broker.groups.partition_of(&request.group_id);
    let added = Partitions::from([(OFFSETS_TOPIC.into(), [number].into())]);
    let producer = Producer::new(request.producer_id, request.producer_epoch);
    broker.transactions.add_partitions(id, producer, &added, TransactionVersion::V0).await
}
