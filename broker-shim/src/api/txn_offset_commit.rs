//! TxnOffsetCommit: offsets that a group has consumed come to count with the transaction of who produced from them.

use wire::{
    ErrorCode,
    messages::{
        TxnOffsetCommitRequest, TxnOffsetCommitResponse,
        txn_offset_commit_request::TxnOffsetCommitRequestTopic,
        txn_offset_commit_response::{TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic},
    },
    primitives::Uuid,
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    coordinator::Transaction,
    group::{CommitRequest, Committer, NewOffset},
    metadata::Image,
    request_context::RequestContext,
    transaction::{Producer, SupportedOperation},
};

/// The first version whose clients know that a coordinator may be loading.
const LOADING_FROM: i16 = 2;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: TxnOffsetCommitRequest<'r>,
) -> TxnOffsetCommitResponse<'r> {
    let image = broker.image();
    let mut codes: Vec<Vec<ErrorCode>> =
        request.topics.iter().map(|topic| check(broker, context, &image, topic)).collect();
    let denied = refused(broker, context, &request);
    let committed = match denied {
        Some(code) => Err(code),
        None => commit(broker, context, &request, &codes).await,
    };
    match committed {
        Ok(committed) => fill(&mut codes, committed.into_iter()),
        Err(code) if denied.is_some() => codes.iter_mut().flatten().for_each(|each| *each = code),
        Err(code) => fill(&mut codes, std::iter::repeat(for_version(code, context.version))),
    }
    let topics = request.topics.into_iter().zip(codes).map(answer).collect();
    TxnOffsetCommitResponse { topics, ..TxnOffsetCommitResponse::default() }
}

fn for_version(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorLoadInProgress if version < LOADING_FROM => ErrorCode::CoordinatorNotAvailable,
        other => other,
    }
}

/// Partitions that were found in order get what became of them.
fn fill(codes: &mut [Vec<ErrorCode>], committed: impl Iterator<Item = ErrorCode>) {
    let accepted = codes.iter_mut().flatten().filter(|code| **code == ErrorCode::None);
    accepted.zip(committed).for_each(|(code, became)| *code = became);
}

/// What is wrong with the request as a whole.
fn refused(
    broker: &Broker,
    context: &RequestContext,
    request: &TxnOffsetCommitRequest<'_>,
) -> Option<ErrorCode> {
    let id = Resource::transactional_id(&request.transactional_id);
    if !broker.allows(context, Operation::Write, id) {
        return Some(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    let group = Resource::group(&request.group_id);
    (!broker.allows(context, Operation::Read, group)).then_some(ErrorCode::GroupAuthorizationFailed)
}

fn check(
    broker: &Broker,
    context: &RequestContext,
    image: &Image,
    topic: &TxnOffsetCommitRequestTopic<'_>,
) -> Vec<ErrorCode> {
    let allowed = broker.allows(context, Operation::Read, Resource::topic(&topic.name));
    let code = |number| match (allowed, image.partition(&topic.name, number)) {
        (false, _) => ErrorCode::TopicAuthorizationFailed,
        (true, None) => ErrorCode::UnknownTopicOrPartition,
        (true, Some(_)) => ErrorCode::None,
    };
    topic.partitions.iter().map(|partition| code(partition.partition_index)).collect()
}

/// A code for each partition that was found in order.
async fn commit(
    broker: &Broker,
    context: &RequestContext,
    request: &TxnOffsetCommitRequest<'_>,
    checked: &[Vec<ErrorCode>],
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let mut offsets = Vec::new();
    for (topic, codes) in request.topics.iter().zip(checked) {
        let accepted = topic.partitions.iter().zip(codes).filter(|(_, code)| **code == ErrorCode::None);
        offsets.extend(accepted.map(|(partition, _)| NewOffset {
            topic: &topic.name,
            topic_id: Uuid::ZERO,
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref(),
        }));
    }
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let producer = Producer::new(request.producer_id, request.producer_epoch);
    let operation = SupportedOperation::of_txn_offset_commit(context.version);
    let (id, group) = (&*request.transactional_id, &*request.group_id);
    let verified_by = broker.transactions.admit_offsets(id, producer, group, operation).await?;
    let by = Committer {
        generation: request.generation_id,
        member: &request.member_id,
        instance: request.group_instance_id.as_deref(),
    };
    let commit = CommitRequest {
        group,
        by,
        offsets,
        retention_ms: None,
        transaction: Some(Transaction { producer_id: producer.id, producer_epoch: producer.epoch }),
        verified_by,
        no_group: ErrorCode::IllegalGeneration,
    };
    broker.groups.commit(commit).await
}

fn answer<'r>(
    (topic, codes): (TxnOffsetCommitRequestTopic<'r>, Vec<ErrorCode>),
) -> TxnOffsetCommitResponseTopic<'r> {
    let partitions = topic.partitions.iter().zip(codes);
    TxnOffsetCommitResponseTopic {
        name: topic.name.clone(),
        partitions: partitions
            .map(|(partition, code)| TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code.code(),
                ..TxnOffsetCommitResponsePartition::default()
            })
            .collect(),
        ..TxnOffsetCommitResponseTopic::default()
    }
}
