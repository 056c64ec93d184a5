//! Questions about classic groups: members, offsets, administration, and all that is wrong with requests for them.
//!
//! The answers of Apache Kafka are kept whole, field by field, in `tests/it/groups.txt`. What is random in them is masked:
//! see `masked`.

use std::fmt::Debug;
use std::path::PathBuf;

use wire::ErrorCode;
use wire::message::{Decode, Encode, RequestMessage};
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use wire::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::{
    CreateTopicsRequest, DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
};
use wire::primitives::Uuid;
use wire::records::{ConsumerProtocolSubscription, encode_versioned};

use crate::binaries::workspace;
use crate::client::Client;

const TOPIC: &str = "questions.groups";
const GROUP: &str = "questions";

/// Where the answers of Apache Kafka are kept.
pub fn kafkas_answers() -> PathBuf {
    workspace().join("tests/it/groups.txt")
}

/// Asks everything. One line for each question, always in the same order. Groups must not wait for more members
/// (`group.initial.rebalance.delay.ms=0`), and there must not be any yet.
pub fn ask(bootstrap: &str) -> Vec<String> {
    let client = Client::connect(bootstrap).expect("the broker accepts a connection");
    let mut asked = Asked { client, answers: Vec::new(), topic_id: Uuid::ZERO };
    asked.begin();
    asked.ask_of_nothing();
    asked.commit_alone();
    asked.join_wrongly();
    asked.live_in_a_group();
    asked.come_back_by_name();
    asked.administrate();
    asked.answers
}

struct Asked {
    client: Client,
    answers: Vec<String>,
    topic_id: Uuid,
}

/// Without what differs from run to run: the random part of member ids. And without what says nothing.
fn masked(answer: &str) -> String {
    let mut text = answer.replace(", unknown_tagged_fields: UnknownTaggedFields([])", "");
    text = text.replace("throttle_time_ms: 0, ", "");
    let is_uuid = |text: &str| {
        text.len() == 36
            && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
            && !text.starts_with('-')
    };
    let mut at = 0;
    while let Some(candidate) = text.get(at..at + 36) {
        if is_uuid(candidate) {
            text.replace_range(at..at + 36, "UUID");
        }
        at += 1;
        while at < text.len() && !text.is_char_boundary(at) {
            at += 1;
        }
    }
    text
}

fn subscription() -> Vec<u8> {
    let subscription = ConsumerProtocolSubscription { topics: vec![TOPIC.into()], ..Default::default() };
    encode_versioned(&subscription, 1).expect("it is written")
}

fn join<'a>(group: &'a str, member: &'a str, instance: Option<&'a str>) -> JoinGroupRequest<'a> {
    let protocol = |name: &'static str| JoinGroupRequestProtocol {
        name: name.into(),
        metadata: subscription().into(),
        ..Default::default()
    };
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 60_000,
        member_id: member.into(),
        group_instance_id: instance.map(Into::into),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range"), protocol("sticky")],
        ..Default::default()
    }
}

fn sync<'a>(member: &'a str, generation: i32, assigned: Option<&'a str>) -> SyncGroupRequest<'a> {
    let assignment = |part: &'a str| SyncGroupRequestAssignment {
        member_id: member.into(),
        assignment: part.as_bytes().into(),
        ..Default::default()
    };
    SyncGroupRequest {
        group_id: GROUP.into(),
        generation_id: generation,
        member_id: member.into(),
        protocol_type: Some("consumer".into()),
        protocol_name: Some("range".into()),
        assignments: assigned.map(assignment).into_iter().collect(),
        ..Default::default()
    }
}

fn heartbeat<'a>(
    group: &'a str,
    member: &'a str,
    generation: i32,
    instance: Option<&'a str>,
) -> HeartbeatRequest<'a> {
    HeartbeatRequest {
        group_id: group.into(),
        generation_id: generation,
        member_id: member.into(),
        group_instance_id: instance.map(Into::into),
        ..Default::default()
    }
}

fn leave<'a>(group: &'a str, members: &[(&'a str, Option<&'a str>)]) -> LeaveGroupRequest<'a> {
    let member = |(member, instance): &(&'a str, Option<&'a str>)| MemberIdentity {
        member_id: (*member).into(),
        group_instance_id: instance.map(Into::into),
        ..Default::default()
    };
    LeaveGroupRequest {
        group_id: group.into(),
        members: members.iter().map(member).collect(),
        ..Default::default()
    }
}

fn commit<'a>(
    group: &'a str,
    topic: &'a str,
    partition: i32,
    metadata: Option<&'a str>,
) -> OffsetCommitRequest<'a> {
    let partition = OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: 42,
        committed_metadata: metadata.map(Into::into),
        ..Default::default()
    };
    let topic =
        OffsetCommitRequestTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    OffsetCommitRequest { group_id: group.into(), topics: vec![topic], ..Default::default() }
}

/// A fetch of one group's offsets, of the topic or of all that there are.
fn fetch<'a>(group: &'a str, topic: Option<&'a str>) -> OffsetFetchRequest<'a> {
    let wanted = |name: &'a str| OffsetFetchRequestTopic {
        name: name.into(),
        partition_indexes: vec![0, 7],
        ..Default::default()
    };
    OffsetFetchRequest {
        group_id: group.into(),
        topics: topic.map(|name| vec![wanted(name)]),
        ..Default::default()
    }
}

/// The same of several groups at once, by the topic's name or by its id.
fn fetch_several<'a>(groups: &[&'a str], topic: Option<(&'a str, Uuid)>) -> OffsetFetchRequest<'a> {
    let wanted = |(name, topic_id): (&'a str, Uuid)| OffsetFetchRequestTopics {
        name: name.into(),
        topic_id,
        partition_indexes: vec![0, 7],
        ..Default::default()
    };
    let group = |group: &&'a str| OffsetFetchRequestGroup {
        group_id: (*group).into(),
        topics: topic.map(|topic| vec![wanted(topic)]),
        ..Default::default()
    };
    OffsetFetchRequest {
        groups: groups.iter().map(group).collect(),
        topics: Some(Vec::new()),
        ..Default::default()
    }
}

fn describe<'a>(groups: &[&'a str]) -> DescribeGroupsRequest<'a> {
    DescribeGroupsRequest {
        groups: groups.iter().map(|group| (*group).into()).collect(),
        include_authorized_operations: true,
        ..Default::default()
    }
}

fn delete_offsets<'a>(group: &'a str, topic: &'a str, partition_index: i32) -> OffsetDeleteRequest<'a> {
    let partitions = vec![OffsetDeleteRequestPartition { partition_index }];
    let topics = vec![OffsetDeleteRequestTopic { name: topic.into(), partitions }];
    OffsetDeleteRequest { group_id: group.into(), topics }
}

fn list<'a>(states: &[&'a str], types: &[&'a str]) -> ListGroupsRequest<'a> {
    ListGroupsRequest {
        states_filter: states.iter().map(|state| (*state).into()).collect(),
        types_filter: types.iter().map(|kind| (*kind).into()).collect(),
        ..Default::default()
    }
}

impl Asked {
    fn ask<R>(&mut self, question: &str, request: &R, version: i16)
    where
        R: RequestMessage + Encode,
        for<'r> R::Response<'r>: Decode<'r> + Debug,
    {
        let answer = self.client.call(request, version, |response| format!("{response:?}"));
        let answer = answer.unwrap_or_else(|error| panic!("{question}: {error}"));
        self.answers.push(format!("{question}, version {version}: {}", masked(&answer)));
    }

    /// A topic, and a coordinator that has loaded.
    fn begin(&mut self) {
        let topic = CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 2,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let read = |response: wire::messages::CreateTopicsResponse<'_>| response.topics[0].topic_id;
        self.topic_id = self.client.call(&request, 7, read).expect("CreateTopics is answered");
        let request = FindCoordinatorRequest { coordinator_keys: vec![GROUP.into()], ..Default::default() };
        let not_yet = [
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::NotCoordinator,
        ];
        // Each of them has a partition of its own that has to be loaded.
        let every = describe(&["", "nowhere", "alone", "wrong", GROUP, "named"]);
        for _ in 0..600 {
            let found = self.client.call(&request, 4, |response| response.coordinators[0].error_code);
            let mut codes = vec![found.expect("FindCoordinator is answered")];
            let loaded = self.client.call(&every, 5, |response| {
                response.groups.iter().map(|group| group.error_code).collect::<Vec<_>>()
            });
            codes.extend(loaded.expect("DescribeGroups is answered"));
            if codes.iter().all(|code| not_yet.iter().all(|not_yet| not_yet.code() != *code)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("there is no coordinator");
    }

    /// Of groups that are not there, and of one that cannot be.
    fn ask_of_nothing(&mut self) {
        for group in ["", "nowhere"] {
            for version in [2, 5] {
                let (members, member) = if version < 3 { (vec![], "m") } else { (vec![("m", None)], "") };
                let request = LeaveGroupRequest { member_id: member.into(), ..leave(group, &members) };
                self.ask(&format!("leave '{group}'"), &request, version);
            }
            self.ask(&format!("a heartbeat of '{group}'"), &heartbeat(group, "m", 1, None), 4);
            let request = SyncGroupRequest { group_id: group.into(), ..sync("m", 1, None) };
            self.ask(&format!("sync '{group}'"), &request, 5);
            self.ask(&format!("join '{group}' with an id"), &join(group, "m", None), 9);
            for version in [5, 6] {
                self.ask(&format!("describe '{group}'"), &describe(&[group]), version);
            }
            let request =
                DeleteGroupsRequest { groups_names: vec![group.into(), group.into()], ..Default::default() };
            self.ask(&format!("delete '{group}' twice"), &request, 2);
            self.ask(&format!("delete an offset of '{group}'"), &delete_offsets(group, TOPIC, 0), 0);
            for version in [1, 2, 7] {
                self.ask(&format!("the offset of '{group}'"), &fetch(group, Some(TOPIC)), version);
            }
            self.ask(&format!("all offsets of '{group}'"), &fetch(group, None), 7);
            for (generation, version) in [(3, 8), (3, 9), (-1, 9)] {
                let request = OffsetCommitRequest {
                    generation_id_or_member_epoch: generation,
                    member_id: if generation < 0 { "".into() } else { "m".into() },
                    ..commit(group, TOPIC, 1, None)
                };
                self.ask(&format!("commit for '{group}' in generation {generation}"), &request, version);
            }
        }
    }

    fn commit_alone(&mut self) {
        let id = self.topic_id;
        let long = "x".repeat(4097);
        let wide = "\u{1F600}".repeat(2048);
        for (what, topic, partition, metadata) in [
            ("a topic that is not there", "unknown", 0, None),
            ("a partition that is not there", TOPIC, 7, None),
            ("a partition below zero", TOPIC, -1, None),
            ("4097 bytes of metadata", TOPIC, 0, Some(long.as_str())),
            ("4096 units of metadata", TOPIC, 0, Some(wide.as_str())),
            ("no metadata", TOPIC, 0, None),
        ] {
            self.ask(&format!("commit with {what}"), &commit("alone", topic, partition, metadata), 8);
        }
        let expiring =
            OffsetCommitRequest { retention_time_ms: 3_600_000, ..commit("alone", TOPIC, 0, Some("r")) };
        self.ask("commit for an hour", &expiring, 3);
        for (what, topic_id) in [("the topic's id", id), ("an unknown id", Uuid([9; 16]))] {
            let mut request = commit("alone", "", 1, Some("by id"));
            request.topics[0].topic_id = topic_id;
            let answer = self.client.call(&request, 10, |response| {
                response.topics.iter().map(|topic| topic.partitions[0].error_code).collect::<Vec<_>>()
            });
            self.answers.push(format!("commit by {what}: {:?}", answer.expect("it is answered")));
            let request = fetch_several(&["alone"], Some(("", topic_id)));
            let answer = self.client.call(&request, 10, |response| {
                let topics = response.groups[0].topics.iter();
                let topics: Vec<String> = topics.map(|topic| format!("{:?}", topic.partitions)).collect();
                (response.groups[0].error_code, topics)
            });
            self.answers.push(format!(
                "fetch by {what}: {}",
                masked(&format!("{:?}", answer.expect("it is answered")))
            ));
        }
        self.ask("two groups at once", &fetch_several(&["alone", "nowhere"], Some((TOPIC, Uuid::ZERO))), 8);
        self.ask("a topic that is not there", &fetch_several(&["alone"], Some(("unknown", Uuid::ZERO))), 9);
        let stable = OffsetFetchRequest { require_stable: true, ..fetch("alone", Some(TOPIC)) };
        self.ask("a stable offset", &stable, 7);
    }

    fn join_wrongly(&mut self) {
        for session_timeout_ms in [-1, 0, 5999, 1_800_001] {
            let request = JoinGroupRequest { session_timeout_ms, ..join(GROUP, "", None) };
            self.ask(&format!("join with a session of {session_timeout_ms}"), &request, 9);
        }
        let rows = [
            ("no protocol", JoinGroupRequest { protocols: Vec::new(), ..join("wrong", "", None) }),
            ("no protocol type", JoinGroupRequest { protocol_type: "".into(), ..join("wrong", "", None) }),
        ];
        for (what, request) in rows {
            for version in [3, 6, 7, 9] {
                self.ask(&format!("join with {what}"), &request, version);
            }
        }
    }

    /// The id and generation of a member that has joined.
    fn joined(&mut self, question: &str, request: &JoinGroupRequest<'_>, version: i16) -> (String, i32) {
        let read = |response: JoinGroupResponse<'_>| {
            ((response.member_id.to_string(), response.generation_id), format!("{response:?}"))
        };
        let (joined, answer) = self.client.call(request, version, read).expect("JoinGroup is answered");
        self.answers.push(format!("{question}, version {version}: {}", masked(&answer)));
        joined
    }

    fn live_in_a_group(&mut self) {
        let (id, _) = self.joined("ask for an id", &join(GROUP, "", None), 9);
        let (id, generation) = self.joined("join", &join(GROUP, &id, None), 9);
        self.ask("a group that waits for its assignment", &describe(&[GROUP]), 6);
        let member = |request: OffsetCommitRequest<'static>, generation: i32| OffsetCommitRequest {
            generation_id_or_member_epoch: generation,
            member_id: id.clone().into(),
            ..request
        };
        self.ask("commit before the assignment", &member(commit(GROUP, TOPIC, 0, None), generation), 8);
        let wrong_rows = [
            ("of another generation", sync(&id, generation + 1, None)),
            ("of another member", sync("x", generation, None)),
            (
                "of another type",
                SyncGroupRequest { protocol_type: Some("x".into()), ..sync(&id, generation, None) },
            ),
            (
                "of another protocol",
                SyncGroupRequest { protocol_name: Some("sticky".into()), ..sync(&id, generation, None) },
            ),
            ("of no protocol", SyncGroupRequest { protocol_name: None, ..sync(&id, generation, None) }),
            (
                "of an instance",
                SyncGroupRequest { group_instance_id: Some("i".into()), ..sync(&id, generation, None) },
            ),
        ];
        for (what, request) in &wrong_rows {
            self.ask(&format!("a sync {what}"), request, 5);
        }
        self.ask("join again unchanged", &join(GROUP, &id, None), 9);
        self.ask("hand in the assignment", &sync(&id, generation, Some("part")), 5);
        self.ask("ask for the assignment again", &sync(&id, generation, None), 3);
        self.ask("a stable group", &describe(&[GROUP, "nowhere"]), 6);
        self.ask("a stable group", &describe(&[GROUP]), 4);
        for (what, request) in [
            ("as it should be", heartbeat(GROUP, &id, generation, None)),
            ("of another generation", heartbeat(GROUP, &id, generation - 1, None)),
            ("of another member", heartbeat(GROUP, "x", generation, None)),
            ("of nobody", heartbeat(GROUP, "", generation, None)),
            ("of an instance", heartbeat(GROUP, &id, generation, Some("i"))),
        ] {
            self.ask(&format!("a heartbeat {what}"), &request, 4);
        }
        self.ask("commit as a member", &member(commit(GROUP, TOPIC, 0, Some("m")), generation), 8);
        self.ask("commit of another generation", &member(commit(GROUP, TOPIC, 0, None), generation + 1), 8);
        self.ask("commit as a member without a generation", &member(commit(GROUP, TOPIC, 0, None), -1), 8);
        self.ask("commit as a stranger", &commit(GROUP, TOPIC, 0, None), 8);
        let stranger = OffsetCommitRequest {
            member_id: "x".into(),
            generation_id_or_member_epoch: generation,
            ..commit(GROUP, TOPIC, 0, None)
        };
        self.ask("commit as another member", &stranger, 9);
        self.ask("delete an offset that is read", &delete_offsets(GROUP, TOPIC, 0), 0);
        self.ask("delete an offset of no topic", &delete_offsets(GROUP, "unknown", 0), 0);
        self.ask("delete an offset of no partition", &delete_offsets(GROUP, TOPIC, 9), 0);
        let other = JoinGroupRequest { protocol_type: "connect".into(), ..join(GROUP, "", None) };
        self.ask("join with another type", &other, 9);
        let mut other = join(GROUP, "", None);
        other.protocols.truncate(1);
        other.protocols[0].name = "roundrobin".into();
        self.ask("join with another protocol", &other, 9);
        self.ask(
            "leave as somebody else and as nobody",
            &leave(GROUP, &[("x", None), ("", None), ("", Some("i"))]),
            5,
        );
        self.ask("leave", &leave(GROUP, &[(&id, None)]), 5);
        self.ask("leave again", &leave(GROUP, &[(&id, None)]), 5);
        self.ask("a group that was left", &describe(&[GROUP]), 6);
        self.ask("all offsets of the group", &fetch(GROUP, None), 7);
    }

    fn come_back_by_name(&mut self) {
        let (first, generation) = self.joined("join by name", &join("named", "", Some("i")), 9);
        let assign = |member: &str, generation| {
            let part = SyncGroupRequestAssignment {
                member_id: member.to_owned().into(),
                assignment: b"part".into(),
                ..Default::default()
            };
            SyncGroupRequest {
                group_id: "named".into(),
                generation_id: generation,
                member_id: member.to_owned().into(),
                group_instance_id: Some("i".into()),
                protocol_type: Some("consumer".into()),
                protocol_name: Some("range".into()),
                assignments: vec![part],
                ..Default::default()
            }
        };
        self.ask("hand in the assignment by name", &assign(&first, generation), 5);
        let (second, generation) = self.joined("come back by name", &join("named", "", Some("i")), 9);
        self.ask("the old one's heartbeat", &heartbeat("named", &first, generation, Some("i")), 4);
        self.ask(
            "the old one's heartbeat without its name",
            &heartbeat("named", &first, generation, None),
            4,
        );
        self.ask("the new one's heartbeat", &heartbeat("named", &second, generation, Some("i")), 4);
        self.ask("the old one's sync", &assign(&first, generation), 5);
        self.ask("the new one's sync", &assign(&second, generation), 5);
        self.ask("the old one joins", &join("named", &first, Some("i")), 9);
        let old_commit = OffsetCommitRequest {
            member_id: first.clone().into(),
            group_instance_id: Some("i".into()),
            generation_id_or_member_epoch: generation,
            ..commit("named", TOPIC, 0, None)
        };
        self.ask("the old one commits", &old_commit, 8);
        let (_, _) = self.joined("come back by name before version 9", &join("named", "", Some("i")), 8);
        self.ask("a group of names", &describe(&["named"]), 6);
        self.ask("the old one leaves", &leave("named", &[(&first, Some("i"))]), 5);
        self.ask("an administrator sends it away", &leave("named", &[("", Some("i"))]), 5);
    }

    fn administrate(&mut self) {
        for (states, types) in [
            (&[][..], &[][..]),
            (&["Empty"][..], &[][..]),
            (&["sTaBlE"][..], &[][..]),
            (&["Nonsense"][..], &[][..]),
            (&[][..], &["classic"][..]),
            (&[][..], &["CONSUMER"][..]),
        ] {
            let request = list(states, types);
            let answer = self.client.call(&request, 5, |response| {
                let groups = response.groups.iter();
                let mut groups: Vec<String> = groups
                    .map(|group| {
                        [&group.group_id, &group.group_state, &group.group_type, &group.protocol_type]
                            .map(|it| format!("{it:?}"))
                            .join(" ")
                    })
                    .collect();
                groups.sort();
                (response.error_code, groups)
            });
            self.answers.push(format!(
                "groups in {states:?} of {types:?}: {:?}",
                answer.expect("ListGroups is answered")
            ));
        }
        self.ask("delete an offset", &delete_offsets("alone", TOPIC, 1), 0);
        self.ask("what is left", &fetch("alone", Some(TOPIC)), 7);
        let request =
            DeleteGroupsRequest { groups_names: vec!["alone".into(), "named".into()], ..Default::default() };
        self.ask("delete groups", &request, 2);
        self.ask("nothing is left", &fetch("alone", None), 7);
    }
}
