//! A client that produces all the while a broker does other things, until the connection ends, and remembers what was
//! acknowledged.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use klamm_tests::client::{BY_NAME, Client, batch, produce_request};
use log_engine::batch::{BatchView, Compression, DecompressionCap};
use log_engine::types::TimestampMs;
use wire::ApiKey;
use wire::header::ResponseHeader;
use wire::messages::ProduceResponse;
use wire::primitives::Reader;

/// Requests that are sent before the first of them is answered.
const UNANSWERED: usize = 4;
/// Between two requests: it shall be load, not a flood.
const PAUSE: Duration = Duration::from_millis(2);
/// A partition may have no leader for a moment after a start.
const ATTEMPTS: usize = 200;

/// What was sent to partition 0 of a topic. Record number n has the same value whoever reads it.
pub(crate) struct Load {
    topic: &'static str,
    /// Number of the next record. Those of batches that were not acknowledged are not used again.
    next: u64,
    acknowledged: Vec<Acknowledged>,
}

struct Acknowledged {
    offset: i64,
    first: u64,
    count: u64,
}

struct Sent {
    first: u64,
    count: u64,
}

impl Load {
    pub(crate) fn new(topic: &'static str) -> Self {
        Self { topic, next: 0, acknowledged: Vec::new() }
    }

    /// Produces until the broker is gone; answers how many batches were acknowledged.
    pub(crate) fn produce_until_closed(&mut self, bootstrap: &str) -> usize {
        let before = self.acknowledged.len();
        let mut client = Client::connect(bootstrap).expect("the broker accepts connections");
        let mut unanswered = VecDeque::new();
        loop {
            while unanswered.len() < UNANSWERED {
                let sent = Sent { first: self.next, count: 1 + self.next % 5 };
                self.next += sent.count;
                if client.send(&produce_request(self.topic, 0, -1, &records(&sent)), BY_NAME).is_err() {
                    return self.acknowledged.len() - before;
                }
                unanswered.push_back(sent);
            }
            let Ok(frame) = client.receive_frame() else { return self.acknowledged.len() - before };
            let Sent { first, count } = unanswered.pop_front().expect("an answer answers a request");
            if let Some(offset) = acknowledged_offset(&frame) {
                self.acknowledged.push(Acknowledged { offset, first, count });
            }
            thread::sleep(PAUSE);
        }
    }

    /// Panics unless all that was acknowledged is at its offset, and what else there is lies in the order of sending.
    pub(crate) fn is_there(&self, bootstrap: &str) {
        let read = self.read(bootstrap);
        for pair in read.windows(2) {
            assert!(pair[0] < pair[1], "{}: record {} lies before {}", self.topic, pair[0], pair[1]);
        }
        for Acknowledged { offset, first, count } in &self.acknowledged {
            let from = usize::try_from(*offset).expect("offsets are not negative");
            let found = read.get(from..from + *count as usize).map(<[u64]>::to_vec);
            let sent: Vec<u64> = (*first..first + count).collect();
            assert_eq!(found, Some(sent), "{}: acknowledged at {offset}", self.topic);
        }
    }

    /// The number of each record, from offset 0 on.
    fn read(&self, bootstrap: &str) -> Vec<u64> {
        let mut client = Client::connect(bootstrap).expect("the broker accepts connections");
        let mut numbers = Vec::new();
        loop {
            let records = self.fetch(&mut client, numbers.len());
            let mut rest = &records[..];
            let before = numbers.len();
            while let Ok(batch) = BatchView::read(rest) {
                assert!(batch.crc_is_valid());
                assert_eq!(batch.base_offset().get(), numbers.len() as i64, "offsets have no gap");
                let mut inner = batch.records(DecompressionCap::default()).expect("it decompresses");
                while let Some(record) = inner.next_record() {
                    let value = record.expect("a record").value.unwrap_or_default();
                    let number = u64::from_be_bytes(*value.first_chunk().expect("a number"));
                    assert_eq!(value, value_of(number), "record {number} is as it was sent");
                    numbers.push(number);
                }
                rest = &rest[batch.as_bytes().len()..];
            }
            if numbers.len() == before {
                return numbers;
            }
        }
    }

    fn fetch(&self, client: &mut Client, offset: usize) -> Vec<u8> {
        for _ in 0..ATTEMPTS {
            let answer = client.fetch(self.topic, 0, offset as i64, 1 << 20, |answer| {
                let records = answer.records.as_ref().and_then(|records| records.inline());
                (answer.error_code == 0).then(|| records.unwrap_or_default().to_vec())
            });
            if let Some(records) = answer.expect("an answer") {
                return records;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{} is not served", self.topic);
    }
}

fn records(sent: &Sent) -> Vec<u8> {
    let values: Vec<Vec<u8>> = (sent.first..sent.first + sent.count).map(value_of).collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let codec = if sent.first.is_multiple_of(3) { Compression::Lz4 { level: 9 } } else { Compression::None };
    batch(codec, TimestampMs::new(1_700_000_000_000), &values)
}

fn value_of(number: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(8 + (number % 200) as usize, number as u8);
    value
}

/// The base offset, if the answer is a success.
fn acknowledged_offset(frame: &[u8]) -> Option<i64> {
    let mut reader = Reader::new(frame);
    ResponseHeader::decode(&mut reader, ApiKey::Produce.response_header_version(BY_NAME)).ok()?;
    let response = ProduceResponse::decode(&mut reader, BY_NAME).ok()?;
    let partition = response.responses.first()?.partition_responses.first()?;
    (partition.error_code == 0).then_some(partition.base_offset)
}
