//! The engine: data directories, the logs in them, and the threads that look after both.

mod close;
mod create;
mod logs;
mod moves;
mod open;
mod progress;
mod relocated;
mod remove;
mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::background::Background;
use crate::clean::{CleanerConfig, CleanerPool, CleaningError, CleaningReport};
use crate::commit::{CommitCounts, OfflineListener};
use crate::config::EngineConfig;
use crate::error::OpenError;
use crate::home::Home;
use crate::io::{Disk, descriptors_max};
use crate::log::Log;
use crate::log_dir::{self, LogDir, MetaProperties};
use crate::metrics::EngineCounts;
use crate::scrub::{ScrubReport, Scrubber};
use crate::segment::open_files::{OpenFiles, SparingDisk};
use crate::types::TopicPartition;

pub use moves::{LogMove, MoveListener};
pub use report::{DirectoryReport, OfflineDirectory, OpenReport};

pub(crate) use close::{write_checkpoints, write_cleaner_checkpoint, write_some_checkpoints};
pub(crate) use logs::Logs;

use moves::Moves;
use open::OpenedDirectory;

/// Logs in data directories. Dropping it without [`Engine::close`] is what a crash is: the next start will be unclean.
#[derive(Debug)]
pub struct Engine {
    directories: Vec<Directory>,
    logs: Arc<Logs>,
    cleaner: CleanerPool,
    moves: Arc<Moves>,
    scrubber: Scrubber,
    /// What the last run had begun: partitions, and where they were to go.
    unfinished_moves: Vec<(TopicPartition, PathBuf)>,
    disk: Arc<dyn Disk>,
    open_files: Arc<OpenFiles>,
    config: EngineConfig,
    report: OpenReport,
    broker_epoch: AtomicI64,
}

#[derive(Debug)]
struct Directory {
    log_dir: LogDir,
    home: Arc<Home>,
    background: Mutex<Option<Background>>,
}

impl Engine {
    /// Opens all logs in the data directories. Each directory must have been formatted, see
    /// [`crate::log_dir::format`]; while it is open no other engine and no Kafka broker can use it.
    ///
    /// A directory that the disk cannot give is offline, alone, as long as there is another: see
    /// [`OpenReport::offline`]. One that belongs elsewhere, or that another process uses, is an error.
    pub fn open(config: EngineConfig) -> Result<Self, OpenError> {
        if config.directories.is_empty() {
            return Err(OpenError::NoDirectory);
        }
        let open_files = OpenFiles::new(config.open_files_max.unwrap_or_else(open_files_max));
        let disk = SparingDisk::over(config.open_disk(), &open_files);
        let opened: Vec<Result<OpenedDirectory, OpenError>> = thread::scope(|scope| {
            let threads: Vec<_> = config
                .directories
                .iter()
                .map(|path| scope.spawn(|| OpenedDirectory::open(&disk, &open_files, path, &config)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("opening a directory does not panic"))
                .collect()
        });
        let (opened, offline) = without_offline(&config.directories, opened)?;
        Self::assemble(config, (disk, open_files), opened, offline)
    }

    /// As [`Engine::open`], but directories without an identity get one first: for a program that keeps its own data in
    /// them, and has nobody who formats them. They get the configured node id, and the configured cluster id or else
    /// that of the first directory that has one, or `embedded`. A mount point whose disk is missing looks like a new
    /// directory; where that must not pass for an empty one, format once and use [`Engine::open`].
    pub fn open_or_format(config: EngineConfig) -> Result<Self, OpenError> {
        let disk = config.open_disk();
        let (mut cluster_id, mut new) = (config.cluster_id.clone(), Vec::new());
        for dir in &config.directories {
            match log_dir::read_meta_properties(&disk, dir)? {
                Some(meta) => cluster_id = cluster_id.or(Some(meta.cluster_id)),
                None => new.push(dir),
            }
        }
        let cluster_id = cluster_id.unwrap_or_else(|| "embedded".to_owned());
        let meta = MetaProperties { cluster_id, node_id: config.node_id, directory_id: None };
        for dir in new {
            log_dir::format(&disk, dir, &meta, config.clock.now()).map_err(OpenError::io(dir))?;
        }
        Self::open(config)
    }

    fn assemble(
        config: EngineConfig,
        (disk, open_files): (Arc<dyn Disk>, Arc<OpenFiles>),
        opened: Vec<OpenedDirectory>,
        offline: Vec<OfflineDirectory>,
    ) -> Result<Self, OpenError> {
        let logs = Arc::new(Logs::default());
        let mut report = OpenReport { backend: disk.backend(), directories: Vec::new(), offline };
        let mut directories = Vec::new();
        let mut futures = Vec::new();
        for OpenedDirectory { log_dir, home, logs: found, openings, deleted, future } in opened {
            for log in found {
                if let Some(other) = logs.insert(Arc::clone(&log)) {
                    logs.insert(relocated::resolve(other, log)?);
                }
            }
            futures.extend(future.into_iter().map(|(partition, path)| (partition, path, Arc::clone(&home))));
            report.directories.push(DirectoryReport {
                path: log_dir.path.clone(),
                meta: log_dir.meta.clone(),
                shutdown: log_dir.shutdown,
                logs: openings,
            });
            let background =
                Background::start(&home, &logs, &config, deleted).map_err(OpenError::io(&log_dir.path))?;
            directories.push(Directory { log_dir, home, background: Mutex::new(Some(background)) });
        }
        if report.offline.is_empty() {
            relocated::forget_moves(&logs, directories.len());
        }
        let unfinished_moves = relocated::remove_unfinished(&logs, futures);
        let cleaner = CleanerPool::new(&logs, config.cleaner);
        let scrubber = Scrubber::new(&logs, config.scrub);
        let (moves, broker_epoch) = (Arc::default(), AtomicI64::new(-1));
        Ok(Self {
            directories,
            logs,
            cleaner,
            moves,
            scrubber,
            unfinished_moves,
            disk,
            open_files,
            config,
            report,
            broker_epoch,
        })
    }

    /// What opening found.
    pub fn open_report(&self) -> &OpenReport {
        &self.report
    }

    /// The log of a partition.
    pub fn log(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.logs.get(partition)
    }

    /// All logs, in no particular order.
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.logs.all()
    }

    /// The epoch to leave in the marker of a clean stop.
    pub fn set_broker_epoch(&self, epoch: i64) {
        self.broker_epoch.store(epoch, Ordering::Release);
    }

    /// Another value of `producer.id.expiration.ms`, from now on.
    pub fn set_producer_expiration_ms(&self, ms: i64) {
        self.directories.iter().for_each(|directory| directory.home.set_producer_expiration_ms(ms));
    }

    /// Whether a batch may open a transaction only if a coordinator has said that it belongs to it
    /// (`transaction.partition.verification.enable`); not demanded until somebody says so, since an engine has no
    /// coordinator.
    pub fn set_transaction_verification(&self, demanded: bool) {
        self.directories.iter().for_each(|directory| directory.home.demand_verification(demanded));
    }

    /// One round of what background threads do, on this thread: moves the recovery points that are due, writes
    /// checkpoints, applies retention once it was started, removes what was deleted long enough ago. Does nothing where
    /// [`crate::Upkeep::Threads`] do it.
    pub fn look_after(&self) {
        for directory in &self.directories {
            let mut background = directory.background.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(background) = &mut *background {
                background.look_after();
            }
        }
    }

    /// Whether a verification is demanded.
    pub fn transaction_verification(&self) -> bool {
        self.directories.iter().any(|directory| directory.home.demands_verification())
    }

    /// Begins deleting what the logs' configurations say is too old or too much. Not begun by opening, because until
    /// every log was given its own configuration the defaults would decide.
    pub fn start_retention(&self) {
        for directory in &self.directories {
            directory.home.start_retention();
        }
    }

    /// Begins compacting logs with `cleanup.policy=compact` in the background. Not begun by opening, for the reason that
    /// retention is not.
    pub fn start_compaction(&self) -> io::Result<()> {
        self.cleaner.start()
    }

    /// Another configuration of compaction, from now on: threads come and go with it, a cleaning under way keeps the
    /// memory that it has.
    pub fn set_cleaner_config(&self, config: CleanerConfig) -> io::Result<()> {
        self.cleaner.reconfigure(config)
    }

    /// Begins to look through closed segments for damage in the background.
    pub fn start_scrubbing(&self) -> io::Result<()> {
        self.scrubber.start()
    }

    /// Looks through all closed segments now, on this thread.
    pub fn scrub(&self) -> ScrubReport {
        self.scrubber.pass()
    }

    /// Compacts a log now, on this thread, as far as it may be compacted: whatever its policy, and whatever its share of
    /// dirty bytes. A log whose dirty part has more keys than there is room for is compacted in part; do it again. Answers
    /// an error of [`CleaningError::is_passing`] where it is worth trying again.
    pub fn compact(&self, log: &Arc<Log>) -> Result<CleaningReport, CleaningError> {
        self.cleaner.clean(log)
    }

    /// Totals since the engine was opened.
    pub fn counts(&self) -> EngineCounts {
        let logs = self.logs();
        let damaged_ranges = logs.iter().map(|log| log.damaged_ranges().len() as u64).sum();
        let (logs, scrubbed_bytes) = (logs.len() as u64, self.scrubber.bytes());
        let mut counts = EngineCounts { logs, scrubbed_bytes, damaged_ranges, ..EngineCounts::default() };
        for Directory { home, .. } in &self.directories {
            add(&mut counts.commits, home.committer.counts());
            counts.segments_rolled += home.segments_rolled.load(Ordering::Relaxed);
            counts.recovery_points += home.recovery_points.load(Ordering::Relaxed);
        }
        counts
    }

    /// Names who is told when a data directory fails; the first one stays. What failed before is not told, see
    /// [`Engine::is_online`].
    pub fn set_offline_listener(&self, listener: &Arc<dyn OfflineListener>) {
        self.directories
            .iter()
            .for_each(|directory| directory.home.dir_state().set_listener(Arc::clone(listener)));
    }

    /// Whether a data directory was opened and has not failed since.
    pub fn is_online(&self, directory: &Path) -> bool {
        let found = self.directories.iter().find(|found| found.home.path == directory);
        found.is_some_and(|found| found.home.dir_state().offline().is_none())
    }

    /// Files of segments that are open, but for those that only a reader or an append on its way holds any more.
    pub fn open_files(&self) -> usize {
        self.open_files.kept()
    }

    /// The disk that the engine works on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// What the engine was opened with.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.moves.stop();
        self.scrubber.stop();
    }
}

// Without any directory there is nothing to serve; the first failure says why.
fn without_offline(
    paths: &[PathBuf],
    opened: Vec<Result<OpenedDirectory, OpenError>>,
) -> Result<(Vec<OpenedDirectory>, Vec<OfflineDirectory>), OpenError> {
    let any = opened.iter().any(Result::is_ok);
    let (mut online, mut offline) = (Vec::new(), Vec::new());
    for (path, opened) in paths.iter().zip(opened) {
        match opened {
            Ok(directory) => online.push(directory),
            Err(error) if any && error.is_of_the_disk() => {
                tracing::error!("data directory {} is offline: {error}", path.display());
                offline.push(OfflineDirectory { path: path.clone(), error: Arc::new(error) });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((online, offline))
}

fn add(total: &mut CommitCounts, counts: CommitCounts) {
    total.appends += counts.appends;
    total.bytes += counts.bytes;
    total.inline_appends += counts.inline_appends;
    total.groups += counts.groups;
    total.queue.writes += counts.queue.writes;
    total.queue.syncs += counts.queue.syncs;
    total.queue.ring_enters += counts.queue.ring_enters;
    total.queue.ring_entries += counts.queue.ring_entries;
}

// Half of what the process may have: the rest is for sockets, and for files that are open for a moment.
fn open_files_max() -> usize {
    descriptors_max() / 2
}
