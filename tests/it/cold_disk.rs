//! Records that have left the page cache: who asks for them waits for the disk, the others on the same thread do not.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use klamm_tests::client::Client;
use klamm_tests::hooked_disk::{HookedDisk, Hooks};
use log_engine::io::{BackendChoice, Disk as _, NativeDisk, OpenMode};
use rustix::fs::{Advice, fadvise};
use wire::ErrorCode;

use crate::in_process::{Klamm, create, fetch, produce};
use crate::slow_disk::{Frost, Frozen, Thaw, is_served};

/// More than is sent without asking once more whether it is in the page cache.
const BATCHES: u8 = 6;
const BATCH_BYTES: usize = 500_000;

/// A broker with one thread for its connections, six large batches, and a disk to be frozen.
struct Scene {
    klamm: Klamm,
    frost: Arc<Frost>,
    _thaw: Thaw,
}

impl Scene {
    fn new() -> Self {
        let frost = Frost::new();
        let klamm = Klamm::start_with(1, Arc::new(HookedDisk::new(Arc::clone(&frost) as Arc<dyn Hooks>)));
        let _thaw = Thaw(Arc::clone(&frost));
        let mut client = klamm.with_topic("quick", 1);
        create(&mut client, "slow", 1, &[]);
        for number in 0..BATCHES {
            produce(&mut client, "slow", &[&vec![number; BATCH_BYTES]]);
        }
        Self { klamm, frost, _thaw }
    }

    fn log(&self) -> PathBuf {
        self.klamm.directory().join("data/slow-0/00000000000000000000.log")
    }

    /// Drops the log from the page cache from `from` on, and freezes the disk; `false` where the file system keeps it.
    fn freezes_from(&self, from: u64) -> bool {
        let file = File::open(self.log()).expect("the log is there");
        file.sync_all().expect("the disk works");
        fadvise(&file, from, None::<NonZeroU64>, Advice::DontNeed).expect("a hint");
        let dropped = is_cold(&self.log(), from + (1 << 20));
        if dropped {
            assert_eq!(is_cold(&self.log(), 0), from == 0, "what lies before stays");
            self.frost.set(Frozen::Reading);
        } else {
            // Past the test harness, which swallows the output of tests that pass.
            let _ =
                writeln!(io::stderr(), "skipped: the file system of the tests has no page cache of its own");
        }
        dropped
    }
}

fn is_cold(path: &Path, position: u64) -> bool {
    let file = NativeDisk::new(BackendChoice::Threads).open(path, OpenMode::Read).expect("the log is there");
    let read = file.read_cached_at(&mut [0], position);
    read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// All of `slow`, by one fetch.
fn fetched(client: &mut Client) -> Vec<u8> {
    let records = client.fetch("slow", 0, 0, 8 << 20, |answer| {
        assert_eq!(answer.error_code, 0);
        answer.records.as_ref().and_then(|records| records.inline()).unwrap_or_default().to_vec()
    });
    records.expect("an answer")
}

/// Fetches what is cold from `from` on, and has others served on the same thread until the disk is let go.
fn others_are_served_while_one_waits_from(from: u64) {
    let scene = Scene::new();
    if !scene.freezes_from(from) {
        return;
    }
    let Scene { klamm, frost, .. } = &scene;
    let records = thread::scope(|scope| {
        let thaw = Thaw(Arc::clone(frost));
        let waiting = scope.spawn(|| fetched(&mut klamm.client()));
        frost.wait_until_it_holds_somebody();
        for number in 0..20 {
            is_served(klamm);
            let mut client = klamm.client();
            assert_eq!(produce(&mut client, "quick", &[b"stored"]), number);
            let (error, records) = fetch(&mut client, "quick", number);
            assert_eq!((error, records.is_empty()), (ErrorCode::None, false));
        }
        assert!(!waiting.is_finished(), "it waits for the disk");
        drop(thaw);
        waiting.join().expect("an answer")
    });
    assert!(
        records == fs::read(scene.log()).expect("the log is there"),
        "what arrived is not what lies there"
    );
    assert!(records.len() > usize::from(BATCHES) * BATCH_BYTES);
}

#[test]
fn a_fetch_that_looks_for_its_batch_on_the_disk_keeps_no_thread_from_others() {
    others_are_served_while_one_waits_from(0);
}

#[test]
fn a_fetch_whose_records_come_from_the_disk_keeps_no_thread_from_others() {
    // The first batches are at hand; the answer begins before the disk is waited for.
    others_are_served_while_one_waits_from(1 << 20);
}
