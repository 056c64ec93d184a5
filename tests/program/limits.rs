//! What the system allows: file sizes and descriptors.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use klamm_tests::client::{Client, batch};
use klamm_tests::properties::Properties;
use klamm_tests::{binaries, broker};
use log_engine::TimestampMs;
use log_engine::batch::Compression;
use wire::ErrorCode;
use wire::messages::CreateTopicsRequest;
use wire::messages::create_topics_request::CreatableTopic;

const CREATED: TimestampMs = TimestampMs::new(1_700_000_000_000);

fn limited(limit: &str, properties: &Properties) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(limit).arg(binaries::klamm()).arg("--config").arg(properties.write());
    command
}

fn create_topic(client: &mut Client) {
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let code = client.call(&request, 7, |response| response.topics[0].error_code).expect("an answer");
    assert_eq!(code, 0);
}

#[test]
fn a_limit_of_file_sizes_refuses_records_and_ends_nothing() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&place.path().join("data"));
    let klamm = broker::start_command(limited("--fsize=300000", &properties), &properties);
    let mut client = Client::connect(klamm.bootstrap()).expect("a connection");
    create_topic(&mut client);
    let records = batch(Compression::None, CREATED, &[&[b'v'; 50_000]]);
    let answers: Vec<i16> = (0..10)
        .map(|_| client.produce("t", 0, 1, &records, |answer| answer.error_code).expect("an answer"))
        .collect();
    let (stored, refused) = answers.split_at(5);
    assert_eq!(stored, [0; 5], "there is room for five");
    assert_eq!(refused, [ErrorCode::KafkaStorageError.code(); 5]);
    klamm.stop();
}

#[test]
fn descriptors_are_taken_up_to_the_hard_limit() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&place.path().join("data"));
    let klamm = broker::start_command(limited("--nofile=64:512", &properties), &properties);
    let limits = fs::read_to_string(format!("/proc/{}/limits", klamm.pid())).expect("limits of a process");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("the line exists");
    let numbers: Vec<&str> = files.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers, ["512", "512"]);
    klamm.stop();
}

/// How many descriptors a broker has open.
fn open_files(klamm: &broker::Running) -> usize {
    fs::read_dir(format!("/proc/{}/fd", klamm.pid())).expect("listed").count()
}

/// Connections until the broker has this many descriptors. Where its queue is full a connection waits: not for long.
fn connections_until(klamm: &broker::Running, open: usize) -> Vec<TcpStream> {
    let address = klamm.bootstrap().parse().expect("an address");
    let mut held = Vec::new();
    for _ in 0..600 {
        if open_files(klamm) >= open {
            return held;
        }
        held.extend(TcpStream::connect_timeout(&address, Duration::from_millis(100)));
    }
    panic!("{} descriptors are open, {} connections held", open_files(klamm), held.len());
}

#[test]
fn who_is_connected_is_served_when_there_are_no_descriptors_left_and_everybody_once_there_are() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&place.path().join("data"));
    let klamm = broker::start_command(limited("--nofile=90:90", &properties), &properties);
    let mut client = Client::connect(klamm.bootstrap()).expect("a connection");
    create_topic(&mut client);
    let records = batch(Compression::None, CREATED, &[&[b'v'; 1000]]);
    let produce = |client: &mut Client| {
        client.produce("t", 0, 1, &records, |answer| answer.error_code).expect("an answer")
    };
    assert_eq!(produce(&mut client), 0);
    let held = connections_until(&klamm, 89);
    for _ in 0..5 {
        assert_eq!(produce(&mut client), 0, "the log is open");
    }
    let read = client.fetch("t", 0, 0, 1 << 20, |answer| (answer.error_code, answer.high_watermark));
    assert_eq!(read.expect("an answer"), (0, 6));
    // Long enough for everything that is done in the background every few seconds: it fails, and does no harm.
    thread::sleep(Duration::from_secs(7));
    drop(held);
    let mut other = Client::connect(klamm.bootstrap()).expect("a connection");
    assert_eq!(produce(&mut other), 0, "accepted once there are descriptors");
    assert_eq!(produce(&mut client), 0);
    assert!(!klamm.output().contains("is offline"), "{}", klamm.output());
    klamm.stop();
}
