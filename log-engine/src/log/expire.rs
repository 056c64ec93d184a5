//! What retention does to a log, once it is decided which segments go.

use std::io;
use std::sync::Arc;

use crate::home::Doomed;

use crate::retain::LogStart;

use super::Log;

impl Log {
    /// The log starts behind its first `count` segments; where those are all, a new one is begun. Answers whether there
    /// are segments that lie before its start.
    pub(crate) fn start_behind_segments(self: &Arc<Self>, count: usize) -> io::Result<bool> {
        if count == 0 {
            return Ok(false);
        }
        let infos = self.segments_info();
        let start = match infos.get(count) {
            Some(first) => first.base_offset,
            None if self.leave_active_segment(&infos)? => self.segments().active().base_offset,
            None => return Ok(false),
        };
        self.raise_log_start(start);
        Ok(true)
    }

    // Unless records came since it was decided that the active segment is old: then it is not.
    fn leave_active_segment(self: &Arc<Self>, decided_on: &[crate::SegmentInfo]) -> io::Result<bool> {
        let mut tail = self.tail();
        let end = tail.next_offset;
        let unchanged = decided_on.last().is_some_and(|active| active.end_offset == end);
        if tail.closed
            || tail.handing_over
            || !tail.pending.is_empty()
            || !unchanged
            || tail.active.base_offset == end
        {
            return Ok(false);
        }
        self.roll(&mut tail, end, self.home.clock.now()).map(|()| true).map_err(io::Error::other)
    }

    /// Renames the segments that lie before the log start, and has them removed after `file.delete.delay.ms`. Readers
    /// that hold slices of them go on reading. Where no checkpoint says that they may go, each is gone for good before the
    /// next one follows: a crash that takes back a rename leaves no hole.
    pub(crate) fn set_old_segments_aside(&self, noted: LogStart) -> io::Result<()> {
        // No flush works on them meanwhile, and the directory keeps its name.
        let flushed = self.flushed();
        if flushed.gone {
            return Ok(());
        }
        let start = self.offsets.log_start();
        let Some(first) = self.segments().floor(start).map(|segment| segment.base_offset) else {
            return Ok(());
        };
        let old: Vec<_> =
            self.segments().iter().filter(|segment| segment.base_offset < first).cloned().collect();
        let due = self.home.clock.now().get().saturating_add(self.config().file_delete_delay_ms);
        for segment in old {
            // What cannot be renamed stays a part of the log: else nobody would take it away should the log start over.
            segment.mark_deleted()?;
            self.segments_mut().take_before(segment.base_offset.next());
            for file in segment.deleted_files() {
                self.home.note_deleted(due, Doomed::File(file));
            }
            if noted == LogStart::Unnoted {
                self.home.disk.sync_dir(&self.path.get())?;
            }
        }
        // The next checkpoint says nothing more of the old log start.
        self.home.disk.sync_dir(&self.path.get())
    }
}
