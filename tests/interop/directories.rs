//! Data directories that are not as they were left: what Klamm answers is what Kafka answers.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use klamm_tests::client::{Client, batch};
use klamm_tests::oracle::{self, Oracle};
use klamm_tests::properties::Properties;
use log_engine::TimestampMs;
use log_engine::batch::Compression;
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{CreateTopicsRequest, ListOffsetsRequest, MetadataRequest};

use crate::travel::Departure::Clean;
use crate::travel::Host::{self, Kafka, Klamm};

const PARTITIONS: i32 = 4;

fn client(bootstrap: &str) -> Client {
    Client::connect(bootstrap.parse::<SocketAddr>().expect("an address")).expect("a connection")
}

fn create(client: &mut Client, topic: &str, num_partitions: i32) {
    let topic =
        CreatableTopic { name: topic.into(), num_partitions, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    client
        .call(&request, 7, |response| assert_eq!(response.topics[0].error_code, 0))
        .expect("the topic is created");
}

fn produce(client: &mut Client, partition: i32) -> (i16, i64) {
    let records = batch(Compression::None, TimestampMs::new(1_700_000_000_000), &[b"v"]);
    client
        .produce("t", partition, -1, &records, |answer| (answer.error_code, answer.base_offset))
        .expect("an answer")
}

fn fetch(client: &mut Client, partition: i32) -> i16 {
    client.fetch("t", partition, 0, 1 << 20, |answer| answer.error_code).expect("an answer")
}

fn latest_offset(client: &mut Client, partition_index: i32) -> (i16, i64) {
    const LATEST: i64 = -1;
    let partition = ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp: LATEST,
        ..Default::default()
    };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    client
        .call(&request, 7, |response| {
            let answer = &response.topics[0].partitions[0];
            (answer.error_code, answer.offset)
        })
        .expect("an answer")
}

/// Partition, error, leader, offline replicas.
fn metadata(client: &mut Client) -> Vec<(i32, i16, i32, Vec<i32>)> {
    let wanted = MetadataRequestTopic { name: Some("t".into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![wanted]), ..Default::default() };
    let mut partitions = client
        .call(&request, 12, |response| {
            let found = response.topics[0].partitions.iter();
            found
                .map(|p| (p.partition_index, p.error_code, p.leader_id, p.offline_replicas.to_vec()))
                .collect::<Vec<_>>()
        })
        .expect("an answer");
    partitions.sort();
    partitions
}

/// Everything that clients are told of the topic, a line for each partition.
fn answers(bootstrap: &str) -> Vec<String> {
    let mut client = client(bootstrap);
    let described = metadata(&mut client);
    let line = |(partition, error, leader, offline): &(i32, i16, i32, Vec<i32>)| {
        let (fetched, latest) = (fetch(&mut client, *partition), latest_offset(&mut client, *partition));
        let produced = produce(&mut client, *partition);
        format!(
            "partition {partition}: error {error} leader {leader} offline {offline:?}; fetch {fetched}, \
             latest {latest:?}, produce {produced:?}"
        )
    };
    described.iter().map(line).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// What a host answers on a copy of the two directories, of which `b` cannot be read.
fn answers_without_b(oracle: &Oracle, host: Host, made: &Path, properties: &Properties) -> Vec<String> {
    let root = tempfile::tempdir().expect("a directory");
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    copy(&made.join("a"), &a);
    copy(&made.join("b"), &b);
    fs::remove_file(b.join("meta.properties")).expect("removed");
    fs::create_dir(b.join("meta.properties")).expect("made");
    let properties = properties.clone().with("log.dirs", format!("{},{}", a.display(), b.display()));
    let broker = host.start(oracle, &properties);
    let answers = answers(broker.bootstrap());
    Clean.leave(broker);
    let in_a = (0..PARTITIONS).filter(|partition| a.join(format!("t-{partition}")).exists()).count();
    assert_eq!(in_a, 2, "{host:?} makes nothing in place of what it cannot reach");
    answers
}

/// Kafka answers for such a partition with KAFKA_STORAGE_ERROR (56) or NOT_LEADER_OR_FOLLOWER (6), one in one run and the other
/// in the next: with the first where the broker hears of its partition before it hears that nobody leads it.
fn settled(line: &str) -> String {
    line.replace("fetch 56", "fetch 6").replace("(56, -1)", "(6, -1)")
}

#[test]
fn partitions_of_a_directory_that_cannot_be_read_answer_as_kafkas_do() {
    let Some(oracle) = oracle::required() else { return };
    let root = tempfile::tempdir().expect("a directory");
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    let properties = Properties::new(&a).with("log.dirs", format!("{},{}", a.display(), b.display()));
    let broker = Klamm.start(oracle, &properties);
    let mut told = client(broker.bootstrap());
    create(&mut told, "t", PARTITIONS);
    for partition in 0..PARTITIONS {
        assert_eq!(produce(&mut told, partition), (0, 0));
    }
    Clean.leave(broker);
    let kafkas: Vec<_> =
        answers_without_b(oracle, Kafka, root.path(), &properties).iter().map(|line| settled(line)).collect();
    let ours = answers_without_b(oracle, Klamm, root.path(), &properties);
    assert_eq!(ours, kafkas);
    assert_eq!(kafkas.iter().filter(|line| line.contains("leader -1")).count(), 2, "{kafkas:?}");
}

#[test]
fn a_metadata_log_that_klamm_cut_behind_its_snapshots_opens_in_kafka() {
    let Some(oracle) = oracle::required() else { return };
    let root = tempfile::tempdir().expect("a directory");
    // The record is old: no retention may take it.
    let properties = Properties::new(&root.path().join("data")).with("log.retention.ms", "-1");
    let cutting = properties
        .clone()
        .with("metadata.log.max.record.bytes.between.snapshots", "1")
        .with("metadata.max.retention.bytes", "0")
        .with("metadata.log.segment.ms", "1")
        .with("log.retention.check.interval.ms", "10");
    let broker = Klamm.start(oracle, &cutting);
    let mut told = client(broker.bootstrap());
    create(&mut told, "t", PARTITIONS);
    assert_eq!(produce(&mut told, 0), (0, 0));
    for number in 0..10 {
        create(&mut told, &format!("more{number}"), 1);
    }
    let first = root.path().join("data/__cluster_metadata-0/00000000000000000000.log");
    assert!((0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        !first.exists()
    }));
    Clean.leave(broker);
    for host in [Kafka, Klamm] {
        let broker = host.start(oracle, &properties);
        let mut told = client(broker.bootstrap());
        assert_eq!(fetch(&mut told, 0), 0, "{host:?}");
        create(&mut told, &format!("by-{host:?}"), 1);
        Clean.leave(broker);
    }
}
