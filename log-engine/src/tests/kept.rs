//! Damage before the recovery point of the segment that is written to: it costs the records it hits, and no start cuts them
//! or gives their offsets out again.

use super::crash::{config_on, end_transaction, formatted, of_producer, opened, store};
use super::*;
use crate::batch::control::TxnOutcome;
use crate::io::Disk;
use crate::io::sim::SimDisk;

/// No checksum covers the offset of a batch. Where a sector ends behind it, a power loss takes it and spares the rest: the
/// batch said 0, which lies before the recovery point, and so was believed.
#[test]
fn a_batch_that_a_power_loss_took_the_offset_of_is_cut_also_at_the_recovery_point() {
    for flushed in [10, 20] {
        let (disk, end) = killed_with_offset_of(20, flushed, 0, 4096);
        let (_engine, log) = opened(&disk);
        assert_eq!((log.offsets().log_end.get(), end), (20, 30), "flushed to {flushed}");
        assert_eq!(values_from(&log, 0), numbered(0..20));
    }
}

#[test]
fn a_batch_that_says_an_offset_behind_the_one_that_follows_is_cut_with_what_follows() {
    for wrong in [21, 29, 1 << 20] {
        let (disk, _) = killed_with_offset_of(20, 10, wrong, 4096);
        let (_engine, log) = opened(&disk);
        assert_eq!(values_from(&log, 0), numbered(0..20), "{wrong}");
        assert_eq!(append(&log, &[b"next"]).first_offset.get(), 20);
    }
}

/// Where the last index entry pointed to that batch, the log was walked from its beginning and cut there.
#[test]
fn a_wrong_offset_before_the_recovery_point_shows_no_wrong_record_and_cuts_none() {
    for (number, interval) in [(20, 4096), (24, 4096), (24, 1)] {
        for wrong in [3, 28, 1 << 20] {
            let (disk, _) = killed_with_offset_of(number, 25, wrong, interval);
            let (_engine, log) = opened(&disk);
            assert_eq!(log.offsets().log_end.get(), 30, "{wrong}");
            assert_eq!(refused(&log), [number], "{number} says {wrong}, interval {interval}");
        }
    }
}

/// The log went on at the offset of the record that was lost.
#[test]
fn an_offset_that_was_durable_is_not_given_out_again_because_its_batch_is_damaged() {
    for (wrong, interval) in [(3, 4096), (3, 1), (1 << 20, 1)] {
        let (disk, _) = killed_with_offset_of(29, 30, wrong, interval);
        let (engine, log) = opened(&disk);
        assert_eq!(log.offsets().log_end.get(), 30, "{wrong}");
        append_numbered(&log, 30..40);
        assert_eq!(refused(&log), [29], "{wrong}, interval {interval}");
        let disk = disk.kill();
        drop((log, engine));
        let (_engine, log) = opened(&disk);
        assert_eq!(log.offsets().log_end.get(), 40);
        assert_eq!(values_from(&log, 30), numbered(30..40), "{wrong}, interval {interval}");
    }
}

/// The log was cut at the first header that led nowhere.
#[test]
fn a_damaged_header_before_the_recovery_point_costs_its_batch_and_no_other() {
    for (number, flushed) in [(0, 25), (20, 25), (24, 25), (29, 30)] {
        for (byte, bit) in [(8, 0x40), (10, 1), (11, 1), (11, 2), (11, 0x80), (16, 1), (16, 0x80), (23, 0x80)]
        {
            for interval in [4096, 1] {
                let (disk, position, _) = killed_at(number, flushed, interval);
                let path = Path::new("/data/orders-0/00000000000000000000.log");
                let mut there = [0];
                let file = disk.open(path, crate::io::OpenMode::ReadWrite).unwrap();
                file.read_exact_at(&mut there, position + byte).unwrap();
                write(&disk, position + byte, &[there[0] ^ bit]);
                let case = format!("byte {byte} of batch {number}, interval {interval}");
                let (engine, log) = opened(&disk);
                assert_eq!(log.offsets().log_end.get(), 30, "{case}");
                assert_eq!(log.home().dir_state().offline().map(|offline| offline.to_string()), None);
                assert_eq!(refused(&log), [number], "{case}");
                append_numbered(&log, 30..33);
                log.flush().unwrap();
                crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
                append_numbered(&log, 33..36);
                let disk = disk.kill();
                drop((log, engine));
                let (engine, log) = opened(&disk);
                assert_eq!(log.offsets().log_end.get(), 36, "again: {case}");
                // Once records behind it are flushed, a start has no reason to look there.
                assert!([&[number][..], &[]].contains(&&*refused(&log)), "again: {case}");
                engine.close().unwrap();
                drop((log, engine));
                let (_engine, log) = opened(&disk);
                assert_eq!(log.offsets().log_end.get(), 36, "after a clean stop: {case}");
                assert!([&[number][..], &[]].contains(&&*refused(&log)), "after a clean stop: {case}");
            }
        }
    }
}

/// The offset and time index were made again, and the transaction index was left empty: readers of committed records were
/// shown aborted ones.
#[test]
fn the_indexes_of_a_closed_segment_that_were_removed_or_emptied_are_all_made_again() {
    for (is_clean, is_removed) in [(false, true), (false, false), (true, true), (true, false)] {
        let disk = formatted();
        let engine = Engine::open(config_on(&disk)).unwrap();
        let log = create(&engine, small_segments());
        for number in 0..15 {
            store(&log, of_producer(1, 2 * number, true));
            store(&log, of_producer(1, 2 * number + 1, true));
            end_transaction(&log, 1, if number % 3 == 0 { TxnOutcome::Commit } else { TxnOutcome::Abort });
        }
        log.set_high_watermark(log.offsets().log_end);
        assert!(log.segments_info().len() > 3);
        let before = aborted(&log);
        assert_eq!(before.len(), 10);
        let first = log.segments_info()[1].base_offset;
        log.flush().unwrap();
        crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
        let disk = if is_clean { engine.close().map(|()| disk).unwrap() } else { disk.kill() };
        drop((log, engine));
        for ending in ["index", "timeindex", "txnindex"] {
            let path = PathBuf::from(format!("/data/orders-0/{:020}.{ending}", first.get()));
            assert!(disk.metadata(&path).unwrap().len > 0, "{ending}");
            if is_removed {
                disk.remove_file(&path).unwrap();
            } else {
                disk.open(&path, crate::io::OpenMode::ReadWrite).unwrap().set_len(0).unwrap();
            }
        }
        let (_engine, log) = opened(&disk);
        log.set_high_watermark(log.offsets().log_end);
        assert_eq!(aborted(&log), before, "clean {is_clean}, removed {is_removed}");
    }
}

// As readers of committed records are told, segment by segment.
fn aborted(log: &Log) -> Vec<AbortedTransaction> {
    let mut found = Vec::new();
    for segment in log.segments_info() {
        let read =
            ReadRequest { from: segment.base_offset, ..ReadRequest::from_start(Isolation::LastStable) };
        found.extend(log.read(&read).unwrap().aborted);
    }
    found.sort_by_key(|transaction| transaction.last_offset);
    found.dedup();
    found
}

// Reads every offset by itself; each shows its record, or the one behind it, or is refused. Answers those that are.
fn refused(log: &Log) -> Vec<i64> {
    let mut refused = Vec::new();
    for offset in 0..log.offsets().log_end.get() {
        let from = ReadRequest { max_bytes: 1, ..ReadRequest::from_start(Isolation::LogEnd) };
        match log.read(&ReadRequest { from: Offset::new(offset), at_least_one: true, ..from }) {
            Ok(read) => {
                let bytes = read.to_bytes().unwrap();
                let Some(shown) = values_in(&bytes) else {
                    refused.push(offset);
                    continue;
                };
                let next = numbered(offset + 1..offset + 2);
                assert!(shown == numbered(offset..offset + 1) || shown == next, "{offset}: {shown:?}");
            }
            Err(ReadError::Corrupt(_)) => refused.push(offset),
            Err(error) => panic!("{offset}: {error}"),
        }
    }
    refused
}

// `None` where the reader's checksum refuses.
fn values_in(mut bytes: &[u8]) -> Option<Vec<(i64, Vec<u8>)>> {
    let mut found = Vec::new();
    while let Ok(batch) = BatchView::read(bytes) {
        if !batch.crc_is_valid() {
            return None;
        }
        let mut records = batch.records(Default::default()).unwrap();
        while let Some(record) = records.next_record() {
            let record = record.unwrap();
            found.push((record.offset.get(), record.value.unwrap().to_vec()));
        }
        bytes = &bytes[batch.size_in_bytes()..];
    }
    Some(found)
}

// 30 batches of one record, flushed up to one of them; one says a wrong offset.
fn killed_with_offset_of(number: i64, flushed: i64, wrong: i64, interval: u32) -> (SimDisk, i64) {
    let (disk, position, end) = killed_at(number, flushed, interval);
    write(&disk, position, &wrong.to_be_bytes());
    (disk, end)
}

// The same, with the place of one of them.
fn killed_at(number: i64, flushed: i64, interval: u32) -> (SimDisk, u64, i64) {
    let disk = formatted();
    let engine = Engine::open(config_on(&disk)).unwrap();
    let log = create(&engine, LogConfig { index_interval_bytes: interval, ..LogConfig::default() });
    append_numbered(&log, 0..flushed);
    log.flush().unwrap();
    crate::engine::write_checkpoints(log.home(), &engine.logs()).unwrap();
    append_numbered(&log, flushed..30);
    let batches = read_from(&log, number).to_bytes().unwrap();
    let position = log.size_bytes() - batches.len() as u64;
    let end = log.offsets().log_end.get();
    let disk = disk.kill();
    drop((log, engine));
    (disk, position, end)
}

fn write(disk: &SimDisk, position: u64, bytes: &[u8]) {
    let path = Path::new("/data/orders-0/00000000000000000000.log");
    disk.open(path, crate::io::OpenMode::ReadWrite).unwrap().write_all_at(bytes, position).unwrap();
}
