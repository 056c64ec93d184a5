//! A log begins a segment before the batch before which Kafka's own log begins one: for its age, for a full index, for an
//! offset that is too far, for its size.

use bytes::BytesMut;
use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::types::{LeaderEpoch, Offset, TimestampMs};
use log_engine::{AppendRequest, LogConfig};

use crate::oracle::answers;
use crate::partition::Partition;

fn configured(settings: &str) -> LogConfig {
    let mut config = LogConfig::default();
    for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
        let (key, value) = setting.split_once('=').unwrap();
        match key {
            "segment.ms" => config.segment_ms = value.parse().unwrap(),
            "internal.segment.bytes" => config.segment_bytes = value.parse().unwrap(),
            "segment.index.bytes" => config.segment_index_bytes = value.parse().unwrap(),
            "index.interval.bytes" => config.index_interval_bytes = value.parse().unwrap(),
            _ => panic!("{key}"),
        }
    }
    config
}

fn follow(partition: &Partition, offset: &str, timestamp: &str) {
    let mut batch = BatchBuilder::new(Compression::None)
        .base_offset(Offset::new(offset.parse().unwrap()))
        .leader_epoch(LeaderEpoch::new(0));
    let timestamp = TimestampMs::new(timestamp.parse().unwrap());
    batch.append(&NewRecord { timestamp, key: None, value: Some(b"value"), headers: &[] }).unwrap();
    let bytes = BytesMut::from(&batch.finish().unwrap()[..]);
    let request = AppendRequest::from_leader(bytes, LeaderEpoch::new(0));
    partition.log().append(request).unwrap().wait().unwrap();
}

#[test]
fn a_segment_begins_where_kafkas_log_begins_one() {
    let mut partition: Option<Partition> = None;
    let mut segments = 0;
    for (number, line) in answers("rolls.tsv").lines().enumerate() {
        let at = format!("line {}: {line}", number + 1);
        let fields: Vec<&str> = line.split('\t').collect();
        match (&fields[..], &mut partition) {
            (["log", settings], _) => {
                let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
                partition = Some(Partition::new(dir, configured(settings), |_| {}));
            }
            (["reopen"], Some(partition)) => {
                partition.close();
                partition.open();
            }
            (["follow", offset, timestamp, bases], Some(partition)) => {
                follow(partition, offset, timestamp);
                let infos = partition.log().segments_info();
                let ours: Vec<String> = infos.iter().map(|info| info.base_offset.to_string()).collect();
                assert_eq!(ours.join(","), *bases, "{at}");
                segments = segments.max(ours.len());
            }
            _ => panic!("{at}"),
        }
    }
    assert!(segments >= 10, "the answers are not those expected");
}
