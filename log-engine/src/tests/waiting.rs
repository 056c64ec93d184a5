//! What a thread that serves many sockets asks for: it is done at once, or handed back.

use super::*;
use crate::batch::{CompressionType, TimestampType};

fn request(records: BytesMut) -> AppendRequest {
    AppendRequest::from_client(records, LeaderEpoch::new(0))
}

fn zeros(compression: Compression, len: usize) -> BytesMut {
    let mut batch = BatchBuilder::new(compression);
    let timestamp = TimestampMs::new(NOW);
    batch.append(&NewRecord { timestamp, key: None, value: Some(&vec![0; len]), headers: &[] }).unwrap();
    BytesMut::from(&batch.finish().unwrap()[..])
}

fn postponed(log: &Arc<Log>, request: AppendRequest) -> PostponedAppend {
    match log.try_append(request).unwrap() {
        Attempt::WouldWait(append) => append,
        Attempt::Started(_) => panic!("it was started at once"),
    }
}

fn started(log: &Arc<Log>, request: AppendRequest) -> Appended {
    match log.try_append(request).unwrap() {
        Attempt::Started(ticket) => ticket.wait().unwrap(),
        Attempt::WouldWait(_) => panic!("it was handed back"),
    }
}

const ZSTD: Compression = Compression::Zstd { level: 3 };

#[test]
fn an_append_that_takes_no_disk_and_little_computing_is_started_at_once() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, LogConfig::default());
    assert_eq!(started(&log, request(batch_of(&[b"plain"], NOW))).first_offset.get(), 0);
    assert_eq!(started(&log, request(zeros(ZSTD, 1 << 20))).first_offset.get(), 1);
    assert_eq!(values_from(&log, 0).len(), 2);
}

#[test]
fn a_small_batch_that_unfolds_to_a_large_one_is_handed_back_and_goes_on_elsewhere() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, LogConfig::default());
    let bomb = zeros(ZSTD, 100 << 20);
    assert!(bomb.len() < 64 << 10);
    let append = postponed(&log, request(bomb));
    assert_eq!(log.offsets().log_end.get(), 0);
    assert_eq!(append.append().unwrap().wait().unwrap().first_offset.get(), 0);
}

#[test]
fn a_batch_that_has_to_be_compressed_anew_is_handed_back() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let config = LogConfig {
        compression_type: TargetCompression::Fixed(CompressionType::Zstd),
        ..LogConfig::default()
    };
    let log = create(&engine, config);
    let append = postponed(&log, request(batch_of(&[b"plain"], NOW)));
    assert_eq!(append.append().unwrap().wait().unwrap().first_offset.get(), 0);
    assert_eq!(started(&log, request(zeros(ZSTD, 10))).first_offset.get(), 1);
}

#[test]
fn an_append_that_needs_a_new_segment_or_a_first_flush_is_handed_back_and_the_next_one_is_not() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let config = LogConfig { message_timestamp_type: TimestampType::LogAppendTime, ..small_segments() };
    let log = create(&engine, config);
    let mut handed_back = 0;
    for number in 0..40 {
        let records = batch_of(&[format!("value {number}").as_bytes()], NOW);
        match log.try_append(request(records)).unwrap() {
            Attempt::Started(ticket) => drop(ticket.wait().unwrap()),
            Attempt::WouldWait(append) => {
                handed_back += 1;
                append.append().unwrap().wait().unwrap();
            }
        }
    }
    assert_eq!(values_from(&log, 0), numbered(0..40));
    assert_eq!(handed_back, log.segments_info().len() - 1);

    let durable = |records| AppendRequest { durability: Some(Durability::Sync), ..request(records) };
    let append = postponed(&log, durable(batch_of(&[b"durable"], NOW)));
    append.append().unwrap().wait().unwrap();
    started(&log, durable(batch_of(&[b"durable too"], NOW)));
}

#[test]
fn a_reader_that_must_not_wait_opens_no_file() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, small_segments());
    for (_, value) in numbered(0..40) {
        append(&log, &[&value]);
    }
    engine.close().unwrap();
    drop((log, engine));
    let engine = fixture.open();
    let log = engine.log(&orders()).unwrap();
    let cached = ReadRequest { mode: ReadMode::CachedOnly, ..ReadRequest::from_start(Isolation::LogEnd) };
    assert!(matches!(log.read(&cached), Err(ReadError::WouldBlock)));
    read_from(&log, 0);
    assert!(!log.read(&cached).unwrap().is_empty());
}
