//! What an append costs through the whole engine: checking, stamping, producer state, file, index, ticket.
//!
//! One batch of one record per append, by flush policy, backend, number of partitions and record size. Under `os` one
//! thread waits for each append; under `sync` and `group` it keeps 64 outstanding, as 64 producers would that each wait for their
//! last one. Behind each benchmark stand ring enters, entries per enter and appends per fdatasync. The limit, a bare
//! write in a loop, is in `commit`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use log_engine::batch::{BatchBuilder, Compression, NewRecord};
use log_engine::io::BackendChoice;
use log_engine::log_dir::{self, MetaProperties};
use log_engine::{
    AppendRequest, AppendTicket, DiskChoice, Engine, EngineConfig, FlushPolicy, LeaderEpoch, Log, LogConfig,
    TopicId, TopicPartition,
};

const OUTSTANDING: usize = 64;
const SIZES: [(&str, usize); 4] = [("100B", 100), ("1KiB", 1 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)];
const PARTITIONS: &[i32] = &[1, 100, 1000];
/// Where each benchmark is run once, to see that it runs: a thousand logs take longer to create than all else.
const PARTITIONS_OF_A_TRIAL: &[i32] = &[1, 10];
const POLICIES: [(&str, FlushPolicy); 3] =
    [("os", FlushPolicy::Os), ("sync", FlushPolicy::Sync), ("group", FlushPolicy::Group)];
const BACKENDS: [(&str, BackendChoice); 2] =
    [("uring", BackendChoice::Uring), ("threads", BackendChoice::Threads)];

/// Cargo asks for figures by `--bench`.
fn partitions() -> &'static [i32] {
    let is_trial = !std::env::args().any(|argument| argument == "--bench");
    if is_trial { PARTITIONS_OF_A_TRIAL } else { PARTITIONS }
}

struct Rig {
    engine: Engine,
    logs: Vec<Arc<Log>>,
    batch: Vec<u8>,
    policy: FlushPolicy,
    turn: usize,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new(choice: BackendChoice, policy: FlushPolicy, partitions: i32, record_len: usize) -> Self {
        let parent = std::env::var_os("KLAMM_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = tempfile::tempdir_in(parent).expect("a directory");
        let data = dir.path().join("data");
        let config =
            EngineConfig { disk: DiskChoice::Native(choice), ..EngineConfig::new([data.clone()], 1) };
        let meta = MetaProperties { cluster_id: "bench".into(), node_id: 1, directory_id: None };
        let now = config.clock.now();
        log_dir::format(&config.open_disk(), &data, &meta, now).expect("a formatted directory");
        let engine = Engine::open(config).expect("an engine");
        let log_config = LogConfig {
            max_message_bytes: 4 << 20,
            klamm_flush_policy: Some(policy),
            ..LogConfig::default()
        };
        let create = |partition| {
            let name = TopicPartition::new("bench", partition);
            engine.create_log(&name, TopicId::new([7; 16]), log_config.clone(), None).expect("a log")
        };
        let logs = (0..partitions).map(create).collect();
        let mut builder = BatchBuilder::new(Compression::None);
        let value = vec![7; record_len];
        builder
            .append(&NewRecord { timestamp: now, value: Some(&value), ..NewRecord::default() })
            .expect("the record fits");
        let batch = builder.finish().expect("there is a record");
        Self { engine, logs, batch, policy, turn: 0, _dir: dir }
    }

    fn append(&mut self) -> AppendTicket {
        self.turn = (self.turn + 1) % self.logs.len();
        let records = BytesMut::from(&self.batch[..]);
        let request = AppendRequest::from_client(records, LeaderEpoch::new(0));
        self.logs[self.turn].append(request).expect("the batch is valid")
    }

    fn run(&mut self, appends: u64) -> Duration {
        let start = Instant::now();
        if self.policy.durability().is_durable() {
            self.run_outstanding(appends);
        } else {
            (0..appends).for_each(|_| {
                self.append().wait().expect("the disk of a benchmark works");
            });
        }
        start.elapsed()
    }

    fn run_outstanding(&mut self, appends: u64) {
        let mut outstanding = VecDeque::with_capacity(OUTSTANDING);
        let mut left = appends;
        while left > 0 || !outstanding.is_empty() {
            while left > 0 && outstanding.len() < OUTSTANDING {
                outstanding.push_back(self.append());
                left -= 1;
            }
            if let Some(oldest) = outstanding.pop_front() {
                oldest.wait().expect("the disk of a benchmark works");
            }
            while let Some(ticket) = outstanding.pop_front() {
                match ticket.try_take() {
                    Ok(result) => drop(result.expect("the disk of a benchmark works")),
                    Err(pending) => {
                        outstanding.push_front(pending);
                        break;
                    }
                }
            }
        }
    }

    fn report(&self, title: &str) {
        let counts = self.engine.counts().commits;
        let per = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        println!(
            "    {title}: {} appends in {} groups ({} inline), ring enters {}, entries per enter {:.1}, \
             fdatasyncs {}, appends per fdatasync {:.1}",
            counts.appends,
            counts.groups,
            counts.inline_appends,
            counts.queue.ring_enters,
            per(counts.queue.ring_entries, counts.queue.ring_enters),
            counts.queue.syncs,
            per(counts.appends, counts.queue.syncs),
        );
    }
}

fn append(criterion: &mut Criterion) {
    for (policy_name, policy) in POLICIES {
        let mut group = criterion.benchmark_group(policy_name);
        for (backend, choice) in BACKENDS {
            for &partitions in partitions() {
                for (size, len) in SIZES {
                    let mut rig = None;
                    group.throughput(Throughput::Bytes(len as u64));
                    group.bench_function(
                        BenchmarkId::new(format!("{backend}/{partitions}p"), size),
                        |bencher| {
                            let rig = rig.get_or_insert_with(|| Rig::new(choice, policy, partitions, len));
                            bencher.iter_custom(|appends| rig.run(appends));
                        },
                    );
                    if let Some(rig) = rig {
                        rig.report(&format!("{policy_name} {backend} {partitions} partitions {size}"));
                    }
                }
            }
        }
    }
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args()
}

criterion_group! { name = benches; config = quick(); targets = append }
criterion_main!(benches);
