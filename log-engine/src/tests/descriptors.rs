//! How many files stay open, whatever is done with many logs, and what happens when descriptors run out.

use std::sync::atomic::{AtomicBool, Ordering};

use super::compact::compacted;
use super::sharing::engine_on;
use super::*;
use crate::io::sim::{Fault, Operation, SimDisk};

const LOGS: i32 = 24;
const OPEN_FILES_MAX: usize = 12;

/// What a thread may have opened beyond the bound: the files of a segment that it rolls to, under the log's lock.
const BEYOND_FOR_EACH_THREAD: usize = 4;

const EMFILE: i32 = 24;

fn logs_of(engine: &Engine, config: &LogConfig) -> Vec<Arc<Log>> {
    let log = |partition| {
        let partition = TopicPartition::new("orders", partition);
        engine.create_log(&partition, TopicId::new([7; 16]), config.clone(), None).unwrap()
    };
    (0..LOGS).map(log).collect()
}

#[test]
fn the_bound_on_open_files_holds_while_many_logs_are_appended_to_read_compacted_and_deleted() {
    let mut fixture = Fixture::new();
    fixture.config.open_files_max = Some(OPEN_FILES_MAX);
    let engine = fixture.open();
    let logs = logs_of(&engine, &compacted());
    let done = AtomicBool::new(false);
    let most_open = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Acquire) {
                most = most.max(engine.open_files());
                std::thread::yield_now();
            }
            most
        });
        let writers: Vec<_> = logs
            .chunks(LOGS as usize / 2)
            .map(|logs| {
                scope.spawn(move || {
                    for round in 0..30 {
                        for log in logs {
                            append_keyed(log, round % 3, round);
                        }
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            for log in logs.iter().cycle().take(20 * LOGS as usize) {
                let _ = read_from(log, 0).to_bytes().unwrap();
            }
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        reader.join().unwrap();
        for log in &logs {
            engine.compact(log).unwrap();
        }
        for log in &logs[..4] {
            assert!(engine.delete_log(log.partition()).unwrap());
        }
        done.store(true, Ordering::Release);
        watcher.join().unwrap()
    });
    assert!(most_open > OPEN_FILES_MAX / 2, "{most_open}: nothing was kept open");
    let threads = 4;
    assert!(most_open <= OPEN_FILES_MAX + threads * BEYOND_FOR_EACH_THREAD, "{most_open} files were open");
    for log in &logs[4..] {
        let found = values_from(log, 0);
        assert_eq!(found.last().map(|(offset, value)| (*offset, value.clone())), Some((29, b"29".to_vec())));
    }
    engine.close().unwrap();
}

// One record with one of a few keys.
fn append_keyed(log: &Arc<Log>, key: u32, value: u32) {
    let mut batch = BatchBuilder::new(Compression::None);
    let (key, value) = (key.to_string(), value.to_string());
    let timestamp = TimestampMs::new(NOW);
    let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
    batch.append(&NewRecord { timestamp, key, value, headers: &[] }).unwrap();
    let records = BytesMut::from(&batch.finish().unwrap()[..]);
    log.append(AppendRequest::from_client(records, LeaderEpoch::new(0))).unwrap().wait().unwrap();
}

#[test]
fn a_slice_is_read_after_its_file_was_closed_and_its_log_deleted() {
    let mut fixture = Fixture::new();
    fixture.config.open_files_max = Some(3);
    fixture.config.log_defaults.file_delete_delay_ms = 0;
    let engine = fixture.open();
    let logs = logs_of(&engine, &LogConfig { file_delete_delay_ms: 0, ..small_segments() });
    append_numbered(&logs[0], 0..3);
    let slice = read_from(&logs[0], 0);
    let expected = slice.to_bytes().unwrap();
    for log in &logs[1..] {
        append_numbered(log, 0..1);
    }
    assert!(engine.open_files() <= 3 + BEYOND_FOR_EACH_THREAD);
    assert_eq!(slice.to_bytes().unwrap(), expected);
    engine.delete_log(logs[0].partition()).unwrap();
    for name in file_names(&fixture.dir).iter().filter(|name| name.ends_with("-delete")) {
        std::fs::remove_dir_all(fixture.dir.join(name)).unwrap();
    }
    assert_eq!(slice.to_bytes().unwrap(), expected);
}

#[test]
fn when_descriptors_run_out_files_that_nobody_uses_are_closed_and_it_is_tried_again() {
    let disk = SimDisk::new();
    let engine = engine_on(&disk);
    let logs = logs_of(&engine, &LogConfig::default());
    for log in &logs {
        append_numbered(log, 0..3);
        log.flush().unwrap();
    }
    let before = engine.open_files();
    disk.inject(Fault::next(Operation::Open, EMFILE).times(2));
    let partition = TopicPartition::new("orders", LOGS);
    engine.create_log(&partition, TopicId::new([7; 16]), LogConfig::default(), None).unwrap();
    assert!(engine.open_files() < before, "{before} files were open, now {}", engine.open_files());
    for log in &logs {
        assert_eq!(values_from(log, 0), numbered(0..3));
        append_numbered(log, 3..5);
        assert_eq!(values_from(log, 0), numbered(0..5));
    }
}

#[test]
fn a_file_is_not_closed_before_its_bytes_are_on_the_disk() {
    let disk = SimDisk::new();
    let engine = engine_on(&disk);
    let logs = logs_of(&engine, &LogConfig::default());
    append_numbered(&logs[0], 0..3);
    let unflushed = engine.open_files();
    // Nothing may be closed, so the shortage shows.
    disk.inject(Fault::next(Operation::Open, EMFILE).times(u64::MAX));
    let partition = TopicPartition::new("orders", LOGS);
    assert!(engine.create_log(&partition, TopicId::new([7; 16]), LogConfig::default(), None).is_err());
    assert!(engine.open_files() < unflushed, "those of the other logs are closed");
    assert!(engine.open_files() >= 1, "the unflushed one is not");
    append_numbered(&logs[0], 3..5);
}

#[test]
fn a_flush_that_fails_while_files_are_closed_takes_the_directory_offline() {
    let disk = SimDisk::new();
    let mut config = config_on_with(&disk);
    config.open_files_max = Some(3);
    let engine = Engine::open(config).unwrap();
    let logs = logs_of(&engine, &LogConfig::default());
    append_numbered(&logs[0], 0..1);
    disk.inject(Fault::next(Operation::Sync, 5).on(".log"));
    let refused = (1..LOGS as usize).find(|index| {
        let request = AppendRequest::from_client(batch_of(&[b"x"], NOW), LeaderEpoch::new(0));
        logs[*index].append(request).and_then(|ticket| ticket.wait()).is_err()
    });
    assert!(refused.is_some());
    assert!(matches!(
        logs[0]
            .append(AppendRequest::from_client(batch_of(&[b"x"], NOW), LeaderEpoch::new(0)))
            .and_then(|t| t.wait()),
        Err(AppendError::Commit(_) | AppendError::Io { .. })
    ));
}

/// Nothing could close them, and each eviction of a healthy directory flushed them again.
#[test]
fn files_of_an_offline_directory_are_closed_and_never_flushed_again() {
    let disk = SimDisk::new();
    let mut config = config_on_with(&disk);
    let shared: Arc<dyn crate::io::Disk> = Arc::new(disk.clone());
    let meta = MetaProperties { cluster_id: "test".into(), node_id: 1, directory_id: None };
    log_dir::format(&shared, Path::new("/other"), &meta, TimestampMs::new(NOW)).unwrap();
    config.directories.push(PathBuf::from("/other"));
    config.open_files_max = Some(OPEN_FILES_MAX);
    let engine = Engine::open(config).unwrap();
    let log = |partition, dir: &str| {
        let partition = TopicPartition::new("orders", partition);
        engine
            .create_log(&partition, TopicId::new([7; 16]), LogConfig::default(), Some(Path::new(dir)))
            .unwrap()
    };
    let failing: Vec<_> = (0..5).map(|partition| log(partition, "/data")).collect();
    failing.iter().for_each(|log| append_numbered(log, 0..1));
    disk.inject(Fault::next(Operation::Sync, 5).on("/data/").times(u64::MAX));
    assert!(failing[0].flush().is_err());
    let struck = disk.faults_struck();
    for partition in 5..15 {
        let log = log(partition, "/other");
        append_numbered(&log, 0..1);
        log.flush().unwrap();
    }
    assert_eq!(disk.faults_struck(), struck, "files that nobody waits for were flushed");
    assert!(engine.open_files() <= OPEN_FILES_MAX + BEYOND_FOR_EACH_THREAD, "{}", engine.open_files());
}

/// An append that had opened the file itself wrote through its own handle, beside the one that others had opened since.
#[test]
fn all_appends_to_a_file_go_through_the_handle_that_is_open() {
    let disk = SimDisk::new();
    let engine = engine_on(&disk);
    let log = create(&engine, LogConfig::default());
    let path = crate::segment::LogPath::new(&log.home().site, PathBuf::from("/data/orders-0"));
    let segment = crate::segment::Segment::create(&path, Offset::new(1000), TimestampMs::new(NOW)).unwrap();
    let kept = segment.file().unwrap();
    let name = Path::new("/data/orders-0/00000000000000001000.log");
    let other = crate::io::Disk::open(&disk, name, crate::io::OpenMode::ReadWrite).unwrap();
    assert!(Arc::ptr_eq(&segment.set_out(other, 10), &kept));
}

/// Each of them took the directory offline.
#[test]
fn without_descriptors_or_room_an_aborted_transaction_is_known_and_a_failed_append_is_undone() {
    use crate::tests::crash::{end_transaction, of_producer, store};
    for (operation, errno) in [(Operation::Open, EMFILE), (Operation::Write, 28)] {
        let disk = SimDisk::new();
        let engine = engine_on(&disk);
        let log = create(&engine, LogConfig::default());
        let aborted = |log: &Log| {
            log.set_high_watermark(log.offsets().log_end);
            log.read(&ReadRequest::from_start(Isolation::LastStable)).unwrap().aborted
        };
        store(&log, of_producer(1, 0, true));
        disk.inject(Fault::next(operation, errno).on(".txnindex").times(u64::MAX));
        end_transaction(&log, 1, crate::batch::control::TxnOutcome::Abort);
        assert!(log.home().dir_state().offline().is_none(), "{operation:?}");
        let before = aborted(&log);
        assert_eq!(before.len(), 1, "{operation:?}");
        assert!(log.flush().is_err(), "the recovery point must not pass it");
        disk.clear_faults();
        log.flush().unwrap();
        assert_eq!(aborted(&log), before);

        disk.inject(Fault::next(Operation::Open, EMFILE).times(u64::MAX));
        disk.inject(Fault::next(Operation::Write, 28).on(".log"));
        let request = AppendRequest::from_client(batch_of(&[b"x"], NOW), LeaderEpoch::new(0));
        assert!(log.append(request).and_then(|ticket| ticket.wait()).is_err());
        assert!(log.home().dir_state().offline().is_none(), "{operation:?}");
        disk.clear_faults();
        assert_eq!(append(&log, &[b"y"]).first_offset.get(), 2);
        engine.close().unwrap();
        drop((log, engine));
        let engine = Engine::open(config_on_again(&disk)).unwrap();
        assert_eq!(aborted(&engine.log(&orders()).unwrap()), before, "after a start");
    }
}

fn config_on_again(disk: &SimDisk) -> EngineConfig {
    let mut config = EngineConfig::new([PathBuf::from("/data")], 1);
    config.disk = DiskChoice::Given(Arc::new(disk.clone()));
    config
}

fn config_on_with(disk: &SimDisk) -> EngineConfig {
    drop(engine_on(disk));
    let mut config = EngineConfig::new([PathBuf::from("/data")], 1);
    config.disk = DiskChoice::Given(Arc::new(disk.clone()));
    config.clock = Arc::new(ManualClock::starting_at(TimestampMs::new(NOW)));
    config.upkeep = Upkeep::Caller;
    config
}
