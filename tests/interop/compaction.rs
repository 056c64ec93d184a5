//! The same log compacted by Kafka's own cleaner and by ours: what is left is the same, to the record, and where nothing
//! is compressed to the byte. Round by round the same records are added to both results, by our engine, so that each is
//! also opened and continued after the other's cleaner.
//!
//! What is not compared, because it cannot be the same: where a compressed batch lies, how large it is and its checksum
//! (the codecs are other builds), and the indexes of such segments, which hold positions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::BytesMut;
use klamm_tests::binaries;
use klamm_tests::oracle::{self, Oracle};
use klamm_tests::process::{output_of, run};
use log_engine::batch::TimestampType;
use log_engine::batch::control::{EndTxnMarker, TxnOutcome};
use log_engine::batch::{AppendOrigin, BatchBuilder, Compression, CompressionType, NewRecord, RecordHeader};
use log_engine::io::BackendChoice;
use log_engine::log_dir::{self, MetaProperties};
use log_engine::{
    AppendRequest, CleanupPolicy, DiskChoice, Engine, EngineConfig, LeaderEpoch, Log, LogConfig, ManualClock,
    Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId, TopicPartition,
};

use crate::dumps;

const NOW: i64 = 1_700_000_000_000;
const ROUNDS: u32 = 4;
const DELETE_RETENTION_MS: i64 = 1_000;
const PRODUCERS_EXPIRE_MS: i64 = 86_400_000;

/// One log and how it is compacted.
struct Scenario {
    name: &'static str,
    /// `None`: each batch has a codec of its own.
    codec: Option<CompressionType>,
    segment_bytes: u32,
    map_bytes: u32,
    keys: u64,
    min_lag_ms: i64,
    /// Milliseconds from round to round.
    step_ms: i64,
    log_append_time: bool,
    /// Whether transactions stay open at the end of a round, and markers come in the next.
    leaves_open: bool,
    /// Whether records are deleted from the front.
    deletes: bool,
}

const PLAIN: Scenario = Scenario {
    name: "plain",
    codec: Some(CompressionType::None),
    segment_bytes: 8_000,
    map_bytes: 1 << 20,
    keys: 40,
    min_lag_ms: 0,
    step_ms: 700,
    log_append_time: false,
    leaves_open: false,
    deletes: false,
};

const SCENARIOS: &[Scenario] = &[
    PLAIN,
    Scenario { name: "small-map", map_bytes: 24 * 12, ..PLAIN },
    Scenario { name: "open-transactions", leaves_open: true, ..PLAIN },
    Scenario { name: "append-time", log_append_time: true, step_ms: 1_200, ..PLAIN },
    Scenario { name: "lag", min_lag_ms: 800, ..PLAIN },
    Scenario { name: "expired-producers", step_ms: 90_000_000, ..PLAIN },
    Scenario { name: "one-segment", segment_bytes: 200_000, keys: 5, ..PLAIN },
    Scenario { name: "deleted-front", deletes: true, ..PLAIN },
    Scenario { name: "gzip", codec: Some(CompressionType::Gzip), ..PLAIN },
    Scenario { name: "snappy", codec: Some(CompressionType::Snappy), ..PLAIN },
    Scenario { name: "lz4", codec: Some(CompressionType::Lz4), ..PLAIN },
    Scenario { name: "zstd", codec: Some(CompressionType::Zstd), ..PLAIN },
    Scenario { name: "all-codecs", codec: None, leaves_open: true, deletes: true, ..PLAIN },
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What is appended, the same to both logs: batches and who gives them their offsets.
struct Writer {
    random: Random,
    /// The next sequence of each of the idempotent producers, then of the transactional ones.
    sequences: [i32; 8],
    /// Whether a producer has a transaction open.
    open: [bool; 8],
}

const IDEMPOTENT: usize = 4;

impl Writer {
    fn new(seed: u64) -> Self {
        Self { random: Random(seed), sequences: [0; 8], open: [false; 8] }
    }

    fn round(&mut self, scenario: &Scenario, now: i64) -> Vec<(AppendOrigin, Vec<u8>)> {
        // Producers that were forgotten begin anew.
        if scenario.step_ms > PRODUCERS_EXPIRE_MS {
            self.sequences = [0; 8];
        }
        let mut batches = Vec::new();
        for _ in 0..150 {
            batches.push(match self.random.below(10) {
                0..4 => (AppendOrigin::Client, self.batch(scenario, None, now)),
                4..6 => {
                    let producer = self.random.below(IDEMPOTENT as u64) as usize;
                    (AppendOrigin::Client, self.batch(scenario, Some(producer), now))
                }
                6..9 => {
                    let producer = IDEMPOTENT + self.random.below(4) as usize;
                    self.open[producer] = true;
                    (AppendOrigin::Client, self.batch(scenario, Some(producer), now))
                }
                _ => {
                    let producer = IDEMPOTENT + self.random.below(4) as usize;
                    (AppendOrigin::Coordinator, self.end(producer, now))
                }
            });
        }
        if !scenario.leaves_open {
            for producer in IDEMPOTENT..8 {
                if self.open[producer] {
                    batches.push((AppendOrigin::Coordinator, self.end(producer, now)));
                }
            }
        }
        batches
    }

    fn end(&mut self, producer: usize, now: i64) -> Vec<u8> {
        self.open[producer] = false;
        let outcome = if self.random.below(2) == 0 { TxnOutcome::Commit } else { TxnOutcome::Abort };
        let marker = EndTxnMarker { outcome, coordinator_epoch: 0 };
        let batch = marker.to_batch(id_of(producer), ProducerEpoch::new(0), TimestampMs::new(now));
        batch.expect("a marker fits a batch")
    }

    fn batch(&mut self, scenario: &Scenario, producer: Option<usize>, now: i64) -> Vec<u8> {
        let codec = scenario
            .codec
            .unwrap_or_else(|| CompressionType::from_id(self.random.below(5) as u8).expect("five codecs"));
        let mut builder = BatchBuilder::new(Compression::of(codec));
        let count = 1 + self.random.below(6);
        if let Some(producer) = producer {
            let sequence = Sequence::new(self.sequences[producer]);
            self.sequences[producer] += count as i32;
            builder = builder.producer(id_of(producer), ProducerEpoch::new(0), sequence);
            if producer >= IDEMPOTENT {
                builder = builder.transactional();
            }
        }
        for _ in 0..count {
            let key = format!("key-{}", self.random.below(scenario.keys));
            let value =
                format!("value {} {}", self.random.next(), "x".repeat(self.random.below(60) as usize));
            let has_value = self.random.below(7) > 0;
            let headers = [
                RecordHeader { key: b"first", value: Some(b"h") },
                RecordHeader { key: b"second", value: None },
            ];
            let record = NewRecord {
                timestamp: TimestampMs::new(now - self.random.below(200) as i64),
                key: Some(key.as_bytes()),
                value: has_value.then_some(value.as_bytes()),
                headers: &headers[..self.random.below(3) as usize],
            };
            builder.append(&record).expect("a record fits");
        }
        builder.finish().expect("a batch is built")
    }
}

fn id_of(producer: usize) -> ProducerId {
    ProducerId::new(1_000 + producer as i64)
}

impl Scenario {
    fn config(&self) -> LogConfig {
        LogConfig {
            segment_bytes: self.segment_bytes,
            index_interval_bytes: 500,
            cleanup_policy: CleanupPolicy { delete: false, compact: true },
            delete_retention_ms: DELETE_RETENTION_MS,
            min_compaction_lag_ms: self.min_lag_ms,
            message_timestamp_type: match self.log_append_time {
                true => TimestampType::LogAppendTime,
                false => TimestampType::CreateTime,
            },
            ..LogConfig::default()
        }
    }

    /// The same for Kafka.
    fn request(&self, directory: &Path, now: i64, cleaned_to: Option<i64>, log_start: i64) -> String {
        let type_name = if self.log_append_time { "LogAppendTime" } else { "CreateTime" };
        format!(
            "{}\t{now}\t{}\t{}\t{log_start}\tinternal.segment.bytes={}\tindex.interval.bytes=500\tcleanup.policy=compact\t\
             delete.retention.ms={DELETE_RETENTION_MS}\tmin.compaction.lag.ms={}\tmessage.timestamp.type={type_name}\n",
            directory.display(),
            cleaned_to.unwrap_or(-1),
            self.map_bytes,
            self.segment_bytes,
            self.min_lag_ms,
        )
    }
}

/// A data directory with the one log in it.
struct Side {
    data: PathBuf,
}

impl Side {
    fn new(data: PathBuf) -> Self {
        let config = EngineConfig::new([data.clone()], 1);
        let meta = MetaProperties { cluster_id: "compaction".into(), node_id: 1, directory_id: None };
        log_dir::format(&config.open_disk(), &data, &meta, TimestampMs::new(NOW)).expect("formatted");
        Self { data }
    }

    fn partition(&self) -> PathBuf {
        self.data.join("table-0")
    }

    /// Does something with the log, at a time, between a start and a clean stop.
    fn with_log<T>(&self, scenario: &Scenario, now: i64, action: impl FnOnce(&Engine, &Arc<Log>) -> T) -> T {
        let mut config = EngineConfig::new([self.data.clone()], 1);
        config.disk = DiskChoice::Native(BackendChoice::Threads);
        config.clock = Arc::new(ManualClock::starting_at(TimestampMs::new(now)));
        config.cleaner.dedupe_buffer_bytes = u64::from(scenario.map_bytes);
        let engine = Engine::open(config).expect("the engine opens");
        assert_eq!(engine.open_report().cut_bytes(), 0, "{}", scenario.name);
        let partition = TopicPartition::new("table", 0);
        let log = engine.log(&partition).unwrap_or_else(|| {
            let id = TopicId::new([5; 16]);
            engine.create_log(&partition, id, scenario.config(), None).expect("the log is created")
        });
        log.update_config(scenario.config());
        log.set_high_watermark(log.offsets().log_end);
        let answer = action(&engine, &log);
        engine.close().expect("a clean stop");
        answer
    }

    fn append(&self, scenario: &Scenario, now: i64, batches: &[(AppendOrigin, Vec<u8>)]) {
        self.with_log(scenario, now, |_, log| {
            for (origin, batch) in batches {
                let request = AppendRequest {
                    origin: *origin,
                    ..AppendRequest::from_client(BytesMut::from(&batch[..]), LeaderEpoch::new(0))
                };
                let ticket = log.append(request).expect("the batch is valid");
                ticket.wait().expect("the batch is stored");
            }
            log.set_high_watermark(log.offsets().log_end);
            if scenario.deletes {
                let (start, end) = (log.offsets().log_start.get(), log.offsets().log_end.get());
                log.delete_records_before(Offset::new(start + (end - start) / 7)).expect("within the log");
            }
        });
    }

    /// Every live file of the log by name.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(self.partition())
            .expect("the partition can be listed")
            .map(|entry| entry.expect("the partition can be listed").path())
            .filter(|path| {
                let ending = path.extension().and_then(|ending| ending.to_str());
                matches!(ending, Some("log" | "index" | "timeindex" | "txnindex"))
            })
            .map(|path| {
                let name = path.file_name().expect("a file").to_str().expect("text").to_owned();
                (name, fs::read(path).expect("the file can be read"))
            })
            .filter(|(name, bytes)| !name.ends_with(".txnindex") || !bytes.is_empty())
            .collect();
        files.sort();
        files
    }
}

/// What our dump tool shows of a log, a line for each batch and record, without what depends on the codec's build.
fn shown(side: &Side, log: &str) -> Vec<String> {
    let mut tool = Command::new(binaries::kafka_dump_log());
    tool.args(["--json", "--deep-iteration", "--print-data-log", "--files", log])
        .current_dir(side.partition());
    let output = output_of(&mut tool, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("JSON is text");
    lines
        .lines()
        .map(|line| {
            let mut value: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
            let object = value.as_object_mut().expect("an object");
            object.remove("position");
            if object.get("codec").is_some_and(|codec| codec != "none") {
                object.remove("size");
                object.remove("crc");
            }
            value.to_string()
        })
        .collect()
}

fn assert_same(scenario: &Scenario, round: u32, kafka: &Side, ours: &Side) {
    let (kafkas, klamms) = (kafka.files(), ours.files());
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let at = format!("{} round {round}", scenario.name);
    assert_eq!(names(&klamms), names(&kafkas), "{at}");
    for ((name, klamm), (_, kafka_bytes)) in klamms.iter().zip(&kafkas) {
        if name.ends_with(".log") {
            let (klamm_lines, kafka_lines) = (shown(ours, name), shown(kafka, name));
            for (number, (klamm, kafka)) in klamm_lines.iter().zip(&kafka_lines).enumerate() {
                assert_eq!(klamm, kafka, "{at} {name} line {number}");
            }
            assert_eq!(klamm_lines.len(), kafka_lines.len(), "{at} {name}");
        }
        if scenario.codec == Some(CompressionType::None) || name.ends_with(".txnindex") {
            assert!(
                klamm == kafka_bytes,
                "{at} {name}: {} bytes, Kafka's has {}",
                klamm.len(),
                kafka_bytes.len()
            );
        }
    }
}

/// Kafka's answers: up to where it cleaned, and the log's end.
fn clean_with_kafka(oracle: &Oracle, requests: &str) -> Vec<(i64, i64)> {
    let answers = run(&mut oracle.java("Cleaning"), requests.as_bytes());
    let answer = |line: &str| {
        let mut numbers = line.split('\t').map(|number| number.parse().expect("a number"));
        (numbers.next().expect("cleaned to"), numbers.next().expect("log end"))
    };
    answers.lines().map(answer).collect()
}

#[test]
fn what_our_cleaner_leaves_of_a_log_is_what_kafkas_leaves_of_it() {
    let Some(oracle) = oracle::required() else { return };
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    let mut logs: Vec<(&Scenario, Writer, Side, Side, Option<i64>)> = SCENARIOS
        .iter()
        .enumerate()
        .map(|(seed, scenario)| {
            let side = |name: &str| Side::new(root.path().join(scenario.name).join(name));
            (scenario, Writer::new(seed as u64), side("kafka"), side("klamm"), None)
        })
        .collect();
    let (mut kept, mut read) = (0, 0);
    for round in 0..ROUNDS {
        let mut requests = String::new();
        for (scenario, writer, kafka, ours, cleaned_to) in &mut logs {
            let now = NOW + scenario.step_ms * i64::from(round);
            let batches = writer.round(scenario, now);
            kafka.append(scenario, now, &batches);
            ours.append(scenario, now, &batches);
            let log_start = kafka.with_log(scenario, now, |_, log| log.offsets().log_start.get());
            requests.push_str(&scenario.request(&kafka.partition(), now + 100, *cleaned_to, log_start));
        }
        let answers = clean_with_kafka(oracle, &requests);
        assert_eq!(answers.len(), logs.len(), "an answer for each log");
        for ((scenario, _, kafka, ours, cleaned_to), (kafkas_end, log_end)) in logs.iter_mut().zip(answers) {
            let now = NOW + scenario.step_ms * i64::from(round) + 100;
            let (report, end) = ours.with_log(scenario, now, |engine, log| {
                let report = engine.compact(log).expect("the log is compacted");
                (report, log.offsets().log_end.get())
            });
            assert_eq!((report.cleaned_to.get(), end), (kafkas_end, log_end), "{} {round}", scenario.name);
            *cleaned_to = Some(kafkas_end);
            (kept, read) = (kept + report.records_kept, read + report.records_read);
            assert_same(scenario, round, kafka, ours);
        }
    }
    assert!(kept > 1_000 && read > 3 * kept, "{kept} of {read} records stayed");
    for (_, _, _, ours, _) in logs.iter().filter(|(scenario, ..)| scenario.leaves_open) {
        dumps::agree(oracle, &ours.data);
    }
}
