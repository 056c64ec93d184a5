//! Making what was published durable, and moving the recovery point. This waits for the disk and, while it does, holds no
//! lock that appends or readers of the page cache want. Only the append that is the first in its segment to promise
//! durability comes here, with no lock held.
//!
//! Before the point moves to an offset, these are on the disk: the records and index entries below it, the leader
//! epochs, and the producer state at it. So a start after a crash reads the log from the point on and nothing before.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use crate::checkpoint::{LEADER_EPOCH_FILE, format_epochs};
use crate::error::AppendError;
use crate::home::copy_of;
use crate::io::{atomic_replace, is_shortage};
use crate::segment::Segment;
use crate::types::Offset;

use super::Log;
use super::producers::{remove_snapshots, sync_snapshot, write_snapshot};
use super::tail::{Pending, Tail};

/// What the last flush left.
#[derive(Debug)]
pub(super) struct Flushed {
    /// The snapshot at the recovery point, where no segment begins there.
    pub(super) stray_snapshot: Option<Offset>,
    /// The directory was renamed away: its old name means nothing now, or another log.
    pub(super) gone: bool,
}

impl Log {
    /// Everything published so far becomes durable, and the recovery point moves behind it. A failing disk takes the
    /// directory offline; one that is merely full does not, nor does a want of descriptors: what cannot be written then can
    /// be made again. Without effect on a log that was deleted.
    pub fn flush(&self) -> io::Result<()> {
        self.flush_to_recovery_point().inspect_err(|error| {
            if !is_shortage(error) {
                self.fail_directory("flush", error);
            }
        })
    }

    /// No flush is under way, and the log keeps its place, while the guard is held.
    pub(super) fn flushed(&self) -> MutexGuard<'_, Flushed> {
        self.flushing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush_to_recovery_point(&self) -> io::Result<()> {
        let mut flushed = self.flushed();
        if flushed.gone {
            return Ok(());
        }
        self.check_online()?;
        let unflushed_bytes = self.unflushed_bytes.load(Ordering::Relaxed);
        let (end, snapshot) = {
            let tail = self.tail();
            (self.offsets.log_end(), tail.producers.to_snapshot())
        };
        let from = self.recovery_point();
        self.write_epochs()?;
        if end <= from {
            return Ok(());
        }
        let segments: Vec<Arc<Segment>> = self.segments().floor_and_after(from).cloned().collect();
        for segment in &segments {
            segment.sync()?;
        }
        self.write_snapshots(&segments, end, &snapshot, &mut flushed)?;
        self.home.disk.sync_dir(&self.path.get())?;
        // Somebody else's flush of the same file may have failed meanwhile, and this one have succeeded without the bytes.
        self.check_online()?;
        self.offsets.raise_durable_end(end);
        self.recovery_point.store(end.get(), Ordering::Release);
        self.home.note_stale();
        self.flushed_at.store(self.home.clock.now().get(), Ordering::Relaxed);
        self.unflushed_bytes.fetch_sub(unflushed_bytes, Ordering::Relaxed);
        self.home.recovery_points.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    // After a failed flush another one succeeds and proves nothing: the kernel has dropped what it could not write.
    fn check_online(&self) -> io::Result<()> {
        match self.home.dir_state().offline() {
            Some(offline) => Err(io::Error::other(offline.to_string())),
            None => Ok(()),
        }
    }

    // The snapshots at the start of the flushed segments were written when those were rolled. The one at the recovery
    // point replaces the one at the point before.
    fn write_snapshots(
        &self,
        segments: &[Arc<Segment>],
        end: Offset,
        snapshot: &[u8],
        flushed: &mut Flushed,
    ) -> io::Result<()> {
        let (disk, dir) = (&self.home.disk, self.path.get());
        for segment in segments.iter().skip(1) {
            sync_snapshot(disk, &dir, segment.base_offset)?;
        }
        write_snapshot(disk, &dir, end, snapshot)?;
        sync_snapshot(disk, &dir, end)?;
        let is_segment = |offset| self.segments().iter().any(|segment| segment.base_offset == offset);
        let stray = (!is_segment(end)).then_some(end);
        if let Some(old) = std::mem::replace(&mut flushed.stray_snapshot, stray)
            && old != end
            && !is_segment(old)
        {
            remove_snapshots(disk, &dir, |offset| offset == old)?;
        }
        Ok(())
    }

    /// Whether `flush.ms` or `flush.messages` ask for a flush in the background.
    pub(crate) fn flush_is_due(&self, now: i64) -> bool {
        let config = self.config();
        let messages = self.offsets.log_end().get() - self.recovery_point().get();
        let since = now.saturating_sub(self.flushed_at.load(Ordering::Relaxed));
        messages >= config.flush_messages || since >= config.flush_ms
    }

    /// Bytes published since the recovery point.
    pub(crate) fn unflushed_bytes(&self) -> u64 {
        self.unflushed_bytes.load(Ordering::Relaxed)
    }

    /// Writes the leader epochs where they changed.
    pub(super) fn write_epochs(&self) -> io::Result<()> {
        if !self.epochs_dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let text = format_epochs(self.tail().epochs.entries());
        let path = self.path.get().join(LEADER_EPOCH_FILE);
        atomic_replace(&*self.home.disk, &path, text.as_bytes())
            .inspect_err(|_| self.epochs_dirty.store(true, Ordering::Release))
    }

    /// Everything that records in `segment` rest on becomes durable: the segments before it, and the names of their
    /// files. Called with no lock held, before the first append to the segment that promises durability.
    pub(super) fn make_ground_durable(&self, segment: &Segment) -> Result<(), AppendError> {
        let before = segment.base_offset;
        let on_their_way = |tail: &Tail| {
            tail.pending.iter().any(|pending| match pending {
                Pending::Append(reservation) => reservation.segment.base_offset < before,
                Pending::Roll(segment) => segment.base_offset < before,
            })
        };
        drop(self.wait_while(self.tail(), on_their_way));
        self.sync_before(before).map_err(|error| {
            // A deletion meanwhile took the names away, which says nothing of the disk.
            if self.flushed().gone {
                return AppendError::Closed;
            }
            self.note_failed_flush(&error);
            AppendError::Io { path: self.directory(), error: Arc::new(error) }
        })?;
        segment.set_ground_durable();
        Ok(())
    }

    /// What was appended without a promise becomes durable: what is on its way once it has arrived.
    pub(super) fn make_shown_durable(&self, tail: MutexGuard<'_, Tail>) {
        let volatile = |pending: &Pending| match pending {
            Pending::Append(reservation) => !reservation.durable,
            Pending::Roll(_) => false,
        };
        drop(self.wait_while(tail, |tail| tail.pending.iter().any(volatile)));
        let in_place = self.flushed();
        if in_place.gone {
            return;
        }
        if let Err(error) = self.sync_records() {
            self.note_failed_flush(&error);
        }
    }

    /// Segments that begin before `end`, and the names of their files.
    fn sync_before(&self, end: Offset) -> io::Result<()> {
        let durable_end = self.offsets.durable_end();
        let older: Vec<Arc<Segment>> = self
            .segments()
            .floor_and_after(durable_end)
            .take_while(|segment| segment.base_offset < end)
            .cloned()
            .collect();
        for segment in older {
            segment.sync()?;
        }
        self.home.disk.sync_dir(&self.path.get())
    }

    /// The records published so far become durable; the recovery point stays, so that nothing is written for it, which a
    /// full disk would refuse.
    pub fn flush_records(&self) -> io::Result<()> {
        let in_place = self.flushed();
        if in_place.gone {
            return Ok(());
        }
        self.sync_records().inspect_err(|error| self.note_failed_flush(error))
    }

    fn sync_records(&self) -> io::Result<()> {
        let end = self.offsets.log_end();
        let from = self.offsets.durable_end();
        let segments: Vec<Arc<Segment>> = self.segments().floor_and_after(from).cloned().collect();
        for segment in segments {
            segment.sync_records()?;
        }
        self.home.disk.sync_dir(&self.path.get())?;
        // Somebody else's flush of the same file may have failed meanwhile, and this one have succeeded without the bytes.
        self.check_online()?;
        self.offsets.raise_durable_end(end);
        Ok(())
    }

    /// Flushing a file of the log's directory failed.
    pub(crate) fn note_failed_flush(&self, error: &io::Error) {
        if !is_shortage(error) {
            self.fail_directory("flush", error);
        }
    }

    pub(super) fn fail_directory(&self, operation: &'static str, error: &io::Error) {
        self.home.dir_state().fail(operation, &self.directory(), copy_of(error));
    }
}
