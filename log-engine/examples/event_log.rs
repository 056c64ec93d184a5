//! An event log that a thread and an async task follow, each at its own pace. The engine has no runtime: it tells a
//! listener that the log has grown, and everything that may wait for the disk says so.
//!
//! `cargo run -p log-engine --example event_log [directory]`

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::BytesMut;
use log_engine::batch::{BatchBuilder, Compression, DecompressionCap, NewRecord, batches};
use log_engine::*;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
type Events = Result<Vec<String>>;

/// Tells both readers that the log has grown. Called before the append is acknowledged, so it must be quick.
struct Growth {
    thread: mpsc::SyncSender<()>,
    task: watch::Sender<Offset>,
}

impl EndListener for Growth {
    fn published(&self, _log: &Log, offsets: LogOffsets) {
        // One signal that was not taken yet is enough, and who has gone needs none.
        let _ = self.thread.try_send(());
        self.task.send_replace(offsets.log_end);
    }
}

/// Some events from an offset on, and the offset behind them.
fn read(log: &Log, from: Offset) -> Result<(Vec<String>, Offset)> {
    let bytes = log.read(&ReadRequest { from, ..ReadRequest::from_start(Isolation::LogEnd) })?.to_bytes()?;
    let (mut events, mut next) = (Vec::new(), from);
    for batch in batches(&bytes) {
        let batch = batch?;
        batch.crc_is_valid().then_some(()).ok_or("the batch is damaged")?;
        let mut records = batch.records(DecompressionCap::default())?;
        while let Some(record) = records.next_record() {
            events.push(String::from_utf8_lossy(record?.value.unwrap_or_default()).into_owned());
        }
        next = batch.next_offset();
    }
    Ok((events, next))
}

fn follow_on_a_thread(log: &Log, grown: &mpsc::Receiver<()>, mut next: Offset, count: usize) -> Events {
    let mut events = Vec::new();
    while events.len() < count {
        grown.recv()?;
        while next < log.offsets().log_end {
            let (more, behind) = read(log, next)?;
            events.extend(more);
            next = behind;
        }
    }
    Ok(events)
}

async fn follow_in_a_task(
    log: Arc<Log>,
    mut end: watch::Receiver<Offset>,
    mut next: Offset,
    count: usize,
) -> Events {
    let mut events = Vec::new();
    while events.len() < count {
        end.wait_for(|end| *end > next).await?;
        let log = Arc::clone(&log);
        // Reading may wait for the disk, and a thread of the runtime must not.
        let (more, behind) = spawn_blocking(move || read(&log, next)).await??;
        events.extend(more);
        next = behind;
    }
    Ok(events)
}

async fn append(log: &Arc<Log>, event: &str) -> Result<Offset> {
    let mut batch = BatchBuilder::new(Compression::None);
    let timestamp = SystemClock.now();
    batch.append(&NewRecord { timestamp, value: Some(event.as_bytes()), ..NewRecord::default() })?;
    let records = BytesMut::from(&batch.finish()?[..]);
    let ticket = match log.try_append(AppendRequest::from_client(records, LeaderEpoch::new(0)))? {
        Attempt::Started(ticket) => ticket,
        Attempt::WouldWait(postponed) => spawn_blocking(|| postponed.append()).await??,
    };
    Ok(ticket.await?.first_offset)
}

/// What the thread and the task saw of `count` events that were appended meanwhile.
async fn run(dir: &Path, count: usize) -> Result<[Vec<String>; 2]> {
    let engine = Engine::open_or_format(EngineConfig::new([dir.to_owned()], 1))?;
    let events = TopicPartition::new("events", 0);
    let log = engine.open_or_create_log(&events, TopicId::new([1; 16]), LogConfig::default())?;
    let from = log.offsets().log_end;
    let ((thread, grown), (task, end)) = (mpsc::sync_channel(1), watch::channel(from));
    log.set_end_listener(Arc::new(Growth { thread, task }));

    let its_log = Arc::clone(&log);
    let thread = thread::spawn(move || follow_on_a_thread(&its_log, &grown, from, count));
    let task = tokio::spawn(follow_in_a_task(Arc::clone(&log), end, from, count));
    for number in 0..count {
        append(&log, &format!("event {number}")).await?;
    }
    let by_task = task.await??;
    let by_thread = spawn_blocking(|| thread.join()).await?.map_err(|_| "the thread panicked")??;
    spawn_blocking(move || engine.close()).await??;
    Ok([by_thread, by_task])
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let given = std::env::args_os().nth(1);
    for seen in run(given.as_deref().map_or(temporary.path(), Path::new), 5).await? {
        println!("{seen:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_thread_and_a_task_see_every_event_in_order_also_those_after_reopening() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let expected: Vec<String> = (0..300).map(|number| format!("event {number}")).collect();
    for _ in 0..2 {
        assert_eq!(run(dir.path(), 300).await?, [expected.clone(), expected.clone()]);
    }
    Ok(())
}
