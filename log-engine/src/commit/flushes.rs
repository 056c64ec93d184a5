//! Who flushes which file. The kernel tells a failed write-back to one flush of a handle: another one that is under way then
//! succeeds without the bytes. So a flush is announced before it begins, ends only when its failure has taken the directory
//! offline, and its success is believed only when those that began before have ended, too.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::io::FileHandle;

/// Of one data directory.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    under_way: Mutex<UnderWay>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct UnderWay {
    announced: u64,
    flushes: Vec<Flush>,
}

#[derive(Debug)]
struct Flush {
    number: u64,
    file: usize,
    // Whether another one of the file was under way at the same time.
    is_shared: bool,
}

/// Flushes of some files; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Announced<'a> {
    all: &'a Flushes,
    number: u64,
    files: Vec<usize>,
}

impl Flushes {
    /// Announces flushes of `files`, whose handles live until they end.
    pub(super) fn announce<'f>(&self, files: impl IntoIterator<Item = &'f FileHandle>) -> Announced<'_> {
        let files: Vec<usize> = files.into_iter().map(|file| Arc::as_ptr(file).cast::<()>().addr()).collect();
        let mut number = 0;
        if !files.is_empty() {
            let mut under_way = self.under_way();
            number = under_way.announce(&files);
        }
        Announced { all: self, number, files }
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Announced<'_> {
    /// Ends these flushes, whose failure is known by now, and waits until those of the same files have ended that began before.
    /// Those that begin meanwhile are not waited for. Answers whether there were any others, whose failure these were perhaps
    /// not told of.
    pub(crate) fn end_and_wait(mut self) -> bool {
        let files = std::mem::take(&mut self.files);
        if files.is_empty() {
            return false;
        }
        let mut under_way = self.all.under_way();
        let is_shared = under_way.end(self.number);
        let last = under_way.announced;
        self.all.ended.notify_all();
        let waits = |under_way: &mut UnderWay| under_way.has_any(&files, last);
        drop(self.all.ended.wait_while(under_way, waits));
        is_shared
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if !self.files.is_empty() {
            self.all.under_way().end(self.number);
            self.all.ended.notify_all();
        }
    }
}

impl UnderWay {
    fn announce(&mut self, files: &[usize]) -> u64 {
        self.announced += 1;
        let number = self.announced;
        for &file in files {
            let mut is_shared = false;
            for other in self.flushes.iter_mut().filter(|other| other.file == file) {
                (other.is_shared, is_shared) = (true, true);
            }
            self.flushes.push(Flush { number, file, is_shared });
        }
        number
    }

    fn end(&mut self, number: u64) -> bool {
        let mut is_shared = false;
        self.flushes.retain(|flush| {
            let stays = flush.number != number;
            is_shared |= !stays && flush.is_shared;
            stays
        });
        is_shared
    }

    fn has_any(&self, files: &[usize], last: u64) -> bool {
        self.flushes.iter().any(|flush| flush.number <= last && files.contains(&flush.file))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::thread;

    use super::*;
    use crate::io::sim::SimDisk;
    use crate::io::{Disk, OpenMode};

    #[test]
    fn a_flush_waits_for_those_of_its_files_and_for_no_others() {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/data")).expect("created");
        let open =
            |name: &str| disk.open(&Path::new("/data").join(name), OpenMode::OpenOrCreate).expect("opened");
        let (one, other) = (open("one"), open("other"));
        let flushes = Flushes::default();
        let of_other = flushes.announce([&other]);
        assert!(!flushes.announce([&one]).end_and_wait());
        assert!(!flushes.announce([]).end_and_wait());
        let first = flushes.announce([&one]);
        let second = flushes.announce([&one, &other]);
        thread::scope(|scope| {
            let waits = scope.spawn(|| second.end_and_wait());
            drop(of_other);
            // Two that wait for one another would both wait for ever.
            assert!(first.end_and_wait());
            assert!(waits.join().expect("waited"));
        });
        assert!(flushes.under_way().flushes.is_empty());
    }
}
