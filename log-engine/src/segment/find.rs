//! Finding a batch by its offset or its time. The indexes are hints, the `.log` is the truth: what an entry says is
//! held against the header that it points to, and where they differ the log is searched from its beginning. That is
//! said once, and the offset index is written anew, see [`Segment::mend_offset_index`].
//!
//! ```text
//!   hint ---- headers ----> batch                    known damage is stepped over
//!   hint ---- headers --X   entry behind -> batch    damage that nobody knows of yet hides what lies before the next entry
//!   0 ------- headers ----> batch                    the index is wrong
//! ```
//!
//! What ends inside a batch before it comes to the published end was cut short: nothing more is found there, and
//! readers go on in the next segment, as in Kafka, where the cut batch is no batch. That, too, is said once.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::error::{ReadError, Rule};
use crate::io::DiskFile;
use crate::types::{Offset, TimestampMs};

use super::Segment;
use super::index::{Floor, WrittenBeside};
use super::name::FileType;
use super::offset_index::OffsetEntry;
use super::pace::Pace;
use super::scan::{BatchAt, ReadMode, header_at};
use super::time_index::TimeEntry;

/// Between two attempts to write an index anew: whoever reads meanwhile searches the log.
pub(crate) const MENDING_INTERVAL_MS: i64 = 60_000;

/// What is known against a segment's files.
#[derive(Debug, Default)]
pub(super) struct Suspicions {
    offset_index_is_wrong: AtomicBool,
    // When an attempt to mend it may be made; never again once one succeeded.
    next_mending_ms: AtomicI64,
    time_index_is_wrong: AtomicBool,
    cut_was_told: AtomicBool,
}

impl Segment {
    /// The first batch that ends at or after `offset`, within the first `size` bytes; where that lies in damage, the first
    /// behind it.
    pub(crate) fn batch_reaching(
        &self,
        offset: Offset,
        size: u64,
        mode: ReadMode,
    ) -> Result<Option<BatchAt>, ReadError> {
        let file = self.file_for(mode)?;
        if !self.offset_index_is_wrong() {
            let stopped_at = match self.search_from_hint(&*file, offset, size, mode)? {
                Search::Found(found) => return Ok(found),
                Search::StoppedAt(position) => position,
            };
            if mode == ReadMode::Blocking
                && let Some(batch) = self.indexed_behind(&*file, stopped_at, offset, size)?
            {
                return Ok(Some(batch));
            }
        }
        // A search of the whole log may be long, even where nothing has to be waited for.
        if mode == ReadMode::CachedOnly {
            return Err(ReadError::WouldBlock);
        }
        let found = self.until_cut(self.walk_to(&*file, 0, offset, size, mode))?;
        self.suspect_offset_index();
        Ok(found)
    }

    /// The batch behind `batch`.
    pub(crate) fn batch_after(
        &self,
        batch: &BatchAt,
        size: u64,
        mode: ReadMode,
    ) -> Result<Option<BatchAt>, ReadError> {
        self.until_cut(self.header_from(&*self.file_for(mode)?, batch.end(), size, mode))
    }

    // Over the headers behind the last index entry before `offset`.
    fn search_from_hint(
        &self,
        file: &dyn DiskFile,
        offset: Offset,
        size: u64,
        mode: ReadMode,
    ) -> Result<Search, ReadError> {
        let hint = self.offset_hint(offset, mode)?;
        let mut from = hint.map_or(0, |entry| entry.position.get());
        if let Some(entry) = hint.filter(|_| self.damage.past(from) == from) {
            match hinted(file, entry, self.base_offset, size, mode) {
                Ok(Some(first)) if first.last_offset >= offset => return Ok(Search::Found(Some(first))),
                Ok(Some(first)) => from = first.end(),
                Ok(None) | Err(ReadError::Corrupt(_)) => return Ok(Search::StoppedAt(from)),
                Err(error) => return Err(error),
            }
        }
        match self.until_cut(self.walk_to(file, from, offset, size, mode)) {
            Ok(found) => Ok(Search::Found(found)),
            Err(ReadError::Corrupt(damage)) => Ok(Search::StoppedAt(damage.position)),
            Err(error) => Err(error),
        }
    }

    // The batch of the first index entry behind `offset`, if it is the one that holds it: what lies before it cannot be walked
    // over, and nobody has noted what is damaged there.
    fn indexed_behind(
        &self,
        file: &dyn DiskFile,
        stopped_at: u64,
        offset: Offset,
        size: u64,
    ) -> Result<Option<BatchAt>, ReadError> {
        let base = self.base_offset;
        let entry = self.first_entry(|entry| entry.absolute(base) < offset, ReadMode::Blocking)?;
        let Some(entry) = entry.filter(|entry| entry.position.get() > stopped_at) else { return Ok(None) };
        let holds =
            |batch: &BatchAt| batch.base_offset <= offset && batch.last_offset == entry.absolute(base);
        match header_at(file, entry.position.get(), size, ReadMode::Blocking) {
            Ok(batch) => Ok(batch.filter(holds)),
            Err(ReadError::Corrupt(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    // The first batch from `position` on that ends at or after `offset`.
    fn walk_to(
        &self,
        file: &dyn DiskFile,
        mut position: u64,
        offset: Offset,
        size: u64,
        mode: ReadMode,
    ) -> Result<Option<BatchAt>, ReadError> {
        while let Some(batch) = self.header_from(file, position, size, mode)? {
            if batch.last_offset >= offset {
                return Ok(Some(batch));
            }
            position = batch.end();
        }
        Ok(None)
    }

    // The first batch from `position` on, which is where one begins, or known damage.
    fn header_from(
        &self,
        file: &dyn DiskFile,
        position: u64,
        size: u64,
        mode: ReadMode,
    ) -> Result<Option<BatchAt>, ReadError> {
        header_at(file, self.damage.past(position), size, mode)
    }

    fn until_cut(&self, found: Result<Option<BatchAt>, ReadError>) -> Result<Option<BatchAt>, ReadError> {
        match found {
            // Where the index knows of batches behind it, it is the length of this one that is wrong.
            Err(ReadError::Corrupt(corruption))
                if is_cut(&corruption.rule) && !self.goes_on_behind(corruption.position) =>
            {
                if !self.suspicions.cut_was_told.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        "records are lost: {corruption}; readers go on in the segment behind it, if there is one"
                    );
                }
                Ok(None)
            }
            other => other,
        }
    }

    fn goes_on_behind(&self, position: u64) -> bool {
        let state = self.state();
        let last = state.offset_index.last().map(|entry| entry.position.get());
        last.is_some_and(|last| position < last && last < state.size)
    }

    // The last indexed batch that ends at or before `offset`, as the index tells.
    fn offset_hint(&self, offset: Offset, mode: ReadMode) -> io::Result<Option<OffsetEntry>> {
        let base = self.base_offset;
        let reached = |entry: OffsetEntry| entry.absolute(base) <= offset;
        if mode == ReadMode::Blocking {
            self.open_index_to_search(|state| &mut state.offset_index)?;
        }
        let (floor, last) = {
            self.change(|state, names| {
                let floor = state.offset_index.floor(names, reached, mode)?;
                Ok::<_, io::Error>((floor, state.offset_index.last()))
            })?
        };
        let whole = last.map_or(0, |last: OffsetEntry| u64::from(last.offset.get()));
        let part = u64::try_from(offset.get() - base.get()).unwrap_or(0);
        match floor {
            Floor::Found(entry) => Ok(entry),
            Floor::InFile(view) => view.near(part, whole).floor(reached, mode),
        }
    }

    // The first index entry that `below` refuses.
    fn first_entry(
        &self,
        below: impl Fn(OffsetEntry) -> bool + Copy,
        mode: ReadMode,
    ) -> io::Result<Option<OffsetEntry>> {
        if mode == ReadMode::Blocking {
            self.open_index_to_search(|state| &mut state.offset_index)?;
        }
        let (in_memory, view) = self.change(|state, names| state.offset_index.ceiling(names, below, mode))?;
        let in_file = view.map(|view| view.ceiling(below, mode)).transpose()?.flatten();
        Ok(in_file.or(in_memory))
    }

    /// An offset that lies behind every batch that begins before `position`, as near as the index tells; `None` where
    /// only the segment's end does.
    pub(crate) fn offset_ceiling(&self, position: u64, mode: ReadMode) -> Result<Option<Offset>, ReadError> {
        let below = |entry: OffsetEntry| entry.position.get() < position;
        let Some(entry) = self.first_entry(below, mode)? else { return Ok(None) };
        let at = entry.position.get();
        if self.damage.past(at) > at {
            return Ok(Some(entry.absolute(self.base_offset)));
        }
        match hinted(&*self.file_for(mode)?, entry, self.base_offset, self.published().0, mode) {
            Ok(Some(_)) => Ok(Some(entry.absolute(self.base_offset))),
            Ok(None) | Err(ReadError::Corrupt(_)) => {
                self.suspect_offset_index();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The batch from which on to look for a record that is not older than `timestamp`: the last time entry before it
    /// tells, as in Kafka's `TimeIndex.lookup`. None of the records from `start` on that lie before it will do.
    pub(crate) fn batch_before_time(
        &self,
        timestamp: TimestampMs,
        start: Offset,
        size: u64,
    ) -> Result<Option<BatchAt>, ReadError> {
        let mode = ReadMode::Blocking;
        if self.suspicions.time_index_is_wrong.load(Ordering::Relaxed) {
            return self.batch_reaching(start, size, mode);
        }
        let Some(hint) = self.time_hint(timestamp, mode)? else {
            return self.batch_reaching(start, size, mode);
        };
        let offset = hint.absolute(self.base_offset);
        match self.batch_reaching(offset, size, mode)? {
            Some(batch) if stands_for(hint, self.base_offset, &batch) && offset >= start => {
                return Ok(Some(batch));
            }
            Some(batch) if stands_for(hint, self.base_offset, &batch) => {}
            _ => self.suspect_time_index(),
        }
        self.batch_reaching(start, size, mode)
    }

    fn time_hint(&self, timestamp: TimestampMs, mode: ReadMode) -> io::Result<Option<TimeEntry>> {
        let reached = |entry: TimeEntry| entry.timestamp <= timestamp;
        if mode == ReadMode::Blocking {
            self.open_index_to_search(|state| &mut state.time_index)?;
        }
        let floor = self.change(|state, names| state.time_index.floor(names, reached, mode))?;
        match floor {
            Floor::Found(entry) => Ok(entry),
            Floor::InFile(view) => view.floor(reached, mode),
        }
    }

    /// Makes sure that the largest timestamp, which for a segment found at the start is what the time index ends with,
    /// is that of the log. Reads the headers behind the last index entry where they agree, all of them where they do not; does
    /// nothing the next time.
    pub(crate) fn check_max_timestamp(&self) -> Result<(), ReadError> {
        if self.max_timestamp_is_checked.load(Ordering::Acquire) {
            return Ok(());
        }
        let (size, _) = self.published();
        let (timestamp, offset) = self.max_timestamp();
        let agrees = timestamp != TimestampMs::NONE
            && self
                .batch_reaching(offset, size, ReadMode::Blocking)?
                .is_some_and(|batch| batch.base_offset <= offset && batch.max_timestamp == timestamp);
        if agrees {
            self.see_behind_index(size)?;
        } else {
            self.learn_max_timestamp(size)?;
        }
        self.max_timestamp_is_checked.store(true, Ordering::Release);
        Ok(())
    }

    // A crash while a segment was being left can spare its records and take the last entry of its time index.
    fn see_behind_index(&self, size: u64) -> Result<(), ReadError> {
        let indexed = self.state().offset_index.last();
        let from = indexed.map_or(self.base_offset, |entry| entry.absolute(self.base_offset));
        let mut next = self.batch_reaching(from, size, ReadMode::Blocking)?;
        while let Some(batch) = next {
            self.state().pace.see_timestamp(&batch);
            next = self.batch_after(&batch, size, ReadMode::Blocking)?;
        }
        Ok(())
    }

    fn learn_max_timestamp(&self, mut size: u64) -> Result<(), ReadError> {
        let mut seen = Pace::default();
        let mut last: Option<BatchAt> = None;
        loop {
            let mut next = match last {
                Some(batch) => self.batch_after(&batch, size, ReadMode::Blocking)?,
                None => self.until_cut(self.header_from(&*self.file()?, 0, size, ReadMode::Blocking))?,
            };
            while let Some(batch) = next {
                seen.see_timestamp(&batch);
                last = Some(batch);
                next = self.batch_after(&batch, size, ReadMode::Blocking)?;
            }
            let mut state = self.state();
            // Appends went on meanwhile: theirs count, too.
            if state.size > size {
                size = state.size;
                continue;
            }
            let known = (state.pace.max_timestamp, state.pace.offset_of_max);
            (state.pace.max_timestamp, state.pace.offset_of_max) = (seen.max_timestamp, seen.offset_of_max);
            drop(state);
            if known.0 != seen.max_timestamp {
                self.suspect_time_index();
            }
            return Ok(());
        }
    }

    fn suspect_offset_index(&self) {
        if !self.suspicions.offset_index_is_wrong.swap(true, Ordering::Relaxed) {
            let path = self.names.path(FileType::OffsetIndex);
            tracing::warn!(
                "{} does not agree with its log, which is searched until the index is written anew",
                path.display()
            );
        }
    }

    fn suspect_time_index(&self) {
        if !self.suspicions.time_index_is_wrong.swap(true, Ordering::Relaxed) {
            let path = self.names.path(FileType::TimeIndex);
            tracing::warn!("{} does not agree with its log, which is searched instead", path.display());
        }
    }

    pub(crate) fn offset_index_is_wrong(&self) -> bool {
        self.suspicions.offset_index_is_wrong.load(Ordering::Relaxed)
    }

    /// Writes the offset index anew from the headers of the log, unless somebody tried a short while ago. What was to be
    /// read is found without it, so a failure is told and no more. An index that is wrong again after it was mended is left
    /// alone: its disk does not keep what it is given.
    pub(crate) fn mend_offset_index(&self, index_interval_bytes: u32, now: TimestampMs) {
        if !self.begin_mending(now.get()) {
            return;
        }
        let path = self.names.path(FileType::OffsetIndex);
        match self.write_offset_index_anew(&path, index_interval_bytes) {
            Ok(true) => {
                self.suspicions.next_mending_ms.store(i64::MAX, Ordering::Release);
                self.suspicions.offset_index_is_wrong.store(false, Ordering::Relaxed);
                tracing::warn!("{} did not agree with its log and was written anew", path.display());
            }
            Ok(false) => {}
            Err(error) => tracing::warn!("{} cannot be written anew yet: {error}", path.display()),
        }
    }

    // One reader gets the attempt.
    fn begin_mending(&self, now: i64) -> bool {
        let next = &self.suspicions.next_mending_ms;
        let due = next.load(Ordering::Acquire);
        let later = now.saturating_add(MENDING_INTERVAL_MS);
        now >= due && next.compare_exchange(due, later, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    // Appends go on meanwhile, and whoever searches the old file goes on searching that. `false` where the segment was cut
    // or renamed meanwhile: then what was written is of no use.
    fn write_offset_index_anew(&self, path: &Path, index_interval_bytes: u32) -> Result<bool, ReadError> {
        let file = self.file()?;
        let (size, _) = self.published();
        let mut walk = IndexWalk { interval: index_interval_bytes, ..IndexWalk::default() };
        walk.through(self, &*file, size)?;
        let written = WrittenBeside::write(self.names.disk(), path, &walk.due)?;
        walk.due.clear();
        let _files = self.files();
        if self.published().0 < size || self.names.path(FileType::OffsetIndex) != path {
            return Ok(false);
        }
        walk.through(self, &*file, self.published().0)?;
        let replacement = written.take_the_name(path)?;
        self.change(|state, names| {
            state.flushed.indexes_changed();
            // Nothing, or what was appended during the renaming. The file has its name, whatever this answers.
            let caught_up = walk.through(self, &*file, state.size);
            state.offset_index.go_on_with(names, replacement);
            for entry in walk.due {
                state.offset_index.append(names, entry)?;
            }
            caught_up.map(|()| true)
        })
    }
}

/// A walk over the headers that gathers the entries they make due.
#[derive(Default)]
struct IndexWalk {
    pace: Pace,
    interval: u32,
    next: u64,
    due: Vec<OffsetEntry>,
}

impl IndexWalk {
    fn through(&mut self, segment: &Segment, file: &dyn DiskFile, size: u64) -> Result<(), ReadError> {
        loop {
            let past = segment.damage.past(self.next);
            if past > self.next {
                self.pace.entry_is_due();
            }
            match header_at(file, past, size, ReadMode::Blocking) {
                Ok(Some(batch)) => {
                    self.due.extend(self.pace.step(segment.base_offset, &batch, self.interval).offset_entry);
                    self.next = batch.end();
                }
                Ok(None) => return Ok(()),
                Err(ReadError::Corrupt(corruption)) if is_cut(&corruption.rule) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a search that began at an index entry came to.
enum Search {
    Found(Option<BatchAt>),
    /// The entry, or a header behind it, leads nowhere.
    StoppedAt(u64),
}

fn is_cut(rule: &Rule) -> bool {
    matches!(rule, Rule::BatchCut { .. })
}

// The batch that an entry points to, if it can be the one that the entry stands for.
fn hinted(
    file: &dyn DiskFile,
    entry: OffsetEntry,
    base: Offset,
    size: u64,
    mode: ReadMode,
) -> Result<Option<BatchAt>, ReadError> {
    let batch = header_at(file, entry.position.get(), size, mode)?;
    Ok(batch.filter(|batch| may_stand_for(entry, base, batch)))
}

/// Whether an entry that points to `batch` may be its entry. An append of several batches had one in Kafka once: the last
/// offset of all of them, at the position of the first.
pub(super) fn may_stand_for(entry: OffsetEntry, base: Offset, batch: &BatchAt) -> bool {
    batch.base_offset >= base && batch.last_offset <= entry.absolute(base)
}

fn stands_for(entry: TimeEntry, base: Offset, batch: &BatchAt) -> bool {
    batch.base_offset <= entry.absolute(base) && batch.max_timestamp == entry.timestamp
}
