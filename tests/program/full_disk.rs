//! A disk without room, a real one: the broker starts on it, serves what is stored, and goes on once there is room.

use std::process::Command;
use std::thread;
use std::time::Duration;

use klamm_tests::binaries;
use klamm_tests::broker::{self, Running};
use klamm_tests::client::{Client, batch};
use klamm_tests::properties::Properties;
use klamm_tests::small_disk::SmallDisk;
use log_engine::batch::Compression;
use log_engine::types::TimestampMs;
use wire::ErrorCode;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{CreateTopicsRequest, MetadataRequest};

const NOW: TimestampMs = TimestampMs::new(1_700_000_000_000);

fn start(disk: &SmallDisk, properties: &Properties) -> Running {
    let mut command = Command::new(binaries::klamm());
    command.arg("--config").arg(properties.write());
    broker::start_command(disk.sees(&command), properties)
}

fn connect(klamm: &Running) -> Client {
    Client::connect(klamm.bootstrap()).expect("the broker accepts a connection")
}

fn create(client: &mut Client, topic: &str, configs: &[(&str, &str)]) -> ErrorCode {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
        ..Default::default()
    });
    let topic = CreatableTopic {
        name: topic.into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: configs.collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let code = client.call(&request, 7, |response| response.topics[0].error_code);
    ErrorCode::from_code(code.expect("an answer")).expect("a known error")
}

fn produce(client: &mut Client, bytes: usize) -> (ErrorCode, i64) {
    let records = batch(Compression::None, NOW, &[&vec![b'v'; bytes]]);
    let (code, offset) = client
        .produce("t", 0, -1, &records, |answer| (answer.error_code, answer.base_offset))
        .expect("an answer");
    (ErrorCode::from_code(code).expect("a known error"), offset)
}

/// Error, start, end and bytes of one fetch.
fn fetch(client: &mut Client, offset: i64) -> (i16, i64, i64, Vec<u8>) {
    client
        .fetch("t", 0, offset, 1 << 20, |answer| {
            let records = answer.records.as_ref().and_then(|records| records.inline()).unwrap_or_default();
            (answer.error_code, answer.log_start_offset, answer.high_watermark, records.to_vec())
        })
        .expect("an answer")
}

fn leader_and_epoch(client: &mut Client) -> (i32, i32) {
    let wanted = MetadataRequestTopic { name: Some("t".into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![wanted]), ..Default::default() };
    client
        .call(&request, 12, |response| {
            let partition = &response.topics[0].partitions[0];
            (partition.leader_id, partition.leader_epoch)
        })
        .expect("an answer")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} does not come");
}

#[test]
fn a_start_on_a_full_disk_serves_what_is_stored_and_takes_records_once_there_is_room() {
    for flush in ["os", "sync"] {
        let place = tempfile::tempdir().expect("a temporary directory");
        let data = place.path().join("data");
        let Some(disk) = SmallDisk::mount(&data, 8 << 20) else { return };
        let properties = Properties::new(&data).with("klamm.flush.policy", flush);
        let klamm = start(&disk, &properties);
        let mut client = connect(&klamm);
        assert_eq!(create(&mut client, "t", &[]), ErrorCode::None);
        assert_eq!(produce(&mut client, 100_000), (ErrorCode::None, 0));
        klamm.kill();
        disk.fill();

        // Twice: what a start on a full disk leaves is no worse than what it found.
        let mut epochs = Vec::new();
        for _ in 0..2 {
            let klamm = start(&disk, &properties);
            let mut client = connect(&klamm);
            let (leader, epoch) = leader_and_epoch(&mut client);
            assert_eq!(leader, 1);
            epochs.push(epoch);
            let (error, start, end, records) = fetch(&mut client, 0);
            assert_eq!((error, start, end), (0, 0, 1), "{flush}");
            assert!(records.len() > 100_000);
            assert_eq!(produce(&mut client, 10).0, ErrorCode::KafkaStorageError);
            assert_eq!(create(&mut client, "u", &[]), ErrorCode::KafkaStorageError);
            assert!(klamm.output().contains("until there is room"), "it says what it waits for");
            klamm.kill();
        }
        assert_eq!(epochs[0], epochs[1], "no epoch is shown before it is durable");

        let klamm = start(&disk, &properties);
        let mut client = connect(&klamm);
        assert_eq!(produce(&mut client, 10).0, ErrorCode::KafkaStorageError);
        disk.make_room();
        until("room", || produce(&mut client, 10) == (ErrorCode::None, 1));
        assert!(leader_and_epoch(&mut client).1 > epochs[0], "what comes now comes under a new epoch");
        assert_eq!(create(&mut client, "u", &[]), ErrorCode::None);
        klamm.stop();
        let klamm = start(&disk, &properties);
        assert_eq!(fetch(&mut connect(&klamm), 0).2, 2);
        klamm.stop();
    }
}

#[test]
fn a_clean_stop_before_the_disk_was_filled_is_a_clean_start_once_there_is_room() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    let Some(disk) = SmallDisk::mount(&data, 8 << 20) else { return };
    let properties = Properties::new(&data);
    let klamm = start(&disk, &properties);
    let mut client = connect(&klamm);
    assert_eq!(create(&mut client, "t", &[]), ErrorCode::None);
    assert_eq!(produce(&mut client, 1000), (ErrorCode::None, 0));
    klamm.stop();
    disk.fill();
    let klamm = start(&disk, &properties);
    let mut client = connect(&klamm);
    assert_eq!(fetch(&mut client, 0).2, 1);
    disk.make_room();
    until("room", || produce(&mut client, 10) == (ErrorCode::None, 1));
    klamm.stop();
    assert!(disk.directory().join(".kafka_cleanshutdown").exists(), "it stopped cleanly");
}

#[test]
fn retention_makes_room_on_a_full_disk() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    let Some(disk) = SmallDisk::mount(&data, 8 << 20) else { return };
    let properties = Properties::new(&data).with("log.retention.check.interval.ms", "3000");
    let klamm = start(&disk, &properties);
    let mut client = connect(&klamm);
    let configs =
        [("segment.bytes", "1048576"), ("retention.bytes", "2000000"), ("file.delete.delay.ms", "0")];
    assert_eq!(create(&mut client, "t", &configs), ErrorCode::None);
    until("an end of the room", || produce(&mut client, 400_000).0 == ErrorCode::KafkaStorageError);
    disk.fill();
    // The filler keeps what it has; whatever there is room for is what retention freed.
    let mut last = -1;
    until("room for what is new", || {
        let (error, offset) = produce(&mut client, 400_000);
        last = offset;
        error == ErrorCode::None
    });
    assert!(fetch(&mut client, last).1 > 0, "the log starts later than it did");
    klamm.kill();
}
