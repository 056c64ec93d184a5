//! What lies behind kept damage: found from each of its offsets, known of its producers, and only as far as it was durable.

use super::crash::{config_on, formatted, opened, store};
use super::*;
use crate::batch::stamp_base_offset;
use crate::io::sim::SimDisk;
use crate::io::{Disk, OpenMode};

const LOG: &str = "/data/orders-0/00000000000000000000.log";

/// The entry of the first batch behind damage tells its last offset: who asked for an earlier one was led into the damage.
#[test]
fn every_record_behind_damage_is_found_also_after_starts_that_do_not_look_there() {
    for interval in [4096, 1] {
        let (disk, engine, log) = tens(LogConfig { index_interval_bytes: interval, ..LogConfig::default() });
        let damaged = position_of(&log, 60);
        let disk = disk.kill();
        drop((log, engine));
        write(&disk, damaged + 16, &[9]);
        let (engine, log) = opened(&disk);
        assert_eq!(refused(&log), (60..70).collect::<Vec<_>>(), "interval {interval}");
        append_ten(&log, 100);
        flush(&engine, &log);
        let disk = disk.kill();
        drop((log, engine));
        let (engine, log) = opened(&disk);
        assert_eq!(log.offsets().log_end.get(), 110);
        assert_eq!(refused(&log), (60..70).collect::<Vec<_>>(), "again, interval {interval}");
        engine.close().unwrap();
        drop((log, engine));
        let (_engine, log) = opened(&disk);
        assert_eq!(refused(&log), (60..70).collect::<Vec<_>>(), "after a clean stop, interval {interval}");
    }
}

/// The state of producers was taken from the snapshot at the recovery point, and what lay behind it was not looked at, because
/// damage lay before it: a batch was taken twice, and readers of committed records were shown an open transaction.
#[test]
fn producers_and_open_transactions_behind_damage_are_known() {
    for interval in [4096, 1] {
        let config = LogConfig { index_interval_bytes: interval, ..LogConfig::default() };
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, config);
        (0..5).for_each(|ten| append_ten(&log, 10 * ten));
        flush(&engine, &log);
        let sent = || ten_of_producer(7);
        assert_eq!(store(&log, sent()).first_offset.get(), 50);
        let damaged = position_of(&log, 40);
        let disk = disk.kill();
        drop((log, engine));
        write(&disk, damaged + 16, &[9]);
        let (_engine, log) = opened(&disk);
        log.set_high_watermark(log.offsets().log_end);
        assert_eq!(log.offsets().last_stable.get(), 50, "interval {interval}");
        let again = store(&log, sent());
        assert_eq!((again.first_offset.get(), again.duplicate), (50, true), "interval {interval}");
        assert_eq!(refused(&log), (40..50).collect::<Vec<_>>());
    }
}

/// Small integers in records look like headers. Each was counted among those whose checksums may be computed, before anything was
/// held against the segment's offsets: all that lay behind was set apart.
#[test]
fn small_integers_in_damaged_records_do_not_hide_the_batch_behind_them() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig { index_interval_bytes: 1 << 30, ..LogConfig::default() });
    append_numbered(&log, 0..1);
    // At every 16 bytes a magic of 2 behind a length of 256.
    let value = [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0].repeat(12_000);
    append(&log, &[&value]);
    append_numbered(&log, 2..10);
    flush(&engine, &log);
    let damaged = position_of(&log, 1);
    let disk = disk.kill();
    drop((log, engine));
    write(&disk, damaged + 16, &[9]);
    let (_engine, log) = opened(&disk);
    assert_eq!(log.offsets().log_end.get(), 10);
    assert_eq!(refused(&log), [1]);
    assert_eq!(values_from(&log, 2), numbered(2..10));
}

/// What was written behind the recovery point counted as durable because damage lay before it: batches that a power loss took
/// from the middle were a hole.
#[test]
fn records_behind_a_hole_that_a_power_loss_made_are_cut_also_where_damage_lies_before_it() {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig::default());
    append_numbered(&log, 0..25);
    flush(&engine, &log);
    append_numbered(&log, 25..30);
    let (from, to) = (position_of(&log, 24), position_of(&log, 28));
    let mut disk = disk.kill();
    drop((log, engine));
    write(&disk, from, &vec![0; (to - from) as usize]);
    for next in [25, 27] {
        let (engine, log) = opened(&disk);
        assert_eq!(log.offsets().log_end.get(), next);
        assert_eq!(refused(&log), [24]);
        append_numbered(&log, next..next + 2);
        assert_eq!(values_from(&log, 25), numbered(25..next + 2));
        let successor = disk.kill();
        drop((log, engine));
        disk = successor;
    }
}

/// A replica had been sent a gap before the last batch that was durable; the one behind, which was not, said an offset within it.
#[test]
fn the_last_durable_batch_is_not_cut_for_the_sake_of_one_behind_it_that_says_a_wrong_offset() {
    for index_is_lost in [false, true] {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, LogConfig { index_interval_bytes: 1, ..LogConfig::default() });
        let sent = |offset: i64| {
            let mut batch = batch_of(&[format!("value {offset}").as_bytes()], NOW);
            stamp_base_offset(&mut batch, Offset::new(offset));
            store(&log, AppendRequest::from_leader(batch, LeaderEpoch::new(0)));
        };
        (0..=20).chain([24]).for_each(sent);
        flush(&engine, &log);
        sent(25);
        let position = position_of(&log, 25);
        let disk = disk.kill();
        drop((log, engine));
        write(&disk, position, &23_i64.to_be_bytes());
        if index_is_lost {
            disk.remove_file(Path::new("/data/orders-0/00000000000000000000.index")).unwrap();
        }
        let (_engine, log) = opened(&disk);
        assert_eq!(log.offsets().log_end.get(), 25, "index lost: {index_is_lost}");
        assert_eq!(values_from(&log, 20), [numbered(20..21), numbered(24..25)].concat());
        assert!(log.damaged_ranges().is_empty());
    }
}

/// A cut in damage left it refused up to where it had ended, whatever was written there since; one that had to walk over
/// damage took the directory offline when half of it was done.
#[test]
fn a_cut_before_in_and_behind_damage_leaves_what_is_written_there_since_readable() {
    for end in [50, 55, 60, 63, 69, 70, 75, 79, 80, 95] {
        for knows_of_it in [true, false] {
            let (disk, engine, log) = tens(LogConfig::default());
            let damaged = position_of(&log, 60);
            let disk = disk.kill();
            drop((log, engine));
            write(&disk, damaged + 16, &[9]);
            let (mut engine, mut log) = opened(&disk);
            if !knows_of_it {
                append_ten(&log, 100);
                engine.close().unwrap();
                drop((log, engine));
                (engine, log) = opened(&disk);
                assert!(log.damaged_ranges().is_empty());
            }
            let case = format!("cut at {end}, known {knows_of_it}");
            let before = log.offsets();
            let cut = log.truncate_to(Offset::new(end));
            assert!(log.home().dir_state().offline().is_none(), "{case}");
            // Where it begins in the file nobody knows.
            if !knows_of_it && (60..70).contains(&end) {
                assert!(matches!(cut, Err(TruncateError::Read(ReadError::Corrupt(_)))), "{case}: {cut:?}");
                assert_eq!(log.offsets(), before, "{case}");
                assert_eq!(refused(&log), (60..70).collect::<Vec<_>>(), "{case}");
                continue;
            }
            assert!(cut.unwrap(), "{case}");
            append_numbered(&log, end..end + 5);
            let gone = if end >= 70 { 60..70 } else { end..end };
            let check = |log: &Log, when: &str| {
                assert_eq!(values_from(log, end), numbered(end..end + 5), "{case}, {when}");
                let readable = (0..end).filter(|offset| !gone.contains(offset) && offset / 10 != end / 10);
                let readable = readable.filter(|offset| !(60..70).contains(offset));
                for offset in readable {
                    assert_eq!(read_one(log, offset), Some(offset / 10 * 10), "{case}, {when}: {offset}");
                }
                gone.clone()
                    .for_each(|offset| assert_eq!(read_one(log, offset), None, "{case}, {when}: {offset}"));
            };
            check(&log, "at once");
            let disk = disk.kill();
            drop((log, engine));
            let (_engine, log) = opened(&disk);
            check(&log, "after a kill");
        }
    }
}

// Ten batches of ten records, of which the first nine are flushed.
fn tens(config: LogConfig) -> (SimDisk, Engine, Arc<Log>) {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, config);
    (0..9).for_each(|ten| append_ten(&log, 10 * ten));
    flush(&engine, &log);
    append_ten(&log, 90);
    (disk, engine, log)
}

fn append_ten(log: &Arc<Log>, first: i64) {
    let values: Vec<Vec<u8>> = numbered(first..first + 10).into_iter().map(|(_, value)| value).collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    assert_eq!(append(log, &values).first_offset.get(), first);
}

fn ten_of_producer(id: i64) -> AppendRequest {
    let batch = BatchBuilder::new(Compression::None);
    let mut batch =
        batch.producer(ProducerId::new(id), ProducerEpoch::new(0), Sequence::new(0)).transactional();
    for _ in 0..10 {
        batch.append(&NewRecord { timestamp: TimestampMs::new(NOW), ..NewRecord::default() }).unwrap();
    }
    AppendRequest::from_client(BytesMut::from(&batch.finish().unwrap()[..]), LeaderEpoch::new(0))
}

fn flush(engine: &Engine, log: &Arc<Log>) {
    log.flush().unwrap();
    crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
}

// Of the batch that holds `offset`, in a log of one segment.
fn position_of(log: &Log, offset: i64) -> u64 {
    log.size_bytes() - read_from(log, offset).to_bytes().unwrap().len() as u64
}

// Reads every offset by itself: each is refused, or shown in its batch.
fn refused(log: &Log) -> Vec<i64> {
    (0..log.offsets().log_end.get()).filter(|offset| read_one(log, *offset).is_none()).collect()
}

// Where the batch begins that holds the offset; `None` where the log or the checksum refuses.
fn read_one(log: &Log, offset: i64) -> Option<i64> {
    let request = ReadRequest { max_bytes: 1, ..ReadRequest::from_start(Isolation::LogEnd) };
    let read = match log.read(&ReadRequest { from: Offset::new(offset), ..request }) {
        Ok(read) => read.to_bytes().unwrap(),
        Err(ReadError::Corrupt(_)) => return None,
        Err(error) => panic!("{offset}: {error}"),
    };
    let batch = BatchView::read(&read).ok().filter(BatchView::crc_is_valid)?;
    let (first, last) = (batch.base_offset().get(), batch.last_offset().get());
    assert!((first..=last).contains(&offset), "{offset} is not in {first} to {last}");
    Some(first)
}

fn write(disk: &SimDisk, position: u64, bytes: &[u8]) {
    disk.open(Path::new(LOG), OpenMode::ReadWrite).unwrap().write_all_at(bytes, position).unwrap();
}
