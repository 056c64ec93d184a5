//! A file system that is mounted read-only, a real one: before the start, and under a broker that runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use klamm_tests::client::Client;
use klamm_tests::own_disk::OwnDisk;
use klamm_tests::process::{Process, output_of};
use klamm_tests::properties::Properties;
use klamm_tests::{binaries, broker};
use wire::ErrorCode;
use wire::messages::MetadataRequest;

use crate::requests::{connect, create, fetch, produce, start, until};
use crate::start::{assert_says, files, text_of_failure};

const SMALL: u64 = 8 << 20;
/// The least that leaves ext4 room for a journal and two partitions.
const SMALL_EXT4: u64 = 64 << 20;

/// How a broker ends that could not write what the next start of a directory needs to be a clean one.
const NOT_ALL_CLOSED: i32 = 3;

fn program(properties: &Properties) -> Command {
    let mut command = Command::new(binaries::klamm());
    command.arg("--config").arg(properties.write());
    command
}

#[test]
fn a_start_on_a_disk_mounted_read_only_is_one_sentence_and_changes_no_byte() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    let Some(disk) = OwnDisk::mount(&data, SMALL) else { return };
    let properties = Properties::new(&data);
    let mut end = 0;
    for stopped_cleanly in [true, false] {
        let klamm = start(&disk, &properties);
        let mut client = connect(&klamm);
        create(&mut client, "t", 1, &[]);
        assert_eq!(produce(&mut client, 0, 1000), (ErrorCode::None, end));
        end += 1;
        if stopped_cleanly {
            klamm.stop()
        } else {
            klamm.kill()
        }

        disk.make_read_only();
        let before = files(&disk.directory());
        let failure = text_of_failure(&output_of(&mut disk.sees(&program(&properties)), b""));
        assert_says(&failure, &[&data.display().to_string(), "Read-only file system"]);
        let sentences = failure.lines().filter(|line| line.starts_with("klamm: ")).count();
        assert_eq!(sentences, 1, "{failure}");
        assert!(files(&disk.directory()) == before, "something changed");
        disk.make_writable();
    }
    let klamm = start(&disk, &properties);
    assert_eq!(fetch(&mut connect(&klamm), 0, 0).2, end);
    klamm.stop();
}

#[test]
fn an_empty_directory_mounted_read_only_is_one_sentence() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    let Some(disk) = OwnDisk::mount(&data, SMALL) else { return };
    disk.make_read_only();
    let properties = Properties::new(&data);
    let failure = text_of_failure(&output_of(&mut disk.sees(&program(&properties)), b""));
    assert_says(&failure, &[&data.display().to_string(), "Read-only file system"]);
}

#[test]
fn a_second_directory_that_turns_read_only_answers_storage_errors_and_the_first_one_serves() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let (first, second) = (place.path().join("first"), place.path().join("second"));
    let Some(disk) = OwnDisk::mount_ext4(&second, SMALL_EXT4) else { return };
    let both = format!("{},{}", first.display(), second.display());
    let properties = Properties::new(&first).with("log.dirs", both).with("klamm.flush.policy", "sync");
    let klamm = start(&disk, &properties);
    let mut client = connect(&klamm);
    assert_eq!(create(&mut client, "t", 4, &[]), ErrorCode::None);
    for partition in 0..4 {
        assert_eq!(produce(&mut client, partition, 1000), (ErrorCode::None, 0));
    }
    let (on_first, on_second) = (partitions(&first), partitions(&disk.directory()));
    assert_eq!((on_first.len(), on_second.len()), (2, 2));

    disk.fail();
    for &partition in &on_second {
        assert_eq!(produce(&mut client, partition, 10).0, ErrorCode::KafkaStorageError);
    }
    for &partition in &on_first {
        assert_eq!(produce(&mut client, partition, 10), (ErrorCode::None, 1));
        assert_eq!(fetch(&mut client, partition, 0).2, 2);
    }
    assert!(client.call(&MetadataRequest::default(), 9, |_| ()).is_ok(), "others are served");
    assert_eq!(klamm.terminate(), Some(NOT_ALL_CLOSED));
    assert!(first.join(".kafka_cleanshutdown").exists(), "what is well was closed");

    // The directory that is still read-only keeps nobody from starting either.
    let klamm = start(&disk, &properties);
    let mut client = connect(&klamm);
    for &partition in &on_first {
        assert_eq!(produce(&mut client, partition, 10), (ErrorCode::None, 2));
    }
    klamm.terminate();

    disk.repair();
    let klamm = start(&disk, &properties);
    let mut client = connect(&klamm);
    for &partition in &on_second {
        until("the leader", || fetch(&mut client, partition, 0).0 == 0);
        assert_eq!(fetch(&mut client, partition, 0).2, 1, "what was acknowledged is there");
        assert_eq!(produce(&mut client, partition, 10), (ErrorCode::None, 1));
    }
    klamm.stop();
}

#[test]
fn the_only_directory_that_turns_read_only_ends_the_broker_with_a_sentence_and_keeps_what_it_has() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    let Some(disk) = OwnDisk::mount_ext4(&data, SMALL_EXT4) else { return };
    // What is only in memory is lost with an ext4 that failed, as with the power.
    let properties = Properties::new(&data).with("klamm.flush.policy", "sync");
    let mut klamm = Process::spawn(disk.sees(&program(&properties)), "klamm", &place.path().join("out"));
    klamm.wait_until("its three lines", |text| text.contains("disk backend"));
    let mut client = Client::connect(properties.bootstrap()).expect("the broker accepts a connection");
    assert_eq!(create(&mut client, "t", 1, &[]), ErrorCode::None);
    assert_eq!(produce(&mut client, 0, 1000), (ErrorCode::None, 0));

    disk.fail();
    let records = crate::requests::one_record(10);
    // It may end before the answer is out.
    if let Ok(code) = client.produce("t", 0, -1, &records, |answer| answer.error_code) {
        assert_eq!(ErrorCode::from_code(code), Some(ErrorCode::KafkaStorageError));
    }
    assert_eq!(klamm.wait().code(), Some(1));
    assert_says(&klamm.output(), &["the data directory of the metadata log", "has failed; check its disk"]);

    disk.repair();
    let klamm = broker::start_command(disk.sees(&program(&properties)), &properties);
    let mut client = connect(&klamm);
    assert_eq!(fetch(&mut client, 0, 0).2, 1, "what was acknowledged is there");
    assert_eq!(produce(&mut client, 0, 10), (ErrorCode::None, 1));
    klamm.stop();
}

/// Numbers of the partitions of `t` that lie in a data directory.
fn partitions(directory: &Path) -> Vec<i32> {
    let entries = fs::read_dir(directory).expect("a directory can be listed");
    let names = entries.map(|entry| entry.expect("a directory can be listed").file_name());
    let mut found: Vec<i32> =
        names.filter_map(|name| name.to_str()?.strip_prefix("t-")?.parse().ok()).collect();
    found.sort_unstable();
    found
}
