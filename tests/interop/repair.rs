//! What `klamm-log repair` made of damaged partitions: Kafka opens it without changing a byte of it, finds the segments that are
//! there, and its dump tool finds every batch valid.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use klamm_tests::process::run;
use klamm_tests::{corpus, oracle};
use tools::offline::{Command, Outcome};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Name of the harm, partition, file, what becomes of its bytes.
type Harm = (&'static str, &'static str, &'static str, fn(&mut Vec<u8>));

const FIRST: &str = "00000000000000000000.log";

const HARMS: [Harm; 14] = [
    ("a flipped bit in the middle", "rolled-0", "00000000000000000124.log", |bytes| bytes[200] ^= 1),
    ("a torn end", "rolled-0", "00000000000000000187.log", |bytes| bytes.truncate(bytes.len() - 3)),
    ("zeros behind the end", "rolled-0", "00000000000000000187.log", |bytes| bytes.extend([0; 300])),
    ("a segment that is random", "rolled-0", "00000000000000000061.log", |bytes| {
        bytes.iter_mut().enumerate().for_each(|(n, byte)| *byte = (n * 37 % 251) as u8);
    }),
    ("an empty first segment", "rolled-0", FIRST, Vec::clear),
    ("an index that is cut", "rolled-0", "00000000000000000124.index", |bytes| bytes.truncate(3)),
    ("a time index that is zeros", "rolled-0", "00000000000000000124.timeindex", |bytes| bytes.fill(0)),
    ("epochs of nobody", "epochs-0", "leader-epoch-checkpoint", |bytes| *bytes = b"0\n1\n9 3\n".to_vec()),
    ("epochs that cannot be read", "epochs-0", "leader-epoch-checkpoint", |bytes| *bytes = b"x".to_vec()),
    ("an epoch that is too large", "epochs-0", FIRST, |bytes| bytes[12] = 1),
    ("aborted transactions that are none", "transactions-0", "00000000000000000000.txnindex", |bytes| {
        bytes[9] ^= 1
    }),
    ("a snapshot with a flipped bit", "transactions-0", "00000000000000000036.snapshot", |bytes| {
        bytes[12] ^= 1
    }),
    ("a marker that is gone", "transactions-0", FIRST, |bytes| bytes.truncate(bytes.len() - 1)),
    ("a compressed batch", "codec-zstd-0", FIRST, |bytes| bytes[90] ^= 16),
];

fn repaired(root: &Path, number: usize, (name, partition, file, change): &Harm) -> PathBuf {
    // A parent of its own: Kafka takes topic and partition from the name.
    let dir = root.join(number.to_string()).join(partition);
    corpus::copy_directory(&corpus::directory().join("stopped").join(partition), &dir);
    let path = dir.join(file);
    let mut bytes = fs::read(&path).expect("the corpus has it");
    change(&mut bytes);
    fs::write(&path, bytes).expect("written");
    let mut told = Vec::new();
    let words = ["klamm-log", "repair", "--execute", dir.to_str().expect("plain characters")];
    let outcome = Arguments::parse_from(words).command.run(&mut told).expect("it runs");
    assert_eq!(outcome, Outcome::InOrder, "{name}: {}", String::from_utf8_lossy(&told));
    dir
}

fn logs(dir: &Path) -> Vec<(i64, PathBuf)> {
    let mut found: Vec<(i64, PathBuf)> = fs::read_dir(dir)
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
        .map(|path| {
            (path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a base offset"), path)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn kafka_opens_what_was_repaired_as_it_is_and_dumps_it_without_complaint() {
    let Some(oracle) = oracle::required() else { return };
    let root = tempfile::tempdir().expect("a directory");
    let dirs: Vec<PathBuf> =
        HARMS.iter().enumerate().map(|(number, harm)| repaired(root.path(), number, harm)).collect();
    let before: Vec<Vec<(i64, Vec<u8>)>> = dirs
        .iter()
        .map(|dir| logs(dir).into_iter().map(|(base, path)| (base, fs::read(path).expect("read"))).collect())
        .collect();

    let dumps: Vec<(PathBuf, String)> = dirs
        .iter()
        .flat_map(|dir| logs(dir))
        .enumerate()
        .map(|(number, (_, path))| {
            (
                root.path().join(format!("{number}.dump")),
                format!("--deep-iteration --files {}", path.display()),
            )
        })
        .collect();
    for code in oracle.dump(root.path(), &dumps) {
        assert_eq!(code, 0);
    }
    for (dump, arguments) in &dumps {
        let text = fs::read_to_string(dump).expect("the tool printed something");
        assert!(!text.contains("isvalid: false") && !text.contains("Exception"), "{arguments}:\n{text}");
    }

    let start = |dir: &Path| logs(dir)[0].0;
    let requests: String = dirs
        .iter()
        .map(|dir| {
            let start = start(dir);
            format!(
                "{}\t1700000000000\t{start}\t{start}\tretention.ms=-1\tretention.bytes=-1\n",
                dir.display()
            )
        })
        .collect();
    let answers = run(&mut oracle.java("Retention"), requests.as_bytes());
    assert_eq!(answers.lines().count(), dirs.len(), "{answers}");
    for (((dir, before), harm), answer) in dirs.iter().zip(before).zip(HARMS).zip(answers.lines()) {
        let bases: Vec<String> = before.iter().map(|(base, _)| base.to_string()).collect();
        assert_eq!(answer, format!("0\t{}\t{}", start(dir), bases.join(",")), "{}", harm.0);
        for ((_, path), (_, bytes)) in logs(dir).iter().zip(&before) {
            assert!(fs::read(path).expect("read") == *bytes, "{}: Kafka changed {}", harm.0, path.display());
        }
    }
}
