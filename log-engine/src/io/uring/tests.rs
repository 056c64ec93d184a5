//! What the ring is asked for, and what becomes of writes that end early.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
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
            // Past the test harness, which swallows the output of tests that pass.
            let _ = writeln!(std::io::stderr(), "skipped: this machine refuses rings: {reason}");
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

/// Runs one test of this file again in a process of its own, because it changes what holds for a whole process.
fn run_alone(name: &str, variable: &str, value: &str) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("io::uring::tests::{name}"), "--exact", "--nocapture"])
        .env(variable, value)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}

const REFUSAL: &str = "KLAMM_TEST_RING_REFUSED_WITH";

#[test]
fn where_a_sandbox_refuses_rings_plain_calls_write_and_the_reason_is_said() {
    if let Some(errno) = std::env::var(REFUSAL).ok().and_then(|errno| errno.parse().ok()) {
        return write_without_a_ring(errno);
    }
    for errno in [libc::EPERM, libc::ENOSYS, libc::ENOMEM] {
        run_alone(
            "where_a_sandbox_refuses_rings_plain_calls_write_and_the_reason_is_said",
            REFUSAL,
            &errno.to_string(),
        );
    }
}

fn write_without_a_ring(errno: i32) {
    refuse_rings(errno);
    let parent = tempfile::tempdir().unwrap();
    for choice in [BackendChoice::Auto, BackendChoice::Uring] {
        let disk = NativeDisk::new(choice);
        let report = disk.backend();
        assert_eq!(report.backend, Backend::Threads);
        let expected = match errno {
            libc::EPERM => "io_uring is", // forbidden, or switched off
            libc::ENOSYS => "no io_uring",
            _ => "ulimit -l",
        };
        assert!(report.to_string().contains(expected), "{report}");
        let dir = parent.path().join(format!("{choice:?}"));
        std::fs::create_dir(&dir).unwrap();
        let mut group = group_of(&dir, 3, 100_000, true);
        disk.write_queue().unwrap().execute(&mut group);
        assert_stored(&group, &dir, 100_000);
        assert_eq!(group.counts.ring_enters, 0);
    }
}

/// From now on `io_uring_setup` answers `errno` in this process, as container sandboxes have it.
fn refuse_rings(errno: i32) {
    const IO_URING_SETUP: u32 = 425;
    let step = |code: u32, k: u32, jf: u8| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, IO_URING_SETUP, 1),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32, 0),
        step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: takes integers only.
    let no_new_rights = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(no_new_rights, 0);
    // SAFETY: the program and the filter it points at outlive the call, which copies them.
    let installed = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    assert_eq!(installed, 0, "{}", std::io::Error::last_os_error());
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
    run_alone("a_write_that_ends_short_is_continued_until_the_kernel_says_why_it_cannot_be", CHILD, "1");
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
