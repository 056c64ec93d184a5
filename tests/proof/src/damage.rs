//! Every bit of every file of a small log, flipped one at a time, after a clean stop and after a kill: the log opens, what it
//! shows is what was appended, and what lies before the damage is there. And the same of stretches of bytes, at random.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::io::sim::{Seeded, SimDisk};
use log_engine::io::{Disk, FileKind, OpenMode};
use log_engine::log_dir::{self, MetaProperties};
use log_engine::{
    AppendRequest, Clock, DiskChoice, Engine, EngineConfig, Isolation, LeaderEpoch, Log, LogConfig,
    ManualClock, Offset, ProducerEpoch, ProducerId, ReadMode, ReadRequest, Sequence, TimestampMs, TopicId,
    TopicPartition, Upkeep,
};

use crate::seen::decode;

const NOW: i64 = 1_700_000_000_000;
const DIR: &str = "/data";
const LOG_DIR: &str = "/data/orders-0";
const BATCHES: i64 = 14;
const SEGMENT_BYTES: u32 = 700;

/// Flips every `stride`th bit of each file. Answers how many flips there were.
pub fn sweep(stride: usize) -> Result<u64, String> {
    let mut flips = 0;
    for clean in [true, false] {
        let disk = written(clean);
        for (file, len) in files(&disk) {
            let bits = len as usize * 8;
            for bit in (0..bits).step_by(stride) {
                if is_base_offset(&file, bit) {
                    continue;
                }
                flip(&disk.kill(), &file, bit)
                    .map_err(|what| format!("clean {clean}, {}, bit {bit}: {what}", file.display()))?;
                flips += 1;
            }
        }
    }
    Ok(flips)
}

/// Puts a stretch of other bytes, of zeros or of nothing at all into one of the files, once for each seed.
pub fn random(seeds: Range<u64>) -> Result<u64, String> {
    let disks = [written(true), written(false)].map(|disk| (files(&disk), disk));
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut random = Seeded::new(seed);
        let (files, disk) = &disks[random.below(2) as usize];
        let (file, len) = &files[random.below(files.len() as u64) as usize];
        if *len == 0 {
            continue;
        }
        let (disk, at) = (disk.kill(), random.below(*len));
        let told = |what: String| format!("seed {seed}, {}, byte {at}: {what}", file.display());
        overwrite(&disk, file, at, &mut random).map_err(|error| told(error.to_string()))?;
        look_at_all(&disk, file, at).map_err(told)?;
    }
    Ok(count)
}

fn overwrite(disk: &SimDisk, path: &Path, at: u64, random: &mut Seeded) -> io::Result<()> {
    let file = disk.open(path, OpenMode::ReadWrite)?;
    let kind = random.below(8);
    if kind == 0 {
        return file.set_len(at);
    }
    let mut bytes = vec![0; (1 + random.below(64)).min(file.len()? - at) as usize];
    file.read_exact_at(&mut bytes, at)?;
    for (byte, position) in bytes.iter_mut().zip(at..) {
        if !is_base_offset(path, position as usize * 8) {
            *byte = if kind == 1 { 0 } else { random.below(256) as u8 };
        }
    }
    file.write_all_at(&bytes, at)
}

// No checksum covers the offset of a batch: see docs/proof.md for what that leads to.
fn is_base_offset(file: &Path, bit: usize) -> bool {
    is_log(file) && bit / 8 % batch(0).len() < 8
}

fn is_log(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "log")
}

fn files(disk: &SimDisk) -> Vec<(PathBuf, u64)> {
    let listed = disk.list(Path::new(LOG_DIR)).expect("the log is there");
    let files = listed.into_iter().filter(|entry| entry.kind == FileKind::File);
    let len = |path: &Path| disk.metadata(path).expect("the file is there").len;
    files.map(|entry| (entry.path.clone(), len(&entry.path))).collect()
}

fn config(disk: &SimDisk) -> EngineConfig {
    let mut config = EngineConfig::new([PathBuf::from(DIR)], 1);
    config.disk = DiskChoice::Given(Arc::new(disk.clone()));
    config.clock = Arc::new(ManualClock::starting_at(TimestampMs::new(NOW))) as Arc<dyn Clock>;
    config.log_defaults =
        LogConfig { segment_bytes: SEGMENT_BYTES, index_interval_bytes: 100, ..LogConfig::default() };
    (config.recovery_threads, config.upkeep) = (1, Upkeep::Caller);
    config
}

fn written(clean: bool) -> SimDisk {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let meta = MetaProperties { cluster_id: "proof".into(), node_id: 1, directory_id: None };
    shared.create_dir_all(Path::new("/")).expect("the disk is new");
    log_dir::format(&shared, Path::new(DIR), &meta, TimestampMs::new(NOW)).expect("the disk is new");
    let config = config(&disk);
    let engine = Engine::open(config.clone()).expect("the directory is formatted");
    let partition = TopicPartition::new("orders", 0);
    let log = engine
        .create_log(&partition, TopicId::new([7; 16]), config.log_defaults, None)
        .expect("the directory is empty");
    for number in 0..BATCHES {
        let request = AppendRequest::from_client(batch(number), LeaderEpoch::new(0));
        let stored = log.append(request).and_then(|ticket| ticket.wait()).expect("the disk works");
        assert_eq!(stored.first_offset.get(), number * 2);
    }
    if clean {
        engine.close().expect("the disk works");
    }
    disk.kill()
}

fn batch(number: i64) -> BytesMut {
    let sequence = Sequence::new(number as i32 * 2);
    let mut builder =
        BatchBuilder::new(Compression::None).producer(ProducerId::new(1), ProducerEpoch::new(0), sequence);
    for value in values(number) {
        let timestamp = TimestampMs::new(NOW + number);
        builder
            .append(&NewRecord { timestamp, value: Some(&value), ..NewRecord::default() })
            .expect("it fits");
    }
    BytesMut::from(&builder.finish().expect("a batch is built")[..])
}

fn values(number: i64) -> [Vec<u8>; 2] {
    [0, 1].map(|index| format!("record {:03}", number * 2 + index).into_bytes())
}

fn flip(disk: &SimDisk, path: &Path, bit: usize) -> Result<(), String> {
    let file = disk.open(path, OpenMode::ReadWrite).map_err(|error| error.to_string())?;
    let (mut byte, at) = ([0], bit as u64 / 8);
    file.read_exact_at(&mut byte, at).map_err(|error| error.to_string())?;
    byte[0] ^= 1 << (bit % 8);
    file.write_all_at(&byte, at).map_err(|error| error.to_string())?;
    look_at_all(disk, path, at)
}

fn look_at_all(disk: &SimDisk, path: &Path, at: u64) -> Result<(), String> {
    let engine = Engine::open(config(disk)).map_err(|error| format!("no start: {error}"))?;
    let log = engine.log(&TopicPartition::new("orders", 0)).ok_or("the log is gone")?;
    let base: i64 = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(i64::MAX);
    // In the segment before the damage, by the batches' equal lengths.
    let damaged = if is_log(path) { base + at as i64 / batch(0).len() as i64 * 2 } else { i64::MAX };
    (0..BATCHES).try_for_each(|number| look(&log, number, damaged))
}

// A batch before the damage is shown; any other is shown as it was or not at all.
fn look(log: &Log, number: i64, damaged: i64) -> Result<(), String> {
    let from = Offset::new(number * 2);
    let request = ReadRequest {
        from,
        max_bytes: 1,
        at_least_one: true,
        isolation: Isolation::LogEnd,
        mode: ReadMode::Blocking,
    };
    let read = log.read(&request).map_err(|error| error.to_string());
    let bytes = read.and_then(|fetched| fetched.to_bytes().map_err(|error| error.to_string()));
    let shown = bytes.and_then(|bytes| decode(&bytes));
    let first = match shown {
        Ok(batches) => batches.into_iter().next(),
        Err(_) if from.get() >= damaged => None,
        Err(error) => return Err(format!("{from}: {error}")),
    };
    let Some(batch) = first else {
        return if from.get() >= damaged { Ok(()) } else { Err(format!("{from} is not shown")) };
    };
    for (offset, record) in &batch.records {
        let index = usize::try_from(offset % 2).unwrap_or_default();
        if record.value.as_ref() != Some(&values(offset / 2)[index]) {
            return Err(format!("a read at {from} shows {record:?} at {offset}"));
        }
    }
    let is_it = batch.base == from.get() || from.get() >= damaged;
    if is_it { Ok(()) } else { Err(format!("a read at {from} shows {}", batch.base)) }
}
