//! Taking a log away: its directory is renamed first, so that no crash leaves half a log under a log's name.

use std::io;
use std::path::PathBuf;

use super::Engine;
use crate::home::Doomed;
use crate::log::Log;
use crate::segment::name::{DELETED_DIRECTORY, STRAY_DIRECTORY, moved_directory_name};
use crate::types::TopicPartition;

impl Engine {
    /// Takes a log away; answers whether there was one. Its directory is renamed at once and removed after
    /// `file.delete.delay.ms`; readers that hold slices keep their files. Where the rename fails, the log stays and
    /// can be read, but takes no appends any more; deleting it may be tried again.
    pub fn delete_log(&self, partition: &TopicPartition) -> io::Result<bool> {
        let Some(log) = self.log(partition) else { return Ok(false) };
        log.refuse_appends();
        let doomed = path_to_move_to(&log, DELETED_DIRECTORY);
        if !log.move_to(&doomed)? {
            return Ok(false);
        }
        self.logs.remove(partition);
        let home = log.home();
        let due = home.clock.now().get().saturating_add(log.config().file_delete_delay_ms);
        home.note_deleted(due, Doomed::Directory(doomed));
        home.disk.sync_dir(&home.path)?;
        Ok(true)
    }

    /// Takes a log away that no metadata know of, as Kafka does with a stray replica; answers whether there was one.
    /// Its directory is renamed to `topic-partition.<32 hex digits>-stray` and its files are kept. No start opens it:
    /// whoever wants the records back renames it.
    pub fn set_aside(&self, partition: &TopicPartition) -> io::Result<bool> {
        let Some(log) = self.log(partition) else { return Ok(false) };
        log.close()?;
        if !log.move_to(&path_to_move_to(&log, STRAY_DIRECTORY))? {
            return Ok(false);
        }
        self.logs.remove(partition);
        log.home().disk.sync_dir(&log.home().path)?;
        Ok(true)
    }
}

// Beside the log's directory, under a name that no other has.
pub(super) fn path_to_move_to(log: &Log, suffix: &str) -> PathBuf {
    let home = log.home();
    let id = u128::from(home.random()) << 64 | u128::from(home.random());
    home.path.join(moved_directory_name(log.partition(), id, suffix))
}
