//! ListOffsets and OffsetForLeaderEpoch.

use klamm_tests::client::{Client, batch};
use log_engine::TimestampMs;
use log_engine::batch::Compression;
use wire::ErrorCode;
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use wire::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest};

use crate::in_process::{Klamm, code};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;

/// Error, offset and timestamp.
pub(crate) fn list(client: &mut Client, timestamp: i64, version: i16) -> (ErrorCode, i64, i64) {
    let partition = ListOffsetsPartition { timestamp, ..Default::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    client
        .call(&request, version, |response| {
            let found = &response.topics[0].partitions[0];
            (code(found.error_code), found.offset, found.timestamp)
        })
        .expect("an answer")
}

#[test]
fn offsets_are_found_by_place_and_by_time() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    for timestamp in [100, 300, 200] {
        let records = batch(Compression::None, TimestampMs::new(timestamp), &[b"a", b"b"]);
        client.produce("t", 0, 1, &records, |answer| assert_eq!(answer.error_code, 0)).expect("an answer");
    }
    let rows = [
        (EARLIEST, (0, -1)),
        (EARLIEST_LOCAL, (0, -1)),
        (LATEST, (6, -1)),
        (MAX_TIMESTAMP, (2, 300)),
        (0, (0, 100)),
        (100, (0, 100)),
        (101, (2, 300)),
        (300, (2, 300)),
        (301, (-1, -1)),
    ];
    for (timestamp, (offset, found)) in rows {
        assert_eq!(list(&mut client, timestamp, 11), (ErrorCode::None, offset, found), "at {timestamp}");
    }
    for version in 1..=11 {
        assert_eq!(list(&mut client, LATEST, version), (ErrorCode::None, 6, -1), "version {version}");
    }
    assert_eq!(list(&mut client, -77, 11).0, ErrorCode::UnsupportedVersion);
}

fn end_of(client: &mut Client, leader_epoch: i32) -> (ErrorCode, i32, i64) {
    let partition = OffsetForLeaderPartition { leader_epoch, ..Default::default() };
    let topic = OffsetForLeaderTopic { topic: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    client
        .call(&request, 4, |response| {
            let end = &response.topics[0].partitions[0];
            (code(end.error_code), end.leader_epoch, end.end_offset)
        })
        .expect("an answer")
}

#[test]
fn an_epoch_ends_where_the_next_began() {
    let mut klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    crate::in_process::produce(&mut client, "t", &[b"a", b"b", b"c"]);
    assert_eq!(end_of(&mut client, 0), (ErrorCode::None, 0, 3));
    assert_eq!(end_of(&mut client, 5), (ErrorCode::None, -1, -1));
    drop(client);
    // A start after anything but a clean stop begins an epoch.
    klamm.restart_after(|directory| {
        std::fs::remove_file(directory.join("data/.kafka_cleanshutdown")).expect("it stopped cleanly");
    });
    let mut client = klamm.client();
    crate::in_process::produce(&mut client, "t", &[b"d", b"e"]);
    let Some(epoch) = (1..10).find(|epoch| end_of(&mut client, *epoch) == (ErrorCode::None, *epoch, 5))
    else {
        panic!("no epoch ends with the log")
    };
    assert_eq!(end_of(&mut client, 0), (ErrorCode::None, 0, 3), "before epoch {epoch}");
}
