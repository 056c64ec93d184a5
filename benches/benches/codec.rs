//! What the codec costs on the way of records: requests of producers and consumers read, their answers written.
//!
//! A case is topics x partitions of each. Record bytes are passed by, so that their number does not count.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wire::frame::encode_response;
use wire::message::Encode;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use wire::messages::{FetchRequest, FetchResponse, ProduceRequest, ProduceResponse};
use wire::primitives::{Reader, RecordsRef, ResponseRecords, Uuid, Writer};

const CASES: [(usize, i32); 3] = [(1, 1), (1, 100), (100, 1)];
const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 17;
const TOPIC: Uuid = Uuid([7; 16]);
const RECORDS: &[u8] = &[0; 1000];

fn each_topic<T: Clone>(topics: usize, topic: T) -> Vec<T> {
    vec![topic; topics]
}

fn produce_request(topics: usize, partitions: i32) -> Vec<u8> {
    let partition = |index| PartitionProduceData {
        index,
        records: Some(RecordsRef::new(RECORDS)),
        ..PartitionProduceData::default()
    };
    let partition_data = (0..partitions).map(partition).collect();
    let topic = TopicProduceData { topic_id: TOPIC, partition_data, ..TopicProduceData::default() };
    let request =
        ProduceRequest { acks: 1, topic_data: each_topic(topics, topic), ..ProduceRequest::default() };
    encoded(&request, PRODUCE_VERSION)
}

fn produce_response(topics: usize, partitions: i32) -> ProduceResponse<'static> {
    let partition =
        |index| PartitionProduceResponse { index, base_offset: 5, ..PartitionProduceResponse::default() };
    let partition_responses = (0..partitions).map(partition).collect();
    let topic =
        TopicProduceResponse { topic_id: TOPIC, partition_responses, ..TopicProduceResponse::default() };
    ProduceResponse { responses: each_topic(topics, topic), ..ProduceResponse::default() }
}

fn fetch_request(topics: usize, partitions: i32) -> Vec<u8> {
    let partition = |partition| FetchPartition {
        partition,
        fetch_offset: 5,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic_id: TOPIC,
        partitions: (0..partitions).map(partition).collect(),
        ..FetchTopic::default()
    };
    encoded(&FetchRequest { topics: each_topic(topics, topic), ..FetchRequest::default() }, FETCH_VERSION)
}

fn fetch_response(topics: usize, partitions: i32) -> FetchResponse<'static> {
    let partition = |partition_index| PartitionData {
        partition_index,
        high_watermark: 9,
        aborted_transactions: None,
        records: Some(ResponseRecords::Elsewhere { slot: 0, len: RECORDS.len() }),
        ..PartitionData::default()
    };
    let topic = FetchableTopicResponse {
        topic_id: TOPIC,
        partitions: (0..partitions).map(partition).collect(),
        ..FetchableTopicResponse::default()
    };
    FetchResponse { responses: each_topic(topics, topic), ..FetchResponse::default() }
}

fn encoded(message: &impl Encode, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    message.encode(&mut w, version).expect("the version has these fields");
    w.into_bytes()
}

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    for (topics, partitions) in CASES {
        group.throughput(Throughput::Elements(topics as u64 * partitions.unsigned_abs() as u64));
        let case = |name| BenchmarkId::new(name, format!("{topics}x{partitions}"));

        let frame = produce_request(topics, partitions);
        group.bench_function(case("read produce"), |b| {
            b.iter(|| ProduceRequest::decode(&mut Reader::new(black_box(&frame)), PRODUCE_VERSION));
        });
        let frame = fetch_request(topics, partitions);
        group.bench_function(case("read fetch"), |b| {
            b.iter(|| FetchRequest::decode(&mut Reader::new(black_box(&frame)), FETCH_VERSION));
        });
        let response = produce_response(topics, partitions);
        group.bench_function(case("write produce answer"), |b| {
            b.iter(|| encode_response(black_box(&response), PRODUCE_VERSION, 1, Vec::new()));
        });
        let response = fetch_response(topics, partitions);
        group.bench_function(case("write fetch answer"), |b| {
            b.iter(|| encode_response(black_box(&response), FETCH_VERSION, 1, Vec::new()));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
