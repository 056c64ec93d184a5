//! The seam between the engine and the machine: files, directories, and queues of writes.
//!
//! Everything the engine asks of a disk goes through [`Disk`] and [`DiskFile`], paths included, so that one
//! simulated disk can lose power under the whole engine. This is also the only place with `unsafe` code.
//! It knows files and bytes; it has never heard of batches, segments or offsets.
//!
//! ```text
//!   Disk ---- open ----> DiskFile (FileHandle)      read_at, read_cached_at, write_all_at, sync_data
//!     |
//!     +-- write_queue -> WriteQueue                 one per committer: a group of writes and flushes at once
//! ```
#![allow(unsafe_code, reason = "rings, maps and a few bare system calls live here and nowhere else")]

mod backend;
mod dir;
mod file_lock;
mod map;
mod native;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod threads;
#[cfg(feature = "tokio-uring")]
mod tokio_uring;
pub mod transfer;
mod uring;
mod write;

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use backend::{Backend, BackendChoice, BackendReport};
pub(crate) use dir::with_suffix;
pub use dir::{atomic_replace, move_aside, remove_dir_all};
pub use file_lock::FileLock;
pub use map::SealedMap;
pub use native::NativeDisk;
pub use write::{FileGroup, QueueCounts, Run, WriteGroup, WriteQueue, write_runs};

/// A shared open file. Whoever holds it keeps the file readable, also after it was removed from its directory.
pub type FileHandle = Arc<dyn DiskFile>;

/// A file system as the engine sees it.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file for reading and writing, or only reading, as `mode` says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle>;

    /// The entries of a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// What is at `path`; `NotFound` where nothing is.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Creates a directory and its missing parents; one that exists already is no error.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file or a directory, replacing a file of the new name in one step. Durable after
    /// [`Disk::sync_dir`] of both parents.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Handles that are open go on working.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable: creations, renames and removals up to now survive a power loss.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes an exclusive lock that Kafka's own `.lock` respects, creating the file where it is missing.
    /// `WouldBlock` when another process, or another engine in this one, holds it.
    fn lock(&self, path: &Path) -> io::Result<FileLock>;

    /// A queue for one committer. To be made on the thread that will use it: a ring belongs to its thread.
    fn write_queue(&self) -> io::Result<Box<dyn WriteQueue>>;

    /// Which backend runs, and why that one.
    fn backend(&self) -> BackendReport;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Where the file was when it was opened; for messages.
    fn path(&self) -> &Path;

    /// Current length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads up to `buf.len()` bytes; 0 only at the end of the file. May wait for the disk.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;

    /// As [`DiskFile::read_at`], but `WouldBlock` where the first byte is not in the page cache.
    fn read_cached_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes all parts one behind the other from `position` on. On an error the number of bytes that did
    /// arrive is in [`ShortWrite::written`].
    fn write_vectored_all_at(&self, parts: &[io::IoSlice<'_>], position: u64) -> Result<(), ShortWrite>;

    /// Cuts or extends the file to `len` bytes; an extension reads as zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Bytes and length become durable. After an error the state on disk is unknown and calling again proves
    /// nothing: the kernel may have dropped the pages and report success.
    fn sync_data(&self) -> io::Result<()>;

    /// Starts writing dirty pages of a range to the disk without waiting for it; without effect where the system
    /// has no such call. Promises nothing; an error means that bytes are lost, as a failed flush does.
    fn start_writeback(&self, position: u64, len: u64) -> io::Result<()>;

    /// Says that a range will not be read again soon, so that the page cache need not keep it. Promises nothing.
    fn forget(&self, _position: u64, _len: u64) {}

    /// Reads a range into the page cache and waits until it is there, see [`transfer::bring_in`].
    fn bring_in(&self, position: u64, len: u64) -> io::Result<()> {
        transfer::bring_in(self, position, len)
    }

    /// The descriptor, where the file has one: a simulated file has none and is copied instead of sent.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Reads exactly `buf.len()` bytes; `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, buf: &mut [u8], position: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read_at(&mut buf[filled..], position + filled as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `position`.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.write_vectored_all_at(&[io::IoSlice::new(bytes)], position).map_err(|short| short.error)
    }
}

/// A write that ended early.
#[derive(Debug)]
pub struct ShortWrite {
    /// How many bytes from the start of the write are in the file nevertheless.
    pub written: u64,
    /// Why the rest is not.
    pub error: io::Error,
}

/// Whether there is no room: the disk or a quota is exhausted, or a file is at the limit of its size. What is stored is
/// intact then, and the same may go well once there is room.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether something is used up, room, descriptors or memory, which says nothing of the disk: the same may go well later.
pub fn is_shortage(error: &io::Error) -> bool {
    is_full(error) || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

/// Whether it is descriptors that are used up: of this process, or of the machine.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Descriptors that this process may have.
pub(crate) fn descriptors_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// How a file is opened.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// Reading only; the file must exist.
    Read,
    /// Reading and writing; the file must exist.
    ReadWrite,
    /// Reading and writing; created where it is missing.
    OpenOrCreate,
    /// Reading and writing; `AlreadyExists` where it exists.
    CreateNew,
}

/// One name in a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DirEntry {
    /// The whole path.
    pub path: PathBuf,
    /// File or directory.
    pub kind: FileKind,
}

impl DirEntry {
    /// The last component, where it is valid UTF-8; Kafka's names always are.
    pub fn name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }
}

/// What a path leads to.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Facts of a path.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// File or directory.
    pub kind: FileKind,
    /// Length in bytes; of no meaning for a directory.
    pub len: u64,
    /// Last change, milliseconds since 1970.
    pub modified_ms: i64,
}

#[cfg(test)]
mod conformance;
