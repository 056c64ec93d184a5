//! What happens to a log while it is cleaned, and what a cleaning pays for.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use bytes::BytesMut;

use super::*;
use crate::batch::{BatchBuilder, Compression, NewRecord};
use crate::config::{CleanupPolicy, LogConfig};
use crate::io::Disk;
use crate::io::sim::SimDisk;
use crate::log_dir::{self, MetaProperties};
use crate::types::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition};
use crate::{AppendRequest, DiskChoice, Engine, EngineConfig};

/// Counts what it is told of, and does something at one of the times it is asked.
struct Meanwhile<F> {
    at: u32,
    act: F,
    asked: Cell<u32>,
    bytes: Cell<u64>,
}

impl<F: Fn()> Meanwhile<F> {
    fn new(at: u32, act: F) -> Self {
        Self { at, act, asked: Cell::new(0), bytes: Cell::new(0) }
    }
}

impl<F: Fn()> Pacer for Meanwhile<F> {
    fn go_on(&self, bytes: u64) -> bool {
        self.bytes.set(self.bytes.get() + bytes);
        if self.asked.replace(self.asked.get() + 1) == self.at {
            (self.act)();
        }
        true
    }
}

// `count` records of a key each, in segments of 20 000 bytes.
fn filled(value_bytes: usize, count: usize) -> (Engine, Arc<Log>) {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    shared.create_dir_all(Path::new("/")).expect("created");
    let meta = MetaProperties { cluster_id: "test".into(), node_id: 1, directory_id: None };
    log_dir::format(&shared, Path::new("/data"), &meta, TimestampMs::new(1)).expect("formatted");
    let mut config = EngineConfig::new([PathBuf::from("/data")], 1);
    config.disk = DiskChoice::Given(shared);
    let engine = Engine::open(config).expect("opened");
    let policy = CleanupPolicy { delete: false, compact: true };
    let config = LogConfig { cleanup_policy: policy, segment_bytes: 20_000, ..LogConfig::default() };
    let partition = TopicPartition::new("orders", 0);
    let log = engine.create_log(&partition, TopicId::new([7; 16]), config, None).expect("created");
    for number in 0..count {
        let mut batch = BatchBuilder::new(Compression::None);
        let (key, value) = (number.to_be_bytes(), vec![b'x'; value_bytes]);
        let timestamp = TimestampMs::new(1_700_000_000_000);
        batch
            .append(&NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] })
            .expect("built");
        let records = BytesMut::from(&batch.finish().expect("built")[..]);
        let request = AppendRequest::from_client(records, LeaderEpoch::new(0));
        log.append(request).and_then(|ticket| ticket.wait()).expect("appended");
    }
    log.set_high_watermark(log.offsets().log_end);
    (engine, log)
}

/// Half of what was being read was gone, which was taken for a failing disk: the log was not compacted until the next start.
#[test]
fn a_log_that_is_cut_while_it_is_cleaned_is_not_given_up() {
    let mut at = 0;
    loop {
        let (_engine, log) = filled(700, 100);
        assert!(log.segments_info().len() > 3);
        let cut = || assert!(log.truncate_to(Offset::new(30)).expect("cut"));
        let pacer = Meanwhile::new(at, cut);
        let cleaned = clean(&log, &CleanerConfig::default(), &pacer, || Ok(()));
        if pacer.asked.get() <= at {
            cleaned.expect("cleaned");
            break;
        }
        if let Err(error) = &cleaned {
            assert!(matches!(error, CleaningError::Changed), "cut at {at}: {error}");
        }
        assert!(log.cleaned_to().is_none_or(|to| to.get() <= 30), "cut at {at}: {:?}", log.cleaned_to());
        at += 7;
    }
    assert!(at > 50, "the log was cut at some of the steps");
}

/// Batches that were passed over cost their headers, although what lies behind a header is read with it.
#[test]
fn whatever_is_read_is_paid_for() {
    let (_engine, log) = filled(3_000, 60);
    let size: u64 = log.closed_segments().iter().map(|segment| segment.published().0).sum();
    let pacer = Meanwhile::new(u32::MAX, || {});
    let report = clean(&log, &CleanerConfig::default(), &pacer, || Ok(())).expect("cleaned");
    // The keys and the records are read in full, and before the keys, where the batches lie: a header, and a kilobyte with it.
    let told = report.bytes_read + report.bytes_written;
    assert!(pacer.bytes.get() >= told + size / 4, "{} of {told} and a part of {size}", pacer.bytes.get());
}
