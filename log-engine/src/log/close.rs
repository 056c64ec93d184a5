//! The ends of a log's life in this process: closed with everything flushed, or taken away.

use std::io;
use std::path::Path;

use super::Log;
use super::flush::Flushed;

impl Log {
    /// Refuses appends from now on and waits for those on their way.
    pub(crate) fn refuse_appends(&self) {
        let mut tail = self.tail();
        tail.closed = true;
        drop(self.wait_until_drained(tail));
    }

    /// Leaves the log as a clean stop leaves it: nothing on its way, indexes complete and without spare room, all of
    /// it on the disk.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.refuse_appends();
        self.segments().active().seal()?;
        self.flush()
    }

    /// Renames the log's directory, once no flush is under way; from then on there is nothing to flush. What is open
    /// stays readable. Answers `false` where the log was moved before.
    pub(crate) fn move_to(&self, path: &Path) -> io::Result<bool> {
        let mut flushed = self.flushed();
        if flushed.gone {
            return Ok(false);
        }
        self.move_away(&mut flushed, path).map(|()| true)
    }

    pub(super) fn move_away(&self, flushed: &mut Flushed, path: &Path) -> io::Result<()> {
        self.path.rename_to(path)?;
        flushed.gone = true;
        Ok(())
    }
}
