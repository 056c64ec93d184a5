//! What is done every so often is done as often as it was configured.

use super::*;
use crate::checkpoint::{LOG_START_FILE, REPLICATION_FILE};

/// An engine whose upkeep the test does, by its clock.
struct Kept {
    fixture: Fixture,
    engine: Engine,
}

impl Kept {
    fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        let mut fixture = Fixture::new();
        fixture.config.upkeep = Upkeep::Caller;
        change(&mut fixture.config);
        let engine = fixture.open();
        Self { fixture, engine }
    }

    fn after(&self, ms: i64) {
        let clock = &self.fixture.clock;
        clock.advance_ms(NOW + ms - clock.now().get());
        self.engine.look_after();
    }

    /// What a checkpoint says of the log; nothing where it has no entry or there is no file.
    fn noted(&self, file: &str) -> Option<i64> {
        let text = std::fs::read_to_string(self.fixture.dir.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("orders 0 ")?.parse().ok())
    }
}

#[test]
fn high_watermarks_and_log_starts_are_written_as_often_as_each_was_configured() {
    let kept = Kept::with(|config| {
        config.high_watermark_interval_ms = 1_000;
        config.log_start_interval_ms = 3_000;
    });
    let log = create(&kept.engine, LogConfig::default());
    append(&log, &[b"a", b"b", b"c"]);
    log.set_high_watermark(Offset::new(3));
    log.delete_records_before(Offset::new(2)).unwrap();
    let noted = || (kept.noted(REPLICATION_FILE), kept.noted(LOG_START_FILE));
    kept.after(999);
    assert_eq!(noted(), (None, None));
    kept.after(1_000);
    assert_eq!(noted(), (Some(3), None));
    append(&log, &[b"d"]);
    log.set_high_watermark(Offset::new(4));
    kept.after(1_999);
    assert_eq!(noted(), (Some(3), None));
    kept.after(3_000);
    assert_eq!(noted(), (Some(4), Some(2)));
}

#[test]
fn an_interval_below_zero_is_never_over() {
    let kept = Kept::with(|config| config.high_watermark_interval_ms = -1);
    let log = create(&kept.engine, LogConfig::default());
    append(&log, &[b"a"]);
    log.set_high_watermark(Offset::new(1));
    kept.after(1_000_000);
    assert_eq!(kept.noted(REPLICATION_FILE), None);
    kept.engine.close().unwrap();
    assert_eq!(kept.noted(REPLICATION_FILE), Some(1), "but a stop writes all");
}

#[test]
fn expired_producers_are_looked_for_as_often_as_configured() {
    for (interval, after_first, after_second) in [(10_000, 1, 0), (100_000, 1, 1)] {
        let kept = Kept::with(|config| {
            config.producer_expiration_ms = 5_000;
            config.producer_expiry_interval_ms = interval;
        });
        let log = create(&kept.engine, LogConfig::default());
        let batch = BatchBuilder::new(Compression::None);
        let mut batch = batch.producer(ProducerId::new(7), ProducerEpoch::new(0), Sequence::new(0));
        batch
            .append(&NewRecord {
                timestamp: TimestampMs::new(NOW),
                key: None,
                value: Some(b"v"),
                headers: &[],
            })
            .unwrap();
        let records = BytesMut::from(&batch.finish().unwrap()[..]);
        log.append(AppendRequest::from_client(records, LeaderEpoch::new(0))).unwrap().wait().unwrap();
        kept.after(9_000);
        assert_eq!(log.active_producers().len(), after_first, "{interval}");
        kept.after(10_000);
        assert_eq!(log.active_producers().len(), after_second, "{interval}");
    }
}

#[test]
fn so_many_messages_or_so_much_time_make_records_durable_behind_the_appends() {
    let config = |flush_messages, flush_ms| LogConfig { flush_messages, flush_ms, ..LogConfig::default() };
    // What is configured, how many records are appended, when it is looked, and how far they are durable then.
    for (config, records, after_ms, durable) in [
        (config(3, i64::MAX), 2, 5_000, 0),
        (config(3, i64::MAX), 3, 1, 3),
        (config(i64::MAX, 2_000), 2, 1_999, 0),
        (config(i64::MAX, 2_000), 2, 2_000, 2),
    ] {
        let kept = Kept::with(|_| {});
        let log = create(&kept.engine, config);
        for _ in 0..records {
            append(&log, &[b"v"]);
        }
        assert_eq!(log.offsets().durable_end, Offset::ZERO);
        kept.after(after_ms);
        assert_eq!(log.offsets().durable_end, Offset::new(durable), "{records} records, {after_ms} ms");
        assert_eq!(log.recovery_point(), Offset::new(durable));
    }
}

#[test]
fn recovery_points_move_when_a_start_would_have_to_read_more_than_was_configured() {
    let kept = Kept::with(|config| config.recovery_point_bytes = 10_000);
    let log = create(&kept.engine, LogConfig::default());
    append(&log, &[&[b'v'; 9_000]]);
    kept.after(1);
    assert_eq!(log.recovery_point(), Offset::ZERO);
    append(&log, &[&[b'v'; 9_000]]);
    kept.after(2);
    assert_eq!(log.recovery_point(), Offset::new(2));
}
