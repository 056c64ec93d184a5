//! What each flush policy promises of a power loss, and what a change of policy does to what is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::crash::{config_on, formatted};
use super::*;
use crate::io::sim::{Seeded, SimDisk};

const DURABLE: [FlushPolicy; 2] = [FlushPolicy::Sync, FlushPolicy::Group];

fn with_policy(policy: FlushPolicy) -> LogConfig {
    LogConfig { klamm_flush_policy: Some(policy), ..small_segments() }
}

fn after_power_loss(disk: &SimDisk, seed: u64) -> BTreeMap<i64, Vec<u8>> {
    let engine = Engine::open(config_on(&disk.crash(seed))).unwrap();
    values_from(&engine.log(&orders()).unwrap(), 0).into_iter().collect()
}

/// Appends until the disk fails; answers what was acknowledged.
fn append_until_it_fails(log: &Arc<Log>, writer: usize) -> Vec<(i64, Vec<u8>)> {
    let mut acknowledged = Vec::new();
    for number in 0..1000 {
        let value = format!("{writer}/{number}").into_bytes();
        let request = AppendRequest::from_client(batch_of(&[&value], NOW), LeaderEpoch::new(0));
        match log.append(request).and_then(|ticket| ticket.wait()) {
            Ok(appended) => acknowledged.push((appended.first_offset.get(), value)),
            Err(_) => break,
        }
    }
    acknowledged
}

#[test]
fn what_a_durable_policy_acknowledged_to_many_threads_survives_a_power_loss_at_any_operation() {
    for (seed, policy) in (0..12).flat_map(|seed| DURABLE.map(|policy| (seed, policy))) {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, with_policy(policy));
        disk.power_off_after(Seeded::new(seed).below(300));
        let acknowledged: Vec<_> = thread::scope(|scope| {
            let log = &log;
            let writers: Vec<_> =
                (0..4).map(|writer| scope.spawn(move || append_until_it_fails(log, writer))).collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        let found = after_power_loss(&disk, seed);
        for (offset, value) in &acknowledged {
            assert_eq!(found.get(offset), Some(value), "{policy:?}, seed {seed}, offset {offset}");
        }
    }
}

/// Asks at each publication whether what is shown is durable, from the moment on in which that is promised.
#[derive(Debug, Default)]
struct Auditor {
    promised: AtomicBool,
    broken: AtomicBool,
}

impl EndListener for Auditor {
    fn published(&self, log: &Log, offsets: LogOffsets) {
        log.set_high_watermark(offsets.log_end);
        let promised = self.promised.load(Ordering::SeqCst);
        let offsets = log.offsets();
        if promised && offsets.durable_end < offsets.high_watermark {
            self.broken.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn under_a_durable_policy_the_high_watermark_stays_behind_the_durable_end() {
    for policy in DURABLE {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, with_policy(policy));
        let auditor = Arc::new(Auditor { promised: true.into(), ..Auditor::default() });
        assert!(log.set_end_listener(Arc::clone(&auditor) as Arc<dyn EndListener>));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| append_numbered_anywhere(&log, 60));
            }
        });
        assert_eq!(log.offsets().high_watermark, Offset::new(180));
        assert!(!auditor.broken.load(Ordering::SeqCst), "{policy:?}");
    }
}

fn append_numbered_anywhere(log: &Arc<Log>, count: usize) {
    for number in 0..count {
        append(log, &[format!("value {number}").as_bytes()]);
    }
}

#[test]
fn a_log_that_becomes_durable_has_on_the_disk_what_it_shows() {
    for policy in DURABLE {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, with_policy(FlushPolicy::Os));
        append_numbered(&log, 0..40);
        assert!(log.offsets().durable_end < Offset::new(40), "else the test would prove nothing");
        log.update_config(with_policy(policy));
        assert_eq!(log.offsets().durable_end, Offset::new(40));
        assert_eq!(after_power_loss(&disk, 1).into_iter().collect::<Vec<_>>(), numbered(0..40));
    }
}

#[test]
fn a_log_that_becomes_durable_while_it_is_written_shows_nothing_more_that_is_not() {
    for seed in 0..10 {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, with_policy(FlushPolicy::Os));
        let auditor = Arc::new(Auditor::default());
        assert!(log.set_end_listener(Arc::clone(&auditor) as Arc<dyn EndListener>));
        let shown = thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| append_numbered_anywhere(&log, 100));
            }
            log.update_config(with_policy(FlushPolicy::Group));
            auditor.promised.store(true, Ordering::SeqCst);
            log.offsets().high_watermark
        });
        assert!(!auditor.broken.load(Ordering::SeqCst), "seed {seed}");
        let found = after_power_loss(&disk, seed);
        assert_eq!(found.len(), 200, "seed {seed}: {shown} were shown at the switch");
    }
}
