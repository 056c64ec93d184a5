//! Fetch: record batches from the logs to a client, as slices of files that never pass through memory here.
//!
//! What is there is read at once. If that is less than the client wants, the request waits at its partitions until enough
//! was appended or its time is up (Kafka's DelayedFetch), and reads again.

mod answer;
mod session;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use log_engine::{Fetched, ReadError, ReadMode, types::Offset};
use tokio::task::spawn_blocking;
use wire::{ErrorCode, messages::FetchRequest, messages::FetchResponse, primitives::Uuid};

use super::{body, malformed, respond, topic_id};
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    connection::{Dispatched, Outcome},
    error_map,
    partition::{Partition, Visibility},
    quota::ClientQuotas,
    request_context::RequestContext,
    wait::Waiter,
};
use session::{FetchContext, SessionRequest, TopicKey, Wanted};
pub(crate) use session::{FetchSessions, SessionError};

/// From this version on topics are named by id.
const FIRST_WITH_TOPIC_IDS: i16 = 13;

/// A request, resolved.
struct Fetch {
    context: RequestContext,
    quotas: Arc<ClientQuotas>,
    session: FetchContext,
    /// One for each partition that the session wants, in order.
    targets: Vec<Result<Arc<Partition>, ErrorCode>>,
    visibility: Visibility,
    min_bytes: usize,
    max_bytes: usize,
    max_wait: Duration,
}

/// What reading one partition gave.
type PartitionRead = Result<Fetched, ErrorCode>;

/// Something that is to be read is not in the page cache.
struct WouldBlock;

pub(super) fn start(broker: &Arc<Broker>, context: RequestContext, frame: BytesMut) -> Dispatched {
    let request = match body::<FetchRequest<'_>>(&frame, context.version) {
        Ok(request) => request,
        Err(error) => return Dispatched::Done(malformed(&context, error)),
    };
    let fetch = match resolve(broker, &context, &request) {
        Ok(fetch) => fetch,
        Err(error) => {
            let error_code = error.code().code();
            return Dispatched::Done(respond(
                &context,
                FetchResponse { error_code, ..FetchResponse::default() },
            ));
        }
    };
    match fetch.read(ReadMode::CachedOnly) {
        Ok(reads) if fetch.is_enough(&reads) => Dispatched::Done(answer::respond(&fetch, reads)),
        Ok(_) => Dispatched::Parked(Box::pin(wait(fetch))),
        // What is there is answered also if the disk has to be waited for: the client waits for no new records.
        Err(WouldBlock) => Dispatched::Alone(Box::pin(read_first(fetch))),
    }
}

fn resolve(
    broker: &Broker,
    context: &RequestContext,
    request: &FetchRequest<'_>,
) -> Result<Fetch, SessionError> {
    let session = broker.fetch_sessions.open(session_request(context, request), Instant::now())?;
    let targets = session.wanted().iter().map(|wanted| target(broker, context, wanted)).collect();
    let replica = if context.version >= 15 { request.replica_state.replica_id } else { request.replica_id };
    let size = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
    let quotas = Arc::clone(broker.client_quotas());
    let allowed = quotas.fetch_bytes_max(context.payer()).unwrap_or(usize::MAX);
    let max_bytes = size(request.max_bytes).min(broker.fetch_max_bytes).min(allowed);
    Ok(Fetch {
        context: context.clone(),
        quotas,
        session,
        targets,
        visibility: Visibility::of(replica, request.isolation_level),
        min_bytes: size(request.min_bytes).min(max_bytes),
        max_bytes,
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
    })
}

fn session_request(context: &RequestContext, request: &FetchRequest<'_>) -> SessionRequest {
    let uses_topic_ids = context.version >= FIRST_WITH_TOPIC_IDS;
    let key = |name: &str, id: Uuid| {
        if uses_topic_ids { TopicKey::Id(topic_id(id)) } else { TopicKey::Name(name.into()) }
    };
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let key = key(&topic.topic, topic.topic_id);
        wanted.extend(topic.partitions.iter().map(|partition| Wanted {
            topic: key.clone(),
            partition: partition.partition,
            current_leader_epoch: partition.current_leader_epoch,
            fetch_offset: partition.fetch_offset,
            max_bytes: partition.partition_max_bytes,
        }));
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let key = key(&topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.iter().map(|partition| (key.clone(), *partition)));
    }
    SessionRequest { id: request.session_id, epoch: request.session_epoch, uses_topic_ids, wanted, forgotten }
}

fn target(broker: &Broker, context: &RequestContext, wanted: &Wanted) -> Result<Arc<Partition>, ErrorCode> {
    let partition = match &wanted.topic {
        TopicKey::Name(name) => broker.partition(name, wanted.partition),
        TopicKey::Id(id) => broker.partition_by_id(*id, wanted.partition),
    }?;
    if !broker.allows(context, Operation::Read, Resource::topic(partition.topic())) {
        return Err(ErrorCode::TopicAuthorizationFailed);
    }
    partition.check_leader_epoch(wanted.current_leader_epoch)?;
    Ok(partition)
}

impl Fetch {
    /// Reads every partition. The first one that has records gives at least a whole batch, however small the limits are.
    fn read(&self, mode: ReadMode) -> Result<Vec<PartitionRead>, WouldBlock> {
        let mut left = self.max_bytes;
        let mut at_least_one = true;
        let mut reads = Vec::with_capacity(self.targets.len());
        for (wanted, target) in self.session.wanted().iter().zip(&self.targets) {
            let partition = match target {
                Ok(partition) if partition.is_deleted() => {
                    reads.push(Err(ErrorCode::UnknownTopicOrPartition));
                    continue;
                }
                Ok(partition) => partition,
                Err(code) => {
                    reads.push(Err(*code));
                    continue;
                }
            };
            let most = usize::try_from(wanted.max_bytes).unwrap_or(0).min(left);
            let from = Offset::new(wanted.fetch_offset);
            match partition.read(from, most, at_least_one, self.visibility, mode) {
                Ok(fetched) => {
                    left = left.saturating_sub(fetched.len());
                    at_least_one &= fetched.is_empty();
                    reads.push(Ok(fetched));
                }
                Err(ReadError::WouldBlock) if mode == ReadMode::CachedOnly => return Err(WouldBlock),
                Err(error) => reads.push(Err(error_map::read(&error))),
            }
        }
        Ok(reads)
    }

    /// A slice ends with its segment. Where more lies behind it, waiting would bring nothing that asking again does not
    /// (Kafka's DelayedFetch completes when the offset is on an older segment than the end).
    fn is_enough(&self, reads: &[PartitionRead]) -> bool {
        let bytes: usize = reads.iter().flatten().map(Fetched::len).sum();
        bytes >= self.min_bytes
            || self.max_wait.is_zero()
            || reads.is_empty()
            || reads.iter().any(|read| read.as_ref().map_or(true, |fetched| fetched.stops_at_segment))
    }

    fn partitions(&self) -> impl Iterator<Item = Arc<Partition>> {
        self.targets.iter().flatten().cloned()
    }
}

async fn read_first(fetch: Fetch) -> Outcome {
    let deadline = tokio::time::Instant::now() + fetch.max_wait;
    let fetch = Arc::new(fetch);
    match read_anyhow(&fetch).await {
        Some(reads) if fetch.is_enough(&reads) => answer::respond(&fetch, reads),
        Some(_) => Outcome::Parked(Box::pin(wait_until(deadline, fetch))),
        None => abandoned(),
    }
}

fn abandoned() -> Outcome {
    Outcome::Close("a read was abandoned".to_owned())
}

async fn wait(fetch: Fetch) -> Outcome {
    let deadline = tokio::time::Instant::now() + fetch.max_wait;
    wait_until(deadline, Arc::new(fetch)).await
}

async fn wait_until(deadline: tokio::time::Instant, fetch: Arc<Fetch>) -> Outcome {
    // Stands at the partitions before it reads, so that no append in between is missed.
    let waiter = Waiter::at(fetch.partitions());
    loop {
        let Some(reads) = read_anyhow(&fetch).await else {
            return abandoned();
        };
        if fetch.is_enough(&reads) || !waiter.woken_before(deadline).await {
            return answer::respond(&fetch, reads);
        }
    }
}

/// Reads from the page cache, or else elsewhere, where waiting for the disk stalls nobody.
async fn read_anyhow(fetch: &Arc<Fetch>) -> Option<Vec<PartitionRead>> {
    if let Ok(reads) = fetch.read(ReadMode::CachedOnly) {
        return Some(reads);
    }
    let fetch = Arc::clone(fetch);
    spawn_blocking(move || fetch.read(ReadMode::Blocking).ok()).await.ok().flatten()
}
