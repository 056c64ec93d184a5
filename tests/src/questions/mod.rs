//! Requests that ask for what cannot be, and what a broker answers to each.
//!
//! The answers of Apache Kafka are kept in `tests/it/refusals.txt`: one line a question. The interop tests ask Kafka
//! whether the file still tells the truth, the integration tests ask Klamm whether it answers the same.

pub mod administration;
pub mod groups;
pub mod quotas;
pub mod settings;
pub mod transactions;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use wire::ErrorCode;
use wire::messages::create_partitions_request::CreatePartitionsTopic;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest,
    ListOffsetsRequest, OffsetForLeaderEpochRequest,
};

use crate::binaries::workspace;
use crate::client::{BY_NAME, Client, batch, fetch_request, produce_request};

/// The topic that the questions are about, and one that takes nothing large.
const TOPIC: &str = "questions";
const SMALL: &str = "questions.small";

/// Where the answers of Apache Kafka are kept.
pub fn kafkas_answers() -> PathBuf {
    workspace().join("tests/it/refusals.txt")
}

/// Panics if `answers` are not those of Apache Kafka that are kept in `file`.
pub fn assert_as_kafka(file: &Path, answers: &[String]) {
    let kept = fs::read_to_string(file).expect("Kafka's answers are in the tree");
    let differences: Vec<String> = kept
        .lines()
        .zip(answers)
        .filter(|(kafka, told)| kafka != told)
        .map(|(kafka, told)| format!("  kept: {kafka}\n  told: {told}"))
        .collect();
    assert!(differences.is_empty(), "{} answers differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(kept.lines().count(), answers.len(), "as many answers as are kept");
}

/// Asks everything. One line for each question, always in the same order.
pub fn ask(bootstrap: &str) -> Vec<String> {
    let client = Client::connect(bootstrap).expect("the broker accepts a connection");
    let mut asked = Asked { bootstrap: bootstrap.to_owned(), client, answers: Vec::new() };
    asked.create_topics();
    asked.change_topics();
    asked.produce();
    asked.produce_in_sequence();
    asked.fetch();
    asked.look_up_offsets();
    asked.send_what_is_no_request();
    asked.answers
}

/// Whether a request is to be carried out, or only to be judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Do,
    OnlyCheck,
}

struct Asked {
    bootstrap: String,
    client: Client,
    answers: Vec<String>,
}

impl Asked {
    fn note(&mut self, question: &str, answer: &str) {
        self.answers.push(format!("{question}: {}", without_times(answer)));
    }

    // ---- topics

    fn create_topics(&mut self) {
        self.create("an ordinary topic", TOPIC, 2, 1, &[]);
        self.create("a topic for small batches", SMALL, 1, 1, &[("max.message.bytes", "300")]);
        self.create("a topic that exists", TOPIC, 1, 1, &[]);
        let long = "n".repeat(250);
        for name in ["", ".", "..", "with space", "sl/ash", "uml\u{e4}ut", &long] {
            self.create(&format!("the name '{name}'"), name, 1, 1, &[]);
        }
        self.create("249 characters", &long[..249], 1, 1, &[]);
        self.create("a name that collides", "questions_small", 1, 1, &[]);
        self.create("no partitions", "none", 0, 1, &[]);
        self.create("negative partitions", "negative", -2, 1, &[]);
        self.create("too many partitions", "many", 1_000_000, 1, &[]);
        for count in [9_999, 10_000, 10_001] {
            self.create_if(Mode::OnlyCheck, &format!("{count} partitions at once"), "many", count, 1, &[]);
        }
        self.create("more replicas than brokers", "replicas", 1, 3, &[]);
        self.create("no replicas", "replicas", 1, 0, &[]);
        self.create("an unknown config", "config", 1, 1, &[("no.such.key", "1")]);
        self.create("a malformed config", "config", 1, 1, &[("retention.ms", "soon")]);
        self.create("a config out of range", "config", 1, 1, &[("segment.bytes", "-1")]);
        self.create("a config with no such choice", "config", 1, 1, &[("compression.type", "bzip2")]);
        self.create("default partitions and replicas", "defaults", -1, -1, &[]);
    }

    fn create(
        &mut self,
        question: &str,
        name: &str,
        partitions: i32,
        replicas: i16,
        configs: &[(&str, &str)],
    ) {
        self.create_if(Mode::Do, question, name, partitions, replicas, configs);
    }

    fn create_if(
        &mut self,
        mode: Mode,
        question: &str,
        name: &str,
        partitions: i32,
        replicas: i16,
        configs: &[(&str, &str)],
    ) {
        let configs = configs.iter().map(|&(name, value)| CreatableTopicConfig {
            name: name.into(),
            value: Some(value.into()),
            ..Default::default()
        });
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: replicas,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 10_000,
            validate_only: mode == Mode::OnlyCheck,
            ..Default::default()
        };
        let answer = self.client.call(&request, 7, |response| {
            let topic = response.topics.first().expect("an answer for the topic");
            let made = (topic.num_partitions, topic.replication_factor);
            format!("{} {made:?}", error(topic.error_code, topic.error_message.as_deref()))
        });
        self.note(&format!("create {question}"), &answer.expect("CreateTopics is answered"));
    }

    fn change_topics(&mut self) {
        self.grow("fewer partitions", TOPIC, 1);
        self.grow("as many partitions", TOPIC, 2);
        self.grow("partitions of an unknown topic", "unknown", 2);
        self.grow("one partition more", "defaults", 2);
        for count in [10_002, 10_003, 100_000] {
            self.grow_if(Mode::OnlyCheck, &format!("{count} partitions"), TOPIC, count);
        }
        self.delete("a topic", "defaults");
        self.delete("an unknown topic", "unknown");
        self.configure("an unknown topic", "unknown", "retention.ms", "1");
        self.configure("an unknown key", TOPIC, "no.such.key", "1");
        self.configure("a malformed value", TOPIC, "retention.ms", "soon");
        self.configure("a value", TOPIC, "index.interval.bytes", "100");
    }

    fn grow(&mut self, question: &str, name: &str, count: i32) {
        self.grow_if(Mode::Do, question, name, count);
    }

    fn grow_if(&mut self, mode: Mode, question: &str, name: &str, count: i32) {
        let topic =
            CreatePartitionsTopic { name: name.into(), count, assignments: None, ..Default::default() };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: 10_000,
            validate_only: mode == Mode::OnlyCheck,
            ..Default::default()
        };
        let answer = self.client.call(&request, 3, |response| {
            let result = response.results.first().expect("an answer for the topic");
            error(result.error_code, result.error_message.as_deref())
        });
        self.note(&format!("grow to {question}"), &answer.expect("CreatePartitions is answered"));
    }

    fn delete(&mut self, question: &str, name: &str) {
        let request =
            DeleteTopicsRequest { topic_names: vec![name.into()], timeout_ms: 10_000, ..Default::default() };
        let answer = self.client.call(&request, 5, |response| {
            let result = response.responses.first().expect("an answer for the topic");
            error(result.error_code, result.error_message.as_deref())
        });
        self.note(&format!("delete {question}"), &answer.expect("DeleteTopics is answered"));
    }

    fn configure(&mut self, question: &str, name: &str, key: &str, value: &str) {
        let config = AlterableConfig { name: key.into(), value: Some(value.into()), ..Default::default() };
        let resource = AlterConfigsResource {
            resource_type: 2,
            resource_name: name.into(),
            configs: vec![config],
            ..Default::default()
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
        let answer = self.client.call(&request, 1, |response| {
            let result = response.responses.first().expect("an answer for the resource");
            error(result.error_code, result.error_message.as_deref())
        });
        self.note(&format!("configure {question}"), &answer.expect("IncrementalAlterConfigs is answered"));
    }

    // ---- produce

    fn produce(&mut self) {
        let good = batch(Compression::None, now(), &[b"one", b"two"]);
        self.send("a good batch", TOPIC, 0, &good);
        self.send("to an unknown topic", "unknown", 0, &good);
        self.send("to an unknown partition", TOPIC, 7, &good);
        self.send("to a negative partition", TOPIC, -1, &good);
        self.send("a large batch", SMALL, 0, &batch(Compression::None, now(), &[&[b'x'; 400]]));
        self.send(
            "a large batch of the default limit",
            TOPIC,
            0,
            &batch(Compression::None, now(), &[&[b'x'; 1_100_000]]),
        );
        self.send(
            "a batch small when compressed",
            SMALL,
            0,
            &batch(Compression::Gzip { level: 6 }, now(), &[&[b'x'; 900]]),
        );
        self.send("nothing", TOPIC, 0, b"");
        self.send("two batches", TOPIC, 0, &[&good[..], &good].concat());
        self.send("half a batch", TOPIC, 0, &good[..good.len() / 2]);
        self.send("a byte too many", TOPIC, 0, &[&good[..], b"x"].concat());
        self.send("a flipped record byte", TOPIC, 0, &with(&good, 65, |byte| byte ^ 1));
        for magic in [0, 1, 3, 255] {
            self.send(&format!("magic {magic}"), TOPIC, 0, &with(&good, 16, |_| magic));
        }
        for codec in 5..8 {
            self.send(&format!("codec {codec}"), TOPIC, 0, &with_right_crc(with(&good, 22, |_| codec)));
        }
        self.send("plain bytes called gzip", TOPIC, 0, &with_right_crc(with(&good, 22, |_| 1)));
        self.send("a count too high", TOPIC, 0, &with_right_crc(with(&good, 60, |_| 3)));
        self.send("a count too low", TOPIC, 0, &with_right_crc(with(&good, 60, |_| 1)));
        self.send("a last offset too high", TOPIC, 0, &with_right_crc(with(&good, 26, |_| 9)));
        self.send("a control batch", TOPIC, 0, &with_right_crc(with(&good, 22, |_| 0x20)));
        self.send(
            "a transactional batch without a producer",
            TOPIC,
            0,
            &with_right_crc(with(&good, 22, |_| 0x10)),
        );
        self.send("a base offset of its own", TOPIC, 0, &with(&good, 7, |_| 77));
        let late = TimestampMs::new(now().get() + 7_200_000);
        self.send("a timestamp two hours ahead", TOPIC, 0, &batch(Compression::None, late, &[b"late"]));
        self.send(
            "a timestamp long ago",
            TOPIC,
            1,
            &batch(Compression::None, TimestampMs::new(1), &[b"early"]),
        );
        self.send("no timestamp", TOPIC, 1, &batch(Compression::None, TimestampMs::new(-1), &[b"never"]));
        for acks in [2, -2] {
            let answer = self.produce_answer(TOPIC, 0, acks, &good);
            self.note(&format!("produce with acks {acks}"), &answer);
        }
        self.send_without_answer("to an unknown topic", "unknown", &good);
        self.send_without_answer("a flipped byte", TOPIC, &with(&good, 65, |byte| byte ^ 1));
        self.send("a good batch after all", TOPIC, 0, &good);
    }

    fn produce_in_sequence(&mut self) {
        let batch = |epoch: i16, sequence: i32, values: &[&[u8]]| {
            let mut builder = BatchBuilder::new(Compression::None).producer(
                ProducerId::new(4711),
                ProducerEpoch::new(epoch),
                Sequence::new(sequence),
            );
            for value in values {
                let record = NewRecord { timestamp: now(), value: Some(value), ..NewRecord::default() };
                builder.append(&record).expect("small");
            }
            builder.finish().expect("small")
        };
        let first = batch(0, 0, &[b"a", b"b"]);
        self.send("the first of a producer", TOPIC, 1, &first);
        self.send("the first again", TOPIC, 1, &first);
        self.send("a gap in the sequence", TOPIC, 1, &batch(0, 5, &[b"f"]));
        self.send("the next in sequence", TOPIC, 1, &batch(0, 2, &[b"c"]));
        self.send("part of what is there", TOPIC, 1, &batch(0, 1, &[b"b"]));
        self.send("a new epoch not from zero", TOPIC, 1, &batch(1, 3, &[b"d"]));
        self.send("a new epoch from zero", TOPIC, 1, &batch(1, 0, &[b"d"]));
        self.send("the old epoch", TOPIC, 1, &batch(0, 3, &[b"d"]));
        self.send("a sequence without an epoch", TOPIC, 1, &batch(-1, 0, &[b"x"]));
        self.send("an unknown producer in the middle", TOPIC, 0, &batch(3, 9, &[b"x"]));
    }

    fn send(&mut self, question: &str, topic: &str, partition: i32, records: &[u8]) {
        let answer = self.produce_answer(topic, partition, -1, records);
        self.note(&format!("produce {question}"), &answer);
    }

    fn produce_answer(&mut self, topic: &str, partition: i32, acks: i16, records: &[u8]) -> String {
        let answer = self.client.produce(topic, partition, acks, records, |answer| {
            let mut text = error(answer.error_code, answer.error_message.as_deref());
            let time = if answer.log_append_time_ms == -1 { "none" } else { "some" };
            write!(text, " at {} append time {time} start {}", answer.base_offset, answer.log_start_offset)
                .expect("a string takes text");
            for error in &answer.record_errors {
                write!(text, " [{} {:?}]", error.batch_index, error.batch_index_error_message)
                    .expect("a string takes text");
            }
            text
        });
        self.or_closed(answer)
    }

    /// A broker has no other way to say that an append without acks failed than to end the connection.
    fn send_without_answer(&mut self, question: &str, topic: &str, records: &[u8]) {
        let mut client = Client::connect(&self.bootstrap).expect("the broker accepts a connection");
        client.send(&produce_request(topic, 0, 0, records), BY_NAME).expect("the request is sent");
        let answer = after(client.receive_frame());
        self.note(&format!("produce with acks 0 {question}"), answer);
    }

    /// The answer, or that the connection was closed; then there is a new one.
    fn or_closed(&mut self, answer: std::io::Result<String>) -> String {
        answer.unwrap_or_else(|failure| {
            self.client = Client::connect(&self.bootstrap).expect("the broker accepts a connection");
            assert_eq!(failure.kind(), std::io::ErrorKind::UnexpectedEof, "{failure}");
            "connection closed".to_owned()
        })
    }

    // ---- fetch

    fn fetch(&mut self) {
        self.read("from the start", TOPIC, 0, 0, 1 << 20);
        self.read("from the middle of a batch", TOPIC, 0, 1, 1 << 20);
        self.read("less than a batch", TOPIC, 0, 0, 1);
        self.read("at the end", TOPIC, 0, -2, 1 << 20);
        self.read("behind the end", TOPIC, 0, 1000, 1 << 20);
        self.read("a negative offset", TOPIC, 0, -5, 1 << 20);
        self.read("an unknown topic", "unknown", 0, 0, 1 << 20);
        self.read("an unknown partition", TOPIC, 9, 0, 1 << 20);
        for (question, leader_epoch) in [("an older leader epoch", -1), ("a newer leader epoch", 99)] {
            let mut request = fetch_request(TOPIC, 0, 0, 1 << 20);
            request.topics[0].partitions[0].current_leader_epoch = leader_epoch;
            self.read_as(question, &request, BY_NAME);
        }
        let mut request = fetch_request(TOPIC, 0, 0, 1 << 20);
        request.session_id = 12345;
        request.session_epoch = 7;
        self.read_as("in an unknown session", &request, BY_NAME);
        let mut request = fetch_request("", 0, 0, 1 << 20);
        request.topics[0].topic_id = wire::primitives::Uuid([7; 16]);
        self.read_as("an unknown topic id", &request, 17);
    }

    fn read(&mut self, question: &str, topic: &str, partition: i32, offset: i64, max_bytes: i32) {
        let end = self.client.fetch(topic, partition, 0, 1, |partition| partition.high_watermark);
        let offset = if offset == -2 { end.expect("Fetch is answered") } else { offset };
        self.read_as(question, &fetch_request(topic, partition, offset, max_bytes), BY_NAME);
    }

    fn read_as(&mut self, question: &str, request: &wire::messages::FetchRequest<'_>, version: i16) {
        let answer = self.client.call(request, version, |response| {
            let mut text = error(response.error_code, None);
            for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
                let bytes = partition.records.as_ref().map_or(-1, |records| records.len() as i64);
                write!(
                    text,
                    "; {} high watermark {} last stable {} start {} aborted {:?} bytes {bytes}",
                    error(partition.error_code, None),
                    partition.high_watermark,
                    partition.last_stable_offset,
                    partition.log_start_offset,
                    partition.aborted_transactions.as_ref().map(Vec::len),
                )
                .expect("a string takes text");
            }
            text
        });
        let answer = self.or_closed(answer);
        self.note(&format!("fetch {question}"), &answer);
    }

    // ---- offsets

    fn look_up_offsets(&mut self) {
        for (question, topic, partition, epoch, timestamp) in [
            ("earliest", TOPIC, 1, -1, -2),
            ("latest", TOPIC, 1, -1, -1),
            ("the largest timestamp", SMALL, 0, -1, -3),
            ("a timestamp ahead of all", TOPIC, 1, -1, i64::MAX),
            ("a timestamp before all", TOPIC, 1, -1, 0),
            ("an undefined negative timestamp", TOPIC, 1, -1, -99),
            ("of an unknown topic", "unknown", 0, -1, -1),
            ("of an unknown partition", TOPIC, 5, -1, -1),
            ("with a newer leader epoch", TOPIC, 1, 99, -1),
        ] {
            let partition = ListOffsetsPartition {
                partition_index: partition,
                current_leader_epoch: epoch,
                timestamp,
                ..Default::default()
            };
            let topic =
                ListOffsetsTopic { name: topic.into(), partitions: vec![partition], ..Default::default() };
            let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
            let answer = self.client.call(&request, 7, |response| {
                let found = &response.topics[0].partitions[0];
                // A timestamp of now differs from run to run.
                let timestamp =
                    if found.timestamp > 1 { "recent".to_owned() } else { found.timestamp.to_string() };
                let code = error(found.error_code, None);
                format!("{code} {} at {timestamp} epoch {}", found.offset, found.leader_epoch)
            });
            self.note(&format!("list offsets: {question}"), &answer.expect("ListOffsets is answered"));
        }
        self.look_up_special_timestamps();
        for (question, topic, current, wanted) in [
            ("the current epoch", TOPIC, -1, 0),
            ("a future epoch", TOPIC, -1, 12),
            ("a negative epoch", TOPIC, -1, -1),
            ("an unknown topic", "unknown", -1, 0),
            ("claiming a newer leader", TOPIC, 12, 0),
        ] {
            let partition = OffsetForLeaderPartition {
                partition: 1,
                current_leader_epoch: current,
                leader_epoch: wanted,
                ..Default::default()
            };
            let topic = OffsetForLeaderTopic {
                topic: topic.into(),
                partitions: vec![partition],
                ..Default::default()
            };
            let request =
                OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
            let answer = self.client.call(&request, 4, |response| {
                let end = &response.topics[0].partitions[0];
                format!(
                    "{} epoch {} ends at {}",
                    error(end.error_code, None),
                    end.leader_epoch,
                    end.end_offset
                )
            });
            self.note(&format!("end of {question}"), &answer.expect("OffsetForLeaderEpoch is answered"));
        }
    }

    /// Each was given its meaning by another version.
    fn look_up_special_timestamps(&mut self) {
        for timestamp in -6..=-1 {
            for version in 1..=11 {
                let partition = ListOffsetsPartition { timestamp, ..Default::default() };
                let topic = ListOffsetsTopic {
                    name: SMALL.into(),
                    partitions: vec![partition],
                    ..Default::default()
                };
                let request =
                    ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
                let answer = self.client.call(&request, version, |response| {
                    let found = &response.topics[0].partitions[0];
                    format!("{} {}", error(found.error_code, None), found.offset)
                });
                let answer = self.or_closed(answer);
                self.note(&format!("list offsets: {timestamp} in version {version}"), &answer);
            }
        }
    }

    // ---- what is no request

    fn send_what_is_no_request(&mut self) {
        let frame =
            |body: &[u8]| [&u32::try_from(body.len()).expect("small").to_be_bytes()[..], body].concat();
        for (what, bytes) in [
            ("a negative length", vec![0xff, 0xff, 0xff, 0xf0, 0, 18, 0, 0]),
            ("a length of 2 GiB", vec![0x7f, 0xff, 0xff, 0xff, 0, 18, 0, 0]),
            ("an empty frame", frame(b"")),
            ("an unknown API", frame(&[0x03, 0xe7, 0, 0, 0, 0, 0, 1, 0xff, 0xff])),
            ("Produce of version 99", frame(&[0, 0, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0])),
            (
                "Produce of version 2",
                frame(&[0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
            ),
            ("a header cut off", frame(&[0, 18, 0, 3, 0, 0])),
            ("a Metadata request cut off", frame(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0])),
            ("an array of 2^31 topics", frame(&[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff])),
            ("HTTP", b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec()),
        ] {
            let answer = self.send_bytes(&bytes);
            self.note(&format!("send {what}"), &answer);
        }
        let versions = self.send_bytes(&frame(&[0, 18, 0, 99, 0, 0, 0, 9, 0xff, 0xff, 0]));
        self.note("send ApiVersions of version 99", &versions);
    }

    fn send_bytes(&self, bytes: &[u8]) -> String {
        let mut client = Client::connect(&self.bootstrap).expect("the broker accepts a connection");
        client.socket().write_all(bytes).expect("the bytes are sent");
        match client.receive_frame() {
            Ok(frame) => frame.iter().fold("answered".to_owned(), |text, byte| format!("{text} {byte:02x}")),
            Err(error) => after(Err(error)).to_owned(),
        }
    }
}

/// What the end of a wait for an answer means.
fn after(received: std::io::Result<Vec<u8>>) -> &'static str {
    match received.map_err(|error| error.kind()) {
        Ok(_) => "answered",
        Err(std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset) => "connection closed",
        Err(kind) => panic!("neither answered nor closed: {kind}"),
    }
}

fn error(code: i16, message: Option<&str>) -> String {
    let name = ErrorCode::from_code(code).map_or("an unknown code", ErrorCode::name);
    message.map_or_else(|| name.to_owned(), |message| format!("{name} \"{message}\""))
}

/// The text with every long number, which can only be a time, replaced.
fn without_times(text: &str) -> String {
    let mut kept = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        kept.push_str(if digits >= 12 { "TIME" } else { &part[..digits] });
        kept.push_str(&part[digits..]);
    }
    kept
}

fn now() -> TimestampMs {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    TimestampMs::new(i64::try_from(elapsed.as_millis()).expect("and far from the end of time"))
}

/// A copy with one byte changed.
fn with(bytes: &[u8], at: usize, change: impl FnOnce(u8) -> u8) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    copy[at] = change(copy[at]);
    copy
}

/// The same batch with the checksum that its contents call for.
fn with_right_crc(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}
