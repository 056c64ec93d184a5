//! DescribeTransactions: what the coordinator knows of transactional ids.

use wire::{
    ErrorCode,
    messages::{
        DescribeTransactionsRequest, DescribeTransactionsResponse,
        describe_transactions_response::{TopicData, TransactionState},
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
    transaction::TransactionMetadata,
};

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeTransactionsRequest<'_>,
) -> DescribeTransactionsResponse<'r> {
    let states = request.transactional_ids.iter().map(|id| describe(broker, context, id)).collect();
    DescribeTransactionsResponse { transaction_states: states, ..DescribeTransactionsResponse::default() }
}

fn describe<'r>(broker: &Broker, context: &RequestContext, id: &str) -> TransactionState<'r> {
    let described = if broker.allows(context, Operation::Describe, Resource::transactional_id(id)) {
        broker.transactions.describe(id)
    } else {
        Err(ErrorCode::TransactionalIdAuthorizationFailed)
    };
    let unknown = TransactionState { transactional_id: id.to_owned().into(), ..TransactionState::default() };
    match described {
        Ok(metadata) => known(broker, context, &metadata, unknown),
        Err(code) => TransactionState { error_code: code.code(), ..unknown },
    }
}

fn known<'r>(
    broker: &Broker,
    context: &RequestContext,
    metadata: &TransactionMetadata,
    named: TransactionState<'r>,
) -> TransactionState<'r> {
    let seen = |topic: &str| broker.allows(context, Operation::Describe, Resource::topic(topic));
    let topics =
        metadata.partitions.iter().filter(|(topic, _)| seen(topic)).map(|(topic, numbers)| TopicData {
            topic: topic.to_string().into(),
            partitions: numbers.iter().copied().collect(),
            ..TopicData::default()
        });
    TransactionState {
        transaction_state: metadata.state.name().into(),
        transaction_timeout_ms: metadata.timeout_ms,
        transaction_start_time_ms: metadata.started_ms,
        producer_id: metadata.producer.id.get(),
        producer_epoch: metadata.producer.epoch.get(),
        topics: topics.collect(),
        ..named
    }
}
