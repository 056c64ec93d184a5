//! The engine under the same loads.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::io::BackendChoice;
use log_engine::log_dir::{self, MetaProperties};
use log_engine::{
    AppendRequest, AppendTicket, DiskChoice, Engine, EngineConfig, FlushPolicy, LeaderEpoch, Log, LogConfig,
    Offset, TopicId, TopicPartition,
};

const DISK: &str = "the disk of a benchmark works";

/// An engine with some logs, all of one policy, and batches of one size for them.
pub struct Rig {
    // Closed last.
    _engine: Engine,
    logs: Vec<Arc<Log>>,
    batch: Vec<u8>,
}

impl Rig {
    /// Each append is one batch of `len` bytes.
    pub fn new(
        data: &Path,
        backend: BackendChoice,
        policy: FlushPolicy,
        partitions: i32,
        len: usize,
    ) -> Self {
        let disk = DiskChoice::Native(backend);
        let config = EngineConfig { disk, ..EngineConfig::new([data.to_owned()], 1) };
        let meta = MetaProperties { cluster_id: "limits".into(), node_id: 1, directory_id: None };
        let now = config.clock.now();
        log_dir::format(&config.open_disk(), data, &meta, now).expect(DISK);
        let engine = Engine::open(config).expect(DISK);
        let log_config = LogConfig {
            max_message_bytes: 64 << 20,
            klamm_flush_policy: Some(policy),
            ..LogConfig::default()
        };
        let create = |partition| {
            let name = TopicPartition::new("limits", partition);
            engine.create_log(&name, TopicId::new([7; 16]), log_config.clone(), None).expect(DISK)
        };
        let logs = (0..partitions).map(create).collect();
        Self { _engine: engine, logs, batch: batch_of(len) }
    }

    /// Sockets bring appends as buffers that nobody needs any more; these are made before the clock starts.
    fn buffers(&self, appends: u64) -> Vec<BytesMut> {
        (0..appends).map(|_| BytesMut::from(&self.batch[..])).collect()
    }

    fn append(log: &Arc<Log>, records: BytesMut) -> AppendTicket {
        log.append(AppendRequest::from_client(records, LeaderEpoch::new(0))).expect("the batch is valid")
    }

    /// Logs start over, so that a bench fits on a small disk.
    pub fn empty(&self) {
        for log in &self.logs {
            log.truncate_fully_and_start_at(Offset::ZERO).expect(DISK);
        }
    }

    /// One thread, the next append when the last one is stored, over all logs in turn. Time per append, each from a buffer
    /// that was filled just before, as a socket's would be; filling it does not count.
    pub fn one_by_one(&self, appends: u64) -> Duration {
        let mut spent = Duration::ZERO;
        for (_, log) in (0..appends).zip(self.logs.iter().cycle()) {
            let records = BytesMut::from(&self.batch[..]);
            let start = Instant::now();
            Self::append(log, records).wait().expect(DISK);
            spent += start.elapsed();
        }
        spent / appends as u32
    }

    /// The times of such appends, with a pause before each.
    pub fn one_by_one_with(&self, pause: Duration, appends: u64) -> Vec<Duration> {
        let append = |records| {
            thread::sleep(pause);
            let start = Instant::now();
            Self::append(&self.logs[0], records).wait().expect(DISK);
            start.elapsed()
        };
        self.buffers(appends).into_iter().map(append).collect()
    }

    /// One thread that keeps so many outstanding, over all logs in turn. Time per append.
    pub fn outstanding(&self, window: usize, appends: u64) -> Duration {
        let buffers = self.buffers(appends);
        let start = Instant::now();
        let mut waiting: VecDeque<AppendTicket> = VecDeque::with_capacity(window);
        for (records, log) in buffers.into_iter().zip(self.logs.iter().cycle()) {
            if waiting.len() == window
                && let Some(oldest) = waiting.pop_front()
            {
                oldest.wait().expect(DISK);
            }
            waiting.push_back(Self::append(log, records));
        }
        for ticket in waiting {
            ticket.wait().expect(DISK);
        }
        start.elapsed() / appends as u32
    }

    /// So many threads that each wait for their append before they bring the next. Time per append.
    pub fn waiting_threads(&self, threads: u64, appends: u64) -> Duration {
        let next = AtomicU64::new(0);
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < appends {
                        let records = BytesMut::from(&self.batch[..]);
                        Self::append(&self.logs[0], records).wait().expect(DISK);
                    }
                });
            }
        });
        start.elapsed() / appends as u32
    }
}

/// A batch of one record that is `len` bytes long.
fn batch_of(len: usize) -> Vec<u8> {
    const OVERHEAD: usize = 80;
    let value = vec![7; len.saturating_sub(OVERHEAD)];
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(&NewRecord { value: Some(&value), ..NewRecord::default() }).expect("the record fits");
    builder.finish().expect("there is a record")
}
