//! Directories that Apache Kafka wrote, opened by this engine.

use std::fs;
use std::process::Command;

use super::*;
use crate::checkpoint::{RECOVERY_POINT_FILE, parse_offsets};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn stopped() -> (tempfile::TempDir, EngineConfig) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("stopped");
    copy(&corpus().join("stopped"), &dir);
    let mut config = EngineConfig::new([dir], 1);
    config.disk = DiskChoice::Native(BackendChoice::Threads);
    (temporary, config)
}

fn killed() -> (tempfile::TempDir, EngineConfig) {
    let temporary = tempfile::tempdir().unwrap();
    let archive = corpus().join("killed.tar.gz");
    let unpacked =
        Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(temporary.path()).status().unwrap();
    assert!(unpacked.success());
    let mut config = EngineConfig::new([temporary.path().join("killed")], 1);
    config.disk = DiskChoice::Native(BackendChoice::Threads);
    (temporary, config)
}

/// Reads all of a log as a reader would, and checks that it is whole.
fn assert_readable(log: &Log) {
    let offsets = log.offsets();
    let mut next = offsets.log_start;
    while next < offsets.log_end {
        let fetched = read_from(log, next.get());
        let bytes = fetched.to_bytes().unwrap();
        let mut rest = &bytes[..];
        let before = next;
        while let Ok(batch) = BatchView::read(rest) {
            assert!(batch.crc_is_valid(), "{} at {}", log.partition(), batch.base_offset());
            next = batch.next_offset();
            rest = &rest[batch.size_in_bytes()..];
        }
        assert!(next > before, "{}: nothing at {next}", log.partition());
    }
}

#[test]
fn a_directory_that_kafka_stopped_is_believed_and_ends_where_kafka_says() {
    let (_temporary, config) = stopped();
    let dir = config.directories[0].clone();
    let text = fs::read_to_string(dir.join(RECOVERY_POINT_FILE)).unwrap();
    let ends = parse_offsets(&dir, &text).unwrap();
    let engine = Engine::open(config).unwrap();
    let report = engine.open_report();
    assert!(report.is_clean());
    assert_eq!(report.cut_bytes(), 0);
    let scanned = report.directories[0].logs.iter().filter(|log| log.scanned_bytes > 0);
    let scanned: Vec<&str> = scanned.map(|log| &*log.partition.topic).collect();
    assert_eq!(scanned, [log_dir::CLUSTER_METADATA_TOPIC], "the marker does not speak of the metadata log");
    assert!(ends.len() > 10);
    for (partition, end) in ends {
        let log = engine.log(&partition).unwrap_or_else(|| panic!("{partition} was not found"));
        assert_eq!(log.offsets().log_end, end, "{partition}");
        assert_readable(&log);
    }
    assert_eq!(engine.log(&TopicPartition::new("rolled", 0)).unwrap().offsets().log_start, Offset::new(130));
    assert_readable(&engine.log(&TopicPartition::new("__cluster_metadata", 0)).unwrap());
}

#[test]
fn a_directory_that_kafka_was_killed_over_opens_without_losing_a_batch() {
    let (_temporary, config) = killed();
    let engine = Engine::open(config).unwrap();
    let report = engine.open_report();
    assert!(!report.is_clean());
    assert_eq!(report.cut_bytes(), 0, "a killed process leaves whole batches");
    assert!(engine.logs().len() > 15);
    for log in engine.logs() {
        assert_readable(&log);
    }
    let open = engine.log(&TopicPartition::new("transactions", 0)).unwrap();
    open.set_high_watermark(open.offsets().log_end);
    let offsets = open.offsets();
    assert!(offsets.last_stable < offsets.log_end, "a transaction is still open: {offsets:?}");
}

#[test]
fn indexes_made_again_are_byte_for_byte_those_that_kafka_wrote() {
    // The cleaner indexes by its own rhythm, and a log that Kafka opened several times has an entry where each run
    // began anew; these logs were written in one go.
    let topics = ["codec-none-0", "codec-gzip-0", "codec-lz4-0", "codec-snappy-0", "codec-zstd-0"];
    assert!(made_again(4096, &topics) >= 10);
    assert!(made_again(500, &["shapes-0"]) >= 2);
    assert!(made_again(100, &["transactions-0"]) >= 3);
    assert!(made_again(200, &["rolled-0"]) >= 3);
}

/// Makes the indexes of these logs anew and compares; answers how many have entries.
fn made_again(index_interval_bytes: u32, topics: &[&str]) -> usize {
    let (_temporary, mut config) = stopped();
    let dir = config.directories[0].clone();
    fs::remove_file(dir.join(".kafka_cleanshutdown")).unwrap();
    fs::remove_file(dir.join(RECOVERY_POINT_FILE)).unwrap();
    let mut expected = Vec::new();
    for topic in topics {
        for name in file_names(&dir.join(topic)).into_iter().filter(|name| name.ends_with("index")) {
            let path = dir.join(topic).join(name);
            expected.push((path.clone(), fs::read(&path).unwrap()));
            fs::remove_file(path).unwrap();
        }
    }
    config.log_defaults.index_interval_bytes = index_interval_bytes;
    let engine = Engine::open(config).unwrap();
    assert!(engine.open_report().scanned_bytes() > 0);
    for (path, bytes) in &expected {
        assert_eq!(&fs::read(path).unwrap_or_default(), bytes, "{}", path.display());
    }
    expected.iter().filter(|(_, bytes)| !bytes.is_empty()).count()
}

#[test]
fn aborted_transactions_are_told_to_readers_of_committed_data() {
    let (_temporary, config) = stopped();
    let engine = Engine::open(config).unwrap();
    let log = engine.log(&TopicPartition::new("transactions", 0)).unwrap();
    log.set_high_watermark(log.offsets().log_end);
    let mut told = Vec::new();
    let mut next = log.offsets().log_start;
    while next < log.offsets().last_stable {
        let request = ReadRequest { from: next, ..ReadRequest::from_start(Isolation::LastStable) };
        let fetched = log.read(&request).unwrap();
        told.extend(fetched.aborted.clone());
        let bytes = fetched.to_bytes().unwrap();
        let mut rest = &bytes[..];
        while let Ok(batch) = BatchView::read(rest) {
            next = batch.next_offset();
            rest = &rest[batch.size_in_bytes()..];
        }
    }
    let mut in_files = Vec::new();
    for name in file_names(&log.directory()).iter().filter(|name| name.ends_with(".txnindex")) {
        let path = log.directory().join(name);
        in_files.extend(crate::inspect::parse_txn_index(&path, &fs::read(&path).unwrap()).unwrap());
    }
    assert!(!in_files.is_empty());
    in_files.sort_by_key(|transaction| transaction.first_offset);
    told.sort_by_key(|transaction| transaction.first_offset);
    told.dedup();
    assert_eq!(told, in_files);
}

#[test]
fn an_engine_refuses_a_directory_that_is_not_its_own_or_in_use() {
    let (_temporary, config) = stopped();
    let wrong_node = EngineConfig { node_id: 2, ..config.clone() };
    assert!(matches!(Engine::open(wrong_node), Err(OpenError::OtherNode { found: 1, expected: 2, .. })));
    let wrong_cluster = EngineConfig { cluster_id: Some("another".into()), ..config.clone() };
    assert!(matches!(Engine::open(wrong_cluster), Err(OpenError::OtherCluster { .. })));
    let elsewhere =
        EngineConfig { directories: vec![config.directories[0].join("nowhere")], ..config.clone() };
    assert!(matches!(Engine::open(elsewhere), Err(OpenError::NotFormatted { .. })));
    let _engine = Engine::open(config.clone()).unwrap();
    assert!(matches!(Engine::open(config), Err(OpenError::InUse { .. })));
}
