//! Creating, growing and deleting topics, and what Metadata says of them.

use std::fs;

use klamm_tests::client::Client;
use klamm_tests::corpus;
use wire::ErrorCode;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::delete_topics_request::DeleteTopicState;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{CreatePartitionsRequest, DeleteTopicsRequest, MetadataRequest};

use crate::in_process::{Klamm, code, create, fetch, produce, topic_id, try_create, until};

/// Deletes a topic.
pub(crate) fn delete(client: &mut Client, topic: &str) {
    assert_eq!(try_delete(client, topic), ErrorCode::None);
}

fn try_delete(client: &mut Client, topic: &str) -> ErrorCode {
    let state = DeleteTopicState { name: Some(topic.into()), ..Default::default() };
    let request = DeleteTopicsRequest { topics: vec![state], timeout_ms: 10_000, ..Default::default() };
    client.call(&request, 6, |response| code(response.responses[0].error_code)).expect("an answer")
}

fn grow(client: &mut Client, topic: &str, count: i32) -> ErrorCode {
    let topic = CreatePartitionsTopic { name: topic.into(), count, assignments: None, ..Default::default() };
    let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    client.call(&request, 3, |response| code(response.results[0].error_code)).expect("an answer")
}

/// Error and number of partitions that Metadata tells.
fn ask(client: &mut Client, topic: &str, allow_auto_topic_creation: bool) -> (ErrorCode, usize) {
    let wanted = MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
    let request =
        MetadataRequest { topics: Some(vec![wanted]), allow_auto_topic_creation, ..Default::default() };
    client
        .call(&request, 9, |response| {
            (code(response.topics[0].error_code), response.topics[0].partitions.len())
        })
        .expect("an answer")
}

#[test]
fn asking_for_a_topic_creates_it_where_both_sides_want_that() {
    let klamm = Klamm::start(&["num.partitions=4"]);
    let mut client = klamm.client();
    assert_eq!(ask(&mut client, "new", false), (ErrorCode::UnknownTopicOrPartition, 0));
    assert_eq!(ask(&mut client, "new", true), (ErrorCode::None, 4));
    assert_eq!(ask(&mut client, "il legal", true).0, ErrorCode::InvalidTopicException);
    let klamm = Klamm::start(&["auto.create.topics.enable=false"]);
    assert_eq!(ask(&mut klamm.client(), "new", true), (ErrorCode::UnknownTopicOrPartition, 0));
}

#[test]
fn illegal_topics_are_refused_with_kafkas_errors() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.client();
    create(&mut client, "a.b", 1, &[]);
    let long = "n".repeat(250);
    let rows: [(&str, i32, i16, ErrorCode); 12] = [
        ("", 1, 1, ErrorCode::InvalidTopicException),
        (".", 1, 1, ErrorCode::InvalidTopicException),
        ("..", 1, 1, ErrorCode::InvalidTopicException),
        ("../../etc", 1, 1, ErrorCode::InvalidTopicException),
        ("a b", 1, 1, ErrorCode::InvalidTopicException),
        (&long, 1, 1, ErrorCode::InvalidTopicException),
        ("a_b", 1, 1, ErrorCode::InvalidTopicException),
        ("a.b", 1, 1, ErrorCode::TopicAlreadyExists),
        ("n", 0, 1, ErrorCode::InvalidPartitions),
        ("n", i32::MAX, 1, ErrorCode::PolicyViolation),
        ("n", 1, 2, ErrorCode::InvalidReplicationFactor),
        ("n", 1, 0, ErrorCode::InvalidReplicationFactor),
    ];
    for (topic, partitions, replicas, error) in rows {
        assert_eq!(try_create(&mut client, topic, partitions, replicas, &[]).0, error, "{topic:?}");
    }
    assert_eq!(try_create(&mut client, "n", 1, 1, &[("no.such", "1")]).0, ErrorCode::InvalidConfig);
    assert_eq!(try_create(&mut client, &"n".repeat(249), 1, 1, &[]).0, ErrorCode::None);
}

#[test]
fn a_topic_grows_but_never_shrinks() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 2);
    assert_eq!(grow(&mut client, "t", 5), ErrorCode::None);
    assert_eq!(ask(&mut client, "t", false), (ErrorCode::None, 5));
    assert_eq!(grow(&mut client, "t", 5), ErrorCode::InvalidPartitions);
    assert_eq!(grow(&mut client, "t", 1), ErrorCode::InvalidPartitions);
    assert_eq!(grow(&mut client, "other", 2), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn a_deleted_topic_is_gone_and_one_of_its_name_is_another() {
    let mut klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    produce(&mut client, "t", &[b"old"]);
    let old = topic_id(&mut client, "t").expect("it exists");
    delete(&mut client, "t");
    assert_eq!(topic_id(&mut client, "t"), Err(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(try_delete(&mut client, "t"), ErrorCode::UnknownTopicOrPartition);
    create(&mut client, "t", 1, &[]);
    assert_ne!(topic_id(&mut client, "t"), Ok(old));
    assert_eq!(produce(&mut client, "t", &[b"new"]), 0);
    drop(client);
    klamm.restart();
    let stored = fetch(&mut klamm.client(), "t", 0).1;
    assert!(stored.windows(3).any(|bytes| bytes == b"new"));
    assert!(!stored.windows(3).any(|bytes| bytes == b"old"));
}

#[test]
fn deletion_can_be_switched_off() {
    let klamm = Klamm::start(&["delete.topic.enable=false"]);
    let mut client = klamm.with_topic("t", 1);
    assert_eq!(try_delete(&mut client, "t"), ErrorCode::TopicDeletionDisabled);
}

/// What a kill between a deletion and the renaming of the log leaves: the topic is gone, its log is still there.
#[test]
fn the_log_of_a_deleted_topic_does_not_stand_in_the_way_of_one_of_its_name() {
    let mut klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    produce(&mut client, "t", &[b"old"]);
    let log = klamm.directory().join("data/t-0");
    let kept = klamm.directory().join("kept");
    klamm.restart();
    corpus::copy_directory(&log, &kept);
    delete(&mut klamm.client(), "t");
    klamm.restart();
    corpus::copy_directory(&kept, &log);
    klamm.restart();

    let mut client = klamm.with_topic("t", 1);
    assert_eq!(fetch(&mut client, "t", 0), (ErrorCode::None, Vec::new()), "nothing of the old topic shows");
    assert_eq!(produce(&mut client, "t", &[b"new"]), 0);
    let names = fs::read_dir(klamm.directory().join("data")).expect("the data directory").flatten();
    let mut strays = names.filter(|entry| entry.file_name().to_string_lossy().ends_with("-stray"));
    let stray = strays.next().expect("the old log is set aside").path();
    let old = fs::read(stray.join("00000000000000000000.log")).expect("with its records");
    assert!(old.windows(3).any(|bytes| bytes == b"old"));
}

/// Names of the metadata log's files that end so.
fn metadata_files(klamm: &Klamm, suffix: &str) -> Vec<String> {
    let dir = klamm.directory().join("data/__cluster_metadata-0");
    let names = std::fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

#[test]
fn the_metadata_log_is_cut_behind_its_snapshots_and_every_topic_is_still_there() {
    let mut klamm = Klamm::start(&[
        "metadata.log.max.record.bytes.between.snapshots=1",
        "metadata.max.retention.bytes=0",
        "metadata.log.segment.ms=1",
        "log.retention.check.interval.ms=10",
    ]);
    let mut client = klamm.client();
    for number in 0..20 {
        create(&mut client, &format!("t{number}"), 1, &[]);
    }
    until("the cut", || !metadata_files(&klamm, ".log").contains(&"00000000000000000000.log".to_owned()));
    // Those before it go with the next look at them.
    until("only the latest snapshot", || metadata_files(&klamm, ".checkpoint").len() == 1);
    klamm.restart();
    let mut client = klamm.client();
    for number in 0..20 {
        topic_id(&mut client, &format!("t{number}")).expect("the topic is there");
    }
}

#[test]
fn a_damaged_record_in_the_middle_of_the_metadata_log_is_refused_and_takes_no_topic_away() {
    let mut klamm = Klamm::start(&[]);
    let mut client = klamm.client();
    for name in ["first", "second", "third"] {
        create(&mut client, name, 1, &[]);
    }
    let file = "data/__cluster_metadata-0/00000000000000000000.log";
    let flip = |directory: &std::path::Path, topic: &[u8]| {
        let path = directory.join(file);
        let mut bytes = fs::read(&path).expect("read");
        let at = bytes.windows(topic.len()).position(|window| window == topic).expect("the topic's record");
        bytes[at] ^= 0x20;
        fs::write(&path, &bytes).expect("written");
        bytes
    };
    let mut damaged = Vec::new();
    let said = klamm.refusal_after(|directory| damaged = flip(directory, b"second"));
    assert!(said.contains("__cluster_metadata-0") && said.contains("at byte"), "{said}");
    assert!(fs::read(klamm.directory().join(file)).expect("read") == damaged, "the file stays as it is");
    // The byte is put back.
    klamm.restart_after(|directory| drop(flip(directory, b"Second")));
    let mut client = klamm.client();
    for name in ["first", "second", "third"] {
        topic_id(&mut client, name).expect("the topic is there");
    }
}
