//! What a crash can leave between a log's files: deletions begun, cleanings unfinished, cleanings finished but not put
//! in place; there the rules are those of Kafka's `LogLoader`. And files written beside those that they were to replace.
//! Files that are none of a log's are left alone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::LEADER_EPOCH_FILE;
use crate::error::ReadError;
use crate::io::{DirEntry, Disk, FileKind, OpenMode, move_aside};
use crate::log_dir::PARTITION_METADATA_FILE;
use crate::segment::name::{FileName, FileState, FileType, file_name, parse_file_name};
use crate::segment::scan::{ReadMode, header_at};
use crate::types::Offset;

/// Finishes what was begun; answers the base offsets of the segments, ascending.
pub(super) fn sweep(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<Offset>, ReadError> {
    let entries = disk.list(dir)?;
    make_way(disk, &entries)?;
    let mut live = files_of_log(entries);
    if live.iter().any(|(_, name)| name.state != FileState::Live) {
        remove_useless(disk, &live)?;
        finish_swaps(disk, dir, &live)?;
        live = files_of_log(disk.list(dir)?);
    }
    let is_segment = |name: &FileName| name.file_type == FileType::Log && name.state == FileState::Live;
    let mut segments: Vec<Offset> =
        live.iter().filter(|(_, name)| is_segment(name)).map(|(_, name)| name.offset).collect();
    segments.sort();
    remove_orphaned_indexes(disk, &live, &segments)?;
    Ok(segments)
}

// A directory where a file is to be that can be made anew. One in the place of records is another matter: it is not known what
// is missing then.
fn make_way(disk: &Arc<dyn Disk>, entries: &[DirEntry]) -> io::Result<()> {
    let can_be_made = |name: &str| {
        let of_segment = parse_file_name(name).is_some_and(|name| name.file_type != FileType::Log);
        of_segment || name == LEADER_EPOCH_FILE || name == PARTITION_METADATA_FILE
    };
    for entry in entries.iter().filter(|entry| entry.kind == FileKind::Directory) {
        let is_records = |name: &FileName| name.file_type == FileType::Log && name.state == FileState::Live;
        if entry.name().and_then(parse_file_name).is_some_and(|name| is_records(&name)) {
            let problem = format!("{} is a directory, where records are to be", entry.path.display());
            return Err(io::Error::new(io::ErrorKind::IsADirectory, problem));
        }
        if entry.name().is_some_and(can_be_made) {
            let aside = move_aside(&**disk, &entry.path)?;
            tracing::warn!("{} is a directory; it is now {}", entry.path.display(), aside.display());
        }
    }
    Ok(())
}

fn files_of_log(entries: Vec<DirEntry>) -> Vec<(PathBuf, FileName)> {
    let files = entries.into_iter().filter(|entry| entry.kind == FileKind::File);
    files
        .filter_map(|entry| Some((parse_file_name(entry.name()?)?, entry.path)).map(|(n, p)| (p, n)))
        .collect()
}

fn remove_useless(disk: &Arc<dyn Disk>, files: &[(PathBuf, FileName)]) -> io::Result<()> {
    files
        .iter()
        .filter(|(_, name)| matches!(name.state, FileState::Deleted | FileState::Unfinished))
        .try_for_each(|(path, _)| disk.remove_file(path))
}

// A swap file was finished by the cleaner, so it takes the place of the segments that it was made of. But if files of
// the same cleaning are still `.cleaned` below it, that cleaning had not got so far, and its sources are all there
// (KAFKA-6264).
fn finish_swaps(disk: &Arc<dyn Disk>, dir: &Path, files: &[(PathBuf, FileName)]) -> Result<(), ReadError> {
    let in_state = |state: FileState| files.iter().filter(move |(_, name)| name.state == state);
    let first_unfinished = in_state(FileState::Cleaned).map(|(_, name)| name.offset).min();
    for (path, _) in in_state(FileState::Cleaned) {
        disk.remove_file(path)?;
    }
    let (valid, invalid): (Vec<_>, Vec<_>) = in_state(FileState::Swap)
        .partition(|(_, name)| first_unfinished.is_none_or(|unfinished| name.offset < unfinished));
    for (path, _) in invalid {
        disk.remove_file(path)?;
    }
    let logs = || valid.iter().filter(|(_, name)| name.file_type == FileType::Log);
    let Some(from) = logs().map(|(_, name)| name.offset).min() else {
        return rename_swaps(disk, dir, &valid);
    };
    let mut until = from;
    for (path, name) in logs() {
        until = until.max(next_offset(disk, path, name.offset)?);
    }
    for (path, name) in in_state(FileState::Live) {
        if name.file_type != FileType::ProducerSnapshot && name.offset >= from && name.offset < until {
            disk.remove_file(path)?;
        }
    }
    rename_swaps(disk, dir, &valid)
}

fn rename_swaps(disk: &Arc<dyn Disk>, dir: &Path, swaps: &[&(PathBuf, FileName)]) -> Result<(), ReadError> {
    for (path, name) in swaps {
        disk.rename(path, &dir.join(file_name(name.offset, name.file_type)))?;
    }
    if swaps.is_empty() { Ok(()) } else { Ok(disk.sync_dir(dir)?) }
}

fn next_offset(disk: &Arc<dyn Disk>, path: &Path, base: Offset) -> Result<Offset, ReadError> {
    let file = disk.open(path, OpenMode::Read)?;
    let (length, mut position, mut next) = (file.len()?, 0, base);
    while let Some(batch) = header_at(&*file, position, length, ReadMode::Blocking)? {
        (position, next) = (batch.end(), batch.last_offset.next());
    }
    Ok(next)
}

fn remove_orphaned_indexes(
    disk: &Arc<dyn Disk>,
    files: &[(PathBuf, FileName)],
    segments: &[Offset],
) -> io::Result<()> {
    let is_orphan = |name: &FileName| {
        let index =
            matches!(name.file_type, FileType::OffsetIndex | FileType::TimeIndex | FileType::TxnIndex);
        index && name.state == FileState::Live && segments.binary_search(&name.offset).is_err()
    };
    files.iter().filter(|(_, name)| is_orphan(name)).try_for_each(|(path, _)| disk.remove_file(path))
}
