//! What a crash in the middle of a move between data directories leaves, see [`crate::log::relocate`].

use std::path::PathBuf;
use std::sync::Arc;

use super::Logs;
use super::remove::path_to_move_to;
use crate::error::OpenError;
use crate::home::{Doomed, Home};
use crate::io::remove_dir_all;
use crate::log::Log;
use crate::log_dir::RELOCATED_FILE;
use crate::segment::name::DELETED_DIRECTORY;
use crate::types::TopicPartition;

/// The one of two logs of a partition that counts: the copy that says that it is complete. The other one goes as a
/// deleted log does. Where neither says so, or both, nobody knows.
pub(super) fn resolve(first: Arc<Log>, second: Arc<Log>) -> Result<Arc<Log>, OpenError> {
    let (kept, old) = match (is_relocated(&first), is_relocated(&second)) {
        (true, false) => (first, second),
        (false, true) => (second, first),
        _ => {
            return Err(OpenError::DuplicatePartition {
                partition: first.partition().clone(),
                first: first.data_directory().to_owned(),
                second: second.data_directory().to_owned(),
            });
        }
    };
    let (home, doomed) = (old.home(), path_to_move_to(&old, DELETED_DIRECTORY));
    old.move_to(&doomed).and_then(|_| home.disk.sync_dir(&home.path)).map_err(OpenError::io(&home.path))?;
    tracing::info!("{} was moved to {}", kept.partition(), kept.data_directory().display());
    let due = home.clock.now().get().saturating_add(kept.config().file_delete_delay_ms);
    home.note_deleted(due, Doomed::Directory(doomed));
    Ok(kept)
}

/// All directories are here, so no other place of a log can turn up any more.
pub(super) fn forget_moves(logs: &Logs, directories: usize) {
    if directories < 2 {
        return;
    }
    for log in logs.all().iter().filter(|log| is_relocated(log)) {
        let path = log.directory().join(RELOCATED_FILE);
        if let Err(error) = log.home().disk.remove_file(&path) {
            tracing::warn!("{} is not removed yet: {error}", path.display());
        }
    }
}

fn is_relocated(log: &Log) -> bool {
    log.home().disk.metadata(&log.directory().join(RELOCATED_FILE)).is_ok()
}

/// Removes copies of logs that are still where they were, and answers which moves were meant. A copy of a log that is
/// nowhere stays: its directory may be offline.
pub(super) fn remove_unfinished(
    logs: &Logs,
    futures: Vec<(TopicPartition, PathBuf, Arc<Home>)>,
) -> Vec<(TopicPartition, PathBuf)> {
    let mut unfinished = Vec::new();
    for (partition, path, home) in futures {
        if logs.get(&partition).is_none() {
            tracing::error!("{} is a copy of a log that is nowhere; it is left as it is", path.display());
            continue;
        }
        match remove_dir_all(&*home.disk, &path) {
            Ok(()) => unfinished.push((partition, home.path.clone())),
            Err(error) => tracing::warn!("{} was not removed: {error}", path.display()),
        }
    }
    unfinished
}
