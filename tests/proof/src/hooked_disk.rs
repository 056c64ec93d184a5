//! The disk of this machine with hooks in it: tests that count what is read, and plants that lie.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use log_engine::io::{
    BackendChoice, BackendReport, DirEntry, Disk, DiskFile, FileHandle, FileLock, Metadata, NativeDisk,
    OpenMode, ShortWrite, WriteQueue,
};

/// What happens besides, or instead. Every hook does nothing special unless it is written.
pub trait Hooks: fmt::Debug + Send + Sync {
    /// A file was opened.
    fn opened(&self, _file: &FileHandle, _mode: OpenMode) -> io::Result<()> {
        Ok(())
    }

    /// Somebody is about to read a file and to wait for the disk if need be.
    fn reading(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// These bytes of a file are to be handed to who reads them.
    fn read(&self, _file: &FileHandle, _bytes: &mut [u8], _position: u64) {}

    /// A file or a directory is to be flushed.
    fn syncing(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Whether the flush is only said to have happened.
    fn skips_sync(&self, _path: &Path) -> bool {
        false
    }

    /// Something is to be created, renamed or removed, or a length changed.
    fn changing(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Bytes are to be written.
    fn write(&self, file: &FileHandle, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        file.write_vectored_all_at(parts, position)
    }
}

/// A disk whose files all have the same hooks.
#[derive(Debug)]
pub struct HookedDisk {
    honest: Arc<dyn Disk>,
    hooks: Arc<dyn Hooks>,
}

impl HookedDisk {
    /// This machine's disk with hooks.
    pub fn new(hooks: Arc<dyn Hooks>) -> Self {
        // Threads: their queue goes through `DiskFile` for every write, a ring would go around the hooks.
        Self::over(Arc::new(NativeDisk::new(BackendChoice::Threads)), hooks)
    }

    /// Another disk with hooks, whose queue must go through `DiskFile` for every write.
    pub fn over(honest: Arc<dyn Disk>, hooks: Arc<dyn Hooks>) -> Self {
        Self { honest, hooks }
    }
}

impl Disk for HookedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let honest = self.honest.open(path, mode)?;
        self.hooks.opened(&honest, mode)?;
        Ok(Arc::new(HookedFile { honest, hooks: Arc::clone(&self.hooks) }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.honest.list(dir)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.honest.metadata(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.hooks.changing(dir)?;
        self.honest.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.hooks.changing(from)?;
        self.honest.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.hooks.changing(path)?;
        self.honest.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.hooks.changing(dir)?;
        self.honest.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.hooks.syncing(dir)?;
        if self.hooks.skips_sync(dir) { Ok(()) } else { self.honest.sync_dir(dir) }
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        self.honest.lock(path)
    }

    fn write_queue(&self) -> io::Result<Box<dyn WriteQueue>> {
        self.honest.write_queue()
    }

    fn backend(&self) -> BackendReport {
        self.honest.backend()
    }
}

#[derive(Debug)]
struct HookedFile {
    honest: FileHandle,
    hooks: Arc<dyn Hooks>,
}

impl HookedFile {
    fn told(&self, read: io::Result<usize>, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let bytes = read?;
        self.hooks.read(&self.honest, &mut buf[..bytes], position);
        Ok(bytes)
    }
}

impl DiskFile for HookedFile {
    fn path(&self) -> &Path {
        self.honest.path()
    }

    fn len(&self) -> io::Result<u64> {
        self.honest.len()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.hooks.reading(self.honest.path())?;
        let read = self.honest.read_at(buf, position);
        self.told(read, buf, position)
    }

    fn read_cached_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let read = self.honest.read_cached_at(buf, position);
        self.told(read, buf, position)
    }

    fn write_vectored_all_at(&self, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        self.hooks.write(&self.honest, parts, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.hooks.changing(self.honest.path())?;
        self.honest.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.hooks.syncing(self.honest.path())?;
        if self.hooks.skips_sync(self.honest.path()) { Ok(()) } else { self.honest.sync_data() }
    }

    fn start_writeback(&self, position: u64, len: u64) -> io::Result<()> {
        self.honest.start_writeback(position, len)
    }

    fn bring_in(&self, position: u64, len: u64) -> io::Result<()> {
        self.hooks.reading(self.honest.path())?;
        self.honest.bring_in(position, len)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.honest.as_fd()
    }
}
