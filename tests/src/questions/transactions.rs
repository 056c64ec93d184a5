//! Transactions as their coordinator and partitions are asked about them, over every protocol that clients have spoken:
//! right requests, wrong ones, and those of producers that were replaced. The answers of Apache Kafka are kept in
//! `tests/it/transactions.txt`.
//!
//! Producer ids are told by the order in which they were first seen, since each broker counts from where it likes.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use log_engine::batch::{BatchBuilder, BatchView, Compression, NewRecord};
use log_engine::types::{ProducerEpoch, ProducerId, Sequence};
use wire::ErrorCode;
use wire::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::describe_producers_request::TopicRequest;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use wire::messages::{
    AddPartitionsToTxnRequest, CreateTopicsRequest, DescribeProducersRequest, DescribeTransactionsRequest,
    EndTxnRequest, FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    ListTransactionsRequest, ProduceRequest, WriteTxnMarkersRequest,
};

use super::{error, now};
use crate::binaries::workspace;
use crate::client::{BY_NAME, Client, produce_request};

const TOPIC: &str = "transactional";

/// Where the answers of Apache Kafka are kept.
pub fn kafkas_answers() -> PathBuf {
    workspace().join("tests/it/transactions.txt")
}

/// Asks everything. One line for each question, always in the same order.
pub fn ask(bootstrap: &str) -> Vec<String> {
    let client = Client::connect(bootstrap).expect("the broker accepts a connection");
    let mut asked = Asked { client, answers: Vec::new(), ids: Vec::new() };
    asked.prepare();
    asked.initialise();
    asked.run_classically();
    asked.run_with_epoch_bumps();
    asked.verify();
    asked.replace();
    asked.time_out();
    asked.end_by_hand();
    asked.list();
    asked.answers
}

/// Who produces: id and epoch.
type Producer = (i64, i16);

struct Asked {
    client: Client,
    answers: Vec<String>,
    /// Producer ids as they came up.
    ids: Vec<i64>,
}

/// The first versions by which producers add partitions before they write, and by writing.
const CLASSIC: (i16, i16) = (11, 4);
const EPOCH_BUMP: (i16, i16) = (12, 5);

impl Asked {
    fn note(&mut self, question: &str, answer: &str) {
        self.answers.push(format!("{question}: {answer}"));
    }

    fn name(&mut self, id: i64) -> String {
        if id < 0 {
            return id.to_string();
        }
        let known = self.ids.iter().position(|known| *known == id);
        let at = known.unwrap_or_else(|| {
            self.ids.push(id);
            self.ids.len() - 1
        });
        format!("p{at}")
    }

    fn prepare(&mut self) {
        let topic = CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 8,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        self.client.call(&request, 7, |_| ()).expect("CreateTopics is answered");
        let request = FindCoordinatorRequest {
            key_type: 1,
            coordinator_keys: vec!["one".into()],
            ..Default::default()
        };
        self.settled("the coordinator is found", |asked| {
            let found = asked.client.call(&request, 4, |response| response.coordinators[0].error_code);
            found.expect("FindCoordinator is answered") == 0
        });
        let request = InitProducerIdRequest {
            transactional_id: Some("ready".into()),
            transaction_timeout_ms: 1000,
            ..Default::default()
        };
        self.settled("the coordinator is ready", |asked| {
            let answer = asked.client.call(&request, 4, |response| response.error_code);
            answer.expect("InitProducerId is answered") == 0
        });
    }

    /// Asks until it is so.
    fn settled(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        for _ in 0..600 {
            if holds(self) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{what} does not come");
    }

    // ---- the coordinator

    fn init_as(&mut self, version: i16, id: &str, timeout_ms: i32, expected: Producer) -> Producer {
        let request = InitProducerIdRequest {
            transactional_id: Some(id.into()),
            transaction_timeout_ms: timeout_ms,
            producer_id: expected.0,
            producer_epoch: expected.1,
            ..Default::default()
        };
        let answer = self.client.call(&request, version, |response| {
            (response.error_code, response.producer_id, response.producer_epoch)
        });
        let (code, id_given, epoch) = answer.expect("InitProducerId is answered");
        let (name, expected_name) = (self.name(id_given), self.name(expected.0));
        let question = format!("init {id} v{version} timeout {timeout_ms} as {expected_name}/{}", expected.1);
        self.note(&question, &format!("{} {name}/{epoch}", error(code, None)));
        (id_given, epoch)
    }

    fn init(&mut self, id: &str) -> Producer {
        self.init_as(5, id, 60_000, (-1, -1))
    }

    fn add(&mut self, version: i16, id: &str, producer: Producer, topic: &str, partitions: &[i32]) {
        let topics = vec![AddPartitionsToTxnTopic {
            name: topic.to_owned().into(),
            partitions: partitions.to_vec(),
            ..Default::default()
        }];
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: id.into(),
            v3_and_below_producer_id: producer.0,
            v3_and_below_producer_epoch: producer.1,
            v3_and_below_topics: topics,
            ..Default::default()
        };
        let answer = self.client.call(&request, version, |response| {
            let topics = response.results_by_topic_v3_and_below.iter();
            let results = topics.flat_map(|topic| &topic.results_by_partition);
            let mut results: Vec<_> =
                results.map(|result| (result.partition_index, result.partition_error_code)).collect();
            results.sort_unstable();
            results
        });
        let answer = codes(&answer.expect("AddPartitionsToTxn is answered"));
        let name = self.name(producer.0);
        self.note(&format!("add {id} v{version} {name}/{} {topic} {partitions:?}", producer.1), &answer);
    }

    /// As brokers ask each other.
    fn add_as_broker(
        &mut self,
        version: i16,
        verify: bool,
        id: &str,
        producer: Producer,
        partitions: &[i32],
    ) {
        let topics = vec![AddPartitionsToTxnTopic {
            name: TOPIC.into(),
            partitions: partitions.to_vec(),
            ..Default::default()
        }];
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: id.into(),
            producer_id: producer.0,
            producer_epoch: producer.1,
            verify_only: verify,
            topics,
            ..Default::default()
        };
        let request = AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() };
        let answer = self.client.call(&request, version, |response| {
            let transactions = response.results_by_transaction.iter();
            let topics = transactions.flat_map(|transaction| &transaction.topic_results);
            let results = topics.flat_map(|topic| &topic.results_by_partition);
            let mut results: Vec<_> =
                results.map(|result| (result.partition_index, result.partition_error_code)).collect();
            results.sort_unstable();
            (response.error_code, results)
        });
        let (code, results) = answer.expect("AddPartitionsToTxn is answered");
        let (name, what) = (self.name(producer.0), if verify { "verify" } else { "add as broker" });
        let answer = format!("{} {}", error(code, None), codes(&results));
        self.note(&format!("{what} {id} v{version} {name}/{} {partitions:?}", producer.1), &answer);
    }

    fn end(&mut self, version: i16, id: &str, producer: Producer, committed: bool) -> Producer {
        let request = EndTxnRequest {
            transactional_id: id.into(),
            producer_id: producer.0,
            producer_epoch: producer.1,
            committed,
            ..Default::default()
        };
        let answer = self.client.call(&request, version, |response| {
            (response.error_code, response.producer_id, response.producer_epoch)
        });
        let (code, next, epoch) = answer.expect("EndTxn is answered");
        let (name, next_name) = (self.name(producer.0), self.name(next));
        let what = if committed { "commit" } else { "abort" };
        let question = format!("{what} {id} v{version} {name}/{}", producer.1);
        self.note(&question, &format!("{} {next_name}/{epoch}", error(code, None)));
        self.rest(id);
        if next < 0 { producer } else { (next, epoch) }
    }

    /// Until no markers are on their way.
    fn rest(&mut self, id: &str) {
        self.settled("the end of a transaction", |asked| !asked.state(id).starts_with("Prepare"));
    }

    fn state(&mut self, id: &str) -> String {
        self.described(id, |state| state.transaction_state.to_string())
    }

    fn described<T>(
        &mut self,
        id: &str,
        read: impl FnOnce(&wire::messages::describe_transactions_response::TransactionState<'_>) -> T,
    ) -> T {
        let request =
            DescribeTransactionsRequest { transactional_ids: vec![id.into()], ..Default::default() };
        let answer = self.client.call(&request, 0, |response| read(&response.transaction_states[0]));
        answer.expect("DescribeTransactions is answered")
    }

    fn describe(&mut self, id: &str) {
        let (code, text, producer, epoch) = self.described(id, |state| {
            let mut topics: Vec<String> = state
                .topics
                .iter()
                .map(|topic| {
                    let mut partitions = topic.partitions.clone();
                    partitions.sort_unstable();
                    format!("{} {partitions:?}", topic.topic)
                })
                .collect();
            topics.sort_unstable();
            let started = if state.transaction_start_time_ms > 0 { "started" } else { "not started" };
            let text = format!(
                "{} timeout {} {started} [{}]",
                state.transaction_state,
                state.transaction_timeout_ms,
                topics.join(" ")
            );
            (state.error_code, text, state.producer_id, state.producer_epoch)
        });
        let name = self.name(producer);
        self.note(&format!("describe {id}"), &format!("{} {name}/{epoch} {text}", error(code, None)));
    }

    // ---- the partitions

    fn produce_with(
        &mut self,
        version: i16,
        id: Option<&str>,
        producer: Producer,
        sequence: i32,
        partition: i32,
        transactional: bool,
    ) {
        let (producer_id, epoch) = (ProducerId::new(producer.0), ProducerEpoch::new(producer.1));
        let mut builder =
            BatchBuilder::new(Compression::None).producer(producer_id, epoch, Sequence::new(sequence));
        if transactional {
            builder = builder.transactional();
        }
        let record = NewRecord { timestamp: now(), value: Some(b"value"), ..NewRecord::default() };
        builder.append(&record).expect("small");
        let records = builder.finish().expect("small");
        let request = ProduceRequest {
            transactional_id: id.map(Into::into),
            ..produce_request(TOPIC, partition, -1, &records)
        };
        let answer = self.client.call(&request, version, |response| {
            let answer = &response.responses[0].partition_responses[0];
            format!("{} at {}", error(answer.error_code, answer.error_message.as_deref()), answer.base_offset)
        });
        let (name, id) = (self.name(producer.0), id.unwrap_or("nobody"));
        let kind = if transactional { "" } else { " outside" };
        let question =
            format!("produce {id} v{version} {name}/{} {sequence} to {partition}{kind}", producer.1);
        self.note(&question, &answer.expect("Produce is answered"));
    }

    fn produce(&mut self, version: i16, id: &str, producer: Producer, sequence: i32, partition: i32) {
        self.produce_with(version, Some(id), producer, sequence, partition, true);
    }

    /// What readers of committed records see: how far, what they must skip, and which batches they are given.
    fn read_committed(&mut self, partition: i32) {
        let partitions =
            vec![FetchPartition { partition, partition_max_bytes: 1 << 20, ..Default::default() }];
        let topics = vec![FetchTopic { topic: TOPIC.into(), partitions, ..Default::default() }];
        let request = FetchRequest {
            max_bytes: 1 << 20,
            session_epoch: -1,
            isolation_level: 1,
            topics,
            ..Default::default()
        };
        let answer = self.client.call(&request, BY_NAME, |response| {
            let answer = &response.responses[0].partitions[0];
            let aborted = answer.aborted_transactions.iter().flatten();
            let aborted: Vec<_> = aborted.map(|one| (one.producer_id, one.first_offset)).collect();
            let bytes = answer.records.as_ref().and_then(|records| records.inline()).unwrap_or_default();
            (answer.error_code, answer.last_stable_offset, answer.high_watermark, aborted, batches(bytes))
        });
        let (code, last_stable, high_watermark, aborted, batches) = answer.expect("Fetch is answered");
        let aborted: Vec<String> =
            aborted.into_iter().map(|(id, first)| format!("{}@{first}", self.name(id))).collect();
        let answer = format!(
            "{} stable {last_stable} of {high_watermark} aborted {aborted:?} batches {batches}",
            error(code, None)
        );
        self.note(&format!("read committed {partition}"), &answer);
        self.look_up_end(partition);
    }

    fn look_up_end(&mut self, partition: i32) {
        let partitions =
            vec![ListOffsetsPartition { partition_index: partition, timestamp: -1, ..Default::default() }];
        let topics = vec![ListOffsetsTopic { name: TOPIC.into(), partitions, ..Default::default() }];
        let request = ListOffsetsRequest { replica_id: -1, isolation_level: 1, topics, ..Default::default() };
        let answer = self.client.call(&request, 7, |response| {
            let answer = &response.topics[0].partitions[0];
            format!("{} {}", error(answer.error_code, None), answer.offset)
        });
        self.note(&format!("committed end of {partition}"), &answer.expect("ListOffsets is answered"));
    }

    fn producers(&mut self, partition: i32) {
        let topics = vec![TopicRequest {
            name: TOPIC.into(),
            partition_indexes: vec![partition],
            ..Default::default()
        }];
        let request = DescribeProducersRequest { topics, ..Default::default() };
        let answer = self.client.call(&request, 0, |response| {
            let answer = &response.topics[0].partitions[0];
            let mut producers: Vec<_> = answer
                .active_producers
                .iter()
                .map(|one| {
                    let rest = format!(
                        "/{} last {} coordinator {} open since {}",
                        one.producer_epoch,
                        one.last_sequence,
                        one.coordinator_epoch,
                        one.current_txn_start_offset
                    );
                    (one.producer_id, rest)
                })
                .collect();
            producers.sort();
            (error(answer.error_code, answer.error_message.as_deref()), producers)
        });
        let (code, producers) = answer.expect("DescribeProducers is answered");
        let producers: Vec<String> = producers.into_iter().map(|(id, rest)| self.name(id) + &rest).collect();
        self.note(&format!("producers of {partition}"), &format!("{code} {producers:?}"));
    }

    fn mark(&mut self, version: i16, producer: Producer, coordinator_epoch: i32, partition: i32, level: i8) {
        let topics = vec![WritableTxnMarkerTopic {
            name: TOPIC.into(),
            partition_indexes: vec![partition],
            ..Default::default()
        }];
        let marker = WritableTxnMarker {
            producer_id: producer.0,
            producer_epoch: producer.1,
            transaction_result: false,
            topics,
            coordinator_epoch,
            transaction_version: level,
            ..Default::default()
        };
        let request = WriteTxnMarkersRequest { markers: vec![marker], ..Default::default() };
        let answer = self.client.call(&request, version, |response| {
            error(response.markers[0].topics[0].partitions[0].error_code, None)
        });
        let name = self.name(producer.0);
        let question = format!(
            "abort by hand v{version} {name}/{} coordinator {coordinator_epoch} in {partition} level {level}",
            producer.1
        );
        self.note(&question, &answer.expect("WriteTxnMarkers is answered"));
    }

    // ---- the stories

    fn initialise(&mut self) {
        self.init("one");
        let (id, epoch) = self.init("one");
        self.init_as(0, "one", 60_000, (-1, -1));
        self.init_as(5, "one", 0, (-1, -1));
        self.init_as(5, "one", -1, (-1, -1));
        self.init_as(5, "one", 900_001, (-1, -1));
        self.init_as(5, "", 60_000, (-1, -1));
        self.init_as(5, "one", 60_000, (id, -1));
        self.init_as(5, "one", 60_000, (-1, epoch));
        // One epoch behind, by the request of version 0; then right; then the same once more.
        self.init_as(5, "one", 60_000, (id, epoch));
        self.init_as(3, "one", 60_000, (id, epoch));
        let (id, epoch) = self.init_as(5, "one", 60_000, (id, epoch + 1));
        self.init_as(5, "one", 60_000, (id, epoch - 1));
        self.init_as(5, "one", 60_000, (id + 77, epoch));
        self.init_as(5, "recovering", 60_000, (id, epoch));
        self.describe("one");
        self.describe("unknown");
        self.describe("");
    }

    fn run_classically(&mut self) {
        let (produce, end) = CLASSIC;
        let first = self.init("classic");
        self.end(end, "classic", first, true);
        self.end(end, "classic", first, false);
        self.produce(produce, "classic", first, 0, 0);
        self.add(3, "classic", first, TOPIC, &[0, 1]);
        self.describe("classic");
        self.add(3, "classic", first, TOPIC, &[1]);
        self.add(3, "classic", first, TOPIC, &[1, 99]);
        self.add(3, "classic", first, "unknown", &[0]);
        self.add(3, "classic", first, "__consumer_offsets", &[0]);
        self.add(3, "classic", (first.0, first.1 + 1), TOPIC, &[2]);
        self.add(1, "classic", (first.0, first.1 + 1), TOPIC, &[2]);
        self.add(3, "classic", (first.0 + 77, first.1), TOPIC, &[2]);
        self.add(3, "nobody", first, TOPIC, &[2]);
        self.add(3, "", first, TOPIC, &[2]);
        for sequence in 0..3 {
            self.produce(produce, "classic", first, sequence, 0);
        }
        self.produce(10, "classic", first, 0, 1);
        self.produce(10, "classic", first, 0, 2);
        self.produce(11, "classic", first, 0, 2);
        self.produce_with(produce, None, first, 3, 0, true);
        self.produce_with(produce, Some("classic"), first, 3, 0, false);
        self.produce(produce, "classic", (first.0, first.1 + 1), 0, 1);
        self.produce(produce, "classic", (first.0 + 77, first.1), 0, 1);
        self.read_committed(0);
        self.producers(0);
        self.end(1, "classic", (first.0, first.1 + 1), true);
        self.end(end, "classic", (first.0, first.1 + 1), true);
        self.end(end, "classic", (first.0 + 77, first.1), true);
        self.end(end, "nobody", first, true);
        self.end(end, "", first, true);
        self.end(end, "classic", first, true);
        self.describe("classic");
        self.read_committed(0);
        self.producers(0);
        self.end(end, "classic", first, true);
        self.end(end, "classic", first, false);
        self.add(3, "classic", first, TOPIC, &[0]);
        self.produce(produce, "classic", first, 3, 0);
        self.end(end, "classic", first, false);
        self.end(end, "classic", first, false);
        self.end(end, "classic", first, true);
        self.produce(produce, "classic", first, 4, 0);
        self.read_committed(0);
        // A newer client takes over.
        let next = self.end(EPOCH_BUMP.1, "classic", first, false);
        self.produce(EPOCH_BUMP.0, "classic", next, 0, 0);
        self.end(EPOCH_BUMP.1, "classic", next, true);
        self.read_committed(0);
        self.producers(0);
    }

    fn run_with_epoch_bumps(&mut self) {
        let (produce, end) = EPOCH_BUMP;
        let first = self.init("bumping");
        self.end(end, "bumping", first, true);
        let second = self.end(end, "bumping", first, false);
        self.describe("bumping");
        self.end(end, "bumping", first, false);
        self.end(end, "bumping", first, true);
        self.produce(produce, "bumping", first, 0, 3);
        self.produce(produce, "bumping", second, 3, 3);
        self.produce(produce, "bumping", second, 0, 3);
        self.produce(produce, "bumping", second, 1, 3);
        self.produce(produce, "bumping", second, 0, 4);
        self.describe("bumping");
        self.read_committed(3);
        self.end(end, "bumping", (second.0, second.1 + 1), true);
        self.end(end, "bumping", (second.0 + 77, second.1), true);
        let third = self.end(end, "bumping", second, true);
        self.end(end, "bumping", second, true);
        self.end(end, "bumping", second, false);
        self.end(end, "bumping", third, true);
        self.produce(produce, "bumping", second, 2, 3);
        self.produce(produce, "bumping", third, 2, 3);
        self.produce(produce, "bumping", third, 0, 3);
        self.produce_with(produce, Some("bumping"), third, 1, 3, false);
        let fourth = self.end(end, "bumping", third, false);
        self.end(end, "bumping", third, false);
        self.end(end, "bumping", third, true);
        self.read_committed(3);
        self.producers(3);
        self.produce(produce, "nobody", fourth, 0, 3);
        self.produce(produce, "", fourth, 0, 3);
        let fifth = self.end(end, "bumping", fourth, false);
        let sixth = self.end(end, "bumping", fifth, false);
        self.init_as(5, "bumping", 60_000, sixth);
        self.describe("bumping");
    }

    fn verify(&mut self) {
        let producer = self.init("verified");
        self.add_as_broker(4, true, "verified", producer, &[5]);
        self.add_as_broker(4, false, "verified", producer, &[5]);
        self.add_as_broker(4, true, "verified", producer, &[5, 6]);
        self.add_as_broker(5, true, "verified", (producer.0, producer.1 + 1), &[5]);
        self.add_as_broker(5, true, "verified", (producer.0 + 77, producer.1), &[5]);
        self.add_as_broker(5, true, "nobody", producer, &[5]);
        self.add_as_broker(5, true, "", producer, &[5]);
        self.add_as_broker(5, false, "verified", producer, &[5, 99]);
        self.add_as_broker(5, false, "verified", producer, &[6]);
        self.describe("verified");
        self.end(5, "verified", producer, true);
    }

    fn replace(&mut self) {
        for (id, (produce, end)) in [("replaced classically", CLASSIC), ("replaced", EPOCH_BUMP)] {
            let zombie = self.init(id);
            self.add(3, id, zombie, TOPIC, &[6]);
            self.produce(produce, id, zombie, 0, 6);
            self.init(id);
            self.rest(id);
            self.describe(id);
            let fresh = self.init(id);
            self.produce(produce, id, zombie, 1, 6);
            self.end(end, id, zombie, true);
            self.add(3, id, zombie, TOPIC, &[6]);
            self.add(3, id, fresh, TOPIC, &[6]);
            self.produce(produce, id, fresh, 0, 6);
            self.end(end, id, fresh, true);
            self.read_committed(6);
        }
        self.producers(6);
    }

    fn time_out(&mut self) {
        let producer = self.init_as(5, "slow", 300, (-1, -1));
        self.produce(12, "slow", producer, 0, 7);
        self.settled("the abort of a transaction that takes too long", |asked| {
            asked.state("slow") == "CompleteAbort"
        });
        self.describe("slow");
        self.end(5, "slow", producer, true);
        self.produce(12, "slow", producer, 1, 7);
        self.init_as(5, "slow", 300, producer);
        self.read_committed(7);
    }

    /// Transactions that no coordinator knows: nobody ends them but an administrator.
    fn end_by_hand(&mut self) {
        let producer = self.init("hanging");
        self.produce(12, "hanging", producer, 0, 7);
        self.mark(1, (producer.0, producer.1 - 1), 0, 7, 0);
        self.mark(1, producer, 0, 99, 0);
        self.mark(2, producer, 0, 7, 2);
        self.mark(1, producer, 5, 7, 0);
        self.mark(1, producer, 4, 7, 0);
        self.read_committed(7);
        self.producers(7);
        self.producers(99);
    }

    fn list(&mut self) {
        for (question, states, patterns) in [
            ("all", &[][..], None),
            ("ongoing", &["Ongoing"], None),
            ("complete", &["CompleteCommit", "CompleteAbort"], None),
            ("an unknown state", &["Ongoing", "Sleeping", "dead"], None),
            ("dead", &["Dead"], None),
            ("a pattern", &[], Some("re.*ed")),
            ("a part of a name", &[], Some("ump")),
            ("no pattern", &[], Some("")),
            ("a broken pattern", &[], Some("(")),
        ] {
            let request = ListTransactionsRequest {
                state_filters: states.iter().map(|&state| state.into()).collect(),
                transactional_id_pattern: patterns.map(Into::into),
                ..Default::default()
            };
            self.list_with(question, &request);
        }
        let old = ListTransactionsRequest { duration_filter: 3_600_000, ..Default::default() };
        self.list_with("older than an hour", &old);
        let producer = ListTransactionsRequest { producer_id_filters: vec![-5], ..Default::default() };
        self.list_with("an unknown producer", &producer);
    }

    fn list_with(&mut self, question: &str, request: &ListTransactionsRequest<'_>) {
        let answer = self.client.call(request, 2, |response| {
            let mut listed: Vec<_> = response
                .transaction_states
                .iter()
                .map(|one| {
                    (one.transactional_id.to_string(), one.transaction_state.to_string(), one.producer_id)
                })
                .collect();
            listed.sort();
            let unknown: Vec<String> =
                response.unknown_state_filters.iter().map(|state| state.to_string()).collect();
            (error(response.error_code, None), listed, unknown)
        });
        let (code, listed, unknown) = answer.expect("ListTransactions is answered");
        let listed: Vec<String> = listed
            .into_iter()
            .map(|(id, state, producer)| format!("{id} {state} {}", self.name(producer)))
            .collect();
        self.note(&format!("list {question}"), &format!("{code} {listed:?} unknown {unknown:?}"));
    }
}

fn codes(results: &[(i32, i16)]) -> String {
    let told: Vec<String> =
        results.iter().map(|(partition, code)| format!("{partition}={}", name_of(*code))).collect();
    told.join(" ")
}

fn name_of(code: i16) -> &'static str {
    ErrorCode::from_code(code).map_or("an unknown code", ErrorCode::name)
}

/// Of each batch its offsets, and what kind it is.
fn batches(mut bytes: &[u8]) -> String {
    let mut told = Vec::new();
    while let Ok(batch) = BatchView::read(bytes) {
        let kind = match (batch.is_control(), batch.is_transactional()) {
            (true, _) => "marker",
            (false, true) => "data",
            (false, false) => "plain",
        };
        told.push(format!("{}..{} {kind}", batch.base_offset(), batch.last_offset()));
        bytes = &bytes[batch.size_in_bytes()..];
    }
    format!("{told:?}")
}
