//! Produce: record batches from a client to the logs of their partitions.
//!
//! All appends are started before this returns, in the order of the request, so that the connection may go on with the next
//! request while the answers are awaited. Where starting one would wait for the disk or compute for long, the rest of the
//! request is started elsewhere, and the connection waits. Record bytes are cut out of the frame, not copied.

mod transactional;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Buf as _, BytesMut};
use log_engine::{
    AppendError, AppendTicket, Appended, Attempt, PostponedAppend, TopicPartition,
    batch::{BatchView, CompressionType},
    producer::VerificationGuard,
};
use tokio::task::spawn_blocking;
use wire::{
    ErrorCode,
    messages::{
        ProduceRequest, ProduceResponse,
        produce_response::{BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse},
    },
    primitives::{RecordsRef, Uuid},
};

use super::{body, malformed, respond, throttle_ms, topic_id};
use crate::{
    authorizer::{Operation, Resource},
    broker::{Broker, is_internal},
    connection::{Dispatched, Limited, Outcome},
    error_map,
    partition::Partition,
    quota::ClientQuotas,
    request_context::RequestContext,
};

const NO_RESPONSE: i16 = 0;
const ALL_IN_SYNC: i16 = -1;

/// The request without its records: who gets which part of the frame.
struct Plan {
    acks: i16,
    topics: Vec<TopicPlan>,
}

struct TopicPlan {
    name: String,
    id: Uuid,
    partitions: Vec<PartitionPlan>,
}

struct PartitionPlan {
    index: i32,
    target: Result<Arc<Partition>, Failure>,
    /// Allows the records to open a transaction.
    guard: Option<VerificationGuard>,
    records: Option<std::ops::Range<usize>>,
}

/// What became of one partition's records.
enum Started {
    Waiting(Arc<Partition>, AppendTicket),
    Failed(Failure),
}

/// The same, where it may still be up to a thread that may wait.
enum Attempted {
    Started(Started),
    Postponed(Arc<Partition>, PostponedAppend),
}

#[derive(Clone)]
struct Failure {
    code: ErrorCode,
    message: Option<String>,
    records: Vec<(i32, String)>,
    log_start: i64,
}

/// Where it is not known, or not to be told, where a log starts.
const NO_OFFSET: i64 = -1;

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new(), log_start: NO_OFFSET }
    }
}

struct TopicOf<T> {
    name: String,
    id: Uuid,
    partitions: Vec<(i32, T)>,
}

pub(super) fn start(broker: &Arc<Broker>, context: RequestContext, frame: BytesMut) -> Dispatched {
    let (mut plan, opening) = match body::<ProduceRequest<'_>>(&frame, context.version) {
        Ok(request) => {
            let plan = plan(broker, &context, &request);
            let opening = transactional::opening(broker, &context, &request, &plan);
            (plan, opening)
        }
        Err(error) => return Dispatched::Done(malformed(&context, error)),
    };
    let quotas = Arc::clone(broker.client_quotas());
    let answering = Answering { quotas, context, acks: plan.acks, bytes: frame.len() };
    if let Some(mut opening) = opening
        && opening.begin(&mut plan).is_pending()
    {
        let broker = Arc::clone(broker);
        return Dispatched::Alone(Box::pin(async move {
            opening.settle(&broker, &mut plan).await;
            answering.finish_elsewhere(attempt_all(plan, frame)).await
        }));
    }
    let attempted = attempt_all(plan, frame);
    if any_postponed(&attempted) {
        return Dispatched::Alone(Box::pin(answering.finish_elsewhere(attempted)));
    }
    Dispatched::Pipelined(Box::pin(answering.finish(start_all(attempted))))
}

/// What is needed to answer.
struct Answering {
    quotas: Arc<ClientQuotas>,
    context: RequestContext,
    acks: i16,
    /// Size of the request.
    bytes: usize,
}

impl Answering {
    /// Starts what was postponed where waiting stalls no other connection.
    async fn finish_elsewhere(self, attempted: Vec<TopicOf<Attempted>>) -> Outcome {
        if !any_postponed(&attempted) {
            return self.finish(start_all(attempted)).await;
        }
        match spawn_blocking(move || start_all(attempted)).await {
            Ok(started) => self.finish(started).await,
            Err(abandoned) => Outcome::Close(format!("a produce request was abandoned: {abandoned}")),
        }
    }

    async fn finish(self, started: Vec<TopicOf<Started>>) -> Outcome {
        let mut topics = Vec::with_capacity(started.len());
        let mut failed = None;
        for topic in started {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (index, started) in topic.partitions {
                let result = started.ended().await;
                if let Err(failure) = &result {
                    failed.get_or_insert_with(|| format!("{}-{index}: {}", topic.name, failure.code));
                }
                partitions.push(answer(index, result));
            }
            topics.push(TopicProduceResponse {
                name: topic.name.into(),
                topic_id: topic.id,
                partition_responses: partitions,
                ..TopicProduceResponse::default()
            });
        }
        let wait = self.quotas.produced(self.context.payer(), self.bytes);
        match (self.acks, failed) {
            // The client reads no answer: only the end of the connection tells it that something went wrong.
            (NO_RESPONSE, Some(what)) => {
                Outcome::Close(format!("a produce request with acks=0 failed: {what}"))
            }
            (NO_RESPONSE, None) if wait.is_zero() => Outcome::Silent,
            (NO_RESPONSE, None) => Outcome::Limited(Limited { response: None, mute: wait, time: None }),
            _ => respond(
                &self.context,
                ProduceResponse {
                    responses: topics,
                    throttle_time_ms: throttle_ms(wait),
                    ..ProduceResponse::default()
                },
            ),
        }
    }
}

fn any_postponed(attempted: &[TopicOf<Attempted>]) -> bool {
    attempted.iter().flat_map(|topic| &topic.partitions).any(|(_, attempted)| attempted.is_postponed())
}

fn start_all(attempted: Vec<TopicOf<Attempted>>) -> Vec<TopicOf<Started>> {
    let started = |(index, attempted): (i32, Attempted)| (index, attempted.start());
    attempted
        .into_iter()
        .map(|TopicOf { name, id, partitions }| TopicOf {
            name,
            id,
            partitions: partitions.into_iter().map(started).collect(),
        })
        .collect()
}

fn plan(broker: &Broker, context: &RequestContext, request: &ProduceRequest<'_>) -> Plan {
    let refused = refuse(broker, context, request);
    let topics = request
        .topic_data
        .iter()
        .map(|topic| TopicPlan {
            name: topic.name.to_string(),
            id: topic.topic_id,
            partitions: topic
                .partition_data
                .iter()
                .map(|data| PartitionPlan {
                    index: data.index,
                    target: match refused.or_else(|| refuse_codec(context.version, data.records)) {
                        Some(code) => Err(code.into()),
                        None => {
                            target(broker, context, request.acks, &topic.name, topic.topic_id, data.index)
                                .map_err(Failure::from)
                        }
                    },
                    guard: None,
                    records: data.records.map(|records| records.range_in_frame()),
                })
                .collect(),
        })
        .collect();
    Plan { acks: request.acks, topics }
}

/// What is wrong with the request as a whole.
fn refuse(broker: &Broker, context: &RequestContext, request: &ProduceRequest<'_>) -> Option<ErrorCode> {
    // Records of a transaction need the name of one that the client may write to.
    let denied = match request.transactional_id.as_deref() {
        Some(id) => !broker.allows(context, Operation::Write, Resource::transactional_id(id)),
        None => has_transactional_records(request),
    };
    if denied {
        return Some(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    (!matches!(request.acks, -1..=1)).then_some(ErrorCode::InvalidRequiredAcks)
}

/// The first version that may carry zstd: older consumers could not know it (KIP-110).
const ZSTD_FROM: i16 = 7;

fn refuse_codec(version: i16, records: Option<RecordsRef<'_>>) -> Option<ErrorCode> {
    if version >= ZSTD_FROM {
        return None;
    }
    let batch = BatchView::read(records?.bytes).ok()?;
    (batch.compression() == Ok(CompressionType::Zstd)).then_some(ErrorCode::UnsupportedCompressionType)
}

fn has_transactional_records(request: &ProduceRequest<'_>) -> bool {
    let data = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
    let batches = data.filter_map(|data| BatchView::read(data.records?.bytes).ok());
    batches.into_iter().any(|batch| batch.is_transactional())
}

fn target(
    broker: &Broker,
    context: &RequestContext,
    acks: i16,
    name: &str,
    id: Uuid,
    index: i32,
) -> Result<Arc<Partition>, ErrorCode> {
    let by_id = context.version >= 13;
    let partition =
        if by_id { broker.partition_by_id(topic_id(id), index) } else { broker.partition(name, index) }?;
    if !broker.allows(context, Operation::Write, Resource::topic(partition.topic())) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    if is_internal(partition.topic()) {
        return Err(ErrorCode::InvalidTopicException);
    }
    // The in-sync replicas are one: ourselves.
    if acks == ALL_IN_SYNC && partition.min_insync_replicas() > 1 {
        return Err(ErrorCode::NotEnoughReplicas);
    }
    Ok(partition)
}

/// How long the appends of one request are started on a thread that serves other connections.
const AT_ONCE: Duration = Duration::from_millis(2);

fn attempt_all(plan: Plan, mut frame: BytesMut) -> Vec<TopicOf<Attempted>> {
    let until = Instant::now() + AT_ONCE;
    // What follows a postponed append is postponed too: it may go to the same partition.
    let mut postponed = false;
    let mut consumed = 0;
    let mut cut = |range: std::ops::Range<usize>| {
        frame.advance(range.start - consumed);
        consumed = range.end;
        frame.split_to(range.len())
    };
    plan.topics
        .into_iter()
        .map(|topic| TopicOf {
            name: topic.name,
            id: topic.id,
            partitions: topic
                .partitions
                .into_iter()
                .map(|partition| {
                    let records = partition.records.map(&mut cut).unwrap_or_default();
                    let attempted = attempt(partition.target, partition.guard, records, postponed);
                    postponed |= attempted.is_postponed() || Instant::now() >= until;
                    (partition.index, attempted)
                })
                .collect(),
        })
        .collect()
}

fn attempt(
    target: Result<Arc<Partition>, Failure>,
    guard: Option<VerificationGuard>,
    records: BytesMut,
    postponed: bool,
) -> Attempted {
    let partition = match target {
        Ok(partition) => partition,
        Err(failure) => return Attempted::Started(Started::Failed(failure)),
    };
    if postponed {
        let append = partition.postpone(records, guard);
        return Attempted::Postponed(partition, append);
    }
    match partition.try_append(records, guard) {
        Ok(Attempt::Started(ticket)) => Attempted::Started(Started::Waiting(partition, ticket)),
        Ok(Attempt::WouldWait(append)) => Attempted::Postponed(partition, append),
        Err(error) => Attempted::Started(Started::Failed(failure(&error, &partition))),
    }
}

impl Attempted {
    fn is_postponed(&self) -> bool {
        matches!(self, Self::Postponed(..))
    }

    /// May wait for the disk where it was postponed.
    fn start(self) -> Started {
        match self {
            Self::Started(started) => started,
            Self::Postponed(partition, append) => match append.append() {
                Ok(ticket) => Started::Waiting(partition, ticket),
                Err(error) => Started::Failed(failure(&error, &partition)),
            },
        }
    }
}

impl Started {
    /// What became of it. Who holds an acknowledgement finds the records: also where they were sent before, and the first
    /// time is not told yet.
    async fn ended(self) -> Result<Appended, Failure> {
        let (partition, ticket) = match self {
            Self::Waiting(partition, ticket) => (partition, ticket),
            Self::Failed(failure) => return Err(failure),
        };
        let appended = ticket.await.map_err(|error| Failure::from(error_map::append(&error)))?;
        if appended.duplicate {
            partition.visible_to(appended.last_offset.next()).await;
        }
        Ok(appended)
    }
}

fn failure(error: &AppendError, partition: &Partition) -> Failure {
    let code = error_map::append(error);
    let log_start =
        if error_map::is_refused_unseen(error) { NO_OFFSET } else { partition.offsets().log_start.get() };
    let AppendError::Invalid(violation) = error else { return Failure { log_start, ..code.into() } };
    let id = TopicPartition { topic: Arc::clone(partition.topic()), partition: partition.number() };
    let records = violation.problems().iter().map(|problem| (problem.index, problem.message(&id))).collect();
    Failure { code, message: error_map::violation_text(violation), records, log_start }
}

fn answer<'r>(index: i32, result: Result<Appended, Failure>) -> PartitionProduceResponse<'r> {
    match result {
        Ok(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.first_offset.get(),
            log_append_time_ms: appended.log_append_time.map_or(-1, |time| time.get()),
            log_start_offset: appended.log_start_offset.get(),
            ..PartitionProduceResponse::default()
        },
        Err(failure) => PartitionProduceResponse {
            index,
            error_code: failure.code.code(),
            base_offset: NO_OFFSET,
            log_append_time_ms: -1,
            log_start_offset: failure.log_start,
            record_errors: failure.records.into_iter().map(record_error).collect(),
            error_message: failure.message.map(Into::into),
            ..PartitionProduceResponse::default()
        },
    }
}

fn record_error<'r>((batch_index, message): (i32, String)) -> BatchIndexAndErrorMessage<'r> {
    BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message: Some(message.into()),
        ..BatchIndexAndErrorMessage::default()
    }
}
