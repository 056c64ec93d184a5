//! Cutting a log: its end (replication), its start (DeleteRecords, retention), all of it.
//!
//! ```text
//!   [log_start ........ log_end)     truncate_to(o):              [log_start .. o)
//!                                    delete_records_before(o):           [o .. log_end)
//!                                    truncate_fully_and_start_at(o):             [o, o)
//! ```

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use crate::checkpoint::{
    self, CLEANER_FILE, LOG_START_FILE, OffsetsByPartition, RECOVERY_POINT_FILE, REPLICATION_FILE,
    ReadCheckpointError,
};
use crate::error::TruncateError;
use crate::home::Home;
use crate::io::{OpenMode, atomic_replace, is_full, is_shortage};
use crate::log_dir::CUTTING_FILE;
use crate::producer::ProducerStates;
use crate::segment::{Segment, ignore_missing};
use crate::types::Offset;

use super::Log;
use super::producers::{load_newest, remove_snapshots, replay};
use super::tail::Tail;

impl Log {
    /// Removes the records from `end` on, durably; answers whether there were any. Nothing is on its way meanwhile. A crash
    /// meanwhile leaves the log as it was, or cut at or behind `end`: cut again. Where damage hides where `end` lies, the log
    /// is as it was, too.
    pub fn truncate_to(self: &Arc<Self>, end: Offset) -> Result<bool, TruncateError> {
        let exchange = self.compaction.exchange();
        // A flush under way would note a recovery point, and a producer snapshot, of records that are cut here.
        let flushed = self.flushed();
        let mut tail = self.open_and_drained()?;
        if end >= tail.next_offset {
            // A leader of whom no record came may have begun here (KAFKA-10706).
            let end = tail.next_offset;
            self.cut_epochs(&mut tail, end);
            return Ok(false);
        }
        let active = self.segments().floor(end).cloned();
        let Some(active) = active else {
            drop((tail, flushed, exchange));
            return self.truncate_fully_and_start_at(end).map(|()| true);
        };
        // What may turn out to be damaged is read before anything is changed.
        let position = active.place_of_cut(end)?;
        // Whoever writes checkpoints meanwhile finds these.
        self.recovery_point.fetch_min(end.get(), Ordering::AcqRel);
        self.compaction.cut_to(end);
        self.prepare_cut(end.next(), Some(end))?;
        let cut = self.cut_to(&mut tail, active, position, end);
        cut.inspect_err(|error| self.fail_half_done(error)).map(|()| true)
    }

    // What a shortage may refuse, before anything is cut: then the log is as it was. Its segments from `from` on are about to
    // go, and the one before is about to be cut.
    fn prepare_cut(&self, from: Offset, checkpoints_to: Option<Offset>) -> io::Result<()> {
        let segments: Vec<Arc<Segment>> = self.segments().iter().cloned().collect();
        let kept = segments.iter().take_while(|segment| segment.base_offset < from).count();
        let prepare = || {
            segments[kept.saturating_sub(1)..].iter().try_for_each(|segment| segment.open_for_good())?;
            checkpoints_to.map_or(Ok(()), |to| self.lower_checkpoints(to))?;
            self.note_cut_begun()
        };
        prepare().inspect_err(|error| {
            segments.iter().for_each(|segment| segment.open_as_needed());
            if !is_shortage(error) {
                self.fail_directory("truncate", error);
            }
        })
    }

    // `active` is the last segment that stays, and is cut at `position`.
    fn cut_to(
        self: &Arc<Self>,
        tail: &mut Tail,
        active: Arc<Segment>,
        position: u64,
        end: Offset,
    ) -> Result<(), TruncateError> {
        // Readers are shown the new end before the bytes go: who still holds a slice finds the file shorter.
        self.offsets.truncate(end, None);
        self.home.note_stale();
        // The high watermark, where somebody has written it since.
        self.lower_checkpoints(end)?;
        let behind = self.segments_mut().take_from(end.next());
        mark_all_deleted(&behind)?;
        remove_all(&behind)?;
        active.cut(position, end)?;
        remove_snapshots(&self.home.disk, &self.path.get(), |offset| offset > end)?;
        self.make_cut_durable(&active)?;
        active.open_as_needed();
        self.note_cut_done();
        self.cut_epochs(tail, end);
        tail.next_offset = end;
        let jitter = tail.jitter;
        tail.activate(active, jitter);
        tail.producers = self.producers_at(end, &mut tail.producers)?;
        tail.producers.on_high_watermark_updated(self.offsets.high_watermark());
        self.offsets.set_first_unstable(tail.producers.first_unstable_offset());
        Ok(())
    }

    fn cut_epochs(&self, tail: &mut Tail, end: Offset) {
        if tail.epochs.truncate_from_end(end) {
            self.epochs_dirty.store(true, Ordering::Release);
        }
    }

    /// Removes everything, durably; the next record will be at `start`. A crash meanwhile leaves some of the records, or an
    /// empty log that begins at the old start or the new.
    pub fn truncate_fully_and_start_at(self: &Arc<Self>, start: Offset) -> Result<(), TruncateError> {
        let _exchange = self.compaction.exchange();
        let _flushed = self.flushed();
        let mut tail = self.open_and_drained()?;
        self.prepare_cut(Offset::ZERO, None)?;
        self.start_over(&mut tail, start).inspect_err(|error| self.fail_half_done(error))
    }

    fn start_over(self: &Arc<Self>, tail: &mut Tail, start: Offset) -> Result<(), TruncateError> {
        self.compaction.cut_to(start);
        self.recovery_point.fetch_min(start.get(), Ordering::AcqRel);
        self.offsets.truncate(self.offsets.log_start(), None);
        let old = {
            let mut segments = self.segments_mut();
            let placeholder = Arc::clone(segments.active());
            segments.replace_all(placeholder)
        };
        mark_all_deleted(&old)?;
        remove_all(&old)?;
        let fresh = Segment::create(&self.path, start, self.home.clock.now())?;
        remove_snapshots(&self.home.disk, &self.path.get(), |_| true)?;
        self.make_cut_durable(&fresh)?;
        self.note_cut_done();
        self.segments_mut().replace_all(Arc::clone(&fresh));
        self.offsets.restart(start);
        self.home.note_stale();
        self.recovery_point.store(start.get(), Ordering::Release);
        // Now that whoever writes checkpoints finds the new offsets, and before anything is appended.
        self.lower_checkpoints(start)?;
        tail.epochs.clear();
        tail.producers.truncate_fully_and_start_at(start);
        self.epochs_dirty.store(true, Ordering::Release);
        tail.next_offset = start;
        let jitter = self.home.random();
        tail.activate(fresh, jitter);
        Ok(())
    }

    /// Moves the log start forward: records before `start` are no longer read, and whole segments of them are removed
    /// by the next retention. Answers the log start, which never moves back. Not durable by itself: a crash may bring records
    /// back until [`crate::Engine::note_log_starts`].
    pub fn delete_records_before(&self, start: Offset) -> Result<Offset, TruncateError> {
        let offsets = self.offsets();
        if start > offsets.high_watermark {
            let (log_start, high_watermark) = (offsets.log_start, offsets.high_watermark);
            return Err(TruncateError::OffsetOutOfRange { offset: start, log_start, high_watermark });
        }
        self.raise_log_start(start);
        Ok(self.offsets.log_start())
    }

    pub(crate) fn raise_log_start(&self, start: Offset) {
        if !self.offsets.raise_log_start(start) {
            return;
        }
        self.home.note_stale();
        let mut tail = self.tail();
        if tail.epochs.truncate_from_start(start) {
            self.epochs_dirty.store(true, Ordering::Release);
        }
        tail.producers.on_log_start_offset_incremented(start);
        self.offsets.set_first_unstable(tail.producers.first_unstable_offset());
    }

    // Files and memory may tell of different logs now; a start sorts it out.
    fn fail_half_done(&self, error: &TruncateError) {
        self.fail_directory("truncate", &io::Error::other(error.to_string()));
    }

    // A start believes what lies below the recovery point, sets aside what lies below the log start, and takes a hole before
    // what was compacted for one that compaction left: where records will be written anew, no checkpoint may name later
    // offsets any more.
    fn lower_checkpoints(&self, to: Offset) -> io::Result<()> {
        let mut written = self.home.checkpoints();
        self.noted_recovery_point.fetch_min(to.get(), Ordering::AcqRel);
        for name in [RECOVERY_POINT_FILE, LOG_START_FILE, REPLICATION_FILE] {
            if let Some(text) = self.lower_in(name, to)? {
                written.insert(name, text);
            }
        }
        drop(written);
        let mut written = self.home.cleaner_checkpoint();
        if let Some(text) = self.lower_in(CLEANER_FILE, to)? {
            *written = Some(text);
        }
        Ok(())
    }

    // Answers the file's text where it was changed.
    fn lower_in(&self, name: &str, to: Offset) -> io::Result<Option<String>> {
        let path = self.home.path.join(name);
        let mut offsets = self.read_checkpoint(&path)?;
        match offsets.get_mut(&self.partition) {
            Some(offset) if *offset > to => *offset = to,
            _ => return Ok(None),
        }
        let text = checkpoint::format_offsets(&offsets);
        atomic_replace(&*self.home.disk, &path, text.as_bytes())?;
        Ok(Some(text))
    }

    /// The checkpoint says where the recovery point is now.
    pub(super) fn raise_checkpoint(&self) -> io::Result<()> {
        let mut written = self.home.checkpoints();
        let recovery_point = self.recovery_point();
        let path = self.home.path.join(RECOVERY_POINT_FILE);
        let mut offsets = self.read_checkpoint(&path)?;
        offsets.insert(self.partition.clone(), recovery_point);
        let text = checkpoint::format_offsets(&offsets);
        atomic_replace(&*self.home.disk, &path, text.as_bytes())?;
        written.insert(RECOVERY_POINT_FILE, text);
        self.noted_recovery_point.store(recovery_point.get(), Ordering::Release);
        Ok(())
    }

    // One that is damaged says nothing of any log; the background writes it anew.
    fn read_checkpoint(&self, path: &Path) -> io::Result<OffsetsByPartition> {
        match checkpoint::read_offsets(&self.home.disk, path) {
            Ok(offsets) => Ok(offsets),
            Err(ReadCheckpointError::Corrupt(_)) => Ok(OffsetsByPartition::new()),
            Err(ReadCheckpointError::Io(error)) => Err(error),
        }
    }

    // Who is killed in the middle leaves a log that is shorter in the page cache and not on the disk. Nothing but this file
    // tells a start of it, and what it then appends would, after a power loss, be what was there before.
    fn note_cut_begun(&self) -> io::Result<()> {
        let path = self.path.get();
        self.home.disk.open(&path.join(CUTTING_FILE), OpenMode::OpenOrCreate)?;
        self.home.disk.sync_dir(&path).inspect_err(|error| self.note_failed_flush(error))
    }

    // One that stays behind costs the next start a flush.
    fn note_cut_done(&self) {
        let path = self.path.get().join(CUTTING_FILE);
        if let Err(error) = self.home.disk.remove_file(&path) {
            tracing::warn!("{} is not removed yet: {error}", path.display());
        }
    }

    /// Finishes a cut that a crash has interrupted, where there is one: what is there is so on the disk, too.
    pub(super) fn finish_cut(&self) -> io::Result<()> {
        let path = self.path.get().join(CUTTING_FILE);
        match self.home.disk.metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            looked => looked.map(drop)?,
        }
        let active = Arc::clone(self.segments().active());
        self.make_cut_durable(&active)?;
        ignore_missing(self.home.disk.remove_file(&path))
    }

    // What was cut off must not come back behind the records that take its place. Index entries for which a full disk has no
    // room stay in memory: the next flush writes them.
    fn make_cut_durable(&self, active: &Segment) -> io::Result<()> {
        match active.sync() {
            Err(error) if is_full(&error) => active.sync_records()?,
            synced => synced?,
        }
        self.home.disk.sync_dir(&self.path.get()).inspect_err(|error| self.note_failed_flush(error))
    }

    // After a cut: what was built on the records that went is forgotten, the rest is read again.
    fn producers_at(
        &self,
        end: Offset,
        before: &mut ProducerStates,
    ) -> Result<ProducerStates, TruncateError> {
        let Home { disk, clock, .. } = &*self.home;
        let dir = self.path.get();
        let segments: Vec<Arc<Segment>> = self.segments().iter().cloned().collect();
        let first = self.segments().first().base_offset;
        let mut states =
            load_newest(disk, &dir, first, end, clock.now(), self.home.producer_expiration_ms())?;
        states.take_verifications_of(before);
        replay(&mut states, &segments, end)?;
        Ok(states)
    }

    fn open_and_drained(&self) -> Result<MutexGuard<'_, Tail>, TruncateError> {
        let tail = self.wait_while(self.tail(), |tail| tail.handing_over || !tail.pending.is_empty());
        if tail.closed { Err(TruncateError::Closed) } else { Ok(tail) }
    }
}

fn remove_all(segments: &[Arc<Segment>]) -> io::Result<()> {
    segments.iter().try_for_each(|segment| segment.remove())
}

pub(super) fn mark_all_deleted(segments: &[Arc<Segment>]) -> io::Result<()> {
    segments.iter().try_for_each(|segment| segment.mark_deleted())
}
