//! `kafka-dump-log` against files written by Apache Kafka, damaged files, bad arguments and a memory limit.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/corpus")
}

fn dump_in(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kafka-dump-log"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

/// The corpus as its manifest sees it: the packed directory unpacked beside the others.
fn unpacked_corpus() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(corpus()).unwrap() {
        let entry = entry.unwrap();
        symlink(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    let unpacked =
        Command::new("tar").args(["xzf", "killed.tar.gz"]).current_dir(directory.path()).status().unwrap();
    assert!(unpacked.success());
    directory
}

/// One run of Kafka's tool: what it printed and how it ended.
struct Expected {
    name: String,
    arguments: String,
    exit_code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

fn expected_runs() -> Vec<Expected> {
    let dumps = corpus().join("dumps");
    let manifest = fs::read_to_string(dumps.join("MANIFEST.tsv")).unwrap();
    let runs = manifest.lines().map(|line| {
        let [name, exit_code, arguments] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        Expected {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            exit_code: exit_code.parse().unwrap(),
            stdout: fs::read(dumps.join(name)).unwrap(),
            stderr: fs::read_to_string(dumps.join(format!("{name}.stderr"))).unwrap_or_default(),
        }
    });
    runs.collect()
}

/// Java prints the identity of a byte array, which differs from run to run.
fn without_array_identities(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut pieces = text.split("[B@");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str("[B@");
        out.push_str(piece.trim_start_matches(|letter: char| letter.is_ascii_hexdigit()));
    }
    out
}

#[test]
fn every_file_that_kafka_wrote_is_shown_as_kafka_shows_it() {
    let directory = unpacked_corpus();
    let here = format!("{}/", directory.path().display());
    let mut compared = 0;
    for run in expected_runs() {
        let is_refused =
            run.arguments.contains("offsets-decoder") || run.arguments.contains("transaction-log-decoder");
        if run.arguments.contains("damaged/") || is_refused {
            continue;
        }
        let ours = dump_in(directory.path(), &run.arguments.split(' ').collect::<Vec<_>>());
        let (ours_text, expected_text) =
            (without_array_identities(&ours.stdout), without_array_identities(&run.stdout));
        if run.exit_code != 0 {
            assert!(ours_text.starts_with(&expected_text), "{}", run.name);
            assert_eq!(ours.status.code(), Some(1), "{}", run.name);
            continue;
        }
        let difference =
            ours_text.lines().zip(expected_text.lines()).find(|(ours, expected)| ours != expected);
        assert_eq!(difference, None, "{}", run.name);
        assert_eq!(ours_text.len(), expected_text.len(), "{}", run.name);
        assert_eq!(String::from_utf8_lossy(&ours.stderr), run.stderr.replace("@/", &here), "{}", run.name);
        assert_eq!(ours.status.code(), Some(0), "{}", run.name);
        compared += 1;
    }
    assert!(compared > 300, "the corpus has shrunk to {compared} runs");
}

/// Which file of a damaged directory is wounded, and whether the wound can be seen without knowing what was there.
const WOUNDS: [(&str, &str); 22] = [
    ("crc-field-0", ".log"),
    ("gzip-stream-0", ".log"),
    ("index-length-0", ".index"),
    ("index-order-0", ".index"),
    ("index-position-0", ".index"),
    ("length-huge-0", ".log"),
    ("length-negative-0", ".log"),
    ("length-tiny-0", ".log"),
    ("magic-0", ".log"),
    ("record-byte-0", ".log"),
    ("text-tail-0", ".log"),
    ("time-length-0", ".timeindex"),
    ("time-offset-0", ".timeindex"),
    ("time-order-0", ".timeindex"),
    ("torn-batch-0", ".log"),
    ("torn-header-0", ".log"),
    ("txnsnapshot-byte-0", ".snapshot"),
    ("txnsnapshot-cut-0", ".snapshot"),
    ("txnsnapshot-version-0", ".snapshot"),
    ("txntxnindex-cut-0", ".txnindex"),
    ("txntxnindex-version-0", ".txnindex"),
    ("zero-tail-0", ".log"),
];

#[test]
fn a_damaged_file_is_shown_as_kafka_shows_it_up_to_where_kafka_stops_and_the_run_fails() {
    let mut wounds_seen = 0;
    for run in expected_runs().iter().filter(|run| run.arguments.contains("damaged/")) {
        let ours = dump_in(&corpus(), &run.arguments.split(' ').collect::<Vec<_>>());
        let begins_as_expected = ours.stdout.starts_with(&run.stdout);
        assert!(begins_as_expected, "{}: {}", run.name, String::from_utf8_lossy(&ours.stdout));
        let is_wounded = WOUNDS.iter().any(|(directory, suffix)| {
            run.arguments.contains(&format!("damaged/{directory}/")) && run.arguments.ends_with(suffix)
                || run.arguments.contains(&format!("damaged/{directory}/"))
                    && run.arguments.contains(&format!("{suffix} "))
        });
        // Kafka's sanity check asks for less than a comparison with the log.
        if is_wounded && !run.arguments.contains("--index-sanity-check") {
            assert_eq!(ours.status.code(), Some(1), "{}", run.name);
            wounds_seen += 1;
        }
        if run.exit_code != 0 {
            assert_eq!(ours.status.code(), Some(1), "{}", run.name);
        }
    }
    assert!(wounds_seen >= WOUNDS.len(), "only {wounds_seen} runs saw a wound");
}
