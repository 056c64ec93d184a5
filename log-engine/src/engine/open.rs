//! Opening one data directory: its lock and identity, its checkpoints, the logs in it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::progress::Progress;
use crate::checkpoint::{
    self, CLEANER_FILE, LOG_START_FILE, OffsetsByPartition, RECOVERY_POINT_FILE, REPLICATION_FILE,
};
use crate::commit::Committer;
use crate::config::{EngineConfig, LogConfig};
use crate::error::OpenError;
use crate::home::Home;
use crate::io::{Disk, FileKind, is_full, move_aside};
use crate::log::recover::LogSeed;
use crate::log::{Log, LogOpening};
use crate::log_dir::{
    CLUSTER_METADATA_TOPIC, LogDir, PARTITION_METADATA_FILE, Shutdown, newest_metadata_snapshot,
    parse_partition_metadata,
};
use crate::segment::LogPath;
use crate::segment::name::{DirectoryName, parse_directory_name};
use crate::segment::open_files::OpenFiles;
use crate::segment::rebuild::Unproven;
use crate::types::{Offset, TopicPartition};

use super::close::write_recovery_points;

pub(super) struct OpenedDirectory {
    pub(super) log_dir: LogDir,
    pub(super) home: Arc<Home>,
    pub(super) logs: Vec<Arc<Log>>,
    pub(super) openings: Vec<LogOpening>,
    pub(super) deleted: Vec<PathBuf>,
    /// Copies of logs that were being moved here.
    pub(super) future: Vec<(TopicPartition, PathBuf)>,
}

impl OpenedDirectory {
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        open_files: &Arc<OpenFiles>,
        path: &Path,
        config: &EngineConfig,
    ) -> Result<Self, OpenError> {
        let log_dir = LogDir::open(disk, path)?;
        check_identity(&log_dir, config)?;
        let committer = Committer::start(disk, path, config.commit_limits).map_err(OpenError::io(path))?;
        let home = Home::new(
            path.to_owned(),
            Arc::clone(disk),
            open_files,
            committer,
            Arc::clone(&config.clock),
            config.producer_expiration_ms,
        );
        make_way_for_checkpoints(disk, path)?;
        let checkpoints = Checkpoints::read(&home)?;
        let mut opened = Self {
            log_dir,
            home,
            logs: Vec::new(),
            openings: Vec::new(),
            deleted: Vec::new(),
            future: Vec::new(),
        };
        let mut partitions = Vec::new();
        for entry in disk.list(path).map_err(OpenError::io(path))? {
            match entry.name().and_then(parse_directory_name) {
                _ if entry.kind != FileKind::Directory => {}
                Some(DirectoryName::Partition(partition)) => partitions.push((partition, entry.path)),
                Some(DirectoryName::Deleted(_)) => opened.deleted.push(entry.path),
                Some(DirectoryName::Future(partition)) => opened.future.push((partition, entry.path)),
                Some(DirectoryName::Stray(_)) => {}
                None => tracing::warn!(
                    "{} is no partition's directory and is left as it is",
                    entry.path.display()
                ),
            }
        }
        opened.open_logs(partitions, &checkpoints, config)?;
        opened.lower_recovery_points(&checkpoints)?;
        Ok(opened)
    }

    // What is appended where records were lost is not durable because those were: no later start may believe it. A full
    // disk, whose records are to be served, has no room to say so.
    fn lower_recovery_points(&self, checkpoints: &Checkpoints) -> Result<(), OpenError> {
        let fell_back = |log: &Arc<Log>| {
            checkpoints
                .recovery_points
                .get(log.partition())
                .is_some_and(|noted| log.recovery_point() < *noted)
        };
        if !self.logs.iter().any(fell_back) {
            return Ok(());
        }
        match write_recovery_points(&self.home, &self.logs) {
            Err(error) if !is_full(&error) => Err(OpenError::io(&self.home.path)(error)),
            _ => Ok(()),
        }
    }

    fn open_logs(
        &mut self,
        partitions: Vec<(TopicPartition, PathBuf)>,
        checkpoints: &Checkpoints,
        config: &EngineConfig,
    ) -> Result<(), OpenError> {
        let clean = matches!(self.log_dir.shutdown, Shutdown::Clean { .. });
        let home = &self.home;
        let log_defaults = home.config(config.log_defaults.clone());
        let progress = Progress::begin(home, partitions.len());
        let waiting = Mutex::new(partitions);
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let open_some = || {
            let mut opened = Vec::new();
            while let Some((partition, path)) = next() {
                let log = open_log(home, partition, path, clean, checkpoints, &log_defaults)?;
                progress.note(log.1.scanned_bytes);
                opened.push(log);
            }
            Ok::<_, OpenError>(opened)
        };
        let opened: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..config.recovery_threads.max(1)).map(|_| scope.spawn(open_some)).collect();
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

// A directory where a checkpoint is to be cannot be read, and would keep the next one from being written.
fn make_way_for_checkpoints(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(), OpenError> {
    for name in [RECOVERY_POINT_FILE, LOG_START_FILE, REPLICATION_FILE, CLEANER_FILE] {
        let path = dir.join(name);
        if disk.metadata(&path).is_ok_and(|found| found.kind == FileKind::Directory) {
            let aside = move_aside(&**disk, &path).map_err(OpenError::io(&path))?;
            tracing::warn!("{} is a directory; it is now {}", path.display(), aside.display());
        }
    }
    Ok(())
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
    config: &Arc<LogConfig>,
) -> Result<(Arc<Log>, LogOpening), OpenError> {
    let metadata_path = path.join(PARTITION_METADATA_FILE);
    let is_file = home.disk.metadata(&metadata_path).is_ok_and(|found| found.kind == FileKind::File);
    let metadata = match is_file {
        true => {
            checkpoint::read_small_file(&home.disk, &metadata_path).map_err(OpenError::io(&metadata_path))?
        }
        false => None,
    };
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
    let is_metadata = &*partition.topic == CLUSTER_METADATA_TOPIC;
    let recovery_point = match is_metadata {
        true => newest_metadata_snapshot(&home.disk, &path).map_err(OpenError::io(&path))?,
        false => known(&checkpoints.recovery_points),
    };
    let clean = clean && !is_metadata;
    let seed = LogSeed {
        home: Arc::clone(home),
        path: LogPath::new(&home.site, path.clone()),
        topic_id,
        config: Arc::clone(config),
        clean,
        recovery_point,
        log_start: known(&checkpoints.log_starts),
        high_watermark: known(&checkpoints.high_watermarks),
        cleaned_to: checkpoints.cleaned.get(&partition).copied(),
        unproven: if is_metadata { Unproven::CutTornEnd } else { Unproven::Cut },
        partition,
    };
    Log::open(seed).map_err(|error| match error {
        crate::error::ReadError::Corrupt(corruption) => {
            tracing::error!(
                "{corruption}; whole batches lie behind it, so this is not what a crash leaves at the end of a log, and the \
                 file stays as it is: restore it, or cut it at this position to do without what follows"
            );
            corruption.into()
        }
        crate::error::ReadError::Io(error) => OpenError::Io { path, error },
        other => OpenError::Io { path, error: io::Error::other(other.to_string()) },
    })
}
