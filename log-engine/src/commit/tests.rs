//! The committer's promises, on real files.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::io::{BackendChoice, NativeDisk, OpenMode};

pub(super) type Told = (u64, Result<(), CommitError>);

/// Remembers what it was told, and lets a test wait until everything was.
#[derive(Debug, Default)]
pub(super) struct Target {
    chain: Chain,
    told: Mutex<Vec<Told>>,
    changed: std::sync::Condvar,
}

impl CommitTarget for Target {
    fn chain(&self) -> &Chain {
        &self.chain
    }

    fn committed(&self, reservation: u64, result: Result<(), CommitError>) {
        self.told.lock().unwrap().push((reservation, result));
        self.changed.notify_all();
    }
}

impl Target {
    pub(super) fn wait_for(&self, count: usize) -> Vec<Told> {
        let told = self.told.lock().unwrap();
        self.changed.wait_while(told, |told| told.len() < count).unwrap().clone()
    }
}

struct Rig {
    dir: tempfile::TempDir,
    disk: Arc<dyn Disk>,
    committer: Committer,
}

impl Rig {
    fn new() -> Self {
        Self::with_limits(CommitLimits::default())
    }

    fn with_limits(limits: CommitLimits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(NativeDisk::new(BackendChoice::Auto));
        let committer = Committer::start(&disk, dir.path(), limits).unwrap();
        Self { dir, disk, committer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str) -> FileHandle {
        self.disk.open(&self.path(name), OpenMode::CreateNew).unwrap()
    }
}

pub(super) fn request(
    file: &FileHandle,
    target: &Arc<Target>,
    reservation: u64,
    position: u64,
    bytes: &'static [u8],
    durability: Durability,
) -> CommitRequest {
    CommitRequest {
        file: Arc::clone(file),
        position,
        bytes: Bytes::from_static(bytes),
        durability,
        target: Arc::clone(target) as Arc<dyn CommitTarget>,
        reservation,
    }
}

pub(super) fn reservations(told: &[Told]) -> Vec<u64> {
    told.iter().map(|(reservation, result)| result.as_ref().map(|()| *reservation).unwrap()).collect()
}

#[test]
fn an_os_append_on_an_idle_directory_is_written_before_commit_returns() {
    let rig = Rig::new();
    let (file, target) = (rig.file("a"), Arc::new(Target::default()));
    rig.committer.commit(request(&file, &target, 7, 0, b"hello", Durability::Os));
    assert_eq!(reservations(&target.told.lock().unwrap()), [7]);
    assert_eq!(std::fs::read(rig.path("a")).unwrap(), b"hello");
    assert_eq!(rig.committer.counts().inline_appends, 1);
}

#[test]
fn appends_of_mixed_durability_end_in_the_order_in_which_they_were_enqueued() {
    let rig = Rig::new();
    let (file, target) = (rig.file("a"), Arc::new(Target::default()));
    for round in 0..200 {
        let durability = match round % 5 {
            1 => Durability::Sync,
            3 => Durability::Group,
            _ => Durability::Os,
        };
        rig.committer.enqueue(request(&file, &target, round, round * 4, b"abcd", durability));
        if round % 5 == 0 {
            rig.committer.drive();
        }
    }
    rig.committer.drive();
    let told = target.wait_for(200);
    assert_eq!(reservations(&told), (0..200).collect::<Vec<_>>());
    assert_eq!(std::fs::read(rig.path("a")).unwrap(), b"abcd".repeat(200));
}

#[test]
fn sync_appends_that_wait_together_share_one_flush() {
    let rig = Rig::new();
    let (file, target) = (rig.file("a"), Arc::new(Target::default()));
    for index in 0..64 {
        rig.committer.enqueue(request(&file, &target, index, index * 4, b"abcd", Durability::Sync));
    }
    rig.committer.drive();
    target.wait_for(64);
    let counts = rig.committer.counts();
    assert_eq!((counts.appends, counts.queue.syncs, counts.queue.writes), (64, 1, 1));
}

#[test]
fn group_appends_end_although_those_who_are_gathered_for_do_not_come() {
    let limits = CommitLimits { group_delay_max: Duration::from_secs(3600), ..CommitLimits::default() };
    let rig = Rig::with_limits(limits);
    let (file, target) = (rig.file("a"), Arc::new(Target::default()));
    let append = |index: u64, durability| {
        rig.committer.enqueue(request(&file, &target, index, index * 4, b"abcd", durability));
    };
    (0..64).for_each(|index| append(index, Durability::Group));
    rig.committer.drive();
    target.wait_for(64);
    append(64, Durability::Group);
    rig.committer.drive();
    target.wait_for(65);
    append(65, Durability::Group);
    append(66, Durability::Sync);
    rig.committer.drive();
    target.wait_for(67);
    assert_eq!(rig.committer.counts().queue.syncs, 3);
    drop(rig.committer);
    assert_eq!(std::fs::read(rig.dir.path().join("a")).unwrap(), b"abcd".repeat(67));
}

#[test]
fn what_was_enqueued_is_carried_out_before_the_committer_is_gone() {
    let rig = Rig::new();
    let (file, target) = (rig.file("a"), Arc::new(Target::default()));
    for index in 0..10 {
        let durability = if index % 2 == 0 { Durability::Os } else { Durability::Sync };
        rig.committer.enqueue(request(&file, &target, index, index * 4, b"abcd", durability));
    }
    drop(rig.committer);
    assert_eq!(reservations(&target.told.lock().unwrap()), (0..10).collect::<Vec<_>>());
}
