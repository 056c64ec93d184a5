//! A disk that refuses to write while the broker runs, or before it starts: the directory is offline as in Kafka, other
//! requests are answered, and what was acknowledged is there once the disk is well again.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use klamm_tests::client::batch;
use klamm_tests::hooked_disk::{HookedDisk, Hooks};
use log_engine::batch::Compression;
use log_engine::io::{FileHandle, OpenMode, ShortWrite};
use rustix::io::Errno;
use wire::ErrorCode;
use wire::messages::MetadataRequest;

use crate::in_process::{Klamm, NOW, code, config, fetch, produce, try_start_on};

/// Answers everything that changes the disk with an error, once there is one.
#[derive(Debug, Default)]
struct Refusing(AtomicI32);

impl Refusing {
    fn with(&self, errno: Errno) {
        self.0.store(errno.raw_os_error(), Ordering::Relaxed);
    }

    fn answer(&self) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Hooks for Refusing {
    fn opened(&self, _file: &FileHandle, mode: OpenMode) -> io::Result<()> {
        if mode == OpenMode::Read { Ok(()) } else { self.answer() }
    }

    fn write(&self, file: &FileHandle, parts: &[IoSlice<'_>], position: u64) -> Result<(), ShortWrite> {
        self.answer().map_err(|error| ShortWrite { written: 0, error })?;
        file.write_vectored_all_at(parts, position)
    }

    fn syncing(&self, _path: &Path) -> io::Result<()> {
        self.answer()
    }

    fn changing(&self, _path: &Path) -> io::Result<()> {
        self.answer()
    }
}

#[test]
fn a_disk_that_turns_read_only_or_fails_takes_its_directory_offline_and_harms_nothing_that_is_stored() {
    for errno in [Errno::ROFS, Errno::IO] {
        let refusing = Arc::new(Refusing::default());
        let disk = Arc::new(HookedDisk::new(Arc::clone(&refusing) as Arc<dyn Hooks>));
        let mut klamm = Klamm::start_on(&[], disk);
        let mut client = klamm.with_topic("t", 1);
        produce(&mut client, "t", &[b"before"]);
        let (_, stored) = fetch(&mut client, "t", 0);

        refusing.with(errno);
        let records = batch(Compression::None, NOW, &[b"refused"]);
        for _ in 0..2 {
            let answer = client.produce("t", 0, -1, &records, |answer| code(answer.error_code));
            assert_eq!(answer.expect("an answer"), ErrorCode::KafkaStorageError, "{errno}");
        }
        // Also for readers, as in Kafka: of such a disk nothing is known any more.
        assert_eq!(fetch(&mut client, "t", 0), (ErrorCode::KafkaStorageError, Vec::new()), "{errno}");
        assert!(client.call(&MetadataRequest::default(), 9, |_| ()).is_ok(), "others are served");

        drop(client);
        klamm.stop_badly();
        klamm.restart();
        let mut client = klamm.client();
        assert_eq!(fetch(&mut client, "t", 0), (ErrorCode::None, stored), "{errno}");
        assert_eq!(produce(&mut client, "t", &[b"after"]), 1, "{errno}");
    }
}

#[test]
fn a_start_on_a_read_only_disk_is_refused_with_its_directory_and_harms_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let refusing = Arc::new(Refusing::default());
    let start = || {
        let disk = Arc::new(HookedDisk::new(Arc::clone(&refusing) as Arc<dyn Hooks>));
        try_start_on(config(directory.path(), &[]), disk)
    };
    start().expect("it starts");
    refusing.with(Errno::ROFS);
    let text = start().expect_err("it does not start").to_string();
    let data = directory.path().join("data").display().to_string();
    assert!(text.contains(&data) && text.contains("ead-only file system"), "{text}");
    refusing.0.store(0, Ordering::Relaxed);
    start().expect("it starts again");
}
