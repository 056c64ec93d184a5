//! Compaction through the engine: what is read before and after, also by who read before; power losses at each of its
//! operations. That the outcome is Kafka's, to the record, is shown in `tests/interop`.

use std::collections::BTreeMap;

use super::crash::{config_on, formatted};
use super::*;
use crate::batch::CompressionType;
use crate::io::sim::{Fault, Operation, SimDisk};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

type Entry = (i64, Vec<u8>, Option<Vec<u8>>);

pub(super) fn compacted() -> LogConfig {
    LogConfig { cleanup_policy: CleanupPolicy { delete: false, compact: true }, ..small_segments() }
}

/// So that all closed segments become one.
fn one_group(log: &Log) {
    log.update_config(LogConfig { segment_bytes: 1 << 20, ..compacted() });
}

fn put(log: &Arc<Log>, key: &str, value: Option<&str>) -> i64 {
    put_at(log, key, value, NOW)
}

fn put_at(log: &Arc<Log>, key: &str, value: Option<&str>, timestamp: i64) -> i64 {
    let mut batch = BatchBuilder::new(Compression::None);
    batch
        .append(&NewRecord {
            timestamp: TimestampMs::new(timestamp),
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
            headers: &[],
        })
        .unwrap();
    let records = BytesMut::from(&batch.finish().unwrap()[..]);
    let request = AppendRequest::from_client(records, LeaderEpoch::new(0));
    let appended = log.append(request).unwrap().wait().unwrap();
    log.set_high_watermark(appended.last_offset.next());
    appended.first_offset.get()
}

/// `count` records of `keys` keys in turn, the value naming the offset.
fn put_some(log: &Arc<Log>, keys: i64, count: i64) {
    for _ in 0..count {
        let offset = log.offsets().log_end.get();
        put(log, &format!("key {}", offset % keys), Some(&format!("value {offset}")));
    }
}

fn entries(log: &Log) -> Vec<Entry> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    records_from(log, log.offsets().log_start.get(), |record| {
        (record.offset.get(), record.key.unwrap().to_vec(), owned(record.value))
    })
}

/// The last value of each key.
fn table(entries: &[Entry]) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    entries.iter().map(|(_, key, value)| (key.clone(), value.clone())).collect()
}

fn segment_files(fixture: &Fixture) -> Vec<String> {
    file_names(&fixture.log_dir()).into_iter().filter(|name| name.contains(".log")).collect()
}

#[test]
fn of_the_records_of_a_key_the_last_one_stays_at_its_offset_before_and_after_reopening() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, compacted());
    put_some(&log, 7, 100);
    let before = entries(&log);
    let active = log.segments_info().last().unwrap().base_offset.get();
    assert!(active > 50);
    one_group(&log);
    let report = engine.compact(&log).unwrap();
    assert_eq!(report.cleaned_to.get(), active);
    assert_eq!(report.keys, 7);
    let after = entries(&log);
    let expected: Vec<Entry> = before.into_iter().filter(|(offset, ..)| *offset >= active - 7).collect();
    assert_eq!(after, expected);
    assert_eq!(log.segments_info().len(), 2);
    assert_eq!(segment_files(&fixture), ["00000000000000000000.log".to_owned(), format!("{active:020}.log")]);
    for from in 0..100 {
        let found = read_from(&log, from).to_bytes().unwrap();
        let first = BatchView::read(&found).unwrap();
        assert_eq!(first.last_offset().get(), from.max(active - 7), "the next that is there");
    }
    assert_eq!(engine.compact(&log).unwrap().bytes_read, 0, "nothing is dirty any more");
    put_some(&log, 7, 5);
    engine.close().unwrap();
    drop((log, engine));
    let checkpoint = std::fs::read_to_string(fixture.dir.join("cleaner-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, format!("0\n1\norders 0 {active}\n"));

    let engine = fixture.open();
    let log = engine.log(&orders()).unwrap();
    assert_eq!(log.cleaned_to(), Some(Offset::new(active)));
    assert_eq!(entries(&log)[..expected.len()], expected);
    drop((log, engine));
    let engine = fixture.open();
    assert!(!engine.open_report().is_clean());
    assert_eq!(engine.open_report().cut_bytes(), 0, "gaps of a compacted log are no loss");
    assert_eq!(entries(&engine.log(&orders()).unwrap())[..expected.len()], expected);
}

#[test]
fn a_tombstone_stays_until_its_horizon_which_begins_when_it_is_first_met() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, LogConfig { delete_retention_ms: 1_000, ..compacted() });
    put(&log, "gone", Some("value"));
    let tombstone = put(&log, "gone", None);
    put_some(&log, 5, 30);
    engine.compact(&log).unwrap();
    let has_tombstone = || entries(&log).contains(&(tombstone, b"gone".to_vec(), None));
    assert!(has_tombstone());
    fixture.clock.advance_ms(999);
    put_some(&log, 5, 30);
    engine.compact(&log).unwrap();
    assert!(has_tombstone());
    fixture.clock.advance_ms(1);
    put_some(&log, 5, 30);
    engine.compact(&log).unwrap();
    assert!(!has_tombstone());
    assert_eq!(entries(&log).iter().filter(|(_, key, _)| key == b"gone").count(), 0);
}

#[test]
fn keys_that_do_not_fit_the_memory_are_left_for_the_next_pass() {
    let mut fixture = Fixture::new();
    fixture.config.cleaner.dedupe_buffer_bytes = 24 * 20;
    let engine = fixture.open();
    let log = create(&engine, compacted());
    put_some(&log, 40, 200);
    let before = entries(&log);
    let active = log.segments_info().last().unwrap().base_offset;
    let mut passes = 0;
    while log.cleaned_to() != Some(active) {
        let report = engine.compact(&log).unwrap();
        assert!(report.keys <= 18);
        assert_eq!(table(&entries(&log)), table(&before));
        passes += 1;
        assert!(passes < 100, "every pass gets on");
    }
    assert!(passes > 3);
    let closed: Vec<Entry> =
        entries(&log).into_iter().filter(|(offset, ..)| *offset < active.get()).collect();
    assert_eq!(closed.len(), table(&closed).len(), "one record of each key");
}

/// A log of batches of several records, some without a value, cleaned twice; what its files hold then.
fn files_after_cleaning(codec: CompressionType, dedupe_buffer_bytes: u64) -> Vec<(String, Vec<u8>)> {
    let mut fixture = Fixture::new();
    fixture.config.cleaner.dedupe_buffer_bytes = dedupe_buffer_bytes;
    let engine = fixture.open();
    let log = create(&engine, compacted());
    for round in 0..2 {
        for number in 0..60_i64 {
            let mut batch = BatchBuilder::new(Compression::of(codec));
            for record in 0..=number % 7 {
                let chosen = (number * 31 + record * 7 + round) % 40;
                let (key, value) = (format!("key {chosen}"), format!("value {number} {record}"));
                let value = (chosen % 13 != 5).then_some(value.as_bytes());
                let timestamp = TimestampMs::new(NOW + number);
                batch
                    .append(&NewRecord { timestamp, key: Some(key.as_bytes()), value, headers: &[] })
                    .unwrap();
            }
            let records = BytesMut::from(&batch.finish().unwrap()[..]);
            let request = AppendRequest::from_client(records, LeaderEpoch::new(0));
            let appended = log.append(request).unwrap().wait().unwrap();
            log.set_high_watermark(appended.last_offset.next());
        }
        let report = engine.compact(&log).unwrap();
        assert_eq!(report.cleaned_to, log.segments_info().last().unwrap().base_offset);
        assert!(report.records_kept < report.records_read);
    }
    let names = file_names(&fixture.log_dir()).into_iter().filter(|name| !name.contains("delete"));
    names.map(|name| (name.clone(), std::fs::read(fixture.log_dir().join(name)).unwrap())).collect()
}

#[test]
fn whichever_way_keys_are_gathered_the_same_bytes_are_left() {
    for codec in CompressionType::ALL {
        let from_the_last = files_after_cleaning(codec, 8 << 20);
        // All keys fit, but it is not known beforehand; what goes is noted, or must be asked record by record.
        for slots in [200, 50] {
            assert!(files_after_cleaning(codec, 24 * slots) == from_the_last, "{codec}, {slots} slots");
        }
    }
}

#[test]
fn who_reads_while_a_log_is_compacted_goes_on_reading_what_it_has() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, compacted());
    put_some(&log, 3, 60);
    let held = read_from(&log, 0);
    let copy = held.to_bytes().unwrap();
    engine.compact(&log).unwrap();
    assert_eq!(held.to_bytes().unwrap(), copy);
    assert_ne!(read_from(&log, 0).to_bytes().unwrap(), copy);
}

/// A reader that had found nothing more in a segment went on behind the one that had taken its place, and so missed what
/// that one had of the segments between.
#[test]
fn who_read_a_segment_that_was_exchanged_goes_on_in_what_took_its_place() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, compacted());
    put_some(&log, 5, 40);
    let before = log.segments_before(Offset::new(i64::MAX));
    one_group(&log);
    engine.compact(&log).unwrap();
    let after = log.segments_before(Offset::new(i64::MAX));
    let cleaned = Arc::clone(&after[0]);
    assert!(!Arc::ptr_eq(&before[0], &cleaned) && before.len() > after.len());
    for exchanged in before.iter().take_while(|segment| segment.base_offset < after[1].base_offset) {
        assert!(Arc::ptr_eq(&log.segment_behind(exchanged).unwrap(), &cleaned));
    }
    assert!(Arc::ptr_eq(&log.segment_behind(&cleaned).unwrap(), &after[1]));
}

#[test]
fn whoever_reads_while_segments_are_exchanged_gets_whole_batches_from_the_offset_on() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, compacted());
    put_some(&log, 5, 40);
    let done = std::sync::atomic::AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            while !done.load(std::sync::atomic::Ordering::Acquire) || reads < 100 {
                let end = log.offsets().log_end.get();
                let from = (reads * 7919 % end.unsigned_abs()).cast_signed();
                let bytes = read_from(&log, from).to_bytes().unwrap();
                let first = BatchView::read(&bytes).unwrap();
                assert!(first.crc_is_valid());
                assert!(first.last_offset().get() >= from, "{from}: {first:?}");
                reads += 1;
            }
            reads
        });
        for _ in 0..40 {
            put_some(&log, 5, 30);
            engine.compact(&log).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        reader.join().unwrap()
    });
    assert!(reads >= 100);
    let found = entries(&log);
    assert_eq!(table(&found).len(), 5);
    assert_eq!(found.last().map(|entry| entry.0), Some(40 + 40 * 30 - 1));
}

#[test]
fn the_cleaner_takes_logs_that_are_due_by_itself_and_stops_with_the_engine() {
    let mut fixture = Fixture::new();
    fixture.config.cleaner.backoff_ms = 1;
    let engine = fixture.open();
    let log = create(&engine, compacted());
    put_some(&log, 3, 60);
    let active = log.segments_info().last().unwrap().base_offset;
    engine.start_compaction().unwrap();
    let mut looks = 0;
    while log.cleaned_to() != Some(active) {
        std::thread::sleep(std::time::Duration::from_millis(2));
        looks += 1;
        assert!(looks < 10_000, "the cleaner never came");
    }
    engine.close().unwrap();
    let names = file_names(&fixture.log_dir());
    assert!(!names.iter().any(|name| name.ends_with("d") || name.ends_with(".swap")), "{names:?}");
}

#[test]
fn threads_limits_and_pauses_of_the_cleaner_change_while_it_runs() {
    let mut fixture = Fixture::new();
    // No thread; then one that would rest for ever, and may read nothing.
    fixture.config.cleaner = CleanerConfig { threads: 0, ..CleanerConfig::default() };
    let engine = fixture.open();
    let log = create(&engine, compacted());
    put_some(&log, 3, 60);
    engine.start_compaction().unwrap();
    let cleaned = |what: &str| {
        let active = log.segments_info().last().unwrap().base_offset;
        let mut looks = 0;
        while log.cleaned_to() != Some(active) {
            std::thread::sleep(std::time::Duration::from_millis(2));
            looks += 1;
            assert!(looks < 10_000, "never cleaned: {what}");
        }
    };
    let never = u64::MAX / 2;
    let held_up =
        CleanerConfig { threads: 1, backoff_ms: never, io_max_bytes_per_second: 0.0, ..Default::default() };
    engine.set_cleaner_config(held_up).unwrap();
    let free = CleanerConfig { io_max_bytes_per_second: f64::MAX, ..held_up };
    engine.set_cleaner_config(free).unwrap();
    cleaned("without a limit");
    put_some(&log, 3, 60);
    engine.set_cleaner_config(CleanerConfig { threads: 0, ..free }).unwrap();
    engine.set_cleaner_config(CleanerConfig { threads: 2, backoff_ms: 1, ..free }).unwrap();
    cleaned("by new threads with a short pause");
    engine.close().unwrap();
}

#[test]
fn a_log_that_cannot_be_cleaned_is_marked_and_the_others_are_cleaned() {
    let mut fixture = Fixture::new();
    fixture.config.cleaner.backoff_ms = 1;
    let engine = fixture.open();
    let damaged = create(&engine, compacted());
    put_some(&damaged, 3, 60);
    let before = entries(&damaged);
    let file = fixture.log_dir().join("00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    let healthy = bytes.clone();
    bytes[70] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let other = TopicPartition::new("other", 0);
    let other = engine.create_log(&other, TopicId::new([9; 16]), compacted(), None).unwrap();
    put_some(&other, 3, 60);
    engine.start_compaction().unwrap();
    let mut looks = 0;
    while other.cleaned_to().is_none_or(|to| to.get() == 0) || !damaged.is_uncleanable() {
        std::thread::sleep(std::time::Duration::from_millis(2));
        looks += 1;
        assert!(looks < 10_000);
    }
    assert!(matches!(engine.compact(&damaged), Err(CleaningError::Corrupt(_))));
    engine.close().unwrap();
    assert!(!segment_files(&fixture).iter().any(|name| name.ends_with(".cleaned")));
    std::fs::write(&file, &healthy).unwrap();
    assert_eq!(entries(&damaged), before);
    assert!(!other.is_uncleanable());
}

/// A disk with a log of several groups, something to clean in each.
fn with_a_log_to_compact() -> SimDisk {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, compacted());
    put_some(&log, 11, 60);
    put(&log, "gone", None);
    put_some(&log, 5, 30);
    engine.close().unwrap();
    drop((log, engine));
    disk.kill()
}

/// What that log holds, and what it holds once it is compacted.
fn before_and_after() -> (Vec<Entry>, Vec<Entry>) {
    let disk = with_a_log_to_compact();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = engine.log(&orders()).unwrap();
    let before = entries(&log);
    log.update_config(compacted());
    engine.compact(&log).unwrap();
    (before, entries(&log))
}

// Each group is exchanged as a whole, the first ones first.
fn is_between(found: &[Entry], before: &[Entry], after: &[Entry]) -> bool {
    (0..=100).any(|border| {
        let mixed = after.iter().filter(|entry| entry.0 < border);
        mixed.chain(before.iter().filter(|entry| entry.0 >= border)).eq(found)
    })
}

#[test]
fn a_power_loss_at_any_operation_of_a_compaction_leaves_each_group_as_it_was_or_compacted() {
    let mut finished = false;
    let mut outcomes = [0, 0, 0];
    let (before, after) = before_and_after();
    assert_ne!(before, after);
    for operations in 0..2_000 {
        if finished {
            break;
        }
        let disk = with_a_log_to_compact();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = engine.log(&orders()).unwrap();
        log.update_config(compacted());
        disk.power_off_after(operations);
        finished = engine.compact(&log).is_ok();
        let successor = disk.crash(operations);
        drop((log, engine));

        let engine =
            Engine::open(config_on(&successor)).unwrap_or_else(|error| panic!("{operations}: {error}"));
        let log = engine.log(&orders()).unwrap();
        let found = entries(&log);
        assert_eq!(table(&found), table(&before), "{operations}");
        assert!(is_between(&found, &before, &after), "{operations}: {found:?}");
        assert_eq!(log.offsets().log_end.get(), before.len() as i64, "{operations}");
        outcomes[if found == before {
            0
        } else if found == after {
            2
        } else {
            1
        }] += 1;
        // It can be compacted again, to the same end.
        log.update_config(compacted());
        engine.compact(&log).unwrap();
        assert_eq!(entries(&log), after, "{operations}");
        engine.close().unwrap();
    }
    assert!(finished, "the last run must get through");
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was_and_it_is_compacted_once_there_is_room() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, compacted());
    put_some(&log, 3, 60);
    log.flush().unwrap();
    one_group(&log);
    let before = entries(&log);
    for after in [0, 1] {
        disk.inject(Fault::next(Operation::Write, ENOSPC).on(".cleaned").after(after));
        let error = engine.compact(&log).unwrap_err();
        assert!(error.is_passing(), "{error}");
        assert_eq!(entries(&log), before);
        assert!(!log.is_uncleanable());
        disk.clear_faults();
    }
    engine.compact(&log).unwrap();
    assert_eq!(table(&entries(&log)), table(&before));
    assert!(entries(&log).len() < before.len());
}

#[test]
fn a_failed_exchange_takes_the_directory_offline_and_the_next_start_finds_one_of_the_two_states() {
    for after in 0..12 {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, compacted());
        put_some(&log, 3, 60);
        log.flush().unwrap();
        let before = entries(&log);
        disk.inject(Fault::next(Operation::Name, EIO).on("orders-0").after(after));
        let failed = engine.compact(&log).is_err();
        let successor = disk.kill();
        drop((log, engine));
        let engine = Engine::open(config_on(&successor)).unwrap();
        let log = engine.log(&orders()).unwrap();
        assert_eq!(table(&entries(&log)), table(&before), "{after} {failed}");
        log.update_config(compacted());
        engine.compact(&log).unwrap();
        assert_eq!(table(&entries(&log)), table(&before), "{after} {failed}");
    }
}

#[test]
fn what_was_cut_while_a_log_was_compacted_voids_the_compaction() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, compacted());
    put_some(&log, 3, 60);
    let turn = log.begin_cleaning().unwrap();
    assert!(matches!(engine.compact(&log), Err(CleaningError::Busy)));
    drop(turn);
    engine.compact(&log).unwrap();
    let cleaned_to = log.cleaned_to().unwrap();
    log.truncate_to(cleaned_to.plus(-1)).unwrap();
    assert_eq!(log.cleaned_to(), Some(cleaned_to.plus(-1)), "what comes there now was not compacted");
}
