//! Indexes that look right and are wrong, segments that were cut short: the `.log` says what is read.

use std::fs;

use super::crash::{config_on, end_transaction, formatted, of_producer, opened, store};
use super::*;
use crate::batch::control::TxnOutcome;
use crate::io::sim::{Fault, Operation, SimDisk};
use crate::io::{Disk, OpenMode};
use crate::segment::find::MENDING_INTERVAL_MS;

const EIO: i32 = 5;

const RECORDS: i64 = 300;

/// What becomes of one number of an entry.
type Change = fn(u32) -> u32;

/// A directory after a clean stop: three segments, indexes with many entries, timestamps that rise and fall.
fn stopped() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.config.log_defaults =
        LogConfig { segment_bytes: 9_000, index_interval_bytes: 200, ..LogConfig::default() };
    let engine = fixture.open();
    let log = create(&engine, fixture.config.log_defaults.clone());
    for (offset, value) in numbered(0..RECORDS) {
        append_at(&log, &[&value], time_of(offset));
    }
    assert!(log.segments_info().len() >= 3);
    engine.close().unwrap();
    fixture
}

fn time_of(offset: i64) -> i64 {
    NOW + 10 * offset - if offset % 3 == 0 { 25 } else { 0 }
}

/// All that readers can ask: the records from each offset, and the offset of each time.
fn answers(log: &Arc<Log>) -> Vec<Option<(i64, i64)>> {
    for from in (0..RECORDS).step_by(7) {
        assert_eq!(values_from(log, from), numbered(from..RECORDS), "from {from}");
    }
    let at = |query| {
        let found = log.offset_for_timestamp(query, Isolation::LogEnd).unwrap();
        found.map(|found| (found.timestamp.get(), found.offset.get()))
    };
    (0..RECORDS)
        .map(|offset| at(TimestampQuery::AtOrAfter(TimestampMs::new(NOW - 30 + 10 * offset))))
        .chain([at(TimestampQuery::MaxTimestamp)])
        .collect()
}

fn files(fixture: &Fixture, kind: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let names = file_names(&fixture.log_dir()).into_iter().filter(|name| name.ends_with(kind));
    names
        .map(|name| fixture.log_dir().join(name))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// The entries with one number of each changed; the last entry stays, which is the one that a start looks at.
fn changed(bytes: &[u8], entry_len: usize, field: usize, change: impl Fn(u32) -> u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let entries = bytes.len() / entry_len;
    for entry in bytes.chunks_exact_mut(entry_len).take(entries.saturating_sub(1)) {
        let number = u32::from_be_bytes(entry[field..field + 4].try_into().unwrap());
        entry[field..field + 4].copy_from_slice(&change(number).to_be_bytes());
    }
    bytes
}

#[test]
fn an_offset_index_that_points_anywhere_is_not_followed_and_is_written_anew() {
    let fixture = stopped();
    let engine = fixture.open();
    let right = answers(&engine.log(&orders()).unwrap());
    engine.close().unwrap();
    drop(engine);
    let indexes = files(&fixture, ".index");
    // An entry that stands for more than its batch leads to an earlier place, from where everything is found.
    let damages: [(&str, usize, Change, bool); 5] = [
        ("the middle of a batch", 4, |position| position + 1, true),
        ("the batch after the next", 4, |position| position + 160, true),
        ("what lies behind the end", 4, |position| position + 1_000_000, true),
        ("a batch of larger offsets", 0, |offset| offset.saturating_sub(9), true),
        ("a batch of smaller offsets", 0, |offset| offset + 3, false),
    ];
    for (damage, field, change, is_mended) in damages {
        for (path, bytes) in &indexes {
            fs::write(path, changed(bytes, 8, field, change)).unwrap();
        }
        let engine = fixture.open();
        assert!(engine.open_report().is_clean());
        assert_eq!(answers(&engine.log(&orders()).unwrap()), right, "entries for {damage}");
        engine.close().unwrap();
        let all_but_active = indexes.len() - 1;
        let mended = files(&fixture, ".index").iter().zip(&indexes).filter(|(new, old)| new == old).count();
        assert_eq!(mended >= all_but_active, is_mended, "entries for {damage}: {mended} were mended");
        indexes.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    }
}

/// A simulated disk with a log of which the first offset index says what is not so, and what that index should be.
fn with_a_wrong_offset_index() -> (SimDisk, Vec<u8>) {
    let disk = crash::formatted();
    let engine = Engine::open(crash::config_on(&disk)).unwrap();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..100);
    engine.close().unwrap();
    let right = first_index(&disk);
    let file = disk.open(Path::new(FIRST_INDEX), OpenMode::ReadWrite).unwrap();
    file.write_all_at(&changed(&right, 8, 4, |position| position + 1), 0).unwrap();
    (disk, right)
}

const FIRST_INDEX: &str = "/data/orders-0/00000000000000000000.index";

fn first_index(disk: &SimDisk) -> Vec<u8> {
    let file = disk.open(Path::new(FIRST_INDEX), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn has_unfinished(disk: &SimDisk) -> bool {
    let files = disk.list(Path::new("/data/orders-0")).unwrap();
    files.iter().any(|entry| entry.name().unwrap().ends_with(".tmp"))
}

#[test]
fn a_read_does_not_fail_because_the_index_cannot_be_mended_which_is_tried_again_later() {
    let (disk, right) = with_a_wrong_offset_index();
    let wrong = first_index(&disk);
    let clock = Arc::new(ManualClock::starting_at(TimestampMs::new(NOW)));
    let mut config = crash::config_on(&disk);
    config.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let engine = Engine::open(config).unwrap();
    let log = engine.log(&orders()).unwrap();
    disk.set_full(true);
    assert_eq!(values_from(&log, 5), numbered(5..100));
    assert!(!has_unfinished(&disk), "what was written in vain is removed");
    disk.set_full(false);
    clock.advance_ms(MENDING_INTERVAL_MS - 1);
    assert_eq!(values_from(&log, 5), numbered(5..100));
    assert_eq!(first_index(&disk), wrong, "not tried with every read");
    clock.advance_ms(1);
    assert_eq!(values_from(&log, 5), numbered(5..100));
    assert_eq!(first_index(&disk), right);
    assert_eq!(values_from(&log, 5), numbered(5..100));
}

#[test]
fn what_a_crash_leaves_of_an_index_being_written_anew_is_removed_by_the_next_start() {
    let (disk, right) = with_a_wrong_offset_index();
    let engine = Engine::open(crash::config_on(&disk)).unwrap();
    let log = engine.log(&orders()).unwrap();
    // Written beside, and nothing after that.
    disk.inject(Fault::next(Operation::Name, EIO).on(".index").times(2));
    assert_eq!(values_from(&log, 5), numbered(5..100));
    assert!(has_unfinished(&disk));
    let successor = disk.kill();
    drop((log, engine));
    let engine = Engine::open(crash::config_on(&successor)).unwrap();
    assert!(!has_unfinished(&successor));
    let log = engine.log(&orders()).unwrap();
    assert_eq!(values_from(&log, 5), numbered(5..100));
    assert_eq!(first_index(&successor), right);
}

#[test]
fn an_aborted_transaction_is_told_although_the_offset_index_is_wrong() {
    let fixture = stopped();
    let engine = fixture.open();
    let log = engine.log(&orders()).unwrap();
    let segment = log.segments_info()[0];
    engine.close().unwrap();
    drop((engine, log));
    // An aborted range that ends with the first segment, and an index that says that the segment ends early.
    let aborted = AbortedTransaction {
        producer_id: ProducerId::new(7),
        first_offset: Offset::new(segment.end_offset.get() - 5),
        last_offset: Offset::new(segment.end_offset.get() - 1),
        last_stable_offset: segment.end_offset,
    };
    let bytes: Vec<u8> = [
        &0_i16.to_be_bytes()[..],
        &aborted.producer_id.get().to_be_bytes(),
        &aborted.first_offset.get().to_be_bytes(),
        &aborted.last_offset.get().to_be_bytes(),
        &aborted.last_stable_offset.get().to_be_bytes(),
    ]
    .concat();
    fs::write(fixture.log_dir().join(format!("{:020}.txnindex", 0)), bytes).unwrap();
    let (path, index) = files(&fixture, ".index").remove(0);
    fs::write(path, changed(&index, 8, 0, |offset| offset.saturating_sub(20))).unwrap();
    let engine = fixture.open();
    let log = engine.log(&orders()).unwrap();
    log.set_high_watermark(Offset::new(RECORDS));
    let max_bytes = segment.size_bytes as usize - 100;
    let request = ReadRequest { max_bytes, ..ReadRequest::from_start(Isolation::LastStable) };
    assert_eq!(log.read(&request).unwrap().aborted, [aborted]);
}

#[test]
fn a_time_index_that_says_anything_is_not_followed() {
    let fixture = stopped();
    let engine = fixture.open();
    let right = answers(&engine.log(&orders()).unwrap());
    engine.close().unwrap();
    drop(engine);
    let indexes = files(&fixture, ".timeindex");
    let damages: [(&str, usize, Change); 3] = [
        ("earlier times", 4, |time| time - 100),
        ("later times", 4, |time| time + 100),
        ("later offsets", 8, |offset| offset + 20),
    ];
    for (damage, field, change) in damages {
        for (path, bytes) in &indexes {
            fs::write(path, changed(bytes, 12, field, change)).unwrap();
        }
        let engine = fixture.open();
        assert_eq!(answers(&engine.log(&orders()).unwrap()), right, "entries of {damage}");
        engine.close().unwrap();
    }
    // The last entry tells how young the segment is, which decides when it goes.
    for change in [|time: u32| time - 1_000_000, |time: u32| time + 1_000_000] {
        for (path, bytes) in &indexes {
            let (first, last) = bytes.split_at(bytes.len() - 12);
            let twice = [last, last].concat();
            fs::write(path, [first, &changed(&twice, 12, 4, change)[..12]].concat()).unwrap();
        }
        let engine = fixture.open();
        let log = engine.log(&orders()).unwrap();
        assert_eq!(answers(&log), right, "of the last times");
        log.update_config(LogConfig { retention_ms: 3_000, ..LogConfig::default() });
        log.set_high_watermark(Offset::new(RECORDS));
        background::retain(log.home(), &[Arc::clone(&log)], NOW);
        assert_eq!(log.offsets().log_start, Offset::ZERO, "no record is older than three seconds");
        engine.close().unwrap();
    }
}

#[test]
fn readers_go_on_behind_a_segment_that_was_cut_short() {
    let fixture = stopped();
    let (path, bytes) = files(&fixture, ".log").remove(0);
    let next = files(&fixture, ".log")[1].0.file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
    for cut in [bytes.len() - 1, bytes.len() - 70, bytes.len() / 2, 100, 30, 5, 0] {
        fs::write(&path, &bytes[..cut]).unwrap();
        let engine = fixture.open();
        assert!(engine.open_report().is_clean(), "nothing behind the cut is given up");
        let log = engine.log(&orders()).unwrap();
        let kept: Vec<(i64, Vec<u8>)> = values_until_the_hole(&bytes[..cut]);
        let expected: Vec<_> = kept.into_iter().chain(numbered(next..RECORDS)).collect();
        for from in [0, 1, next / 2, next - 1, next] {
            let behind = expected.iter().filter(|(offset, _)| *offset >= from).cloned().collect::<Vec<_>>();
            assert!(values_from(&log, from) == behind, "cut at {cut}, from {from}");
        }
        let found =
            log.offset_for_timestamp(TimestampQuery::AtOrAfter(TimestampMs::new(NOW)), Isolation::LogEnd);
        assert_eq!(
            found.unwrap().map(|found| found.offset.get()),
            expected.iter().map(|(offset, _)| *offset).find(|offset| time_of(*offset) >= NOW)
        );
        engine.close().unwrap();
    }
}

fn values_until_the_hole(bytes: &[u8]) -> Vec<(i64, Vec<u8>)> {
    let (mut rest, mut count) = (bytes, 0);
    while let Ok(batch) = BatchView::read(rest) {
        rest = &rest[batch.size_in_bytes()..];
        count += 1;
    }
    numbered(0..count)
}

/// A kill while indexes were made again left an offset index that was complete and a time index that was not, or no index of
/// aborted transactions; the next start believed them, since they spoke of records before the recovery point.
#[test]
fn a_start_that_dies_while_it_makes_indexes_again_leaves_none_that_misleads_the_next() {
    let (disk, expected) = with_an_offset_index_that_misleads_a_start();
    for after in 0..120 {
        for power_is_lost in [false, true] {
            let first = disk.kill();
            first.power_off_after(after);
            drop(Engine::open(config_on(&first)));
            let second = if power_is_lost { first.crash(after) } else { first.kill() };
            let (_engine, log) = opened(&second);
            log.set_high_watermark(log.offsets().log_end);
            assert_eq!(
                times_and_aborted(&log),
                expected,
                "{after} operations, power is lost: {power_is_lost}"
            );
        }
    }
}

type TimesAndAborted = (Vec<Option<i64>>, Vec<AbortedTransaction>);

fn times_and_aborted(log: &Log) -> TimesAndAborted {
    let find = |time| log.offset_for_timestamp(TimestampQuery::AtOrAfter(time), Isolation::LogEnd).unwrap();
    let times = (0..30).map(|after| find(TimestampMs::new(NOW + after)).map(|found| found.offset.get()));
    let request = ReadRequest::from_start(Isolation::LastStable);
    (times.collect(), log.read(&request).unwrap().aborted)
}

// One segment, all of it before the recovery point, that was never closed.
fn with_an_offset_index_that_misleads_a_start() -> (SimDisk, TimesAndAborted) {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(
        &engine,
        LogConfig { segment_bytes: 1 << 20, index_interval_bytes: 100, ..LogConfig::default() },
    );
    store(&log, of_producer(1, 0, true));
    end_transaction(&log, 1, TxnOutcome::Abort);
    for back in 0..28 {
        // The largest timestamps come first.
        append_at(&log, &[b"value"], NOW + 28 - back);
    }
    log.set_high_watermark(log.offsets().log_end);
    log.flush().unwrap();
    crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
    let expected = times_and_aborted(&log);
    assert_eq!((expected.0[28], expected.1.len()), (Some(2), 1));
    let disk = disk.kill();
    drop((log, engine));
    let index = Path::new("/data/orders-0/00000000000000000000.index");
    let file = disk.open(index, OpenMode::ReadWrite).unwrap();
    let position = file.len().unwrap() - 1;
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 1], position).unwrap();
    file.sync_data().unwrap();
    (disk, expected)
}
