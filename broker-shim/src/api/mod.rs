//! Requests: which APIs exist, what each asks of whom, and the way to its handler.
//!
//! An API is served once it stands in [`SERVED`], with the resources that its handler asks the authorizer about; asking for
//! anything else is a mistake that debug builds stop at. Handlers decide what to answer; bytes and sockets are elsewhere.

mod acls;
mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_configs;
mod alter_replica_log_dirs;
mod api_versions;
mod client_quotas;
mod create_partitions;
mod create_topics;
#[cfg(test)]
mod creation_rights;
mod delegation_tokens;
mod delete_groups;
mod delete_records;
mod delete_topics;
#[cfg(test)]
mod denials;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod elect_leaders;
mod end_txn;
pub(crate) mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod reassignments;
mod sync_group;
mod txn_offset_commit;
mod write_txn_markers;

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use wire::{
    ApiKey, DecodeError, ErrorCode,
    frame::encode_response,
    header::{Admission, IncomingHeader, unsupported_api_versions},
    message::{Decode, Encode, ResponseMessage},
    messages as m,
    primitives::{Reader, Uuid},
};

use log_engine::types::TopicId;

use crate::{
    authorizer::{
        Operation::{
            self, Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs,
            IdempotentWrite, Read, Write,
        },
        Resource, ResourceKind,
    },
    broker::Broker,
    connection::{Dispatched, Limited, Outcome, Pending, Response, Service},
    quota::{Strictness, ThreadTime},
    request_context::{ANONYMOUS, Peer, RequestContext},
};

/// An API that is served.
struct Served {
    key: ApiKey,
    asks: &'static [(Operation, ResourceKind)],
}

use ResourceKind::{Cluster, Group, Topic, TransactionalId};

/// The APIs that are served, by rising key, and what their handlers ask for.
#[rustfmt::skip]
const SERVED: &[Served] = &[
    Served { key: ApiKey::Produce, asks: &[(Write, Topic), (Write, TransactionalId)] },
    Served { key: ApiKey::Fetch, asks: &[(Read, Topic)] },
    Served { key: ApiKey::ListOffsets, asks: &[(Describe, Topic)] },
    Served { key: ApiKey::Metadata, asks: &[(Describe, Topic), (Create, Cluster), (Create, Topic), (Describe, Cluster)] },
    Served { key: ApiKey::OffsetCommit, asks: &[(Read, Group), (Read, Topic)] },
    Served { key: ApiKey::OffsetFetch, asks: &[(Describe, Group), (Describe, Topic)] },
    Served { key: ApiKey::FindCoordinator, asks: &[(Describe, Group), (Describe, TransactionalId)] },
    Served { key: ApiKey::JoinGroup, asks: &[(Read, Group)] },
    Served { key: ApiKey::Heartbeat, asks: &[(Read, Group)] },
    Served { key: ApiKey::LeaveGroup, asks: &[(Read, Group)] },
    Served { key: ApiKey::SyncGroup, asks: &[(Read, Group)] },
    Served { key: ApiKey::DescribeGroups, asks: &[(Describe, Group)] },
    Served { key: ApiKey::ListGroups, asks: &[(Describe, Cluster), (Describe, Group)] },
    Served { key: ApiKey::ApiVersions, asks: &[] },
    Served { key: ApiKey::CreateTopics, asks: &[(Create, Cluster), (Create, Topic), (DescribeConfigs, Topic)] },
    Served { key: ApiKey::DeleteTopics, asks: &[(Describe, Topic), (Delete, Topic)] },
    Served { key: ApiKey::DeleteRecords, asks: &[(Delete, Topic)] },
    Served { key: ApiKey::InitProducerId, asks: &[(IdempotentWrite, Cluster), (Write, TransactionalId)] },
    Served { key: ApiKey::OffsetForLeaderEpoch, asks: &[(Describe, Topic)] },
    Served { key: ApiKey::AddPartitionsToTxn, asks: &[(Write, TransactionalId), (Write, Topic), (ClusterAction, Cluster)] },
    Served { key: ApiKey::AddOffsetsToTxn, asks: &[(Write, TransactionalId), (Read, Group)] },
    Served { key: ApiKey::EndTxn, asks: &[(Write, TransactionalId)] },
    Served { key: ApiKey::WriteTxnMarkers, asks: &[(Alter, Cluster), (ClusterAction, Cluster)] },
    Served { key: ApiKey::TxnOffsetCommit, asks: &[(Write, TransactionalId), (Read, Group), (Read, Topic)] },
    Served { key: ApiKey::DescribeAcls, asks: &[(Describe, Cluster)] },
    Served { key: ApiKey::CreateAcls, asks: &[(Alter, Cluster)] },
    Served { key: ApiKey::DeleteAcls, asks: &[(Alter, Cluster)] },
    Served { key: ApiKey::DescribeConfigs, asks: &[(DescribeConfigs, Topic), (DescribeConfigs, Cluster)] },
    Served { key: ApiKey::AlterConfigs, asks: &[(AlterConfigs, Topic), (AlterConfigs, Cluster)] },
    Served { key: ApiKey::AlterReplicaLogDirs, asks: &[(Alter, Cluster)] },
    Served { key: ApiKey::DescribeLogDirs, asks: &[(Describe, Cluster)] },
    Served { key: ApiKey::CreatePartitions, asks: &[(Alter, Topic)] },
    Served { key: ApiKey::CreateDelegationToken, asks: &[] },
    Served { key: ApiKey::RenewDelegationToken, asks: &[] },
    Served { key: ApiKey::ExpireDelegationToken, asks: &[] },
    Served { key: ApiKey::DescribeDelegationToken, asks: &[] },
    Served { key: ApiKey::DeleteGroups, asks: &[(Delete, Group)] },
    Served { key: ApiKey::ElectLeaders, asks: &[(Alter, Cluster)] },
    Served { key: ApiKey::IncrementalAlterConfigs, asks: &[(AlterConfigs, Topic), (AlterConfigs, Cluster)] },
    Served { key: ApiKey::AlterPartitionReassignments, asks: &[(Alter, Cluster)] },
    Served { key: ApiKey::ListPartitionReassignments, asks: &[(Describe, Cluster)] },
    Served { key: ApiKey::OffsetDelete, asks: &[(Delete, Group), (Read, Topic)] },
    Served { key: ApiKey::DescribeClientQuotas, asks: &[(DescribeConfigs, Cluster)] },
    Served { key: ApiKey::AlterClientQuotas, asks: &[(AlterConfigs, Cluster)] },
    Served { key: ApiKey::DescribeQuorum, asks: &[(Describe, Cluster)] },
    Served { key: ApiKey::DescribeCluster, asks: &[(Describe, Cluster)] },
    Served { key: ApiKey::DescribeProducers, asks: &[(Read, Topic)] },
    Served { key: ApiKey::DescribeTransactions, asks: &[(Describe, TransactionalId), (Describe, Topic)] },
    Served { key: ApiKey::ListTransactions, asks: &[(Describe, TransactionalId)] },
    Served { key: ApiKey::ListConfigResources, asks: &[(DescribeConfigs, Cluster)] },
    Served { key: ApiKey::DescribeTopicPartitions, asks: &[(Describe, Topic)] },
];

fn served(key: ApiKey) -> Option<&'static Served> {
    SERVED.iter().find(|served| served.key == key)
}

/// What is remembered of a connection between its requests.
#[derive(Debug)]
pub(crate) struct Session {
    peer: Arc<Peer>,
    client_id: Option<Arc<str>>,
}

impl Session {
    /// The same text for as long as the client calls itself the same.
    fn client_id(&mut self, name: &str) -> Option<Arc<str>> {
        if self.client_id.as_deref().unwrap_or_default() != name {
            self.client_id = Some(name.into());
        }
        self.client_id.clone()
    }
}

impl Service for Broker {
    type Session = Session;

    fn session(&self, listener: &Arc<str>, address: SocketAddr) -> Session {
        let peer = Peer { principal: ANONYMOUS, listener: Arc::clone(listener), address };
        Session { peer: Arc::new(peer), client_id: None }
    }

    fn dispatch(self: &Arc<Self>, session: &mut Session, frame: BytesMut) -> Dispatched {
        let mut reader = Reader::new(&frame);
        let header = match IncomingHeader::decode(&mut reader) {
            Ok(header) => header,
            Err(error) => return close(format!("the request header cannot be read: {error}")),
        };
        let mut context = RequestContext {
            peer: Arc::clone(&session.peer),
            api: header.key,
            version: header.version,
            correlation_id: header.correlation_id,
            client_id: session.client_id(&header.client_id),
            time: None,
        };
        context.time = ThreadTime::of(self.client_quotas(), context.payer());
        let time = context.time.clone();
        let dispatched = match header.admission() {
            _ if served(header.key).is_none() => {
                close(format!("{} is not among the APIs that were offered", header.key))
            }
            Admission::Accepted => route(self, context, frame),
            Admission::UnknownApiVersionsVersion => {
                let context = RequestContext { version: 0, ..context };
                Dispatched::Done(respond(&context, unsupported_api_versions()))
            }
            Admission::Refused => {
                close(format!("{} is not offered in version {}", header.key, header.version))
            }
        };
        match time {
            Some(time) => counted(time, dispatched),
            None => dispatched,
        }
    }

    fn may_overtake(&self, frame: &[u8]) -> bool {
        keeps_order_by_itself(frame)
    }
}

/// Requests of a connection take effect in order, as if each were answered before the next is looked at. Produce requests
/// may still follow each other at once, because appends keep their order by themselves.
fn keeps_order_by_itself(frame: &[u8]) -> bool {
    frame.first_chunk().is_some_and(|key| i16::from_be_bytes(*key) == ApiKey::Produce.code())
}

fn close(reason: String) -> Dispatched {
    Dispatched::Done(Outcome::Close(reason))
}

/// A handler that answers at once.
macro_rules! now {
    ($handler:path, $request:ty, $broker:ident, $context:ident, $frame:ident) => {
        Dispatched::Done(match body::<$request>(&$frame, $context.version) {
            Ok(request) => respond(&$context, $handler($broker, &$context, request)),
            Err(error) => malformed(&$context, error),
        })
    };
}

/// A handler that may have to wait.
macro_rules! later {
    ($handler:path, $request:ty, $broker:ident, $context:ident, $frame:ident) => {{
        let broker = Arc::clone($broker);
        Dispatched::Alone(Box::pin(async move {
            match body::<$request>(&$frame, $context.version) {
                Ok(request) => respond(&$context, $handler(&broker, &$context, request).await),
                Err(error) => malformed(&$context, error),
            }
        }))
    }};
}

fn route(broker: &Arc<Broker>, context: RequestContext, frame: BytesMut) -> Dispatched {
    match context.api {
        ApiKey::Produce => produce::start(broker, context, frame),
        ApiKey::Fetch => fetch::start(broker, context, frame),
        ApiKey::ListOffsets => {
            later!(list_offsets::handle, m::ListOffsetsRequest<'_>, broker, context, frame)
        }
        ApiKey::Metadata => later!(metadata::handle, m::MetadataRequest<'_>, broker, context, frame),
        ApiKey::OffsetCommit => {
            later!(offset_commit::handle, m::OffsetCommitRequest<'_>, broker, context, frame)
        }
        ApiKey::OffsetFetch => {
            now!(offset_fetch::handle, m::OffsetFetchRequest<'_>, broker, context, frame)
        }
        ApiKey::FindCoordinator => {
            later!(find_coordinator::handle, m::FindCoordinatorRequest<'_>, broker, context, frame)
        }
        ApiKey::JoinGroup => parked(broker, context, frame, |broker, context, frame| {
            Box::pin(async move {
                let request = body::<m::JoinGroupRequest<'_>>(frame, context.version)?;
                let waiting = join_group::start(broker, context, request).await;
                let context = context.clone();
                Ok(Box::pin(async move {
                    respond(&context, join_group::response(context.version, waiting.answer().await))
                }) as Pending)
            })
        }),
        ApiKey::SyncGroup => parked(broker, context, frame, |broker, context, frame| {
            Box::pin(async move {
                let request = body::<m::SyncGroupRequest<'_>>(frame, context.version)?;
                let waiting = sync_group::start(broker, context, request).await;
                let context = context.clone();
                Ok(Box::pin(async move { respond(&context, sync_group::response(waiting.answer().await)) })
                    as Pending)
            })
        }),
        ApiKey::Heartbeat => now!(heartbeat::handle, m::HeartbeatRequest<'_>, broker, context, frame),
        ApiKey::LeaveGroup => {
            later!(leave_group::handle, m::LeaveGroupRequest<'_>, broker, context, frame)
        }
        ApiKey::DescribeGroups => {
            now!(describe_groups::handle, m::DescribeGroupsRequest<'_>, broker, context, frame)
        }
        ApiKey::ListGroups => now!(list_groups::handle, m::ListGroupsRequest<'_>, broker, context, frame),
        ApiKey::DeleteGroups => {
            later!(delete_groups::handle, m::DeleteGroupsRequest<'_>, broker, context, frame)
        }
        ApiKey::OffsetDelete => {
            later!(offset_delete::handle, m::OffsetDeleteRequest<'_>, broker, context, frame)
        }
        ApiKey::ApiVersions => now!(api_versions::handle, m::ApiVersionsRequest<'_>, broker, context, frame),
        ApiKey::CreateTopics => {
            later!(create_topics::handle, m::CreateTopicsRequest<'_>, broker, context, frame)
        }
        ApiKey::DeleteTopics => {
            later!(delete_topics::handle, m::DeleteTopicsRequest<'_>, broker, context, frame)
        }
        ApiKey::DeleteRecords => {
            later!(delete_records::handle, m::DeleteRecordsRequest<'_>, broker, context, frame)
        }
        ApiKey::InitProducerId => {
            later!(init_producer_id::handle, m::InitProducerIdRequest<'_>, broker, context, frame)
        }
        ApiKey::AddPartitionsToTxn => {
            later!(add_partitions_to_txn::handle, m::AddPartitionsToTxnRequest<'_>, broker, context, frame)
        }
        ApiKey::AddOffsetsToTxn => {
            later!(add_offsets_to_txn::handle, m::AddOffsetsToTxnRequest<'_>, broker, context, frame)
        }
        ApiKey::TxnOffsetCommit => {
            later!(txn_offset_commit::handle, m::TxnOffsetCommitRequest<'_>, broker, context, frame)
        }
        ApiKey::EndTxn => later!(end_txn::handle, m::EndTxnRequest<'_>, broker, context, frame),
        ApiKey::WriteTxnMarkers => {
            later!(write_txn_markers::handle, m::WriteTxnMarkersRequest<'_>, broker, context, frame)
        }
        ApiKey::DescribeProducers => {
            now!(describe_producers::handle, m::DescribeProducersRequest<'_>, broker, context, frame)
        }
        ApiKey::DescribeTransactions => {
            now!(describe_transactions::handle, m::DescribeTransactionsRequest<'_>, broker, context, frame)
        }
        ApiKey::ListTransactions => {
            now!(list_transactions::handle, m::ListTransactionsRequest<'_>, broker, context, frame)
        }
        ApiKey::OffsetForLeaderEpoch => {
            now!(offset_for_leader_epoch::handle, m::OffsetForLeaderEpochRequest<'_>, broker, context, frame)
        }
        ApiKey::DescribeConfigs => {
            now!(describe_configs::handle, m::DescribeConfigsRequest<'_>, broker, context, frame)
        }
        ApiKey::AlterConfigs => {
            later!(alter_configs::handle_all, m::AlterConfigsRequest<'_>, broker, context, frame)
        }
        ApiKey::AlterReplicaLogDirs => {
            later!(alter_replica_log_dirs::handle, m::AlterReplicaLogDirsRequest<'_>, broker, context, frame)
        }
        ApiKey::DescribeLogDirs => {
            later!(describe_log_dirs::handle, m::DescribeLogDirsRequest<'_>, broker, context, frame)
        }
        ApiKey::CreatePartitions => {
            later!(create_partitions::handle, m::CreatePartitionsRequest<'_>, broker, context, frame)
        }
        ApiKey::IncrementalAlterConfigs => {
            later!(
                alter_configs::handle_incremental,
                m::IncrementalAlterConfigsRequest<'_>,
                broker,
                context,
                frame
            )
        }
        ApiKey::DescribeCluster => {
            now!(describe_cluster::handle, m::DescribeClusterRequest<'_>, broker, context, frame)
        }
        ApiKey::DescribeTopicPartitions => {
            now!(
                describe_topic_partitions::handle,
                m::DescribeTopicPartitionsRequest<'_>,
                broker,
                context,
                frame
            )
        }
        ApiKey::DescribeAcls => now!(acls::describe, m::DescribeAclsRequest<'_>, broker, context, frame),
        ApiKey::CreateAcls => now!(acls::create, m::CreateAclsRequest<'_>, broker, context, frame),
        ApiKey::DeleteAcls => now!(acls::delete, m::DeleteAclsRequest<'_>, broker, context, frame),
        ApiKey::CreateDelegationToken => {
            now!(delegation_tokens::create, m::CreateDelegationTokenRequest<'_>, broker, context, frame)
        }
        ApiKey::RenewDelegationToken => {
            now!(delegation_tokens::renew, m::RenewDelegationTokenRequest<'_>, broker, context, frame)
        }
        ApiKey::ExpireDelegationToken => {
            now!(delegation_tokens::expire, m::ExpireDelegationTokenRequest<'_>, broker, context, frame)
        }
        ApiKey::DescribeDelegationToken => {
            now!(delegation_tokens::describe, m::DescribeDelegationTokenRequest<'_>, broker, context, frame)
        }
        ApiKey::ElectLeaders => {
            now!(elect_leaders::handle, m::ElectLeadersRequest<'_>, broker, context, frame)
        }
        ApiKey::AlterPartitionReassignments => {
            now!(reassignments::alter, m::AlterPartitionReassignmentsRequest<'_>, broker, context, frame)
        }
        ApiKey::ListPartitionReassignments => {
            now!(reassignments::list, m::ListPartitionReassignmentsRequest<'_>, broker, context, frame)
        }
        ApiKey::DescribeQuorum => {
            now!(describe_quorum::handle, m::DescribeQuorumRequest<'_>, broker, context, frame)
        }
        ApiKey::ListConfigResources => {
            now!(list_config_resources::handle, m::ListConfigResourcesRequest<'_>, broker, context, frame)
        }
        ApiKey::DescribeClientQuotas => {
            now!(client_quotas::describe, m::DescribeClientQuotasRequest<'_>, broker, context, frame)
        }
        ApiKey::AlterClientQuotas => {
            later!(client_quotas::alter, m::AlterClientQuotasRequest<'_>, broker, context, frame)
        }
        other => close(format!("{other} has no handler")),
    }
}

/// What starts a request and gives its answer, which may come when all others of a group have asked, too.
type Start = for<'a> fn(
    &'a Broker,
    &'a RequestContext,
    &'a [u8],
) -> Pin<Box<dyn Future<Output = Result<Pending, DecodeError>> + Send + 'a>>;

/// A handler that waits for others: nothing of the frame is kept meanwhile.
fn parked(broker: &Arc<Broker>, context: RequestContext, frame: BytesMut, start: Start) -> Dispatched {
    let broker = Arc::clone(broker);
    Dispatched::Alone(Box::pin(async move {
        match start(&broker, &context, &frame).await {
            Ok(pending) => Outcome::Parked(pending),
            Err(error) => malformed(&context, error),
        }
    }))
}

/// The body of a request whose header was accepted.
fn body<'f, Q: Decode<'f>>(frame: &'f [u8], version: i16) -> Result<Q, DecodeError> {
    let mut reader = Reader::new(frame);
    IncomingHeader::decode(&mut reader)?;
    Q::decode(&mut reader, version)
}

fn malformed(context: &RequestContext, error: DecodeError) -> Outcome {
    Outcome::Close(format!("{} version {} cannot be read: {error}", context.api, context.version))
}

fn respond<R: ResponseMessage + Encode>(context: &RequestContext, mut response: R) -> Outcome {
    let mute = throttle(context, &mut response);
    match encode_response(&response, context.version, context.correlation_id, Vec::new()) {
        Ok(encoded) => answer(context, Response::Bytes(Bytes::from(encoded.bytes)), mute),
        Err(error) => Outcome::Close(format!(
            "the answer to {} version {} cannot be written: {error}",
            context.api, context.version
        )),
    }
}

/// For how long the client is to wait, which the response says then: for what it asked too much of, and for the time that
/// threads spent on it.
fn throttle<R: ResponseMessage>(context: &RequestContext, response: &mut R) -> Duration {
    let field = response.throttle_time_ms();
    let asked = field.as_deref().map_or(0, |asked| u64::try_from(*asked).unwrap_or(0));
    let Some(time) = &context.time else { return Duration::from_millis(asked) };
    let wait = Duration::from_millis(asked).max(time.charge());
    if let Some(field) = field {
        *field = throttle_ms(wait);
    }
    wait
}

/// As a response says it.
fn throttle_ms(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

/// Whether a request fails where the quota of changes is used up.
fn strictness(context: &RequestContext, strict_from: i16) -> Strictness {
    if context.version >= strict_from { Strictness::Strict } else { Strictness::Permissive }
}

fn answer(context: &RequestContext, response: Response, mute: Duration) -> Outcome {
    if mute.is_zero() && context.time.is_none() {
        return Outcome::Answer(response);
    }
    Outcome::Limited(Limited { response: Some(response), mute, time: context.time.clone() })
}

/// Counts what threads spend on a request from here on.
fn counted(time: Arc<ThreadTime>, dispatched: Dispatched) -> Dispatched {
    time.pause();
    match dispatched {
        Dispatched::Done(outcome) => Dispatched::Done(outcome),
        Dispatched::Pipelined(pending) => Dispatched::Pipelined(Box::pin(time.count(pending))),
        Dispatched::Alone(pending) => Dispatched::Alone(Box::pin(time.count(pending))),
        Dispatched::Parked(pending) => Dispatched::Parked(Box::pin(time.count(pending))),
    }
}

impl Broker {
    /// Asks the authorizer.
    fn allows(&self, context: &RequestContext, operation: Operation, resource: Resource<'_>) -> bool {
        debug_assert!(
            served(context.api).is_some_and(|served| served.asks.contains(&(operation, resource.kind))),
            "{} asks for {operation:?} on {:?} without being registered for it",
            context.api,
            resource.kind
        );
        let allowed = self.authorizer.allows(context, operation, resource);
        if !allowed {
            let Peer { principal, listener, address } = &*context.peer;
            let client_id = context.client_id.as_deref().unwrap_or_default();
            tracing::info!(principal, %listener, %address, client_id, ?operation, ?resource, "denied");
        }
        allowed
    }
}

fn uuid(id: TopicId) -> Uuid {
    Uuid(id.get())
}

fn topic_id(uuid: Uuid) -> TopicId {
    TopicId::new(uuid.0)
}

/// The text that Kafka gives with an error where there is no better one.
fn text_of(code: ErrorCode) -> &'static str {
    crate::error_map::default_text(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_that_is_served_can_be_read_and_is_advertised() {
        for served in SERVED {
            assert!(m::EXPANDED.contains(&served.key), "{} cannot be read", served.key);
            assert!(served.key.advertised().is_some(), "{} is not for clients", served.key);
        }
    }
}
