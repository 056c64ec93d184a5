//! The same script through every backend leaves the same bytes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::sim::{Seeded, SimDisk};
use super::*;

/// Groups of writes to up to ten files, small and large, contiguous and not, flushed and not, among creations,
/// truncations, renames, removals and replacements.
fn run_script(disk: &dyn Disk, root: &Path, seed: u64) {
    let mut random = Seeded::new(seed);
    let mut queue = disk.write_queue().unwrap();
    let mut files: BTreeMap<PathBuf, FileHandle> = BTreeMap::new();
    let mut created = 0;
    disk.create_dir_all(&root.join("a/b")).unwrap();
    for _ in 0..60 {
        if files.len() < 3 || random.below(4) == 0 {
            let path = root.join(format!("a/f{created}"));
            files.insert(path.clone(), disk.open(&path, OpenMode::CreateNew).unwrap());
            created += 1;
        }
        write_group(&mut *queue, &files, &mut random);
        let victim = files.keys().nth(random.below(files.len() as u64) as usize).unwrap().clone();
        match random.below(8) {
            0 => {
                files.remove(&victim);
                disk.rename(&victim, &root.join("a/b").join(victim.file_name().unwrap())).unwrap();
                disk.sync_dir(&root.join("a/b")).unwrap();
            }
            1 => {
                files.remove(&victim);
                disk.remove_file(&victim).unwrap();
            }
            2 => files[&victim].set_len(random.below(50_000)).unwrap(),
            3 => atomic_replace(disk, &root.join("checkpoint"), &fill(&mut random, 100)).unwrap(),
            4 => {
                let kept = root.join("kept");
                disk.create_dir_all(&kept.join("deep")).unwrap();
                remove_dir_all(disk, &kept).unwrap();
            }
            _ => {}
        }
    }
}

fn write_group(queue: &mut dyn WriteQueue, files: &BTreeMap<PathBuf, FileHandle>, random: &mut Seeded) {
    let mut group = WriteGroup::default();
    for file in files.values() {
        if random.below(3) == 0 {
            continue;
        }
        let mut position = random.below(20_000);
        let mut runs = Vec::new();
        for _ in 0..=random.below(3) {
            let parts: Vec<Bytes> = (0..=random.below(4))
                .map(|_| {
                    let len = if random.below(6) == 0 { 100_000 } else { 1 + random.below(3000) };
                    Bytes::from(fill(random, len as usize))
                })
                .collect();
            let run = Run { position, parts, outcome: Ok(()) };
            position += run.len() + random.below(5000);
            runs.push(run);
        }
        let sync = random.below(2) == 0;
        group.files.push(FileGroup { file: FileHandle::clone(file), runs, sync, synced: None });
    }
    queue.execute(&mut group);
    for file in &group.files {
        assert!(file.runs.iter().all(|run| run.outcome.is_ok()));
        assert_eq!(file.sync, matches!(file.synced, Some(Ok(()))));
    }
}

fn fill(random: &mut Seeded, len: usize) -> Vec<u8> {
    let start = random.next();
    (0..len as u64).map(|i| (start.wrapping_add(i * 7) >> 3) as u8).collect()
}

/// Every path below `root` with its content, read through the disk itself.
pub(crate) fn tree(disk: &dyn Disk, root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in disk.list(&dir).unwrap() {
            let name = entry.path.strip_prefix(root).unwrap().to_owned();
            if entry.kind == FileKind::Directory {
                dirs.push(entry.path);
                found.insert(name, None);
            } else {
                let file = disk.open(&entry.path, OpenMode::Read).unwrap();
                let mut bytes = vec![0; file.len().unwrap() as usize];
                file.read_exact_at(&mut bytes, 0).unwrap();
                assert_eq!(disk.metadata(&entry.path).unwrap().len, bytes.len() as u64);
                found.insert(name, Some(bytes));
            }
        }
    }
    found
}

/// Backends beside `threads`; where the machine refuses rings they are plain calls, too.
const RINGS: &[BackendChoice] = &[
    BackendChoice::Uring,
    #[cfg(feature = "tokio-uring")]
    BackendChoice::TokioUring,
];

const SEEDS: std::ops::Range<u64> = 1..6;

fn native_tree(choice: BackendChoice, seed: u64) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let dir = tempfile::tempdir().unwrap();
    let disk = NativeDisk::new(choice);
    run_script(&disk, dir.path(), seed);
    tree(&disk, dir.path())
}

#[test]
fn the_same_script_through_every_backend_leaves_the_same_directory() {
    for seed in SEEDS {
        let threads = native_tree(BackendChoice::Threads, seed);
        assert!(
            threads.values().flatten().map(Vec::len).sum::<usize>() > 100_000,
            "the script writes something"
        );
        for choice in RINGS {
            assert!(native_tree(*choice, seed) == threads, "{choice:?}, seed {seed}");
        }
        let sim = SimDisk::new();
        run_script(&sim, Path::new("/data"), seed);
        assert!(tree(&sim, Path::new("/data")) == threads, "sim, seed {seed}");
    }
}

/// Every kind of disk, with a directory to work in; the guard removes what is on the real one.
fn disks() -> Vec<(Box<dyn Disk>, PathBuf, Option<tempfile::TempDir>)> {
    let native = [BackendChoice::Threads].iter().chain(RINGS).map(|&choice| {
        let dir = tempfile::tempdir().unwrap();
        (Box::new(NativeDisk::new(choice)) as Box<dyn Disk>, dir.path().to_owned(), Some(dir))
    });
    let sim = SimDisk::new();
    sim.create_dir_all(Path::new("/data")).unwrap();
    native.chain([(Box::new(sim) as Box<dyn Disk>, PathBuf::from("/data"), None)]).collect()
}

#[test]
fn each_way_of_opening_does_what_it_says() {
    for (disk, dir, _guard) in disks() {
        let path = dir.join("f");
        let kind = |mode| disk.open(&path, mode).map(drop).map_err(|error| error.kind());
        assert_eq!(kind(OpenMode::Read), Err(io::ErrorKind::NotFound));
        assert_eq!(kind(OpenMode::ReadWrite), Err(io::ErrorKind::NotFound));
        assert_eq!(disk.metadata(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(kind(OpenMode::CreateNew), Ok(()));
        assert_eq!(kind(OpenMode::CreateNew), Err(io::ErrorKind::AlreadyExists));
        disk.open(&path, OpenMode::ReadWrite).unwrap().write_all_at(b"abc", 0).unwrap();
        assert_eq!(disk.open(&path, OpenMode::OpenOrCreate).unwrap().len().unwrap(), 3);
        assert!(disk.open(&path, OpenMode::Read).unwrap().write_all_at(b"x", 0).is_err());
    }
}

#[test]
fn reads_end_at_the_end_of_the_file_and_holes_are_zeros() {
    for (disk, dir, _guard) in disks() {
        let file = disk.open(&dir.join("f"), OpenMode::CreateNew).unwrap();
        file.write_all_at(b"end", 5).unwrap();
        let mut buffer = [9; 16];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 8);
        assert_eq!(&buffer[..8], b"\0\0\0\0\0end");
        assert_eq!(file.read_at(&mut buffer, 8).unwrap(), 0);
        assert_eq!(file.read_cached_at(&mut buffer, 6).unwrap(), 2);
        assert_eq!(file.read_exact_at(&mut buffer, 0).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn a_lock_is_held_by_one_and_freed_when_dropped() {
    for (disk, dir, _guard) in disks() {
        let path = dir.join(".lock");
        let held = disk.lock(&path).unwrap();
        assert_eq!(disk.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        disk.lock(&path).unwrap();
    }
}

#[test]
fn what_is_removed_or_replaced_stays_readable_for_who_has_it_open() {
    for (disk, dir, _guard) in disks() {
        let path = dir.join("f");
        atomic_replace(&*disk, &path, b"old").unwrap();
        let old = disk.open(&path, OpenMode::Read).unwrap();
        atomic_replace(&*disk, &path, b"new!").unwrap();
        let new = disk.open(&path, OpenMode::Read).unwrap();
        disk.remove_file(&path).unwrap();
        let mut content = [0; 4];
        assert_eq!(old.read_at(&mut content, 0).unwrap(), 3);
        assert_eq!(&content[..3], b"old");
        assert_eq!(new.read_at(&mut content, 0).unwrap(), 4);
        assert_eq!(&content, b"new!");
        assert!(disk.list(&dir).unwrap().is_empty());
    }
}

/// A file of which the disk takes nothing back beforehand, or after `pieces` pieces.
#[derive(Debug)]
struct Refusing {
    file: FileHandle,
    pieces: AtomicU64,
}

impl DiskFile for Refusing {
    fn path(&self) -> &Path {
        self.file.path()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buf, position)
    }
    fn read_cached_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_cached_at(buf, position)
    }
    fn write_vectored_all_at(&self, parts: &[io::IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        self.file.write_vectored_all_at(parts, position)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn start_writeback(&self, position: u64, len: u64) -> io::Result<()> {
        if self.pieces.fetch_sub(1, Ordering::Relaxed) == 1 {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.file.start_writeback(position, len)
    }
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }
}

#[test]
fn a_long_run_is_stored_piece_by_piece_and_not_durable_if_the_disk_refuses_one() {
    for (disk, dir, _guard) in disks() {
        let mut queue = disk.write_queue().unwrap();
        for (pieces, durable) in [(1, false), (2, false), (100, true)] {
            let file = disk.open(&dir.join(pieces.to_string()), OpenMode::CreateNew).unwrap();
            let parts: Vec<Bytes> =
                (0..100_u8).map(|i| Bytes::from(vec![i; 70_000 + usize::from(i)])).collect();
            let expected = parts.concat();
            let runs = vec![Run { position: 11, parts, outcome: Ok(()) }];
            let refusing = Refusing { file: FileHandle::clone(&file), pieces: pieces.into() };
            let files = vec![FileGroup { file: Arc::new(refusing), runs, sync: true, synced: None }];
            let mut group = WriteGroup { files, ..WriteGroup::default() };
            queue.execute(&mut group);
            assert!(group.files[0].runs[0].outcome.is_ok());
            // That crate is given long runs whole.
            let durable = durable || disk.backend().backend.to_string() == "tokio-uring";
            let synced = group.files[0].synced.as_ref().unwrap();
            assert_eq!(synced.is_ok(), durable, "{:?}, {pieces} pieces", disk.backend());
            let mut found = vec![0; expected.len()];
            file.read_exact_at(&mut found, 11).unwrap();
            assert!(found == expected);
        }
    }
}
