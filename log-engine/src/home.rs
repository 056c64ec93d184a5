//! What the logs of one data directory share: the disk, the committer, the clock, and a way to hand work to the
//! background. No decisions here.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::clock::Clock;
use crate::commit::{Committer, DirState};
use crate::config::LogConfig;
use crate::io::{Disk, FileHandle, is_shortage};
use crate::log_dir::{LOCK_FILE, META_PROPERTIES_FILE};
use crate::segment::open_files::OpenFiles;
use crate::segment::place::{Flusher, Site};
use crate::types::TopicPartition;

pub(crate) struct Home {
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) site: Arc<Site>,
    pub(crate) committer: Committer,
    pub(crate) clock: Arc<dyn Clock>,
    producer_expiration_ms: AtomicI64,
    demands_verification: AtomicBool,
    errands: Mutex<Errands>,
    errand_came: Condvar,
    // What was renamed away, and when it is to be removed.
    deleted: Mutex<Vec<(i64, Doomed)>>,
    retention_started: AtomicBool,
    // Whether logs were appended to since the background last looked, and whether anything changed that checkpoints tell.
    appended: AtomicBool,
    stale: AtomicU8,
    // The text of each checkpoint as it was last written.
    checkpoints: Mutex<HashMap<&'static str, String>>,
    // The same of the cleaner's checkpoint, which has two writers: whoever writes it holds this.
    cleaner_checkpoint: Mutex<Option<String>>,
    pub(crate) segments_rolled: AtomicU64,
    pub(crate) recovery_points: AtomicU64,
    latest_config: Mutex<Arc<LogConfig>>,
    seed: AtomicU64,
}

/// What was renamed away and is to be removed.
#[derive(Debug)]
pub(crate) enum Doomed {
    /// A file of a deleted segment.
    File(PathBuf),
    /// The directory of a deleted log.
    Directory(PathBuf),
}

/// What the background is asked to do out of turn.
#[derive(Debug, Default)]
pub(crate) struct Errands {
    /// Logs that left a segment.
    pub(crate) rolled: Vec<TopicPartition>,
    /// Come to an end.
    pub(crate) stop: bool,
}

impl Home {
    pub(crate) fn new(
        path: PathBuf,
        disk: Arc<dyn Disk>,
        open_files: &Arc<OpenFiles>,
        committer: Committer,
        clock: Arc<dyn Clock>,
        producer_expiration_ms: i64,
    ) -> Arc<Self> {
        let seed = clock.now().get().unsigned_abs() ^ path.as_os_str().len() as u64;
        let flusher = Arc::clone(committer.dir_state()) as Arc<dyn Flusher>;
        let site = Site { disk: Arc::clone(&disk), open_files: Arc::clone(open_files), flusher };
        Arc::new(Self {
            path,
            disk,
            site: Arc::new(site),
            committer,
            clock,
            producer_expiration_ms: AtomicI64::new(producer_expiration_ms),
            demands_verification: AtomicBool::new(false),
            errands: Mutex::new(Errands::default()),
            errand_came: Condvar::new(),
            deleted: Mutex::new(Vec::new()),
            retention_started: AtomicBool::new(false),
            appended: AtomicBool::new(true),
            stale: AtomicU8::new(u8::MAX),
            checkpoints: Mutex::new(HashMap::new()),
            cleaner_checkpoint: Mutex::new(None),
            segments_rolled: AtomicU64::new(0),
            recovery_points: AtomicU64::new(0),
            latest_config: Mutex::default(),
            seed: AtomicU64::new(seed),
        })
    }

    pub(crate) fn dir_state(&self) -> &Arc<DirState> {
        self.committer.dir_state()
    }

    /// Whether the directory still serves. One whose files have all vanished, because its disk was taken away or somebody
    /// removed it, no longer does: what were written to its path now would be on another disk.
    pub(crate) fn is_still_there(&self) -> bool {
        let identity =
            [META_PROPERTIES_FILE, LOCK_FILE].map(|name| self.disk.metadata(&self.path.join(name)));
        if let [Err(error), Err(_)] = identity
            && !is_shortage(&error)
        {
            self.dir_state().fail("look", &self.path.join(META_PROPERTIES_FILE), error);
        }
        self.dir_state().offline().is_none()
    }

    /// A configuration, shared with the logs of the directory that were given the same one last.
    pub(crate) fn config(&self, config: LogConfig) -> Arc<LogConfig> {
        let mut latest = self.latest_config.lock().unwrap_or_else(PoisonError::into_inner);
        if **latest != config {
            *latest = Arc::new(config);
        }
        Arc::clone(&latest)
    }

    /// How long a silent producer is remembered.
    pub(crate) fn producer_expiration_ms(&self) -> i64 {
        self.producer_expiration_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_producer_expiration_ms(&self, ms: i64) {
        self.producer_expiration_ms.store(ms, Ordering::Relaxed);
    }

    /// Whether a batch may open a transaction only after a coordinator said that it belongs to it.
    pub(crate) fn demands_verification(&self) -> bool {
        self.demands_verification.load(Ordering::Relaxed)
    }

    pub(crate) fn demand_verification(&self, demanded: bool) {
        self.demands_verification.store(demanded, Ordering::Relaxed);
    }

    /// Asks the background to flush a log that has just left a segment, as Kafka schedules a flush on each roll.
    pub(crate) fn note_rolled(&self, partition: &TopicPartition) {
        self.segments_rolled.fetch_add(1, Ordering::Relaxed);
        self.errands().rolled.push(partition.clone());
        self.errand_came.notify_one();
    }

    /// Waits for an errand, at most for `patience`; then takes all there are.
    pub(crate) fn wait_for_errands(&self, patience: Duration) -> Errands {
        let idle = |errands: &mut Errands| errands.rolled.is_empty() && !errands.stop;
        let (mut errands, _) = self
            .errand_came
            .wait_timeout_while(self.errands(), patience, idle)
            .unwrap_or_else(PoisonError::into_inner);
        Errands { rolled: std::mem::take(&mut errands.rolled), stop: errands.stop }
    }

    /// Ends the background's waiting for good.
    pub(crate) fn stop_background(&self) {
        self.errands().stop = true;
        self.errand_came.notify_one();
    }

    fn errands(&self) -> MutexGuard<'_, Errands> {
        self.errands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has what was renamed away removed once the clock shows `due`.
    pub(crate) fn note_deleted(&self, due: i64, doomed: Doomed) {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner).push((due, doomed));
    }

    pub(crate) fn take_due_deletions(&self, now: i64) -> Vec<Doomed> {
        let mut deleted = self.deleted.lock().unwrap_or_else(PoisonError::into_inner);
        deleted.extract_if(.., |(due, _)| *due <= now).map(|(_, doomed)| doomed).collect()
    }

    pub(crate) fn start_retention(&self) {
        self.retention_started.store(true, Ordering::Release);
    }

    pub(crate) fn retention_started(&self) -> bool {
        self.retention_started.load(Ordering::Acquire)
    }

    /// A log has bytes that are not flushed. Said with each append: nothing is written where it was said before.
    pub(crate) fn note_appended(&self) {
        raise(&self.appended);
        self.note_stale();
    }

    pub(crate) fn take_appended(&self) -> bool {
        self.appended.swap(false, Ordering::AcqRel)
    }

    /// There are, or may be, offsets that no checkpoint tells.
    pub(crate) fn note_stale(&self) {
        if self.stale.load(Ordering::Acquire) != u8::MAX {
            self.stale.store(u8::MAX, Ordering::Release);
        }
    }

    /// Those of `which` that may not tell how things are; their offsets are taken after this.
    pub(crate) fn take_stale(&self, which: &[Checkpoint]) -> Vec<Checkpoint> {
        let bit = |checkpoint: Checkpoint| 1_u8 << checkpoint as u8;
        let asked = which.iter().fold(0, |bits, checkpoint| bits | bit(*checkpoint));
        let stale = self.stale.fetch_and(!asked, Ordering::AcqRel);
        which.iter().copied().filter(|checkpoint| stale & bit(*checkpoint) != 0).collect()
    }

    /// The texts of the checkpoints as they were last written; nobody else writes them while the guard is held.
    pub(crate) fn checkpoints(&self) -> MutexGuard<'_, HashMap<&'static str, String>> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of the cleaner's checkpoint as it was last written; nobody else writes it while the guard is held.
    pub(crate) fn cleaner_checkpoint(&self) -> MutexGuard<'_, Option<String>> {
        self.cleaner_checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number to spread things with; nothing depends on its being unpredictable. (SplitMix64.)
    pub(crate) fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.seed.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn raise(flag: &AtomicBool) {
    if !flag.load(Ordering::Acquire) {
        flag.store(true, Ordering::Release);
    }
}

/// What can be told again of an error.
pub(crate) fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl Flusher for DirState {
    fn flush(&self, file: &FileHandle, path: &Path) -> io::Result<()> {
        let announced = self.announce_flushes([file]);
        file.sync_data().inspect_err(|error| {
            self.fail("flush", path, copy_of(error));
        })?;
        announced.end_and_wait();
        match self.offline() {
            Some(offline) => Err(io::Error::other(offline.to_string())),
            None => Ok(()),
        }
    }

    fn is_offline(&self) -> bool {
        self.offline().is_some()
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("path", &self.path).finish_non_exhaustive()
    }
}
