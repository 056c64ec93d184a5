//! Cuts while other work of the log is under way.

use std::thread;

use super::*;
use crate::batch::control::TxnOutcome;
use crate::io::sim::{Fault, Operation, SimDisk};
use crate::tests::crash::{config_on, end_transaction, formatted, of_producer, opened, store};
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

/// After a kill the cleaner's checkpoint named offsets that were cut, and so had a start take a hole behind the cut for what
/// compaction leaves; and the high watermark was that of the records that went.
#[test]
fn before_anything_is_appended_behind_a_cut_no_checkpoint_names_a_later_offset() {
    for starts_over in [false, true] {
        let disk = formatted();
        let engine = Engine::open(EngineConfig { upkeep: Upkeep::Caller, ..config_on(&disk) }).unwrap();
        let log = create(&engine, small_segments());
        append_numbered(&log, 0..20);
        log.set_high_watermark(Offset::new(20));
        log.begin_cleaning().unwrap().set_cleaned_to(Offset::new(20));
        log.flush().unwrap();
        crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
        if starts_over {
            log.truncate_fully_and_start_at(Offset::new(5)).unwrap();
        } else {
            assert!(log.truncate_to(Offset::new(5)).unwrap());
        }
        let shared: Arc<dyn crate::io::Disk> = Arc::new(disk.clone());
        for name in [
            crate::checkpoint::RECOVERY_POINT_FILE,
            crate::checkpoint::REPLICATION_FILE,
            crate::checkpoint::CLEANER_FILE,
        ] {
            let path = Path::new("/data").join(name);
            let offsets =
                crate::checkpoint::read_offsets(&shared, &path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(offsets.get(&orders()), Some(&Offset::new(5)), "{name}, {starts_over}");
        }
    }
}

/// A follower was cut, and got records of another leader; then it was killed. The checkpoint still knew a newer epoch, which
/// had begun among what was cut.
#[test]
fn an_epoch_that_was_cut_off_does_not_come_back_in_a_kill() {
    let disk = formatted();
    let engine = Engine::open(EngineConfig { upkeep: Upkeep::Caller, ..config_on(&disk) }).unwrap();
    let log = create(&engine, small_segments());
    let in_epoch = |epoch: i32, count: usize| {
        for _ in 0..count {
            let request = AppendRequest::from_client(batch_of(&[b"x"], NOW), LeaderEpoch::new(epoch));
            log.append(request).unwrap().wait().unwrap();
        }
    };
    in_epoch(1, 3);
    log.begin_epoch(LeaderEpoch::new(5)).unwrap();
    in_epoch(5, 3);
    log.truncate_to(Offset::new(2)).unwrap();
    in_epoch(4, 3);
    let epochs = |log: &Log| -> Vec<_> {
        (1..=5)
            .map(|epoch| {
                log.epoch_end_offset(LeaderEpoch::new(epoch)).map(|(epoch, end)| (epoch.get(), end.get()))
            })
            .collect()
    };
    let before = epochs(&log);
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch::new(4)));
    let disk = disk.kill();
    drop((log, engine));
    let (_engine, log) = opened(&disk);
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch::new(4)));
    assert_eq!(epochs(&log), before);
}

/// A full disk, or a want of descriptors, took the directory offline.
#[test]
fn a_shortage_refuses_a_cut_and_leaves_the_log_as_it_is() {
    for (operation, errno) in [(Operation::Open, 28), (Operation::Open, 24), (Operation::Write, 28)] {
        let disk = formatted();
        let engine = Engine::open(EngineConfig { upkeep: Upkeep::Caller, ..config_on(&disk) }).unwrap();
        let log = create(&engine, small_segments());
        append_numbered(&log, 0..20);
        log.flush().unwrap();
        crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
        disk.inject(Fault::next(operation, errno).times(u64::MAX));
        assert!(log.truncate_to(Offset::new(5)).is_err(), "{operation:?} {errno}");
        disk.clear_faults();
        assert!(log.home().dir_state().offline().is_none(), "{operation:?} {errno}");
        assert_eq!(values_from(&log, 0), numbered(0..20));
        append_numbered(&log, 20..22);
        assert!(log.truncate_to(Offset::new(5)).unwrap());
        append_numbered(&log, 5..8);
        assert_eq!(values_from(&log, 0), numbered(0..8));
    }
}

/// Index entries that were in memory only were written first, and the directory went offline when there was no room for them.
#[test]
fn a_disk_that_becomes_full_in_the_middle_of_a_cut_takes_nothing_offline() {
    let mut refused = 0;
    for (to, after) in [5, 33].into_iter().flat_map(|to| (0..12).map(move |after| (to, after))) {
        let disk = formatted();
        let engine = Engine::open(EngineConfig { upkeep: Upkeep::Caller, ..config_on(&disk) }).unwrap();
        let log = create(&engine, LogConfig { index_interval_bytes: 100, ..LogConfig::default() });
        append_numbered(&log, 0..20);
        log.flush().unwrap();
        crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
        append_numbered(&log, 20..40);
        disk.inject(Fault::next(Operation::Write, 28).after(after).times(u64::MAX));
        let cut = log.truncate_to(Offset::new(to));
        disk.clear_faults();
        assert!(log.home().dir_state().offline().is_none(), "after {after} writes: {cut:?}");
        let end = if cut.is_ok() { to } else { 40 };
        refused += i64::from(cut.is_err());
        assert_eq!(values_from(&log, 0), numbered(0..end), "after {after} writes");
        append_numbered(&log, end..end + 5);
        let successor = disk.kill();
        drop((log, engine));
        let (_engine, log) = opened(&successor);
        assert_eq!(values_from(&log, 0), numbered(0..end + 5), "after {after} writes");
    }
    assert!((1..12).contains(&refused), "{refused} cuts were refused");
}

/// Those in memory were counted as if they were in the file: it got a hole of zeros, which is a transaction of producer 0.
#[test]
fn aborted_transactions_that_there_was_no_room_for_are_known_behind_a_cut() {
    let disk = formatted();
    let engine = Engine::open(EngineConfig { upkeep: Upkeep::Caller, ..config_on(&disk) }).unwrap();
    let log = create(&engine, LogConfig::default());
    let abort = |id| {
        store(&log, of_producer(id, 0, true));
        end_transaction(&log, id, TxnOutcome::Abort);
    };
    abort(1);
    disk.inject(Fault::next(Operation::Write, 28).on(".txnindex").times(u64::MAX));
    abort(2);
    abort(3);
    disk.clear_faults();
    assert!(log.truncate_to(Offset::new(5)).unwrap());
    end_transaction(&log, 3, TxnOutcome::Commit);
    log.set_high_watermark(Offset::new(6));
    let read = log.read(&ReadRequest::from_start(Isolation::LastStable)).unwrap();
    let known: Vec<i64> = read.aborted.iter().map(|aborted| aborted.producer_id.get()).collect();
    assert_eq!(known, [1, 2]);
    log.flush().unwrap();
    let shared: Arc<dyn crate::io::Disk> = Arc::new(disk.clone());
    let path = Path::new("/data/orders-0/00000000000000000000.txnindex");
    let bytes = crate::checkpoint::read_small_file(&shared, path).unwrap().unwrap();
    let expected: Vec<u8> = read.aborted.iter().flat_map(AbortedTransaction::encode).collect();
    assert_eq!(bytes, expected);
}

/// What a cleaning had found out counted, although the log had been cut since.
#[test]
fn a_cleaning_says_nothing_of_a_log_that_was_cut_meanwhile() {
    let disk = formatted();
    let engine = Engine::open(EngineConfig { upkeep: Upkeep::Caller, ..config_on(&disk) }).unwrap();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..20);
    let turn = log.begin_cleaning().unwrap();
    turn.set_cleaned_to(Offset::new(18));
    log.truncate_to(Offset::new(5)).unwrap();
    turn.set_cleaned_to(Offset::new(18));
    assert_eq!(log.cleaned_to(), Some(Offset::new(5)));
}

/// Not being able to look was taken for there being none.
#[test]
fn a_start_that_cannot_see_whether_a_cut_was_interrupted_does_not_go_on() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    append_numbered(&create(&engine, small_segments()), 0..3);
    let disk = disk.kill();
    drop(engine);
    disk.inject(Fault::next(Operation::Read, 5).on(crate::log_dir::CUTTING_FILE));
    let report = Engine::open(config_on(&disk));
    assert_eq!(disk.faults_struck(), 1);
    assert!(report.is_err());
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
