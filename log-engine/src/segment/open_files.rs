//! Which files of segments stay open: those used lately, up to a bound. ADR 14 tells what may be closed when.
//!
//! The segments with open files stand in a ring. Who opens a file beyond the bound walks the ring: a segment that was used
//! since the last visit is spared this once, all files of the others are closed. Whoever holds a handle, a reader or
//! an append on its way, holds it on: then the descriptor goes with the last of them.
//!
//! A file is not closed while it holds bytes that no flush has confirmed: the kernel reports a failed write-back to
//! descriptors that are open, and may forget it where there are none.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::io::{
    BackendReport, DirEntry, Disk, FileHandle, FileLock, Metadata, OpenMode, WriteQueue,
    is_out_of_descriptors,
};

use super::Segment;

/// The open files of all segments of an engine.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    max: usize,
    kept: AtomicUsize,
    ring: Mutex<VecDeque<Weak<Segment>>>,
}

/// Whether a segment's files were closed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Closing {
    /// They are closed; the segment has left the ring.
    Closed,
    /// Used lately, or at work this moment.
    InUse,
    /// They hold what no flush has confirmed.
    Unflushed,
}

/// Files that a new segment has open.
pub(crate) const FILES_OF_NEW_SEGMENT: usize = 3;

impl OpenFiles {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, kept: AtomicUsize::new(0), ring: Mutex::default() })
    }

    /// Files that segments keep open.
    pub(crate) fn kept(&self) -> usize {
        self.kept.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self, segment: Weak<Segment>) {
        self.ring().push_back(segment);
    }

    /// Closes files that can be closed at once, until so many more may be open. Waits for nothing.
    pub(super) fn make_room(&self, files: usize) {
        self.close_down_to(self.max.saturating_sub(files), Segment::close_flushed);
    }

    /// The same for a thread that holds no lock but that of its own segment's files: where there are no others, files are
    /// flushed to be closed.
    pub(crate) fn make_room_by_flushing(&self, files: usize) {
        self.make_room(files);
        self.close_down_to(self.max.saturating_sub(files), Segment::flush_and_close);
    }

    /// Descriptors ran out, whoever has them. Answers whether some were given back.
    fn give_some_back(&self) -> bool {
        let kept = self.kept();
        self.close_down_to(kept - kept.div_ceil(8), Segment::close_flushed);
        self.kept() < kept
    }

    // Twice around at most: once to find that all were used, once to close them.
    fn close_down_to(&self, kept: usize, close: impl Fn(&Segment) -> Closing) {
        if self.kept() <= kept {
            return;
        }
        let visits = 2 * self.ring().len();
        for _ in 0..visits {
            if self.kept() <= kept {
                return;
            }
            let Some(next) = self.ring().pop_front() else { return };
            let Some(segment) = next.upgrade() else { continue };
            if close(&segment) != Closing::Closed {
                self.ring().push_back(next);
            }
        }
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Weak<Segment>>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that a segment keeps open, counted as such.
#[derive(Debug)]
pub(crate) struct KeptFile {
    file: FileHandle,
    among: Arc<OpenFiles>,
}

impl KeptFile {
    pub(super) fn new(file: FileHandle, among: &Arc<OpenFiles>) -> Self {
        among.kept.fetch_add(1, Ordering::Relaxed);
        Self { file, among: Arc::clone(among) }
    }

    pub(super) fn handle(&self) -> FileHandle {
        Arc::clone(&self.file)
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        self.among.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place that a segment has for one of its open files.
#[derive(Debug, Default)]
pub(super) struct FileSlot(Option<KeptFile>);

impl FileSlot {
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// The file, where it is open.
    pub(super) fn handle(&self) -> Option<FileHandle> {
        self.0.as_ref().map(KeptFile::handle)
    }

    /// Keeps a file that was opened for the place, unless one is there by now; answers the one that is.
    pub(super) fn keep(&mut self, file: KeptFile) -> FileHandle {
        self.0.get_or_insert(file).handle()
    }

    /// Another file is the one from now on.
    pub(super) fn replace(&mut self, file: KeptFile) {
        self.0 = Some(file);
    }

    pub(super) fn close(&mut self) {
        self.0 = None;
    }
}

/// A disk that, when descriptors run out, has segments give some back and tries again.
#[derive(Debug)]
pub(crate) struct SparingDisk {
    disk: Arc<dyn Disk>,
    open_files: Arc<OpenFiles>,
}

/// Each attempt gives back an eighth of what is left.
const ATTEMPTS: usize = 8;

impl SparingDisk {
    pub(crate) fn over(disk: Arc<dyn Disk>, open_files: &Arc<OpenFiles>) -> Arc<dyn Disk> {
        Arc::new(Self { disk, open_files: Arc::clone(open_files) })
    }

    fn sparingly<T>(&self, call: impl Fn(&dyn Disk) -> io::Result<T>) -> io::Result<T> {
        for _ in 0..ATTEMPTS {
            match call(&*self.disk) {
                Err(error) if is_out_of_descriptors(&error) && self.open_files.give_some_back() => {}
                other => return other,
            }
        }
        call(&*self.disk)
    }
}

impl Disk for SparingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        self.sparingly(|disk| disk.open(path, mode))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.sparingly(|disk| disk.list(dir))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.disk.metadata(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sparingly(|disk| disk.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        self.sparingly(|disk| disk.lock(path))
    }

    fn write_queue(&self) -> io::Result<Box<dyn WriteQueue>> {
        self.sparingly(|disk| disk.write_queue())
    }

    fn backend(&self) -> BackendReport {
        self.disk.backend()
    }
}
