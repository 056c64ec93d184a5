//! What the ring is asked for, and what becomes of writes that end early.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

use bytes::Bytes;

use super::super::{
    Backend, BackendChoice, Disk, FileGroup, NativeDisk, OpenMode, Run, WriteGroup, WriteQueue,
};
use super::{UringQueue, probe};

/// Where the machine refuses rings there is nothing to test here; `threads` is then what runs.
fn queue() -> Option<UringQueue> {
    match probe() {
        Ok(_) => Some(UringQueue::new().unwrap()),
        Err(reason) => {
            eprintln!("skipped: {reason}");
            None
        }
    }
}

fn group_of(dir: &Path, files: usize, len: usize, sync: bool) -> WriteGroup {
    let disk = NativeDisk::new(BackendChoice::Threads);
    let file = |index: usize| FileGroup {
        file: disk.open(&dir.join(index.to_string()), OpenMode::CreateNew).unwrap(),
        runs: vec![Run { position: 0, parts: vec![Bytes::from(vec![index as u8; len])], outcome: Ok(()) }],
        sync,
        synced: None,
    };
    WriteGroup { files: (0..files).map(file).collect(), ..WriteGroup::default() }
}

fn assert_stored(group: &WriteGroup, dir: &Path, len: usize) {
    for (index, file) in group.files.iter().enumerate() {
        assert!(file.runs[0].outcome.is_ok());
        assert_eq!(file.sync, matches!(file.synced, Some(Ok(()))), "file {index}");
        assert!(std::fs::read(dir.join(index.to_string())).unwrap() == vec![index as u8; len]);
    }
}

#[test]
fn the_flushes_of_a_group_over_many_files_are_one_submission() {
    let (Some(mut queue), dir) = (queue(), tempfile::tempdir().unwrap()) else { return };
    let mut group = group_of(dir.path(), 20, 1000, true);
    queue.execute(&mut group);
    assert_stored(&group, dir.path(), 1000);
    let counts = group.counts;
    assert_eq!((counts.syncs, counts.ring_entries, counts.ring_enters), (20, 20, 1));
}

#[test]
fn large_writes_of_several_files_travel_through_the_ring_and_are_flushed_after_their_last_byte() {
    let (Some(mut queue), dir) = (queue(), tempfile::tempdir().unwrap()) else { return };
    let mut group = group_of(dir.path(), 5, 300_000, true);
    queue.execute(&mut group);
    assert_stored(&group, dir.path(), 300_000);
    assert_eq!((group.counts.writes, group.counts.syncs, group.counts.ring_entries), (5, 5, 10));
}

#[test]
fn one_file_is_flushed_without_the_ring() {
    let (Some(mut queue), dir) = (queue(), tempfile::tempdir().unwrap()) else { return };
    let mut group = group_of(dir.path(), 1, 300_000, true);
    queue.execute(&mut group);
    assert_stored(&group, dir.path(), 300_000);
    assert_eq!((group.counts.syncs, group.counts.ring_enters), (1, 0));
}

#[test]
fn more_files_than_the_ring_has_entries_are_flushed_all_the_same() {
    let (Some(mut queue), dir) = (queue(), tempfile::tempdir().unwrap()) else { return };
    for (files, len) in [(600, 100), (300, 66_000)] {
        let dir = dir.path().join(files.to_string());
        std::fs::create_dir(&dir).unwrap();
        let mut group = group_of(&dir, files, len, true);
        queue.execute(&mut group);
        assert_stored(&group, &dir, len);
    }
}

#[test]
fn a_ring_that_broke_fails_what_it_was_given_instead_of_keeping_silent() {
    let (Some(mut queue), dir) = (queue(), tempfile::tempdir().unwrap()) else { return };
    queue.broken = Some(libc::ENXIO);
    let mut group = group_of(dir.path(), 3, 100_000, true);
    queue.execute(&mut group);
    for file in &group.files {
        assert!(matches!(&file.synced, Some(Err(error)) if error.raw_os_error() == Some(libc::ENXIO)));
    }
}

const CHILD: &str = "KLAMM_TEST_FILE_SIZE_LIMIT";
const LIMIT: u64 = 100_000;

/// The story: a write that hits a limit in its middle ends short without an error; only the attempt at the rest
/// says why. A backend that takes any positive count for success acknowledges bytes that are not there.
#[test]
fn a_write_that_ends_short_is_continued_until_the_kernel_says_why_it_cannot_be() {
    if std::env::var_os(CHILD).is_some() {
        return write_over_the_limit();
    }
    let name =
        "io::uring::tests::a_write_that_ends_short_is_continued_until_the_kernel_says_why_it_cannot_be";
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}

/// In a process of its own, because the limit holds for all of it.
fn write_over_the_limit() {
    // SAFETY: ignoring a signal installs no handler; the limit is then reported as an error of the write.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let limit = rustix::process::Rlimit { current: Some(LIMIT), maximum: Some(LIMIT) };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
    for choice in [BackendChoice::Threads, BackendChoice::Uring] {
        let dir = tempfile::tempdir().unwrap();
        let disk = NativeDisk::new(choice);
        if choice == BackendChoice::Uring && disk.backend().backend != Backend::Uring {
            continue;
        }
        let mut group = group_of(dir.path(), 3, 300_000, true);
        disk.write_queue().unwrap().execute(&mut group);
        for file in &group.files {
            let short = file.runs[0].outcome.as_ref().unwrap_err();
            assert_eq!((short.written, short.error.raw_os_error()), (LIMIT, Some(libc::EFBIG)), "{choice:?}");
            assert_eq!(file.file.len().unwrap(), LIMIT);
        }
        if choice == BackendChoice::Uring {
            assert!(group.counts.ring_entries >= 3 + 3 + 3, "write, its rest, and a flush of each");
        }
    }
}
