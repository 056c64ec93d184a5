//! The same logs under Kafka's retention and under ours: the same segments go, and the log starts at the same offset. By
//! age, by size, by the log's start, up to the high watermark; the active segment too; segments whose records have no
//! timestamp, which are as old as their files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use klamm_tests::oracle;
use klamm_tests::process::run;
use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::io::BackendChoice;
use log_engine::log_dir::{self, MetaProperties};
use log_engine::{
    AppendRequest, DiskChoice, Engine, EngineConfig, LeaderEpoch, Log, LogConfig, ManualClock, Offset,
    TimestampMs, TopicId, TopicPartition,
};

const NOW: i64 = 1_700_000_000_000;
const RANDOM_CASES: u64 = 120;

/// One batch that becomes a segment of its own.
#[derive(Clone, Debug)]
struct Written {
    records: i64,
    value_bytes: usize,
    /// How long ago its records were written; `None`: they have no timestamp.
    age_ms: Option<i64>,
    /// How long ago its file was changed.
    file_age_ms: i64,
}

#[derive(Clone, Debug)]
struct Case {
    name: String,
    segments: Vec<Written>,
    retention_ms: i64,
    retention_bytes: i64,
    log_start: i64,
    /// How far the high watermark is behind the end.
    uncommitted: i64,
}

/// What is left: where the log starts, and where each of its segments does.
#[derive(PartialEq, Eq, Debug)]
struct Left {
    log_start: i64,
    bases: Vec<i64>,
}

impl Case {
    fn new(name: &str, segments: Vec<Written>) -> Self {
        let name = name.to_owned();
        Self { name, segments, retention_ms: -1, retention_bytes: -1, log_start: 0, uncommitted: 0 }
    }

    fn end(&self) -> i64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    fn high_watermark(&self) -> i64 {
        (self.end() - self.uncommitted).max(self.log_start)
    }

    fn config(&self) -> LogConfig {
        LogConfig {
            retention_ms: self.retention_ms,
            retention_bytes: self.retention_bytes,
            message_timestamp_after_max_ms: i64::MAX,
            ..LogConfig::default()
        }
    }
}

fn aged(age_ms: i64) -> Written {
    Written { records: 3, value_bytes: 100, age_ms: Some(age_ms), file_age_ms: 0 }
}

fn without_timestamp(file_age_ms: i64) -> Written {
    Written { age_ms: None, file_age_ms, ..aged(0) }
}

fn sized(value_bytes: usize) -> Written {
    Written { records: 1, value_bytes, ..aged(0) }
}

/// Bytes of a batch of one record with that much of a value.
fn batch_len(value_bytes: usize) -> i64 {
    batch_of(&sized(value_bytes)).len() as i64
}

fn chosen() -> Vec<Case> {
    let old = || vec![aged(4_000), aged(3_000), aged(2_000), aged(1_000)];
    let by_age = |name: &str, retention_ms| Case { retention_ms, ..Case::new(name, old()) };
    let sizes = || [500, 500, 500, 10].map(sized).to_vec();
    let (long, short) = (batch_len(500), batch_len(10));
    let by_size = |name: &str, retention_bytes| Case { retention_bytes, ..Case::new(name, sizes()) };
    let started = |name: &str, log_start| Case { log_start, ..Case::new(name, old()) };
    vec![
        Case::new("no limit", old()),
        by_age("age: exactly the limit", 4_000),
        by_age("age: a millisecond more", 3_999),
        by_age("age: some", 1_500),
        by_age("age: all, the active one too", 0),
        Case { uncommitted: 4, ..by_age("age: all below the high watermark", 0) },
        Case { uncommitted: 1, ..by_age("age: all but the active one", 0) },
        Case {
            retention_ms: 2_500,
            ..Case::new(
                "age: one that stays keeps those behind it",
                vec![aged(4_000), aged(0), aged(3_000), aged(9_000)],
            )
        },
        Case {
            retention_ms: 1_000,
            ..Case::new("age: from the future", vec![aged(-5_000), aged(9_000), aged(0)])
        },
        Case {
            retention_ms: 2_500,
            ..Case::new(
                "no timestamps: as old as the file",
                vec![without_timestamp(9_000), without_timestamp(3_000), without_timestamp(1_000), aged(0)],
            )
        },
        Case {
            retention_ms: 2_500,
            ..Case::new("no timestamps: a new file", vec![without_timestamp(0), aged(9_000)])
        },
        by_size("size: the excess covers no segment", 3 * long),
        by_size("size: exactly what there is", 3 * long + short),
        by_size("size: the excess covers one to the byte", 2 * long + short),
        by_size("size: a byte less", 2 * long + short + 1),
        by_size("size: the excess covers two and a part", long),
        by_size("size: all, the active one too", 0),
        Case { uncommitted: 2, ..by_size("size: below the high watermark", 0) },
        started("start: in the first segment", 2),
        started("start: at the second segment", 3),
        started("start: in the third segment", 8),
        started("start: at the end", 12),
        Case { retention_ms: 2_500, retention_bytes: 0, ..started("all three", 4) },
        Case { retention_ms: 2_500, ..started("start and age", 4) },
    ]
}

/// A small generator of numbers, so that a failing case can be made again. (SplitMix64.)
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn segment(&mut self) -> Written {
        Written {
            records: 1 + self.below(4) as i64,
            value_bytes: self.below(300) as usize,
            age_ms: (self.below(4) > 0).then(|| self.below(10) as i64 * 1_000 - 1_000),
            file_age_ms: self.below(10) as i64 * 1_000,
        }
    }
}

fn random(seed: u64) -> Case {
    let mut random = Random(seed);
    let segments = (0..1 + random.below(6)).map(|_| random.segment()).collect();
    let mut case = Case::new(&format!("seed {seed}"), segments);
    if random.below(3) > 0 {
        case.retention_ms = random.below(9) as i64 * 1_000;
    }
    if random.below(3) > 0 {
        case.retention_bytes = random.below(1_500) as i64;
    }
    if random.below(3) == 0 {
        case.log_start = random.below(case.end() as u64 + 1) as i64;
    }
    if random.below(3) == 0 {
        case.uncommitted = random.below(case.end() as u64 + 1) as i64;
    }
    case
}

fn batch_of(written: &Written) -> BytesMut {
    let timestamp = written.age_ms.map_or(TimestampMs::NONE, |age_ms| TimestampMs::new(NOW - age_ms));
    let value = vec![b'v'; written.value_bytes];
    let mut batch = BatchBuilder::new(Compression::None);
    for _ in 0..written.records {
        let record = NewRecord { timestamp, value: Some(&value), ..NewRecord::default() };
        batch.append(&record).expect("a small record");
    }
    BytesMut::from(&batch.finish().expect("an uncompressed batch")[..])
}

fn engine(data: &Path) -> Engine {
    let mut config = EngineConfig::new([data.to_owned()], 1);
    config.disk = DiskChoice::Native(BackendChoice::Threads);
    config.clock = Arc::new(ManualClock::starting_at(TimestampMs::new(NOW)));
    // Again and again, although the clock stands.
    config.retention_interval_ms = 0;
    Engine::open(config).expect("the engine opens")
}

fn log_of(engine: &Engine, topic: &str) -> Arc<Log> {
    let partition = TopicPartition::new(topic, 0);
    engine.log(&partition).unwrap_or_else(|| {
        let id = TopicId::new([topic.len() as u8; 16]);
        engine.create_log(&partition, id, LogConfig::default(), None).expect("the log is created")
    })
}

/// A data directory with the log of a case, stopped cleanly.
fn written(case: &Case, data: &Path) {
    let config = EngineConfig::new([data.to_owned()], 1);
    let meta = MetaProperties { cluster_id: "retention".into(), node_id: 1, directory_id: None };
    log_dir::format(&config.open_disk(), data, &meta, TimestampMs::new(NOW)).expect("formatted");
    let engine = engine(data);
    let log = log_of(&engine, "kept");
    for segment in &case.segments {
        let records = batch_of(segment);
        // No room for another one.
        log.update_config(LogConfig { segment_bytes: records.len() as u32, ..case.config() });
        let request = AppendRequest::from_client(records, LeaderEpoch::new(0));
        log.append(request).expect("a valid batch").wait().expect("it is stored");
    }
    assert_eq!(log.segments_info().len(), case.segments.len(), "{}", case.name);
    log.set_high_watermark(Offset::new(case.high_watermark()));
    log.delete_records_before(Offset::new(case.log_start)).expect("within the log");
    engine.close().expect("a clean stop");
    age_files(case, data);
}

fn age_files(case: &Case, data: &Path) {
    let mut base = 0;
    for segment in &case.segments {
        let path = data.join(format!("kept-0/{base:020}.log"));
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis((NOW - segment.file_age_ms) as u64);
        let file = File::options().write(true).open(path).expect("the segment is there");
        file.set_modified(modified).expect("the time of a file can be set");
        base += segment.records;
    }
}

fn copied(from: &Path, to: PathBuf) -> PathBuf {
    fs::create_dir_all(&to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("the log can be listed") {
        let entry = entry.expect("the log can be listed");
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy).expect("a file can be copied");
        let modified = entry.metadata().and_then(|facts| facts.modified()).expect("files have times");
        let file = File::options().write(true).open(copy).expect("the copy is there");
        file.set_modified(modified).expect("the time of a file can be set");
    }
    to
}

fn request(case: &Case, directory: &Path) -> String {
    format!(
        "{}\t{NOW}\t{}\t{}\tretention.ms={}\tretention.bytes={}\tcleanup.policy=delete\n",
        directory.display(),
        case.log_start,
        case.high_watermark(),
        case.retention_ms,
        case.retention_bytes
    )
}

fn ours(case: &Case, data: &Path) -> Left {
    let engine = engine(data);
    let (log, marker) = (log_of(&engine, "kept"), log_of(&engine, "marker"));
    log.update_config(case.config());
    assert_eq!(log.offsets().high_watermark.get(), case.high_watermark(), "{}", case.name);
    marker.update_config(LogConfig { retention_bytes: 0, ..LogConfig::default() });
    engine.start_retention();
    // A pass that deletes of the marker what came after the pass before has looked at the other log, too.
    for _ in 0..2 {
        let request = AppendRequest::from_client(batch_of(&aged(0)), LeaderEpoch::new(0));
        marker.append(request).expect("a valid batch").wait().expect("it is stored");
        let end = marker.offsets().log_end;
        marker.set_high_watermark(end);
        let mut looks = 0;
        while marker.segments_info()[0].base_offset < end {
            engine_turn();
            looks += 1;
            assert!(looks < 20_000, "{}: retention never came", case.name);
        }
    }
    let bases = log.segments_info().iter().map(|segment| segment.base_offset.get()).collect();
    let left = Left { log_start: log.offsets().log_start.get(), bases };
    engine.close().expect("a clean stop");
    left
}

fn engine_turn() {
    thread::sleep(Duration::from_millis(2));
}

fn kafkas(line: &str) -> Left {
    let mut fields = line.split('\t').skip(1);
    let mut next = || fields.next().expect("an answer has three fields");
    let log_start = next().parse().expect("an offset");
    let bases = next().split(',').map(|base| base.parse().expect("an offset")).collect();
    Left { log_start, bases }
}

#[test]
fn the_segments_that_our_retention_deletes_are_those_that_kafkas_deletes() {
    let Some(oracle) = oracle::required() else { return };
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    let cases: Vec<Case> = chosen().into_iter().chain((0..RANDOM_CASES).map(random)).collect();
    let data = |number: usize| root.path().join(format!("klamm-{number}"));
    let mut requests = String::new();
    for (number, case) in cases.iter().enumerate() {
        written(case, &data(number));
        let kafkas = root.path().join(format!("kafka-{number}/kept-0"));
        requests.push_str(&request(case, &copied(&data(number).join("kept-0"), kafkas)));
    }
    let answers = run(&mut oracle.java("Retention"), requests.as_bytes());
    let answers: Vec<Left> = answers.lines().map(kafkas).collect();
    assert_eq!(answers.len(), cases.len(), "an answer for each log");
    let mut deleted = 0;
    for (number, (case, kafka)) in cases.iter().zip(&answers).enumerate() {
        assert_eq!(&ours(case, &data(number)), kafka, "{case:?}");
        deleted += usize::from(kafka.bases.first() != Some(&0));
    }
    assert!(deleted > cases.len() / 4, "{deleted} of {} logs lost segments", cases.len());
}
