//! Power losses, kills and failing disks, on the simulated disk. Every test prints its seed when it fails.

use std::io;
use std::path::PathBuf;

use super::*;
use crate::batch::AppendOrigin;
use crate::batch::control::{EndTxnMarker, TxnOutcome};
use crate::commit::CommitError;
use crate::io::Disk;
use crate::io::sim::{Fault, Operation, Seeded, SimDisk};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

pub(super) fn config_on(disk: &SimDisk) -> EngineConfig {
    let mut config = EngineConfig::new([PathBuf::from("/data")], 1);
    config.disk = DiskChoice::Given(Arc::new(disk.clone()));
    config.clock = Arc::new(ManualClock::starting_at(TimestampMs::new(NOW)));
    config.log_defaults = small_segments();
    config
}

pub(super) fn formatted() -> SimDisk {
    let disk = SimDisk::new();
    let meta = MetaProperties { cluster_id: "test".into(), node_id: 1, directory_id: None };
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    shared.create_dir_all(Path::new("/")).unwrap();
    log_dir::format(&shared, Path::new("/data"), &meta, TimestampMs::new(NOW)).unwrap();
    disk
}

/// Appends `value n` for n from `from` on, durably or not as the seed says, until `count` are stored or the power
/// fails. Answers how many were acknowledged, and up to which all are to survive a power loss.
fn append_some(log: &Arc<Log>, random: &mut Seeded, from: i64, count: i64) -> (i64, i64) {
    let (mut stored, mut durable) = (from, from);
    while stored < from + count {
        let value = format!("value {stored}").into_bytes();
        let durability = match random.below(8) {
            0 => Durability::Sync,
            1 => Durability::Group,
            _ => Durability::Os,
        };
        let mut request = AppendRequest::from_client(batch_of(&[&value], NOW), LeaderEpoch::new(0));
        request.durability = Some(durability);
        match log.append(request).and_then(|ticket| ticket.wait()) {
            Ok(appended) => assert_eq!(appended.first_offset.get(), stored),
            Err(_) => return (stored, durable),
        }
        stored += 1;
        if durability.is_durable() {
            durable = stored;
        }
        if random.one_in(20) && log.flush().is_ok() {
            durable = stored;
        }
    }
    (stored, durable)
}

#[test]
fn what_was_acknowledged_as_durable_survives_power_losses_and_the_rest_is_lost_only_from_the_end() {
    for seed in 0..40 {
        let mut random = Seeded::new(seed);
        let mut disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, small_segments());
        let mut next = 0;
        let mut durable = 0;
        drop((log, engine));
        for _ in 0..4 {
            let engine =
                Engine::open(config_on(&disk)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let log = engine.log(&orders()).unwrap_or_else(|| panic!("seed {seed}: the log is gone"));
            let found = values_from(&log, 0);
            let end = found.len() as i64;
            assert!(end >= durable, "seed {seed}: {durable} were durable, {end} are there");
            assert!(end <= next + 1, "seed {seed}: {end} are there of {next}");
            assert_eq!(found, numbered(0..end), "seed {seed}");
            disk.power_off_after(random.below(400) + 50);
            let (stored, safe) = append_some(&log, &mut random, end, 60);
            (next, durable) = (stored, safe.max(end.min(durable)));
            let successor = disk.crash(random.next());
            drop((log, engine));
            disk = successor;
        }
    }
}

#[test]
fn every_acknowledged_record_survives_a_killed_process() {
    for seed in 0..20 {
        let mut random = Seeded::new(seed);
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, small_segments());
        disk.power_off_after(random.below(600) + 20);
        let (stored, _) = append_some(&log, &mut random, 0, 100);
        let successor = disk.kill();
        drop((log, engine));

        let engine = Engine::open(config_on(&successor)).unwrap();
        let log = engine.log(&orders()).unwrap();
        let found = values_from(&log, 0);
        // One more may have been written whose acknowledgement never came.
        assert!(
            (stored..=stored + 1).contains(&(found.len() as i64)),
            "seed {seed}: {stored}, {}",
            found.len()
        );
        assert_eq!(found, numbered(0..found.len() as i64), "seed {seed}");
    }
}

#[test]
fn records_are_read_although_their_index_entries_cannot_be_written() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig { index_interval_bytes: 0, ..LogConfig::default() });
    disk.inject(Fault::next(Operation::Write, ENOSPC).on(".index").times(u64::MAX));
    // The entries of so many batches are more than are kept in memory before they are written.
    append_numbered(&log, 0..520);
    assert_eq!(values_from(&log, 505), numbered(505..520));
    disk.clear_faults();
    append_numbered(&log, 520..522);
    assert_eq!(values_from(&log, 505), numbered(505..522));
    engine.close().unwrap();
}

#[test]
fn a_full_disk_refuses_appends_keeps_what_is_there_and_serves_again_when_there_is_room() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig::default());
    append_numbered(&log, 0..10);
    disk.set_full(true);
    for _ in 0..3 {
        let request = AppendRequest::from_client(batch_of(&[b"no room"], NOW), LeaderEpoch::new(0));
        let refused = log.append(request).unwrap().wait();
        assert!(matches!(refused, Err(AppendError::Commit(CommitError::NoSpace { .. }))), "{refused:?}");
        assert_eq!(values_from(&log, 0), numbered(0..10));
    }
    disk.set_full(false);
    append_numbered(&log, 10..20);
    assert_eq!(values_from(&log, 0), numbered(0..20));
    engine.close().unwrap();
    drop((log, engine));
    let engine = Engine::open(config_on(&disk)).unwrap();
    assert!(engine.open_report().is_clean());
    assert_eq!(values_from(&engine.log(&orders()).unwrap(), 0), numbered(0..20));
}

#[test]
fn after_a_failed_flush_nothing_is_acknowledged_and_no_marker_of_a_clean_stop_is_left() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig::default());
    append_numbered(&log, 0..10);
    disk.inject(Fault::next(Operation::Sync, EIO).on(".log"));
    let sync = || {
        let mut request = AppendRequest::from_client(batch_of(&[b"durable?"], NOW), LeaderEpoch::new(0));
        request.durability = Some(Durability::Sync);
        log.append(request).and_then(|ticket| ticket.wait())
    };
    assert!(sync().is_err());
    assert!(sync().is_err(), "a second flush would succeed and prove nothing");
    assert!(matches!(log.read(&ReadRequest::from_start(Isolation::LogEnd)), Err(ReadError::Offline(_))));
    assert!(engine.close().is_err());
    drop(engine);
    let engine = Engine::open(config_on(&disk)).unwrap();
    assert!(!engine.open_report().is_clean());
}

#[test]
fn a_failed_write_in_the_middle_leaves_no_gap_and_no_trace_of_what_was_built_on_it() {
    for after in 0..12 {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, small_segments());
        disk.inject(Fault::next(Operation::Write, ENOSPC).on(".log").after(after).arriving(30));
        let mut kept = Vec::new();
        for number in 0..30 {
            let value = format!("value {number}").into_bytes();
            let request = AppendRequest::from_client(batch_of(&[&value], NOW), LeaderEpoch::new(0));
            if let Ok(appended) = log.append(request).and_then(|ticket| ticket.wait()) {
                kept.push((appended.first_offset.get(), value));
            }
        }
        assert!(kept.len() >= 28, "only what the fault met failed");
        assert_eq!(values_from(&log, 0), kept, "fault after {after} writes");
        let offsets: Vec<i64> = kept.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (0..kept.len() as i64).collect::<Vec<_>>());
        let successor = disk.kill();
        drop((log, engine));
        let engine = Engine::open(config_on(&successor)).unwrap();
        assert_eq!(engine.open_report().cut_bytes(), 0, "the file ends where the log ends");
        assert_eq!(values_from(&engine.log(&orders()).unwrap(), 0), kept);
    }
}

#[test]
fn opening_survives_a_power_loss_at_any_of_its_operations() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..30);
    log.flush().unwrap();
    append_numbered(&log, 30..40);
    let mut disk = disk.kill();
    drop((log, engine));
    let mut reached_the_end = false;
    for operations in (0..400).step_by(3) {
        disk.power_off_after(operations);
        let opened = Engine::open(config_on(&disk)).map(|engine| engine.log(&orders()).is_some());
        reached_the_end |= opened.is_ok();
        // What was only in the page cache of the first machine is on the disk of its successors.
        let successor = disk.kill();
        let engine =
            Engine::open(config_on(&successor)).unwrap_or_else(|error| panic!("{operations}: {error}"));
        let log = engine.log(&orders()).unwrap();
        assert_eq!(
            values_from(&log, 0),
            numbered(0..40),
            "power lost after {operations} operations of opening"
        );
        disk = successor.kill();
        drop((log, engine));
    }
    assert!(reached_the_end, "the last runs must get through");
}

#[test]
fn io_errors_are_told_with_their_file() {
    let disk = formatted();
    drop(Engine::open(config_on(&disk)).map(|engine| create(&engine, LogConfig::default())).unwrap());
    disk.inject(Fault::next(Operation::Open, EIO).on("orders-0"));
    let error = Engine::open(config_on(&disk)).unwrap_err();
    assert!(error.to_string().contains("orders-0"), "{error}");
    assert!(matches!(error, OpenError::Io { error, .. } if error.kind() != io::ErrorKind::NotFound));
}

#[test]
fn a_full_disk_in_the_middle_of_a_background_flush_takes_nothing_offline() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..20);
    disk.set_full(true);
    assert!(log.flush().is_err(), "there is no room for a producer snapshot");
    assert_eq!(values_from(&log, 0), numbered(0..20));
    disk.set_full(false);
    append_numbered(&log, 20..25);
    log.flush().unwrap();
    assert_eq!(log.recovery_point(), Offset::new(25));
    assert_eq!(log.offsets().durable_end, Offset::new(25));
}

#[test]
fn a_log_whose_directory_cannot_be_renamed_stays_readable_and_is_deleted_when_tried_again() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig::default());
    append_numbered(&log, 0..3);
    disk.inject(Fault::next(Operation::Name, EIO).on("/data/orders-0"));
    assert_eq!(engine.delete_log(&orders()).unwrap_err().raw_os_error(), Some(EIO));
    let kept = engine.log(&orders()).expect("the log is where it was");
    assert_eq!(values_from(&kept, 0), numbered(0..3));
    kept.flush().unwrap();
    assert!(matches!(
        engine.create_log(&orders(), TopicId::new([8; 16]), LogConfig::default(), None),
        Err(CreateLogError::OtherTopicId { .. })
    ));
    assert!(engine.delete_log(&orders()).unwrap());
    assert!(engine.log(&orders()).is_none());
    assert_eq!(create(&engine, LogConfig::default()).offsets().log_end, Offset::ZERO);
}

pub(super) fn of_producer(id: i64, sequence: i32, transactional: bool) -> AppendRequest {
    let mut batch = BatchBuilder::new(Compression::None).producer(
        ProducerId::new(id),
        ProducerEpoch::new(0),
        Sequence::new(sequence),
    );
    if transactional {
        batch = batch.transactional();
    }
    batch.append(&NewRecord { timestamp: TimestampMs::new(NOW), ..NewRecord::default() }).unwrap();
    AppendRequest::from_client(BytesMut::from(&batch.finish().unwrap()[..]), LeaderEpoch::new(0))
}

pub(super) fn store(log: &Arc<Log>, request: AppendRequest) -> Appended {
    log.append(request).unwrap().wait().unwrap()
}

pub(super) fn end_transaction(log: &Arc<Log>, id: i64, outcome: TxnOutcome) {
    let marker = EndTxnMarker { outcome, coordinator_epoch: 0 };
    let batch = marker.to_batch(ProducerId::new(id), ProducerEpoch::new(0), TimestampMs::new(NOW)).unwrap();
    let mut request = AppendRequest::from_client(BytesMut::from(&batch[..]), LeaderEpoch::new(0));
    request.origin = AppendOrigin::Coordinator;
    store(log, request);
}

/// The engine on the disk that another machine left, with its log.
pub(super) fn opened(disk: &SimDisk) -> (Engine, Arc<Log>) {
    let engine = Engine::open(config_on(disk)).unwrap();
    let log = engine.log(&orders()).unwrap();
    (engine, log)
}

// The state of producers was taken up at the start of the segment, and what lies between it and the recovery point was
// believed without being looked at: who had written only there was forgotten, and could write everything again.
#[test]
fn producers_that_wrote_only_below_the_recovery_point_are_known_after_a_crash() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig::default());
    store(&log, of_producer(1, 0, false));
    store(&log, of_producer(2, 0, false));
    log.flush().unwrap();
    crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
    store(&log, of_producer(2, 1, false));
    let successor = disk.kill();
    drop((log, engine));
    let (_engine, log) = opened(&successor);
    let again = store(&log, of_producer(1, 0, false));
    assert_eq!((again.first_offset.get(), again.duplicate), (0, true));
    assert_eq!(store(&log, of_producer(1, 1, false)).first_offset.get(), 3);
    assert_eq!(store(&log, of_producer(2, 2, false)).first_offset.get(), 4);
}

// Batches behind the recovery point were taken for news of their leader epoch although the checkpoint knew a newer one.
#[test]
fn leader_epochs_are_known_from_where_they_began_after_a_crash() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig::default());
    let in_epoch = |epoch: i32| {
        log.begin_epoch(LeaderEpoch::new(epoch)).unwrap();
        let mut request = AppendRequest::from_client(batch_of(&[b"x"], NOW), LeaderEpoch::new(epoch));
        request.durability = Some(Durability::Sync);
        store(&log, request);
    };
    (1..=3).for_each(in_epoch);
    log.flush().unwrap();
    crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
    let request = AppendRequest::from_client(batch_of(&[b"y"], NOW), LeaderEpoch::new(3));
    store(&log, request);
    log.begin_epoch(LeaderEpoch::new(4)).unwrap();
    let end_of = |log: &Log, epoch| log.epoch_end_offset(LeaderEpoch::new(epoch)).map(|(_, end)| end.get());
    let before: Vec<_> = (1..=4).map(|epoch| end_of(&log, epoch)).collect();
    assert_eq!(before, [Some(1), Some(2), Some(4), Some(4)]);
    let successor = disk.kill();
    drop((log, engine));
    let (engine, log) = opened(&successor);
    assert_eq!((1..=4).map(|epoch| end_of(&log, epoch)).collect::<Vec<_>>(), before);
    // And without the checkpoint the batches tell, also those that are believed.
    let third = successor.kill();
    drop((log, engine));
    third.remove_file(Path::new("/data/orders-0/leader-epoch-checkpoint")).unwrap();
    let (_engine, log) = opened(&third);
    assert_eq!((1..=2).map(|epoch| end_of(&log, epoch)).collect::<Vec<_>>(), before[..2]);
}

// The transactions that a start found ended counted as not replicated until the high watermark moved the next time.
#[test]
fn readers_of_committed_records_see_what_was_ended_before_a_crash_at_once() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig::default());
    store(&log, of_producer(1, 0, true));
    end_transaction(&log, 1, TxnOutcome::Commit);
    log.set_high_watermark(Offset::new(2));
    crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
    let successor = disk.kill();
    drop((log, engine));
    let (_engine, log) = opened(&successor);
    assert_eq!(log.offsets().high_watermark.get(), 2);
    assert_eq!(log.offsets().last_stable.get(), 2);
}

// Nothing flushed what had been cut, and the checkpoint of recovery points went on naming what was gone: a start believed
// a mixture of old bytes and new ones.
#[test]
fn what_was_truncated_does_not_come_back_in_a_power_loss() {
    for seed in 0..200 {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, small_segments());
        append_numbered(&log, 0..20);
        log.flush().unwrap();
        crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
        log.truncate_to(Offset::new(7)).unwrap();
        log.begin_epoch(LeaderEpoch::new(1)).unwrap();
        for _ in 0..5 {
            let request = AppendRequest::from_client(batch_of(&[b"VALUE 7"], NOW), LeaderEpoch::new(1));
            store(&log, request);
        }
        let successor = disk.crash(seed);
        drop((log, engine));
        let (_engine, log) = opened(&successor);
        let found = values_from(&log, 0);
        assert_eq!(found[..7], numbered(0..7), "seed {seed}");
        assert!(found[7..].iter().all(|(_, value)| value == b"VALUE 7"), "seed {seed}: {:?}", &found[7..]);
    }
}

// The new segment was not on the disk, and the checkpoints still told where the old ones had begun and ended.
#[test]
fn a_log_that_was_started_over_keeps_what_it_acknowledged_since() {
    for seed in 0..100 {
        for start in [5, 30] {
            let disk = formatted();
            let engine = Engine::open(config_on(&disk)).unwrap();
            let log = create(&engine, small_segments());
            append_numbered(&log, 0..20);
            log.set_high_watermark(Offset::new(20));
            log.delete_records_before(Offset::new(15)).unwrap();
            log.flush().unwrap();
            crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
            log.truncate_fully_and_start_at(Offset::new(start)).unwrap();
            let mut request = AppendRequest::from_client(batch_of(&[b"new"], NOW), LeaderEpoch::new(0));
            request.durability = Some(Durability::Sync);
            assert_eq!(store(&log, request).first_offset.get(), start);
            let successor = disk.crash(seed);
            drop((log, engine));
            let (_engine, log) = opened(&successor);
            assert_eq!(log.offsets().log_start.get(), start, "seed {seed}");
            assert_eq!(values_from(&log, start), [(start, b"new".to_vec())], "seed {seed}");
        }
    }
}

// While a segment is left, its records may already count as durable and the last entry of its time index be lost.
#[test]
fn a_time_is_found_although_the_last_entry_of_a_time_index_is_lost() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig { index_interval_bytes: 150, ..small_segments() });
    for number in 0..40 {
        append_at(&log, &[format!("value {number}").as_bytes()], NOW + number);
    }
    let times = |log: &Log| -> Vec<Option<i64>> {
        let find =
            |time| log.offset_for_timestamp(TimestampQuery::AtOrAfter(time), Isolation::LogEnd).unwrap();
        (0..40).map(|after| find(TimestampMs::new(NOW + after)).map(|found| found.offset.get())).collect()
    };
    let first_base = log.segments_info()[1].base_offset;
    engine.close().unwrap();
    drop((log, engine));
    let index = Path::new("/data/orders-0/00000000000000000000.timeindex");
    let file = disk.open(index, crate::io::OpenMode::ReadWrite).unwrap();
    file.set_len(file.len().unwrap() - 12).unwrap();
    let (_engine, log) = opened(&disk.kill());
    assert!(first_base.get() > 3);
    assert_eq!(times(&log), (0..40).map(Some).collect::<Vec<_>>());
}

#[test]
fn a_read_that_the_disk_refuses_fails_alone() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..60);
    let all = |log: &Log| values_from(log, 0);
    let before = all(&log);
    for after in 0..6 {
        disk.inject(Fault::next(Operation::Read, EIO).on(".log").after(after));
        let mut failed = 0;
        for from in 0..60 {
            let request =
                ReadRequest { from: Offset::new(from), ..ReadRequest::from_start(Isolation::LogEnd) };
            let read = log.read(&request).and_then(|fetched| Ok(fetched.to_bytes()?));
            match read {
                Err(ReadError::Io(error)) => {
                    assert_eq!(error.raw_os_error(), Some(EIO));
                    failed += 1;
                }
                Err(other) => panic!("{other}"),
                Ok(bytes) => assert!(!bytes.is_empty()),
            }
        }
        assert_eq!(failed, 1, "after {after}");
        disk.clear_faults();
        assert_eq!(all(&log), before);
    }
    assert!(log.home().dir_state().offline().is_none());
    append_numbered(&log, 60..70);
    assert_eq!(all(&log), numbered(0..70));
}

// The background tried again after a failed flush, in the same round, and the second attempt moved the recovery point.
#[test]
fn a_flush_after_one_that_failed_moves_no_recovery_point() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig::default());
    append_numbered(&log, 0..5);
    log.flush().unwrap();
    append_numbered(&log, 5..10);
    disk.inject(Fault::next(Operation::Sync, EIO).on(".log"));
    assert!(log.flush().is_err());
    assert!(log.flush().is_err());
    assert_eq!((log.recovery_point().get(), log.offsets().durable_end.get()), (5, 5));
}

#[test]
fn a_batch_that_stands_twice_behind_the_recovery_point_is_cut_once() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig::default());
    append_numbered(&log, 0..5);
    let last = read_from(&log, 4).to_bytes().unwrap();
    let end = log.size_bytes();
    let disk = disk.kill();
    drop((log, engine));
    let file =
        disk.open(Path::new("/data/orders-0/00000000000000000000.log"), crate::io::OpenMode::ReadWrite);
    file.unwrap().write_all_at(&last, end).unwrap();
    let (_engine, log) = opened(&disk);
    assert_eq!(values_from(&log, 0), numbered(0..5));
}

/// It was left empty, and readers searched the segment from its beginning ever after.
#[test]
fn a_lost_offset_index_is_made_again_also_for_what_lies_before_the_recovery_point() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig { segment_bytes: 1 << 20, ..small_segments() });
    append_numbered(&log, 0..40);
    log.flush().unwrap();
    crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
    let path = Path::new("/data/orders-0/00000000000000000000.index");
    let read = |disk: &SimDisk| {
        crate::checkpoint::read_small_file(&(Arc::new(disk.clone()) as _), path).unwrap().unwrap()
    };
    let before = read(&disk);
    let disk = disk.kill();
    drop((log, engine));
    disk.remove_file(path).unwrap();
    let (engine, log) = opened(&disk);
    assert_eq!(values_from(&log, 0), numbered(0..40));
    engine.close().unwrap();
    assert!(before.len() > 40, "{before:?}");
    assert_eq!(read(&disk), before);
}
