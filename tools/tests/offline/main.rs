//! `klamm-log` on directories that Apache Kafka wrote, and on copies of them with one wound each.

#![expect(clippy::unwrap_used, reason = "tests")]

mod repair;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{PoisonError, RwLock},
};

use log_engine::io::{BackendChoice, Disk, NativeDisk};
use tempfile::TempDir;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/corpus")
}

/// A program that is being started shares what this one has locked, until it has become itself: nobody locks meanwhile.
static STARTING: RwLock<()> = RwLock::new(());

fn klamm_log(arguments: &[&str], directories: &[&Path]) -> Output {
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    Command::new(env!("CARGO_BIN_EXE_klamm-log")).args(arguments).args(directories).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A copy of the directory that Kafka left after a clean stop.
fn stopped() -> (TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("stopped");
    copy_directory(&corpus().join("stopped"), &dir);
    (temporary, dir)
}

/// The same in its next run, after kill -9.
fn killed() -> (TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(corpus().join("killed.tar.gz"))
        .arg("-C")
        .arg(temporary.path())
        .status()
        .unwrap();
    assert!(unpacked.success());
    let dir = temporary.path().join("killed");
    (temporary, dir)
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

const FIRST: &str = "00000000000000000000";

#[test]
fn nothing_is_wrong_with_directories_that_kafka_wrote_stopped_or_killed() {
    for (temporary, dir) in [stopped(), killed()] {
        let output = klamm_log(&["verify"], &[&dir]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(text(&output).ends_with("damages: 0\n"), "{}", text(&output));
        drop(temporary);
    }
}

#[test]
fn each_kind_of_damage_is_told_with_file_position_and_rule() {
    type Wound = fn(&Path);
    let wounds: [(&str, &str, &str, Wound); 22] = [
        ("a flipped bit of a record", "codec-none-0", ": the stored CRC is ", |dir| {
            edit(&dir.join(format!("{FIRST}.log")), |bytes| bytes[100] ^= 4);
        }),
        ("a flipped bit of a large log's length", "codec-none-0", "00.log: at byte 0: ", |dir| {
            edit(&dir.join(format!("{FIRST}.log")), |bytes| bytes[10] ^= 1);
        }),
        ("a batch cut short", "codec-gzip-0", ": the batch is not whole: ", |dir| {
            edit(&dir.join(format!("{FIRST}.log")), |bytes| bytes.truncate(bytes.len() - 5));
        }),
        ("an unknown format", "codec-none-0", "00.log: at byte 0: unknown magic 9", |dir| {
            edit(&dir.join(format!("{FIRST}.log")), |bytes| bytes[16] = 9);
        }),
        ("zeros behind the end", "codec-zstd-0", ": a batch length of 0", |dir| {
            edit(&dir.join(format!("{FIRST}.log")), |bytes| bytes.extend([0; 200]));
        }),
        ("a batch twice", "codec-lz4-0", " does not follow offset ", |dir| {
            edit(&dir.join(format!("{FIRST}.log")), |bytes| bytes.extend(bytes.clone()));
        }),
        ("a batch that is missing", "codec-none-0", ": offsets from ", |dir| {
            edit(&dir.join(format!("{FIRST}.log")), |bytes| drop(bytes.drain(..first_batch(bytes))));
        }),
        ("an older leader epoch", "epochs-0", " follows leader epoch ", |dir| {
            edit(&dir.join(format!("{FIRST}.log")), |bytes| bytes[12..16].copy_from_slice(&[0, 0, 0, 99]));
        }),
        ("a segment that is missing", "rolled-0", "the segment begins at offset 187, but", |dir| {
            fs::remove_file(dir.join("00000000000000000124.log")).unwrap();
        }),
        ("an index without its segment", "rolled-0", "there is no segment of this base offset", |dir| {
            fs::remove_file(dir.join("00000000000000000124.log")).unwrap();
        }),
        ("an index that is missing", "rolled-0", "124.index: at byte 0: the file is missing", |dir| {
            fs::remove_file(dir.join("00000000000000000124.index")).unwrap();
        }),
        ("an index with half an entry", "shapes-0", "are no multiple of the 8 bytes", |dir| {
            edit(&dir.join(format!("{FIRST}.index")), |bytes| bytes.push(1));
        }),
        ("an index entry between batches", "shapes-0", ".index: at byte 0: no batch begins at byte", |dir| {
            edit(&dir.join(format!("{FIRST}.index")), |bytes| bytes[7] ^= 1);
        }),
        (
            "an index entry of another offset",
            "shapes-0",
            ".index: at byte 0: no batch behind the place",
            |dir| {
                edit(&dir.join(format!("{FIRST}.index")), |bytes| bytes[3] = bytes[3].wrapping_sub(1));
            },
        ),
        ("an index entry twice", "shapes-0", "does not follow the entry before it", |dir| {
            edit(&dir.join(format!("{FIRST}.index")), |bytes| bytes.extend_from_within(..8));
        }),
        (
            "a timestamp that is none of the log's",
            "shapes-0",
            ".timeindex: at byte 0: the entry has",
            |dir| {
                edit(&dir.join(format!("{FIRST}.timeindex")), |bytes| bytes[7] ^= 1);
            },
        ),
        ("a time index with half an entry", "shapes-0", "are no multiple of the 12 bytes", |dir| {
            edit(&dir.join(format!("{FIRST}.timeindex")), |bytes| bytes.truncate(bytes.len() - 1));
        }),
        ("an aborted transaction of another producer", "transactions-0", "has no marker at offset", |dir| {
            edit(&dir.join(format!("{FIRST}.txnindex")), |bytes| bytes[9] ^= 64);
        }),
        ("a snapshot with a flipped bit", "transactions-0", "snapshot is corrupt", |dir| {
            edit(&dir.join("00000000000000000036.snapshot"), |bytes| bytes[12] ^= 1);
        }),
        ("epochs that go back", "epochs-0", "leader-epoch-checkpoint: at byte 0: line 4", |dir| {
            fs::write(dir.join("leader-epoch-checkpoint"), "0\n2\n4 0\n3 9\n").unwrap();
        }),
        ("epochs that are not the log's", "epochs-0", "where the file says Some(77)", |dir| {
            fs::write(dir.join("leader-epoch-checkpoint"), "0\n1\n77 0\n").unwrap();
        }),
        ("an identity that cannot be read", "epochs-0", "partition.metadata: at byte 0: line 2", |dir| {
            fs::write(dir.join("partition.metadata"), "version: 0\ntopic: x").unwrap();
        }),
    ];
    for (name, partition, expected, wound) in wounds {
        let (_temporary, dir) = stopped();
        wound(&dir.join(partition));
        let output = klamm_log(&["verify"], &[&dir.join(partition)]);
        let told = text(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {told}");
        assert!(told.contains(expected), "{name}: {told}");
    }
}

fn first_batch(bytes: &[u8]) -> usize {
    12 + u32::from_be_bytes(bytes[8..12].try_into().unwrap()) as usize
}

#[test]
fn checkpoints_of_a_data_directory_are_checked_against_its_logs() {
    for (file, content, expected) in [
        ("recovery-point-offset-checkpoint", "0\n1\nrolled 0 201\n", "rolled-0 is said to reach offset 201"),
        ("replication-offset-checkpoint", "0\n2\nrolled 0 200\n", "line 2 is malformed"),
        ("log-start-offset-checkpoint", "7\n", "line 1 is malformed"),
        ("cleaner-offset-checkpoint", "0\n1\nrolled 0\n", "line 3 is malformed"),
        ("meta.properties", "version=1\n", "meta.properties: at byte 0"),
    ] {
        let (_temporary, dir) = stopped();
        fs::write(dir.join(file), content).unwrap();
        let output = klamm_log(&["verify"], &[&dir]);
        assert_eq!(output.status.code(), Some(1), "{file}: {}", text(&output));
        assert!(text(&output).contains(expected), "{file}: {}", text(&output));
    }
}

#[test]
fn what_lies_behind_damage_is_checked_too() {
    let (_temporary, dir) = stopped();
    let dir = dir.join("codec-none-0");
    edit(&dir.join(format!("{FIRST}.log")), |bytes| {
        let second = first_batch(bytes);
        let third = second + first_batch(&bytes[second..]);
        // The length of the first, so that the second has to be searched for; and a record of the third.
        bytes[9] = 0x7f;
        bytes[third + 70] ^= 1;
    });
    let output = klamm_log(&["verify", "--json"], &[&dir]);
    let lines: Vec<serde_json::Value> =
        text(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rules: Vec<&str> = lines.iter().filter_map(|line| line["rule"].as_str()).collect();
    assert_eq!(lines.last().unwrap()["damages"], rules.len(), "{lines:?}");
    assert!(rules[0].starts_with("the batch is not whole"), "{rules:?}");
    assert!(rules[1].starts_with("the stored CRC is"), "{rules:?}");
    assert!(lines.last().unwrap()["batches"].as_u64().unwrap() > 5, "{lines:?}");
}

#[test]
fn a_directory_in_use_is_not_looked_at() {
    let (_temporary, dir) = stopped();
    let lock = NativeDisk::new(BackendChoice::Threads).lock(&dir.join(".lock")).unwrap();
    for place in [dir.clone(), dir.join("rolled-0")] {
        let output = klamm_log(&["verify"], &[&place]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains("is in use by a running broker"), "{}", text(&output));
    }
    drop(lock);
    assert_eq!(klamm_log(&["verify"], &[&dir]).status.code(), Some(0));
}

#[test]
fn nothing_is_written_to_what_is_looked_at() {
    let (_temporary, dir) = stopped();
    klamm_log(&["verify"], &[&dir]);
    klamm_log(&["explain"], &[&dir]);
    let (_other, untouched) = stopped();
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&dir), names(&untouched), "not even a lock file is made");
}

#[test]
fn retention_is_explained_by_the_rule_that_takes_or_spares_each_segment() {
    let (_temporary, dir) = stopped();
    let dir = dir.join("rolled-0");
    let explain = |arguments: &[&str]| {
        let output = klamm_log(&[&["explain"], arguments].concat(), &[&dir]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        text(&output)
    };
    // DeleteRecords moved the start to 130: the segments of 0 and 61 end before it.
    let told = explain(&["--config", "retention.ms=-1"]);
    assert!(told.contains("retention: 2 of 4 segments go"), "{told}");
    assert!(
        told.contains("segment 61 to 124, ") && told.contains("ends before the log starts at 130"),
        "{told}"
    );
    assert!(told.contains("stays, neither age nor size is limited"), "{told}");
    let told = explain(&["--config", "retention.ms=1000", "--at", "1800000000000"]);
    assert!(told.contains("retention: 4 of 4 segments go"), "{told}");
    assert!(told.contains("ms old, more than retention.ms=1000"), "{told}");
    let told = explain(&["--config", "retention.ms=-1", "--config", "retention.bytes=0"]);
    assert!(told.contains("goes, what is more than retention.bytes=0 covers it whole"), "{told}");
    let told = explain(&["--config", "retention.ms=-1", "--config", "retention.bytes=1000000"]);
    assert!(told.contains("goes by size when the log has grown by"), "{told}");
}

#[test]
fn compaction_is_explained_by_what_is_dirty_and_what_spares_the_rest() {
    let (_temporary, dir) = stopped();
    let compact = ["--config", "cleanup.policy=compact", "--config", "min.cleanable.dirty.ratio=0"];
    let told = text(&klamm_log(&[&["explain"], &compact[..]].concat(), &[&dir.join("rolled-0")]));
    assert!(told.contains("compaction: due, the dirty ratio is above"), "{told}");
    assert!(told.contains("segment 187: stays as it is, it is active"), "{told}");
    let young = ["--config", "min.compaction.lag.ms=1000", "--at", "1700000000000"];
    let told = text(&klamm_log(&[&["explain"], &compact[..], &young].concat(), &[&dir.join("rolled-0")]));
    assert!(told.contains("compaction: not due, nothing may be cleaned"), "{told}");
    assert!(told.contains("younger than min.compaction.lag.ms"), "{told}");
    let refused = klamm_log(&["explain", "--config", "retention.ms=x"], &[&dir.join("rolled-0")]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
}

#[test]
fn two_copies_of_a_log_are_the_same_until_a_batch_differs() {
    let (_temporary, left) = stopped();
    let (_other, right) = stopped();
    let (left, right) = (left.join("codec-none-0"), right.join("codec-none-0"));
    let output = klamm_log(&["diff"], &[&left, &right]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).ends_with("the logs hold the same\n"));

    let mut second = 0;
    edit(&right.join(format!("{FIRST}.log")), |bytes| {
        second = first_batch(bytes);
        bytes.truncate(second);
    });
    let output = klamm_log(&["diff"], &[&left, &right]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let told = text(&output);
    assert!(told.contains(&format!("at byte {second}: offsets ")), "{told}");
    assert!(told.contains("right: the log ends here"), "{told}");
}

#[test]
fn two_logs_of_the_same_batches_may_differ_in_what_lies_beside_them() {
    let (_temporary, left) = stopped();
    let (_other, right) = stopped();
    fs::write(right.join("epochs-0/leader-epoch-checkpoint"), "0\n1\n4 0\n").unwrap();
    fs::write(right.join("rolled-0/partition.metadata"), "version: 0\ntopic_id: zoxu-eL8TzSWqd_wyViODA")
        .unwrap();
    fs::remove_dir_all(right.join("plain-0")).unwrap();
    let output = klamm_log(&["diff"], &[&left, &right]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let told = text(&output);
    for line in [
        "epochs-0: leader epochs: left ",
        "rolled-0: topic id: left ",
        "plain-0: only left",
        "the logs hold the same batches, and differ beside them",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let output = klamm_log(&["diff"], &[&left, &right.join("rolled-0")]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[test]
fn the_first_record_that_differs_is_named() {
    let (_temporary, left) = stopped();
    let (none, gzip) = (left.join("codec-none-0"), left.join("codec-gzip-0"));
    let told = text(&klamm_log(&["diff"], &[&none, &gzip]));
    assert!(told.contains("headers differ in attributes"), "{told}");
    assert!(told.contains("; the records are the same") || told.contains("; record "), "{told}");
}

#[test]
fn a_topics_configuration_is_read_from_the_metadata_log_beside_it() {
    let (_temporary, dir) = stopped();
    let told = text(&klamm_log(&["explain"], &[&dir.join("rolled-0")]));
    assert!(told.contains("config: index.interval.bytes=200 (topic), segment.ms=60000 (topic)"), "{told}");
    let told = text(&klamm_log(&["explain", "--config", "segment.ms=4096"], &[&dir.join("rolled-0")]));
    assert!(told.contains("segment.ms=4096 (given)"), "{told}");
}
