//! What the tests of real disks ask of a broker: the topic `t`, its records, their way back.

use std::process::Command;
use std::thread;
use std::time::Duration;

use klamm_tests::binaries;
use klamm_tests::broker::{self, Running};
use klamm_tests::client::{Client, batch};
use klamm_tests::own_disk::OwnDisk;
use klamm_tests::properties::Properties;
use log_engine::batch::Compression;
use log_engine::types::TimestampMs;
use wire::ErrorCode;
use wire::messages::CreateTopicsRequest;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};

const NOW: TimestampMs = TimestampMs::new(1_700_000_000_000);

pub(crate) fn start(disk: &OwnDisk, properties: &Properties) -> Running {
    let mut command = Command::new(binaries::klamm());
    command.arg("--config").arg(properties.write());
    broker::start_command(disk.sees(&command), properties)
}

pub(crate) fn connect(klamm: &Running) -> Client {
    Client::connect(klamm.bootstrap()).expect("the broker accepts a connection")
}

pub(crate) fn create(
    client: &mut Client,
    topic: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> ErrorCode {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: (*name).into(),
        value: Some((*value).into()),
        ..Default::default()
    });
    let topic = CreatableTopic {
        name: topic.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let code = client.call(&request, 7, |response| response.topics[0].error_code);
    ErrorCode::from_code(code.expect("an answer")).expect("a known error")
}

pub(crate) fn produce(client: &mut Client, partition: i32, bytes: usize) -> (ErrorCode, i64) {
    let records = one_record(bytes);
    let (code, offset) = client
        .produce("t", partition, -1, &records, |answer| (answer.error_code, answer.base_offset))
        .expect("an answer");
    (ErrorCode::from_code(code).expect("a known error"), offset)
}

/// A batch of one record with so large a value.
pub(crate) fn one_record(bytes: usize) -> Vec<u8> {
    batch(Compression::None, NOW, &[&vec![b'v'; bytes]])
}

/// Error, start, end and bytes of one fetch.
pub(crate) fn fetch(client: &mut Client, partition: i32, offset: i64) -> (i16, i64, i64, Vec<u8>) {
    client
        .fetch("t", partition, offset, 1 << 20, |answer| {
            let records = answer.records.as_ref().and_then(|records| records.inline()).unwrap_or_default();
            (answer.error_code, answer.log_start_offset, answer.high_watermark, records.to_vec())
        })
        .expect("an answer")
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} does not come");
}
