//! The load: one connection a partition, several requests unanswered, until the broker is gone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use klamm_tests::broker::Running;
use klamm_tests::client::{BY_NAME, Client, batch, produce_request};
use log_engine::batch::Compression;
use log_engine::types::TimestampMs;
use wire::header::ResponseHeader;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{MetadataRequest, MetadataResponse, ProduceResponse};
use wire::primitives::Reader;

use crate::ledger::{Acknowledged, Ledger, TOPIC};

const METADATA_VERSION: i16 = 9;
const UNANSWERED: usize = 4;
/// Any time of the recent past; the harness compares contents, not times.
const CREATED: TimestampMs = TimestampMs::new(1_700_000_000_000);
/// A load that gets nothing acknowledged for so long will not get there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has the topic created, as a client's first question about it does.
pub(crate) fn create_topic(bootstrap: &str) {
    let mut client = Client::connect(bootstrap).expect("the broker accepts connections");
    let topic = MetadataRequestTopic { name: Some(TOPIC.into()), ..Default::default() };
    let question =
        MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true, ..Default::default() };
    let deadline = Instant::now() + PATIENCE;
    let exists = |answer: MetadataResponse<'_>| answer.topics.iter().all(|topic| topic.error_code == 0);
    while !client.call(&question, METADATA_VERSION, exists).expect("metadata is answered") {
        assert!(Instant::now() < deadline, "the topic is not created");
    }
}

/// Produces to every partition, kills the broker after so many acknowledgements, and returns when all producers have
/// seen their connection end.
pub(crate) fn load_until_killed(ledger: &Ledger, broker: Running, acks: i16, acknowledgements: u64) {
    let counted = AtomicU64::new(0);
    let bootstrap = broker.bootstrap().to_owned();
    thread::scope(|scope| {
        for partition in 0..ledger.partitions() {
            let (counted, bootstrap) = (&counted, &bootstrap);
            scope.spawn(move || produce_until_closed(ledger, bootstrap, partition, acks, counted));
        }
        let deadline = Instant::now() + PATIENCE;
        while counted.load(Ordering::Relaxed) < acknowledgements {
            assert!(Instant::now() < deadline, "nothing is acknowledged:\n{}", broker.output());
            thread::sleep(Duration::from_micros(200));
        }
        broker.kill();
    });
}

/// A batch that was sent and not answered yet.
struct Sent {
    first: u64,
    count: u64,
}

fn produce_until_closed(ledger: &Ledger, bootstrap: &str, partition: i32, acks: i16, counted: &AtomicU64) {
    let Ok(mut client) = Client::connect(bootstrap) else { return };
    let mut unanswered = VecDeque::new();
    loop {
        while unanswered.len() < UNANSWERED {
            let (sent, records) = next_batch(ledger, partition);
            if client.send(&produce_request(TOPIC, partition, acks, &records), BY_NAME).is_err() {
                return;
            }
            unanswered.push_back(sent);
        }
        let Ok(frame) = client.receive_frame() else { return };
        let sent: Sent = unanswered.pop_front().expect("an answer answers a request");
        if let Some(offset) = acknowledged_offset(&frame) {
            let Sent { first, count } = sent;
            ledger.with(partition, |partition| {
                partition.acknowledged.push(Acknowledged { offset, first, count });
            });
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn next_batch(ledger: &Ledger, partition: i32) -> (Sent, Vec<u8>) {
    let first = ledger.with(partition, |partition| partition.next);
    let count = 1 + first % 7;
    ledger.with(partition, |partition| partition.next = first + count);
    let values: Vec<Vec<u8>> = (first..first + count).map(|number| ledger.value(partition, number)).collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let codec = if first.is_multiple_of(5) { Compression::Snappy } else { Compression::None };
    (Sent { first, count }, batch(codec, CREATED, &values))
}

/// The base offset, if the answer is a success. A topic that is still being created answers with an error.
fn acknowledged_offset(frame: &[u8]) -> Option<i64> {
    let mut reader = Reader::new(frame);
    ResponseHeader::decode(&mut reader, wire::ApiKey::Produce.response_header_version(BY_NAME)).ok()?;
    let response = ProduceResponse::decode(&mut reader, BY_NAME).ok()?;
    let partition = response.responses.first()?.partition_responses.first()?;
    (partition.error_code == 0).then_some(partition.base_offset)
}
