//! What an append costs in the committer: bytes to disk, without validation, offsets or indexes; those are in
//! `append`.
//!
//! Groups: `bare` is a pwrite (and fdatasync) in a loop, the limit; `os` and `sync` go through the committer, by
//! backend, number of partitions and size. `sync` keeps 64 appends outstanding, as 64 producers that each wait
//! for their last one would. Behind each group stand ring enters, entries per enter and appends per fdatasync.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use log_engine::commit::{
    Chain, CommitError, CommitLimits, CommitRequest, CommitTarget, Committer, Durability,
};
use log_engine::io::{BackendChoice, Disk, FileHandle, NativeDisk, OpenMode};

const OUTSTANDING: u64 = 64;
/// A partition's file is cut to nothing and starts over at this length, so that the bench fits on a small disk and
/// yet every append makes its file longer, as a log's do.
const FILE_LEN_MAX: u64 = 64 << 20;
const SIZES: [(&str, usize); 4] = [("100B", 100), ("1KiB", 1 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)];
const PARTITIONS: [usize; 3] = [1, 100, 1000];

/// Counts what ended, and wakes the thread that brings appends.
#[derive(Debug)]
struct Partition {
    chain: Chain,
    file: FileHandle,
    done: Arc<Done>,
}

#[derive(Debug)]
struct Done {
    count: AtomicU64,
    producer: Thread,
}

impl CommitTarget for Partition {
    fn chain(&self) -> &Chain {
        &self.chain
    }

    fn committed(&self, _reservation: u64, result: Result<(), CommitError>) {
        result.expect("the disk of a benchmark works");
        self.done.count.fetch_add(1, Ordering::Release);
        if thread::current().id() != self.done.producer.id() {
            self.done.producer.unpark();
        }
    }
}

struct Rig {
    committer: Committer,
    partitions: Vec<Arc<Partition>>,
    done: Arc<Done>,
    ends: Vec<u64>,
    turn: usize,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new(choice: BackendChoice, partitions: usize) -> Self {
        let dir = tempfile::tempdir_in(directory()).expect("a directory");
        let disk: Arc<dyn Disk> = Arc::new(NativeDisk::new(choice));
        let committer = Committer::start(&disk, dir.path(), CommitLimits::default()).expect("a committer");
        let done = Arc::new(Done { count: AtomicU64::new(0), producer: thread::current() });
        let partition = |index: usize| {
            let file = disk.open(&dir.path().join(index.to_string()), OpenMode::CreateNew).expect("a file");
            Arc::new(Partition { chain: Chain::new(), file, done: Arc::clone(&done) })
        };
        let partitions: Vec<_> = (0..partitions).map(partition).collect();
        let ends = vec![0; partitions.len()];
        Self { committer, partitions, done, ends, turn: 0, _dir: dir }
    }

    fn append(&mut self, bytes: &Bytes, durability: Durability) {
        self.turn = (self.turn + 1) % self.partitions.len();
        let partition = &self.partitions[self.turn];
        let end = &mut self.ends[self.turn];
        if *end + bytes.len() as u64 > FILE_LEN_MAX {
            partition.file.set_len(0).expect("the disk works");
            *end = 0;
        }
        self.committer.enqueue(CommitRequest {
            file: Arc::clone(&partition.file),
            position: *end,
            bytes: bytes.clone(),
            durability,
            target: Arc::clone(partition) as Arc<dyn CommitTarget>,
            reservation: 0,
        });
        *end += bytes.len() as u64;
    }

    fn run(&mut self, appends: u64, bytes: &Bytes, durability: Durability) -> Duration {
        let start = Instant::now();
        let before = self.done.count.load(Ordering::Acquire);
        let mut sent = 0;
        loop {
            let done = self.done.count.load(Ordering::Acquire) - before;
            if done == appends {
                return start.elapsed();
            }
            let window = if durability == Durability::Os { 1 } else { OUTSTANDING };
            let room = (appends - sent).min(window - (sent - done));
            for _ in 0..room {
                self.append(bytes, durability);
            }
            sent += room;
            if room > 0 {
                self.committer.drive();
            } else {
                thread::park();
            }
        }
    }

    fn report(&self, name: &str) {
        let counts = self.committer.counts();
        let per = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        let queue = counts.queue;
        println!(
            "    {name}: {} appends in {} groups ({} inline), {} writes, {} fdatasyncs, appends per fdatasync {:.1}, \
             ring enters {}, entries per enter {:.1}",
            counts.appends,
            counts.groups,
            counts.inline_appends,
            queue.writes,
            queue.syncs,
            per(counts.appends, queue.syncs),
            queue.ring_enters,
            per(queue.ring_entries, queue.ring_enters)
        );
    }
}

/// Where to measure: a directory on a real disk, since the temporary one may be memory.
fn directory() -> std::path::PathBuf {
    std::env::var_os("KLAMM_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into)
}

const BACKENDS: &[(&str, BackendChoice)] = &[
    ("uring", BackendChoice::Uring),
    ("threads", BackendChoice::Threads),
    #[cfg(feature = "tokio-uring")]
    ("tokio-uring", BackendChoice::TokioUring),
];

fn bare(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bare");
    for (name, size) in SIZES {
        let bytes = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        for (policy, sync) in [("os", false), ("sync", true)] {
            group.bench_function(BenchmarkId::new(policy, name), |bencher| {
                let (_dir, file) = bare_file(&directory());
                let mut end = 0;
                bencher.iter(|| {
                    if end + size as u64 > FILE_LEN_MAX {
                        file.set_len(0).expect("the disk works");
                        end = 0;
                    }
                    file.write_all_at(black_box(&bytes), end).expect("the disk works");
                    end += size as u64;
                    if sync {
                        file.sync_data().expect("the disk works");
                    }
                });
            });
        }
    }
}

fn bare_file(parent: &Path) -> (tempfile::TempDir, File) {
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    let file = File::create_new(dir.path().join("bare")).expect("a file");
    (dir, file)
}

fn committer(criterion: &mut Criterion) {
    for (policy, durability) in [("os", Durability::Os), ("sync", Durability::Sync)] {
        let mut group = criterion.benchmark_group(policy);
        for &(backend, choice) in BACKENDS {
            for partitions in PARTITIONS {
                for (name, size) in SIZES {
                    let bytes = Bytes::from(vec![7; size]);
                    let mut rig = None;
                    group.throughput(Throughput::Bytes(size as u64));
                    let id = BenchmarkId::new(format!("{backend}/{partitions}p"), name);
                    let title = format!("{policy} {backend} {partitions} partitions {name}");
                    group.bench_function(id, |bencher| {
                        let rig = rig.get_or_insert_with(|| Rig::new(choice, partitions));
                        bencher.iter_custom(|appends| rig.run(appends, &bytes, durability));
                    });
                    if let Some(rig) = rig {
                        rig.report(&title);
                    }
                }
            }
        }
    }
}

/// 64 threads that each wait for their append before they bring the next one.
fn waiting_threads(criterion: &mut Criterion) {
    for (policy, durability) in [("sync", Durability::Sync), ("group", Durability::Group)] {
        let mut group = criterion.benchmark_group(format!("{policy}-64-threads"));
        for &(backend, choice) in BACKENDS {
            let mut last = None;
            group.bench_function(BenchmarkId::new(backend, "1KiB"), |bencher| {
                bencher.iter_custom(|appends| {
                    let (elapsed, line) = run_waiting_threads(choice, durability, appends);
                    last = Some(line);
                    elapsed
                });
            });
            if let Some(line) = last {
                println!("    {policy} {backend} 64 threads 1KiB: {line}");
            }
        }
    }
}

#[derive(Debug)]
struct Waiter {
    chain: Chain,
    told: Mutex<bool>,
    changed: Condvar,
}

impl CommitTarget for Waiter {
    fn chain(&self) -> &Chain {
        &self.chain
    }

    fn committed(&self, _reservation: u64, result: Result<(), CommitError>) {
        result.expect("the disk of a benchmark works");
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

impl Waiter {
    fn wait(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        while !*told {
            told = self.changed.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
        *told = false;
    }
}

fn run_waiting_threads(choice: BackendChoice, durability: Durability, appends: u64) -> (Duration, String) {
    let dir = tempfile::tempdir_in(directory()).expect("a directory");
    let disk: Arc<dyn Disk> = Arc::new(NativeDisk::new(choice));
    let committer = Committer::start(&disk, dir.path(), CommitLimits::default()).expect("a committer");
    let file = disk.open(&dir.path().join("0"), OpenMode::CreateNew).expect("a file");
    let bytes = Bytes::from(vec![7; 1 << 10]);
    let next = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..OUTSTANDING {
            scope.spawn(|| {
                let waiter = Arc::new(Waiter {
                    chain: Chain::new(),
                    told: Mutex::new(false),
                    changed: Condvar::new(),
                });
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= appends {
                        return;
                    }
                    committer.commit(CommitRequest {
                        file: Arc::clone(&file),
                        position: turn << 10,
                        bytes: bytes.clone(),
                        durability,
                        target: Arc::clone(&waiter) as Arc<dyn CommitTarget>,
                        reservation: turn,
                    });
                    waiter.wait();
                }
            });
        }
    });
    let counts = committer.counts();
    let line = format!(
        "{} appends, {} fdatasyncs, appends per fdatasync {:.1}",
        counts.appends,
        counts.queue.syncs,
        counts.appends as f64 / counts.queue.syncs.max(1) as f64
    );
    (start.elapsed(), line)
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args()
}

criterion_group! { name = benches; config = quick(); targets = bare, committer, waiting_threads }
criterion_main!(benches);
