//! The operating system's files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::ReadWriteFlags;

use super::backend::{Backend, BackendChoice, BackendReport};
use super::threads::ThreadsQueue;
#[cfg(feature = "tokio-uring")]
use super::tokio_uring::TokioUringQueue;
use super::uring::UringQueue;
use super::write::WriteQueue;
use super::{DirEntry, Disk, DiskFile, FileHandle, FileKind, FileLock, Metadata, OpenMode, ShortWrite};

/// The file system of this machine, with the backend that writes to it.
#[derive(Debug)]
pub struct NativeDisk {
    backend: BackendReport,
}

impl NativeDisk {
    /// Chooses the backend by asking the kernel, unless the choice is made already.
    pub fn new(choice: BackendChoice) -> Self {
        Self { backend: Backend::probe(choice) }
    }
}

impl Disk for NativeDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::OpenOrCreate => options.write(true).create(true).truncate(false),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        let file = options.open(path)?;
        Ok(Arc::new(NativeFile { file, path: path.to_owned() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                let (path, of_name) = (entry.path(), entry.file_type());
                // Only a symbolic link has to be followed to know what it leads to.
                let is_directory = match of_name {
                    Ok(of_name) if !of_name.is_symlink() => of_name.is_dir(),
                    _ => fs::metadata(&path).is_ok_and(|found| found.is_dir()),
                };
                let kind = if is_directory { FileKind::Directory } else { FileKind::File };
                Ok(DirEntry { path, kind })
            })
            .collect()
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let facts = fs::metadata(path)?;
        Ok(Metadata {
            kind: if facts.is_dir() { FileKind::Directory } else { FileKind::File },
            len: facts.len(),
            modified_ms: facts.mtime() * 1000 + facts.mtime_nsec() / 1_000_000,
        })
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the disk")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<FileLock> {
        FileLock::acquire(path)
    }

    fn write_queue(&self) -> io::Result<Box<dyn WriteQueue>> {
        let ring = match self.backend.backend {
            Backend::Uring => UringQueue::new().map(|queue| Box::new(queue) as Box<dyn WriteQueue>),
            #[cfg(feature = "tokio-uring")]
            Backend::TokioUring => TokioUringQueue::new().map(|queue| Box::new(queue) as Box<dyn WriteQueue>),
            Backend::Threads | Backend::Sim => return Ok(Box::new(ThreadsQueue)),
        };
        // Granted at the start and refused now, by a limit that others use up: plain calls do as well.
        ring.or_else(|error| {
            tracing::warn!("no ring for one more data directory, plain system calls instead: {error}");
            Ok(Box::new(ThreadsQueue))
        })
    }

    fn backend(&self) -> BackendReport {
        self.backend.clone()
    }
}

#[derive(Debug)]
struct NativeFile {
    file: File,
    path: PathBuf,
}

impl DiskFile for NativeFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        retry_interrupted(|| self.file.read_at(buf, position))
    }

    fn read_cached_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut parts = [IoSliceMut::new(buf)];
        match retry_interrupted(|| {
            Ok(rustix::io::preadv2(&self.file, &mut parts, position, ReadWriteFlags::NOWAIT)?)
        }) {
            // A file system without the flag cannot tell; the caller goes the way that may wait.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            other => other,
        }
    }

    fn write_vectored_all_at(&self, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        let total: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut written = 0;
        while written < total {
            match retry_interrupted(|| self.write_some(parts, position, written)) {
                Ok(0) => return Err(ShortWrite { written, error: io::ErrorKind::WriteZero.into() }),
                Ok(n) => written += n as u64,
                Err(error) => return Err(ShortWrite { written, error }),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn start_writeback(&self, position: u64, len: u64) -> io::Result<()> {
        let (Ok(position), Ok(len)) = (position.try_into(), len.try_into()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // SAFETY: takes a descriptor that `self` keeps open and three integers; no memory is involved.
        let result = unsafe {
            libc::sync_file_range(self.file.as_raw_fd(), position, len, libc::SYNC_FILE_RANGE_WRITE)
        };
        match result {
            0 => Ok(()),
            _ => match io::Error::last_os_error() {
                error if is_refused_hint(&error) => Ok(()),
                error => Err(error),
            },
        }
    }

    fn forget(&self, position: u64, len: u64) {
        // Advice that is not taken costs memory that the kernel can take back.
        let _ = rustix::fs::fadvise(&self.file, position, NonZeroU64::new(len), rustix::fs::Advice::DontNeed);
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

impl NativeFile {
    /// One call of the kernel, behind the first `done` bytes of `parts`.
    fn write_some(&self, parts: &[IoSlice<'_>], position: u64, done: u64) -> io::Result<usize> {
        match parts {
            [only] => self.file.write_at(&only[done as usize..], position + done),
            _ if done == 0 => Ok(rustix::io::pwritev(&self.file, parts, position)?),
            _ => {
                let (index, inside) = locate(parts, done);
                let mut rest = Vec::with_capacity(parts.len() - index);
                rest.push(IoSlice::new(&parts[index][inside..]));
                rest.extend(parts[index + 1..].iter().map(|part| IoSlice::new(part)));
                Ok(rustix::io::pwritev(&self.file, &rest, position + done)?)
            }
        }
    }
}

/// Answers of file systems and sandboxes that do not know the call. A flush does without it; any other answer is
/// about the bytes.
fn is_refused_hint(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EPERM | libc::EINVAL | libc::ESPIPE | libc::EOPNOTSUPP)
    )
}

/// Which part the byte number `done` lies in, and where inside it.
fn locate(parts: &[IoSlice<'_>], done: u64) -> (usize, usize) {
    let mut before = 0;
    for (index, part) in parts.iter().enumerate() {
        let end = before + part.len() as u64;
        if done < end {
            return (index, (done - before) as usize);
        }
        before = end;
    }
    (parts.len(), 0)
}

/// A signal may interrupt a call before it did anything; more often than this it is no accident any more.
const INTERRUPTIONS_MAX: usize = 1000;

fn retry_interrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..INTERRUPTIONS_MAX {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
    call()
}
