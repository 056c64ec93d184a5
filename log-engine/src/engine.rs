//! The engine: data directories, the logs in them, and the threads that look after both.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use crate::background::Background;
use crate::checkpoint::{
    self, CLEANER_FILE, LOG_START_FILE, OffsetsByPartition, RECOVERY_POINT_FILE, REPLICATION_FILE,
};
use crate::commit::{CommitCounts, Committer};
use crate::config::{EngineConfig, LogConfig};
use crate::error::{CreateLogError, OfflineError, OpenError};
use crate::home::Home;
use crate::io::{BackendReport, Disk, FileKind, atomic_replace};
use crate::log::recover::LogSeed;
use crate::log::{Log, LogOpening};
use crate::log_dir::{
    CLUSTER_METADATA_TOPIC, LogDir, MetaProperties, PARTITION_METADATA_FILE, Shutdown,
    format_partition_metadata, parse_partition_metadata,
};
use crate::metrics::EngineCounts;
use crate::segment::LogPath;
use crate::segment::name::{
    DELETED_DIRECTORY, DirectoryName, FileType, STRAY_DIRECTORY, is_legal_topic_name, moved_directory_name,
    parse_directory_name, parse_file_name,
};
use crate::types::{Offset, TopicId, TopicPartition};

/// Logs in data directories. Dropping it without [`Engine::close`] is what a crash is: the next start will be unclean.
#[derive(Debug)]
pub struct Engine {
    directories: Vec<Directory>,
    logs: Arc<Logs>,
    disk: Arc<dyn Disk>,
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

/// The logs of an engine, by partition.
#[derive(Debug, Default)]
pub(crate) struct Logs(RwLock<HashMap<TopicPartition, Arc<Log>>>);

impl Logs {
    pub(crate) fn get(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(partition).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Log>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn insert(&self, log: Arc<Log>) -> Option<Arc<Log>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(log.partition().clone(), log)
    }

    fn remove(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(partition)
    }
}

/// What opening an engine found.
#[derive(Debug, Clone)]
pub struct OpenReport {
    /// The disk backend in use, and why.
    pub backend: BackendReport,
    /// The data directories, in the order of the configuration.
    pub directories: Vec<DirectoryReport>,
}

/// What opening one data directory found.
#[derive(Debug, Clone)]
pub struct DirectoryReport {
    /// The directory.
    pub path: PathBuf,
    /// Its identity.
    pub meta: MetaProperties,
    /// How it was left.
    pub shutdown: Shutdown,
    /// The logs in it.
    pub logs: Vec<LogOpening>,
}

impl OpenReport {
    /// Whether every directory was left by a clean stop.
    pub fn is_clean(&self) -> bool {
        self.directories.iter().all(|directory| matches!(directory.shutdown, Shutdown::Clean { .. }))
    }

    /// Bytes whose checksums were computed.
    pub fn scanned_bytes(&self) -> u64 {
        self.directories.iter().flat_map(|directory| &directory.logs).map(|log| log.scanned_bytes).sum()
    }

    /// Bytes cut off.
    pub fn cut_bytes(&self) -> u64 {
        self.directories.iter().flat_map(|directory| &directory.logs).map(|log| log.cut_bytes).sum()
    }
}

impl Engine {
    /// Opens all logs in the data directories. Each directory must have been formatted, see
    /// [`crate::log_dir::format`]; while it is open no other engine and no Kafka broker can use it.
    pub fn open(config: EngineConfig) -> Result<Self, OpenError> {
        if config.directories.is_empty() {
            return Err(OpenError::NoDirectory);
        }
        let disk = config.open_disk();
        let opened: Vec<Result<OpenedDirectory, OpenError>> = thread::scope(|scope| {
            let threads: Vec<_> = config
                .directories
                .iter()
                .map(|path| scope.spawn(|| OpenedDirectory::open(&disk, path, &config)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("opening a directory does not panic"))
                .collect()
        });
        let opened = opened.into_iter().collect::<Result<_, _>>()?;
        Self::assemble(config, disk, opened)
    }

    fn assemble(
        config: EngineConfig,
        disk: Arc<dyn Disk>,
        opened: Vec<OpenedDirectory>,
    ) -> Result<Self, OpenError> {
        let logs = Arc::new(Logs::default());
        let mut report = OpenReport { backend: disk.backend(), directories: Vec::new() };
        let mut directories = Vec::new();
        for OpenedDirectory { log_dir, home, logs: found, openings, deleted } in opened {
            for log in found {
                if let Some(other) = logs.insert(Arc::clone(&log)) {
                    return Err(OpenError::DuplicatePartition {
                        partition: log.partition().clone(),
                        first: other.data_directory().to_owned(),
                        second: log.data_directory().to_owned(),
                    });
                }
            }
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
        Ok(Self { directories, logs, disk, config, report, broker_epoch: AtomicI64::new(-1) })
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

    /// Creates an empty log, durably, in `dir` or else in the directory with the fewest logs.
    pub fn create_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        dir: Option<&Path>,
    ) -> Result<Arc<Log>, CreateLogError> {
        if !is_legal_topic_name(&partition.topic) || partition.partition < 0 {
            return Err(CreateLogError::IllegalName { partition: partition.clone() });
        }
        if let Some(existing) = self.log(partition) {
            return Err(match existing.topic_id() {
                Some(found) if found != topic_id => {
                    CreateLogError::OtherTopicId { partition: partition.clone(), found, expected: topic_id }
                }
                _ => CreateLogError::Exists { partition: partition.clone() },
            });
        }
        let home = self.home_for_new_log(dir)?;
        let path = home.path.join(partition.to_string());
        if holds_records(&*home.disk, &path)
            .map_err(|error| CreateLogError::Io { path: path.clone(), error })?
        {
            return Err(CreateLogError::DirectoryTaken { path });
        }
        let log = create_files(&home, &path, partition, topic_id, config)
            .map_err(|error| CreateLogError::Io { path, error })?;
        self.logs.insert(Arc::clone(&log));
        Ok(log)
    }

    fn home_for_new_log(&self, dir: Option<&Path>) -> Result<Arc<Home>, CreateLogError> {
        let homes = || self.directories.iter().map(|directory| &directory.home);
        if let Some(dir) = dir {
            let home = homes().find(|home| home.path == dir);
            return home.cloned().ok_or_else(|| CreateLogError::UnknownDirectory { dir: dir.to_owned() });
        }
        let logs = self.logs();
        let logs_in = |home: &Arc<Home>| logs.iter().filter(|log| log.data_directory() == home.path).count();
        match homes().filter(|home| home.dir_state().offline().is_none()).min_by_key(|home| logs_in(home)) {
            Some(home) => Ok(Arc::clone(home)),
            None => {
                let offline = homes().find_map(|home| home.dir_state().offline().cloned());
                Err(OfflineError(offline.expect("no directory serves, so one is offline")).into())
            }
        }
    }

    /// Takes a log away; answers whether there was one. Its directory is renamed at once and removed after
    /// `file.delete.delay.ms`; readers that hold slices keep their files. Where the rename fails, the log stays and
    /// can be read, but takes no appends any more; deleting it may be tried again.
    pub fn delete_log(&self, partition: &TopicPartition) -> io::Result<bool> {
        let Some(log) = self.log(partition) else { return Ok(false) };
        log.refuse_appends();
        let doomed = path_to_move_to(&log, DELETED_DIRECTORY);
        if !log.move_to(&doomed)? {
            return Ok(false);
        }
        self.logs.remove(partition);
        let home = log.home();
        let due = home.clock.now().get().saturating_add(log.config().file_delete_delay_ms);
        home.note_deleted(due, doomed);
        home.disk.sync_dir(&home.path)?;
        Ok(true)
    }

    /// Takes a log away that no metadata know of, as Kafka does with a stray replica; answers whether there was one.
    /// Its directory is renamed to `topic-partition.<32 hex digits>-stray` and its files are kept. No start opens it:
    /// whoever wants the records back renames it.
    pub fn set_aside(&self, partition: &TopicPartition) -> io::Result<bool> {
        let Some(log) = self.log(partition) else { return Ok(false) };
        log.close()?;
        if !log.move_to(&path_to_move_to(&log, STRAY_DIRECTORY))? {
            return Ok(false);
        }
        self.logs.remove(partition);
        log.home().disk.sync_dir(&log.home().path)?;
        Ok(true)
    }

    /// The epoch to leave in the marker of a clean stop.
    pub fn set_broker_epoch(&self, epoch: i64) {
        self.broker_epoch.store(epoch, Ordering::Release);
    }

    /// Begins deleting what the logs' configurations say is too old or too much. Not begun by opening, because until
    /// every log was given its own configuration the defaults would decide.
    pub fn start_retention(&self) {
        for directory in &self.directories {
            directory.home.start_retention();
        }
    }

    /// Totals since the engine was opened.
    pub fn counts(&self) -> EngineCounts {
        let mut counts = EngineCounts { logs: self.logs().len() as u64, ..EngineCounts::default() };
        for Directory { home, .. } in &self.directories {
            add(&mut counts.commits, home.committer.counts());
            counts.segments_rolled += home.segments_rolled.load(Ordering::Relaxed);
            counts.recovery_points += home.recovery_points.load(Ordering::Relaxed);
        }
        counts
    }

    /// The disk that the engine works on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// What the engine was opened with.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Stops: what is on its way arrives, everything is flushed, and each directory in which all that went well gets
    /// the marker of a clean stop. Appends are refused from now on.
    pub fn close(&self) -> io::Result<()> {
        let mut first_failure = Ok(());
        for directory in &self.directories {
            let background = directory.background.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(background);
            if let Err(error) = self.close_directory(directory) {
                tracing::error!("{} was not closed cleanly: {error}", directory.home.path.display());
                first_failure = first_failure.and(Err(error));
            }
        }
        first_failure
    }

    fn close_directory(&self, directory: &Directory) -> io::Result<()> {
        let home = &directory.home;
        let logs: Vec<Arc<Log>> =
            self.logs().into_iter().filter(|log| log.data_directory() == home.path).collect();
        for log in &logs {
            log.close()?;
        }
        write_checkpoints(home, &logs)?;
        if let Some(offline) = home.dir_state().offline() {
            return Err(io::Error::other(offline.to_string()));
        }
        directory.log_dir.mark_clean(&home.disk, self.broker_epoch.load(Ordering::Acquire))
    }
}

/// Writes the three offset checkpoints of a data directory. The metadata log is not among its partitions, as in Kafka.
pub(crate) fn write_checkpoints(home: &Home, logs: &[Arc<Log>]) -> io::Result<()> {
    let listed = || logs.iter().filter(|log| &*log.partition().topic != CLUSTER_METADATA_TOPIC);
    let of = |offset: fn(&Log) -> Option<Offset>| -> OffsetsByPartition {
        listed().filter_map(|log| Some((log.partition().clone(), offset(log)?))).collect()
    };
    for (name, offsets) in [
        (RECOVERY_POINT_FILE, of(|log| Some(log.recovery_point()))),
        (LOG_START_FILE, of(Log::log_start_worth_noting)),
        (REPLICATION_FILE, of(|log| Some(log.offsets().high_watermark))),
    ] {
        let text = checkpoint::format_offsets(&offsets);
        if home.checkpoint_changed(name, &text) {
            atomic_replace(&*home.disk, &home.path.join(name), text.as_bytes())?;
        }
    }
    Ok(())
}

struct OpenedDirectory {
    log_dir: LogDir,
    home: Arc<Home>,
    logs: Vec<Arc<Log>>,
    openings: Vec<LogOpening>,
    deleted: Vec<PathBuf>,
}

impl OpenedDirectory {
    fn open(disk: &Arc<dyn Disk>, path: &Path, config: &EngineConfig) -> Result<Self, OpenError> {
        let log_dir = LogDir::open(disk, path)?;
        check_identity(&log_dir, config)?;
        let committer = Committer::start(disk, path, config.commit_limits).map_err(OpenError::io(path))?;
        let home = Home::new(
            path.to_owned(),
            Arc::clone(disk),
            committer,
            Arc::clone(&config.clock),
            config.producer_expiration_ms,
        );
        let checkpoints = Checkpoints::read(&home)?;
        let mut opened = Self { log_dir, home, logs: Vec::new(), openings: Vec::new(), deleted: Vec::new() };
        let mut partitions = Vec::new();
        for entry in disk.list(path).map_err(OpenError::io(path))? {
            match entry.name().and_then(parse_directory_name) {
                _ if entry.kind != FileKind::Directory => {}
                Some(DirectoryName::Partition(partition)) => partitions.push((partition, entry.path)),
                Some(DirectoryName::Deleted(_)) => opened.deleted.push(entry.path),
                Some(DirectoryName::Future(_) | DirectoryName::Stray(_)) | None => {}
            }
        }
        opened.open_logs(partitions, &checkpoints, config)?;
        Ok(opened)
    }

    // `num.recovery.threads.per.data.dir`, whose default is 2.
    fn open_logs(
        &mut self,
        partitions: Vec<(TopicPartition, PathBuf)>,
        checkpoints: &Checkpoints,
        config: &EngineConfig,
    ) -> Result<(), OpenError> {
        const RECOVERY_THREADS: usize = 2;
        let clean = matches!(self.log_dir.shutdown, Shutdown::Clean { .. });
        let home = &self.home;
        let waiting = Mutex::new(partitions);
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let open_some = || {
            let mut opened = Vec::new();
            while let Some((partition, path)) = next() {
                opened.push(open_log(home, partition, path, clean, checkpoints, &config.log_defaults)?);
            }
            Ok::<_, OpenError>(opened)
        };
        let opened: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..RECOVERY_THREADS).map(|_| scope.spawn(open_some)).collect();
            threads.into_iter().map(|thread| thread.join().expect("opening a log does not panic")).collect()
        });
        for opened in opened {
            for (log, opening) in opened? {
                self.logs.push(log);
                self.openings.push(opening);
            }
        }
        Ok(())
    }
}

struct Checkpoints {
    recovery_points: OffsetsByPartition,
    log_starts: OffsetsByPartition,
    high_watermarks: OffsetsByPartition,
    cleaned: OffsetsByPartition,
}

impl Checkpoints {
    // A checkpoint that cannot be read costs time (more is scanned), not records.
    fn read(home: &Home) -> Result<Self, OpenError> {
        let read = |name: &str| {
            let path = home.path.join(name);
            match checkpoint::read_offsets(&home.disk, &path) {
                Ok(offsets) => Ok(offsets),
                Err(checkpoint::ReadCheckpointError::Corrupt(corruption)) => {
                    tracing::warn!("ignoring a damaged checkpoint: {corruption}");
                    Ok(OffsetsByPartition::new())
                }
                Err(checkpoint::ReadCheckpointError::Io(error)) => Err(OpenError::Io { path, error }),
            }
        };
        Ok(Self {
            recovery_points: read(RECOVERY_POINT_FILE)?,
            log_starts: read(LOG_START_FILE)?,
            high_watermarks: read(REPLICATION_FILE)?,
            cleaned: read(CLEANER_FILE)?,
        })
    }
}

fn check_identity(log_dir: &LogDir, config: &EngineConfig) -> Result<(), OpenError> {
    let (dir, meta) = (log_dir.path.clone(), &log_dir.meta);
    if meta.node_id != config.node_id {
        return Err(OpenError::OtherNode { dir, found: meta.node_id, expected: config.node_id });
    }
    match &config.cluster_id {
        Some(expected) if *expected != meta.cluster_id => {
            Err(OpenError::OtherCluster { dir, found: meta.cluster_id.clone(), expected: expected.clone() })
        }
        _ => Ok(()),
    }
}

fn open_log(
    home: &Arc<Home>,
    partition: TopicPartition,
    path: PathBuf,
    clean: bool,
    checkpoints: &Checkpoints,
    config: &LogConfig,
) -> Result<(Arc<Log>, LogOpening), OpenError> {
    let metadata_path = path.join(PARTITION_METADATA_FILE);
    let metadata =
        checkpoint::read_small_file(&home.disk, &metadata_path).map_err(OpenError::io(&metadata_path))?;
    let topic_id = match metadata {
        Some(bytes) => parse_partition_metadata(&metadata_path, &String::from_utf8_lossy(&bytes))
            .inspect_err(|damage| {
                tracing::warn!("{partition} has no topic id until it is given one: {damage}")
            })
            .ok(),
        None => None,
    };
    let known = |offsets: &OffsetsByPartition| offsets.get(&partition).copied().unwrap_or(Offset::ZERO);
    // The marker speaks of the broker's logs. Kafka's controller goes on writing its log after the broker has left the
    // marker, so that log is checked at every start, as Kafka's KafkaRaftLog does.
    let clean = clean && &*partition.topic != CLUSTER_METADATA_TOPIC;
    let seed = LogSeed {
        home: Arc::clone(home),
        path: LogPath::new(path.clone()),
        topic_id,
        config: config.clone(),
        clean,
        recovery_point: known(&checkpoints.recovery_points),
        log_start: known(&checkpoints.log_starts),
        high_watermark: known(&checkpoints.high_watermarks),
        may_have_gaps: config.cleanup_policy.compact || checkpoints.cleaned.contains_key(&partition),
        partition,
    };
    Log::open(seed).map_err(|error| match error {
        crate::error::ReadError::Corrupt(corruption) => corruption.into(),
        crate::error::ReadError::Io(error) => OpenError::Io { path, error },
        other => OpenError::Io { path, error: io::Error::other(other.to_string()) },
    })
}

// Beside the log's directory, under a name that no other has.
fn path_to_move_to(log: &Log, suffix: &str) -> PathBuf {
    let home = log.home();
    let id = u128::from(home.random()) << 64 | u128::from(home.random());
    home.path.join(moved_directory_name(log.partition(), id, suffix))
}

// Whether a directory holds more of a log than a creation that was cut short leaves: its empty first segment.
fn holds_records(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        if let Some(name) = entry.name().and_then(parse_file_name)
            && name.file_type == FileType::Log
            && (name.offset > Offset::ZERO || disk.metadata(&entry.path)?.len > 0)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn create_files(
    home: &Arc<Home>,
    path: &Path,
    partition: &TopicPartition,
    topic_id: TopicId,
    config: LogConfig,
) -> io::Result<Arc<Log>> {
    home.disk.create_dir_all(path)?;
    let metadata = format_partition_metadata(topic_id);
    atomic_replace(&*home.disk, &path.join(PARTITION_METADATA_FILE), metadata.as_bytes())?;
    let seed = LogSeed {
        home: Arc::clone(home),
        path: LogPath::new(path.to_owned()),
        partition: partition.clone(),
        topic_id: Some(topic_id),
        config,
        clean: true,
        recovery_point: Offset::ZERO,
        log_start: Offset::ZERO,
        high_watermark: Offset::ZERO,
        may_have_gaps: false,
    };
    let (log, _) = Log::open(seed).map_err(|error| io::Error::other(error.to_string()))?;
    // The new files' names, then the new directory's: what is appended durably must be found after a power loss.
    home.disk.sync_dir(path)?;
    home.disk.sync_dir(&home.path)?;
    Ok(log)
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
