//! From the page cache to a socket without passing through this process's memory.
//!
//! [`send`] hands a range of a file to a socket with sendfile. Where the range is not in the page cache, sendfile
//! would wait for the disk; who must not wait asks [`residency`] first and has [`bring_in`] run elsewhere.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use rustix::fs::Advice;

use super::DiskFile;

/// What one call of the kernel sends at most; it takes no more than just under 2 GiB.
const SEND_MAX: usize = 1 << 30;

/// Buffer for files that have no descriptor and are copied.
const COPY_BUFFER_LEN: usize = 64 << 10;

fn page_len() -> u64 {
    rustix::param::page_size() as u64
}

/// Sends up to `len` bytes from `position` to a socket and returns how many the socket took, which may be fewer.
/// `WouldBlock` where a non-blocking socket takes none. `UnexpectedEof` where the file ends before the range does
/// and nothing was sent: the receiver was promised bytes that are gone, so its connection has to be closed.
pub fn send(file: &dyn DiskFile, position: u64, len: usize, socket: &impl AsFd) -> io::Result<usize> {
    if len == 0 {
        return Ok(0);
    }
    let sent = match file.as_fd() {
        Some(source) => send_pages(source, position, len.min(SEND_MAX), socket.as_fd())?,
        None => send_copy(file, position, len, socket.as_fd())?,
    };
    if sent == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(sent) }
}

fn send_pages(
    source: BorrowedFd<'_>,
    position: u64,
    len: usize,
    socket: BorrowedFd<'_>,
) -> io::Result<usize> {
    loop {
        let mut from = position;
        match rustix::fs::sendfile(socket, source, Some(&mut from), len) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

fn send_copy(file: &dyn DiskFile, position: u64, len: usize, socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut buffer = vec![0; len.min(COPY_BUFFER_LEN)];
    let filled = file.read_at(&mut buffer, position)?;
    if filled == 0 {
        return Ok(0);
    }
    loop {
        match rustix::io::write(socket, &buffer[..filled]) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Whether a range of a file is in the page cache.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Residency {
    /// All of it is.
    Resident,
    /// Some of it is not.
    Missing,
    /// The kernel does not say; treat it as missing where waiting matters.
    Unknown,
}

/// Asks whether a range is in the page cache. The range may end past the file's end.
pub fn residency(file: &dyn DiskFile, position: u64, len: u64) -> io::Result<Residency> {
    let Some(fd) = file.as_fd() else { return Ok(Residency::Resident) };
    let end = position.saturating_add(len);
    match cached_pages(fd, position, len.max(1)) {
        Ok(pages) if pages >= pages_of(position, end) => Ok(Residency::Resident),
        Ok(pages) => {
            // Asked only now: in the common case the range lies inside the file, and the question costs a system call.
            let needed = pages_of(position, end.min(file.len()?));
            Ok(if pages >= needed { Residency::Resident } else { Residency::Missing })
        }
        // A kernel before 6.5, or a sandbox: both ends are known at least to be missing or not.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EOPNOTSUPP)) => {
            residency_of_ends(file, position, end.min(file.len()?))
        }
        Err(error) => Err(error),
    }
}

/// Pages that a range touches.
fn pages_of(position: u64, end: u64) -> u64 {
    if end <= position { 0 } else { (end - 1) / page_len() - position / page_len() + 1 }
}

fn residency_of_ends(file: &dyn DiskFile, position: u64, end: u64) -> io::Result<Residency> {
    if end <= position {
        return Ok(Residency::Resident);
    }
    for at in [position, end - 1] {
        match file.read_cached_at(&mut [0], at) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Residency::Missing),
            Err(error) => return Err(error),
        }
    }
    let both_in_one_page = position / page_len() == (end - 1) / page_len();
    Ok(if both_in_one_page { Residency::Resident } else { Residency::Unknown })
}

/// `struct cachestat_range` of linux/mman.h.
#[repr(C)]
struct CacheRange {
    offset: u64,
    len: u64,
}

/// `struct cachestat` of linux/mman.h.
#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Number of the system call on every architecture; older headers lack it.
const SYS_CACHESTAT: libc::c_long = 451;

fn cached_pages(fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<u64> {
    let range = CacheRange { offset, len };
    let mut stat = CacheStat::default();
    // SAFETY: both structs are as the kernel lays them out and outlive the call, which reads the first and writes
    // the second; the descriptor is borrowed for at least as long.
    let result = unsafe {
        libc::syscall(SYS_CACHESTAT, fd.as_raw_fd(), &raw const range, &raw mut stat, 0 as libc::c_uint)
    };
    if result == 0 { Ok(stat.cached) } else { Err(io::Error::last_os_error()) }
}

/// Reads a range into the page cache and waits until it is there. Nothing of it enters this process's memory: the
/// pages are spliced to the null device. The range may end past the file's end.
pub fn bring_in<F: DiskFile + ?Sized>(file: &F, position: u64, len: u64) -> io::Result<()> {
    let Some(fd) = file.as_fd() else { return Ok(()) };
    let end = position.saturating_add(len).min(file.len()?);
    if let Some(len) = NonZeroU64::new(end.saturating_sub(position)) {
        // A hint that makes the reads below large; where it fails they are merely smaller.
        let _ = rustix::fs::fadvise(fd, position, Some(len), Advice::WillNeed);
    }
    let mut at = position;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(SEND_MAX).min(SEND_MAX);
        let got = match null_device() {
            Some(null) => send_pages(fd, at, want, null.as_fd())? as u64,
            None => touch_page(file, at)?,
        };
        if got == 0 {
            break; // The file was cut meanwhile; whoever sends it finds out.
        }
        at += got;
    }
    Ok(())
}

fn null_device() -> Option<&'static File> {
    static NULL: OnceLock<Option<File>> = OnceLock::new();
    NULL.get_or_init(|| OpenOptions::new().write(true).open("/dev/null").ok()).as_ref()
}

/// Reads one byte and answers how far the page it lies in reaches.
fn touch_page<F: DiskFile + ?Sized>(file: &F, at: u64) -> io::Result<u64> {
    let read = file.read_at(&mut [0], at)?;
    Ok(if read == 0 { 0 } else { page_len() - at % page_len() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use super::*;
    use crate::io::{BackendChoice, Disk, FileHandle, NativeDisk, OpenMode};

    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, FileHandle) {
        let dir = tempfile::tempdir().unwrap();
        let disk = NativeDisk::new(BackendChoice::Threads);
        let file = disk.open(&dir.path().join("a"), OpenMode::CreateNew).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        (dir, file)
    }

    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn a_range_arrives_whole_through_a_socket_that_takes_it_piece_by_piece() {
        let content = pattern(8 << 20);
        let (_dir, file) = file_of(&content);
        let (ours, mut theirs) = connection();
        ours.set_nonblocking(true).unwrap();
        let (from, len) = (1234, content.len() - 5000);
        let expected = content[from..from + len].to_vec();
        let reader = std::thread::spawn(move || {
            let mut received = vec![0; len];
            theirs.read_exact(&mut received).unwrap();
            received
        });
        let (mut sent, mut blocked, mut calls) = (0, 0, 0);
        while sent < len {
            calls += 1;
            match send(&*file, (from + sent) as u64, len - sent, &ours) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    blocked += 1;
                    rustix::event::poll(
                        &mut [rustix::event::PollFd::new(&ours, rustix::event::PollFlags::OUT)],
                        None,
                    )
                    .unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(reader.join().unwrap() == expected, "the bytes differ");
        assert!(
            calls > 1 && blocked > 0,
            "8 MiB do not fit into a socket at once: {calls} calls, {blocked} waits"
        );
    }

    #[test]
    fn a_socket_that_nobody_reads_blocks_and_says_so() {
        let (_dir, file) = file_of(&pattern(16 << 20));
        let (ours, _theirs) = connection();
        ours.set_nonblocking(true).unwrap();
        let mut sent = 0;
        let refused = (0..10_000).find_map(|_| match send(&*file, sent, 16 << 20, &ours) {
            Ok(n) => {
                sent += n as u64;
                None
            }
            Err(error) => Some(error.kind()),
        });
        assert_eq!(refused, Some(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn a_file_that_was_cut_below_the_promised_range_is_an_error_and_not_silence() {
        let (_dir, file) = file_of(&pattern(10_000));
        let (ours, _theirs) = connection();
        assert_eq!(send(&*file, 9_000, 5_000, &ours).unwrap(), 1_000);
        assert_eq!(send(&*file, 10_000, 4_000, &ours).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_closed_peer_is_an_error() {
        let (_dir, file) = file_of(&pattern(1 << 20));
        let (ours, theirs) = connection();
        drop(theirs);
        let failed = (0..1000).find_map(|_| send(&*file, 0, 1 << 20, &ours).err());
        assert!(matches!(
            failed.map(|error| error.kind()),
            Some(io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
        ));
    }

    #[test]
    fn what_was_dropped_from_the_page_cache_is_missing_until_it_is_brought_in() {
        let (dir, file) = file_of(&pattern(4 << 20));
        if residency(&*file, 0, 4 << 20).unwrap() == Residency::Unknown {
            return; // This kernel cannot tell.
        }
        assert_eq!(residency(&*file, 0, 4 << 20).unwrap(), Residency::Resident);
        file.sync_data().unwrap();
        rustix::fs::fadvise(file.as_fd().unwrap(), 0, None, Advice::DontNeed).unwrap();
        let dropped = residency(&*file, 0, 4 << 20).unwrap();
        if dropped == Residency::Resident {
            return; // A file system in memory keeps its pages.
        }
        assert_eq!(dropped, Residency::Missing);
        assert_eq!(file.read_cached_at(&mut [0], 1 << 20).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        bring_in(&*file, 1 << 20, 1 << 20).unwrap();
        assert_eq!(residency(&*file, 1 << 20, 1 << 20).unwrap(), Residency::Resident);
        assert_eq!(file.read_cached_at(&mut [0], 1 << 20).unwrap(), 1);
        bring_in(&*file, 0, u64::MAX).unwrap();
        assert_eq!(residency(&*file, 0, u64::MAX).unwrap(), Residency::Resident);
        drop((file, dir));
    }

    #[test]
    fn an_empty_range_is_resident_and_sends_nothing() {
        let (_dir, file) = file_of(b"abc");
        let (ours, _theirs) = connection();
        assert_eq!(residency(&*file, 3, 0).unwrap(), Residency::Resident);
        assert_eq!(residency(&*file, 900, 10).unwrap(), Residency::Resident);
        assert_eq!(send(&*file, 0, 0, &ours).unwrap(), 0);
        bring_in(&*file, 900, 10).unwrap();
    }

    #[test]
    fn a_reader_keeps_its_bytes_after_the_file_was_removed() {
        let (dir, file) = file_of(b"still here");
        std::fs::remove_file(file.path()).unwrap();
        let (ours, mut theirs) = connection();
        assert_eq!(send(&*file, 0, 10, &ours).unwrap(), 10);
        let mut received = [0; 10];
        theirs.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"still here");
        drop((Arc::clone(&file), dir));
    }
}
