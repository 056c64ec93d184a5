//! Cuts while other work of the log is under way.

use std::thread;

use super::*;
use crate::io::sim::SimDisk;
use crate::tests::crash::{config_on, formatted, opened};
use crate::tests::sharing::engine_on;

/// A flush had taken the log's end and the producers' state at it, when the records were cut and others took their place.
/// It then noted a recovery point behind the cut: what came later was taken for durable, and for what those producers had
/// written.
#[test]
fn a_flush_that_began_before_a_cut_notes_nothing_behind_it() {
    let disk = SimDisk::new();
    let engine = engine_on(&disk);
    let log = create(&engine, LogConfig::default());
    for number in 0..10 {
        append(&log, &[format!("value {number}").as_bytes()]);
    }
    let held = disk.hold_flushes(".log");
    thread::scope(|scope| {
        let flush = scope.spawn(|| log.flush());
        held.wait_for_one();
        let cut = scope.spawn(|| log.truncate_to(Offset::new(5)));
        // Long enough for a cut that does not wait for the flush; one that does is not hurried by it.
        for _ in 0..1000 {
            if log.offsets().log_end.get() == 5 {
                break;
            }
            thread::yield_now();
        }
        drop(held);
        flush.join().unwrap().unwrap();
        assert!(cut.join().unwrap().unwrap());
    });
    assert_eq!(log.offsets().log_end.get(), 5);
    assert!(log.recovery_point().get() <= 5, "{:?}", log.recovery_point());
    let snapshots = disk_names(&engine, "orders-0", ".snapshot");
    assert!(snapshots.iter().all(|name| name.as_str() <= "00000000000000000005.snapshot"), "{snapshots:?}");
}

/// The next start found the log shorter, in the page cache only: what it appended was, after a power loss, what had been cut.
#[test]
fn a_cut_that_a_kill_interrupts_is_not_undone_by_a_power_loss_after_the_next_start() {
    let mut cut = 0;
    for after in 0..60 {
        for seed in 0..6 {
            let disk = formatted();
            let engine = Engine::open(config_on(&disk)).unwrap();
            let log = create(&engine, small_segments());
            append_numbered(&log, 0..8);
            log.flush().unwrap();
            disk.power_off_after(after);
            let _ = log.truncate_to(Offset::new(4));
            let second = disk.kill();
            drop((log, engine));
            let (engine, log) = opened(&second);
            let end = log.offsets().log_end.get();
            cut += i64::from(end == 4);
            for _ in end..end + 4 {
                append(&log, &[b"VALUE 7"]);
            }
            let third = second.crash(seed);
            drop((log, engine));
            let (_engine, log) = opened(&third);
            let found = values_from(&log, 0);
            let all_right = found.iter().zip(numbered(0..end)).all(|(one, other)| *one == other);
            let rest = found.iter().skip(end as usize);
            assert!(
                all_right && rest.clone().all(|(_, value)| value == b"VALUE 7"),
                "{after} {seed}: {found:?}"
            );
        }
    }
    assert!(cut > 50, "a cut was interrupted too early {cut} times");
}

fn disk_names(engine: &Engine, log: &str, ending: &str) -> Vec<String> {
    let entries = engine.disk().list(&Path::new("/data").join(log)).unwrap();
    entries
        .iter()
        .filter_map(|entry| entry.name())
        .filter(|name| name.ends_with(ending))
        .map(Into::into)
        .collect()
}
