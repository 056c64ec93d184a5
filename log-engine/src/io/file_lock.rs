//! The lock on a data directory's `.lock`.

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// An exclusive lock, released when dropped.
///
/// Kafka locks through Java's FileChannel, which is a POSIX record lock. Ours is an open file description lock: the
/// two exclude each other, and ours also excludes a second engine in the same process.
#[derive(Debug)]
pub struct FileLock {
    // Whose drop releases the lock: closing the descriptor does.
    _held: Box<dyn fmt::Debug + Send + Sync>,
}

impl FileLock {
    pub(super) fn held_by(held: impl fmt::Debug + Send + Sync + 'static) -> Self {
        Self { _held: Box::new(held) }
    }

    /// Whether somebody holds the lock at `path`. Takes nothing and creates nothing.
    pub fn is_taken(path: &Path) -> io::Result<bool> {
        let file = match OpenOptions::new().read(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut lock = whole_file();
        // SAFETY: the descriptor is open in `file`, and `lock` outlives the call, during which alone it is written to.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
        match result {
            0 => Ok(lock.l_type != libc::F_UNLCK as libc::c_short),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(super) fn acquire(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let whole_file = whole_file();
        // SAFETY: the descriptor is open in `file`, and the kernel only reads the struct during the call.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const whole_file) };
        match result {
            0 => Ok(Self::held_by(file)),
            _ => Err(match io::Error::last_os_error() {
                // POSIX lets a system answer either for a lock held by another.
                error if error.raw_os_error() == Some(libc::EACCES) => io::ErrorKind::WouldBlock.into(),
                error => error,
            }),
        }
    }
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
