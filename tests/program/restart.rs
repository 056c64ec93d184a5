//! What was stored before a stop is there after the start, whichever way the broker ended.

use std::fs;
use std::process::Command;

use klamm_tests::client::{Client, batch};
use klamm_tests::process::Process;
use klamm_tests::properties::Properties;
use klamm_tests::{binaries, broker};
use log_engine::batch::Compression;
use log_engine::types::TimestampMs;

const TOPIC: &str = "kept";

#[test]
fn records_and_topics_outlive_a_clean_stop_and_a_kill() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&place.path().join("data"));
    for round in 0..4_i64 {
        let klamm = broker::start(&properties);
        let mut client = Client::connect(klamm.bootstrap()).expect("the broker accepts a connection");
        if round == 0 {
            create(&mut client);
        }
        assert_eq!(end(&mut client), 2 * round, "round {round}");
        let value = format!("round {round}");
        let records = batch(Compression::None, TimestampMs::new(-1), &[value.as_bytes(), b"second"]);
        let stored = client.produce(TOPIC, 0, -1, &records, |answer| (answer.error_code, answer.base_offset));
        assert_eq!(stored.expect("Produce is answered"), (0, 2 * round));
        assert!(
            bytes_from(&mut client, 2 * round).windows(value.len()).any(|window| window == value.as_bytes())
        );
        if round % 2 == 0 { klamm.stop() } else { klamm.kill() }
    }
}

#[test]
fn a_broker_whose_only_directory_is_taken_away_ends_as_kafka_does() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&place.path().join("data"));
    let mut command = Command::new(binaries::klamm());
    command.arg("--config").arg(properties.write());
    let mut klamm = Process::spawn(command, "klamm", &place.path().join("out"));
    klamm.wait_until("its three lines", |text| text.contains("disk backend"));
    fs::rename(properties.data(), place.path().join("elsewhere")).expect("moved");
    assert_eq!(klamm.wait().code(), Some(1));
    assert!(klamm.output().contains("the data directory of the metadata log"), "{}", klamm.output());
    assert!(!properties.data().exists(), "nothing is made in its place");
    fs::rename(place.path().join("elsewhere"), properties.data()).expect("moved back");
    broker::start(&properties).stop();
}

fn create(client: &mut Client) {
    use wire::messages::CreateTopicsRequest;
    use wire::messages::create_topics_request::CreatableTopic;

    let topic =
        CreatableTopic { name: TOPIC.into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let made = client.call(&request, 7, |response| response.topics[0].error_code);
    assert_eq!(made.expect("CreateTopics is answered"), 0);
}

fn end(client: &mut Client) -> i64 {
    client.fetch(TOPIC, 0, 0, 1, |partition| partition.high_watermark).expect("Fetch is answered")
}

fn bytes_from(client: &mut Client, offset: i64) -> Vec<u8> {
    let read = client.fetch(TOPIC, 0, offset, 1 << 20, |partition| {
        let records = partition.records.as_ref().expect("there are records");
        records.inline().expect("a decoded answer holds its bytes").to_vec()
    });
    read.expect("Fetch is answered")
}
