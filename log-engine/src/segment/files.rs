//! The open files of a segment: opened when needed, flushed, closed again when others need the room.
//!
//! ```text
//!            file, open_index                  close_flushed
//!   closed ------------------> open, flushed -----------------> closed
//!                               |  ^
//!              set_out, changes |  | sync              open_for_good
//!                               v  |              any ----------------> open until the segment is dropped
//!                              open, unflushed
//! ```
//!
//! Closed files are opened by their names, under the lock that names change under.

use std::io;
use std::sync::{MutexGuard, TryLockError, Weak};

use crate::io::{FileHandle, OpenMode};

use super::index::{Entry, IndexFile};
use super::name::FileType;
use super::open_files::{Closing, FileSlot};
use super::place::Names;
use super::scan::ReadMode;
use super::{Files, Segment, State, ignore_missing};

type IndexOf<E> = fn(&mut State) -> &mut IndexFile<E>;

/// How much of what was written to the files is known to be on the disk, and who wants them open.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    // Where records that were, or are being, written end, and how far a flush has confirmed them.
    written: u64,
    confirmed: u64,
    indexes_changed: bool,
    // How often the file was cut: a flush that began before confirms nothing.
    cuts: u32,
    for_good: bool,
    used: bool,
    in_ring: bool,
}

impl Flushed {
    /// All of a file of `size` bytes is on the disk.
    pub(super) fn up_to(size: u64) -> Self {
        Self { written: size, confirmed: size, ..Self::default() }
    }

    /// Nothing is known of a file of `size` bytes.
    pub(super) fn nothing_of(size: u64) -> Self {
        Self { written: size, ..Self::default() }
    }

    pub(super) fn indexes_changed(&mut self) {
        self.indexes_changed = true;
    }

    pub(super) fn cut_to(&mut self, size: u64) {
        self.written = size;
        self.confirmed = self.confirmed.min(size);
        self.cuts = self.cuts.wrapping_add(1);
        self.indexes_changed = true;
    }

    /// The files must not be closed until the segment is dropped.
    pub(super) fn stay_open(&mut self, stay: bool) {
        self.for_good = stay;
    }

    fn is_complete(&self) -> bool {
        self.confirmed >= self.written && !self.indexes_changed
    }
}

/// What a flush will have confirmed.
#[derive(Copy, Clone)]
struct Confirming {
    size: u64,
    cuts: u32,
}

impl Segment {
    /// The `.log` file, opened where it is closed.
    pub(crate) fn file(&self) -> io::Result<FileHandle> {
        match self.opened_file() {
            Some(file) => Ok(file),
            None => self.open_log(&self.files()),
        }
    }

    /// The same if nothing has to be waited for.
    pub(crate) fn opened_file(&self) -> Option<FileHandle> {
        let mut state = self.state();
        state.flushed.used = true;
        state.log_file.handle()
    }

    /// The same for a reader, who may not be allowed to wait for the opening.
    pub(crate) fn file_for(&self, mode: ReadMode) -> io::Result<FileHandle> {
        match (self.opened_file(), mode) {
            (Some(file), _) => Ok(file),
            (None, ReadMode::Blocking) => self.file(),
            (None, ReadMode::CachedOnly) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Records are about to be written to `file`, which is this segment's, up to `end`: it stays open until they are flushed.
    /// Answers the file to write to: the one that is open by now, so that all of the file's writes go through one handle, which
    /// a failed flush is told to.
    pub(crate) fn set_out(&self, file: FileHandle, end: u64) -> FileHandle {
        self.change(|state, names| {
            state.flushed.written = end;
            state.log_file.handle().unwrap_or_else(|| state.log_file.keep(names.keep(file)))
        })
    }

    /// Changes what may have files opened by it.
    pub(super) fn change<T>(&self, act: impl FnOnce(&mut State, &Names) -> T) -> T {
        let mut state = self.state();
        let result = act(&mut state, &self.names);
        state.flushed.used = true;
        self.enter_ring(&mut state);
        result
    }

    pub(super) fn enter_ring(&self, state: &mut State) {
        if !state.flushed.in_ring && state.has_open_files() {
            state.flushed.in_ring = true;
            self.names.site().open_files.enter(Weak::clone(&self.me));
        }
    }

    fn open_log(&self, files: &Files<'_>) -> io::Result<FileHandle> {
        match self.opened_file() {
            Some(file) => Ok(file),
            None => self.open(files, FileType::Log, OpenMode::ReadWrite, |state| &mut state.log_file),
        }
    }

    fn open_index<E: Entry>(&self, files: &Files<'_>, index: IndexOf<E>) -> io::Result<FileHandle> {
        self.open(files, E::FILE, OpenMode::OpenOrCreate, |state| &mut index(state).file)
    }

    pub(super) fn open_txn_index(&self, files: &Files<'_>) -> io::Result<FileHandle> {
        self.open(files, FileType::TxnIndex, OpenMode::OpenOrCreate, |state| &mut state.txn_index.file)
    }

    // The file of a slot, opened where it is closed.
    fn open(
        &self,
        _files: &Files<'_>,
        file_type: FileType,
        mode: OpenMode,
        slot: impl Fn(&mut State) -> &mut FileSlot,
    ) -> io::Result<FileHandle> {
        if let Some(file) = slot(&mut self.state()).handle() {
            return Ok(file);
        }
        self.names.site().open_files.make_room_by_flushing(1);
        let file = self.names.open_to_keep(file_type, mode)?;
        Ok(self.change(|state, _| slot(state).keep(file)))
    }

    /// Before an index is searched by somebody who may wait for the disk.
    pub(super) fn open_index_to_search<E: Entry>(&self, index: IndexOf<E>) -> io::Result<()> {
        if index(&mut self.state()).has_unopened_entries() {
            self.open_index(&self.files(), index)?;
        }
        Ok(())
    }

    /// Opens the files and leaves them so, because their names are about to go: whoever holds this segment goes on
    /// reading it.
    pub(crate) fn open_for_good(&self) -> io::Result<()> {
        let files = self.files();
        self.state().flushed.stay_open(true);
        self.open_log(&files)?;
        let (offset_entries, time_entries, aborted) = {
            let state = self.state();
            (state.offset_index.len(), state.time_index.len(), state.txn_index.len_in_bytes())
        };
        if offset_entries > 0 {
            self.open_index(&files, |state| &mut state.offset_index)?;
        }
        if time_entries > 0 {
            self.open_index(&files, |state| &mut state.time_index)?;
        }
        if aborted > 0 {
            self.open_txn_index(&files)?;
        }
        Ok(())
    }

    /// The names stay after all.
    pub(crate) fn open_as_needed(&self) {
        self.state().flushed.stay_open(false);
    }

    /// Records and index entries published so far become durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let files = self.files();
        let handles = self.files_to_sync(&files)?;
        let confirming = self.begin_flush();
        drop(files);
        let synced = self.sync_all(&handles);
        self.end_flush(confirming, &synced);
        synced
    }

    /// The records published so far become durable.
    pub(crate) fn sync_records(&self) -> io::Result<()> {
        self.sync_all(&[self.file()?])
    }

    // Whatever a failed flush of a file answers, its content on the disk is unknown from then on.
    fn sync_all(&self, files: &[FileHandle]) -> io::Result<()> {
        let path = self.names.path(FileType::Log);
        files.iter().try_for_each(|file| self.names.site().flusher.flush(file, &path))
    }

    /// What else belongs to the records published so far: the indexes, complete as of now.
    pub(crate) fn index_files(&self) -> io::Result<Vec<(FileType, FileHandle)>> {
        let types = [FileType::OffsetIndex, FileType::TimeIndex, FileType::TxnIndex];
        let files = self.files_to_sync(&self.files())?;
        Ok(types.into_iter().zip(files.into_iter().skip(1)).collect())
    }

    fn begin_flush(&self) -> Confirming {
        let mut state = self.state();
        state.flushed.indexes_changed = false;
        Confirming { size: state.size, cuts: state.flushed.cuts }
    }

    fn end_flush(&self, confirming: Confirming, synced: &io::Result<()>) {
        let flushed = &mut self.state().flushed;
        match synced {
            Ok(()) if flushed.cuts == confirming.cuts => {
                flushed.confirmed = flushed.confirmed.max(confirming.size);
            }
            Ok(()) => {}
            Err(_) => flushed.indexes_changed = true,
        }
    }

    // The entries published so far are in the files when this returns.
    fn files_to_sync(&self, files: &Files<'_>) -> io::Result<Vec<FileHandle>> {
        let mut all = vec![self.open_log(files)?];
        all.push(self.write_entries(files, |state| &mut state.offset_index)?);
        all.push(self.write_entries(files, |state| &mut state.time_index)?);
        all.extend(self.txn_index_to_sync(files)?);
        Ok(all)
    }

    // An append that fills the page meanwhile writes the same bytes to the same place.
    fn write_entries<E: Entry>(&self, files: &Files<'_>, index: IndexOf<E>) -> io::Result<FileHandle> {
        let file = self.open_index(files, index)?;
        let tail = index(&mut self.state()).encoded_tail();
        if !tail.bytes.is_empty() {
            file.write_all_at(&tail.bytes, tail.position())?;
            let mut state = self.state();
            state.flushed.indexes_changed();
            index(&mut state).tail_was_written(&tail);
        }
        Ok(file)
    }

    // `None` if there never was one. What is no entry at its end goes.
    fn txn_index_to_sync(&self, files: &Files<'_>) -> io::Result<Option<FileHandle>> {
        if !self.state().txn_index.file.is_open()
            && !self.state().txn_index.has_unwritten()
            && let Err(error) = self.names.metadata(FileType::TxnIndex)
        {
            return ignore_missing(Err(error)).map(|()| None);
        }
        let file = self.open_txn_index(files)?;
        let length = file.len()?;
        self.change(|state, names| {
            state.txn_index.write_unwritten(names)?;
            if length > state.txn_index.len_in_bytes() {
                state.txn_index.trim(names)?;
            }
            Ok(Some(file))
        })
    }

    /// Closes the files unless they are wanted open. Waits for nothing.
    pub(super) fn close_flushed(&self) -> Closing {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Closing::InUse,
        };
        if state.flushed.for_good || std::mem::take(&mut state.flushed.used) {
            return Closing::InUse;
        }
        self.close_if_complete(state)
    }

    /// The same, flushing what is not flushed. A flush that fails takes the directory offline.
    pub(super) fn flush_and_close(&self) -> Closing {
        let closing = self.close_flushed();
        let Ok(files) = self.files.try_lock() else { return closing };
        if closing != Closing::Unflushed {
            return closing;
        }
        let confirming = self.begin_flush();
        let synced = self.sync_all(&self.opened_files());
        self.end_flush(confirming, &synced);
        drop(files);
        self.close_if_complete(self.state())
    }

    fn close_if_complete(&self, mut state: MutexGuard<'_, State>) -> Closing {
        if state.flushed.for_good {
            return Closing::InUse;
        }
        // Of an offline directory nothing is flushed, and nothing acknowledged, ever again.
        if !state.flushed.is_complete() && !self.names.site().flusher.is_offline() {
            return Closing::Unflushed;
        }
        state.log_file.close();
        state.close_indexes();
        state.flushed.in_ring = false;
        Closing::Closed
    }

    fn opened_files(&self) -> Vec<FileHandle> {
        self.state().slots().into_iter().filter_map(FileSlot::handle).collect()
    }
}

impl State {
    fn slots(&self) -> [&FileSlot; 4] {
        [&self.log_file, &self.offset_index.file, &self.time_index.file, &self.txn_index.file]
    }

    fn has_open_files(&self) -> bool {
        self.slots().into_iter().any(FileSlot::is_open)
    }

    pub(super) fn close_indexes(&mut self) {
        self.offset_index.close();
        self.time_index.close();
        self.txn_index.file.close();
    }
}
