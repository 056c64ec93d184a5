//! The loops that only write.

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, OFlags};

const DISK: &str = "the disk of a benchmark works";
/// What direct writes have to be aligned to.
const SECTOR: usize = 4096;

/// A new, empty file in `dir`; the one before is gone.
pub fn fresh(dir: &Path, name: &str) -> File {
    let path = dir.join(name);
    let _ = std::fs::remove_file(&path);
    File::options().read(true).write(true).create_new(true).open(path).expect(DISK)
}

/// Appends of `len` bytes into the page cache, to all files in turn, each from a buffer that was filled just before;
/// filling it does not count.
pub fn page_cache(files: &[File], len: usize, appends: u64) -> Duration {
    let template = vec![7; len];
    let mut ends = vec![0; files.len()];
    let mut spent = Duration::ZERO;
    for turn in 0..appends as usize {
        let at = turn % files.len();
        let bytes = template.clone();
        let start = Instant::now();
        files[at].write_all_at(&bytes, ends[at]).expect(DISK);
        spent += start.elapsed();
        ends[at] += len as u64;
    }
    spent / appends as u32
}

/// Appends that are each flushed before the next.
pub fn flushed(file: &File, bytes: &[u8], appends: u64) -> Duration {
    let start = Instant::now();
    flush_each(file, bytes, appends, Duration::ZERO);
    start.elapsed() / appends as u32
}

/// The times of such appends, with a pause before each.
pub fn flush_each(file: &File, bytes: &[u8], appends: u64, pause: Duration) -> Vec<Duration> {
    let append = |turn: u64| {
        thread::sleep(pause);
        let start = Instant::now();
        file.write_all_at(bytes, turn * bytes.len() as u64).expect(DISK);
        file.sync_data().expect(DISK);
        start.elapsed()
    };
    (0..appends).map(append).collect()
}

/// The best of the ways to make `total` bytes durable in appends of `len`, per append: groups of 4 and of 32 MiB into the page
/// cache, each flushed; direct writes that are durable each, eight at a time.
pub fn best_durable(dir: &Path, len: usize, total: u64) -> Duration {
    let groups = [4 << 20, 32 << 20].map(|group| groups_flushed(&fresh(dir, "bare"), len, group, total));
    let direct = direct_at_depth(&dir.join("bare"), len, 8, total);
    groups.into_iter().chain([direct]).min().unwrap_or_default()
}

fn groups_flushed(file: &File, len: usize, group: u64, total: u64) -> Duration {
    let bytes = vec![7; len];
    let parts: Vec<IoSlice<'_>> = (0..group / len as u64).map(|_| IoSlice::new(&bytes)).collect();
    let start = Instant::now();
    for turn in 0..total / group {
        let mut written = 0;
        while written < group {
            let rest = &parts[(written / len as u64) as usize..];
            // Regular files take whole pieces while there is room; a part would be written once more.
            let n = rustix::io::pwritev(file, rest, turn * group + written).expect(DISK) as u64;
            written += n - n % len as u64;
        }
        file.sync_data().expect(DISK);
    }
    start.elapsed() / (total / len as u64) as u32
}

fn direct_at_depth(path: &PathBuf, len: usize, depth: usize, total: u64) -> Duration {
    let flags = (OFlags::DIRECT | OFlags::DSYNC).bits();
    let file = OpenOptions::new().write(true).custom_flags(flags as i32).open(path).expect(DISK);
    file.set_len(0).expect(DISK);
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, total).expect(DISK);
    file.sync_all().expect(DISK);
    let next = AtomicU64::new(0);
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..depth {
            scope.spawn(|| {
                let room = vec![7; len + SECTOR];
                let aligned = room.as_ptr().align_offset(SECTOR);
                let bytes = &room[aligned..aligned + len];
                loop {
                    let position = next.fetch_add(len as u64, Ordering::Relaxed);
                    if position >= total {
                        return;
                    }
                    file.write_all_at(bytes, position).expect(DISK);
                }
            });
        }
    });
    start.elapsed() / (total / len as u64) as u32
}
