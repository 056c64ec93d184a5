//! Replicas that are moved between the data directories of a broker (KIP-113), and what is said of them meanwhile.

use std::path::Path;
use std::sync::Arc;

use klamm_tests::client::{Client, batch};
use log_engine::batch::Compression;
use log_engine::io::{BackendChoice, NativeDisk};
use wire::ErrorCode;
use wire::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use wire::messages::{AlterReplicaLogDirsRequest, DescribeLogDirsRequest};

use crate::in_process::{Klamm, NOW, code, create, fetch, until};

/// A directory, a partition in it, its size, its lag, and whether it is a copy that is being made.
type Place = (String, i32, i64, i64, bool);

fn move_to(client: &mut Client, topic: &str, partition: i32, directory: &Path) -> ErrorCode {
    let topic = AlterReplicaLogDirTopic {
        name: topic.into(),
        partitions: vec![partition],
        ..AlterReplicaLogDirTopic::default()
    };
    let dir = AlterReplicaLogDir {
        path: directory.display().to_string().into(),
        topics: vec![topic],
        ..AlterReplicaLogDir::default()
    };
    let request = AlterReplicaLogDirsRequest { dirs: vec![dir], ..AlterReplicaLogDirsRequest::default() };
    client
        .call(&request, 2, |response| code(response.results[0].partitions[0].error_code))
        .expect("an answer")
}

fn places(client: &mut Client, topic: &str) -> Vec<Place> {
    let request = DescribeLogDirsRequest { topics: None, ..DescribeLogDirsRequest::default() };
    client
        .call(&request, 4, |response| {
            let mut places = Vec::new();
            for dir in &response.results {
                assert_eq!(dir.error_code, 0);
                assert!(dir.total_bytes > dir.usable_bytes && dir.usable_bytes > 0);
                let name = Path::new(&*dir.log_dir).file_name().expect("a name").to_string_lossy();
                for found in dir.topics.iter().filter(|found| &*found.name == topic) {
                    places.extend(found.partitions.iter().map(|partition| {
                        let (size, lag) = (partition.partition_size, partition.offset_lag);
                        (name.to_string(), partition.partition_index, size, lag, partition.is_future_key)
                    }));
                }
            }
            places
        })
        .expect("an answer")
}

fn produce(client: &mut Client, bytes: usize) -> i64 {
    let records = batch(Compression::None, NOW, &[&vec![b'v'; bytes]]);
    let answer = client.produce("t", 0, -1, &records, |answer| {
        assert_eq!(code(answer.error_code), ErrorCode::None);
        answer.base_offset
    });
    answer.expect("an answer")
}

/// A broker with two directories, and a topic of one partition; the directories, that of the partition first.
fn broker() -> (Klamm, [std::path::PathBuf; 2]) {
    let klamm = Klamm::start_on_two(Arc::new(NativeDisk::new(BackendChoice::Auto)));
    create(&mut klamm.client(), "t", 1, &[("segment.bytes", "1048576")]);
    let (a, b) = (klamm.directory().join("a"), klamm.directory().join("b"));
    let directories = if a.join("t-0").exists() { [a, b] } else { [b, a] };
    (klamm, directories)
}

#[test]
fn a_replica_is_moved_while_it_is_produced_to_and_fetched_from() {
    let (mut klamm, [from, to]) = broker();
    let mut client = klamm.client();
    let mut next = 0;
    while next < 30 {
        assert_eq!(produce(&mut client, 100_000), next);
        next += 1;
    }
    let (_, before) = fetch(&mut client, "t", 0);
    assert_eq!(move_to(&mut client, "t", 0, &to), ErrorCode::None);
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    until("the move", || {
        assert_eq!(produce(&mut client, 1000), next);
        next += 1;
        assert_eq!(fetch(&mut client, "t", 0), (ErrorCode::None, before.clone()));
        let places = places(&mut client, "t");
        matches!(&places[..], [(dir, 0, _, 0, false)] if *dir == name(&to))
    });
    assert!(to.join("t-0").exists() && !from.join("t-0").exists());
    assert_eq!(fetch(&mut client, "t", next), (ErrorCode::None, Vec::new()), "it ends where it did");
    assert_eq!(produce(&mut client, 10), next);
    drop(client);
    klamm.restart();
    let mut client = klamm.client();
    assert_eq!(produce(&mut client, 10), next + 1);
    assert_eq!(fetch(&mut client, "t", 0), (ErrorCode::None, before));
    assert!(to.join("t-0").exists() && !from.join("t-0").exists());
    // And back.
    assert_eq!(move_to(&mut client, "t", 0, &from), ErrorCode::None);
    until("the move back", || from.join("t-0").exists() && !to.join("t-0").exists());
    assert_eq!(produce(&mut client, 10), next + 2);
}

#[test]
fn a_throttled_move_shows_its_copy_and_its_lag_and_goes_on_after_a_restart() {
    let directory = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let (mut klamm, [from, to]) = broker();
    klamm.stop();
    klamm.set("replica.alter.log.dirs.io.max.bytes.per.second=300000");
    klamm.start_again(|_| {});
    let mut client = klamm.client();
    for number in 0..20 {
        assert_eq!(produce(&mut client, 100_000), number);
    }
    assert_eq!(move_to(&mut client, "t", 0, &to), ErrorCode::None);
    until("a part of the copy", || {
        let places = places(&mut client, "t");
        assert_eq!(places.len(), 2, "{places:?}");
        places.iter().any(|(dir, _, size, lag, future)| {
            *future && *dir == directory(&to) && *size > 0 && *size < 2_000_000 && *lag > 0 && *lag <= 20
        })
    });
    drop(client);
    klamm.stop();
    klamm.set("replica.alter.log.dirs.io.max.bytes.per.second=9223372036854775807");
    klamm.start_again(|_| {});
    until("the move that was begun", || to.join("t-0").exists() && !from.join("t-0").exists());
    assert_eq!(produce(&mut klamm.client(), 10), 20);
}

#[test]
fn what_cannot_be_moved_is_refused_as_kafka_refuses_it() {
    let (klamm, [from, to]) = broker();
    let mut client = klamm.client();
    let refusals = [
        ("t", 0, Path::new("/nowhere"), ErrorCode::LogDirNotFound),
        ("t", 1, &*to, ErrorCode::UnknownTopicOrPartition),
        ("unknown", 0, &*to, ErrorCode::UnknownTopicOrPartition),
        ("t", 0, &*from, ErrorCode::None),
    ];
    for (topic, partition, directory, expected) in refusals {
        assert_eq!(move_to(&mut client, topic, partition, directory), expected, "{topic}-{partition}");
    }
    let long = "l".repeat(220);
    create(&mut client, &long, 1, &[]);
    assert_eq!(move_to(&mut client, &long, 0, &to), ErrorCode::InvalidTopicException);
    assert_eq!(places(&mut client, "t").len(), 1);
}
