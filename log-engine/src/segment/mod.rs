//! A segment: one `.log` file and the indexes that share its base offset.
//!
//! A segment knows what was published to it and how to find it again. It does not write records (the committer does),
//! nor decide when it is full (`log/roll.rs`).

pub(crate) mod cleaned;
pub(crate) mod cut;
pub(crate) mod damage;
pub(crate) mod data;
pub(crate) mod files;
pub(crate) mod find;
pub(crate) mod index;
pub(crate) mod name;
pub(crate) mod offset_index;
pub(crate) mod open_files;
pub(crate) mod pace;
pub(crate) mod place;
pub(crate) mod rebuild;
pub(crate) mod scan;
pub(crate) mod set;
pub(crate) mod time_index;
pub(crate) mod txn_index;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{Corruption, ReadError, Rule};
use crate::io::{DiskFile, OpenMode, with_suffix};
use crate::types::{Offset, TimestampMs};

use damage::Damage;
use files::Flushed;
use find::{Suspicions, may_stand_for};
use index::{IndexFile, OpenIndexError};
use name::{DELETED, FileState, FileType};
use offset_index::OffsetEntry;
use open_files::FileSlot;
use pace::Pace;
use place::Names;
use scan::{BatchAt, ReadMode, header_at};
use time_index::TimeEntry;
use txn_index::{AbortedTransaction, TxnIndex, TxnIndexView};

pub(crate) use place::LogPath;

/// The right to change or open files by their names.
type Files<'a> = MutexGuard<'a, ()>;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: Offset,
    names: Names,
    me: Weak<Segment>,
    state: Mutex<State>,
    // Held by whoever renames, replaces or shortens files, opens one by its name or writes entries outside `state`,
    // and so while waiting for the disk: neither appends nor readers of the page cache want it. Comes before `state`.
    files: Mutex<()>,
    // Everything that an acknowledged record in this segment rests on is durable: the segments before it, and its own
    // name in the directory. Asked by appends that promise durability.
    ground_is_durable: AtomicBool,
    max_timestamp_is_checked: AtomicBool,
    suspicions: Suspicions,
    damage: Damage,
}

/// What was published, and what is open.
#[derive(Debug)]
struct State {
    log_file: FileSlot,
    flushed: Flushed,
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
        path: &Arc<LogPath>,
        base_offset: Offset,
        now: TimestampMs,
    ) -> io::Result<Arc<Self>> {
        let names = Names::new(path, base_offset, FileState::Live);
        let mut state = State { created: now, ..State::empty(base_offset) };
        let file = names.open_to_keep(FileType::Log, OpenMode::OpenOrCreate)?;
        // Left by an append that failed after a roll; nothing in it was published.
        if file.handle().len()? > 0 {
            file.handle().set_len(0)?;
        }
        state.log_file.replace(file);
        state.offset_index.trim(&names)?;
        state.time_index.trim(&names)?;
        let segment = Self::with_state(names, state);
        segment.max_timestamp_is_checked.store(true, Ordering::Release);
        Ok(segment)
    }

    /// Opens a segment whose files are known to agree, from a clean stop: no record data is read, only what tells
    /// the largest timestamp and that the indexes do not point outside the log. No file stays open.
    pub(crate) fn open_clean(path: &Arc<LogPath>, base_offset: Offset) -> Result<Arc<Self>, OpenIndexError> {
        let names = Names::new(path, base_offset, FileState::Live);
        let metadata = names.metadata(FileType::Log)?;
        let (offset_index, time_index) = (IndexFile::open(&names)?, IndexFile::open(&names)?);
        let state = State {
            flushed: Flushed::up_to(metadata.len),
            size: metadata.len,
            pace: Pace::resumed(base_offset, metadata.len, &offset_index, &time_index).counting_anew(),
            created: TimestampMs::new(metadata.modified_ms),
            offset_index,
            time_index,
            txn_index: TxnIndex::open(&names)?,
            ..State::empty(base_offset)
        };
        state.check_indexes(&names)?;
        Ok(Self::with_state(names, state))
    }

    /// Whether an offset index without entries has lost them: one was due before the segment's end. Reads the headers of one
    /// interval.
    pub(crate) fn lacks_entries(&self, index_interval_bytes: u32) -> Result<bool, ReadError> {
        let (size, _) = self.published();
        if self.state().offset_index.len() > 0 || size <= u64::from(index_interval_bytes) {
            return Ok(false);
        }
        let file = self.names.open(FileType::Log, OpenMode::Read)?;
        let mut pace = Pace::default();
        let mut position = 0;
        while let Some(batch) = header_at(&*file, position, size, ReadMode::Blocking)? {
            if pace.step(self.base_offset, &batch, index_interval_bytes).offset_entry.is_some() {
                return Ok(true);
            }
            position = batch.end();
        }
        Ok(false)
    }

    fn with_state(names: Names, state: State) -> Arc<Self> {
        let segment = Arc::new_cyclic(|me| Self {
            base_offset: names.base_offset(),
            names,
            me: Weak::clone(me),
            state: Mutex::new(state),
            files: Mutex::new(()),
            ground_is_durable: AtomicBool::new(false),
            max_timestamp_is_checked: AtomicBool::new(false),
            suspicions: Suspicions::default(),
            damage: Damage::default(),
        });
        segment.enter_ring(&mut segment.state());
        segment
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> MutexGuard<'_, ()> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
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
        let file = self.names.open(FileType::Log, OpenMode::Read)?;
        self.state().resume_pace(&*file, self.base_offset, &self.damage)
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
        self.change(|state, names| state.note(names, batch, index_interval_bytes))
    }

    /// Notes an aborted transaction that ended in this segment.
    pub(crate) fn publish_aborted(&self, transaction: &AbortedTransaction) -> io::Result<()> {
        self.change(|state, names| {
            state.flushed.indexes_changed();
            state.txn_index.append(names, transaction)
        })
    }

    /// The segment takes no more appends: the time index gets its last entry, both indexes lose what is not theirs.
    pub(crate) fn seal(&self) -> io::Result<()> {
        self.change(|state, names| {
            let in_files = state.entries_in_files();
            state.append_last_time_entry(names)?;
            state.offset_index.trim_if_used(names)?;
            state.time_index.trim_if_used(names)?;
            if state.entries_in_files() != in_files {
                state.flushed.indexes_changed();
            }
            Ok(())
        })
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
        self.change(|state, names| state.txn_index.view(names, mode))
    }

    /// Renames the files to `.deleted`. Whoever reads them goes on reading; see [`Segment::remove`].
    pub(crate) fn mark_deleted(&self) -> io::Result<()> {
        self.mark_replaced()?;
        let snapshot = self.names.path_in(FileType::ProducerSnapshot, FileState::Live);
        ignore_missing(self.names.disk().rename(&snapshot, &with_suffix(&snapshot, DELETED)))
    }

    /// As [`Segment::mark_deleted`], but leaves the producer snapshot in place: another segment begins at the same offset.
    pub(crate) fn mark_replaced(&self) -> io::Result<()> {
        self.open_for_good()?;
        self.rename_files(&self.files(), FileState::Live, FileState::Deleted)
    }

    /// The files of a segment that was marked deleted, as far as there are any.
    pub(crate) fn deleted_files(&self) -> [PathBuf; 5] {
        FileType::ALL.map(|file_type| self.names.path_in(file_type, FileState::Deleted))
    }

    /// Removes the files of a segment that was marked deleted.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let disk = self.names.disk();
        self.deleted_files().iter().try_for_each(|path| ignore_missing(disk.remove_file(path)))
    }

    /// Removes the files of a segment that nobody has read, without opening any.
    pub(crate) fn discard(&self) -> io::Result<()> {
        let _files = self.files();
        let names = FileType::ALL.map(|file_type| self.names.path_in(file_type, FileState::Live));
        names.iter().try_for_each(|path| ignore_missing(self.names.disk().remove_file(path)))
    }

    fn rename_files(&self, _files: &Files<'_>, from: FileState, to: FileState) -> io::Result<()> {
        for file_type in [FileType::Log, FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex] {
            let (from, to) = (self.names.path_in(file_type, from), self.names.path_in(file_type, to));
            // A segment without aborted transactions has no index of them.
            ignore_missing(self.names.disk().rename(&from, &to))?;
        }
        self.names.set_state(to);
        Ok(())
    }
}

impl State {
    fn empty(base_offset: Offset) -> Self {
        Self {
            log_file: FileSlot::default(),
            flushed: Flushed::default(),
            size: 0,
            end_offset: base_offset,
            pace: Pace::default(),
            created: TimestampMs::NONE,
            offset_index: IndexFile::empty(),
            time_index: IndexFile::empty(),
            txn_index: TxnIndex::empty(),
        }
    }

    fn note(&mut self, names: &Names, batch: &BatchAt, index_interval_bytes: u32) -> io::Result<()> {
        let due = self.pace.step(names.base_offset(), batch, index_interval_bytes);
        // Whatever becomes of the entries, the batch is there.
        self.size = batch.end();
        self.end_offset = batch.last_offset.next();
        let in_files = self.entries_in_files();
        let offset_entry = due.offset_entry.map_or(Ok(()), |entry| self.offset_index.append(names, entry));
        let time_entry = due.time_entry.map_or(Ok(()), |entry| self.time_index.append(names, entry));
        if self.entries_in_files() != in_files {
            self.flushed.indexes_changed();
        }
        offset_entry.and(time_entry)
    }

    fn entries_in_files(&self) -> u64 {
        self.offset_index.in_file() + self.time_index.in_file()
    }

    fn append_last_time_entry(&mut self, names: &Names) -> io::Result<()> {
        match self.pace.last_time_entry(names.base_offset()) {
            Some(entry) => self.time_index.append(names, entry),
            None => Ok(()),
        }
    }

    // After a cut, or on opening: the pace as if every batch had just been appended. Walks the headers behind the
    // last index entry.
    fn resume_pace(&mut self, file: &dyn DiskFile, base: Offset, damage: &Damage) -> Result<(), ReadError> {
        self.pace = Pace::resumed(base, self.size, &self.offset_index, &self.time_index).counting_anew();
        self.end_offset = base;
        let indexed = self.pace.last_indexed_position(&self.offset_index);
        let mut position = damage.past(indexed);
        let mut hint = self.offset_index.last().filter(|_| position == indexed);
        while let Some(batch) = header_at(file, position, self.size, ReadMode::Blocking)? {
            if hint.take().is_some_and(|entry| !may_stand_for(entry, base, &batch)) {
                let rule = Rule::IndexOrder { entry: self.offset_index.len() - 1 };
                return Err(Corruption { file: file.path().to_owned(), position, rule }.into());
            }
            self.pace.see_timestamp(&batch);
            self.end_offset = batch.last_offset.next();
            position = damage.past(batch.end());
            if position > batch.end() {
                self.pace.entry_is_due();
            }
        }
        Ok(())
    }

    // Kafka's sanity checks, and that the last entry does not point outside the log.
    fn check_indexes(&self, names: &Names) -> Result<(), Corruption> {
        let outside = |file_type: FileType, entries: u64| Corruption {
            file: names.path(file_type),
            position: 0,
            rule: Rule::IndexOrder { entry: entries.saturating_sub(1) },
        };
        let base = names.base_offset();
        if let Some(last) = self.offset_index.last() {
            let first_only = self.offset_index.len() == 1;
            if last.position.get() >= self.size || (last.offset.get() == 0 && !first_only) {
                return Err(outside(FileType::OffsetIndex, self.offset_index.len()));
            }
        }
        if let Some(last) = self.time_index.last()
            && (last.absolute(base) < base || (last.timestamp.get() <= 0 && self.time_index.len() > 1))
        {
            return Err(outside(FileType::TimeIndex, self.time_index.len()));
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
