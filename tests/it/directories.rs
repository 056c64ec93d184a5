//! Several data directories: a partition is served from the directory that it was placed in, or not at all.

use std::fs;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use klamm_tests::client::{Client, batch};
use klamm_tests::hooked_disk::{HookedDisk, Hooks};
use log_engine::batch::Compression;
use log_engine::io::{BackendChoice, FileHandle, NativeDisk, OpenMode, ShortWrite};
use wire::ErrorCode;
use wire::messages::MetadataRequest;
use wire::messages::metadata_request::MetadataRequestTopic;

use crate::in_process::{Klamm, NOW, code, create, until};

const PARTITIONS: i32 = 4;

/// A broker with two data directories, and a topic with one record in each partition.
fn filled() -> Klamm {
    let klamm = Klamm::start_on_two(Arc::new(NativeDisk::new(BackendChoice::Auto)));
    let mut client = klamm.client();
    create(&mut client, "t", PARTITIONS, &[]);
    for partition in 0..PARTITIONS {
        assert_eq!(produce_to(&mut client, partition), (ErrorCode::None, 0));
    }
    klamm
}

fn produce_to(client: &mut Client, partition: i32) -> (ErrorCode, i64) {
    let records = batch(Compression::None, NOW, &[b"v"]);
    let answer = |answer: &wire::messages::produce_response::PartitionProduceResponse<'_>| {
        (code(answer.error_code), answer.base_offset)
    };
    client.produce("t", partition, -1, &records, answer).expect("an answer")
}

/// Error and leader of each partition, as Metadata tells them.
fn leaders(client: &mut Client) -> Vec<(ErrorCode, i32)> {
    let wanted = MetadataRequestTopic { name: Some("t".into()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![wanted]), ..Default::default() };
    client
        .call(&request, 12, |response| {
            let mut partitions: Vec<_> = response.topics[0]
                .partitions
                .iter()
                .map(|found| (found.partition_index, (code(found.error_code), found.leader_id)))
                .collect();
            partitions.sort_by_key(|(number, _)| *number);
            partitions.into_iter().map(|(_, found)| found).collect()
        })
        .expect("an answer")
}

fn holds(directory: &Path, partition: i32) -> bool {
    directory.join(format!("t-{partition}")).exists()
}

/// What is in `b` has no leader and is nowhere; what is in `a` is as it was. Says how many of each there are.
fn only_a_is_led(klamm: &Klamm, in_b: &[bool]) {
    let mut client = klamm.client();
    let leaders = leaders(&mut client);
    for (partition, &was_in_b) in (0..).zip(in_b) {
        let (led, appended) =
            (leaders[usize::try_from(partition).expect("small")], produce_to(&mut client, partition));
        if was_in_b {
            assert_eq!(led, (ErrorCode::LeaderNotAvailable, -1), "partition {partition}");
            assert_eq!(appended, (ErrorCode::NotLeaderOrFollower, -1), "partition {partition}");
            assert!(!holds(&klamm.directory().join("a"), partition), "nothing is made in its place");
            assert!(!holds(&klamm.directory().join("b"), partition), "nothing is made in its place");
        } else {
            assert_eq!(led, (ErrorCode::None, 1), "partition {partition}");
            assert_eq!(appended, (ErrorCode::None, 1), "partition {partition}");
        }
    }
}

fn placement(klamm: &Klamm) -> Vec<bool> {
    let in_b: Vec<bool> =
        (0..PARTITIONS).map(|partition| holds(&klamm.directory().join("b"), partition)).collect();
    assert!(in_b.contains(&true) && in_b.contains(&false), "spread over both: {in_b:?}");
    in_b
}

#[test]
fn a_partition_whose_directory_is_missing_has_no_leader_until_the_directory_is_back() {
    let mut klamm = filled();
    let in_b = placement(&klamm);
    klamm.restart_after(|dir| fs::rename(dir.join("b"), dir.join("elsewhere")).expect("moved"));
    only_a_is_led(&klamm, &in_b);
    klamm.restart_after(|dir| {
        fs::remove_dir_all(dir.join("b")).expect("removed");
        fs::rename(dir.join("elsewhere"), dir.join("b")).expect("moved back");
    });
    let mut client = klamm.client();
    assert_eq!(leaders(&mut client), [(ErrorCode::None, 1); PARTITIONS as usize]);
    for (partition, was_in_b) in (0..).zip(in_b) {
        let next = if was_in_b { 1 } else { 2 };
        assert_eq!(produce_to(&mut client, partition), (ErrorCode::None, next));
    }
}

#[test]
fn a_directory_that_was_emptied_does_not_get_its_partitions_back_as_empty_ones() {
    let mut klamm = filled();
    let in_b = placement(&klamm);
    klamm.restart_after(|dir| {
        fs::remove_dir_all(dir.join("b")).expect("removed");
        fs::create_dir(dir.join("b")).expect("made");
    });
    only_a_is_led(&klamm, &in_b);
    klamm.restart();
    let leaderless = leaders(&mut klamm.client()).iter().filter(|(_, leader)| *leader == -1).count();
    assert_eq!(leaderless, in_b.iter().filter(|in_b| **in_b).count());
}

#[test]
fn a_log_that_was_moved_to_another_directory_while_the_broker_was_down_is_led_from_there() {
    let mut klamm = filled();
    let in_b = placement(&klamm);
    klamm.restart_after(|dir| {
        for (partition, _) in (0..PARTITIONS).zip(&in_b).filter(|(_, in_b)| **in_b) {
            let name = format!("t-{partition}");
            fs::rename(dir.join("b").join(&name), dir.join("a").join(&name)).expect("moved");
        }
        fs::remove_dir_all(dir.join("b")).expect("removed");
    });
    let mut client = klamm.client();
    for partition in 0..PARTITIONS {
        assert_eq!(produce_to(&mut client, partition), (ErrorCode::None, 1));
    }
}

#[test]
fn a_directory_that_cannot_be_read_goes_offline_alone_and_is_left_as_it_is() {
    let mut klamm = filled();
    let in_b = placement(&klamm);
    let spoilt = |dir: &Path| dir.join("b").join("meta.properties");
    klamm.restart_after(|dir| {
        fs::rename(spoilt(dir), dir.join("kept")).expect("moved");
        fs::create_dir(spoilt(dir)).expect("made");
    });
    let mut client = klamm.client();
    for (partition, (in_b, (_, leader))) in (0..).zip(in_b.iter().zip(leaders(&mut client))) {
        assert_eq!(leader, if *in_b { -1 } else { 1 }, "partition {partition}");
        assert_eq!(holds(&klamm.directory().join("b"), partition), *in_b, "nothing is removed");
    }
    create(&mut client, "new", 3, &[]);
    assert!(klamm.directory().join("a/new-2").exists(), "new topics go where there is a disk");
    klamm.restart_after(|dir| {
        fs::remove_dir(spoilt(dir)).expect("removed");
        fs::rename(dir.join("kept"), spoilt(dir)).expect("moved back");
    });
    assert_eq!(leaders(&mut klamm.client()), [(ErrorCode::None, 1); PARTITIONS as usize]);
}

#[test]
fn a_log_that_cannot_be_read_takes_its_directory_offline_and_no_other() {
    let mut klamm = filled();
    let in_b = placement(&klamm);
    // A directory in the place of a segment cannot be read by anybody.
    let name = format!("b/t-{}/00000000000000000000.log", in_b.iter().position(|in_b| *in_b).expect("one"));
    klamm.restart_after(|dir| {
        fs::rename(dir.join(&name), dir.join("kept")).expect("moved");
        fs::create_dir(dir.join(&name)).expect("made");
        fs::remove_file(dir.join("b/.kafka_cleanshutdown")).expect("removed");
    });
    let leaders = leaders(&mut klamm.client());
    for (in_b, (_, leader)) in in_b.into_iter().zip(leaders) {
        assert_eq!(leader, if in_b { -1 } else { 1 });
    }
}

/// Creates no file of a topic's log while there are no descriptors left.
#[derive(Debug, Default)]
struct NoDescriptors(AtomicBool);

impl Hooks for NoDescriptors {
    fn opened(&self, file: &FileHandle, mode: OpenMode) -> io::Result<()> {
        let of_topic = file.path().to_string_lossy().contains("/t-");
        if self.0.load(Ordering::Relaxed) && of_topic && mode != OpenMode::Read {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()));
        }
        Ok(())
    }
}

#[test]
fn a_log_that_could_not_be_made_is_made_once_that_is_possible() {
    let spent = Arc::new(NoDescriptors::default());
    let klamm = Klamm::start_on_two(Arc::new(HookedDisk::new(Arc::clone(&spent) as Arc<dyn Hooks>)));
    let mut client = klamm.client();
    spent.0.store(true, Ordering::Relaxed);
    create(&mut client, "t", PARTITIONS, &[]);
    for partition in 0..PARTITIONS {
        assert_eq!(produce_to(&mut client, partition).0, ErrorCode::NotLeaderOrFollower);
    }
    spent.0.store(false, Ordering::Relaxed);
    for partition in 0..PARTITIONS {
        until("a log made without a restart", || produce_to(&mut client, partition).0 == ErrorCode::None);
    }
}

/// Fails whatever changes files of one data directory, once it is told to.
#[derive(Debug, Default)]
struct Failing(AtomicBool);

impl Failing {
    fn answer(&self, path: &Path) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) && path.components().any(|part| part.as_os_str() == "b") {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        Ok(())
    }
}

impl Hooks for Failing {
    fn opened(&self, file: &FileHandle, mode: OpenMode) -> io::Result<()> {
        if mode == OpenMode::Read { Ok(()) } else { self.answer(file.path()) }
    }

    fn write(&self, file: &FileHandle, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        self.answer(file.path()).map_err(|error| ShortWrite { written: 0, error })?;
        file.write_vectored_all_at(parts, position)
    }

    fn syncing(&self, path: &Path) -> io::Result<()> {
        self.answer(path)
    }
}

#[test]
fn a_directory_that_fails_while_the_broker_runs_takes_only_its_partitions_away_until_it_is_back() {
    let failing = Arc::new(Failing::default());
    let disk = || Arc::new(HookedDisk::new(Arc::clone(&failing) as Arc<dyn Hooks>));
    let mut klamm = Klamm::start_on_two(disk());
    let mut client = klamm.client();
    create(&mut client, "t", PARTITIONS, &[]);
    for partition in 0..PARTITIONS {
        assert_eq!(produce_to(&mut client, partition), (ErrorCode::None, 0));
    }
    let in_b = placement(&klamm);

    failing.0.store(true, Ordering::Relaxed);
    for (partition, in_b) in (0..).zip(&in_b) {
        let expected = if *in_b { ErrorCode::KafkaStorageError } else { ErrorCode::None };
        assert_eq!(produce_to(&mut client, partition).0, expected, "partition {partition}");
    }
    let expected: Vec<_> = in_b
        .iter()
        .map(|in_b| if *in_b { (ErrorCode::LeaderNotAvailable, -1) } else { (ErrorCode::None, 1) })
        .collect();
    until("metadata that know of it", || leaders(&mut client) == expected);
    // Also who has old metadata is told of the disk, as by Kafka.
    for (partition, in_b) in (0..).zip(&in_b) {
        let expected = if *in_b { ErrorCode::KafkaStorageError } else { ErrorCode::None };
        assert_eq!(produce_to(&mut client, partition).0, expected, "partition {partition}");
    }
    create(&mut client, "new", 3, &[]);
    assert!((0..3).all(|number| klamm.directory().join(format!("a/new-{number}")).exists()));
    drop(client);

    klamm.stop_badly();
    klamm.restart_with(2, disk());
    assert_eq!(leaders(&mut klamm.client()), expected, "the directory still fails");
    klamm.stop();
    failing.0.store(false, Ordering::Relaxed);
    klamm.restart_with(2, disk());
    let mut client = klamm.client();
    assert_eq!(leaders(&mut client), [(ErrorCode::None, 1); PARTITIONS as usize]);
    for (partition, in_b) in (0..).zip(in_b) {
        assert_eq!(produce_to(&mut client, partition), (ErrorCode::None, if in_b { 1 } else { 3 }));
    }
}

#[test]
fn nothing_is_made_in_a_directory_that_vanished_and_the_next_start_is_as_good_as_any() {
    let mut klamm = filled();
    let in_b = placement(&klamm);
    fs::rename(klamm.directory().join("b"), klamm.directory().join("elsewhere")).expect("moved");
    let mut client = klamm.client();
    create(&mut client, "new", 4, &[]);
    assert!(!klamm.directory().join("b").exists(), "the bare path is not made");
    assert!(klamm.directory().join("a/new-3").exists());
    until("metadata that know of it", || {
        let expected = in_b.iter().map(|in_b| if *in_b { -1 } else { 1 });
        leaders(&mut client).into_iter().map(|(_, leader)| leader).eq(expected)
    });
    drop(client);
    klamm.stop_badly();
    klamm.start_again(|dir| fs::rename(dir.join("elsewhere"), dir.join("b")).expect("moved back"));
    let mut client = klamm.client();
    assert_eq!(leaders(&mut client), [(ErrorCode::None, 1); PARTITIONS as usize]);
}
