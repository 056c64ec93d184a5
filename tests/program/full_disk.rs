//! A disk without room, a real one: the broker starts on it, serves what is stored, and goes on once there is room.

use klamm_tests::client::Client;
use klamm_tests::own_disk::OwnDisk;
use klamm_tests::properties::Properties;
use wire::ErrorCode;
use wire::messages::MetadataRequest;
use wire::messages::metadata_request::MetadataRequestTopic;

use crate::requests::{connect, create, fetch, produce, start, until};

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

#[test]
fn a_start_on_a_full_disk_serves_what_is_stored_and_takes_records_once_there_is_room() {
    for flush in ["os", "sync"] {
        let place = tempfile::tempdir().expect("a temporary directory");
        let data = place.path().join("data");
        let Some(disk) = OwnDisk::mount(&data, 8 << 20) else { return };
        let properties = Properties::new(&data).with("klamm.flush.policy", flush);
        let klamm = start(&disk, &properties);
        let mut client = connect(&klamm);
        assert_eq!(create(&mut client, "t", 1, &[]), ErrorCode::None);
        assert_eq!(produce(&mut client, 0, 100_000), (ErrorCode::None, 0));
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
            let (error, start, end, records) = fetch(&mut client, 0, 0);
            assert_eq!((error, start, end), (0, 0, 1), "{flush}");
            assert!(records.len() > 100_000);
            assert_eq!(produce(&mut client, 0, 10).0, ErrorCode::KafkaStorageError);
            assert_eq!(create(&mut client, "u", 1, &[]), ErrorCode::KafkaStorageError);
            assert!(klamm.output().contains("until there is room"), "it says what it waits for");
            klamm.kill();
        }
        assert_eq!(epochs[0], epochs[1], "no epoch is shown before it is durable");

        let klamm = start(&disk, &properties);
        let mut client = connect(&klamm);
        assert_eq!(produce(&mut client, 0, 10).0, ErrorCode::KafkaStorageError);
        disk.make_room();
        until("room", || produce(&mut client, 0, 10) == (ErrorCode::None, 1));
        assert!(leader_and_epoch(&mut client).1 > epochs[0], "what comes now comes under a new epoch");
        assert_eq!(create(&mut client, "u", 1, &[]), ErrorCode::None);
        klamm.stop();
        let klamm = start(&disk, &properties);
        assert_eq!(fetch(&mut connect(&klamm), 0, 0).2, 2);
        klamm.stop();
    }
}

#[test]
fn a_clean_stop_before_the_disk_was_filled_is_a_clean_start_once_there_is_room() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    let Some(disk) = OwnDisk::mount(&data, 8 << 20) else { return };
    let properties = Properties::new(&data);
    let klamm = start(&disk, &properties);
    let mut client = connect(&klamm);
    assert_eq!(create(&mut client, "t", 1, &[]), ErrorCode::None);
    assert_eq!(produce(&mut client, 0, 1000), (ErrorCode::None, 0));
    klamm.stop();
    disk.fill();
    let klamm = start(&disk, &properties);
    let mut client = connect(&klamm);
    assert_eq!(fetch(&mut client, 0, 0).2, 1);
    disk.make_room();
    until("room", || produce(&mut client, 0, 10) == (ErrorCode::None, 1));
    klamm.stop();
    assert!(disk.directory().join(".kafka_cleanshutdown").exists(), "it stopped cleanly");
}

#[test]
fn retention_makes_room_on_a_full_disk() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    let Some(disk) = OwnDisk::mount(&data, 8 << 20) else { return };
    let properties = Properties::new(&data).with("log.retention.check.interval.ms", "3000");
    let klamm = start(&disk, &properties);
    let mut client = connect(&klamm);
    let configs =
        [("segment.bytes", "1048576"), ("retention.bytes", "2000000"), ("file.delete.delay.ms", "0")];
    assert_eq!(create(&mut client, "t", 1, &configs), ErrorCode::None);
    until("an end of the room", || produce(&mut client, 0, 400_000).0 == ErrorCode::KafkaStorageError);
    disk.fill();
    // The filler keeps what it has; whatever there is room for is what retention freed.
    let mut last = -1;
    until("room for what is new", || {
        let (error, offset) = produce(&mut client, 0, 400_000);
        last = offset;
        error == ErrorCode::None
    });
    assert!(fetch(&mut client, 0, last).1 > 0, "the log starts later than it did");
    klamm.kill();
}
