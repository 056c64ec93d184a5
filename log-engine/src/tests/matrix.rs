//! Every file of a data directory may be missing, empty, cut, full of zeros, another log's, random, or a directory: the engine opens
//! with what the `.log` proves, and deletes nothing that it cannot explain.

use std::fs;

use super::*;

/// What became of a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Missing,
    Empty,
    Cut,
    ZerosBehind,
    OfAnotherLog,
    Random,
    Directory,
}

const HARMS: [Harm; 7] = [
    Harm::Missing,
    Harm::Empty,
    Harm::Cut,
    Harm::ZerosBehind,
    Harm::OfAnotherLog,
    Harm::Random,
    Harm::Directory,
];

/// Files of the data directory from which nothing follows that the logs do not tell.
const OF_DIRECTORY: [&str; 5] = [
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "replication-offset-checkpoint",
    "cleaner-offset-checkpoint",
    ".kafka_cleanshutdown",
];

fn others() -> TopicPartition {
    TopicPartition::new("others", 0)
}

/// A data directory with two logs of several segments, stopped cleanly or not.
fn filled(clean: bool) -> Fixture {
    let fixture = Fixture::in_memory();
    let engine = fixture.open();
    let log = create(&engine, small_segments());
    let other = engine.create_log(&others(), TopicId::new([8; 16]), small_segments(), None).unwrap();
    append_numbered(&log, 0..60);
    log.begin_epoch(LeaderEpoch::new(0)).unwrap();
    append_numbered(&other, 0..90);
    if clean {
        engine.close().unwrap();
    }
    fixture
}

fn inflict(path: &Path, other: &Path, harm: Harm) {
    let was = fs::read(path).unwrap_or_default();
    let random: Vec<u8> = (0..300_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    match harm {
        Harm::Missing => drop(fs::remove_file(path)),
        Harm::Empty => fs::write(path, b"").unwrap(),
        Harm::Cut => fs::write(path, &was[..was.len() / 2]).unwrap(),
        Harm::ZerosBehind => fs::write(path, [&was[..], &[0; 4096]].concat()).unwrap(),
        Harm::OfAnotherLog => fs::write(path, fs::read(other).unwrap_or_default()).unwrap(),
        Harm::Random => fs::write(path, random).unwrap(),
        Harm::Directory => {
            drop(fs::remove_file(path));
            fs::create_dir(path).unwrap();
            fs::write(path.join("somebody's"), b"work").unwrap();
        }
    }
}

/// All records are there, more can be appended, and they are there after the next start.
fn is_whole(fixture: &Fixture, what: &str) {
    let engine = Engine::open(fixture.config.clone()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let log = engine.log(&orders()).unwrap_or_else(|| panic!("{what}: the log is gone"));
    log.update_config(small_segments());
    assert_eq!(values_from(&log, 0), numbered(0..60), "{what}");
    assert_eq!(append(&log, &[b"value 60"]).first_offset.get(), 60, "{what}");
    log.adopt_topic_id(TopicId::new([7; 16])).unwrap();
    engine.close().unwrap();
    drop((log, engine));
    let engine = fixture.open();
    assert!(engine.open_report().is_clean(), "{what}");
    assert_eq!(values_from(&engine.log(&orders()).unwrap(), 0), numbered(0..61), "{what}");
}

fn is_kept(dir: &Path, name: &str, what: &str) {
    let aside = dir.join(format!("{name}.aside")).join("somebody's");
    let in_place = dir.join(name).join("somebody's");
    assert!(aside.exists() || in_place.exists(), "{what}: what nobody can explain is gone");
}

#[test]
fn whatever_becomes_of_a_side_file_the_records_are_served() {
    for clean in [true, false] {
        let names = file_names(&filled(clean).log_dir());
        let side_files: Vec<&String> = names.iter().filter(|name| !name.ends_with(".log")).collect();
        assert!(side_files.len() > 6, "{side_files:?}");
        // Of many segments: the first and the last.
        let of = |suffix: &str| {
            let all: Vec<&&String> = side_files.iter().filter(|name| name.ends_with(suffix)).collect();
            [all[0].as_str(), all[all.len() - 1]].map(str::to_owned).to_vec()
        };
        let mut chosen = [of(".index"), of(".timeindex"), of(".snapshot")].concat();
        chosen.extend(["leader-epoch-checkpoint", "partition.metadata"].map(str::to_owned));
        chosen.push("00000000000000000000.txnindex".to_owned());
        for name in chosen {
            for harm in HARMS {
                let what = format!("{name}, {harm:?}, clean {clean}");
                let fixture = filled(clean);
                inflict(&fixture.log_dir().join(&name), &fixture.dir.join("others-0").join(&name), harm);
                is_whole(&fixture, &what);
                if matches!(harm, Harm::Directory) {
                    is_kept(&fixture.log_dir(), &name, &what);
                }
            }
        }
    }
}

#[test]
fn whatever_becomes_of_a_checkpoint_the_records_are_served() {
    for clean in [true, false] {
        for name in OF_DIRECTORY {
            for harm in HARMS {
                // The marker is a file or it is none.
                if name.starts_with('.') && matches!(harm, Harm::Directory) {
                    continue;
                }
                let what = format!("{name}, {harm:?}, clean {clean}");
                let fixture = filled(clean);
                inflict(&fixture.dir.join(name), &fixture.dir.join("meta.properties"), harm);
                is_whole(&fixture, &what);
                if matches!(harm, Harm::Directory) {
                    is_kept(&fixture.dir, name, &what);
                }
            }
        }
    }
}

#[test]
fn a_log_that_is_harmed_anywhere_serves_a_part_of_its_records_and_no_others() {
    for clean in [true, false] {
        let names = file_names(&filled(clean).log_dir());
        for name in names.iter().filter(|name| name.ends_with(".log")) {
            for harm in HARMS {
                let what = format!("{name}, {harm:?}, clean {clean}");
                let fixture = filled(clean);
                inflict(&fixture.log_dir().join(name), &fixture.dir.join("meta.properties"), harm);
                let opened = Engine::open(fixture.config.clone());
                if matches!(harm, Harm::Directory) {
                    // Nobody knows what is missing: the only directory cannot be opened, and says where it is.
                    let told = opened.err().is_some_and(|error| error.to_string().contains("orders-0"));
                    assert!(told, "{what}");
                    is_kept(&fixture.log_dir(), name, &what);
                    continue;
                }
                let engine = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
                let log = engine.log(&orders()).unwrap();
                let all = numbered(0..60);
                let mut from = log.offsets().log_start.get();
                while from < log.offsets().log_end.get() {
                    let request =
                        ReadRequest { from: Offset::new(from), ..ReadRequest::from_start(Isolation::LogEnd) };
                    // What is damaged is refused, by the engine or by the reader's checksum.
                    let Ok(fetched) = log.read(&request) else { break };
                    let bytes = fetched.to_bytes().unwrap();
                    let Ok(batch) = BatchView::read(&bytes) else { break };
                    if batch.crc_is_valid() {
                        let mut records = batch.records(Default::default()).unwrap();
                        while let Some(record) = records.next_record() {
                            let record = record.unwrap();
                            let (offset, value) = (record.offset.get(), record.value.unwrap());
                            assert_eq!(
                                (offset, value),
                                (all[offset as usize].0, &*all[offset as usize].1),
                                "{what}"
                            );
                        }
                    }
                    from = batch.next_offset().get();
                }
            }
        }
    }
}

#[test]
fn segments_that_nothing_connects_to_the_log_any_more_are_kept_aside() {
    let fixture = filled(false);
    let names = file_names(&fixture.log_dir());
    let logs: Vec<&String> = names.iter().filter(|name| name.ends_with(".log")).collect();
    fs::write(fixture.dir.join("recovery-point-offset-checkpoint"), "0\n0\n").unwrap();
    let first = fixture.log_dir().join(logs[0]);
    let bytes = fs::read(&first).unwrap();
    fs::write(&first, &bytes[..bytes.len() / 2]).unwrap();
    let engine = fixture.open();
    let end = engine.log(&orders()).unwrap().offsets().log_end.get();
    assert!((1..60).contains(&end));
    let now = file_names(&fixture.log_dir());
    for name in &logs[1..] {
        assert!(now.contains(&format!("{name}.aside")), "{name} is gone: {now:?}");
    }
}

#[test]
fn names_that_mean_nothing_are_left_alone() {
    let fixture = filled(true);
    fs::create_dir(fixture.dir.join("lost+found")).unwrap();
    fs::write(fixture.dir.join("notes.txt"), b"mine").unwrap();
    fs::write(fixture.log_dir().join("notes.txt"), b"mine").unwrap();
    fs::create_dir(fixture.log_dir().join("backup")).unwrap();
    is_whole(&fixture, "strange names");
    for path in [fixture.dir.join("lost+found"), fixture.log_dir().join("backup")] {
        assert!(path.is_dir());
    }
    for path in [fixture.dir.join("notes.txt"), fixture.log_dir().join("notes.txt")] {
        assert_eq!(fs::read(path).unwrap(), b"mine");
    }
}
