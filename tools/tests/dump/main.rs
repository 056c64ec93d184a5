//! `kafka-dump-log` against files written by Apache Kafka, damaged files, bad arguments and a memory limit.

#![expect(clippy::unwrap_used, reason = "tests")]

mod damaged;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufWriter, Write},
    ops::Range,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use log_engine::{
    batch::{BatchView, stamp_base_offset},
    types::Offset,
};
use tools::dump::{self, Outcome};

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
        if run.arguments.contains("damaged/") {
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

/// Made by `data/AllRecords.java`: all types and versions of records, random fields, broken frames, control records.
#[test]
fn every_record_of_the_metadata_topics_is_shown_as_kafka_shows_it() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for (topic, decoder) in
        [("metadata", "--cluster-metadata-decoder"), ("remote", "--remote-log-metadata-decoder")]
    {
        let file = format!("{topic}/{SEGMENT}");
        let expected = fs::read_to_string(data.join(format!("{topic}.txt"))).unwrap();
        let ours = dump_in(&data, &[decoder, "--files", &file]);
        let ours_text = String::from_utf8(ours.stdout).unwrap();
        let difference = ours_text.lines().zip(expected.lines()).find(|(ours, expected)| ours != expected);
        assert_eq!(difference, None);
        assert_eq!(ours_text.len(), expected.len());
        assert!(ours.status.success() && ours.stderr.is_empty());

        let json = String::from_utf8(dump_in(&data, &[decoder, "--json", "--files", &file]).stdout).unwrap();
        let records = json.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        assert_eq!(
            records.filter(|line| line["type"] == "record").count(),
            expected.matches("| offset: ").count()
        );
    }
}

/// A run inside this process: standard output, standard error, and whether it succeeded.
fn run(arguments: &[&str]) -> (String, String, bool) {
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let outcome = dump::run(arguments.iter().map(|argument| (*argument).to_owned()), &mut out, &mut errors);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(out), text(errors), outcome == Outcome::Success)
}

/// A segment, what a dump of it prints, and its batches: where each begins and ends, and where its text begins.
struct Segment {
    directory: tempfile::TempDir,
    bytes: Vec<u8>,
    text: String,
    batches: Vec<(Range<usize>, usize)>,
}

impl Segment {
    /// The beginning of a segment of the corpus, at least two batches of it.
    fn of_corpus(partition: &str, size_max: usize) -> Self {
        let whole = fs::read(corpus().join(partition).join(SEGMENT)).unwrap();
        let mut end = 0;
        let mut extents = Vec::new();
        while let Some(length) = whole.get(end + 8..end + 12) {
            let next = end + 12 + u32::from_be_bytes(length.try_into().unwrap()) as usize;
            if next > size_max {
                break;
            }
            extents.push(end..next);
            end = next;
        }
        assert!(extents.len() > 1, "{partition} has no two batches below {size_max}");
        let directory = tempfile::tempdir().unwrap();
        let mut segment =
            Self { directory, bytes: whole[..end].to_vec(), text: String::new(), batches: Vec::new() };
        let (text, errors, succeeded) = segment.dump(&segment.bytes);
        assert!(succeeded, "{errors}");
        segment.batches = extents
            .into_iter()
            .map(|extent| {
                let line = text.find(&format!(" position: {} ", extent.start)).unwrap();
                let begin = text[..line].rfind('\n').unwrap() + 1;
                (extent, begin)
            })
            .collect();
        segment.text = text;
        segment
    }

    fn dump(&self, bytes: &[u8]) -> (String, String, bool) {
        let file = self.directory.path().join(SEGMENT);
        fs::write(&file, bytes).unwrap();
        run(&["--files", file.to_str().unwrap(), "--print-data-log"])
    }

    /// The batch that a byte belongs to.
    fn batch_of(&self, byte: usize) -> usize {
        self.batches.iter().position(|(extent, _)| extent.contains(&byte)).unwrap_or(self.batches.len())
    }
}

const SEGMENT: &str = "00000000000000000000.log";

const SMALL: [(&str, usize); 6] = [
    ("stopped/codec-none-0", 1000),
    ("stopped/codec-gzip-0", 1500),
    ("stopped/codec-snappy-0", 1500),
    ("stopped/codec-zstd-0", 1500),
    ("stopped/append-time-0", 1000),
    ("legacy/magic1-0", 700),
];

#[test]
fn a_segment_cut_at_any_byte_is_shown_up_to_the_batch_that_was_cut() {
    for (partition, size_max) in SMALL {
        let segment = Segment::of_corpus(partition, size_max);
        for cut in 1..segment.bytes.len() {
            let (text, errors, succeeded) = segment.dump(&segment.bytes[..cut]);
            let batch = segment.batch_of(cut);
            let (extent, begin) = &segment.batches[batch];
            let left = cut - extent.start;
            if left == 0 {
                assert!(succeeded, "{partition} cut at {cut}: {errors}");
                assert_eq!(text, segment.text[..*begin], "{partition} cut at {cut}");
            } else {
                let trailer = format!("Found {left} invalid bytes at the end of {SEGMENT}\n");
                assert_eq!(text, segment.text[..*begin].to_owned() + &trailer, "{partition} cut at {cut}");
                assert!(
                    !succeeded && errors.contains(&format!("position {}: ", extent.start)),
                    "{cut}: {errors}"
                );
            }
        }
    }
}

#[test]
fn a_byte_changed_anywhere_is_told_and_every_other_batch_is_shown() {
    // The leader epoch lies outside the checksum and may be anything; so may an offset that still grows.
    const BASE_OFFSET: Range<usize> = 0..8;
    const LEADER_EPOCH: Range<usize> = 12..16;
    for (partition, size_max) in SMALL {
        let segment = Segment::of_corpus(partition, size_max);
        let is_legacy = partition.starts_with("legacy");
        for byte in 0..segment.bytes.len() {
            let mut bytes = segment.bytes.clone();
            bytes[byte] ^= 1 << (byte % 8);
            let (text, errors, succeeded) = segment.dump(&bytes);
            let batch = segment.batch_of(byte);
            let (extent, begin) = &segment.batches[batch];
            assert!(text.starts_with(&segment.text[..*begin]), "{partition} changed at {byte}: {text}");
            let in_batch = byte - extent.start;
            if !BASE_OFFSET.contains(&in_batch) && (is_legacy || !LEADER_EPOCH.contains(&in_batch)) {
                assert!(!succeeded, "{partition} changed at {byte}: nothing told, {text}");
                assert!(
                    errors.contains(&format!("position {}: ", extent.start)),
                    "{partition} at {byte}: {errors}"
                );
            }
            if !is_legacy && let Some((_, next)) = segment.batches.get(batch + 1) {
                assert!(text.ends_with(&segment.text[*next..]), "{partition} changed at {byte}: {errors}");
            }
        }
    }
}

/// Bytes of each file that are wounded one after another: several entries of every kind.
const WOUNDED_BYTES: usize = 300;

#[test]
fn other_files_changed_or_cut_anywhere_end_no_run_by_a_panic() {
    let files = [
        ("transactions-0", ".index"),
        ("transactions-0", ".timeindex"),
        ("transactions-0", ".txnindex"),
        ("transactions-0", ".snapshot"),
        ("__cluster_metadata-0", ".checkpoint"),
        ("transactions-0", "leader-epoch-checkpoint"),
        ("transactions-0", "partition.metadata"),
    ];
    for (partition, suffix) in files {
        let directory = tempfile::tempdir().unwrap();
        let source = corpus().join("stopped").join(partition);
        let mut names =
            fs::read_dir(&source).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let name = names.find(|name| name.ends_with(suffix)).unwrap();
        let base = name.split('.').next().unwrap();
        for neighbour in [format!("{base}.log"), format!("{base}.index")] {
            // Snapshots and text files have none.
            let _ = fs::copy(source.join(&neighbour), directory.path().join(&neighbour));
        }
        let whole = fs::read(source.join(&name)).unwrap();
        let file = directory.path().join(&name);
        for json in [false, true] {
            let mut arguments = vec!["--files", file.to_str().unwrap(), "--cluster-metadata-decoder"];
            if json {
                arguments.push("--json");
            }
            for byte in 0..whole.len().min(WOUNDED_BYTES) {
                let mut changed = whole.clone();
                changed[byte] ^= 0xFF;
                fs::write(&file, &changed).unwrap();
                run(&arguments);
                fs::write(&file, &whole[..byte]).unwrap();
                run(&arguments);
            }
        }
    }
}

/// Arguments, exit code, and what begins standard error; as Kafka's tool ends and, behind its class names, says.
#[test]
fn arguments_are_read_as_kafka_reads_them() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(SEGMENT), b"").unwrap();
    let shown = format!("Dumping {SEGMENT}\nLog starting offset: 0\n");
    let begun = format!("Dumping {SEGMENT}\n");
    let cases: [(&[&str], i32, &str, &str); 22] = [
        (&[], 1, "", "Shows what"),
        (&["--help"], 1, "", "Shows what"),
        (&["--version"], 0, "4.3.0\n", ""),
        (&["--version", "--help"], 1, "", "Shows what"),
        (&["--deep-iteration"], 1, "", "Missing required argument \"[files]\""),
        (&["--files"], 1, "", "kafka-dump-log: Option files requires an argument"),
        (&["--nonsense"], 1, "", "kafka-dump-log: nonsense is not a recognized option"),
        (&["--file", SEGMENT], 1, "", "kafka-dump-log: file is not a recognized option"),
        (&["-x"], 1, "", "kafka-dump-log: x is not a recognized option"),
        (&["--print-data-log", "-fx"], 1, "", "kafka-dump-log: f is not a recognized option"),
        (
            &["--files", "a", "--files", "b"],
            1,
            "",
            "kafka-dump-log: Found multiple arguments for option files",
        ),
        (&["--files", SEGMENT], 0, &shown, ""),
        (&["-files", SEGMENT, "ignored"], 0, &shown, ""),
        (&["--files=00000000000000000000.log", "--", "--nonsense"], 0, &shown, ""),
        (&["--files", SEGMENT, "--value-decoder-class", "--max-bytes", "7"], 0, &shown, ""),
        (
            &["--files", SEGMENT, "--max-bytes", "x"],
            1,
            &begun,
            "kafka-dump-log: Cannot parse argument 'x' of option",
        ),
        (&["--files", "x.foo", "--max-bytes", "x"], 0, "Dumping x.foo\n", "Ignoring unknown file x.foo\n"),
        (
            &["--files", SEGMENT, "--key-decoder-class", "a.B"],
            1,
            &begun,
            "kafka-dump-log: a.B is not one of the",
        ),
        (
            &["--files", SEGMENT, "--share-group-state-decoder"],
            1,
            &begun,
            "kafka-dump-log: --share-group-state-decoder is not built",
        ),
        (
            &["--files", "./a//b.log/"],
            1,
            "Dumping ./a/b.log\n",
            "kafka-dump-log: ./a/b.log: the name does not",
        ),
        (&["--files", ","], 0, "", ""),
        (&["--files", "-x,"], 0, "Dumping -x\n", "Ignoring unknown file -x\n"),
    ];
    for (arguments, exit_code, stdout, stderr) in cases {
        let output = dump_in(directory.path(), arguments);
        assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with(stderr) && said.is_empty() == stderr.is_empty(), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(exit_code), "{arguments:?}");
    }
}

#[test]
fn a_missing_file_is_an_error_and_nothing_is_created() {
    let directory = tempfile::tempdir().unwrap();
    let name = "00000000000000000007";
    for suffix in ["log", "index", "timeindex", "snapshot"] {
        let output = dump_in(directory.path(), &["--files", &format!("{name}.{suffix}")]);
        assert_eq!(output.status.code(), Some(1), "{suffix}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("No such file"), "{suffix}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn every_json_line_is_an_object_that_says_what_it_is() {
    let mut kinds = BTreeSet::new();
    for directory in fs::read_dir(corpus().join("stopped")).unwrap() {
        let directory = directory.unwrap().path();
        let files: Vec<PathBuf> = if directory.is_dir() {
            fs::read_dir(&directory).unwrap().map(|file| file.unwrap().path()).collect()
        } else {
            vec![directory]
        };
        for file in files {
            let (text, _, _) = run(&["--json", "--print-data-log", "--files", file.to_str().unwrap()]);
            for line in text.lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                kinds.insert(line["type"].as_str().unwrap().to_owned());
            }
        }
    }
    let expected = [
        "abortedTransaction",
        "batch",
        "file",
        "index",
        "indexEntry",
        "leaderEpoch",
        "log",
        "partitionOffset",
        "producer",
        "properties",
        "record",
        "snapshot",
        "timeIndexEntry",
    ];
    for kind in expected {
        assert!(kinds.contains(kind), "no line of type {kind}: {kinds:?}");
    }
}

#[test]
fn json_shows_the_text_checkpoints_of_a_partition() {
    let partition = corpus().join("stopped/epochs-0");
    let (text, errors, succeeded) =
        run(&["--json", "--files", partition.join("leader-epoch-checkpoint").to_str().unwrap()]);
    assert!(succeeded, "{errors}");
    let epochs = fs::read_to_string(partition.join("leader-epoch-checkpoint")).unwrap();
    for entry in epochs.lines().skip(2) {
        let (epoch, start_offset) = entry.split_once(' ').unwrap();
        let line = format!("{{\"type\":\"leaderEpoch\",\"epoch\":{epoch},\"startOffset\":{start_offset}}}\n");
        assert!(text.contains(&line), "{text}");
    }
}

/// `ulimit -d` bounds what a process may have of anonymous memory; a run over it fails.
fn dump_within(kib: u32, arguments: &[&str]) -> std::process::ExitStatus {
    Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -d {kib}; exec \"$0\" \"$@\""))
        .arg(env!("CARGO_BIN_EXE_kafka-dump-log"))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn a_large_segment_is_dumped_in_16_mib_of_anonymous_memory() {
    // The limit does not know the size of the segment: more than it is enough, and a whole GiB can be had.
    let mib = std::env::var("KLAMM_DUMP_MIB").map_or(40, |mib| mib.parse().expect("a number of MiB"));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let partition = format!("codec-{codec}-0");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(SEGMENT);
        write_repeated(
            &file,
            &fs::read(corpus().join("stopped").join(&partition).join(SEGMENT)).unwrap(),
            mib << 20,
        );
        let file = file.to_str().unwrap();
        for flags in [&[] as &[&str], &["--deep-iteration"], &["--print-data-log", "--json"]] {
            let arguments = [&["--files", file], flags].concat();
            assert!(dump_within(16 * 1024, &arguments).success(), "{partition} {flags:?}");
        }
        assert!(!dump_within(256, &["--files", file]).success(), "the limit limits nothing");
    }
}

#[test]
fn a_damaged_size_takes_no_memory() {
    const SIZE: usize = 40 * 1024 * 1024;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(SEGMENT);
    write_repeated(&file, &fs::read(corpus().join("stopped/codec-none-0").join(SEGMENT)).unwrap(), SIZE);
    let mut bytes = fs::read(&file).unwrap();
    bytes[8..12].copy_from_slice(&(SIZE as u32 / 2).to_be_bytes());
    fs::write(&file, &bytes).unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["--files", file, "--deep-iteration"];
    assert_eq!(dump_within(16 * 1024, &arguments).code(), Some(1));
    let (text, errors, _) = run(&arguments);
    assert!(errors.contains("position 0: the checksum is"), "{}", errors.lines().next().unwrap_or_default());
    // What lies behind half of the file is looked for and found.
    assert!(text.matches("baseOffset: ").count() > 1000, "{} characters were printed", text.len());
}

/// The batches of a segment again and again, with offsets that go on.
fn write_repeated(file: &Path, segment: &[u8], size: usize) {
    let mut out = BufWriter::new(fs::File::create(file).unwrap());
    let mut written = 0;
    let mut round_offset = 0;
    while written < size {
        let mut rest = segment;
        let mut next_offset = round_offset;
        while let Ok(batch) = BatchView::read(rest) {
            let mut bytes = batch.as_bytes().to_vec();
            let base_offset = round_offset + batch.base_offset().get();
            next_offset = round_offset + batch.next_offset().get();
            stamp_base_offset(&mut bytes, Offset::new(base_offset));
            out.write_all(&bytes).unwrap();
            written += bytes.len();
            rest = &rest[bytes.len()..];
        }
        round_offset = next_offset;
    }
    out.flush().unwrap();
}
