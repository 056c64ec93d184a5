//! `compaction [MEGABYTES]`: the same logs compacted by Kafka's cleaner and by ours, in megabytes of log per second of
//! processor time, all threads of the process counted. Kafka's cleaner runs as its broker would run it (1 GiB heap, G1, every
//! compiler); the first of its passes warms it and does not count. Of the passes that count, each side's best is shown.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use benches::process::cpu_seconds;
use bytes::BytesMut;
use klamm_tests::oracle::{self, Oracle};
use klamm_tests::process::run;
use log_engine::batch::{BatchBuilder, Compression, CompressionType, NewRecord};
use log_engine::log_dir::{self, MetaProperties};
use log_engine::{
    AppendRequest, CleanupPolicy, Engine, EngineConfig, LeaderEpoch, LogConfig, TimestampMs, TopicId,
    TopicPartition,
};

const NOW: i64 = 1_700_000_000_000;
const SEGMENT_BYTES: u32 = 16 << 20;
const BATCH_BYTES: usize = 16 << 10;
const WRITES_PER_KEY: u64 = 4;
const PASSES: usize = 3;

struct Row {
    name: &'static str,
    codec: CompressionType,
    value_bytes: usize,
}

const ROWS: &[Row] = &[
    Row { name: "100 B", codec: CompressionType::None, value_bytes: 100 },
    Row { name: "1 KB", codec: CompressionType::None, value_bytes: 1_000 },
    Row { name: "1 KB, lz4", codec: CompressionType::Lz4, value_bytes: 1_000 },
    Row { name: "1 KB, zstd", codec: CompressionType::Zstd, value_bytes: 1_000 },
];

fn main() -> Result<(), Box<dyn Error>> {
    let megabytes: u64 = std::env::args().nth(1).map_or(Ok(256), |text| text.parse())?;
    let oracle = oracle::required().ok_or("Kafka's jars and Java are needed")?;
    println!("| records | log MB | left MB | Kafka MB per CPU s | Klamm MB per CPU s | ratio |");
    println!("|---|---|---|---|---|---|");
    for row in ROWS {
        let root = tempfile::tempdir()?;
        let source = root.path().join("source");
        let bytes = fill(&source, row, megabytes << 20)?;
        let (kafka, kafkas_left) = kafkas_seconds(oracle, root.path(), &source)?;
        let (klamm, left) = our_seconds(root.path(), &source)?;
        if left != kafkas_left && row.codec == CompressionType::None {
            return Err(format!("{left} bytes are left, after Kafka's cleaner {kafkas_left}").into());
        }
        let rate = |seconds: f64| bytes as f64 / 1e6 / seconds;
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} |",
            row.name,
            bytes as f64 / 1e6,
            left as f64 / 1e6,
            rate(kafka),
            rate(klamm),
            kafka / klamm,
        );
    }
    Ok(())
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: SEGMENT_BYTES,
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        ..LogConfig::default()
    }
}

// Answers the bytes that can be cleaned.
fn fill(data: &Path, row: &Row, bytes: u64) -> Result<u64, Box<dyn Error>> {
    let engine_config = EngineConfig::new([data.to_owned()], 1);
    let meta = MetaProperties { cluster_id: "bench".into(), node_id: 1, directory_id: None };
    log_dir::format(&engine_config.open_disk(), data, &meta, TimestampMs::new(NOW))?;
    let engine = Engine::open(engine_config)?;
    let partition = TopicPartition::new("table", 0);
    let log = engine.create_log(&partition, TopicId::new([5; 16]), config(), None)?;
    let keys = (bytes / row.value_bytes as u64 / WRITES_PER_KEY).max(1);
    let mut random = 1_u64;
    let mut value = vec![0; row.value_bytes];
    let mut written = 0;
    while written < bytes {
        let mut batch = BatchBuilder::new(Compression::of(row.codec));
        let mut size = 0;
        while size < BATCH_BYTES {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = format!("key-{:012}", (random >> 33) % keys);
            // Half noise, half repetition: what the codecs are given elsewhere, too.
            for (index, word) in value.chunks_mut(8).enumerate() {
                let word_of = if index % 2 == 0 { random.rotate_left(index as u32) } else { 7 };
                word.copy_from_slice(&word_of.to_le_bytes()[..word.len()]);
            }
            let timestamp = TimestampMs::new(NOW - 1_000);
            batch.append(&NewRecord {
                timestamp,
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &[],
            })?;
            size += key.len() + value.len() + 12;
        }
        written += size as u64;
        let records = BytesMut::from(&batch.finish()?[..]);
        log.append(AppendRequest::from_client(records, LeaderEpoch::new(0)))?.wait()?;
    }
    log.set_high_watermark(log.offsets().log_end);
    let segments = log.segments_info();
    engine.close()?;
    Ok(segments.iter().rev().skip(1).map(|segment| segment.size_bytes).sum())
}

fn copy_of(source: &Path, root: &Path, name: &str) -> std::io::Result<PathBuf> {
    let to = root.join(name);
    for (from, to) in [(source.to_owned(), to.clone()), (source.join("table-0"), to.join("table-0"))] {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.file_name() != ".lock" {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
    }
    Ok(to)
}

// Seconds of the best pass, and the bytes that are left of what was cleaned.
fn kafkas_seconds(oracle: &Oracle, root: &Path, source: &Path) -> Result<(f64, u64), Box<dyn Error>> {
    let mut requests = String::new();
    let mut copies = Vec::new();
    for pass in 0..=PASSES {
        let copy = copy_of(source, root, &format!("kafka-{pass}"))?;
        requests.push_str(&format!(
            "{}\t{NOW}\t-1\t{}\t0\tinternal.segment.bytes={SEGMENT_BYTES}\tcleanup.policy=compact\n",
            copy.join("table-0").display(),
            128 << 20,
        ));
        copies.push(copy);
    }
    let answers = run(&mut oracle.java_as_shipped("Cleaning"), requests.as_bytes());
    let nanos = |line: &str| line.rsplit('\t').next().and_then(|text| text.parse::<u64>().ok());
    let best = answers.lines().skip(1).filter_map(nanos).min().ok_or("Kafka's cleaner gave no answer")?;
    let left = cleaned_bytes(&copies[0])?;
    for copy in copies {
        fs::remove_dir_all(copy)?;
    }
    Ok((best as f64 / 1e9, left))
}

fn our_seconds(root: &Path, source: &Path) -> Result<(f64, u64), Box<dyn Error>> {
    let mut best = f64::INFINITY;
    let mut left = 0;
    for pass in 0..PASSES {
        let copy = copy_of(source, root, &format!("klamm-{pass}"))?;
        let engine = Engine::open(EngineConfig::new([copy.clone()], 1))?;
        let log = engine.log(&TopicPartition::new("table", 0)).ok_or("the log was copied")?;
        log.update_config(config());
        log.set_high_watermark(log.offsets().log_end);
        let before = own_cpu_seconds()?;
        engine.compact(&log)?;
        best = best.min(own_cpu_seconds()? - before);
        engine.close()?;
        drop((log, engine));
        left = cleaned_bytes(&copy)?;
        fs::remove_dir_all(copy)?;
    }
    Ok((best, left))
}

fn own_cpu_seconds() -> Result<f64, &'static str> {
    cpu_seconds(std::process::id()).ok_or("the kernel does not tell of this process")
}

// All segments but the active one.
fn cleaned_bytes(data: &Path) -> std::io::Result<u64> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(data.join("table-0"))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|ending| ending == "log") {
            logs.push((entry.file_name(), entry.metadata()?.len()));
        }
    }
    logs.sort();
    logs.pop();
    Ok(logs.iter().map(|(_, len)| len).sum())
}
