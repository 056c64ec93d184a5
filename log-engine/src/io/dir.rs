//! Directories: replacing a file in one step, removing a tree.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{Disk, FileKind, OpenMode};

/// Puts `bytes` in place of the file at `path`, so that a crash at any moment leaves either the old content or the
/// new, whole: written to `path` + `.tmp`, made durable, renamed, and the directory made durable, as Kafka's
/// CheckpointFile does.
pub fn atomic_replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = with_suffix(path, ".tmp");
    let file = disk.open(&temporary, OpenMode::OpenOrCreate)?;
    file.set_len(0)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&temporary, path)?;
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => disk.sync_dir(dir),
        _ => disk.sync_dir(Path::new(".")),
    }
}

/// Removes a directory with all that is in it. A crash leaves some of it; call again.
pub fn remove_dir_all(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for entry in disk.list(dir)? {
        match entry.kind {
            FileKind::File => disk.remove_file(&entry.path)?,
            FileKind::Directory => remove_dir_all(disk, &entry.path)?,
        }
    }
    disk.remove_dir(dir)
}

/// Renames a file or directory that stands where it cannot be used, so that nothing is lost that nobody can explain: to
/// `path` + `.aside`, or with a number behind that where the name is taken. Answers the new name.
pub fn move_aside(disk: &dyn Disk, path: &Path) -> io::Result<PathBuf> {
    let mut aside = with_suffix(path, ASIDE);
    let mut number = 1;
    while disk.metadata(&aside).is_ok() {
        aside = with_suffix(path, &format!("{ASIDE}.{number}"));
        number += 1;
    }
    disk.rename(path, &aside)?;
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => disk.sync_dir(dir)?,
        _ => disk.sync_dir(Path::new("."))?,
    }
    Ok(aside)
}

/// How the name of what was moved aside ends.
const ASIDE: &str = ".aside";

/// The file beside `path` whose name goes on with `suffix`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
