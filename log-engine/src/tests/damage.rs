//! Torn tails, lost side files, flipped bits: what the `.log` still proves is kept, everything else is made again.

use std::fs;

use super::*;

const LOG: &str = "00000000000000000000.log";

/// A directory as a killed process leaves it, with 12 records in batches of one, two and three.
fn killed() -> (Fixture, Vec<u8>, Vec<usize>) {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, LogConfig::default());
    let mut ends = vec![0];
    for first in [0, 1, 3, 6, 7, 9] {
        let count = [1, 2, 3][ends.len().wrapping_sub(1) % 3];
        let values: Vec<Vec<u8>> =
            numbered(first..first + count).into_iter().map(|(_, value)| value).collect();
        append(&log, &values.iter().map(Vec::as_slice).collect::<Vec<_>>());
        ends.push(log.size_bytes() as usize);
    }
    drop((log, engine));
    let bytes = fs::read(fixture.log_dir().join(LOG)).unwrap();
    (fixture, bytes, ends)
}

fn records_at(ends: &[usize], bytes: usize) -> i64 {
    let batches = ends.iter().filter(|end| **end <= bytes).count() - 1;
    [0, 1, 3, 6, 7, 9, 12][batches]
}

fn values_after_opening(fixture: &Fixture) -> (Vec<(i64, Vec<u8>)>, OpenReport) {
    let engine = fixture.open();
    let log = engine.log(&orders()).unwrap();
    let values = values_from(&log, 0);
    assert_eq!(log.offsets().log_end.get(), values.len() as i64);
    // What was cut is gone for good: the next record takes its place.
    assert_eq!(append(&log, &[b"next"]).first_offset.get(), values.len() as i64);
    (values, engine.open_report().clone())
}

#[test]
fn a_torn_tail_is_cut_at_every_byte_to_the_last_whole_batch() {
    let (fixture, bytes, ends) = killed();
    for torn in 0..bytes.len() {
        fs::write(fixture.log_dir().join(LOG), &bytes[..torn]).unwrap();
        let (values, report) = values_after_opening(&fixture);
        assert_eq!(values, numbered(0..records_at(&ends, torn)), "torn after {torn} bytes");
        let whole = ends.iter().rfind(|end| **end <= torn).unwrap();
        assert_eq!(report.cut_bytes(), (torn - whole) as u64);
    }
}

#[test]
fn garbage_zeros_and_repetitions_behind_the_last_batch_are_cut() {
    let (fixture, bytes, ends) = killed();
    let first_batch = &bytes[..ends[1]];
    for tail in [&[0; 4096][..], &[0xff; 100][..], &[0; 16][..], first_batch, &bytes] {
        fs::write(fixture.log_dir().join(LOG), [&bytes, tail].concat()).unwrap();
        let (values, report) = values_after_opening(&fixture);
        assert_eq!(values, numbered(0..12));
        assert_eq!(report.cut_bytes(), tail.len() as u64);
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_batch_ends_the_log_before_it() {
    let (fixture, bytes, ends) = killed();
    // The leader epoch lies outside the checksum: a larger one is as good as any.
    let may_pass = |byte: usize| {
        let in_batch = byte - ends.iter().rfind(|end| **end <= byte).unwrap();
        (12..16).contains(&in_batch) || in_batch < 8
    };
    for byte in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[byte] ^= 0x10;
        fs::write(fixture.log_dir().join(LOG), &damaged).unwrap();
        let engine = fixture.open();
        let end = engine.log(&orders()).unwrap().offsets().log_end.get();
        assert!(may_pass(byte) || end == records_at(&ends, byte), "byte {byte}: the log ends at {end}");
    }
}

#[test]
fn side_files_that_are_lost_empty_or_full_of_anything_are_made_again() {
    let (fixture, bytes, _) = killed();
    let dir = fixture.log_dir();
    let indexes = ["00000000000000000000.index", "00000000000000000000.timeindex"];
    for content in [None, Some(&[][..]), Some(&[0; 240]), Some(&[0xff; 240]), Some(&[1; 17])] {
        for name in indexes.iter().chain(&["leader-epoch-checkpoint", "00000000000000000000.txnindex"]) {
            let path = dir.join(name);
            match content {
                None => drop(fs::remove_file(path)),
                Some(content) => fs::write(path, content).unwrap(),
            }
        }
        fs::write(dir.join(LOG), &bytes).unwrap();
        for checkpoint in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
            fs::write(fixture.dir.join(checkpoint), content.unwrap_or_default()).unwrap();
        }
        fs::write(dir.join("00000000000000000005.snapshot"), content.unwrap_or_default()).unwrap();
        let (values, _) = values_after_opening(&fixture);
        assert_eq!(values, numbered(0..12));
    }
}

#[test]
fn lost_indexes_after_a_clean_stop_are_made_again_without_a_cut() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..60);
    engine.close().unwrap();
    drop((log, engine));
    let mut before = Vec::new();
    for name in file_names(&fixture.log_dir()).iter().filter(|name| name.ends_with("index")) {
        before.push((name.clone(), fs::read(fixture.log_dir().join(name)).unwrap()));
        fs::remove_file(fixture.log_dir().join(name)).unwrap();
    }
    assert!(before.iter().any(|(_, bytes)| !bytes.is_empty()));
    let mut config = fixture.config.clone();
    config.log_defaults = small_segments();
    let engine = Engine::open(config).unwrap();
    assert_eq!(values_from(&engine.log(&orders()).unwrap(), 0), numbered(0..60));
    engine.close().unwrap();
    for (name, bytes) in before {
        assert_eq!(fs::read(fixture.log_dir().join(&name)).unwrap(), bytes, "{name}");
    }
}

#[test]
fn leftovers_of_deletions_and_cleanings_are_swept_and_foreign_files_stay() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, LogConfig::default());
    append_numbered(&log, 0..10);
    engine.close().unwrap();
    drop((log, engine));
    let dir = fixture.log_dir();
    for name in [
        "00000000000000000003.log.deleted",
        "00000000000000000000.log.cleaned",
        "00000000000000000000.index.cleaned",
        "00000000000000000007.index",
        "notes.txt",
        "quorum-state",
    ] {
        fs::write(dir.join(name), b"left").unwrap();
    }
    // A cleaning that was finished but not put in place: the swap file takes the place of its source.
    fs::rename(dir.join(LOG), dir.join(format!("{LOG}.swap"))).unwrap();
    fs::write(dir.join(LOG), b"the source").unwrap();
    fs::remove_file(dir.join("00000000000000000000.log.cleaned")).unwrap();
    fs::remove_file(dir.join("00000000000000000000.index.cleaned")).unwrap();
    let engine = fixture.open();
    assert_eq!(values_from(&engine.log(&orders()).unwrap(), 0), numbered(0..10));
    let names = file_names(&dir);
    for gone in ["deleted", "cleaned", "swap", "0007.index"] {
        assert!(!names.iter().any(|name| name.contains(gone)), "{gone} in {names:?}");
    }
    for kept in ["notes.txt", "quorum-state"] {
        assert!(names.iter().any(|name| name == kept), "{kept} in {names:?}");
    }
}

#[test]
fn records_before_a_log_start_that_lies_behind_them_are_kept_aside() {
    let (fixture, bytes, _) = killed();
    fs::write(fixture.dir.join("log-start-offset-checkpoint"), "0\n1\norders 0 1000\n").unwrap();
    let engine = fixture.open();
    let log = engine.log(&orders()).unwrap();
    assert_eq!((log.offsets().log_start.get(), log.offsets().log_end.get()), (1000, 1000));
    assert_eq!(fs::read(fixture.log_dir().join(format!("{LOG}.aside"))).unwrap(), bytes);
    assert_eq!(append(&log, &[b"next"]).first_offset.get(), 1000);
    engine.close().unwrap();
    drop((log, engine));
    fixture.open();
    assert_eq!(fs::read(fixture.log_dir().join(format!("{LOG}.aside"))).unwrap(), bytes);
}

// A segment that was believed once stood between two that were looked at: the end of the first was held against the
// beginning of the third, and everything from there on was taken for no part of the log.
#[test]
fn a_lost_index_of_an_old_segment_costs_no_record_after_a_kill() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..100);
    log.flush().unwrap();
    crate::engine::write_checkpoints(log.home(), &[Arc::clone(&log)]).unwrap();
    append_numbered(&log, 100..120);
    drop((log, engine));
    fs::remove_file(fixture.log_dir().join("00000000000000000000.index")).unwrap();
    let engine = fixture.open();
    assert!(!engine.open_report().is_clean());
    assert_eq!(values_from(&engine.log(&orders()).unwrap(), 0), numbered(0..120));
    assert_eq!(engine.open_report().cut_bytes(), 0);
}
