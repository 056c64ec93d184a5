//! Moving a log's ends, finding offsets by time, recognising repetitions, appending from many threads.

use std::pin::Pin;
use std::sync::{Mutex, mpsc};
use std::task::{Context, Waker};
use std::thread;

use super::*;
use crate::io::FileKind;
use crate::segment::name::{DirectoryName, parse_directory_name};

fn opened(config: LogConfig) -> (Fixture, Engine, Arc<Log>) {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, config);
    (fixture, engine, log)
}

#[test]
fn a_log_cut_at_any_offset_ends_there_goes_on_there_and_is_found_so_after_a_crash() {
    for end in [0, 1, 7, 19, 20, 33, 39, 40] {
        let (fixture, engine, log) = opened(small_segments());
        append_numbered(&log, 0..40);
        log.flush().unwrap();
        assert_eq!(log.truncate_to(Offset::new(end)).unwrap(), end < 40);
        assert_eq!(log.offsets().log_end, Offset::new(end));
        assert_eq!(values_from(&log, 0), numbered(0..end));
        assert!(log.recovery_point() <= Offset::new(end));
        append_numbered(&log, end..45);
        drop((log, engine));
        let engine = fixture.open();
        assert_eq!(values_from(&engine.log(&orders()).unwrap(), 0), numbered(0..45), "cut at {end}");
    }
}

#[test]
fn a_log_emptied_to_start_elsewhere_starts_there() {
    let (fixture, engine, log) = opened(small_segments());
    append_numbered(&log, 0..40);
    log.truncate_fully_and_start_at(Offset::new(1000)).unwrap();
    let offsets = log.offsets();
    assert_eq!((offsets.log_start.get(), offsets.log_end.get()), (1000, 1000));
    assert_eq!(log.latest_epoch(), None);
    append_numbered(&log, 1000..1010);
    engine.close().unwrap();
    drop((log, engine));
    let log = fixture.open().log(&orders()).unwrap();
    assert_eq!(values_from(&log, 1000), numbered(1000..1010));
}

#[test]
fn deleted_records_are_not_read_again_also_after_reopening() {
    let (fixture, engine, log) = opened(small_segments());
    append_numbered(&log, 0..40);
    log.set_high_watermark(Offset::new(30));
    let refused = log.delete_records_before(Offset::new(31));
    assert!(matches!(refused, Err(TruncateError::OffsetOutOfRange { .. })));
    assert_eq!(log.delete_records_before(Offset::new(25)).unwrap(), Offset::new(25));
    assert_eq!(log.delete_records_before(Offset::new(3)).unwrap(), Offset::new(25), "never back");
    let early = ReadRequest { from: Offset::new(24), ..ReadRequest::from_start(Isolation::LogEnd) };
    assert!(matches!(log.read(&early), Err(ReadError::OffsetOutOfRange { .. })));
    engine.close().unwrap();
    drop((log, engine));
    let log = fixture.open().log(&orders()).unwrap();
    assert_eq!(log.offsets().log_start, Offset::new(25));
    assert_eq!(log.offsets().high_watermark, Offset::new(30));
    assert_eq!(values_from(&log, 25), numbered(25..40));
}

#[test]
fn an_offset_is_found_by_time_as_kafka_finds_it() {
    let (_fixture, _engine, log) = opened(small_segments());
    // Times run ahead of the clock by less than is allowed, and once go back.
    let times = |number: i64| if number == 20 { NOW } else { NOW + number * 10 };
    for number in 0..40 {
        append_at(&log, &[b"a record of some length, so that there are segments"], times(number));
    }
    let find =
        |query| log.offset_for_timestamp(query, Isolation::LogEnd).unwrap().map(|found| found.offset.get());
    for (time, expected) in [
        (0, Some(0)),
        (NOW, Some(0)),
        (NOW + 1, Some(1)),
        (NOW + 190, Some(19)),
        (NOW + 195, Some(21)),
        (NOW + 390, Some(39)),
        (NOW + 391, None),
    ] {
        assert_eq!(find(TimestampQuery::AtOrAfter(TimestampMs::new(time))), expected, "{}", time - NOW);
    }
    assert_eq!(find(TimestampQuery::MaxTimestamp), Some(39));
    assert_eq!(find(TimestampQuery::Earliest), Some(0));
    assert_eq!(find(TimestampQuery::Latest), Some(40));
    let committed = log.offset_for_timestamp(TimestampQuery::MaxTimestamp, Isolation::HighWatermark).unwrap();
    assert_eq!(committed, None, "nothing above the high watermark is told");
}

#[test]
fn a_batch_sent_again_is_answered_with_its_first_place_also_after_a_crash() {
    let (fixture, engine, log) = opened(small_segments());
    let send = |log: &Arc<Log>, sequence: i32| {
        let mut batch = BatchBuilder::new(Compression::None).producer(
            ProducerId::new(5),
            ProducerEpoch::new(0),
            Sequence::new(sequence),
        );
        let value = format!("sequence {sequence}").into_bytes();
        let timestamp = TimestampMs::new(NOW);
        batch.append(&NewRecord { timestamp, key: None, value: Some(&value), headers: &[] }).unwrap();
        let records = BytesMut::from(&batch.finish().unwrap()[..]);
        log.append(AppendRequest::from_client(records, LeaderEpoch::new(0))).and_then(|ticket| ticket.wait())
    };
    for sequence in 0..30 {
        assert_eq!(send(&log, sequence).unwrap().first_offset.get(), i64::from(sequence));
    }
    let again = send(&log, 27).unwrap();
    assert!(again.duplicate);
    assert_eq!(again.first_offset, Offset::new(27));
    assert!(matches!(send(&log, 99), Err(AppendError::Producer(_))));
    log.flush().unwrap();
    send(&log, 30).unwrap();
    drop((log, engine));
    let log = fixture.open().log(&orders()).unwrap();
    assert!(send(&log, 30).unwrap().duplicate);
    assert!(!send(&log, 31).unwrap().duplicate);
    assert_eq!(log.offsets().log_end, Offset::new(32));
}

#[test]
fn threads_that_append_at_once_leave_one_log_without_gaps_in_which_each_finds_its_own() {
    let (fixture, engine, log) = opened(small_segments());
    let mut placed: Vec<(i64, Vec<u8>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|writer| {
                let log = Arc::clone(&log);
                scope.spawn(move || {
                    let one = |number| {
                        let value = format!("{writer}/{number}").into_bytes();
                        let mut request =
                            AppendRequest::from_client(batch_of(&[&value], NOW), LeaderEpoch::new(0));
                        let durable = (writer + number) % 3 == 0;
                        request.durability = Some(if durable { Durability::Sync } else { Durability::Os });
                        (log.append(request).unwrap().wait().unwrap().first_offset.get(), value)
                    };
                    (0..50).map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    placed.sort();
    assert_eq!(values_from(&log, 0), placed);
    assert_eq!(log.offsets().log_end, Offset::new(200));
    drop((log, engine));
    assert_eq!(values_from(&fixture.open().log(&orders()).unwrap(), 0), placed);
}

/// Stops in the middle of being told until it is let go on, then raises the high watermark.
struct HesitantListener {
    told: mpsc::SyncSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl EndListener for HesitantListener {
    fn published(&self, log: &Log, offsets: LogOffsets) {
        self.told.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        log.set_high_watermark(offsets.log_end);
    }
}

#[test]
fn an_append_is_acknowledged_only_when_the_listener_has_raised_the_high_watermark() {
    let (_fixture, _engine, log) = opened(LogConfig::default());
    let (told, is_told) = mpsc::sync_channel(1);
    let (let_go, go_on) = mpsc::sync_channel(1);
    assert!(log.set_end_listener(Arc::new(HesitantListener { told, go_on: Mutex::new(go_on) })));
    // Durable, because such an append is published on the committer's thread and not on this one.
    let mut request = AppendRequest::from_client(batch_of(&[b"first"], NOW), LeaderEpoch::new(0));
    request.durability = Some(Durability::Sync);
    let mut ticket = log.append(request).unwrap();
    is_told.recv().unwrap();
    let early = Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop()));
    assert!(early.is_pending(), "acknowledged while the listener was still being told");
    let_go.send(()).unwrap();
    ticket.wait().unwrap();
    assert_eq!(log.offsets().high_watermark, Offset::new(1));
}

#[test]
fn a_flush_that_comes_after_the_deletion_leaves_the_directory_online() {
    let (_fixture, engine, log) = opened(small_segments());
    append_numbered(&log, 0..40);
    assert!(engine.delete_log(&orders()).unwrap());
    let moved = file_names(&log.directory());
    log.flush().unwrap();
    assert_eq!(file_names(&log.directory()), moved, "nothing is written for a log that is gone");
    assert!(log.home().dir_state().offline().is_none());
    append_numbered(&create(&engine, small_segments()), 0..5);
}

#[test]
fn a_log_deleted_while_its_flushes_run_leaves_the_directory_online() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    for _ in 0..20 {
        let log = create(&engine, small_segments());
        append_numbered(&log, 0..20);
        thread::scope(|scope| {
            let flushes = scope.spawn(|| (0..4).try_for_each(|_| log.flush()));
            assert!(engine.delete_log(&orders()).unwrap());
            flushes.join().unwrap().unwrap();
        });
        assert!(log.home().dir_state().offline().is_none());
    }
}

#[test]
fn a_directory_that_holds_records_is_not_taken_for_a_new_log() {
    let (fixture, engine, log) = opened(LogConfig::default());
    append_numbered(&log, 0..5);
    assert!(engine.delete_log(&orders()).unwrap());
    std::fs::rename(log.directory(), fixture.log_dir()).unwrap();
    let create = || engine.create_log(&orders(), TopicId::new([8; 16]), LogConfig::default(), None);
    assert!(matches!(create(), Err(CreateLogError::DirectoryTaken { path }) if path == fixture.log_dir()));
    assert!(std::fs::read(fixture.log_dir().join("00000000000000000000.log")).unwrap().len() > 5 * 61);
    std::fs::remove_dir_all(fixture.log_dir()).unwrap();

    std::fs::create_dir(fixture.log_dir()).unwrap();
    std::fs::write(fixture.log_dir().join("00000000000000000000.log"), b"").unwrap();
    let log = create().expect("an unfinished creation is finished");
    append_numbered(&log, 0..5);
}

#[test]
fn a_log_set_aside_keeps_its_files_under_the_name_of_a_stray_and_no_start_opens_it() {
    let (fixture, engine, log) = opened(small_segments());
    append_numbered(&log, 0..40);
    let bytes_of = |dir: &Path| -> Vec<(String, Vec<u8>)> {
        let logs = file_names(dir).into_iter().filter(|name| name.ends_with(".log"));
        logs.map(|name| (name.clone(), std::fs::read(dir.join(&name)).unwrap())).collect()
    };
    let before = bytes_of(&fixture.log_dir());
    assert!(engine.set_aside(&orders()).unwrap());
    assert!(!engine.set_aside(&orders()).unwrap());
    assert!(engine.log(&orders()).is_none());
    let aside = log.directory();
    let name = aside.file_name().unwrap().to_str().unwrap();
    assert_eq!(parse_directory_name(name), Some(DirectoryName::Stray(orders())));
    assert_eq!(bytes_of(&aside), before);
    append_numbered(&create(&engine, LogConfig::default()), 0..2);
    engine.close().unwrap();
    drop((log, engine));

    let engine = fixture.open();
    assert_eq!(engine.logs().len(), 1);
    assert_eq!(values_from(&engine.log(&orders()).unwrap(), 0), numbered(0..2));
    assert_eq!(bytes_of(&aside), before);
}

#[test]
fn a_deleted_log_is_gone_at_once_its_readers_go_on_and_its_name_is_free() {
    let (fixture, engine, log) = opened(LogConfig { file_delete_delay_ms: 0, ..LogConfig::default() });
    append_numbered(&log, 0..5);
    let held = read_from(&log, 0);
    assert!(engine.delete_log(&orders()).unwrap());
    assert!(!engine.delete_log(&orders()).unwrap());
    assert!(engine.log(&orders()).is_none());
    let refused = log.append(AppendRequest::from_client(batch_of(&[b"late"], NOW), LeaderEpoch::new(0)));
    assert!(matches!(refused, Err(AppendError::Closed)));
    assert!(!held.to_bytes().unwrap().is_empty());
    let fresh = create(&engine, LogConfig::default());
    assert_eq!(fresh.offsets().log_end, Offset::ZERO);
    append_numbered(&fresh, 0..2);
    engine.close().unwrap();
    drop((log, fresh, engine));
    let engine = fixture.open();
    assert_eq!(engine.logs().len(), 1);
    assert_eq!(values_from(&engine.log(&orders()).unwrap(), 0), numbered(0..2));
    assert!(engine.disk().metadata(&fixture.log_dir()).is_ok_and(|found| found.kind == FileKind::Directory));
}

#[test]
fn a_log_with_a_lost_or_torn_topic_id_is_opened_and_keeps_the_id_it_is_given() {
    for torn in [None, Some(""), Some("version: 0\ntopic_id: zox"), Some("\0\0\0\0")] {
        let (fixture, engine, log) = opened(LogConfig::default());
        let id = log.topic_id().unwrap();
        append_numbered(&log, 0..3);
        engine.close().unwrap();
        drop((log, engine));
        let file = fixture.log_dir().join("partition.metadata");
        let whole = std::fs::read(&file).unwrap();
        match torn {
            None => std::fs::remove_file(&file).unwrap(),
            Some(text) => std::fs::write(&file, text).unwrap(),
        }
        let engine = fixture.open();
        let log = engine.log(&orders()).unwrap();
        assert_eq!((log.topic_id(), values_from(&log, 0)), (None, numbered(0..3)), "{torn:?}");
        assert_eq!(log.adopt_topic_id(id).unwrap(), id);
        assert_eq!(log.adopt_topic_id(TopicId::new([9; 16])).unwrap(), id, "the first one stays");
        assert_eq!(std::fs::read(&file).unwrap(), whole);
        drop((log, engine));
        assert_eq!(fixture.open().log(&orders()).unwrap().topic_id(), Some(id));
    }
}

#[test]
fn a_new_epoch_for_a_log_that_was_deleted_is_no_error_and_touches_nothing() {
    let fixture = Fixture::new();
    let engine = fixture.open();
    let log = create(&engine, LogConfig::default());
    assert!(engine.delete_log(&orders()).unwrap());
    log.begin_epoch(LeaderEpoch::new(7)).unwrap();
    assert!(!fixture.log_dir().exists());
}
