//! Damage in closed segments: found, told, kept from readers; everything else is served and nothing is cut.

use std::fs;

use super::*;

/// A log of several closed segments.
fn filled() -> (Fixture, Engine, Arc<Log>) {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, small_segments());
    append_numbered(&log, 0..100);
    (fixture, engine, log)
}

/// Flips a byte of the batch that holds `offset`; answers its segment.
fn damage(fixture: &Fixture, log: &Log, offset: i64) -> Offset {
    rewrite_batch(fixture, log, offset, |batch| {
        let at = batch.len() - 3;
        batch[at] ^= 0x40;
    })
}

/// Changes the batch that holds `offset`; answers its segment.
fn rewrite_batch(fixture: &Fixture, log: &Log, offset: i64, change: impl Fn(&mut [u8])) -> Offset {
    let infos = log.segments_info();
    let segment = infos.iter().rfind(|info| info.base_offset.get() <= offset).unwrap();
    let path = fixture.log_dir().join(format!("{:020}.log", segment.base_offset.get()));
    let mut bytes = fs::read(&path).unwrap();
    let mut at = 0;
    while let Ok(batch) = BatchView::read(&bytes[at..]) {
        let size = batch.size_in_bytes();
        if batch.next_offset().get() > offset {
            change(&mut bytes[at..at + size]);
            fs::write(&path, &bytes).unwrap();
            return segment.base_offset;
        }
        at += size;
    }
    panic!("offset {offset} is not in its segment");
}

fn read_at(log: &Log, from: i64) -> Result<Vec<u8>, ReadError> {
    let request = ReadRequest { from: Offset::new(from), ..ReadRequest::from_start(Isolation::LogEnd) };
    Ok(log.read(&request)?.to_bytes().unwrap().to_vec())
}

#[test]
fn a_damaged_batch_is_refused_and_all_others_are_served() {
    let (fixture, engine, log) = filled();
    let closed = log.segments_info().len() as u64 - 1;
    let whole = engine.scrub();
    assert_eq!((whole.segments, whole.damaged), (closed, 0));
    let segment = damage(&fixture, &log, 42);
    let end_before = log.offsets().log_end;

    assert_eq!(engine.scrub().damaged, 1);
    let [range] = &log.damaged_ranges()[..] else { panic!("one range: {:?}", log.damaged_ranges()) };
    assert_eq!((range.segment, range.first_offset.get(), range.next_offset.get()), (segment, 42, 43));
    assert!(matches!(range.corruption.rule, Rule::CrcMismatch { .. }));
    assert!(matches!(read_at(&log, 42), Err(ReadError::Corrupt(_))));
    assert_eq!(values_from(&log, 43), numbered(43..100));
    // Up to the damage, and not into it.
    let before = read_at(&log, segment.get()).unwrap();
    let mut at = 0;
    while let Ok(batch) = BatchView::read(&before[at..]) {
        assert!(batch.crc_is_valid() && batch.next_offset().get() <= 42);
        at += batch.size_in_bytes();
    }
    assert_eq!(at, before.len());
    assert!(at > 0 || segment.get() == 42);
    assert_eq!(log.offsets().log_end, end_before);
    append_numbered(&log, 100..110);
    assert_eq!(engine.counts().damaged_ranges, 1);
    assert!(engine.counts().scrubbed_bytes > 0);
}

/// What lay behind it could not be found before the next index entry.
#[test]
fn a_batch_whose_header_is_damaged_is_refused_and_all_behind_it_are_served() {
    for byte in [8, 11, 16, 23] {
        let fixture = Fixture::new();
        let engine = fixture.open();
        let log = create(&engine, LogConfig { index_interval_bytes: 4096, ..small_segments() });
        append_numbered(&log, 0..100);
        rewrite_batch(&fixture, &log, 42, |batch| batch[byte] ^= 0x40);
        assert_eq!(engine.scrub().damaged, 1, "byte {byte}");
        assert!(matches!(read_at(&log, 42), Err(ReadError::Corrupt(_))), "byte {byte}");
        for from in (0..42).chain(43..100) {
            let bytes = read_at(&log, from).unwrap();
            let batch = BatchView::read(&bytes).unwrap();
            assert!(batch.crc_is_valid() && batch.base_offset().get() == from, "byte {byte}: {from}");
        }
        let found = log.offset_for_timestamp(TimestampQuery::MaxTimestamp, Isolation::LogEnd).unwrap();
        assert_eq!(found.map(|found| found.timestamp.get()), Some(NOW));
    }
}

/// Both batches were served, at offsets that were not theirs.
#[test]
fn a_batch_that_says_a_wrong_offset_is_refused_and_its_neighbours_are_served() {
    for wrong in [3, 44, 1 << 20] {
        for offset in [42, 36] {
            let (fixture, engine, log) = filled();
            rewrite_batch(&fixture, &log, offset, |batch| {
                batch[..8].copy_from_slice(&i64::to_be_bytes(wrong))
            });
            assert_eq!(engine.scrub().damaged, 1, "{offset} says {wrong}");
            let [range] = &log.damaged_ranges()[..] else { panic!("one range: {:?}", log.damaged_ranges()) };
            assert_eq!((range.first_offset.get(), range.next_offset.get()), (offset, offset + 1), "{wrong}");
            assert!(matches!(read_at(&log, offset), Err(ReadError::Corrupt(_))), "{offset} says {wrong}");
            assert_eq!(values_from(&log, offset + 1), numbered(offset + 1..100), "{offset} says {wrong}");
        }
    }
}

#[test]
fn damage_that_was_mended_is_served_after_the_next_pass() {
    let (fixture, engine, log) = filled();
    let segment = damage(&fixture, &log, 10);
    engine.scrub();
    assert_eq!(log.damaged_ranges().len(), 1);
    damage(&fixture, &log, 10);
    assert_eq!(segment, log.damaged_ranges()[0].segment);
    engine.scrub();
    assert_eq!(log.damaged_ranges(), []);
    assert_eq!(values_from(&log, 0), numbered(0..100));
}

#[test]
fn a_start_and_retention_cut_nothing_for_damage_that_was_committed() {
    let (fixture, engine, log) = filled();
    engine.close().unwrap();
    let segment = damage(&fixture, &log, 42);
    drop((log, engine));
    let engine = fixture.open();
    let log = engine.log(&orders()).unwrap();
    assert_eq!(log.offsets().log_end.get(), 100);
    engine.scrub();
    assert_eq!(values_from(&log, 43), numbered(43..100));
    // The segment goes with the others when its time comes, and its damage with it.
    log.set_high_watermark(Offset::new(100));
    log.delete_records_before(Offset::new(80)).unwrap();
    let home = log.home();
    crate::background::retain(home, &[Arc::clone(&log)], NOW);
    assert!(log.segments_info()[0].base_offset > segment);
    engine.scrub();
    assert_eq!(log.damaged_ranges(), []);
}

#[test]
fn deleted_records_stay_deleted_whatever_crashes() {
    let (fixture, engine, log) = filled();
    log.set_high_watermark(Offset::new(100));
    log.delete_records_before(Offset::new(33)).unwrap();
    engine.note_log_starts(&log).unwrap();
    drop((log, engine));
    let engine = fixture.open();
    let log = engine.log(&orders()).unwrap();
    assert_eq!(log.offsets().log_start, Offset::new(33));
    assert!(matches!(read_at(&log, 32), Err(ReadError::OffsetOutOfRange { .. })));
}
