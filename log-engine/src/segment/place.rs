//! Where the files of a log and of its segments are, and how they are opened by their names.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::io::{Disk, FileHandle, Metadata, OpenMode, with_suffix};
use crate::types::Offset;

use super::name::{FileState, FileType, file_name};
use super::open_files::{KeptFile, OpenFiles};

/// What the logs of one data directory share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) open_files: Arc<OpenFiles>,
    pub(crate) flusher: Arc<dyn Flusher>,
}

/// Whoever takes a data directory offline.
pub(crate) trait Flusher: Send + Sync + std::fmt::Debug {
    /// Flushes the file, which is that at `path`. Where that fails, or another flush of the file did that was under way,
    /// nobody knows what of it is on the disk, and the directory is offline.
    fn flush(&self, file: &FileHandle, path: &Path) -> io::Result<()>;

    /// Whether the directory is offline: nobody hopes for its files any more.
    fn is_offline(&self) -> bool;
}

/// Where a log lies; it changes when the log is deleted.
#[derive(Debug)]
pub(crate) struct LogPath {
    site: Arc<Site>,
    dir: RwLock<Arc<Path>>,
}

impl LogPath {
    pub(crate) fn new(site: &Arc<Site>, dir: PathBuf) -> Arc<Self> {
        Arc::new(Self { site: Arc::clone(site), dir: RwLock::new(dir.into()) })
    }

    pub(crate) fn get(&self) -> Arc<Path> {
        Arc::clone(&self.dir.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.site.disk
    }

    pub(crate) fn file(&self, offset: Offset, file_type: FileType) -> PathBuf {
        self.get().join(file_name(offset, file_type))
    }

    /// Renames the directory. Nobody opens a file of it by a name that is no longer, or not yet, its own.
    pub(crate) fn rename_to(&self, to: &Path) -> io::Result<()> {
        let mut dir = self.dir.write().unwrap_or_else(PoisonError::into_inner);
        self.site.disk.rename(&dir, to)?;
        *dir = to.into();
        Ok(())
    }

    fn open(&self, name: &str, mode: OpenMode) -> io::Result<FileHandle> {
        let dir = self.dir.read().unwrap_or_else(PoisonError::into_inner);
        self.site.disk.open(&dir.join(name), mode)
    }
}

/// The names of a segment's files.
#[derive(Debug)]
pub(crate) struct Names {
    log: Arc<LogPath>,
    base_offset: Offset,
    // Changes under the lock of the segment's files, as the names do.
    state: AtomicU8,
}

const STATES: [FileState; 4] = [FileState::Live, FileState::Deleted, FileState::Cleaned, FileState::Swap];

impl Names {
    pub(crate) fn new(log: &Arc<LogPath>, base_offset: Offset, state: FileState) -> Self {
        let names = Self { log: Arc::clone(log), base_offset, state: AtomicU8::new(0) };
        names.set_state(state);
        names
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub(crate) fn site(&self) -> &Arc<Site> {
        &self.log.site
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        self.log.disk()
    }

    fn state(&self) -> FileState {
        STATES.get(usize::from(self.state.load(Ordering::Acquire))).copied().unwrap_or(FileState::Live)
    }

    pub(crate) fn set_state(&self, state: FileState) {
        let index = STATES.iter().position(|known| *known == state).unwrap_or(0);
        self.state.store(index as u8, Ordering::Release);
    }

    /// What the file is called now.
    pub(crate) fn path(&self, file_type: FileType) -> PathBuf {
        self.path_in(file_type, self.state())
    }

    /// What the file is called in another state.
    pub(crate) fn path_in(&self, file_type: FileType, state: FileState) -> PathBuf {
        with_suffix(&self.log.file(self.base_offset, file_type), state.suffix())
    }

    pub(crate) fn metadata(&self, file_type: FileType) -> io::Result<Metadata> {
        self.disk().metadata(&self.path(file_type))
    }

    /// Opens the file for a moment.
    pub(crate) fn open(&self, file_type: FileType, mode: OpenMode) -> io::Result<FileHandle> {
        let name = file_name(self.base_offset, file_type) + self.state().suffix();
        self.log.open(&name, mode)
    }

    /// Opens the file for a segment that keeps it open. Others are closed to make room, if that is done at once.
    pub(crate) fn open_to_keep(&self, file_type: FileType, mode: OpenMode) -> io::Result<KeptFile> {
        self.site().open_files.make_room(1);
        Ok(self.keep(self.open(file_type, mode)?))
    }

    pub(crate) fn keep(&self, file: FileHandle) -> KeptFile {
        KeptFile::new(file, &self.site().open_files)
    }
}
