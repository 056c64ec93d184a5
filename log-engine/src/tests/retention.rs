//! Retention on a disk that loses its power between any two of its operations.

use super::crash::{config_on, formatted};
use super::*;
use crate::io::Disk;
use crate::io::sim::SimDisk;

const RECORDS: i64 = 60;

/// Makes some segments of a log due.
type Rule<'a> = &'a dyn Fn(&Arc<Log>);

/// A disk with a log of several segments, all of it durable, and the log.
fn with_log() -> (SimDisk, Engine, Arc<Log>) {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, small_segments());
    // Operations are counted: only this thread may bring some about.
    log.home().stop_background();
    append_numbered(&log, 0..RECORDS);
    log.flush().unwrap();
    log.set_high_watermark(Offset::new(RECORDS));
    // As the background does from time to time.
    background::retain(log.home(), &[Arc::clone(&log)], NOW);
    engine::write_checkpoints(log.home(), &[Arc::clone(&log)]).unwrap();
    (disk, engine, log)
}

fn apply_retention(log: &Arc<Log>) {
    let later = NOW + 1 + log.config().file_delete_delay_ms;
    background::retain(log.home(), &[Arc::clone(log)], NOW);
    let _ = engine::write_checkpoints(log.home(), &[Arc::clone(log)]);
    background::remove_due(log.home(), later);
}

#[test]
fn a_crash_between_any_two_steps_of_retention_leaves_the_old_log_or_the_new_one() {
    let limit = |log: &Arc<Log>, retention_bytes| {
        log.update_config(LogConfig { retention_bytes, retention_ms: -1, ..small_segments() });
    };
    let rules: [(&str, Rule<'_>); 3] = [
        ("half of the segments are too much", &|log| limit(log, 3_000)),
        ("all of them are, the active one, too", &|log| limit(log, 0)),
        ("the log starts behind them", &|log| {
            limit(log, -1);
            log.delete_records_before(log.segments_info()[3].base_offset).unwrap();
        }),
    ];
    for (rule, apply) in rules {
        let new_start = {
            let (_disk, _engine, log) = with_log();
            apply(&log);
            apply_retention(&log);
            log.offsets().log_start.get()
        };
        assert!(new_start > 0, "{rule}");
        for steps in 0.. {
            let (disk, engine, log) = with_log();
            apply(&log);
            let before = disk.operations();
            disk.power_off_after(steps);
            apply_retention(&log);
            let complete = disk.operations() - before < steps;
            for (how, successor) in [("crash", disk.crash(steps)), ("kill", disk.kill())] {
                check(&successor, new_start, &format!("{rule}, {how} after {steps} operations"));
            }
            drop((log, engine));
            if complete {
                assert!(steps > 10, "retention has more than ten operations");
                break;
            }
        }
    }
}

/// The log begins at 0 or at `new_start`, nothing behind that is missing, and retention goes on.
fn check(disk: &SimDisk, new_start: i64, when: &str) {
    let engine = Engine::open(config_on(disk)).unwrap_or_else(|error| panic!("{when}: {error}"));
    let log = engine.log(&orders()).unwrap_or_else(|| panic!("{when}: the log is gone"));
    let start = log.offsets().log_start.get();
    assert!([0, new_start].contains(&start), "{when}: the log starts at {start}");
    assert_eq!(values_from(&log, start), numbered(start..RECORDS), "{when}");
    log.update_config(LogConfig { retention_bytes: 3_000, retention_ms: -1, ..small_segments() });
    log.set_high_watermark(Offset::new(RECORDS));
    apply_retention(&log);
    let start = log.offsets().log_start.get();
    assert_eq!(values_from(&log, start), numbered(start..RECORDS), "{when}");
    assert_eq!(append(&log, &[b"next"]).first_offset.get(), RECORDS, "{when}");
    let left = disk.list(Path::new("/data/orders-0")).unwrap();
    let left = left.iter().filter(|entry| entry.path.to_string_lossy().ends_with(".deleted")).count();
    assert_eq!(left, 0, "{when}: deleted files are removed");
}
