//! What the system allows: file sizes and descriptors.

use std::fs;
use std::process::Command;

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
