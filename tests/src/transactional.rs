//! A transactional producer over the wire, of the newest protocol, and a reader of committed records: what real clients do,
//! with every answer in reach.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::ToSocketAddrs;
use std::thread;
use std::time::Duration;

use log_engine::batch::{BatchBuilder, BatchView, Compression, DecompressionCap, NewRecord};
use log_engine::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use wire::ErrorCode;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::{
    DescribeTransactionsRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ProduceRequest,
};

use crate::client::{BY_NAME, Client, produce_request};

/// The newest versions by name.
const PRODUCE: i16 = 12;
const END: i16 = 5;
const INIT: i16 = 5;
/// Kafka's number of transactions among what is coordinated.
const TRANSACTION: i8 = 1;
/// Any time of the past.
const CREATED: TimestampMs = TimestampMs::new(1_700_000_000_000);

/// A producer with a transactional id.
#[derive(Debug)]
pub struct TransactionalProducer {
    client: Client,
    id: String,
    producer: (i64, i16),
    sequences: HashMap<i32, i32>,
}

impl TransactionalProducer {
    /// Finds the coordinator and takes the id over: what was open under it is aborted.
    pub fn start(address: impl ToSocketAddrs, id: &str, timeout_ms: i32) -> io::Result<Self> {
        let mut client = Client::connect(address)?;
        patiently("the coordinator", || find_coordinator(&mut client, id))?;
        let mut producer = (-1, -1);
        patiently("a producer id", || {
            let (code, granted) = init(&mut client, id, timeout_ms)?;
            producer = granted;
            Ok(code)
        })?;
        Ok(Self { client, id: id.to_owned(), producer, sequences: HashMap::new() })
    }

    /// Writes one record as part of the transaction, which begins with the first. Answers its offset.
    pub fn produce(&mut self, topic: &str, partition: i32, value: &[u8]) -> io::Result<i64> {
        let mut offset = -1;
        patiently("an append", || {
            let (code, at) = self.try_produce(topic, partition, value)?;
            offset = at;
            Ok(code)
        })?;
        *self.sequences.entry(partition).or_default() += 1;
        Ok(offset)
    }

    /// One attempt at it.
    pub fn try_produce(&mut self, topic: &str, partition: i32, value: &[u8]) -> io::Result<(ErrorCode, i64)> {
        let (id, epoch) = (ProducerId::new(self.producer.0), ProducerEpoch::new(self.producer.1));
        let sequence = Sequence::new(self.sequences.get(&partition).copied().unwrap_or(0));
        let mut builder = BatchBuilder::new(Compression::None).producer(id, epoch, sequence).transactional();
        let record = NewRecord { timestamp: CREATED, value: Some(value), ..NewRecord::default() };
        builder.append(&record).map_err(io::Error::other)?;
        let records = builder.finish().map_err(io::Error::other)?;
        let request = ProduceRequest {
            transactional_id: Some(self.id.as_str().into()),
            ..produce_request(topic, partition, -1, &records)
        };
        self.client.call(&request, PRODUCE, |response| {
            let answer = &response.responses[0].partition_responses[0];
            (code(answer.error_code), answer.base_offset)
        })
    }

    /// Ends the transaction; the next one goes on under the epoch that comes with the answer.
    pub fn end(&mut self, committed: bool) -> io::Result<()> {
        patiently("the end of a transaction", || self.try_end(committed))
    }

    /// One attempt at it.
    pub fn try_end(&mut self, committed: bool) -> io::Result<ErrorCode> {
        let request = EndTxnRequest {
            transactional_id: self.id.as_str().into(),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            committed,
            ..Default::default()
        };
        let (code, next) = self.client.call(&request, END, |response| {
            (code(response.error_code), (response.producer_id, response.producer_epoch))
        })?;
        if code == ErrorCode::None {
            self.producer = next;
            self.sequences.clear();
        }
        Ok(code)
    }

    /// What the coordinator says that the id is doing.
    pub fn state(&mut self) -> io::Result<String> {
        let request = DescribeTransactionsRequest {
            transactional_ids: vec![self.id.as_str().into()],
            ..Default::default()
        };
        self.client.call(&request, 0, |response| response.transaction_states[0].transaction_state.to_string())
    }

    /// Who it is: id and epoch.
    pub fn producer(&self) -> (i64, i16) {
        self.producer
    }
}

fn find_coordinator(client: &mut Client, id: &str) -> io::Result<ErrorCode> {
    let request = FindCoordinatorRequest {
        key_type: TRANSACTION,
        coordinator_keys: vec![id.into()],
        ..Default::default()
    };
    client.call(&request, 4, |response| code(response.coordinators[0].error_code))
}

fn init(client: &mut Client, id: &str, timeout_ms: i32) -> io::Result<(ErrorCode, (i64, i16))> {
    let request = InitProducerIdRequest {
        transactional_id: Some(id.into()),
        transaction_timeout_ms: timeout_ms,
        ..Default::default()
    };
    client.call(&request, INIT, |response| {
        (code(response.error_code), (response.producer_id, response.producer_epoch))
    })
}

fn code(number: i16) -> ErrorCode {
    ErrorCode::from_code(number).expect("a known error")
}

/// Tries again while the answer is one that passes; any other failure is one.
fn patiently(what: &str, mut attempt: impl FnMut() -> io::Result<ErrorCode>) -> io::Result<()> {
    for _ in 0..1200 {
        match attempt()? {
            ErrorCode::None => return Ok(()),
            ErrorCode::ConcurrentTransactions
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::NotEnoughReplicas => thread::sleep(Duration::from_millis(5)),
            other => return Err(io::Error::other(format!("{what}: {other}"))),
        }
    }
    Err(io::Error::other(format!("{what} does not come")))
}

/// First offset and producer id of a transaction to be skipped.
type Aborted = (i64, i64);

/// Every value that a consumer at `read_committed` is given of a partition.
pub fn read_committed(client: &mut Client, topic: &str, partition: i32) -> io::Result<Vec<Vec<u8>>> {
    let (mut values, mut next) = (Vec::new(), 0);
    loop {
        let (bytes, aborted) = fetch_committed(client, topic, partition, next)?;
        let before = next;
        next = take_committed(&bytes, aborted, next, &mut values);
        if next == before {
            return Ok(values);
        }
    }
}

fn fetch_committed(
    client: &mut Client,
    topic: &str,
    partition: i32,
    fetch_offset: i64,
) -> io::Result<(Vec<u8>, Vec<Aborted>)> {
    let partitions =
        vec![FetchPartition { partition, fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() }];
    let topics = vec![FetchTopic { topic: topic.into(), partitions, ..Default::default() }];
    let request = FetchRequest {
        max_bytes: 1 << 20,
        session_epoch: -1,
        isolation_level: 1,
        topics,
        ..Default::default()
    };
    client.call(&request, BY_NAME, |response| {
        let answer = &response.responses[0].partitions[0];
        assert_eq!(answer.error_code, 0, "a fetch of {topic}-{partition} from {fetch_offset}");
        let aborted = answer.aborted_transactions.iter().flatten();
        let bytes = answer.records.as_ref().and_then(|records| records.inline()).unwrap_or_default();
        (bytes.to_vec(), aborted.map(|one| (one.first_offset, one.producer_id)).collect())
    })
}

/// As consumers do it: from its first offset on a producer's records are skipped, until its marker. Answers where to go on.
fn take_committed(mut bytes: &[u8], mut aborted: Vec<Aborted>, from: i64, values: &mut Vec<Vec<u8>>) -> i64 {
    aborted.sort_unstable_by(|one, other| other.cmp(one));
    let (mut skipped, mut next) = (BTreeSet::new(), from);
    while let Ok(batch) = BatchView::read(bytes) {
        while aborted.last().is_some_and(|(first, _)| *first <= batch.last_offset().get()) {
            skipped.extend(aborted.pop().map(|(_, producer)| producer));
        }
        let producer = batch.producer_id().get();
        if batch.is_control() {
            skipped.remove(&producer);
        } else if !(batch.is_transactional() && skipped.contains(&producer)) {
            let mut records = batch.records(DecompressionCap::default()).expect("a whole batch");
            while let Some(record) = records.next_record() {
                let record = record.expect("a whole record");
                if record.offset.get() >= from {
                    values.push(record.value.unwrap_or_default().to_vec());
                }
            }
        }
        next = batch.next_offset().get();
        bytes = &bytes[batch.size_in_bytes()..];
    }
    next
}
