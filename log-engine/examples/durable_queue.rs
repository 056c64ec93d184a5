//! A queue on the disk: what `push` returned from survives a power loss, and so does the consumer's position, which is
//! kept in a second log. An item is handed out again until it is acknowledged: at least once, in order.
//!
//! `cargo run -p log-engine --example durable_queue [directory]`; run it twice on one directory to see it go on.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use log_engine::batch::{BatchBuilder, BatchView, Compression, DecompressionCap, NewRecord};
use log_engine::*;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Queue {
    engine: Engine,
    items: Arc<Log>,
    /// Its last record is the offset of the first item that was not acknowledged.
    positions: Arc<Log>,
    position: Offset,
}

impl Queue {
    fn open(dir: &Path) -> Result<Self> {
        let engine = Engine::open_or_format(EngineConfig::new([dir.to_owned()], 1))?;
        let durable = LogConfig { klamm_flush_policy: Some(FlushPolicy::Sync), ..LogConfig::default() };
        let open = |name, id| {
            let partition = TopicPartition::new(name, 0);
            engine.open_or_create_log(&partition, TopicId::new([id; 16]), durable.clone())
        };
        let (items, positions) = (open("items", 1)?, open("positions", 2)?);
        let last = Offset::new((positions.offsets().log_end.get() - 1).max(0));
        let position = value_at(&positions, last)?.map_or(Ok([0; 8]), <[u8; 8]>::try_from);
        let position = Offset::new(i64::from_be_bytes(position.map_err(|_| "a position has 8 bytes")?));
        Ok(Self { engine, items, positions, position })
    }

    /// The item is on the disk when this returns.
    fn push(&self, item: &[u8]) -> Result<Offset> {
        append(&self.engine, &self.items, item)
    }

    /// The first item that was not acknowledged.
    fn peek(&self) -> Result<Option<Vec<u8>>> {
        value_at(&self.items, self.position)
    }

    /// The item that `peek` shows is done with, durably.
    fn acknowledge(&mut self) -> Result<()> {
        let next = self.position.next();
        append(&self.engine, &self.positions, &next.get().to_be_bytes())?;
        self.position = next;
        Ok(())
    }
}

/// One record, one batch. Threads that append at the same time share a flush.
fn append(engine: &Engine, log: &Arc<Log>, value: &[u8]) -> Result<Offset> {
    let mut batch = BatchBuilder::new(Compression::None);
    let timestamp = engine.config().clock.now();
    batch.append(&NewRecord { timestamp, value: Some(value), ..NewRecord::default() })?;
    let records = BytesMut::from(&batch.finish()?[..]);
    Ok(log.append(AppendRequest::from_client(records, LeaderEpoch::new(0)))?.wait()?.first_offset)
}

fn value_at(log: &Log, offset: Offset) -> Result<Option<Vec<u8>>> {
    let first_batch_only =
        ReadRequest { from: offset, max_bytes: 1, ..ReadRequest::from_start(Isolation::LogEnd) };
    let bytes = log.read(&first_batch_only)?.to_bytes()?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let batch = BatchView::read(&bytes)?;
    if !batch.crc_is_valid() {
        return Err(format!("the item at offset {offset} is damaged").into());
    }
    let mut records = batch.records(DecompressionCap::default())?;
    let record = records.next_record().ok_or("a batch holds a record")??;
    Ok(record.value.map(<[u8]>::to_vec))
}

fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let given = std::env::args_os().nth(1);
    let mut queue = Queue::open(given.as_deref().map_or(temporary.path(), Path::new))?;
    for item in ["bread", "milk", "tea"] {
        println!("pushed {item} at offset {}", queue.push(item.as_bytes())?);
    }
    if let Some(item) = queue.peek()? {
        queue.acknowledge()?;
        println!("done with {}", String::from_utf8_lossy(&item));
    }
    Ok(queue.engine.close()?)
}

#[test]
fn after_a_crash_the_queue_goes_on_at_the_first_item_that_was_not_acknowledged() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut queue = Queue::open(dir.path())?;
    for item in [b"a", b"b", b"c"] {
        queue.push(item)?;
    }
    queue.acknowledge()?;
    drop(queue);
    let mut queue = Queue::open(dir.path())?;
    let mut left = Vec::new();
    while let Some(item) = queue.peek()? {
        left.push(item);
        queue.acknowledge()?;
    }
    assert_eq!(left, [b"b", b"c"]);
    Ok(())
}
