//! What an administrator asks of a broker that is alone: access control, delegation tokens, leaders, reassignments, the
//! quorum, features, configured resources.
//!
//! The answers of Apache Kafka are kept in `tests/it/administration.txt`, as those of the module above: whole responses,
//! but for what differs between any two runs (offsets and times of the quorum).

use std::path::PathBuf;

use wire::messages as m;
use wire::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use wire::messages::create_acls_request::AclCreation;
use wire::messages::create_delegation_token_request::CreatableRenewers;
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::delete_acls_request::DeleteAclsFilter;
use wire::messages::describe_quorum_request;
use wire::messages::elect_leaders_request::TopicPartitions;
use wire::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;

use crate::binaries::workspace;
use crate::client::Client;

/// The topic that the questions are about; it has two partitions.
const TOPIC: &str = "administration";

/// Where the answers of Apache Kafka are kept.
pub fn kafkas_answers() -> PathBuf {
    workspace().join("tests/it/administration.txt")
}

/// Asks everything. One line for each question, always in the same order.
pub fn ask(bootstrap: &str) -> Vec<String> {
    let client = Client::connect(bootstrap).expect("the broker accepts a connection");
    let mut asked = Asked { client, answers: Vec::new() };
    asked.create_topic();
    asked.control_access();
    asked.handle_tokens();
    asked.elect();
    asked.reassign();
    asked.list_reassignments();
    asked.describe_quorum();
    asked.list_resources();
    asked.answers.iter().map(|answer| answer.replace(NOTHING_UNKNOWN, "")).collect()
}

/// What every struct ends with, and these never have.
const NOTHING_UNKNOWN: &str = ", unknown_tagged_fields: UnknownTaggedFields([])";

struct Asked {
    client: Client,
    answers: Vec<String>,
}

/// Asks, and notes the response as it is.
macro_rules! ask {
    ($asked:ident, $question:expr, $request:expr, $version:expr) => {{
        let answer = $asked.client.call(&$request, $version, |response| format!("{response:?}"));
        $asked.answers.push(format!("{}, v{}: {}", $question, $version, answer.expect("an answer")));
    }};
}

impl Asked {
    fn create_topic(&mut self) {
        let topic = CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 2,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request =
            m::CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..Default::default() };
        self.client.call(&request, 5, |_| ()).expect("the topic is created");
    }

    fn control_access(&mut self) {
        for version in 1..=3 {
            let any = m::DescribeAclsRequest {
                resource_type_filter: 1,
                pattern_type_filter: 1,
                operation: 1,
                permission_type: 1,
                ..Default::default()
            };
            ask!(self, "describe all ACLs", any, version);
            let creation = AclCreation {
                resource_type: 2,
                resource_name: TOPIC.into(),
                resource_pattern_type: 3,
                principal: "User:alice".into(),
                host: "*".into(),
                operation: 3,
                permission_type: 3,
                ..Default::default()
            };
            let create =
                m::CreateAclsRequest { creations: vec![creation.clone(), creation], ..Default::default() };
            ask!(self, "create two ACLs", create, version);
            let filter = DeleteAclsFilter {
                resource_type_filter: 2,
                pattern_type_filter: 1,
                operation: 1,
                permission_type: 1,
                ..Default::default()
            };
            ask!(
                self,
                "delete ACLs",
                m::DeleteAclsRequest { filters: vec![filter], ..Default::default() },
                version
            );
        }
    }

    fn handle_tokens(&mut self) {
        for version in 1..=3 {
            let renewer = CreatableRenewers {
                principal_type: "User".into(),
                principal_name: "alice".into(),
                ..Default::default()
            };
            let create = m::CreateDelegationTokenRequest {
                renewers: vec![renewer],
                max_lifetime_ms: 60_000,
                ..Default::default()
            };
            ask!(self, "create a delegation token", create, version);
            if version >= 3 {
                let for_another = m::CreateDelegationTokenRequest {
                    owner_principal_type: Some("User".into()),
                    owner_principal_name: Some("bob".into()),
                    ..Default::default()
                };
                ask!(self, "create a delegation token for another", for_another, version);
            }
            ask!(self, "describe delegation tokens", m::DescribeDelegationTokenRequest::default(), version);
        }
        for version in 1..=2 {
            ask!(self, "renew a delegation token", m::RenewDelegationTokenRequest::default(), version);
            ask!(self, "expire a delegation token", m::ExpireDelegationTokenRequest::default(), version);
        }
    }

    fn elect(&mut self) {
        let of = |topic: &'static str, partitions: &[i32]| TopicPartitions {
            topic: topic.into(),
            partitions: partitions.to_vec(),
            ..Default::default()
        };
        for version in 0..=2 {
            for election_type in if version == 0 { 0..1 } else { 0..2 } {
                let request = m::ElectLeadersRequest {
                    election_type,
                    topic_partitions: Some(vec![of(TOPIC, &[0, 7]), of("unknown", &[0])]),
                    timeout_ms: 10_000,
                    ..Default::default()
                };
                ask!(self, format!("elect leaders by {election_type}"), request, version);
                let all = m::ElectLeadersRequest {
                    election_type,
                    topic_partitions: None,
                    timeout_ms: 10_000,
                    ..Default::default()
                };
                let answer = self.client.call(&all, version, elected_of_ours).expect("an answer");
                self.answers.push(format!("elect all leaders by {election_type}, v{version}: {answer}"));
            }
        }
        let neither = m::ElectLeadersRequest {
            election_type: 7,
            topic_partitions: Some(vec![of(TOPIC, &[0])]),
            timeout_ms: 10_000,
            ..Default::default()
        };
        ask!(self, "elect leaders in an unknown way", neither, 2);
    }

    fn reassign(&mut self) {
        let cases: [(&str, &str, i32, Option<&[i32]>); 9] = [
            ("to where they are", TOPIC, 0, Some(&[1])),
            ("to an unknown broker", TOPIC, 0, Some(&[2])),
            ("to two brokers", TOPIC, 0, Some(&[1, 2])),
            ("to one twice", TOPIC, 0, Some(&[1, 1])),
            ("to none", TOPIC, 0, Some(&[])),
            ("to a negative broker", TOPIC, 0, Some(&[-1])),
            ("cancelled", TOPIC, 0, None),
            ("of an unknown partition", TOPIC, 9, Some(&[1])),
            ("of an unknown topic", "unknown", 0, Some(&[1])),
        ];
        for version in 0..=1 {
            for (what, topic, partition_index, replicas) in cases {
                let partition = ReassignablePartition {
                    partition_index,
                    replicas: replicas.map(<[i32]>::to_vec),
                    ..Default::default()
                };
                let topic = ReassignableTopic {
                    name: topic.into(),
                    partitions: vec![partition],
                    ..Default::default()
                };
                let request = m::AlterPartitionReassignmentsRequest {
                    timeout_ms: 10_000,
                    topics: vec![topic],
                    ..Default::default()
                };
                ask!(self, format!("reassignment {what}"), request, version);
            }
        }
        ask!(self, "no reassignment", m::AlterPartitionReassignmentsRequest::default(), 1);
    }

    fn list_reassignments(&mut self) {
        let of = |name: &'static str, indexes: &[i32]| ListPartitionReassignmentsTopics {
            name: name.into(),
            partition_indexes: indexes.to_vec(),
            ..Default::default()
        };
        for topics in [None, Some(vec![]), Some(vec![of(TOPIC, &[0, 1, 5])]), Some(vec![of("unknown", &[0])])]
        {
            let question = format!("reassignments of {topics:?}");
            let request =
                m::ListPartitionReassignmentsRequest { timeout_ms: 10_000, topics, ..Default::default() };
            ask!(self, question, request, 0);
        }
    }

    fn describe_quorum(&mut self) {
        let of = |topic: &'static str, index| {
            let partition =
                describe_quorum_request::PartitionData { partition_index: index, ..Default::default() };
            describe_quorum_request::TopicData {
                topic_name: topic.into(),
                partitions: vec![partition],
                ..Default::default()
            }
        };
        for version in 0..=2 {
            for topics in [
                vec![of("__cluster_metadata", 0)],
                vec![of("__cluster_metadata", 1)],
                vec![of(TOPIC, 0)],
                vec![],
                vec![of("__cluster_metadata", 0), of(TOPIC, 0)],
            ] {
                let question = format!("the quorum of {topics:?}");
                let request = m::DescribeQuorumRequest { topics, ..Default::default() };
                let answer = self.client.call(&request, version, quorum).expect("an answer");
                self.answers.push(format!("{question}, v{version}: {answer}"));
            }
        }
    }

    fn list_resources(&mut self) {
        ask!(self, "configured resources", m::ListConfigResourcesRequest::default(), 0);
        for types in [vec![], vec![2], vec![4], vec![8], vec![16], vec![32], vec![2, 2], vec![0], vec![77]] {
            let question = format!("configured resources of the types {types:?}");
            let request = m::ListConfigResourcesRequest { resource_types: types, ..Default::default() };
            let answer = self.client.call(&request, 1, resources_but_for_other_topics).expect("an answer");
            self.answers.push(format!("{question}, v1: {answer}"));
        }
    }
}

/// Topics of other questions come and go.
fn elected_of_ours(mut response: m::ElectLeadersResponse<'_>) -> String {
    response.replica_election_results.retain(|result| result.topic == TOPIC);
    format!("{response:?}")
}

fn resources_but_for_other_topics(mut response: m::ListConfigResourcesResponse<'_>) -> String {
    let is_topic = |kind| kind == 2;
    response
        .config_resources
        .retain(|resource| !is_topic(resource.resource_type) || resource.resource_name == TOPIC);
    format!("{response:?}")
}

/// What of the quorum's description does not differ from run to run.
fn quorum(response: m::DescribeQuorumResponse<'_>) -> String {
    let partitions = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| {
            let voters: Vec<_> = partition.current_voters.iter().map(|voter| voter.replica_id).collect();
            format!(
                "{}-{} error {} {:?} leader {} voters {voters:?} caught up {} observers {:?} epoch {} watermark {}",
                topic.topic_name,
                partition.partition_index,
                partition.error_code,
                partition.error_message,
                partition.leader_id,
                partition.current_voters.iter().all(|voter| voter.last_caught_up_timestamp != 0),
                partition.observers.len(),
                partition.leader_epoch > 0,
                partition.high_watermark > 0,
            )
        })
    });
    let partitions: Vec<_> = partitions.collect();
    let nodes: Vec<_> = response.nodes.iter().map(|node| (node.node_id, node.listeners.len())).collect();
    format!("error {} {:?} {partitions:?} nodes {nodes:?}", response.error_code, response.error_message)
}
