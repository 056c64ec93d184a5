//! A log goes on in another data directory. Its files are copied beside it while it is written and read; then appends wait
//! for as long as the last bytes take, and the copy takes its place.
//!
//! ```text
//! copy        t-0.<32 hex digits>-future in the new directory: files as they are, segment by segment
//! hand over   appends wait; the rest is copied, everything flushed, and a file says that the copy is complete
//! swap        1 the copy gets the name t-0     2 the old directory becomes t-0.<32 hex digits>-delete
//! ```
//!
//! A crash before 1 leaves the old log, and a copy that is begun anew. Between 1 and 2 both have the name, and the one that
//! is said to be complete counts. What the old place held goes as the files of a deleted log do.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::checkpoint::LEADER_EPOCH_FILE;
use crate::error::ReadError;
use crate::home::{Doomed, Home};
use crate::io::{FileHandle, OpenMode, remove_dir_all};
use crate::log_dir::{PARTITION_METADATA_FILE, RELOCATED_FILE};
use crate::segment::name::{
    DELETED_DIRECTORY, FUTURE_DIRECTORY, FileState, FileType, file_name, moved_directory_name,
    parse_file_name,
};
use crate::segment::rebuild::Unproven;
use crate::segment::{LogPath, Segment, ignore_missing};
use crate::types::Offset;

use super::Log;
use super::compact::CleaningTurn;
use super::recover::LogSeed;

/// Bytes that are read and written at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// What may be left to copy when appends begin to wait.
const REST_BYTES_MAX: u64 = 1 << 20;

/// How far a move is, and whether it is still wanted.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) copied_bytes: AtomicU64,
    /// The end of the last whole segment that was copied.
    pub(crate) copied_to: AtomicI64,
    pub(crate) cancelled: AtomicBool,
}

/// Why a log was not moved. It goes on where it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveError {
    /// It is no longer wanted, or the log was deleted.
    #[error("the move was given up")]
    Cancelled,
    /// The log is being compacted.
    #[error("the log is being compacted")]
    Busy,
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The copy cannot be opened.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One move.
pub(crate) struct Relocation<'a> {
    log: &'a Arc<Log>,
    target: &'a Arc<Home>,
    progress: &'a Progress,
    future: PathBuf,
    /// Bytes of each segment's records that are in the copy.
    copied: BTreeMap<Offset, u64>,
    /// Segments that are there with all that belongs to them.
    whole: BTreeSet<Offset>,
    // Nobody exchanges segments meanwhile.
    _no_cleaning: CleaningTurn<'a>,
}

impl<'a> Relocation<'a> {
    /// Begins a copy in `target`.
    pub(crate) fn begin(
        log: &'a Arc<Log>,
        target: &'a Arc<Home>,
        progress: &'a Progress,
    ) -> Result<Self, MoveError> {
        let id = u128::from(target.random()) << 64 | u128::from(target.random());
        let future = target.path.join(moved_directory_name(&log.partition, id, FUTURE_DIRECTORY));
        let _no_cleaning = log.begin_cleaning().ok_or(MoveError::Busy)?;
        target.disk.create_dir_all(&future)?;
        Ok(Self {
            log,
            target,
            progress,
            future,
            copied: BTreeMap::new(),
            whole: BTreeSet::new(),
            _no_cleaning,
        })
    }

    /// Copies, then hands over. `rest` is told of bytes that were copied and waits where there were too many; `placed` is
    /// told of the log in its new place before anybody can append to it.
    pub(crate) fn carry_out(
        &mut self,
        mut rest: impl FnMut(u64),
        placed: impl FnOnce(&Arc<Log>),
    ) -> Result<(), MoveError> {
        while self.copy_published(&mut rest)? > REST_BYTES_MAX {}
        self.log.begin_hand_over();
        let moved = self.finish_copy().and_then(|()| self.swap());
        if let Ok(moved) = &moved {
            placed(moved);
        }
        self.log.end_hand_over(moved.as_ref().ok());
        moved.map(drop)
    }

    /// Removes what was copied; for a move that came to nothing.
    pub(crate) fn discard(self) {
        if let Err(error) = ignore_missing(remove_dir_all(&*self.target.disk, &self.future)) {
            tracing::warn!("{} was not removed: {error}", self.future.display());
        }
    }

    /// One pass over the segments; answers how many bytes it copied.
    fn copy_published(&mut self, rest: &mut impl FnMut(u64)) -> Result<u64, MoveError> {
        let segments: Vec<Arc<Segment>> = self.log.segments().iter().cloned().collect();
        let active = segments.last().map(|segment| segment.base_offset);
        let mut bytes = 0;
        for segment in &segments {
            bytes += self.copy_records(segment, rest)?;
            if Some(segment.base_offset) != active && !self.whole.contains(&segment.base_offset) {
                self.copy_indexes(segment)?;
                self.whole.insert(segment.base_offset);
                self.progress.copied_to.store(segment.published().1.get(), Ordering::Relaxed);
            }
        }
        self.forget_removed(&segments)?;
        Ok(bytes)
    }

    fn copy_records(&mut self, segment: &Segment, rest: &mut impl FnMut(u64)) -> Result<u64, MoveError> {
        let (size, _) = segment.published();
        let from = self.copied.get(&segment.base_offset).copied().unwrap_or(0);
        if from == size && self.copied.contains_key(&segment.base_offset) {
            return Ok(0);
        }
        let (source, copy) = (segment.file()?, self.create(segment.base_offset, FileType::Log)?);
        let mut position = from;
        let mut chunk = vec![0; CHUNK_BYTES];
        while position < size {
            self.check_wanted()?;
            let len = (size - position).min(CHUNK_BYTES as u64);
            let part = &mut chunk[..usize::try_from(len).expect("at most a chunk")];
            source.read_exact_at(part, position)?;
            copy.write_all_at(part, position)?;
            position += len;
            self.progress.copied_bytes.fetch_add(len, Ordering::Relaxed);
            rest(len);
        }
        copy.sync_data()?;
        self.copied.insert(segment.base_offset, size);
        Ok(size - from)
    }

    fn copy_indexes(&self, segment: &Segment) -> Result<(), MoveError> {
        for (file_type, source) in segment.index_files()? {
            copy_file(&source, &self.create(segment.base_offset, file_type)?)?;
        }
        Ok(())
    }

    // Retention went on.
    fn forget_removed(&mut self, segments: &[Arc<Segment>]) -> Result<(), MoveError> {
        let first = segments.first().map_or(Offset::ZERO, |segment| segment.base_offset);
        let removed: Vec<Offset> = self.copied.range(..first).map(|(base, _)| *base).collect();
        for base in removed {
            for file_type in FileType::ALL {
                let path = self.future.join(file_name(base, file_type));
                ignore_missing(self.target.disk.remove_file(&path))?;
            }
            self.copied.remove(&base);
            self.whole.remove(&base);
        }
        Ok(())
    }

    fn create(&self, base: Offset, file_type: FileType) -> io::Result<FileHandle> {
        self.target.disk.open(&self.future.join(file_name(base, file_type)), OpenMode::OpenOrCreate)
    }

    fn check_wanted(&self) -> Result<(), MoveError> {
        if self.progress.cancelled.load(Ordering::Acquire) || self.log.flushed().gone {
            return Err(MoveError::Cancelled);
        }
        Ok(())
    }

    // Nothing is appended meanwhile. A flush leaves what a start needs in the old place: from there it is copied.
    fn finish_copy(&mut self) -> Result<(), MoveError> {
        self.copy_published(&mut |_| {})?;
        self.log.flush()?;
        let active = Arc::clone(self.log.segments().active());
        self.copy_indexes(&active)?;
        let (disk, from) = (&self.log.home.disk, self.log.path.get());
        for entry in disk.list(&from)? {
            let Some(name) = entry.name().filter(|name| belongs_to_log(name)) else { continue };
            let source = disk.open(&entry.path, OpenMode::Read)?;
            copy_file(&source, &self.target.disk.open(&self.future.join(name), OpenMode::OpenOrCreate)?)?;
        }
        self.check_wanted()?;
        let marker = self.target.disk.open(&self.future.join(RELOCATED_FILE), OpenMode::OpenOrCreate)?;
        marker.sync_data()?;
        Ok(self.target.disk.sync_dir(&self.future)?)
    }

    fn swap(&mut self) -> Result<Arc<Log>, MoveError> {
        let mut flushed = self.log.flushed();
        if flushed.gone {
            return Err(MoveError::Cancelled);
        }
        let path = self.target.path.join(self.log.partition.to_string());
        let disk = &self.target.disk;
        if disk.metadata(&path).is_ok() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        }
        disk.rename(&self.future, &path)?;
        let moved = disk.sync_dir(&self.target.path).map_err(MoveError::Io).and_then(|()| self.open(&path));
        let moved = match moved {
            Ok(moved) => moved,
            Err(error) => {
                // Under its old name again, it is none that a start could take for the log.
                disk.rename(&path, &self.future)?;
                return Err(error);
            }
        };
        let home = &self.log.home;
        let id = u128::from(home.random()) << 64 | u128::from(home.random());
        let doomed = home.path.join(moved_directory_name(&self.log.partition, id, DELETED_DIRECTORY));
        let removed = self.log.move_away(&mut flushed, &doomed).and_then(|()| home.disk.sync_dir(&home.path));
        match removed {
            Ok(()) => {
                let delay = self.log.config().file_delete_delay_ms;
                home.note_deleted(home.clock.now().get().saturating_add(delay), Doomed::Directory(doomed));
                // What stays says what the names say.
                if let Err(error) = disk.remove_file(&path.join(RELOCATED_FILE)) {
                    tracing::warn!("{} is not removed yet: {error}", path.join(RELOCATED_FILE).display());
                }
            }
            // The copy is complete, and says so to the next start.
            Err(error) => {
                flushed.gone = true;
                drop(flushed);
                self.log.fail_directory("rename", &error);
            }
        }
        Ok(moved)
    }

    fn open(&self, path: &Path) -> Result<Arc<Log>, MoveError> {
        let (log, offsets) = (self.log, self.log.offsets());
        let config = log.config();
        let seed = LogSeed {
            home: Arc::clone(self.target),
            path: LogPath::new(&self.target.site, path.to_owned()),
            partition: log.partition.clone(),
            topic_id: log.topic_id(),
            config,
            clean: true,
            recovery_point: offsets.log_end,
            log_start: offsets.log_start,
            high_watermark: offsets.high_watermark,
            cleaned_to: log.cleaned_to(),
            unproven: Unproven::Keep,
        };
        let (moved, _) = Log::open(seed)?;
        moved.adopt_quarantine(log);
        let end = moved.offsets().log_end;
        if end != offsets.log_end {
            return Err(
                io::Error::other(format!("the copy ends at {end}, the log at {}", offsets.log_end)).into()
            );
        }
        Ok(moved)
    }
}

fn belongs_to_log(name: &str) -> bool {
    let is_snapshot = parse_file_name(name)
        .is_some_and(|name| name.file_type == FileType::ProducerSnapshot && name.state == FileState::Live);
    is_snapshot || name == LEADER_EPOCH_FILE || name == PARTITION_METADATA_FILE
}

fn copy_file(source: &FileHandle, copy: &FileHandle) -> io::Result<()> {
    let size = source.len()?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut position = 0;
    while position < size {
        let len = (size - position).min(CHUNK_BYTES as u64);
        let part = &mut chunk[..usize::try_from(len).expect("at most a chunk")];
        source.read_exact_at(part, position)?;
        copy.write_all_at(part, position)?;
        position += len;
    }
    copy.set_len(size)?;
    copy.sync_data()
}

impl Log {
    /// Whoever wants to append waits from now on; what was on its way has arrived.
    fn begin_hand_over(&self) {
        let mut tail = self.tail();
        tail.handing_over = true;
        drop(self.wait_until_drained(tail));
    }

    /// Appends go on: in `successor`, or here where there is none.
    fn end_hand_over(&self, successor: Option<&Arc<Self>>) {
        let mut tail = self.tail();
        tail.handing_over = false;
        if let Some(successor) = successor {
            tail.closed = true;
            let _ = self.successor.set(Arc::clone(successor));
        }
        drop(tail);
        self.arrived.notify_all();
    }
}
