//! What compaction asks of a log: the segments up to an offset, who wrote last, which transactions were aborted; and to
//! put a cleaned segment in the place of those it was made of.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Corruption, ReadError};
use crate::io::is_shortage;
use crate::producer::ProducerEntry;
use crate::segment::scan::ReadMode;
use crate::segment::txn_index::AbortedTransaction;
use crate::segment::{Segment, cleaned};
use crate::types::{Offset, ProducerId};

use super::Log;

/// Where a log stands with compaction.
#[derive(Debug)]
pub(super) struct CompactionState {
    // What was cleaned ends here; below zero where nothing was.
    cleaned_to: AtomicI64,
    uncleanable: AtomicBool,
    // One cleaning at a time.
    at_work: AtomicBool,
    // How often the log was cut: what a cleaning knows of the keys may rest on records that are gone.
    cuts: AtomicU64,
    // Segments are exchanged or cut under this lock, which comes before every other lock of the log.
    exchange: Mutex<()>,
}

impl CompactionState {
    pub(super) fn new(cleaned_to: Option<Offset>) -> Self {
        Self {
            cleaned_to: AtomicI64::new(cleaned_to.map_or(-1, Offset::get)),
            uncleanable: AtomicBool::new(false),
            at_work: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            exchange: Mutex::new(()),
        }
    }

    /// No segment is exchanged or cut while the guard is held.
    pub(super) fn exchange(&self) -> MutexGuard<'_, ()> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The records from `end` on are gone: what takes their place was not cleaned.
    pub(super) fn cut_to(&self, end: Offset) {
        self.cuts.fetch_add(1, Ordering::AcqRel);
        self.cleaned_to.fetch_min(end.get(), Ordering::AcqRel);
    }
}

/// The right to clean a log; ends when this is dropped.
#[derive(Debug)]
pub(crate) struct CleaningTurn<'a> {
    log: &'a Log,
    cuts: u64,
}

impl Drop for CleaningTurn<'_> {
    fn drop(&mut self) {
        self.log.compaction.at_work.store(false, Ordering::Release);
    }
}

impl CleaningTurn<'_> {
    /// Whether the log was cut since: what was read of it may be gone, or half of it.
    pub(crate) fn is_void(&self) -> bool {
        self.log.cuts() != self.cuts
    }

    /// Everything before `offset` is compacted. Where the log was cut meanwhile, the cut has said how far.
    pub(crate) fn set_cleaned_to(&self, offset: Offset) {
        let _no_cut = self.log.compaction.exchange();
        if !self.is_void() {
            self.log.compaction.cleaned_to.store(offset.get(), Ordering::Release);
            self.log.home.note_stale();
        }
    }
}

/// Why a cleaned segment did not take its place.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// The sources were cut or deleted meanwhile.
    Changed,
    /// The log is as it was, or its directory is offline.
    Io(io::Error),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Log {
    /// The offset up to which the log was compacted: what `cleaner-offset-checkpoint` tells. `None` where it never was.
    pub fn cleaned_to(&self) -> Option<Offset> {
        let offset = self.compaction.cleaned_to.load(Ordering::Acquire);
        (offset >= 0).then(|| Offset::new(offset))
    }

    /// How often the log was cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.compaction.cuts.load(Ordering::Acquire)
    }

    /// Damage before `end` that is known: such a log is left alone.
    pub(crate) fn damage_before(&self, end: Offset) -> Option<Corruption> {
        let segments = self.segments();
        let mut before = segments.iter().filter(|segment| segment.base_offset < end);
        before.find_map(|segment| Some(segment.damage().into_iter().next()?.corruption))
    }

    /// Whether compaction has given the log up, until the next start.
    pub fn is_uncleanable(&self) -> bool {
        self.compaction.uncleanable.load(Ordering::Acquire)
    }

    pub(crate) fn give_up_cleaning(&self) {
        self.compaction.uncleanable.store(true, Ordering::Release);
    }

    /// The right to clean the log, unless somebody has it.
    pub(crate) fn begin_cleaning(&self) -> Option<CleaningTurn<'_>> {
        let cuts = self.cuts();
        (!self.compaction.at_work.swap(true, Ordering::AcqRel)).then_some(CleaningTurn { log: self, cuts })
    }

    pub(crate) fn segments_before(&self, end: Offset) -> Vec<Arc<Segment>> {
        self.segments().iter().filter(|segment| segment.base_offset < end).cloned().collect()
    }

    /// The segments with records from `from` on that begin before `end`.
    pub(crate) fn segments_between(&self, from: Offset, end: Offset) -> Vec<Arc<Segment>> {
        let segments = self.segments();
        segments.floor_and_after(from).filter(|segment| segment.base_offset < end).cloned().collect()
    }

    pub(crate) fn map_producers<T>(&self, map: impl Fn(&ProducerEntry) -> T) -> HashMap<ProducerId, T> {
        self.tail().producers.producers().map(|producer| (producer.producer_id, map(producer))).collect()
    }

    /// Aborted transactions with records from `from` to before `upper`, in the order of their markers.
    pub(crate) fn aborted_between(
        &self,
        from: Offset,
        upper: Offset,
    ) -> Result<Vec<AbortedTransaction>, ReadError> {
        let mut aborted = Vec::new();
        let mut complete = false;
        for segment in self.segments_between(from, Offset::new(i64::MAX)) {
            if complete {
                break;
            }
            segment.aborted(ReadMode::Blocking)?.for_each(ReadMode::Blocking, |transaction| {
                if transaction.last_offset >= from && transaction.first_offset < upper {
                    aborted.push(transaction);
                }
                complete = transaction.last_stable_offset >= upper;
                !complete
            })?;
        }
        Ok(aborted)
    }

    /// Puts `cleaned`, whose files are on the disk under `.cleaned` names, in the place of `sources`, of which these
    /// sizes and ends were read. What a crash leaves at each step is told in ADR 8.
    pub(crate) fn exchange_segments(
        &self,
        turn: &CleaningTurn<'_>,
        sources: &[Arc<Segment>],
        ends: &[(u64, Offset)],
        cleaned: &Arc<Segment>,
    ) -> Result<(), ExchangeError> {
        let _turn = self.compaction.exchange();
        let flushed = self.flushed();
        let unchanged =
            !turn.is_void() && sources.iter().map(|source| source.published()).eq(ends.iter().copied());
        if flushed.gone || !unchanged || !self.segments().holds_closed(sources) {
            self.discard_cleaned(cleaned.base_offset);
            return Err(ExchangeError::Changed);
        }
        let (disk, dir) = (&self.home.disk, self.path.get());
        let ready = sources
            .iter()
            .try_for_each(|source| source.open_for_good())
            .and_then(|()| cleaned.make_swap())
            .and_then(|()| disk.sync_dir(&dir));
        if let Err(error) = ready {
            sources.iter().for_each(|source| source.open_as_needed());
            self.discard_cleaned(cleaned.base_offset);
            // What names the disk holds is not known then, and a start might finish what was given up here.
            if !is_shortage(&error) {
                self.fail_directory("compaction", &error);
            }
            return Err(error.into());
        }
        self.segments_mut().replace(sources, Arc::clone(cleaned));
        self.take_place(sources, cleaned).inspect_err(|error| self.fail_directory("compaction", error))?;
        // Their names say that they may go; a start removes what stays behind here.
        for source in sources {
            if let Err(error) = source.remove() {
                tracing::warn!("a compacted segment of {} was not removed: {error}", self.partition);
            }
        }
        Ok(())
    }

    fn take_place(&self, sources: &[Arc<Segment>], cleaned: &Segment) -> io::Result<()> {
        for source in sources {
            if source.base_offset == cleaned.base_offset {
                source.mark_replaced()?;
            } else {
                source.mark_deleted()?;
            }
        }
        cleaned.make_live()?;
        self.home.disk.sync_dir(&self.path.get())
    }

    /// Removes the files of a cleaning that came to nothing. What cannot be removed now is removed by the next start, or
    /// before the next attempt.
    pub(crate) fn discard_cleaned(&self, base_offset: Offset) {
        if let Err(error) = cleaned::remove_leftovers(&self.path, base_offset) {
            tracing::warn!("leftovers of compacting {} were not removed: {error}", self.partition);
        }
    }

    /// The log's own place, for files beside its segments.
    pub(crate) fn path(&self) -> &Arc<crate::segment::LogPath> {
        &self.path
    }
}
