//! The engine as a whole: what is appended is read, also after reopening; what a crash leaves is repaired.

#![expect(clippy::unwrap_used, reason = "tests")]

mod behind;
mod compact;
mod corpus;
mod crash;
mod cuts;
mod damage;
mod descriptors;
mod ends;
mod gaps;
mod hints;
mod intervals;
mod kept;
mod matrix;
mod moves;
mod policies;
mod retention;
mod scrub;
mod sharing;
mod waiting;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;

use crate::batch::{BatchBuilder, BatchView, Compression, NewRecord, RecordView};
use crate::io::BackendChoice;
use crate::log_dir::{self, MetaProperties};
use crate::*;

/// An engine in a directory that vanishes with the test.
struct Fixture {
    _temporary: tempfile::TempDir,
    dir: PathBuf,
    clock: Arc<ManualClock>,
    config: EngineConfig,
}

const NOW: i64 = 1_700_000_000_000;

impl Fixture {
    fn new() -> Self {
        Self::in_directory(tempfile::tempdir().unwrap())
    }

    /// In memory, where this machine has a place for that: for tests that open very often and pull no plug.
    fn in_memory() -> Self {
        Self::in_directory(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn in_directory(temporary: tempfile::TempDir) -> Self {
        let dir = temporary.path().join("data");
        let clock = Arc::new(ManualClock::starting_at(TimestampMs::new(NOW)));
        let mut config = EngineConfig::new([dir.clone()], 1);
        config.disk = DiskChoice::Native(BackendChoice::Threads);
        config.clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let meta = MetaProperties { cluster_id: "test".into(), node_id: 1, directory_id: None };
        log_dir::format(&config.open_disk(), &dir, &meta, clock.now()).unwrap();
        Self { _temporary: temporary, dir, clock, config }
    }

    fn open(&self) -> Engine {
        Engine::open(self.config.clone()).unwrap()
    }

    fn log_dir(&self) -> PathBuf {
        self.dir.join("orders-0")
    }
}

fn orders() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn create(engine: &Engine, config: LogConfig) -> Arc<Log> {
    engine.create_log(&orders(), TopicId::new([7; 16]), config, None).unwrap()
}

fn batch_of(values: &[&[u8]], timestamp: i64) -> BytesMut {
    let mut batch = BatchBuilder::new(Compression::None);
    for value in values {
        let timestamp = TimestampMs::new(timestamp);
        batch.append(&NewRecord { timestamp, key: None, value: Some(value), headers: &[] }).unwrap();
    }
    BytesMut::from(&batch.finish().unwrap()[..])
}

fn append(log: &Arc<Log>, values: &[&[u8]]) -> Appended {
    append_at(log, values, NOW)
}

fn append_at(log: &Arc<Log>, values: &[&[u8]], timestamp: i64) -> Appended {
    let request = AppendRequest::from_client(batch_of(values, timestamp), LeaderEpoch::new(0));
    log.append(request).unwrap().wait().unwrap()
}

fn read_from(log: &Log, from: i64) -> Fetched {
    let from = Offset::new(from);
    log.read(&ReadRequest { from, ..ReadRequest::from_start(Isolation::LogEnd) }).unwrap()
}

/// Every record from `from` on, as `of` tells it.
fn records_from<T>(log: &Log, from: i64, of: impl Fn(&RecordView<'_>) -> T) -> Vec<T> {
    let mut found = Vec::new();
    let mut next = from;
    loop {
        let bytes = read_from(log, next).to_bytes().unwrap();
        if bytes.is_empty() {
            return found;
        }
        let mut rest = &bytes[..];
        while let Ok(batch) = BatchView::read(rest) {
            assert!(batch.crc_is_valid());
            let mut records = batch.records(Default::default()).unwrap();
            while let Some(record) = records.next_record() {
                let record = record.unwrap();
                if record.offset.get() >= next {
                    found.push(of(&record));
                }
            }
            next = batch.next_offset().get();
            rest = &rest[batch.size_in_bytes()..];
        }
    }
}

/// Every record value from `from` on.
fn values_from(log: &Log, from: i64) -> Vec<(i64, Vec<u8>)> {
    records_from(log, from, |record| (record.offset.get(), record.value.unwrap().to_vec()))
}

fn numbered(range: std::ops::Range<i64>) -> Vec<(i64, Vec<u8>)> {
    range.map(|number| (number, format!("value {number}").into_bytes())).collect()
}

fn append_numbered(log: &Arc<Log>, range: std::ops::Range<i64>) {
    for (offset, value) in numbered(range) {
        assert_eq!(append(log, &[&value]).first_offset.get(), offset);
    }
}

fn file_names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() }
}

#[test]
fn what_was_appended_is_read_from_every_offset_in_every_segment_before_and_after_reopening() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..100);
    assert!(log.segments_info().len() > 5);
    for from in 0..=100 {
        assert_eq!(values_from(&log, from), numbered(from..100));
    }
    engine.close().unwrap();
    drop((log, engine));

    let engine = fixture.open();
    assert!(engine.open_report().is_clean());
    assert_eq!(engine.open_report().scanned_bytes(), 0);
    let log = engine.log(&orders()).unwrap();
    log.update_config(small_segments());
    for from in 0..=100 {
        assert_eq!(values_from(&log, from), numbered(from..100));
    }
    append_numbered(&log, 100..120);
    assert_eq!(values_from(&log, 0), numbered(0..120));
}

#[test]
fn a_start_without_a_clean_stop_finds_every_record_and_says_that_it_was_unclean() {
    let mut fixture = Fixture::new();
    // No recovery point moves meanwhile.
    fixture.config.upkeep = Upkeep::Caller;
    let engine = fixture.open();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..50);
    drop((log, engine));

    let engine = fixture.open();
    assert!(!engine.open_report().is_clean());
    assert!(engine.open_report().scanned_bytes() > 0);
    let log = engine.log(&orders()).unwrap();
    assert_eq!(values_from(&log, 0), numbered(0..50));
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch::new(0)));
}

#[test]
fn a_clean_stop_leaves_the_files_that_kafka_leaves() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, LogConfig::default());
    append_numbered(&log, 0..3);
    engine.set_broker_epoch(42);
    engine.close().unwrap();
    assert_eq!(
        file_names(&fixture.log_dir()),
        [
            "00000000000000000000.index",
            "00000000000000000000.log",
            "00000000000000000000.timeindex",
            "00000000000000000003.snapshot",
            "leader-epoch-checkpoint",
            "partition.metadata"
        ]
    );
    assert_eq!(
        file_names(&fixture.dir),
        [
            ".kafka_cleanshutdown",
            ".lock",
            "log-start-offset-checkpoint",
            "meta.properties",
            "orders-0",
            "recovery-point-offset-checkpoint",
            "replication-offset-checkpoint"
        ]
    );
    let text = |name: &str| std::fs::read_to_string(fixture.dir.join(name)).unwrap();
    assert_eq!(text(".kafka_cleanshutdown"), "{\"version\":0,\"brokerEpoch\":42}");
    assert_eq!(text("recovery-point-offset-checkpoint"), "0\n1\norders 0 3\n");
    assert_eq!(text("orders-0/leader-epoch-checkpoint"), "0\n1\n0 0\n");
    assert_eq!(std::fs::metadata(fixture.log_dir().join("00000000000000000000.index")).unwrap().len(), 0);
    assert_eq!(
        std::fs::metadata(fixture.log_dir().join("00000000000000000000.timeindex")).unwrap().len(),
        12
    );
}

#[test]
fn retention_deletes_whole_old_segments_and_a_reader_keeps_what_it_holds() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, LogConfig { retention_ms: 1_000, ..small_segments() });
    append_numbered(&log, 0..40);
    log.set_high_watermark(Offset::new(40));
    let held = read_from(&log, 0);
    let before = held.to_bytes().unwrap();
    fixture.clock.advance_ms(1_001);
    let now = fixture.clock.now().get();
    background::retain(log.home(), &[Arc::clone(&log)], now);

    let segments = log.segments_info();
    assert_eq!(segments.len(), 1, "only a new segment is left");
    assert_eq!((segments[0].size_bytes, segments[0].base_offset.get()), (0, 40));
    let start = log.offsets().log_start;
    assert_eq!(start, segments[0].base_offset);
    assert_eq!(held.to_bytes().unwrap(), before, "the slice outlives its segment");
    let request = ReadRequest::from_start(Isolation::LogEnd);
    assert!(matches!(log.read(&request), Err(ReadError::OffsetOutOfRange { .. })));
    assert_eq!(values_from(&log, start.get()), numbered(start.get()..40));
    let present = |kind: &str| {
        let names = file_names(&fixture.log_dir()).into_iter().filter(|name| name.contains(kind));
        names.collect::<Vec<String>>()
    };
    assert!(present(".log.deleted").len() > 1, "renamed, and still there");
    let delay = log.config().file_delete_delay_ms;
    background::remove_due(log.home(), now + delay - 1);
    assert!(present(".log.deleted").len() > 1);
    background::remove_due(log.home(), now + delay);
    assert_eq!(present(".deleted"), Vec::<String>::new());
    assert_eq!(present(".log"), [format!("{start:020}.log")]);
    assert_eq!(append(&log, &[b"next"]).first_offset, start);
}

#[test]
fn a_program_of_its_own_formats_new_directories_and_leaves_the_identity_of_others() {
    let temporary = tempfile::tempdir().unwrap();
    let (old, new) = (temporary.path().join("old"), temporary.path().join("new"));
    let mut config = EngineConfig::new([new.clone(), old.clone()], 1);
    let meta = MetaProperties { cluster_id: "first".into(), node_id: 1, directory_id: None };
    log_dir::format(&config.open_disk(), &old, &meta, config.clock.now()).unwrap();
    for _ in 0..2 {
        let engine = Engine::open_or_format(config.clone()).unwrap();
        let ids: Vec<&str> =
            engine.open_report().directories.iter().map(|dir| dir.meta.cluster_id.as_str()).collect();
        assert_eq!(ids, ["first", "first"]);
    }
    config.node_id = 2;
    assert!(matches!(Engine::open_or_format(config), Err(OpenError::OtherNode { .. })));
}

#[test]
fn a_log_is_created_once_and_opened_with_the_configuration_given() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let id = TopicId::new([7; 16]);
    let open = |id, config| engine.open_or_create_log(&orders(), id, config);
    append_numbered(&open(id, LogConfig::default()).unwrap(), 0..3);
    let again = open(id, small_segments()).unwrap();
    assert_eq!((again.offsets().log_end.get(), &*again.config()), (3, &small_segments()));
    let other = open(TopicId::new([8; 16]), LogConfig::default());
    assert!(matches!(other, Err(CreateLogError::OtherTopicId { .. })));
}
