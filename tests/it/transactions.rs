//! Transactions over restarts: what is open stays open and unseen, what is decided is carried out, and a damaged record of
//! the coordinator takes nothing with it but itself. What each request is answered with is in `refusals.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use klamm_tests::client::Client;
use klamm_tests::transactional::{TransactionalProducer, read_committed};
use log_engine::batch::{BatchBuilder, BatchView, Compression, HEADER_LEN, NewRecord};
use log_engine::types::{LeaderEpoch, TimestampMs};
use wire::ErrorCode;
use wire::records::{TransactionLogKey, TransactionLogValue, decode_versioned, encode_versioned};

use crate::in_process::{Klamm, until};

/// One partition for all transactional ids, so that tests know where their records are.
const ONE: &str = "transaction.state.log.num.partitions=1";
const TIMEOUT_MS: i32 = 60_000;

fn producer(klamm: &Klamm, id: &str) -> TransactionalProducer {
    TransactionalProducer::start(klamm.address(), id, TIMEOUT_MS).expect("a producer")
}

fn committed(klamm: &Klamm, partition: i32) -> Vec<String> {
    let values = read_committed(&mut klamm.client(), "t", partition).expect("read");
    values.into_iter().map(|value| String::from_utf8(value).expect("text")).collect()
}

#[test]
fn records_of_a_transaction_are_seen_all_at_once_or_never() {
    let klamm = Klamm::start(&[]);
    drop(klamm.with_topic("t", 2));
    let mut producer = producer(&klamm, "a");
    for (round, commits) in [true, false, true].into_iter().enumerate() {
        for partition in 0..2 {
            producer.produce("t", partition, format!("{round}").as_bytes()).expect("stored");
        }
        producer.end(commits).expect("ended");
    }
    producer.produce("t", 0, b"open").expect("stored");
    for partition in 0..2 {
        until("the last transaction", || committed(&klamm, partition) == ["0", "2"]);
    }
}

#[test]
fn a_transaction_that_is_open_over_a_restart_is_seen_once_it_is_committed() {
    let mut klamm = Klamm::start(&[ONE]);
    drop(klamm.with_topic("t", 1));
    let mut before = producer(&klamm, "a");
    before.produce("t", 0, b"first").expect("stored");
    before.end(true).expect("ended");
    before.produce("t", 0, b"second").expect("stored");
    klamm.restart();
    assert_eq!(committed(&klamm, 0), ["first"]);
    // Another producer of the same name aborts it.
    let mut after = producer(&klamm, "a");
    assert_eq!(committed(&klamm, 0), ["first"]);
    after.produce("t", 0, b"third").expect("stored");
    after.end(true).expect("ended");
    until("the third", || committed(&klamm, 0) == ["first", "third"]);
}

#[test]
fn an_end_that_was_decided_before_a_crash_is_carried_out_by_the_next_start() {
    for (status, expected) in [(PREPARE_COMMIT, &["first"][..]), (PREPARE_ABORT, &[])] {
        let mut klamm = Klamm::start(&[ONE]);
        drop(klamm.with_topic("t", 1));
        let mut dying = producer(&klamm, "a");
        dying.produce("t", 0, b"first").expect("stored");
        // As a crash between the decision and the markers leaves it.
        klamm.restart_after(|directory| decide(&log_of(directory), status));
        until("the markers", || committed(&klamm, 0) == expected && end_offset(&klamm) == 2);
        let mut next = producer(&klamm, "a");
        assert_eq!(next.producer().1, dying.producer().1 + 2);
        assert_eq!(next.state().expect("described"), "Empty");
    }
}

#[test]
fn a_damaged_record_of_the_coordinator_is_passed_over() {
    let mut klamm = Klamm::start(&[ONE]);
    drop(klamm.with_topic("t", 1));
    let mut lost = producer(&klamm, "lost");
    let mut kept = producer(&klamm, "kept");
    let known = kept.producer();
    klamm.restart_after(|directory| damage_first_key(&log_of(directory)));
    let mut next = producer(&klamm, "kept");
    assert_eq!(next.producer(), (known.0, known.1 + 1));
    next.produce("t", 0, b"goes on").expect("stored");
    next.end(true).expect("ended");
    until("the record", || committed(&klamm, 0) == ["goes on"]);
    assert_ne!(producer(&klamm, "lost").producer().0, lost.producer().0, "its id is not known any more");
    // Connections of before the restart are gone.
    assert!(lost.try_end(true).is_err() && kept.try_end(true).is_err());
}

#[test]
fn a_producer_that_was_replaced_is_fenced_wherever_it_writes() {
    let klamm = Klamm::start(&[]);
    drop(klamm.with_topic("t", 2));
    let mut zombie = producer(&klamm, "a");
    zombie.produce("t", 0, b"zombie").expect("stored");
    let mut next = producer(&klamm, "a");
    for partition in 0..2 {
        let (refused, _) = zombie.try_produce("t", partition, b"zombie").expect("answered");
        assert_eq!(refused, ErrorCode::InvalidProducerEpoch, "partition {partition}");
    }
    assert_eq!(zombie.try_end(true).expect("answered"), ErrorCode::ProducerFenced);
    next.produce("t", 0, b"next").expect("stored");
    next.end(true).expect("ended");
    until("the next one's record", || committed(&klamm, 0) == ["next"]);
}

// ---- the coordinator's log

const PREPARE_COMMIT: i8 = 2;
const PREPARE_ABORT: i8 = 3;

fn log_of(directory: &Path) -> PathBuf {
    directory.join("data/__transaction_state-0/00000000000000000000.log")
}

/// Appends to the log what a coordinator writes when it decides how the last transaction ends.
fn decide(log: &Path, status: i8) {
    let bytes = fs::read(log).expect("a segment");
    let (mut last, mut position) = (None, 0);
    while let Ok(batch) = BatchView::read(&bytes[position..]) {
        position += batch.size_in_bytes();
        last = Some(position - batch.size_in_bytes());
    }
    let batch = BatchView::read(&bytes[last.expect("a record")..]).expect("a batch");
    let mut records = batch.records(Default::default()).expect("records");
    let record = records.next_record().expect("one").expect("whole");
    let (key, value) = (record.key.expect("a key"), record.value.expect("a value"));
    let mut reader = wire::primitives::Reader::new(value);
    let (value, version): (TransactionLogValue<'_>, _) = decode_versioned(&mut reader).expect("a value");
    let decided = TransactionLogValue {
        transaction_status: status,
        previous_producer_id: value.producer_id,
        producer_epoch: value.producer_epoch + 1,
        ..value
    };
    let value = encode_versioned(&decided, version).expect("encoded");
    let mut appended = BatchBuilder::new(Compression::None)
        .base_offset(batch.next_offset())
        .leader_epoch(LeaderEpoch::new(batch.leader_epoch().get()));
    let timestamp = TimestampMs::new(1_700_000_000_000);
    let record = NewRecord { timestamp, key: Some(key), value: Some(&value), headers: &[] };
    appended.append(&record).expect("small");
    let appended = appended.finish().expect("small");
    fs::write(log, [&bytes[..position], &appended].concat()).expect("written");
}

/// Makes the key of the first record one of a type that nobody knows, and the batch whole again.
fn damage_first_key(log: &Path) {
    let mut bytes = fs::read(log).expect("a segment");
    let size = BatchView::read(&bytes).expect("a batch").size_in_bytes();
    let expected =
        encode_versioned(&TransactionLogKey { transactional_id: "lost".into() }, 0).expect("encoded");
    let key = bytes[HEADER_LEN..size]
        .windows(expected.len())
        .position(|window| window == expected)
        .expect("the first record is that of the first id");
    bytes[HEADER_LEN + key] = 0x7f;
    let crc = BatchView::read(&bytes[..size]).expect("a batch").computed_crc();
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    fs::write(log, bytes).expect("written");
}

fn end_offset(klamm: &Klamm) -> i64 {
    let mut client: Client = klamm.client();
    client.fetch("t", 0, 0, 1, |answer| answer.high_watermark).expect("answered")
}
