//! A map whose every change is a record. Opening reads the log and rebuilds the map; compaction keeps the log near the
//! size of the map: of each key's records the last one stays.
//!
//! `cargo run -p log-engine --example key_value_changelog [directory]`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use log_engine::batch::{BatchBuilder, Compression, DecompressionCap, NewRecord, batches};
use log_engine::*;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Store {
    engine: Engine,
    log: Arc<Log>,
    map: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Store {
    fn open(dir: &Path) -> Result<Self> {
        let engine = Engine::open_or_format(EngineConfig::new([dir.to_owned()], 1))?;
        let compacted = LogConfig {
            cleanup_policy: CleanupPolicy { delete: false, compact: true },
            // Small, because the segment that is written to is never compacted.
            segment_bytes: 64 << 10,
            ..LogConfig::default()
        };
        let changes = TopicPartition::new("changes", 0);
        let log = engine.open_or_create_log(&changes, TopicId::new([1; 16]), compacted)?;
        let map = replay(&log)?;
        Ok(Self { engine, log, map })
    }

    /// A value of `None` removes the key; its record, a tombstone, goes a day after it was compacted first.
    fn set(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let mut batch = BatchBuilder::new(Compression::None);
        let timestamp = self.engine.config().clock.now();
        batch.append(&NewRecord { timestamp, key: Some(key), value, headers: &[] })?;
        let records = BytesMut::from(&batch.finish()?[..]);
        let stored = self.log.append(AppendRequest::from_client(records, LeaderEpoch::new(0)))?.wait()?;
        // Only what lies below the high watermark is compacted. With one copy, that is all that was stored.
        self.log.set_high_watermark(stored.last_offset.next());
        apply(&mut self.map, key, value);
        Ok(())
    }
}

fn apply(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, key: &[u8], value: Option<&[u8]>) {
    match value {
        Some(value) => map.insert(key.to_vec(), value.to_vec()),
        None => map.remove(key),
    };
}

fn replay(log: &Log) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut map = BTreeMap::new();
    let LogOffsets { log_start: mut from, log_end, .. } = log.offsets();
    while from < log_end {
        let request = ReadRequest { from, ..ReadRequest::from_start(Isolation::LogEnd) };
        let bytes = log.read(&request)?.to_bytes()?;
        if bytes.is_empty() {
            break; // Compaction may have left nothing between here and the end.
        }
        for batch in batches(&bytes) {
            let batch = batch?;
            if !batch.crc_is_valid() {
                return Err(format!("the batch at offset {} is damaged", batch.base_offset()).into());
            }
            let mut records = batch.records(DecompressionCap::default())?;
            while let Some(record) = records.next_record() {
                let record = record?;
                apply(&mut map, record.key.unwrap_or_default(), record.value);
            }
            from = batch.next_offset();
        }
    }
    log.set_high_watermark(log_end);
    Ok(map)
}

fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let given = std::env::args_os().nth(1);
    let mut store = Store::open(given.as_deref().map_or(temporary.path(), Path::new))?;
    println!("{} keys from {} bytes", store.map.len(), store.log.size_bytes());
    for number in 0..5000_u32 {
        store.set(&(number % 10).to_be_bytes(), Some(&number.to_be_bytes()))?;
    }
    println!("{} keys in {} bytes", store.map.len(), store.log.size_bytes());
    // A program that runs for long calls `Engine::start_compaction` once instead.
    store.engine.compact(&store.log)?;
    println!("{} keys in {} bytes once compacted", store.map.len(), store.log.size_bytes());
    Ok(store.engine.close()?)
}

#[test]
fn a_compacted_log_is_small_and_gives_the_same_map() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut store = Store::open(dir.path())?;
    for number in 0..2000_u32 {
        store.set(&(number % 10).to_be_bytes(), Some(&number.to_be_bytes()))?;
    }
    store.set(&3_u32.to_be_bytes(), None)?;
    let (before, map) = (store.log.size_bytes(), store.map.clone());
    store.engine.compact(&store.log)?;
    assert!(store.log.size_bytes() < before / 2, "{} of {before} bytes are left", store.log.size_bytes());
    drop(store);
    let store = Store::open(dir.path())?;
    assert_eq!((store.map.len(), &store.map), (9, &map));
    Ok(())
}
