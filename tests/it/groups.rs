//! Classic groups over a socket: joining, staying, leaving, and what administrators see.

use klamm_tests::client::Client;
use wire::ErrorCode;
use wire::header::ResponseHeader;
use wire::message::ApiMessage;
use wire::messages::join_group_request::JoinGroupRequestProtocol;
use wire::messages::leave_group_request::MemberIdentity;
use wire::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use wire::messages::sync_group_request::SyncGroupRequestAssignment;
use wire::messages::{
    DeleteGroupsRequest, DeleteTopicsRequest, DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest,
    SyncGroupRequest,
};
use wire::primitives::Reader;
use wire::records::{ConsumerProtocolSubscription, encode_versioned};

use crate::in_process::{Klamm, code, until};
use crate::offsets::{commit, fetch, find, request as commit_request, send as send_commit};

/// No member waits longer than it has to.
const AT_ONCE: &str = "group.initial.rebalance.delay.ms=0";

/// One consumer with a connection of its own.
struct Member {
    client: Client,
    group: &'static str,
    instance: Option<&'static str>,
    id: String,
    generation: i32,
}

/// What JoinGroup answered.
#[derive(Debug, PartialEq)]
struct Joined {
    error: ErrorCode,
    protocol: Option<String>,
    leader: String,
    skip_assignment: bool,
    members: Vec<String>,
}

impl Member {
    fn new(klamm: &Klamm, group: &'static str) -> Self {
        Self { client: klamm.client(), group, instance: None, id: String::new(), generation: -1 }
    }

    fn request(&self) -> JoinGroupRequest<'static> {
        let subscription = ConsumerProtocolSubscription { topics: vec!["t".into()], ..Default::default() };
        let metadata = encode_versioned(&subscription, 1).expect("it is written");
        let protocol = JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: metadata.into(),
            ..Default::default()
        };
        JoinGroupRequest {
            group_id: self.group.into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            member_id: self.id.clone().into(),
            group_instance_id: self.instance.map(Into::into),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..Default::default()
        }
    }

    fn take(&mut self, response: &JoinGroupResponse<'_>) -> Joined {
        self.id = response.member_id.to_string();
        self.generation = response.generation_id;
        Joined {
            error: code(response.error_code),
            protocol: response.protocol_name.as_deref().map(ToOwned::to_owned),
            leader: response.leader.to_string(),
            skip_assignment: response.skip_assignment,
            members: response.members.iter().map(|member| member.member_id.to_string()).collect(),
        }
    }

    /// One JoinGroup in a version, and its answer.
    fn join_once(&mut self, version: i16) -> Joined {
        let sent = self.client.send(&self.request(), version).expect("sent");
        self.joined(sent, version)
    }

    /// Asks for an id, if there is none, and then to be let in. The answer may be long in coming.
    fn begin_to_join(&mut self) -> i32 {
        if self.id.is_empty() && self.instance.is_none() {
            assert_eq!(self.join_once(9).error, ErrorCode::MemberIdRequired);
        }
        self.client.send(&self.request(), 9).expect("sent")
    }

    fn joined(&mut self, sent: i32, version: i16) -> Joined {
        let frame = self.client.receive_frame().expect("an answer");
        let mut reader = Reader::new(&frame);
        let version_of_header = JoinGroupRequest::KEY.response_header_version(version);
        let header = ResponseHeader::decode(&mut reader, version_of_header).expect("a header");
        assert_eq!(header.correlation_id, sent);
        let response = JoinGroupResponse::decode(&mut reader, version).expect("a response");
        self.take(&response)
    }

    fn join(&mut self) -> Joined {
        let sent = self.begin_to_join();
        self.joined(sent, 9)
    }

    /// Error and assignment.
    fn sync(&mut self, version: i16, assignments: &[(&str, &'static str)]) -> (ErrorCode, String) {
        let assignment = |(member, part): &(&str, &'static str)| SyncGroupRequestAssignment {
            member_id: (*member).to_owned().into(),
            assignment: part.as_bytes().into(),
            ..Default::default()
        };
        let request = SyncGroupRequest {
            group_id: self.group.into(),
            generation_id: self.generation,
            member_id: self.id.clone().into(),
            group_instance_id: self.instance.filter(|_| version >= 3).map(Into::into),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: assignments.iter().map(assignment).collect(),
            ..Default::default()
        };
        self.client
            .call(&request, version, |response| {
                let assignment = String::from_utf8_lossy(&response.assignment).into_owned();
                (code(response.error_code), assignment)
            })
            .expect("an answer")
    }

    fn heartbeat(&mut self, version: i16) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: self.group.into(),
            generation_id: self.generation,
            member_id: self.id.clone().into(),
            group_instance_id: self.instance.filter(|_| version >= 3).map(Into::into),
            ..Default::default()
        };
        self.client.call(&request, version, |response| code(response.error_code)).expect("an answer")
    }

    fn leave(&mut self, version: i16) -> ErrorCode {
        let member = MemberIdentity { member_id: self.id.clone().into(), ..Default::default() };
        let request = LeaveGroupRequest {
            group_id: self.group.into(),
            member_id: if version < 3 { self.id.clone().into() } else { "".into() },
            members: if version < 3 { Vec::new() } else { vec![member] },
            ..Default::default()
        };
        self.client
            .call(&request, version, |response| match response.members.first() {
                Some(member) => code(member.error_code),
                None => code(response.error_code),
            })
            .expect("an answer")
    }

    fn commit(&mut self, offset: i64) -> ErrorCode {
        let request = OffsetCommitRequest {
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone().into(),
            ..commit_request(self.group, "t", 0, offset, "a remark")
        };
        send_commit(&mut self.client, &request, 9)
    }
}

/// A broker with a topic, and a group with one stable member.
fn stable(overrides: &[&str]) -> (Klamm, Member) {
    let all: Vec<&str> = overrides.iter().copied().chain([AT_ONCE]).collect();
    let klamm = Klamm::start(&all);
    find(&mut klamm.with_topic("t", 2), "g");
    let mut member = Member::new(&klamm, "g");
    let joined = member.join();
    assert_eq!(
        (joined.error, &joined.leader, &joined.members),
        (ErrorCode::None, &member.id, &vec![member.id.clone()])
    );
    let own = member.id.clone();
    assert_eq!(member.sync(5, &[(&own, "A")]), (ErrorCode::None, "A".to_owned()));
    (klamm, member)
}

/// Id, state, protocol type and type of each group, in order.
fn list(client: &mut Client, states: &[&'static str], types: &[&'static str]) -> Vec<[String; 4]> {
    let request = ListGroupsRequest {
        states_filter: states.iter().map(|&state| state.into()).collect(),
        types_filter: types.iter().map(|&kind| kind.into()).collect(),
        ..Default::default()
    };
    let mut listed = client
        .call(&request, 5, |response| {
            assert_eq!(code(response.error_code), ErrorCode::None);
            let groups = response.groups.iter();
            let row = groups.map(|group| {
                [&group.group_id, &group.group_state, &group.protocol_type, &group.group_type]
                    .map(ToString::to_string)
            });
            row.collect::<Vec<_>>()
        })
        .expect("an answer");
    listed.sort();
    listed
}

/// Error, state, protocol, and member ids with their assignments.
fn describe(
    client: &mut Client,
    group: &'static str,
    version: i16,
) -> (ErrorCode, String, String, Vec<(String, String)>) {
    let request = DescribeGroupsRequest { groups: vec![group.into()], ..Default::default() };
    client
        .call(&request, version, |response| {
            let group = &response.groups[0];
            let member = |member: &wire::messages::describe_groups_response::DescribedGroupMember<'_>| {
                let assignment = String::from_utf8_lossy(&member.member_assignment).into_owned();
                (member.member_id.to_string(), assignment)
            };
            let members = group.members.iter().map(member).collect();
            (code(group.error_code), group.group_state.to_string(), group.protocol_data.to_string(), members)
        })
        .expect("an answer")
}

fn delete(client: &mut Client, group: &'static str) -> ErrorCode {
    let request = DeleteGroupsRequest { groups_names: vec![group.into()], ..Default::default() };
    client.call(&request, 2, |response| code(response.results[0].error_code)).expect("an answer")
}

fn delete_offset(client: &mut Client, group: &'static str, topic: &'static str) -> ErrorCode {
    let partitions = vec![OffsetDeleteRequestPartition { partition_index: 0 }];
    let topics = vec![OffsetDeleteRequestTopic { name: topic.into(), partitions }];
    let request = OffsetDeleteRequest { group_id: group.into(), topics };
    client
        .call(&request, 0, |response| match response.topics.first() {
            Some(topic) => code(topic.partitions[0].error_code),
            None => code(response.error_code),
        })
        .expect("an answer")
}

#[test]
fn two_members_join_and_each_gets_its_part() {
    let (klamm, mut first) = stable(&[]);
    let mut second = Member::new(&klamm, "g");
    let second_asked = second.begin_to_join();
    until("the rebalance", || first.heartbeat(4) == ErrorCode::RebalanceInProgress);
    let first_joined = first.join();
    let second_joined = second.joined(second_asked, 9);
    assert_eq!((first.generation, second.generation), (2, 2));
    assert_eq!((first_joined.leader.as_str(), second_joined.leader.as_str()), (&*first.id, &*first.id));
    assert_eq!((first_joined.members.len(), second_joined.members.len()), (2, 0));
    let (one, other) = (first.id.clone(), second.id.clone());
    let parts = [(&*one, "A"), (&*other, "B")];
    assert_eq!(first.sync(5, &parts), (ErrorCode::None, "A".to_owned()));
    assert_eq!(second.sync(5, &[]), (ErrorCode::None, "B".to_owned()));
    assert_eq!((first.heartbeat(4), second.heartbeat(4)), (ErrorCode::None, ErrorCode::None));
    assert_eq!((second.commit(7), second.leave(5)), (ErrorCode::None, ErrorCode::None));
    assert_eq!(first.heartbeat(4), ErrorCode::RebalanceInProgress);
    assert_eq!(second.heartbeat(4), ErrorCode::UnknownMemberId);
    assert_eq!(first.join().members, [one]);
}

#[test]
fn every_version_joins_syncs_beats_and_leaves() {
    let klamm = Klamm::start(&[AT_ONCE]);
    find(&mut klamm.with_topic("t", 1), "g");
    for version in 0..=9 {
        let mut member = Member::new(&klamm, "g");
        if version >= 4 {
            assert_eq!(member.join_once(version).error, ErrorCode::MemberIdRequired, "version {version}");
        }
        let joined = member.join_once(version);
        assert_eq!(
            (joined.error, joined.protocol.as_deref()),
            (ErrorCode::None, Some("range")),
            "version {version}"
        );
        let own = member.id.clone();
        let synced = member.sync(version.min(5), &[(&own, "A")]);
        assert_eq!(synced, (ErrorCode::None, "A".to_owned()), "version {version}");
        assert_eq!(member.heartbeat(version.min(4)), ErrorCode::None, "version {version}");
        assert_eq!(member.leave(version.min(5)), ErrorCode::None, "version {version}");
        assert_eq!(member.heartbeat(version.min(4)), ErrorCode::UnknownMemberId, "version {version}");
    }
}

#[test]
fn a_group_goes_on_after_a_restart_where_it_was() {
    let (mut klamm, mut member) = stable(&[]);
    assert_eq!(member.commit(7), ErrorCode::None);
    klamm.restart();
    find(&mut klamm.client(), "g");
    member.client = klamm.client();
    assert_eq!(member.heartbeat(4), ErrorCode::None);
    assert_eq!(member.sync(5, &[]), (ErrorCode::None, "A".to_owned()));
    assert_eq!(member.commit(8), ErrorCode::None);
    assert_eq!(fetch(&mut member.client, "g", "t", 0).1, 8);
}

#[test]
fn a_member_that_is_silent_is_removed_and_the_group_is_empty() {
    let (klamm, mut member) = stable(&["group.min.session.timeout.ms=1"]);
    let request = JoinGroupRequest { session_timeout_ms: 20, ..member.request() };
    member
        .client
        .call(&request, 9, |response| assert_eq!(code(response.error_code), ErrorCode::None))
        .expect("an answer");
    let mut client = klamm.client();
    until("the end of the session", || describe(&mut client, "g", 6).1 == "Empty");
    assert_eq!(member.heartbeat(4), ErrorCode::UnknownMemberId);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_the_one_it_was() {
    let klamm = Klamm::start(&[AT_ONCE]);
    find(&mut klamm.with_topic("t", 1), "g");
    let mut first = Member { instance: Some("i"), ..Member::new(&klamm, "g") };
    assert_eq!(first.join().error, ErrorCode::None);
    let own = first.id.clone();
    assert_eq!(first.sync(5, &[(&own, "A")]).1, "A");
    let mut again = Member { instance: Some("i"), ..Member::new(&klamm, "g") };
    let joined = again.join();
    assert!(joined.skip_assignment && again.id.starts_with("i-") && again.id != first.id);
    assert_eq!(again.generation, 1);
    assert_eq!(again.sync(5, &[]), (ErrorCode::None, "A".to_owned()));
    assert_eq!(first.heartbeat(4), ErrorCode::FencedInstanceId);
    assert_eq!(first.sync(5, &[]).0, ErrorCode::FencedInstanceId);
}

#[test]
fn groups_are_listed_described_and_deleted() {
    let (klamm, mut member) = stable(&[]);
    let mut client = klamm.client();
    commit(&mut client, "simple", "t", 0, 5);
    let row = |id: &str, state: &str, protocol: &str| [id, state, protocol, "classic"].map(ToOwned::to_owned);
    let (stable, simple) = (row("g", "Stable", "consumer"), row("simple", "Empty", ""));
    assert_eq!(list(&mut client, &[], &[]), [stable.clone(), simple.clone()]);
    assert_eq!(list(&mut client, &["STABLE"], &[]), [stable]);
    assert_eq!(list(&mut client, &["Empty", "Dead"], &["Classic"]), [simple]);
    assert_eq!(list(&mut client, &[], &["consumer"]), Vec::<[String; 4]>::new());
    for version in 0..=6 {
        let described = describe(&mut client, "g", version);
        let members = vec![(member.id.clone(), "A".to_owned())];
        assert_eq!(described, (ErrorCode::None, "Stable".to_owned(), "range".to_owned(), members));
        let (error, state, ..) = describe(&mut client, "none", version);
        let not_found = if version < 6 { ErrorCode::None } else { ErrorCode::GroupIdNotFound };
        assert_eq!((error, state.as_str()), (not_found, "Dead"), "version {version}");
    }
    assert_eq!(delete(&mut client, "g"), ErrorCode::NonEmptyGroup);
    assert_eq!(delete(&mut client, "none"), ErrorCode::GroupIdNotFound);
    assert_eq!(delete(&mut client, "simple"), ErrorCode::None);
    assert_eq!(fetch(&mut client, "simple", "t", 0).1, -1);
    assert_eq!(member.leave(5), ErrorCode::None);
    assert_eq!(delete(&mut client, "g"), ErrorCode::None);
    assert_eq!(list(&mut client, &[], &[]), Vec::<[String; 4]>::new());
}

#[test]
fn offsets_are_deleted_where_nobody_reads_the_topic() {
    let (klamm, mut member) = stable(&[]);
    let mut client = klamm.with_topic("u", 1);
    assert_eq!(member.commit(7), ErrorCode::None);
    assert_eq!(delete_offset(&mut client, "g", "t"), ErrorCode::GroupSubscribedToTopic);
    assert_eq!(delete_offset(&mut client, "g", "u"), ErrorCode::None);
    assert_eq!(delete_offset(&mut client, "g", "nowhere"), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(delete_offset(&mut client, "none", "t"), ErrorCode::GroupIdNotFound);
    assert_eq!(member.leave(5), ErrorCode::None);
    assert_eq!(delete_offset(&mut client, "g", "t"), ErrorCode::None);
    assert_eq!(fetch(&mut client, "g", "t", 0).1, -1);
}

#[test]
fn offsets_go_with_their_topic() {
    let (klamm, mut member) = stable(&[]);
    assert_eq!(member.commit(7), ErrorCode::None);
    let mut client = klamm.client();
    let request =
        DeleteTopicsRequest { topic_names: vec!["t".into()], timeout_ms: 1000, ..Default::default() };
    client.call(&request, 5, |response| assert_eq!(response.responses[0].error_code, 0)).expect("an answer");
    until("the end of the offset", || fetch(&mut client, "g", "t", 0).1 == -1);
}

#[test]
fn a_member_of_another_time_commits_nothing() {
    let (klamm, mut member) = stable(&[]);
    let mut client = klamm.client();
    assert_eq!(commit(&mut client, "g", "t", 0, 1), ErrorCode::UnknownMemberId, "there are members");
    member.generation += 1;
    assert_eq!(
        (member.commit(2), member.heartbeat(4)),
        (ErrorCode::IllegalGeneration, ErrorCode::IllegalGeneration)
    );
    member.generation -= 1;
    let mut stranger = Member { id: "x".to_owned(), generation: 1, ..Member::new(&klamm, "g") };
    let unknown = ErrorCode::UnknownMemberId;
    assert_eq!((stranger.commit(3), stranger.heartbeat(4)), (unknown, unknown));
    let mut nowhere = Member { id: "x".to_owned(), generation: 1, ..Member::new(&klamm, "none") };
    assert_eq!((nowhere.commit(3), nowhere.heartbeat(4)), (ErrorCode::GroupIdNotFound, unknown));
    assert_eq!((nowhere.sync(5, &[]).0, nowhere.leave(5)), (unknown, unknown));
    assert_eq!(nowhere.join_once(9).error, unknown);
    assert_eq!(fetch(&mut client, "g", "t", 0).1, -1);
}

#[test]
fn what_is_no_group_and_no_session_is_refused() {
    let klamm = Klamm::start(&[AT_ONCE]);
    find(&mut klamm.with_topic("t", 1), "g");
    let mut nameless = Member::new(&klamm, "");
    let invalid = ErrorCode::InvalidGroupId;
    assert_eq!(nameless.join_once(9).error, invalid);
    assert_eq!(
        (nameless.sync(5, &[]).0, nameless.heartbeat(4), nameless.leave(5)),
        (invalid, invalid, invalid)
    );
    assert_eq!(delete_offset(&mut klamm.client(), "", "t"), invalid);
    let mut member = Member::new(&klamm, "g");
    for session_timeout_ms in [-1, 0, 5999, 1_800_001] {
        let request = JoinGroupRequest { session_timeout_ms, ..member.request() };
        let answered =
            member.client.call(&request, 9, |response| code(response.error_code)).expect("an answer");
        assert_eq!(answered, ErrorCode::InvalidSessionTimeout, "{session_timeout_ms}");
    }
}

#[test]
fn a_stop_lets_go_of_those_who_wait_to_join() {
    let klamm = Klamm::start(&["group.initial.rebalance.delay.ms=600000"]);
    find(&mut klamm.with_topic("t", 1), "g");
    let mut member = Member::new(&klamm, "g");
    member.begin_to_join();
    let began = std::time::Instant::now();
    drop(klamm);
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "it waited for the member");
}
