//! A disk that stands still: whoever waits for it waits, everybody else is served, also by a single thread. What has
//! left the page cache is in `cold_disk`.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use klamm_tests::client::{BY_NAME, Client, batch, fetch_request, produce_request};
use klamm_tests::hooked_disk::{HookedDisk, Hooks};
use log_engine::batch::Compression;
use log_engine::io::{FileHandle, OpenMode, ShortWrite};
use wire::ErrorCode;
use wire::messages::{ApiVersionsRequest, MetadataRequest};

use crate::in_process::{Klamm, NOW, create, fetch, produce};

/// What a frozen disk does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frozen {
    Nothing,
    Opening,
    Reading,
    Syncing,
    Writing,
}

/// Freezes for the files of topic `slow`, or for a whole directory.
#[derive(Debug)]
pub(crate) struct Frost {
    place: &'static str,
    frozen: Mutex<Frozen>,
    thawed: Condvar,
    waiting: AtomicUsize,
}

impl Frost {
    pub(crate) fn new() -> Arc<Self> {
        Self::on("/slow-0")
    }

    fn on(place: &'static str) -> Arc<Self> {
        let frozen = Mutex::new(Frozen::Nothing);
        Arc::new(Self { place, frozen, thawed: Condvar::new(), waiting: AtomicUsize::new(0) })
    }

    pub(crate) fn set(&self, frozen: Frozen) {
        *self.frozen.lock().unwrap_or_else(PoisonError::into_inner) = frozen;
        self.thawed.notify_all();
    }

    fn pass(&self, what: Frozen, path: &Path) {
        if !path.to_string_lossy().contains(self.place) {
            return;
        }
        let mut frozen = self.frozen.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while *frozen == what {
            frozen = self.thawed.wait(frozen).unwrap_or_else(PoisonError::into_inner);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn wait_until_it_holds_somebody(&self) {
        for _ in 0..4000 {
            if self.waiting.load(Ordering::SeqCst) > 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("nobody waits for the disk");
    }
}

impl Hooks for Frost {
    fn opened(&self, file: &FileHandle, mode: OpenMode) -> io::Result<()> {
        match mode {
            OpenMode::OpenOrCreate => self.pass(Frozen::Opening, file.path()),
            OpenMode::ReadWrite | OpenMode::Read => self.pass(Frozen::Reading, file.path()),
            OpenMode::CreateNew => {}
        }
        Ok(())
    }

    fn write(&self, file: &FileHandle, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        self.pass(Frozen::Writing, file.path());
        file.write_vectored_all_at(parts, position)
    }

    fn reading(&self, path: &Path) -> io::Result<()> {
        self.pass(Frozen::Reading, path);
        Ok(())
    }

    fn syncing(&self, path: &Path) -> io::Result<()> {
        self.pass(Frozen::Syncing, path);
        Ok(())
    }
}

/// Lets the disk go, also when a test fails: a broker cannot stop on a frozen one.
pub(crate) struct Thaw(pub(crate) Arc<Frost>);

impl Drop for Thaw {
    fn drop(&mut self) {
        self.0.set(Frozen::Nothing);
    }
}

pub(crate) fn is_served(klamm: &Klamm) {
    let mut client = klamm.client();
    let error_code = client.call(&ApiVersionsRequest::default(), 0, |response| response.error_code);
    assert_eq!(error_code.expect("an answer"), 0);
    client.call(&MetadataRequest::default(), 9, |_| ()).expect("an answer");
}

/// Sends records to `slow` and does not wait.
fn send(client: &mut Client, bytes: usize) {
    let records = batch(Compression::None, NOW, &[&vec![b'v'; bytes]]);
    client.send(&produce_request("slow", 0, -1, &records), BY_NAME).expect("sent");
}

fn one_thread_serves_on(frozen: Frozen, configs: &[(&str, &str)], before: &[usize]) {
    let frost = Frost::new();
    let klamm = Klamm::start_with(1, Arc::new(HookedDisk::new(Arc::clone(&frost) as Arc<dyn Hooks>)));
    let _thaw = Thaw(Arc::clone(&frost));
    let mut client = klamm.with_topic("quick", 1);
    create(&mut client, "slow", 1, configs);
    for bytes in before {
        produce(&mut client, "slow", &[&vec![b'v'; *bytes]]);
    }
    frost.set(frozen);
    let mut waiting = klamm.client();
    send(&mut waiting, 100_000);
    // In order behind the first, and answered in this order.
    send(&mut waiting, 10);
    frost.wait_until_it_holds_somebody();
    is_served(&klamm);
    produce(&mut client, "quick", &[b"stored"]);
    assert_eq!(fetch(&mut client, "slow", 0).0, ErrorCode::None);
    // Another that needs the same.
    let mut other = klamm.client();
    send(&mut other, 10);
    is_served(&klamm);
    frost.set(Frozen::Nothing);
    for client in [&mut waiting, &mut other] {
        client.receive_frame().expect("an answer");
    }
    waiting.receive_frame().expect("a second answer");
    let stored = before.len() as i64 + 3;
    assert_eq!(produce(&mut client, "slow", &[b"last"]), stored);
}

#[test]
fn a_segment_that_takes_long_to_create_keeps_no_thread_from_others() {
    one_thread_serves_on(Frozen::Opening, &[("segment.bytes", "1048576")], &[500_000, 500_000]);
}

#[test]
fn a_flush_before_the_first_durable_append_keeps_no_thread_from_others() {
    one_thread_serves_on(Frozen::Syncing, &[("flush.messages", "1")], &[]);
}

/// A broker whose only thread has been asked for records of a file that the disk does not open.
fn reading_what_is_cold() -> (Klamm, Arc<Frost>, Thaw, Client) {
    let frost = Frost::new();
    let mut klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("quick", 1);
    create(&mut client, "slow", 1, &[("segment.bytes", "1048576")]);
    for _ in 0..3 {
        produce(&mut client, "slow", &[&vec![b'v'; 500_000]]);
    }
    drop(client);
    klamm.restart_with(1, Arc::new(HookedDisk::new(Arc::clone(&frost) as Arc<dyn Hooks>)));
    let thaw = Thaw(Arc::clone(&frost));
    frost.set(Frozen::Reading);
    let mut waiting = klamm.client();
    waiting.send(&fetch_request("slow", 0, 0, 1 << 20), BY_NAME).expect("sent");
    frost.wait_until_it_holds_somebody();
    (klamm, frost, thaw, waiting)
}

#[test]
fn a_read_of_what_is_cold_keeps_no_thread_from_others() {
    let (klamm, frost, _thaw, mut waiting) = reading_what_is_cold();
    is_served(&klamm);
    let mut client = klamm.client();
    produce(&mut client, "quick", &[b"stored"]);
    let (error, records) = fetch(&mut client, "quick", 0);
    assert_eq!((error, records.is_empty()), (ErrorCode::None, false));
    frost.set(Frozen::Nothing);
    assert!(waiting.receive_frame().expect("an answer").len() > 500_000);
}

#[test]
fn a_client_that_has_nothing_more_to_send_gets_records_that_are_cold() {
    let (klamm, frost, _thaw, mut waiting) = reading_what_is_cold();
    waiting.socket().shutdown(Shutdown::Write).expect("half closed");
    // The thread has seen the end once it has served another one.
    is_served(&klamm);
    frost.set(Frozen::Nothing);
    assert!(waiting.receive_frame().expect("an answer").len() > 500_000);
}

#[test]
fn a_write_that_stands_still_keeps_one_thread_and_the_other_serves_on() {
    let frost = Frost::new();
    let klamm = Klamm::start_with(2, Arc::new(HookedDisk::new(Arc::clone(&frost) as Arc<dyn Hooks>)));
    let _thaw = Thaw(Arc::clone(&frost));
    let mut client = klamm.with_topic("quick", 1);
    create(&mut client, "slow", 1, &[]);
    frost.set(Frozen::Writing);
    let mut waiting = klamm.client();
    send(&mut waiting, 10);
    frost.wait_until_it_holds_somebody();
    is_served(&klamm);
    // Waits behind it, and keeps nobody.
    let records = batch(Compression::None, NOW, &[b"value"]);
    client.send(&produce_request("quick", 0, -1, &records), BY_NAME).expect("sent");
    is_served(&klamm);
    frost.set(Frozen::Nothing);
    waiting.receive_frame().expect("an answer");
    client.receive_frame().expect("an answer");
}

/// The first partition of a topic in a directory.
fn a_partition_in(klamm: &Klamm, directory: &str, topic: &str) -> i32 {
    let lies_there = |number: &i32| klamm.directory().join(format!("{directory}/{topic}-{number}")).exists();
    (0..4).find(lies_there).expect("partitions are spread over both directories")
}

#[test]
fn a_frozen_directory_delays_its_own_partitions_and_no_others() {
    let frost = Frost::on("/b/");
    let disk = Arc::new(HookedDisk::new(Arc::clone(&frost) as Arc<dyn Hooks>));
    let klamm = Klamm::start_on_two(disk);
    let _thaw = Thaw(Arc::clone(&frost));
    let mut client = klamm.client();
    create(&mut client, "t", 4, &[]);
    let (quick, slow) = (a_partition_in(&klamm, "a", "t"), a_partition_in(&klamm, "b", "t"));
    let records = batch(Compression::None, NOW, &[b"value"]);
    for partition in [quick, slow] {
        let stored = client.produce("t", partition, -1, &records, |answer| answer.error_code);
        assert_eq!(stored.expect("an answer"), 0);
    }
    frost.set(Frozen::Writing);
    // The thread of the first one writes and waits; the others find the directory busy and leave their records there.
    let mut waiting: Vec<Client> = (0..8).map(|_| klamm.client()).collect();
    waiting[0].send(&produce_request("t", slow, -1, &records), BY_NAME).expect("sent");
    frost.wait_until_it_holds_somebody();
    for client in &mut waiting[1..] {
        client.send(&produce_request("t", slow, -1, &records), BY_NAME).expect("sent");
    }
    for _ in 0..20 {
        let mut other = klamm.client();
        let stored = other.produce("t", quick, -1, &records, |answer| answer.error_code);
        assert_eq!(stored.expect("an answer"), 0);
        let read = other.fetch("t", quick, 0, 1 << 20, |answer| answer.error_code);
        assert_eq!(read.expect("an answer"), 0);
        // What the frozen directory had stored is in the page cache.
        let read = other.fetch("t", slow, 0, 1 << 20, |answer| answer.high_watermark);
        assert_eq!(read.expect("an answer"), 1);
    }
    frost.set(Frozen::Nothing);
    for client in &mut waiting {
        client.receive_frame().expect("an answer");
    }
}
