//! What a start reads; and what keeps a broker from starting, each with one clear sentence, and nothing already stored is harmed.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;

use klamm_tests::hooked_disk::{HookedDisk, Hooks};
use log_engine::io::{BackendChoice, Disk as _, NativeDisk};

use crate::copied_bytes::CopiedBytes;
use crate::in_process::{Klamm, config, produce, try_start};

fn refusal(directory: &std::path::Path, overrides: &[String]) -> String {
    try_start(config(directory, overrides)).expect_err("it does not start").to_string()
}

#[test]
fn a_port_in_use_is_said_before_anything_is_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let directory = tempfile::tempdir().expect("a directory");
    let overrides = [format!("listeners=PLAINTEXT://{address}")];
    assert_eq!(
        refusal(directory.path(), &overrides),
        format!("cannot listen on PLAINTEXT://{address}: the port is in use by another process")
    );
    assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 0);
}

#[test]
fn a_directory_in_use_is_refused_and_its_user_goes_on() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    let text = refusal(klamm.directory(), &[]);
    assert!(text.contains("is in use by another process"), "{text}");
    assert_eq!(produce(&mut client, "t", &[b"x"]), 0);
}

#[test]
fn a_directory_of_another_cluster_or_node_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    try_start(config(directory.path(), &[])).expect("it starts");
    let text = refusal(directory.path(), &["klamm.cluster.id=AAAAAAAAAAAAAAAAAAAAAQ".to_owned()]);
    assert!(text.contains("belongs to the cluster") && text.contains("AAAAAAAAAAAAAAAAAAAAAQ"), "{text}");
    let text = refusal(directory.path(), &["node.id=2".to_owned()]);
    assert!(text.contains("belongs to node 1"), "{text}");
    try_start(config(directory.path(), &[])).expect("it still starts as itself");
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let blocked = directory.path().join("data");
    // A file where the directory should be: refused for every user, also for root.
    fs::write(&blocked, b"").expect("written");
    let text = refusal(directory.path(), &[]);
    assert!(text.contains(&blocked.display().to_string()), "{text}");
}

#[test]
fn a_directory_is_refused_while_somebody_holds_its_lock_and_no_longer() {
    let directory = tempfile::tempdir().expect("a directory");
    try_start(config(directory.path(), &[])).expect("it starts");
    let disk = NativeDisk::new(BackendChoice::Threads);
    let held = disk.lock(&directory.path().join("data/.lock")).expect("nobody holds it");
    let text = refusal(directory.path(), &[]);
    assert!(text.contains("is in use by another process"), "{text}");
    drop(held);
    try_start(config(directory.path(), &[])).expect("a lock ends with its holder");
}

#[test]
fn several_directories_are_used() {
    let second = tempfile::tempdir().expect("a directory");
    let first = tempfile::tempdir().expect("a directory");
    let dirs = format!("log.dirs={},{}", first.path().display(), second.path().display());
    let mut klamm = Klamm::start(&[&dirs]);
    let mut client = klamm.with_topic("t", 4);
    assert_eq!(produce(&mut client, "t", &[b"x"]), 0);
    drop(client);
    for directory in [first.path(), second.path()] {
        let partitions = fs::read_dir(directory).expect("listed").filter_map(Result::ok);
        let count = partitions.filter(|entry| entry.file_name().to_string_lossy().starts_with("t-")).count();
        assert_eq!(count, 2, "in {}", directory.display());
    }
    klamm.restart();
    let mut client = klamm.client();
    assert_eq!(produce(&mut client, "t", &[b"x"]), 1);
}

#[test]
fn logs_without_the_metadata_that_name_them_are_refused_and_left_as_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    try_start(config(directory.path(), &[])).expect("it starts");
    let topic = data.join("t-0");
    fs::create_dir(&topic).expect("made");
    fs::write(topic.join("00000000000000000000.log"), b"").expect("written");
    try_start(config(directory.path(), &[])).expect("a log that no topic has is no reason");
    let metadata = data.join("__cluster_metadata-0");
    fs::rename(&metadata, directory.path().join("kept")).expect("moved");
    let text = refusal(directory.path(), &[]);
    assert!(text.contains("holds no metadata, but the data directories hold 1 logs of topics"), "{text}");
    assert!(topic.exists());
    fs::remove_dir_all(&metadata).ok();
    fs::rename(directory.path().join("kept"), &metadata).expect("moved back");
    try_start(config(directory.path(), &[])).expect("it starts again");
}

#[test]
fn metadata_files_that_an_only_voter_can_do_without_keep_it_from_starting_in_no_state() {
    for name in ["__cluster_metadata-0/quorum-state", "bootstrap.checkpoint"] {
        for harm in ["missing", "empty", "random", "a directory"] {
            let mut klamm = Klamm::start(&[]);
            let mut client = klamm.with_topic("t", 1);
            assert_eq!(produce(&mut client, "t", &[b"x"]), 0);
            drop(client);
            klamm.restart_after(|directory| {
                let path = directory.join("data").join(name);
                fs::remove_file(&path).expect("it was there");
                match harm {
                    "missing" => {}
                    "empty" => fs::write(&path, b"").expect("written"),
                    "random" => fs::write(&path, b"\x17\xfe{not what is expected").expect("written"),
                    _ => fs::create_dir(&path).expect("made"),
                }
            });
            assert_eq!(produce(&mut klamm.client(), "t", &[b"y"]), 1, "{name}, {harm}");
            klamm.restart();
            assert_eq!(produce(&mut klamm.client(), "t", &[b"z"]), 2, "{name}, {harm}");
            let aside = klamm.directory().join("data/__cluster_metadata-0/quorum-state.aside");
            assert_eq!(aside.exists(), name.contains("quorum") && harm != "missing", "{name}, {harm}");
        }
    }
}

/// `index.interval.bytes`: the headers of so many bytes of batches, and of the one that crosses the line, lie behind the last entry.
const INDEX_INTERVAL_BYTES: usize = 4096;

#[test]
fn a_start_after_a_clean_stop_reads_no_records_and_one_after_a_crash_all_that_may_not_have_been_durable() {
    const RECORD_BYTES: usize = 100_000;
    let mut klamm = Klamm::start(&["log.segment.bytes=1048576"]);
    let mut client = klamm.with_topic("t", 3);
    for _ in 0..50 {
        produce(&mut client, "t", &[&[b'v'; RECORD_BYTES]]);
    }
    drop(client);
    let mut read_by_a_start = |marker_is_there: bool| {
        klamm.stop();
        let marker = klamm.directory().join("data/.kafka_cleanshutdown");
        assert!(marker.exists());
        if !marker_is_there {
            let data = klamm.directory().join("data");
            fs::remove_file(marker).expect("it was there");
            fs::remove_file(data.join("recovery-point-offset-checkpoint")).expect("it was there");
        }
        let copied = Arc::new(CopiedBytes::default());
        klamm.restart_with(1, Arc::new(HookedDisk::new(Arc::clone(&copied) as Arc<dyn Hooks>)));
        copied.so_far()
    };
    let clean = read_by_a_start(true);
    assert!(clean <= INDEX_INTERVAL_BYTES, "{clean} bytes were read");
    let unclean = read_by_a_start(false);
    assert!(unclean >= 50 * RECORD_BYTES, "{unclean} bytes were read");
    assert_eq!(produce(&mut klamm.client(), "t", &[b"x"]), 50);
}
