//! Tests against the bytes that Apache Kafka 4.3.0 wrote (`tests/corpus`).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use log_engine::batch::{BatchView, DecompressionCap};

use super::{
    batches::{Entry, decode_batches},
    codec::{self, MetadataVersion},
    raft, snapshot,
    snapshot::SnapshotId,
};

pub(super) fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(name)
}

fn files(extension: &str) -> Vec<PathBuf> {
    let dir = corpus("stopped/__cluster_metadata-0");
    let mut found: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found.push(corpus("stopped/bootstrap.checkpoint"));
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found
}

#[test]
fn every_batch_of_kafkas_metadata_is_decoded_and_encoded_to_the_same_bytes() {
    let mut batches = 0;
    for path in files("log").into_iter().chain(files("checkpoint")) {
        let bytes = std::fs::read(&path).unwrap();
        let mut rest = &bytes[..];
        for batch in decode_batches(&bytes, 0) {
            let batch = batch.unwrap();
            let view = BatchView::read(rest).unwrap();
            let size = view.header().size_in_bytes();
            let timestamp = view.header().base_timestamp();
            let mut control = Vec::new();
            let mut metadata = Vec::new();
            for entry in batch.entries {
                match entry {
                    Entry::Control(record) => control.push(record),
                    Entry::Metadata(record) => metadata.push(record),
                    Entry::Unknown(what) => panic!("{}: {what}", path.display()),
                }
            }
            let (base, epoch) = (batch.base_offset, batch.epoch);
            let encoded = if metadata.is_empty() {
                raft::control_batch(&control, base, epoch, timestamp).unwrap()
            } else {
                super::batches::data_batch(&metadata, MetadataVersion::LATEST, base, epoch, timestamp)
                    .unwrap()
            };
            assert_eq!(encoded, rest[..size], "{} at {}", path.display(), bytes.len() - rest.len());
            rest = &rest[size..];
            batches += 1;
        }
        assert!(rest.is_empty());
    }
    assert!(batches > 50, "the corpus holds more than {batches} batches");
}

#[test]
fn a_record_of_a_newer_kafka_is_told_from_a_damaged_one() {
    let unknown_type = [1, 0x7f, 0, 1, 2, 3];
    let unknown_version = [1, 2, 9, 1, 2, 3];
    for value in [unknown_type, unknown_version] {
        assert!(codec::is_unknown(&codec::decode(&value).unwrap_err()));
    }
    for value in [&[][..], &[1], &[1, 2], &[1, 2, 0], &[1, 2, 0, 5, b'a']] {
        assert!(!codec::is_unknown(&codec::decode(value).unwrap_err()), "{value:?}");
    }
}

#[test]
fn no_mutilated_record_of_kafka_is_decoded_with_a_panic() {
    let bytes = std::fs::read(files("log").remove(0)).unwrap();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let view = BatchView::read(rest).unwrap();
        let mut records = view.records(DecompressionCap::default()).unwrap();
        while let Some(record) = records.next_record() {
            let value = record.unwrap().value.unwrap().to_vec();
            for at in 0..value.len() {
                let mut changed = value.clone();
                changed[at] ^= 0xff;
                let _ = codec::decode(&changed);
                let _ = codec::decode(&value[..at]);
            }
        }
        rest = &rest[view.header().size_in_bytes()..];
    }
}

#[test]
fn kafkas_snapshots_are_read_with_their_voters() {
    for path in files("checkpoint") {
        let decoded = snapshot::decode(&std::fs::read(&path).unwrap()).unwrap();
        let Some(id) = SnapshotId::of_file(&path) else { continue };
        assert_eq!(decoded.unknown, Vec::<String>::new());
        assert_eq!((decoded.quorum.kraft_version, decoded.quorum.voters.len()), (1, 1), "{}", path.display());
        assert_eq!(decoded.records.is_empty(), id == SnapshotId::BOOTSTRAP);
    }
}
