//! A segment: one `.log` file and the indexes that share its base offset.
//!
//! A segment knows what was published to it and how to find it again. It does not write records (the committer does),
//! nor decide when it is full (`log/roll.rs`).

pub(crate) mod cleaned;
pub(crate) mod data;
pub(crate) mod find;
pub(crate) mod index;
pub(crate) mod name;
pub(crate) mod offset_index;
pub(crate) mod pace;
pub(crate) mod rebuild;
pub(crate) mod scan;
pub(crate) mod set;
pub(crate) mod time_index;
pub(crate) mod txn_index;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use crate::error::{Corruption, ReadError, Rule};
use crate::io::{Disk, FileHandle, OpenMode, with_suffix};
use crate::types::{Offset, TimestampMs};

use find::Suspicions;
use index::{Entry, IndexFile, OpenIndexError};
use name::{DELETED, FileType, file_name};
use offset_index::OffsetEntry;
use pace::Pace;
use scan::{BatchAt, ReadMode, header_at};
use time_index::TimeEntry;
use txn_index::{AbortedTransaction, TxnIndex, TxnIndexView};

/// Where a log lies; it changes when the log is deleted.
#[derive(Debug)]
pub(crate) struct LogPath(RwLock<Arc<Path>>);

impl LogPath {
    pub(crate) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self(RwLock::new(path.into())))
    }

    pub(crate) fn get(&self) -> Arc<Path> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, path: PathBuf) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = path.into();
    }

    pub(crate) fn file(&self, offset: Offset, file_type: FileType) -> PathBuf {
        self.get().join(file_name(offset, file_type))
    }
}

/// The right to change or open files by their names.
type Files<'a> = MutexGuard<'a, ()>;

type IndexOf<E> = fn(&mut State) -> &mut IndexFile<E>;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: Offset,
    disk: Arc<dyn Disk>,
    path: Arc<LogPath>,
    log_file: OnceLock<FileHandle>,
    state: Mutex<State>,
    // Held by whoever renames, replaces or shortens files, opens an index by its name or writes entries outside `state`,
    // and so while waiting for the disk: neither appends nor readers of the page cache want it. Comes before `state`.
    files: Mutex<()>,
    // Everything that an acknowledged record in this segment rests on is durable: the segments before it, and its own
    // name in the directory. Asked by appends that promise durability.
    ground_is_durable: AtomicBool,
    max_timestamp_is_checked: AtomicBool,
    suspicions: Suspicions,
}

/// What was published.
#[derive(Debug)]
struct State {
    size: u64,
    end_offset: Offset,
    pace: Pace,
    created: TimestampMs,
    offset_index: IndexFile<OffsetEntry>,
    time_index: IndexFile<TimeEntry>,
    txn_index: TxnIndex,
}

/// Facts of a segment, for lists and decisions.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SegmentInfo {
    /// The offset the files are named after.
    pub base_offset: Offset,
    /// The offset after the last record.
    pub end_offset: Offset,
    /// Bytes of records.
    pub size_bytes: u64,
    /// The largest timestamp, or none where no record has any.
    pub max_timestamp: Option<TimestampMs>,
    /// When the segment was created or, for segments found at the start, last written.
    pub created: TimestampMs,
}

impl Segment {
    /// Creates the files of an empty segment. They are named durably only after the directory was synced.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        path: &Arc<LogPath>,
        base_offset: Offset,
        now: TimestampMs,
    ) -> io::Result<Arc<Self>> {
        let file = disk.open(&path.file(base_offset, FileType::Log), OpenMode::OpenOrCreate)?;
        // Left by an append that failed after a roll; nothing in it was published.
        if file.len()? > 0 {
            file.set_len(0)?;
        }
        let mut offset_index = IndexFile::empty(path.file(base_offset, FileType::OffsetIndex));
        let mut time_index = IndexFile::empty(path.file(base_offset, FileType::TimeIndex));
        offset_index.trim(disk)?;
        time_index.trim(disk)?;
        let state = State {
            size: 0,
            end_offset: base_offset,
            pace: Pace::default(),
            created: now,
            offset_index,
            time_index,
            txn_index: TxnIndex::empty(path.file(base_offset, FileType::TxnIndex)),
        };
        let segment = Self::with_state(disk, path, base_offset, state, Some(file));
        segment.max_timestamp_is_checked.store(true, Ordering::Release);
        Ok(segment)
    }

    /// Opens a segment whose files are known to agree, from a clean stop: no record data is read, only what tells
    /// the largest timestamp and that the indexes do not point outside the log.
    pub(crate) fn open_clean(
        disk: &Arc<dyn Disk>,
        path: &Arc<LogPath>,
        base_offset: Offset,
    ) -> Result<Arc<Self>, OpenIndexError> {
        let log_path = path.file(base_offset, FileType::Log);
        let metadata = disk.metadata(&log_path)?;
        let offset_index = IndexFile::open(disk, path.file(base_offset, FileType::OffsetIndex))?;
        let time_index = IndexFile::open(disk, path.file(base_offset, FileType::TimeIndex))?;
        let state = State {
            size: metadata.len,
            end_offset: base_offset,
            pace: Pace::resumed(base_offset, metadata.len, &offset_index, &time_index).counting_anew(),
            created: TimestampMs::new(metadata.modified_ms),
            offset_index,
            time_index,
            txn_index: TxnIndex::open(disk, path.file(base_offset, FileType::TxnIndex))?,
        };
        state.check_indexes(base_offset)?;
        Ok(Self::with_state(disk, path, base_offset, state, None))
    }

    fn with_state(
        disk: &Arc<dyn Disk>,
        path: &Arc<LogPath>,
        base_offset: Offset,
        state: State,
        file: Option<FileHandle>,
    ) -> Arc<Self> {
        let log_file = OnceLock::new();
        if let Some(file) = file {
            let _ = log_file.set(file);
        }
        Arc::new(Self {
            base_offset,
            disk: Arc::clone(disk),
            path: Arc::clone(path),
            log_file,
            state: Mutex::new(state),
            files: Mutex::new(()),
            ground_is_durable: AtomicBool::new(false),
            max_timestamp_is_checked: AtomicBool::new(false),
            suspicions: Suspicions::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, ()> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `.log` file, opened when first needed.
    pub(crate) fn file(&self) -> io::Result<FileHandle> {
        if let Some(file) = self.log_file.get() {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.path.file(self.base_offset, FileType::Log), OpenMode::ReadWrite)?;
        Ok(Arc::clone(self.log_file.get_or_init(|| file)))
    }

    /// The same for a reader, who may not be allowed to wait for the opening.
    pub(crate) fn file_for(&self, mode: ReadMode) -> io::Result<FileHandle> {
        match (self.log_file.get(), mode) {
            (Some(file), _) => Ok(Arc::clone(file)),
            (None, ReadMode::Blocking) => self.file(),
            (None, ReadMode::CachedOnly) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        let state = self.state();
        SegmentInfo {
            base_offset: self.base_offset,
            end_offset: state.end_offset,
            size_bytes: state.size,
            max_timestamp: Some(state.pace.max_timestamp).filter(|timestamp| timestamp.get() >= 0),
            created: state.created,
        }
    }

    /// Published bytes, and the offset behind them.
    pub(crate) fn published(&self) -> (u64, Offset) {
        let state = self.state();
        (state.size, state.end_offset)
    }

    /// Finds the segment's end, for one that was opened: walks the headers behind the last index entry.
    pub(crate) fn resume(&self) -> Result<(), ReadError> {
        let file = self.file()?;
        self.state().resume_pace(&*file, self.base_offset)
    }

    /// What the next append continues: bytes so far and where the indexes stand.
    pub(crate) fn pace(&self) -> Pace {
        self.state().pace
    }

    pub(crate) fn set_end_offset(&self, end: Offset) {
        self.state().end_offset = end;
    }

    /// Notes a batch that is in the file now: index entries where they are due, and the segment's new end.
    pub(crate) fn publish(&self, batch: &BatchAt, index_interval_bytes: u32) -> io::Result<()> {
        let mut state = self.state();
        let state = &mut *state;
        state.note(&self.disk, self.base_offset, batch, index_interval_bytes)
    }

    /// Notes an aborted transaction that ended in this segment.
    pub(crate) fn publish_aborted(&self, transaction: &AbortedTransaction) -> io::Result<()> {
        self.state().txn_index.append(&self.disk, transaction)
    }

    /// The segment takes no more appends: the time index gets its last entry, both indexes lose what is not theirs.
    pub(crate) fn seal(&self) -> io::Result<()> {
        let mut state = self.state();
        state.append_last_time_entry(&self.disk, self.base_offset)?;
        state.offset_index.trim(&self.disk)?;
        state.time_index.trim(&self.disk)?;
        Ok(())
    }

    /// The files that have to be flushed for records and index entries published so far to become durable. The
    /// entries are in the files when this returns.
    pub(crate) fn files_to_sync(&self) -> io::Result<impl Iterator<Item = FileHandle> + use<>> {
        let log_file = self.file()?;
        let files = self.files();
        let indexes = [
            self.write_entries(&files, |state| &mut state.offset_index)?,
            self.write_entries(&files, |state| &mut state.time_index)?,
        ];
        let txn_index = self.txn_index_to_sync(&files)?;
        Ok(std::iter::once(log_file).chain(indexes).chain(txn_index))
    }

    /// What else belongs to the records published so far: the indexes, complete as of now.
    pub(crate) fn index_files(&self) -> io::Result<Vec<(FileType, FileHandle)>> {
        let types = [FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex];
        Ok(types.into_iter().zip(self.files_to_sync()?.skip(1)).collect())
    }

    // An append that fills the page meanwhile writes the same bytes to the same place.
    fn write_entries<E: Entry>(&self, files: &Files<'_>, index: IndexOf<E>) -> io::Result<FileHandle> {
        let file = self.open_index(files, index)?;
        let tail = index(&mut self.state()).encoded_tail();
        if !tail.bytes.is_empty() {
            file.write_all_at(&tail.bytes, tail.position())?;
            index(&mut self.state()).tail_was_written(&tail);
        }
        Ok(file)
    }

    fn open_index<E: Entry>(&self, _files: &Files<'_>, index: IndexOf<E>) -> io::Result<FileHandle> {
        let path = match index(&mut self.state()).opened() {
            Ok(file) => return Ok(file),
            Err(path) => path,
        };
        let file = self.disk.open(&path, OpenMode::OpenOrCreate)?;
        Ok(index(&mut self.state()).keep_open(file))
    }

    /// Before an index is searched by somebody who may wait for the disk.
    fn open_index_to_search<E: Entry>(&self, index: IndexOf<E>) -> io::Result<()> {
        if index(&mut self.state()).has_unopened_entries() {
            self.open_index(&self.files(), index)?;
        }
        Ok(())
    }

    fn open_txn_index(&self, _files: &Files<'_>) -> io::Result<FileHandle> {
        let path = match self.state().txn_index.opened() {
            Ok(file) => return Ok(file),
            Err(path) => path,
        };
        let file = self.disk.open(&path, OpenMode::OpenOrCreate)?;
        Ok(self.state().txn_index.keep_open(file))
    }

    // `None` if there never was one. What is no entry at its end goes.
    fn txn_index_to_sync(&self, files: &Files<'_>) -> io::Result<Option<FileHandle>> {
        let unopened = self.state().txn_index.opened().err();
        if let Some(path) = unopened
            && let Err(error) = self.disk.metadata(&path)
        {
            return ignore_missing(Err(error)).map(|()| None);
        }
        let file = self.open_txn_index(files)?;
        let length = file.len()?;
        let mut state = self.state();
        if length > state.txn_index.len_in_bytes() {
            state.txn_index.trim(&self.disk)?;
        }
        Ok(Some(file))
    }

    pub(crate) fn ground_is_durable(&self) -> bool {
        self.ground_is_durable.load(Ordering::Acquire)
    }

    pub(crate) fn set_ground_durable(&self) {
        self.ground_is_durable.store(true, Ordering::Release);
    }

    /// The largest timestamp and the last offset of the batch that has it.
    pub(crate) fn max_timestamp(&self) -> (TimestampMs, Offset) {
        let state = self.state();
        (state.pace.max_timestamp, state.pace.offset_of_max)
    }

    pub(crate) fn aborted(&self, mode: ReadMode) -> io::Result<TxnIndexView> {
        if mode == ReadMode::Blocking && self.state().txn_index.has_unopened_entries() {
            self.open_txn_index(&self.files())?;
        }
        self.state().txn_index.view(&self.disk, mode)
    }

    /// Cuts the published end back to `position`, where `end` is the offset of the next record. The file shrinks. Where
    /// that offset lay inside a batch, the segment ends before it, with what is whole.
    pub(crate) fn truncate(&self, position: u64, end: Offset) -> Result<(), ReadError> {
        let file = self.file()?;
        let _files = self.files();
        file.set_len(position)?;
        let mut state = self.state();
        let base = self.base_offset;
        state.offset_index.truncate(&self.disk, |entry| entry.position.get() < position)?;
        state.time_index.truncate(&self.disk, |entry| entry.absolute(base) < end)?;
        state.txn_index.truncate_to(&self.disk, end)?;
        state.size = position;
        match state.resume_pace(&*file, base) {
            // The index points anywhere: the log is walked without it.
            Err(ReadError::Corrupt(_)) => {
                state.offset_index.truncate(&self.disk, |_| false)?;
                state.resume_pace(&*file, base)
            }
            resumed => resumed,
        }
    }

    /// Opens the files, because their names are about to change: whoever holds this segment goes on reading it.
    pub(crate) fn open_all(&self) -> io::Result<()> {
        self.open_all_of(&self.files())
    }

    fn open_all_of(&self, files: &Files<'_>) -> io::Result<()> {
        self.file()?;
        let (offset_entries, time_entries, aborted) = {
            let state = self.state();
            (state.offset_index.len(), state.time_index.len(), state.txn_index.len_in_bytes())
        };
        if offset_entries > 0 {
            self.open_index(files, |state| &mut state.offset_index)?;
        }
        if time_entries > 0 {
            self.open_index(files, |state| &mut state.time_index)?;
        }
        if aborted > 0 {
            self.open_txn_index(files)?;
        }
        Ok(())
    }

    /// The log's directory has another name now.
    pub(crate) fn follow_path(&self) {
        let _files = self.files();
        let mut state = self.state();
        state.offset_index.set_path(self.path.file(self.base_offset, FileType::OffsetIndex));
        state.time_index.set_path(self.path.file(self.base_offset, FileType::TimeIndex));
        state.txn_index.set_path(self.path.file(self.base_offset, FileType::TxnIndex));
    }

    /// Renames the files to `.deleted`. Whoever reads them goes on reading; see [`Segment::remove`].
    pub(crate) fn mark_deleted(&self) -> io::Result<()> {
        self.mark_replaced()?;
        let snapshot = self.path.file(self.base_offset, FileType::ProducerSnapshot);
        ignore_missing(self.disk.rename(&snapshot, &with_suffix(&snapshot, DELETED)))
    }

    /// As [`Segment::mark_deleted`], but leaves the producer snapshot in place: another segment begins at the same offset.
    pub(crate) fn mark_replaced(&self) -> io::Result<()> {
        let files = self.files();
        self.open_all_of(&files)?;
        self.exchange_suffix(&files, "", DELETED)
    }

    /// The files of a segment that was marked deleted, as far as there are any.
    pub(crate) fn deleted_files(&self) -> [PathBuf; 5] {
        let state = self.state();
        let deleted = |file_type| with_suffix(&self.path.file(self.base_offset, file_type), DELETED);
        [
            deleted(FileType::Log),
            deleted(FileType::ProducerSnapshot),
            state.offset_index.path().to_owned(),
            state.time_index.path().to_owned(),
            state.txn_index.path().to_owned(),
        ]
    }

    /// Removes the files of a segment that was marked deleted.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.deleted_files().iter().try_for_each(|path| ignore_missing(self.disk.remove_file(path)))
    }

    fn exchange_suffix(&self, _files: &Files<'_>, from: &str, to: &str) -> io::Result<()> {
        for file_type in [FileType::Log, FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex] {
            let plain = self.path.file(self.base_offset, file_type);
            let new = with_suffix(&plain, to);
            // A segment without aborted transactions has no index of them.
            ignore_missing(self.disk.rename(&with_suffix(&plain, from), &new))?;
            let mut state = self.state();
            match file_type {
                FileType::OffsetIndex => state.offset_index.set_path(new),
                FileType::TimeIndex => state.time_index.set_path(new),
                FileType::TxnIndex => state.txn_index.set_path(new),
                FileType::Log | FileType::ProducerSnapshot => {}
            }
        }
        Ok(())
    }
}

impl State {
    fn note(
        &mut self,
        disk: &Arc<dyn Disk>,
        base: Offset,
        batch: &BatchAt,
        index_interval_bytes: u32,
    ) -> io::Result<()> {
        let due = self.pace.step(base, batch, index_interval_bytes);
        // Whatever becomes of the entries, the batch is there.
        self.size = batch.end();
        self.end_offset = batch.last_offset.next();
        let offset_entry = due.offset_entry.map_or(Ok(()), |entry| self.offset_index.append(disk, entry));
        let time_entry = due.time_entry.map_or(Ok(()), |entry| self.time_index.append(disk, entry));
        offset_entry.and(time_entry)
    }

    fn append_last_time_entry(&mut self, disk: &Arc<dyn Disk>, base: Offset) -> io::Result<()> {
        match self.pace.last_time_entry(base) {
            Some(entry) => self.time_index.append(disk, entry),
            None => Ok(()),
        }
    }

    // After a cut, or on opening: the pace as if every batch had just been appended. Walks the headers behind the
    // last index entry.
    fn resume_pace(&mut self, file: &dyn crate::io::DiskFile, base: Offset) -> Result<(), ReadError> {
        self.pace = Pace::resumed(base, self.size, &self.offset_index, &self.time_index).counting_anew();
        let mut position = self.pace.last_indexed_position(&self.offset_index);
        self.end_offset = base;
        while let Some(batch) = header_at(file, position, self.size, ReadMode::Blocking)? {
            self.pace.see_timestamp(&batch);
            self.end_offset = batch.last_offset.next();
            position = batch.end();
        }
        Ok(())
    }

    // Kafka's sanity checks, and that the last entry does not point outside the log.
    fn check_indexes(&self, base: Offset) -> Result<(), Corruption> {
        let outside = |path: &Path, entries: u64| Corruption {
            file: path.to_owned(),
            position: 0,
            rule: Rule::IndexOrder { entry: entries.saturating_sub(1) },
        };
        if let Some(last) = self.offset_index.last() {
            let first_only = self.offset_index.len() == 1;
            if last.position.get() >= self.size || (last.offset.get() == 0 && !first_only) {
                return Err(outside(self.offset_index.path(), self.offset_index.len()));
            }
        }
        if let Some(last) = self.time_index.last()
            && (last.absolute(base) < base || (last.timestamp.get() <= 0 && self.time_index.len() > 1))
        {
            return Err(outside(self.time_index.path(), self.time_index.len()));
        }
        Ok(())
    }
}

/// A file that is not there is as good as removed or renamed.
pub(crate) fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
