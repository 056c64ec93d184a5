//! Files that Apache Kafka wrote are read, and what is built from their contents is the same bytes again.

use std::path::{Path, PathBuf};

use log_engine::batch::{
    AppendOrigin, BatchBuilder, BatchSummary, BatchView, Compression, CompressionType, DecompressionCap,
    NewRecord, Prefix, RecordHeader, TimestampType, ValidationRules,
    control::{ControlRecordType, TxnOutcome, kraft_control_batch},
    legacy::LegacyView,
    stamp_base_offset, stamp_leader_epoch, validate,
};
use log_engine::producer::{CompletedTxn, ProducerStates, snapshot};
use log_engine::types::{Offset, TimestampMs};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus")
}

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for partition in std::fs::read_dir(corpus().join(directory)).unwrap() {
        let partition = partition.unwrap().path();
        if partition.is_dir() {
            let entries = std::fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path());
            found.extend(entries.filter(|path| path.extension().is_some_and(|e| e == extension)));
        }
    }
    found.sort();
    found
}

/// The batches of a `.log` file, each with its bytes.
fn batches(file: &[u8]) -> Vec<BatchView<'_>> {
    let mut batches = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let batch = BatchView::read(rest).unwrap();
        rest = &rest[batch.size_in_bytes()..];
        batches.push(batch);
    }
    batches
}

#[test]
fn every_batch_kafka_wrote_is_valid_and_its_records_are_those_it_counts() {
    let (mut batches_seen, mut records_seen) = (0, 0);
    for path in files("stopped", "log") {
        let file = std::fs::read(&path).unwrap();
        for batch in batches(&file) {
            assert!(batch.crc_is_valid(), "{path:?} {batch:?}");
            let mut records = batch.records(DecompressionCap::default()).unwrap();
            let mut skimmed = batch.records(DecompressionCap::default()).unwrap();
            let mut count = 0;
            while let Some(record) = records.next_record() {
                let record = record.unwrap();
                let skim = skimmed.skim().unwrap().unwrap();
                assert_eq!(skim.offset_delta, record.offset_delta);
                assert_eq!(skim.size_in_bytes, record.size_in_bytes);
                assert_eq!(skim.has_key, record.key.is_some());
                assert!(record.offset >= batch.base_offset() && record.offset <= batch.last_offset());
                count += 1;
            }
            assert!(skimmed.skim().is_none());
            assert_eq!(count, batch.record_count(), "{path:?} {batch:?}");
            batches_seen += 1;
            records_seen += count;
        }
    }
    assert!(batches_seen > 200 && records_seen > 1000, "{batches_seen} {records_seen}");
}

#[test]
fn the_builder_makes_of_kafkas_records_the_batch_that_kafka_made() {
    let mut rebuilt = 0;
    for path in files("stopped", "log") {
        let file = std::fs::read(&path).unwrap();
        for batch in batches(&file) {
            // The cleaner keeps base timestamps and offsets that the remaining records do not explain.
            let cleaned = i64::from(batch.record_count()) != i64::from(batch.last_offset_delta()) + 1
                || batch.has_delete_horizon();
            if batch.compression() == Ok(CompressionType::None) && !cleaned {
                assert_eq!(rebuild(&batch), batch.as_bytes(), "{path:?} {batch:?}");
                rebuilt += 1;
            }
        }
    }
    assert!(rebuilt > 100, "{rebuilt}");
}

fn rebuild(batch: &BatchView<'_>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::of(batch.compression().unwrap()))
        .base_offset(batch.base_offset())
        .leader_epoch(batch.leader_epoch())
        .producer(batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
    if batch.is_control() {
        builder = builder.control();
    }
    if batch.is_transactional() {
        builder = builder.transactional();
    }
    if batch.timestamp_type() == TimestampType::LogAppendTime {
        builder = builder.log_append_time(batch.max_timestamp());
    }
    let mut records = batch.records(DecompressionCap::default()).unwrap();
    while let Some(record) = records.next_record() {
        let record = record.unwrap();
        let headers: Vec<RecordHeader<'_>> = record.headers.collect();
        // The record's own time, also where the batch has the broker's.
        let timestamp = TimestampMs::new(batch.base_timestamp().get() + record.timestamp_delta);
        let new = NewRecord { timestamp, key: record.key, value: record.value, headers: &headers };
        builder.append_at(record.offset, &new).unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn transaction_markers_are_written_as_kafka_writes_them() {
    let mut markers = 0;
    for path in files("stopped", "log") {
        let file = std::fs::read(&path).unwrap();
        for batch in batches(&file) {
            let Some((marker, timestamp)) = BatchSummary::of(&batch, 0).unwrap().marker else { continue };
            let mut ours = marker.to_batch(batch.producer_id(), batch.producer_epoch(), timestamp).unwrap();
            stamp_base_offset(&mut ours, batch.base_offset());
            stamp_leader_epoch(&mut ours, batch.leader_epoch());
            // The cleaner sets a horizon in the batches of markers that it keeps.
            if !batch.has_delete_horizon() {
                assert_eq!(ours, batch.as_bytes(), "{path:?} {batch:?}");
                markers += 1;
            }
        }
    }
    assert!(markers > 10, "{markers}");
}

#[test]
fn kraft_control_batches_are_written_as_kafka_writes_them() {
    let mut seen = 0;
    for path in files("stopped", "log") {
        let file = std::fs::read(&path).unwrap();
        for batch in batches(&file).into_iter().filter(|batch| batch.is_control() && !batch.has_producer_id())
        {
            let mut values = Vec::new();
            let mut records = batch.records(DecompressionCap::default()).unwrap();
            let mut time = TimestampMs::NONE;
            while let Some(record) = records.next_record() {
                let record = record.unwrap();
                time = record.timestamp;
                values.push((ControlRecordType::of_key(record.key).unwrap(), record.value.unwrap().to_vec()));
            }
            let records: Vec<_> = values.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
            let ours =
                kraft_control_batch(&records, batch.base_offset(), batch.leader_epoch(), time).unwrap();
            assert_eq!(ours, batch.as_bytes());
            seen += 1;
        }
    }
    assert!(seen > 1, "{seen}");
}

#[test]
fn snapshots_are_written_as_kafka_writes_them() {
    let paths = files("stopped", "snapshot");
    assert!(paths.len() > 10);
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        let entries = snapshot::decode(&bytes).unwrap();
        let states =
            ProducerStates::from_snapshot(&bytes, Offset::ZERO, TimestampMs::new(0), i64::MAX).unwrap();
        assert_eq!(states.producers().len(), entries.len());
        assert_eq!(states.to_snapshot(), bytes, "{path:?}");
    }
}

#[test]
fn replaying_transactions_gives_kafkas_snapshots_and_transaction_indexes() {
    let partition = corpus().join("stopped/transactions-0");
    let mut states = ProducerStates::new(Offset::ZERO);
    let mut aborted = Vec::new();
    let mut compared = 0;
    for base in [0, 36, 72] {
        let snapshot = partition.join(format!("{base:020}.snapshot"));
        if base > 0 && snapshot.exists() {
            assert_eq!(states.to_snapshot(), std::fs::read(snapshot).unwrap(), "{base}");
            compared += 1;
        }
        let Ok(file) = std::fs::read(partition.join(format!("{base:020}.log"))) else { continue };
        aborted.clear();
        for batch in batches(&file) {
            let completed = states.replay(&BatchSummary::of(&batch, 0).unwrap());
            aborted.extend(completed.filter(|txn| txn.outcome == TxnOutcome::Abort));
        }
        let index = std::fs::read(partition.join(format!("{base:020}.txnindex"))).unwrap();
        assert_eq!(aborted.iter().flat_map(index_entry).collect::<Vec<u8>>(), index, "{base}");
        assert!(!aborted.is_empty());
    }
    assert_eq!(compared, 2);
}

/// An entry of the transaction index: version, producer, first and last offset, last stable offset.
fn index_entry(txn: &CompletedTxn) -> Vec<u8> {
    let mut entry = vec![0, 0];
    for field in
        [txn.producer_id.get(), txn.first_offset.get(), txn.last_offset.get(), txn.last_stable_offset.get()]
    {
        entry.extend_from_slice(&field.to_be_bytes());
    }
    entry
}

#[test]
fn whole_logs_of_kafka_are_accepted_as_another_replica_would() {
    for path in files("stopped", "log") {
        let file = std::fs::read(&path).unwrap();
        if file.is_empty() {
            continue;
        }
        let rules = ValidationRules::defaults(AppendOrigin::Replication);
        let valid = validate(&file, &rules, TimestampMs::new(0)).unwrap();
        assert_eq!(valid.valid_bytes(), file.len(), "{path:?}");
        assert_eq!(valid.batches().len(), batches(&file).len());
    }
}

#[test]
fn messages_of_the_old_formats_are_read_with_their_offsets_and_checksums() {
    for (directory, magic) in [("magic0-0", 0), ("magic1-0", 1)] {
        let file =
            std::fs::read(corpus().join("legacy").join(directory).join("00000000000000000000.log")).unwrap();
        let mut rest = file.as_slice();
        let mut next = 0;
        let mut codecs = Vec::new();
        while !rest.is_empty() {
            assert_eq!(Prefix::read(rest).unwrap().magic, magic);
            let message = LegacyView::read(rest).unwrap();
            assert!(message.crc_is_valid());
            codecs.push(message.compression().unwrap());
            let mut records = message.records(DecompressionCap::default()).unwrap();
            while let Some(record) = records.next_record() {
                let record = record.unwrap();
                assert!(record.crc_is_valid);
                assert_eq!(record.offset, Offset::new(next), "{directory}");
                assert_eq!(record.timestamp == TimestampMs::NONE, magic == 0);
                next += 1;
            }
            rest = &rest[message.size_in_bytes()..];
        }
        for codec in
            [CompressionType::None, CompressionType::Gzip, CompressionType::Snappy, CompressionType::Lz4]
        {
            assert!(codecs.contains(&codec), "{directory} {codec}");
        }
    }
}
