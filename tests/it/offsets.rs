//! Offsets that groups commit: kept over restarts, refused where they should be.

use std::path::Path;

use klamm_tests::client::Client;
use wire::ErrorCode;
use wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use wire::messages::{FindCoordinatorRequest, OffsetCommitRequest, OffsetFetchRequest};
use wire::primitives::Uuid;

use crate::in_process::{Klamm, code, topic_id};

/// Waits until the group has a coordinator that has loaded its state.
pub(crate) fn find(client: &mut Client, group: &str) {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.into()], ..Default::default() };
    let found =
        client.call(&request, 4, |response| code(response.coordinators[0].error_code)).expect("an answer");
    assert_eq!(found, ErrorCode::None);
    crate::in_process::until("the coordinator", || {
        fetch(client, group, "none", 0).0 != ErrorCode::CoordinatorLoadInProgress
    });
}

/// A commit of one offset, by nobody in particular.
pub(crate) fn request<'a>(
    group: &'a str,
    topic: &'a str,
    partition: i32,
    offset: i64,
    metadata: &'a str,
) -> OffsetCommitRequest<'a> {
    let partition = OffsetCommitRequestPartition {
        partition_index: partition,
        committed_offset: offset,
        committed_leader_epoch: 5,
        committed_metadata: Some(metadata.into()),
        ..Default::default()
    };
    let topic =
        OffsetCommitRequestTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
    OffsetCommitRequest { group_id: group.into(), topics: vec![topic], ..Default::default() }
}

pub(crate) fn send(client: &mut Client, request: &OffsetCommitRequest<'_>, version: i16) -> ErrorCode {
    let read = |response: wire::messages::OffsetCommitResponse<'_>| {
        code(response.topics[0].partitions[0].error_code)
    };
    client.call(request, version, read).expect("an answer")
}

pub(crate) fn commit(
    client: &mut Client,
    group: &str,
    topic: &str,
    partition: i32,
    offset: i64,
) -> ErrorCode {
    send(client, &request(group, topic, partition, offset, "a remark"), 8)
}

/// Error, offset, leader epoch and metadata of one partition.
pub(crate) fn fetch(
    client: &mut Client,
    group: &str,
    topic: &str,
    partition: i32,
) -> (ErrorCode, i64, i32, String) {
    let topic = OffsetFetchRequestTopic {
        name: topic.into(),
        partition_indexes: vec![partition],
        ..Default::default()
    };
    let request =
        OffsetFetchRequest { group_id: group.into(), topics: Some(vec![topic]), ..Default::default() };
    client
        .call(&request, 7, |response| match code(response.error_code) {
            ErrorCode::None => {
                let partition = &response.topics[0].partitions[0];
                let metadata = partition.metadata.as_deref().unwrap_or_default().to_owned();
                let error = code(partition.error_code);
                (error, partition.committed_offset, partition.committed_leader_epoch, metadata)
            }
            error => (error, -1, -1, String::new()),
        })
        .expect("an answer")
}

fn committed(offset: i64) -> (ErrorCode, i64, i32, String) {
    (ErrorCode::None, offset, 5, "a remark".to_owned())
}

fn nothing() -> (ErrorCode, i64, i32, String) {
    (ErrorCode::None, -1, -1, String::new())
}

#[test]
fn committed_offsets_are_kept_over_a_restart_and_a_crash() {
    let mut klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 2);
    find(&mut client, "g");
    for offset in 0..3 {
        assert_eq!(commit(&mut client, "g", "t", 1, 40 + offset), ErrorCode::None);
    }
    assert_eq!(fetch(&mut client, "g", "t", 1), committed(42));
    assert_eq!(fetch(&mut client, "g", "t", 0), nothing());
    assert_eq!(fetch(&mut client, "other", "t", 1), nothing());
    drop(client);
    klamm.restart();
    let mut client = klamm.client();
    find(&mut client, "g");
    assert_eq!(fetch(&mut client, "g", "t", 1), committed(42));
}

#[test]
fn every_version_of_a_commit_is_fetched_by_every_version_of_a_fetch() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    find(&mut client, "g");
    let id = topic_id(&mut client, "t").expect("it exists");
    for version in 2..=10 {
        let offset = 100 + i64::from(version);
        let mut commit = request("g", "t", 0, offset, "a remark");
        if version == 10 {
            commit.topics[0].name = "".into();
            commit.topics[0].topic_id = id;
        }
        assert_eq!(send(&mut client, &commit, version), ErrorCode::None, "version {version}");
        for fetch_version in 1..=10 {
            let (all, one) = (
                fetched(&mut client, id, fetch_version, true),
                fetched(&mut client, id, fetch_version, false),
            );
            assert_eq!(one, Some(offset), "version {fetch_version}");
            assert_eq!(all, if fetch_version == 1 { None } else { Some(offset) }, "version {fetch_version}");
        }
    }
}

/// The offset of the group's only partition; by asking for all that there is, or for it alone.
fn fetched(client: &mut Client, id: Uuid, version: i16, all: bool) -> Option<i64> {
    let (mut named, mut batched) = (None, None);
    if all && version == 1 {
        return None;
    }
    if !all {
        named = Some(vec![OffsetFetchRequestTopic {
            name: "t".into(),
            partition_indexes: vec![0],
            ..Default::default()
        }]);
        let name = if version < 10 { "t".into() } else { "".into() };
        let topic_id = if version < 10 { Uuid::ZERO } else { id };
        batched = Some(vec![OffsetFetchRequestTopics {
            name,
            topic_id,
            partition_indexes: vec![0],
            ..Default::default()
        }]);
    }
    let group = OffsetFetchRequestGroup { group_id: "g".into(), topics: batched, ..Default::default() };
    let request = if version < 8 {
        OffsetFetchRequest { group_id: "g".into(), topics: named, ..Default::default() }
    } else {
        OffsetFetchRequest { groups: vec![group], topics: Some(Vec::new()), ..Default::default() }
    };
    client
        .call(&request, version, |response| match response.groups.first() {
            Some(group) => Some(group.topics.first()?.partitions.first()?.committed_offset),
            None => Some(response.topics.first()?.partitions.first()?.committed_offset),
        })
        .expect("an answer")
}

#[test]
fn a_commit_that_is_wrong_gets_the_error_of_kafka_and_commits_nothing() {
    let klamm = Klamm::start(&["offset.metadata.max.bytes=10"]);
    let mut client = klamm.with_topic("t", 1);
    find(&mut client, "g");
    let of_a_member = OffsetCommitRequest {
        generation_id_or_member_epoch: 3,
        member_id: "m".into(),
        ..request("g", "t", 0, 1, "")
    };
    let unknown_id = {
        let mut request = request("g", "", 0, 1, "");
        request.topics[0].topic_id = Uuid([9; 16]);
        request
    };
    let rows = [
        ("unknown topic", request("g", "u", 0, 1, ""), 8, ErrorCode::UnknownTopicOrPartition),
        ("unknown partition", request("g", "t", 1, 1, ""), 8, ErrorCode::UnknownTopicOrPartition),
        ("unknown topic id", unknown_id, 10, ErrorCode::UnknownTopicId),
        ("metadata of eleven", request("g", "t", 0, 1, "0123456789a"), 8, ErrorCode::OffsetMetadataTooLarge),
        ("generation of no group", of_a_member, 8, ErrorCode::IllegalGeneration),
    ];
    for (what, request, version, error) in rows {
        assert_eq!(send(&mut client, &request, version), error, "{what}");
        assert_eq!(fetch(&mut client, "g", "t", 0), nothing(), "{what}");
    }
}

#[test]
fn offsets_go_once_they_are_older_than_they_are_kept() {
    let klamm = Klamm::start(&["offsets.retention.check.interval.ms=50"]);
    let mut client = klamm.with_topic("t", 2);
    find(&mut client, "g");
    let soon = OffsetCommitRequest { retention_time_ms: 1, ..request("g", "t", 0, 7, "") };
    assert_eq!(send(&mut client, &soon, 4), ErrorCode::None);
    assert_eq!(commit(&mut client, "g", "t", 1, 8), ErrorCode::None);
    crate::in_process::until("the end of the offset", || fetch(&mut client, "g", "t", 0) == nothing());
    assert_eq!(fetch(&mut client, "g", "t", 1), committed(8));
}

/// The story: a disk or an operator damages a record of the topic; the coordinator must not stay away for it.
#[test]
fn a_damaged_record_of_the_internal_topic_is_passed_over() {
    let mut klamm = Klamm::start(&["offsets.topic.num.partitions=1"]);
    let mut client = klamm.with_topic("t", 2);
    find(&mut client, "g");
    assert_eq!(commit(&mut client, "g", "t", 0, 7), ErrorCode::None);
    assert_eq!(commit(&mut client, "g", "t", 1, 8), ErrorCode::None);
    drop(client);
    klamm.restart_after(|directory| damage_first_key(&directory.join("data/__consumer_offsets-0")));
    let mut client = klamm.client();
    find(&mut client, "g");
    assert_eq!(fetch(&mut client, "g", "t", 0), nothing());
    assert_eq!(fetch(&mut client, "g", "t", 1), committed(8));
}

/// Makes the key of the first record one of a type that nobody knows, and the batch whole again.
fn damage_first_key(partition: &Path) {
    use log_engine::batch::{BatchView, HEADER_LEN};
    let path = partition.join("00000000000000000000.log");
    let mut bytes = std::fs::read(&path).expect("a segment");
    let size = BatchView::read(&bytes).expect("a batch").header().size_in_bytes();
    // Length, attributes, timestamp and offset deltas and the key's length are one byte each.
    let key = HEADER_LEN + 5;
    assert_eq!(bytes[key..key + 2], [0, 1], "the key's type");
    bytes[key] = 0x7f;
    let crc = BatchView::read(&bytes[..size]).expect("a batch").computed_crc();
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(&path, bytes).expect("written");
}
