//! What is denied is not done: a broker whose authorizer says no is asked for everything that is served, and every question
//! that [`SERVED`] promises is asked.

#![expect(clippy::needless_update, reason = "not every struct has more fields than are named here")]

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use log_engine::io::{BackendChoice, NativeDisk};
use wire::{
    ApiKey,
    frame::encode_request,
    header::ResponseHeader,
    message::{ApiMessage, Decode, Encode, RequestMessage},
    messages::{self as m, *},
    primitives::{Reader, RecordsRef},
};

use super::{Cluster, Operation, ResourceKind, SERVED};
use crate::{
    authorizer::{Authorizer, Resource},
    config::{Config, Sources},
    request_context::RequestContext,
    start::{Running, start_for},
};

pub(super) type Question = (Operation, ResourceKind);

/// Remembers what it was asked for which request.
struct Doorkeeper {
    denies: Mutex<fn(&Question) -> bool>,
    asked: Mutex<BTreeMap<ApiKey, Vec<Question>>>,
}

impl Authorizer for Arc<Doorkeeper> {
    fn allows(&self, context: &RequestContext, operation: Operation, resource: Resource<'_>) -> bool {
        let mut asked = self.asked.lock().expect("no test panics with it");
        let question = (operation, resource.kind);
        asked.entry(context.api).or_default().push(question);
        !self.denies.lock().expect("no test panics with it")(&question)
    }
}

pub(super) struct Client(TcpStream);

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        Self(socket)
    }

    pub(super) fn call<Q, T>(
        &mut self,
        request: &Q,
        version: i16,
        read: impl FnOnce(Q::Response<'_>) -> T,
    ) -> T
    where
        Q: RequestMessage + Encode,
        for<'r> Q::Response<'r>: Decode<'r>,
    {
        let frame = encode_request(request, version, 1, Some("denials")).expect("a request");
        self.0.write_all(&frame).expect("it is sent");
        let mut prefix = [0; 4];
        self.0.read_exact(&mut prefix).unwrap_or_else(|error| panic!("{} is answered: {error}", Q::KEY));
        let mut answer = vec![0; u32::from_be_bytes(prefix) as usize];
        self.0.read_exact(&mut answer).expect("an answer");
        let mut reader = Reader::new(&answer);
        ResponseHeader::decode(&mut reader, Q::KEY.response_header_version(version)).expect("a header");
        read(Q::Response::decode(&mut reader, version).expect("a response"))
    }
}

const TOPIC: &str = "t";
const GROUP: &str = "g";
const TRANSACTION: &str = "x";

/// Who asks, and what was answered, as text.
struct Asking {
    client: Client,
    answers: Vec<(ApiKey, String)>,
}

macro_rules! ask {
    ($asking:ident, $version:literal, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let request = m::$request { $($field: $value,)* ..Default::default() };
        let answer = $asking.client.call(&request, $version, |response| format!("{response:?}"));
        $asking.answers.push((<m::$request<'_> as ApiMessage>::KEY, answer));
    }};
}

/// A list of one element.
macro_rules! one {
    ($($kind:ident)::+ { $($field:ident: $value:expr),* $(,)? }) => {
        vec![$($kind)::+ { $($field: $value,)* ..Default::default() }]
    };
}

/// A request of each kind that is served, each for what exists.
impl Asking {
    fn ask_for_everything(mut self) -> Vec<(ApiKey, String)> {
        self.topics();
        self.administration();
        self.groups();
        self.transactions();
        ask!(self, 1, DeleteGroupsRequest { groups_names: vec![GROUP.into()] });
        ask!(self, 1, DeleteTopicsRequest { topic_names: vec![TOPIC.into()], timeout_ms: 1000 });
        self.answers
    }

    fn topics(&mut self) {
        let produced = |transactional_id: Option<&'static str>| {
            let data = one!(produce_request::PartitionProduceData { records: Some(RecordsRef::new(&[])) });
            let topic_data =
                one!(produce_request::TopicProduceData { name: TOPIC.into(), partition_data: data });
            (transactional_id.map(Into::into), topic_data)
        };
        let (none, topic_data) = produced(None);
        ask!(self, 9, ProduceRequest { transactional_id: none, acks: 1, topic_data: topic_data });
        let (some, topic_data) = produced(Some(TRANSACTION));
        ask!(self, 9, ProduceRequest { transactional_id: some, acks: -1, topic_data: topic_data });
        let partitions = one!(fetch_request::FetchPartition { partition_max_bytes: 1024 });
        ask!(
            self,
            12,
            FetchRequest {
                topics: one!(fetch_request::FetchTopic { topic: TOPIC.into(), partitions: partitions })
            }
        );
        let partitions = one!(list_offsets_request::ListOffsetsPartition { timestamp: -1 });
        let topics =
            one!(list_offsets_request::ListOffsetsTopic { name: TOPIC.into(), partitions: partitions });
        ask!(self, 5, ListOffsetsRequest { topics: topics });
        let topics = one!(metadata_request::MetadataRequestTopic { name: Some(TOPIC.into()) });
        ask!(self, 9, MetadataRequest { topics: Some(topics), include_cluster_authorized_operations: true });
        let topics = one!(metadata_request::MetadataRequestTopic { name: Some("new".into()) });
        ask!(self, 9, MetadataRequest { topics: Some(topics), allow_auto_topic_creation: true });
        let topics = one!(create_topics_request::CreatableTopic {
            name: "made".into(),
            num_partitions: 1,
            replication_factor: 1
        });
        ask!(self, 5, CreateTopicsRequest { topics: topics });
        let partitions = one!(delete_records_request::DeleteRecordsPartition { offset: 0 });
        let topics =
            one!(delete_records_request::DeleteRecordsTopic { name: TOPIC.into(), partitions: partitions });
        ask!(self, 1, DeleteRecordsRequest { topics: topics, timeout_ms: 1000 });
        let partitions =
            one!(offset_for_leader_epoch_request::OffsetForLeaderPartition { current_leader_epoch: -1 });
        let topics = one!(offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: TOPIC.into(),
            partitions: partitions
        });
        ask!(self, 3, OffsetForLeaderEpochRequest { replica_id: -1, topics: topics });
        let topics = one!(create_partitions_request::CreatePartitionsTopic {
            name: TOPIC.into(),
            count: 3,
            assignments: None
        });
        ask!(self, 1, CreatePartitionsRequest { topics: topics, timeout_ms: 1000 });
        let topics = one!(describe_topic_partitions_request::TopicRequest { name: TOPIC.into() });
        ask!(self, 0, DescribeTopicPartitionsRequest { topics: topics, response_partition_limit: 10 });
    }

    fn administration(&mut self) {
        let of = |kind: i8| if kind == 2 { TOPIC } else { "1" };
        for kind in [2, 4] {
            let resources = one!(describe_configs_request::DescribeConfigsResource {
                resource_type: kind,
                resource_name: of(kind).into()
            });
            ask!(self, 1, DescribeConfigsRequest { resources: resources });
            let configs = one!(alter_configs_request::AlterableConfig {
                name: "retention.ms".into(),
                value: Some("5".into())
            });
            let resources = one!(alter_configs_request::AlterConfigsResource {
                resource_type: kind,
                resource_name: of(kind).into(),
                configs: configs
            });
            ask!(self, 0, AlterConfigsRequest { resources: resources });
            let configs = one!(incremental_alter_configs_request::AlterableConfig {
                name: "retention.ms".into(),
                value: Some("5".into())
            });
            let resources = one!(incremental_alter_configs_request::AlterConfigsResource {
                resource_type: kind,
                resource_name: of(kind).into(),
                configs: configs
            });
            ask!(self, 0, IncrementalAlterConfigsRequest { resources: resources });
        }
        let topics = one!(alter_replica_log_dirs_request::AlterReplicaLogDirTopic {
            name: TOPIC.into(),
            partitions: vec![0]
        });
        ask!(
            self,
            1,
            AlterReplicaLogDirsRequest {
                dirs: one!(alter_replica_log_dirs_request::AlterReplicaLogDir {
                    path: "/nowhere".into(),
                    topics: topics
                })
            }
        );
        ask!(self, 3, DescribeLogDirsRequest { topics: None });
        ask!(
            self,
            0,
            DescribeClusterRequest { endpoint_type: 1, include_cluster_authorized_operations: true }
        );
        ask!(self, 0, DescribeQuorumRequest { topics: vec![] });
        ask!(self, 1, ElectLeadersRequest { topic_partitions: None });
        ask!(self, 0, AlterPartitionReassignmentsRequest { topics: vec![] });
        ask!(self, 0, ListPartitionReassignmentsRequest { topics: None });
        ask!(self, 1, DescribeClientQuotasRequest {});
        let entity =
            one!(alter_client_quotas_request::EntityData { entity_type: "user".into(), entity_name: None });
        ask!(
            self,
            1,
            AlterClientQuotasRequest {
                entries: one!(alter_client_quotas_request::EntryData { entity: entity }),
            }
        );
        ask!(self, 1, ListConfigResourcesRequest { resource_types: vec![] });
        ask!(self, 1, DescribeAclsRequest { operation: 1 });
        ask!(
            self,
            1,
            CreateAclsRequest { creations: one!(create_acls_request::AclCreation { operation: 3 }) }
        );
        ask!(
            self,
            1,
            DeleteAclsRequest { filters: one!(delete_acls_request::DeleteAclsFilter { operation: 3 }) }
        );
        ask!(self, 1, CreateDelegationTokenRequest { max_lifetime_ms: 1 });
        ask!(self, 1, RenewDelegationTokenRequest { renew_period_ms: 1 });
        ask!(self, 1, ExpireDelegationTokenRequest { expiry_time_period_ms: 1 });
        ask!(self, 1, DescribeDelegationTokenRequest { owners: None });
        ask!(self, 0, ApiVersionsRequest {});
    }

    fn groups(&mut self) {
        ask!(self, 3, FindCoordinatorRequest { key: GROUP.into() });
        ask!(self, 3, FindCoordinatorRequest { key: TRANSACTION.into(), key_type: 1 });
        ask!(self, 7, OffsetCommitRequest { group_id: GROUP.into(), topics: commit().topics });
        let topics = one!(offset_fetch_request::OffsetFetchRequestTopic {
            name: TOPIC.into(),
            partition_indexes: vec![0]
        });
        ask!(self, 7, OffsetFetchRequest { group_id: GROUP.into(), topics: Some(topics) });
        let protocols = one!(join_group_request::JoinGroupRequestProtocol { name: "range".into() });
        ask!(
            self,
            4,
            JoinGroupRequest {
                group_id: GROUP.into(),
                session_timeout_ms: 6000,
                protocol_type: "consumer".into(),
                protocols: protocols
            }
        );
        ask!(self, 3, SyncGroupRequest { group_id: GROUP.into(), member_id: "nobody".into() });
        ask!(self, 3, HeartbeatRequest { group_id: GROUP.into(), member_id: "nobody".into() });
        let members = one!(leave_group_request::MemberIdentity { member_id: "nobody".into() });
        ask!(self, 3, LeaveGroupRequest { group_id: GROUP.into(), members: members });
        ask!(self, 3, DescribeGroupsRequest { groups: vec![GROUP.into()] });
        ask!(self, 3, ListGroupsRequest {});
        let partitions = one!(offset_delete_request::OffsetDeleteRequestPartition { partition_index: 1 });
        let topics = one!(offset_delete_request::OffsetDeleteRequestTopic {
            name: TOPIC.into(),
            partitions: partitions
        });
        ask!(self, 0, OffsetDeleteRequest { group_id: GROUP.into(), topics: topics });
    }

    fn transactions(&mut self) {
        ask!(self, 1, InitProducerIdRequest { transactional_id: None, producer_id: -1, producer_epoch: -1 });
        ask!(
            self,
            3,
            InitProducerIdRequest {
                transactional_id: Some(TRANSACTION.into()),
                transaction_timeout_ms: 60_000,
                producer_id: -1,
                producer_epoch: -1
            }
        );
        let as_producer =
            |response: m::InitProducerIdResponse<'_>| (response.producer_id, response.producer_epoch);
        let request = m::InitProducerIdRequest {
            transactional_id: Some(TRANSACTION.into()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let (id, epoch) = self.client.call(&request, 3, as_producer);
        let topics = || {
            one!(add_partitions_to_txn_request::AddPartitionsToTxnTopic {
                name: TOPIC.into(),
                partitions: vec![0]
            })
        };
        ask!(
            self,
            3,
            AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: TRANSACTION.into(),
                v3_and_below_producer_id: id,
                v3_and_below_producer_epoch: epoch,
                v3_and_below_topics: topics(),
            }
        );
        let transactions = one!(add_partitions_to_txn_request::AddPartitionsToTxnTransaction {
            transactional_id: TRANSACTION.into(),
            topics: topics()
        });
        ask!(self, 4, AddPartitionsToTxnRequest { transactions: transactions });
        ask!(self, 0, DescribeTransactionsRequest { transactional_ids: vec![TRANSACTION.into()] });
        ask!(self, 0, ListTransactionsRequest { state_filters: vec![] });
        let topics =
            one!(describe_producers_request::TopicRequest { name: TOPIC.into(), partition_indexes: vec![0] });
        ask!(self, 0, DescribeProducersRequest { topics: topics });
        ask!(
            self,
            3,
            AddOffsetsToTxnRequest {
                transactional_id: TRANSACTION.into(),
                producer_id: id,
                producer_epoch: epoch,
                group_id: GROUP.into(),
            }
        );
        let partitions =
            one!(txn_offset_commit_request::TxnOffsetCommitRequestPartition { committed_offset: 0 });
        let topics = one!(txn_offset_commit_request::TxnOffsetCommitRequestTopic {
            name: TOPIC.into(),
            partitions: partitions
        });
        ask!(
            self,
            3,
            TxnOffsetCommitRequest {
                transactional_id: TRANSACTION.into(),
                group_id: GROUP.into(),
                producer_id: id,
                producer_epoch: epoch,
                topics: topics,
            }
        );
        ask!(
            self,
            3,
            EndTxnRequest { transactional_id: TRANSACTION.into(), producer_id: id, producer_epoch: epoch }
        );
        let topics = one!(write_txn_markers_request::WritableTxnMarkerTopic {
            name: TOPIC.into(),
            partition_indexes: vec![1]
        });
        let markers =
            one!(write_txn_markers_request::WritableTxnMarker { producer_id: 4711, topics: topics });
        ask!(self, 1, WriteTxnMarkersRequest { markers: markers });
    }
}

pub(super) async fn broker_with(authorizer: Box<dyn Authorizer>, directory: &Path) -> Running {
    let overrides = [
        "listeners=PLAINTEXT://127.0.0.1:0".to_owned(),
        format!("log.dirs={}", directory.display()),
        "group.initial.rebalance.delay.ms=0".to_owned(),
    ];
    let config = Config::load(&Sources { overrides: overrides.into(), ..Sources::default() });
    let disk = Arc::new(NativeDisk::new(BackendChoice::Threads));
    start_for(config.expect("a configuration"), disk, 1, authorizer).await.expect("a broker")
}

fn commit() -> m::OffsetCommitRequest<'static> {
    let partitions = one!(offset_commit_request::OffsetCommitRequestPartition { committed_offset: 0 });
    let topics =
        one!(offset_commit_request::OffsetCommitRequestTopic { name: TOPIC.into(), partitions: partitions });
    m::OffsetCommitRequest { group_id: GROUP.into(), topics, ..Default::default() }
}

/// Asks until the answer is yes.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let comes = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        holds()
    });
    assert!(comes, "{what} does not come");
}

/// Creates what the requests are about.
fn prepare(client: &mut Client) {
    let topics = one!(create_topics_request::CreatableTopic {
        name: TOPIC.into(),
        num_partitions: 2,
        replication_factor: 1,
    });
    let created = client.call(
        &m::CreateTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() },
        5,
        |response| response.topics.iter().map(|topic| topic.error_code).collect::<Vec<_>>(),
    );
    assert_eq!(created, [0]);
    for (key, key_type) in [(GROUP, 0), (TRANSACTION, 1)] {
        let request = m::FindCoordinatorRequest { key: key.into(), key_type, ..Default::default() };
        let what = format!("a coordinator for {key}");
        until(&what, || client.call(&request, 3, |response| response.error_code) == 0);
    }
    until("a group", || {
        let answer = client.call(&commit(), 7, |response| format!("{response:?}"));
        answer.contains("error_code: 0")
    });
}

fn is_denied(answer: &str) -> bool {
    // TOPIC_, GROUP_, CLUSTER_ and TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    [29, 30, 31, 53].iter().any(|code| answer.contains(&format!("error_code: {code}")))
}

/// These leave out what may not be seen instead of saying so.
const SILENT: [ApiKey; 3] = [ApiKey::ListGroups, ApiKey::ListTransactions, ApiKey::DescribeCluster];

#[tokio::test(flavor = "multi_thread")]
async fn every_api_asks_what_it_is_registered_for_and_does_nothing_that_is_denied() {
    let directory = tempfile::tempdir().expect("a directory");
    let doorkeeper = Arc::new(Doorkeeper { denies: Mutex::new(|_| false), asked: Mutex::default() });
    let broker = broker_with(Box::new(Arc::clone(&doorkeeper)), directory.path()).await;
    let address = broker.addresses()[0].1;
    let asked = Arc::clone(&doorkeeper);
    let (denied, allowed) = tokio::task::spawn_blocking(move || {
        let mut client = Client::connect(address);
        prepare(&mut client);
        let asking = |denies| {
            *asked.denies.lock().expect("no test panics with it") = denies;
            Asking { client: Client::connect(address), answers: Vec::new() }
        };
        let answers = (asking(|_| true).ask_for_everything(), asking(|_| false).ask_for_everything());
        // What is only asked about a topic, which is gone now, where the cluster is denied.
        asking(|(_, kind)| *kind == Cluster).topics();
        answers
    })
    .await
    .expect("everything is asked");
    let asked = doorkeeper.asked.lock().expect("nobody panicked with it").clone();
    for served in SERVED {
        let questions = asked.get(&served.key).map(Vec::as_slice).unwrap_or_default();
        for question in served.asks {
            assert!(questions.contains(question), "{} does not ask {question:?}", served.key);
        }
        let answers: Vec<_> = denied.iter().filter(|(key, _)| *key == served.key).collect();
        assert!(!answers.is_empty(), "{} is not among the requests of this test", served.key);
        if !served.asks.is_empty() && !SILENT.contains(&served.key) {
            for (key, answer) in answers {
                assert!(is_denied(answer), "{key} is not denied: {answer}");
            }
        }
    }
    // Had one of the denied requests been carried out, the topic would be gone, and these would fail.
    let of_topic =
        allowed.iter().filter(|(key, _)| [ApiKey::ListOffsets, ApiKey::CreatePartitions].contains(key));
    for (key, answer) in of_topic {
        assert!(answer.contains("error_code: 0"), "{key} is carried out: {answer}");
    }
    for (key, answer) in &allowed {
        assert!(!is_denied(answer), "{key} is allowed: {answer}");
    }
    broker.shutdown().await.expect("it stops");
}
