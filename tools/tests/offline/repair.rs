//! `repair` on directories that Kafka wrote, with every file of them harmed in every way.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use clap::Parser;
use log_engine::{
    Engine, EngineConfig, Isolation, Offset, ReadRequest, TopicPartition,
    batch::BatchView,
    inspect::{FileType, Found, SegmentFile, parse_file_name},
    io::{BackendChoice, Disk, NativeDisk},
    log_dir::MetaProperties,
};
use tempfile::TempDir;
use tools::offline::{Command, Outcome};

use super::{STARTING, copy_directory, corpus, edit, first_batch, klamm_log, stopped, text};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The same as the program does, without a process.
fn run(arguments: &[&str], dir: &Path) -> (Outcome, String) {
    let _nobody_starts = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let words = ["klamm-log"].iter().chain(arguments).copied().chain([dir.to_str().unwrap()]);
    let mut out = Vec::new();
    let outcome =
        Arguments::parse_from(words).command.run(&mut out).unwrap_or_else(|error| panic!("{error}"));
    (outcome, String::from_utf8(out).unwrap())
}

/// In memory where the machine has room for it there: what is repaired is flushed, again and again.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Three partitions and the metadata log of a directory that was stopped cleanly.
fn small_directory() -> (TempDir, PathBuf) {
    let temporary = scratch();
    let dir = temporary.path().join("data");
    fs::create_dir(&dir).unwrap();
    let from = corpus().join("stopped");
    for partition in ["rolled-0", "transactions-0", "epochs-0", "__cluster_metadata-0"] {
        copy_directory(&from.join(partition), &dir.join(partition));
    }
    let checkpoints = ["recovery-point", "log-start", "replication", "cleaner"];
    for name in checkpoints.map(|name| format!("{name}-offset-checkpoint")) {
        let text = fs::read_to_string(from.join(&name)).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .skip(2)
            .filter(|line| ["rolled 0", "transactions 0", "epochs 0"].iter().any(|tp| line.starts_with(tp)))
            .collect();
        let content = format!("0\n{}\n{}\n", lines.len(), lines.join("\n"));
        fs::write(dir.join(&name), content.trim_end_matches('\n').to_owned() + "\n").unwrap();
    }
    fs::copy(from.join("meta.properties"), dir.join("meta.properties")).unwrap();
    fs::write(dir.join(".kafka_cleanshutdown"), "{\"version\":0,\"brokerEpoch\":7}").unwrap();
    (temporary, dir)
}

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(content(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    Missing,
    Empty,
    Cut,
    ZerosBehind,
    OfAnotherPartition,
    Random,
    Directory,
}

const HARMS: [Harm; 7] = [
    Harm::Missing,
    Harm::Empty,
    Harm::Cut,
    Harm::ZerosBehind,
    Harm::OfAnotherPartition,
    Harm::Random,
    Harm::Directory,
];

fn inflict(path: &Path, harm: Harm) {
    let was = fs::read(path).unwrap();
    let random: Vec<u8> = (0..900_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    match harm {
        Harm::Missing => fs::remove_file(path).unwrap(),
        Harm::Empty => fs::write(path, b"").unwrap(),
        Harm::Cut => fs::write(path, &was[..was.len() / 2]).unwrap(),
        Harm::ZerosBehind => fs::write(path, [&was[..], &[0; 4096]].concat()).unwrap(),
        Harm::OfAnotherPartition => fs::write(path, of_another_partition(path)).unwrap(),
        Harm::Random => fs::write(path, random).unwrap(),
        Harm::Directory => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("somebody's"), b"work").unwrap();
        }
    }
}

// A file of the same kind, as far as there is one.
fn of_another_partition(path: &Path) -> Vec<u8> {
    let ending = path.extension().map(|ending| ending.to_str().unwrap().to_owned());
    let is_same_kind = |file: &PathBuf| match &ending {
        Some(ending) => file.extension().is_some_and(|of| of == ending.as_str()),
        None => file.file_name() == path.file_name(),
    };
    let others = content(&corpus().join("stopped"));
    let other = others.iter().find(|(file, bytes)| {
        is_same_kind(file)
            && file.parent().unwrap().file_name() != path.parent().unwrap().file_name()
            && !bytes.is_empty()
    });
    other.map_or(b"0\n1\n17 4711\n".to_vec(), |(_, bytes)| bytes.clone())
}

/// All batches of a partition that are whole, by their bytes behind what is outside the checksum.
fn whole_batches(dir: &Path) -> Vec<(i64, Vec<u8>)> {
    let mut logs: Vec<(Offset, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = parse_file_name(path.file_name().unwrap().to_str().unwrap());
        if let Some(name) = name.filter(|name| name.file_type == FileType::Log)
            && path.is_file()
        {
            logs.push((name.offset, path));
        }
    }
    logs.sort();
    let mut batches = Vec::new();
    for (base, path) in logs {
        let file = SegmentFile::open(&path, base).unwrap();
        let mut walk = file.batches(None);
        while let Some(found) = walk.next_found().unwrap() {
            if let Found::Batch(batch) = found {
                batches.push((batch.at.base_offset.get(), batch.bytes[21..].to_vec()));
            }
        }
    }
    batches
}

/// Every log opens and serves its batches to the end, as after a clean stop or none.
fn opens(dir: &Path, what: &str) {
    let _nobody_starts = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let temporary = scratch();
    let copy = temporary.path().join("copy");
    copy_directory(dir, &copy);
    let text = fs::read_to_string(copy.join("meta.properties")).unwrap();
    let meta = MetaProperties::parse(&copy, &text).unwrap();
    let config = EngineConfig::new([copy.clone()], meta.node_id);
    let engine = Engine::open(config).unwrap_or_else(|error| panic!("{what}: {error}"));
    for partition in ["rolled", "transactions", "epochs"].map(|topic| TopicPartition::new(topic, 0)) {
        let Some(log) = engine.log(&partition) else { panic!("{what}: {partition} is gone") };
        let kept = whole_batches(&dir.join(partition.to_string()));
        let offsets = log.offsets();
        let mut from = offsets.log_start;
        let mut served = 0;
        while from < offsets.log_end {
            let request = ReadRequest { from, ..ReadRequest::from_start(Isolation::LogEnd) };
            let fetched = log.read(&request).unwrap_or_else(|error| panic!("{what}: {partition}: {error}"));
            let bytes = fetched.to_bytes().unwrap();
            let batch =
                BatchView::read(&bytes).unwrap_or_else(|error| panic!("{what}: {partition}: {error}"));
            assert!(batch.crc_is_valid(), "{what}: {partition} at {from}");
            from = batch.next_offset();
            served += 1;
        }
        let expected = kept.iter().filter(|(base, _)| *base >= offsets.log_start.get()).count();
        assert!(served >= expected, "{what}: {partition}: {served} of {expected} batches are served");
    }
}

/// A test for each harm: they wait for the disk, and can do so side by side.
macro_rules! harms {
    ($($name:ident: $harm:ident)*) => {$(
        #[test]
        fn $name() {
            harm_every_file(Harm::$harm);
        }
    )*};
}

harms! {
    a_directory_with_a_missing_file_is_repaired_and_keeps_every_whole_batch: Missing
    a_directory_with_an_empty_file_is_repaired_and_keeps_every_whole_batch: Empty
    a_directory_with_a_cut_file_is_repaired_and_keeps_every_whole_batch: Cut
    a_directory_with_zeros_behind_a_file_is_repaired_and_keeps_every_whole_batch: ZerosBehind
    a_directory_with_a_file_of_another_partition_is_repaired: OfAnotherPartition
    a_directory_with_a_random_file_is_repaired_and_keeps_every_whole_batch: Random
    a_directory_with_a_directory_for_a_file_is_repaired_and_keeps_every_whole_batch: Directory
}

fn harm_every_file(harm: Harm) {
    let (_kept, pristine) = small_directory();
    let names: Vec<PathBuf> =
        content(&pristine).into_keys().map(|path| path.strip_prefix(&pristine).unwrap().to_owned()).collect();
    let unharmed: Vec<PathBuf> = names
        .into_iter()
        // The metadata log and what says whose directory this is are not repaired: see the tests below.
        .filter(|name| !name.starts_with("__cluster_metadata-0") && name != Path::new("meta.properties"))
        .filter(|name| name != Path::new(".kafka_cleanshutdown"))
        // Of the logs that are alike, one file of each kind; of the four segments the last two.
        .filter(|name| !name.starts_with("epochs-0") || name.ends_with("leader-epoch-checkpoint"))
        .filter(|name| {
            !["00000000000000000000.", "00000000000000000061."].iter().any(|segment| {
                name.starts_with("rolled-0")
                    && name.file_name().unwrap().to_str().unwrap().starts_with(segment)
            })
        })
        .collect();
    assert!(unharmed.len() > 15, "{unharmed:?}");
    for name in unharmed {
        let what = format!("{}, {harm:?}", name.display());
        let (_temporary, dir) = small_directory();
        inflict(&dir.join(&name), harm);
        is_repaired(&dir, &what);
    }
}

fn is_repaired(dir: &Path, what: &str) {
    let before = content(dir);
    let partitions = ["rolled-0", "transactions-0", "epochs-0"].map(|name| dir.join(name));
    let batches = partitions.each_ref().map(|partition| whole_batches(partition));

    let (_, planned) = run(&["repair"], dir);
    assert!(content(dir) == before, "{what}: a plan changes nothing");

    let (outcome, told) = run(&["repair", "--execute"], dir);
    assert_eq!(outcome, Outcome::InOrder, "{what}: {told}");
    let planned: Vec<&str> = planned.lines().filter_map(|line| line.strip_prefix("would ")).collect();
    let carried_out: Vec<&str> = told.lines().filter(|line| planned.contains(line)).collect();
    assert_eq!(carried_out, planned, "{what}: what is done is what was planned: {told}");

    let (outcome, told) = run(&["verify", "--allow-gaps"], dir);
    assert_eq!(outcome, Outcome::InOrder, "{what}: {told}");
    let (outcome, told) = run(&["repair"], dir);
    assert_eq!(outcome, Outcome::InOrder, "{what}: {told}");
    assert!(told.ends_with("nothing is to be done\n"), "{what}: {told}");

    let after = content(dir);
    for (path, bytes) in &before {
        let is_there = path.ends_with(".kafka_cleanshutdown") || after.values().any(|kept| kept == bytes);
        assert!(is_there, "{what}: {} is nowhere any more", path.display());
    }
    for (partition, before) in partitions.iter().zip(batches) {
        let after = whole_batches(partition);
        let lost: Vec<i64> = before
            .iter()
            .filter(|batch| !after.contains(batch))
            // One that was another's, or stood out of order, is none of this log's.
            .map(|(base, _)| *base)
            .collect();
        let foreign = what.contains("OfAnotherPartition");
        assert!(lost.is_empty() || foreign, "{what}: {lost:?} of {} are gone", partition.display());
    }
    opens(dir, what);
}

#[test]
fn derived_files_are_written_as_the_engine_writes_them() {
    // Kafka wrote these in one go: each time a log is closed, its time index gets an entry that a rebuild does not make.
    let (_temporary, dir) = small_directory();
    let partitions = ["rolled-0", "transactions-0"].map(|name| dir.join(name));
    let is_index = |path: &PathBuf| {
        path.extension().is_some_and(|is| is == "index" || is == "timeindex" || is == "txnindex")
    };
    let before: Vec<(PathBuf, Vec<u8>)> =
        partitions.iter().flat_map(|dir| content(dir)).filter(|(path, _)| is_index(path)).collect();
    assert!(before.iter().filter(|(path, _)| path.extension().unwrap() == "txnindex").count() > 0);
    for (path, _) in &before {
        fs::write(path, b"x").unwrap();
    }
    let (outcome, told) = run(&["repair", "--execute"], &dir);
    assert_eq!(outcome, Outcome::InOrder, "{told}");
    for (path, bytes) in before {
        assert_eq!(fs::read(&path).unwrap(), bytes, "{}", path.display());
    }
}

#[test]
fn what_lies_behind_damage_is_kept_and_so_is_the_original() {
    let (_temporary, dir) = small_directory();
    let log = dir.join("rolled-0/00000000000000000124.log");
    let original = fs::read(&log).unwrap();
    let (first, mut second) = (first_batch(&original), 0);
    edit(&log, |bytes| {
        second = first_batch(&bytes[first..]);
        bytes[first + 70] ^= 1;
    });
    let harmed = fs::read(&log).unwrap();
    let (outcome, told) = run(&["repair"], &dir);
    assert_eq!(outcome, Outcome::Differs, "{told}");
    assert!(told.contains(&format!("would take {second} of {} bytes out of", original.len())), "{told}");
    assert!(told.contains(".kafka_cleanshutdown: the next start has to look"), "{told}");
    run(&["repair", "--execute"], &dir);
    let repaired = [&original[..first], &original[first + second..]].concat();
    assert_eq!(fs::read(&log).unwrap(), repaired);
    assert_eq!(fs::read(log.with_extension("log.aside")).unwrap(), harmed);
    assert!(!dir.join(".kafka_cleanshutdown").exists());
    opens(&dir, "a batch in the middle");
}

#[test]
fn one_flipped_bit_outside_the_checksum_costs_one_batch_and_not_what_is_behind_it() {
    // Base offset and leader epoch: a large one, so that the next batches contradict it.
    for (at, flip) in [(6, 0x10), (12, 0x01)] {
        let (_temporary, dir) = small_directory();
        let partition = dir.join("transactions-0");
        let before = whole_batches(&partition);
        let log = partition.join("00000000000000000000.log");
        edit(&log, |bytes| {
            let first = first_batch(bytes);
            bytes[first + at] ^= flip;
        });
        let (outcome, told) = run(&["repair", "--execute"], &dir);
        assert_eq!(outcome, Outcome::InOrder, "{told}");
        let after = whole_batches(&partition);
        assert_eq!(after.len(), before.len() - 1, "{told}");
        assert_eq!((&after[0], &after[1]), (&before[0], &before[2]), "{told}");
    }
}

#[test]
fn a_metadata_log_loses_a_torn_end_and_nothing_else() {
    let (_temporary, dir) = small_directory();
    let log = dir.join("__cluster_metadata-0/00000000000000000000.log");
    edit(&log, |bytes| bytes.truncate(bytes.len() - 5));
    let (outcome, told) = run(&["repair", "--execute"], &dir);
    assert_eq!(outcome, Outcome::InOrder, "{told}");
    assert_eq!(run(&["verify"], &dir).0, Outcome::InOrder);

    let (_temporary, dir) = small_directory();
    let log = dir.join("__cluster_metadata-0/00000000000000000000.log");
    edit(&log, |bytes| bytes[100] ^= 1);
    let before = fs::read(&log).unwrap();
    let (outcome, told) = run(&["repair", "--execute"], &dir);
    assert_eq!(outcome, Outcome::Differs, "{told}");
    assert!(told.contains("bring this directory back from a copy"), "{told}");
    assert_eq!(fs::read(&log).unwrap(), before);
}

#[test]
fn whose_directory_it_is_nobody_makes_up() {
    for harm in HARMS {
        let (_temporary, dir) = small_directory();
        inflict(&dir.join("meta.properties"), harm);
        if harm == Harm::ZerosBehind || harm == Harm::OfAnotherPartition {
            continue;
        }
        let (outcome, told) = run(&["repair", "--execute"], &dir);
        assert_eq!(outcome, Outcome::Differs, "{harm:?}: {told}");
        assert!(told.contains("meta.properties: ") && told.contains("cluster.id"), "{harm:?}: {told}");
    }
}

#[test]
fn a_directory_in_use_is_not_repaired() {
    let (_temporary, dir) = stopped();
    let lock = NativeDisk::new(BackendChoice::Threads).lock(&dir.join(".lock")).unwrap();
    for place in [dir.clone(), dir.join("rolled-0")] {
        for arguments in [&["repair"][..], &["repair", "--execute"]] {
            let output = klamm_log(arguments, &[&place]);
            assert_eq!(output.status.code(), Some(2), "{}", text(&output));
            assert!(text(&output).contains("is in use by a running broker"), "{}", text(&output));
        }
    }
    drop(lock);
}

#[test]
fn steps_are_told_as_objects_with_json() {
    let (_temporary, dir) = small_directory();
    fs::remove_file(dir.join("rolled-0/00000000000000000124.index")).unwrap();
    let (outcome, told) = run(&["repair", "--json"], &dir);
    assert_eq!(outcome, Outcome::Differs);
    let lines: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["action"], "derive", "{told}");
    assert_eq!(lines[1]["steps"], 1, "{told}");
    assert_eq!(lines[1]["done"], false, "{told}");
}
