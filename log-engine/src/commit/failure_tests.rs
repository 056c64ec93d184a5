//! What a failing disk does to appends, on the simulated one.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::fd::BorrowedFd;

use super::tests::{Target, Told, request, reservations};
use super::*;
use crate::io::sim::{Fault, Operation, SimDisk};
use crate::io::{DiskFile, OpenMode, ShortWrite};

struct Rig {
    sim: SimDisk,
    committer: Committer,
}

impl Rig {
    fn new() -> Self {
        Self::with_limits(CommitLimits::default())
    }

    fn with_limits(limits: CommitLimits) -> Self {
        let sim = SimDisk::new();
        sim.create_dir_all(Path::new("/data")).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let committer = Committer::start(&disk, Path::new("/data"), limits).unwrap();
        Self { sim, committer }
    }

    fn file(&self, name: &str) -> FileHandle {
        self.sim.open(&Path::new("/data").join(name), OpenMode::OpenOrCreate).unwrap()
    }

    fn content(&self, name: &str) -> Vec<u8> {
        let file = self.file(name);
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }
}

fn outcome(told: &Told) -> &'static str {
    match &told.1 {
        Ok(()) => "committed",
        Err(CommitError::NoSpace { .. }) => "no space",
        Err(CommitError::AfterFailure { .. }) => "after failure",
        Err(CommitError::Offline(_)) => "offline",
    }
}

fn outcomes(told: &[Told]) -> Vec<&'static str> {
    told.iter().map(outcome).collect()
}

const ALL: [Durability; 3] = [Durability::Os, Durability::Sync, Durability::Group];

#[test]
fn a_full_disk_fails_the_partition_from_there_on_and_nobody_else() {
    for durability in ALL {
        let rig = Rig::new();
        let (full, fine) = (Arc::new(Target::default()), Arc::new(Target::default()));
        let (file, other) = (rig.file("full"), rig.file("fine"));
        rig.sim.inject(Fault::next(Operation::Write, libc::ENOSPC).on("full"));
        rig.committer.commit(request(&file, &full, 0, 0, b"aaaa", durability));
        full.wait_for(1);
        rig.committer.commit(request(&file, &full, 1, 4, b"bbbb", durability));
        rig.committer.commit(request(&other, &fine, 2, 0, b"cccc", durability));
        assert_eq!(outcomes(&full.wait_for(2)), ["no space", "after failure"]);
        assert_eq!(outcomes(&fine.wait_for(1)), ["committed"]);
        assert!(rig.committer.dir_state().offline().is_none());
        assert_eq!(rig.content("full"), b"", "what follows a failure is not even tried");

        full.chain().heal();
        rig.committer.commit(request(&file, &full, 3, 0, b"dddd", durability));
        assert_eq!(outcome(&full.wait_for(3)[2]), "committed");
        assert_eq!(rig.content("full"), b"dddd");
    }
}

#[test]
fn of_a_group_that_fills_the_disk_those_are_committed_that_are_whole_on_it() {
    for durability in ALL {
        let rig = Rig::new();
        let (file, target) = (rig.file("f"), Arc::new(Target::default()));
        rig.sim.inject(Fault::next(Operation::Write, libc::ENOSPC).arriving(6));
        rig.sim.inject(Fault::next(Operation::Write, libc::ENOSPC));
        for index in 0..3 {
            rig.committer.enqueue(request(&file, &target, index, index * 4, b"abcd", durability));
        }
        rig.committer.drive();
        assert_eq!(outcomes(&target.wait_for(3)), ["committed", "no space", "no space"]);
        assert_eq!(rig.content("f"), b"abcdab");
    }
}

#[test]
fn bytes_behind_a_hole_are_not_committed_although_they_were_written() {
    let rig = Rig::new();
    let (file, target) = (rig.file("f"), Arc::new(Target::default()));
    rig.sim.inject(Fault::next(Operation::Write, libc::ENOSPC));
    rig.committer.enqueue(request(&file, &target, 0, 0, b"abcd", Durability::Os));
    // Not end to end with the first, so that it is a write of its own in the same group.
    rig.committer.enqueue(request(&file, &target, 1, 8, b"efgh", Durability::Os));
    rig.committer.drive();
    assert_eq!(outcomes(&target.wait_for(2)), ["no space", "after failure"]);
    assert_eq!(rig.content("f"), b"\0\0\0\0\0\0\0\0efgh");
}

#[test]
fn a_failed_flush_takes_the_directory_offline_for_good_and_is_never_repeated() {
    let rig = Rig::new();
    let (file, target) = (rig.file("f"), Arc::new(Target::default()));
    rig.sim.inject(Fault::next(Operation::Sync, libc::EIO));
    rig.committer.commit(request(&file, &target, 0, 0, b"abcd", Durability::Sync));
    assert_eq!(outcomes(&target.wait_for(1)), ["offline"]);

    let operations = rig.sim.operations();
    target.chain().heal();
    let other = Arc::new(Target::default());
    for (index, durability) in ALL.into_iter().enumerate() {
        rig.committer.commit(request(&file, &target, 1, 4, b"efgh", durability));
        rig.committer.commit(request(&rig.file("other"), &other, 1, 0, b"efgh", durability));
        assert_eq!(outcome(&target.wait_for(index + 2)[index + 1]), "offline");
        assert_eq!(outcome(&other.wait_for(index + 1)[index]), "offline");
    }
    // Only the files opened by this test: nothing was written, nothing flushed.
    assert_eq!(rig.sim.operations() - operations, ALL.len() as u64);
    let offline = rig.committer.dir_state().offline().unwrap();
    assert_eq!((offline.operation, offline.error.raw_os_error()), ("flush", Some(libc::EIO)));
    let sentence = offline.to_string();
    assert!(sentence.contains("/data/f") && sentence.contains("flush"), "{sentence}");
}

#[test]
fn a_failed_flush_fails_every_append_of_its_file_and_spares_those_of_others_in_the_group() {
    let rig = Rig::new();
    let (bad, good) = (Arc::new(Target::default()), Arc::new(Target::default()));
    let (bad_file, good_file) = (rig.file("bad"), rig.file("good"));
    rig.sim.inject(Fault::next(Operation::Sync, libc::EIO).on("bad"));
    rig.committer.enqueue(request(&bad_file, &bad, 0, 0, b"abcd", Durability::Sync));
    rig.committer.enqueue(request(&good_file, &good, 0, 0, b"abcd", Durability::Sync));
    rig.committer.enqueue(request(&bad_file, &bad, 1, 4, b"abcd", Durability::Os));
    rig.committer.drive();
    assert_eq!(outcomes(&bad.wait_for(2)), ["offline", "offline"]);
    assert_eq!(outcomes(&good.wait_for(1)), ["committed"]);
}

#[test]
fn a_write_error_that_is_not_about_space_takes_the_directory_offline() {
    for durability in ALL {
        let rig = Rig::new();
        let (file, target) = (rig.file("f"), Arc::new(Target::default()));
        rig.sim.inject(Fault::next(Operation::Write, libc::EIO));
        rig.committer.commit(request(&file, &target, 0, 0, b"abcd", durability));
        assert_eq!(outcomes(&target.wait_for(1)), ["offline"]);
        assert_eq!(rig.committer.dir_state().offline().unwrap().operation, "write");
    }
}

#[test]
fn what_was_acknowledged_as_durable_survives_a_power_loss_at_every_operation() {
    let script = |disk: &SimDisk| {
        disk.create_dir_all(Path::new("/data")).unwrap_or_default();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let target = Arc::new(Target::default());
        let Ok(file) = disk.open(Path::new("/data/f"), OpenMode::CreateNew) else { return 0 };
        if disk.sync_dir(Path::new("/data")).and(disk.sync_dir(Path::new("/"))).is_err() {
            return 0;
        }
        let committer = Committer::start(&shared, Path::new("/data"), CommitLimits::default()).unwrap();
        for index in 0..12_u64 {
            committer.enqueue(request(&file, &target, index, index * 4, b"abcd", Durability::Sync));
            if index % 3 == 2 {
                committer.drive();
                target.wait_for(index as usize + 1);
            }
        }
        target.wait_for(12).iter().filter(|told| told.1.is_ok()).count()
    };
    let undisturbed = SimDisk::new();
    assert_eq!(script(&undisturbed), 12);
    for power_off in 0..undisturbed.operations() {
        for seed in 0..8 {
            let disk = SimDisk::new();
            disk.power_off_after(power_off);
            let acknowledged = script(&disk);
            let after = disk.crash(seed);
            let survived = after.open(Path::new("/data/f"), OpenMode::Read).and_then(|file| {
                let mut bytes = vec![0; acknowledged * 4];
                file.read_exact_at(&mut bytes, 0).map(|()| bytes)
            });
            let expected = b"abcd".repeat(acknowledged);
            assert!(
                acknowledged == 0 || survived.is_ok_and(|bytes| bytes == expected),
                "power off after {power_off}, seed {seed}, {acknowledged} acknowledged"
            );
        }
    }
}

/// A file whose flush waits until the test lets it pass.
#[derive(Debug)]
struct Gated {
    file: FileHandle,
    flushes: std::sync::Mutex<mpsc::Receiver<()>>,
    begun: mpsc::Sender<()>,
}

impl DiskFile for Gated {
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
        self.begun.send(()).unwrap();
        self.flushes.lock().unwrap().recv().unwrap();
        self.file.sync_data()
    }
    fn start_writeback(&self, position: u64, len: u64) -> io::Result<()> {
        self.file.start_writeback(position, len)
    }
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// The file, a sender that lets one flush pass, and a receiver that hears of each flush that begins.
fn gated(rig: &Rig) -> (FileHandle, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let ((pass, flushes), (begun, heard)) = (mpsc::channel(), mpsc::channel());
    let file = Gated { file: rig.file("gated"), flushes: flushes.into(), begun };
    (Arc::new(file), pass, heard)
}

#[test]
fn all_who_come_while_a_flush_is_under_way_share_the_next_one() {
    let rig = Rig::new();
    let (file, pass, begun) = gated(&rig);
    let target = Arc::new(Target::default());
    for index in 0..64 {
        rig.committer.commit(request(&file, &target, index, index * 4, b"abcd", Durability::Sync));
        if index == 0 {
            begun.recv().unwrap();
        }
    }
    pass.send(()).unwrap();
    pass.send(()).unwrap();
    assert_eq!(reservations(&target.wait_for(64)), (0..64).collect::<Vec<_>>());
    let counts = rig.committer.counts();
    assert_eq!((counts.queue.syncs, counts.groups, counts.queue.writes), (2, 2, 2));
}

#[test]
fn an_os_append_does_not_wait_for_the_flush_of_another_partition() {
    let rig = Rig::new();
    let (file, pass, begun) = gated(&rig);
    let (waiting, quick) = (Arc::new(Target::default()), Arc::new(Target::default()));
    rig.committer.commit(request(&file, &waiting, 0, 0, b"abcd", Durability::Sync));
    begun.recv().unwrap();
    rig.committer.commit(request(&rig.file("other"), &quick, 0, 0, b"abcd", Durability::Os));
    assert_eq!(outcomes(&quick.wait_for(1)), ["committed"]);
    pass.send(()).unwrap();
    waiting.wait_for(1);
}

#[test]
fn a_queue_at_its_bound_has_no_room_until_appends_end() {
    let rig = Rig::with_limits(CommitLimits { waiting_bytes_max: 8, ..CommitLimits::default() });
    let (file, pass, begun) = gated(&rig);
    let target = Arc::new(Target::default());
    assert!(rig.committer.has_room());
    rig.committer.commit(request(&file, &target, 0, 0, b"abcdefgh", Durability::Sync));
    begun.recv().unwrap();
    assert!(!rig.committer.has_room());
    let waited = thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            rig.committer.wait_for_room();
            rig.committer.has_room()
        });
        pass.send(()).unwrap();
        waiter.join().unwrap()
    });
    assert!(waited);
}

#[test]
fn a_leader_hands_the_lane_over_when_others_keep_bringing_appends() {
    /// Brings the next append out of the end of the last, as a busy directory does.
    #[derive(Debug)]
    struct Relay {
        chain: Chain,
        committer: std::sync::OnceLock<std::sync::Weak<Committer>>,
        file: FileHandle,
        myself: std::sync::OnceLock<std::sync::Weak<Relay>>,
        ended: mpsc::Sender<u64>,
    }
    impl CommitTarget for Relay {
        fn chain(&self) -> &Chain {
            &self.chain
        }
        fn committed(&self, reservation: u64, result: Result<(), CommitError>) {
            result.unwrap();
            if reservation < 9 {
                let target = self.myself.get().unwrap().upgrade().unwrap();
                self.committer.get().unwrap().upgrade().unwrap().enqueue(CommitRequest {
                    file: Arc::clone(&self.file),
                    position: 0,
                    bytes: Bytes::from_static(b"abcd"),
                    durability: Durability::Os,
                    target,
                    reservation: reservation + 1,
                });
            }
            self.ended.send(reservation).unwrap();
        }
    }
    let rig = Rig::new();
    let file = rig.file("f");
    let committer = Arc::new(rig.committer);
    let (ended, heard) = mpsc::channel();
    let relay = Arc::new(Relay {
        chain: Chain::new(),
        committer: Arc::downgrade(&committer).into(),
        file: Arc::clone(&file),
        myself: std::sync::OnceLock::new(),
        ended,
    });
    relay.myself.set(Arc::downgrade(&relay)).unwrap();
    committer.commit(CommitRequest {
        file,
        position: 0,
        bytes: Bytes::from_static(b"abcd"),
        durability: Durability::Os,
        target: relay.clone(),
        reservation: 0,
    });
    assert_eq!(heard.iter().take(10).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert_eq!(committer.counts().inline_appends, super::lead::GROUPS_LED_MAX as u64);
}

#[test]
fn a_committer_may_be_let_go_by_the_lane_that_tells_its_last_append() {
    #[derive(Debug)]
    struct Owner {
        chain: Chain,
        committer: std::sync::Mutex<Option<Arc<Committer>>>,
        ended: mpsc::Sender<()>,
    }
    impl CommitTarget for Owner {
        fn chain(&self) -> &Chain {
            &self.chain
        }
        fn committed(&self, _reservation: u64, _result: Result<(), CommitError>) {
            drop(self.committer.lock().unwrap().take());
            self.ended.send(()).unwrap();
        }
    }
    let rig = Rig::new();
    let (file, pass, begun) = gated(&rig);
    let committer = Arc::new(rig.committer);
    let (ended, heard) = mpsc::channel();
    let owner = Owner { chain: Chain::new(), committer: Some(Arc::clone(&committer)).into(), ended };
    committer.commit(CommitRequest {
        file,
        position: 0,
        bytes: Bytes::from_static(b"abcd"),
        durability: Durability::Sync,
        target: Arc::new(owner),
        reservation: 0,
    });
    begun.recv().unwrap();
    drop(committer);
    pass.send(()).unwrap();
    heard.recv().unwrap();
}

#[test]
fn a_panic_in_the_lane_takes_the_directory_offline_and_those_who_wait_are_told() {
    #[derive(Debug, Default)]
    struct Panics(Chain);
    impl CommitTarget for Panics {
        fn chain(&self) -> &Chain {
            &self.0
        }
        fn committed(&self, _reservation: u64, _result: Result<(), CommitError>) {
            panic!("a broken invariant of a log, on purpose");
        }
    }
    let rig = Rig::new();
    let (file, pass, begun) = gated(&rig);
    let target = Arc::new(Target::default());
    let panics: Arc<dyn CommitTarget> = Arc::new(Panics::default());
    let mut first = request(&file, &target, 0, 0, b"abcd", Durability::Sync);
    first.target = panics;
    rig.committer.commit(first);
    begun.recv().unwrap();
    rig.committer.commit(request(&file, &target, 1, 4, b"abcd", Durability::Sync));
    pass.send(()).unwrap();
    assert_eq!(outcomes(&target.wait_for(1)), ["offline"]);
}
