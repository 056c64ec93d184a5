//! AddPartitionsToTxn. Up to version 3 a producer adds partitions to its transaction; from 4 on brokers add or verify those
//! that producers write to, several transactions at once.

use std::collections::BTreeMap;

use wire::{
    ErrorCode,
    messages::{
        AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
        add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction},
        add_partitions_to_txn_response::{
            AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
        },
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::{Broker, is_internal},
    request_context::RequestContext,
    transaction::{Partitions, Producer, TransactionVersion},
};

/// The first version that brokers speak among each other, and no client.
const BROKERS_FROM: i16 = 4;

/// The first version that knows epochs per transaction.
const EPOCH_BUMP_FROM: i16 = 5;

/// The first version whose clients know `PRODUCER_FENCED` (KIP-588).
const FENCED_FROM: i16 = 2;

/// Of each partition, what became of it.
type Results = BTreeMap<(Box<str>, i32), ErrorCode>;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: AddPartitionsToTxnRequest<'_>,
) -> AddPartitionsToTxnResponse<'r> {
    if context.version < BROKERS_FROM {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id.clone(),
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            topics: request.v3_and_below_topics.clone(),
            ..AddPartitionsToTxnTransaction::default()
        };
        let results = add(broker, context, &transaction).await;
        return AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: by_topic(results),
            ..AddPartitionsToTxnResponse::default()
        };
    }
    if !broker.allows(context, Operation::ClusterAction, Resource::cluster()) {
        let error_code = ErrorCode::ClusterAuthorizationFailed.code();
        return AddPartitionsToTxnResponse { error_code, ..AddPartitionsToTxnResponse::default() };
    }
    let mut results_by_transaction = Vec::with_capacity(request.transactions.len());
    for transaction in &request.transactions {
        results_by_transaction.push(AddPartitionsToTxnResult {
            transactional_id: transaction.transactional_id.to_string().into(),
            topic_results: by_topic(add(broker, context, transaction).await),
            ..AddPartitionsToTxnResult::default()
        });
    }
    AddPartitionsToTxnResponse { results_by_transaction, ..AddPartitionsToTxnResponse::default() }
}

async fn add(
    broker: &Broker,
    context: &RequestContext,
    transaction: &AddPartitionsToTxnTransaction<'_>,
) -> Results {
    let id = &*transaction.transactional_id;
    let asked = partitions(&transaction.topics);
    if context.version < BROKERS_FROM
        && !broker.allows(context, Operation::Write, Resource::transactional_id(id))
    {
        return all(&asked, ErrorCode::TransactionalIdAuthorizationFailed);
    }
    let refused = refused(broker, context, &asked);
    if refused.values().any(|code| *code != ErrorCode::None) {
        // One that cannot be added keeps the others from being tried.
        let not_tried = |code| if code == ErrorCode::None { ErrorCode::OperationNotAttempted } else { code };
        return refused.into_iter().map(|(partition, code)| (partition, not_tried(code))).collect();
    }
    let producer = Producer::new(transaction.producer_id, transaction.producer_epoch);
    if transaction.verify_only {
        let keys: Vec<(&str, i32)> = refused.keys().map(|(topic, number)| (&**topic, *number)).collect();
        let verified = broker.transactions.verify_partitions(id, producer, keys.into_iter());
        let codes = verified.into_iter().map(|result| result.err().unwrap_or(ErrorCode::None));
        return refused.into_keys().zip(codes).collect();
    }
    let client =
        if context.version >= EPOCH_BUMP_FROM { TransactionVersion::V2 } else { TransactionVersion::V0 };
    match broker.transactions.add_partitions(id, producer, &asked, client).await {
        Ok(()) => refused,
        Err(ErrorCode::ProducerFenced) if context.version < FENCED_FROM => {
            all(&asked, ErrorCode::InvalidProducerEpoch)
        }
        Err(code) => all(&asked, code),
    }
}

fn partitions(topics: &[AddPartitionsToTxnTopic<'_>]) -> Partitions {
    let mut partitions = Partitions::new();
    for topic in topics {
        partitions.entry(topic.name.as_ref().into()).or_default().extend(&topic.partitions);
    }
    partitions
}

fn all(asked: &Partitions, code: ErrorCode) -> Results {
    asked
        .iter()
        .flat_map(|(topic, numbers)| numbers.iter().map(move |number| ((topic.clone(), *number), code)))
        .collect()
}

fn refused(broker: &Broker, context: &RequestContext, asked: &Partitions) -> Results {
    let image = broker.image();
    let from_client = context.version < BROKERS_FROM;
    let mut results = Results::new();
    for (topic, numbers) in asked {
        let may_write =
            || !is_internal(topic) && broker.allows(context, Operation::Write, Resource::topic(topic));
        let denied = from_client && !may_write();
        for number in numbers {
            let exists = image.partition(topic, *number).is_some();
            let code = match (denied, exists) {
                (true, _) => ErrorCode::TopicAuthorizationFailed,
                (false, false) => ErrorCode::UnknownTopicOrPartition,
                (false, true) => ErrorCode::None,
            };
            results.insert((topic.clone(), *number), code);
        }
    }
    results
}

fn by_topic<'r>(results: Results) -> Vec<AddPartitionsToTxnTopicResult<'r>> {
    let mut topics: Vec<AddPartitionsToTxnTopicResult<'_>> = Vec::new();
    for ((topic, partition_index), code) in results {
        if topics.last().is_none_or(|last| *last.name != *topic) {
            topics.push(AddPartitionsToTxnTopicResult {
                name: topic.into_string().into(),
                ..AddPartitionsToTxnTopicResult::default()
            });
        }
        if let Some(last) = topics.last_mut() {
            last.results_by_partition.push(AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: code.code(),
                ..AddPartitionsToTxnPartitionResult::default()
            });
        }
    }
    topics
}
