//! A disk without room: records are refused, everything else goes on, and records are accepted again once there is room.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use klamm_tests::client::{Client, batch};
use klamm_tests::hooked_disk::{HookedDisk, Hooks};
use log_engine::batch::Compression;
use log_engine::io::{FileHandle, ShortWrite};
use wire::ErrorCode;

use crate::in_process::{Klamm, NOW, code, fetch, produce};

/// What Linux answers where there is no room.
const ENOSPC: i32 = rustix::io::Errno::NOSPC.raw_os_error();

/// Answers writes with ENOSPC while it is full, half of the bytes written, as a file system does.
#[derive(Debug, Default)]
struct Full(AtomicBool);

impl Hooks for Full {
    fn write(&self, file: &FileHandle, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        if !self.0.load(Ordering::Relaxed) {
            return file.write_vectored_all_at(parts, position);
        }
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let half = &bytes[..bytes.len() / 2];
        file.write_vectored_all_at(&[IoSlice::new(half)], position)?;
        Err(ShortWrite { written: half.len() as u64, error: io::Error::from_raw_os_error(ENOSPC) })
    }
}

fn try_produce(client: &mut Client) -> ErrorCode {
    let records = batch(Compression::None, NOW, &[&[b'v'; 1000]]);
    client.produce("t", 0, 1, &records, |answer| code(answer.error_code)).expect("an answer")
}

#[test]
fn a_full_disk_refuses_records_serves_the_stored_ones_and_takes_new_ones_when_there_is_room() {
    let full = Arc::new(Full::default());
    let klamm = Klamm::start_on(&[], Arc::new(HookedDisk::new(Arc::clone(&full) as Arc<dyn Hooks>)));
    let mut client = klamm.with_topic("t", 1);
    produce(&mut client, "t", &[b"before"]);
    let (_, stored) = fetch(&mut client, "t", 0);

    full.0.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(try_produce(&mut client), ErrorCode::KafkaStorageError);
    }
    assert_eq!(fetch(&mut client, "t", 0), (ErrorCode::None, stored.clone()));

    full.0.store(false, Ordering::Relaxed);
    assert_eq!(produce(&mut client, "t", &[b"after"]), 1, "what was refused took no offset");
    let (_, both) = fetch(&mut client, "t", 0);
    assert_eq!(both[..stored.len()], stored, "what was stored before is as it was");
    assert!(both.len() > stored.len());
}
