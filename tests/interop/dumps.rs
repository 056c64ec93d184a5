//! Kafka's dump tool and ours over the same files: the same text, byte for byte.
//!
//! What Kafka's tool complains of on standard error, ours complains of in the same words. Where Kafka's tool ends by an
//! exception, ours prints the same up to there, then says file, position and rule; what follows is for the dump tool's own
//! tests, which know what was damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use klamm_tests::binaries;
use klamm_tests::oracle::Oracle;
use klamm_tests::process::output_of;

/// Of a log larger than this only the batches are compared: Kafka's tool takes seconds to print it all.
const LARGE: u64 = 8 << 20;

/// Compares the two tools over every file of a data directory that a dump tool reads, and says what they were asked.
pub(crate) fn agree(oracle: &Oracle, data: &Path) -> Vec<String> {
    let scratch = tempfile::tempdir().expect("a temporary directory can be made");
    let requests: Vec<(PathBuf, String)> = files(data)
        .iter()
        .flat_map(|file| arguments(data, file))
        .enumerate()
        .map(|(number, arguments)| (scratch.path().join(number.to_string()), arguments))
        .collect();
    assert!(requests.len() > 10, "{} has files to dump", data.display());
    let codes = oracle.dump(data, &requests);
    let differences: Vec<String> = requests
        .iter()
        .zip(codes)
        .filter_map(|((output, arguments), code)| {
            let kafkas = fs::read(output).expect("Dump wrote what Kafka printed");
            let told = fs::read_to_string(output.with_extension("stderr")).unwrap_or_default();
            difference(data, arguments, &Kafkas { text: kafkas, told, code })
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        requests.len(),
        differences.join("\n")
    );
    requests.into_iter().map(|(_, arguments)| arguments).collect()
}

/// Panics if `flag` is not among what was asked of a file whose path begins with `name`.
pub(crate) fn assert_asked(asked: &[String], name: &str, flag: &str) {
    let found = asked.iter().any(|line| line.contains(&format!("--files {name}")) && line.contains(flag));
    assert!(found, "{flag} was asked of no {name}");
}

/// Panics if our tool's `--help` does not list Kafka's keys with their values, and `--json`, which is ours.
pub(crate) fn assert_keys_are_kafkas(oracle: &Oracle) {
    let keys = |command: &mut Command| -> Vec<String> {
        let Output { stdout, stderr, .. } = output_of(command.arg("--help"), b"");
        let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        let keys = text.lines().filter(|line| line.starts_with("--") && !line.starts_with("---"));
        keys.filter_map(|line| Some(line.split_once("  ")?.0.to_owned())).collect()
    };
    let kafkas = keys(&mut oracle.java("org.apache.kafka.tools.DumpLogSegments"));
    let mut ours = keys(&mut Command::new(binaries::kafka_dump_log()));
    assert!(kafkas.len() > 10, "{kafkas:?}");
    ours.retain(|key| key != "--json");
    assert_eq!(ours, kafkas);
}

/// Files below `data`, relative to it, in order.
fn files(data: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for partition in fs::read_dir(data).expect("a data directory can be listed") {
        let partition = partition.expect("a data directory can be listed").path();
        if !partition.is_dir() {
            continue;
        }
        for file in fs::read_dir(&partition).expect("a partition can be listed") {
            let file = file.expect("a partition can be listed").path();
            files.push(file.strip_prefix(data).expect("below").to_str().expect("names are text").to_owned());
        }
    }
    files.sort();
    files
}

/// The ways to dump a file.
fn arguments(data: &Path, file: &str) -> Vec<String> {
    let length = fs::metadata(data.join(file)).expect("the file is there").len();
    let metadata = file.starts_with("__cluster_metadata");
    let flags: &[&str] = match file.rsplit('.').next() {
        Some("log") if metadata => &[
            "",
            "--cluster-metadata-decoder",
            "--cluster-metadata-decoder --skip-record-metadata",
            "--cluster-metadata-decoder --max-bytes 1000",
        ],
        Some("log") if length > LARGE => &["", "--max-bytes 100000 --print-data-log"],
        Some("log") if file.starts_with("__consumer_offsets") => {
            &["", "--offsets-decoder", "--offsets-decoder --skip-record-metadata"]
        }
        Some("log") if file.starts_with("__transaction_state") => {
            &["", "--transaction-log-decoder", "--transaction-log-decoder --skip-record-metadata"]
        }
        Some("log") => &[
            "",
            "--deep-iteration",
            "--print-data-log",
            "--print-data-log --skip-record-metadata",
            "--deep-iteration --max-bytes 700",
            "--max-bytes 0",
            "--print-data-log --value-decoder-class org.apache.kafka.tools.api.StringDecoder",
        ],
        Some("checkpoint") if metadata => &["", "--cluster-metadata-decoder"],
        Some("index" | "timeindex") => &["", "--index-sanity-check", "--verify-index-only"],
        Some("txnindex" | "snapshot") => &[""],
        _ => &[],
    };
    flags.iter().map(|flag| format!("--files {file} {flag}").trim_end().to_owned()).collect()
}

/// What Kafka's tool printed, what it complained of, `@` standing for where it ran, and how it ended.
struct Kafkas {
    text: Vec<u8>,
    told: String,
    code: i32,
}

impl Kafkas {
    fn is_matched_by(&self, ours: &Output, file: &str, data: &Path) -> bool {
        let told = String::from_utf8_lossy(&ours.stderr);
        if self.code == 0 {
            let same = ours.stdout == self.text && told == self.told.replace('@', &data.to_string_lossy());
            return same && (ours.status.success() || !told.is_empty());
        }
        ours.stdout.starts_with(&self.text)
            && ours.status.code() == Some(1)
            && told.starts_with(&format!("{file}: position "))
    }
}

fn difference(data: &Path, arguments: &str, kafkas: &Kafkas) -> Option<String> {
    let mut tool = Command::new(binaries::kafka_dump_log());
    let ours = output_of(tool.args(arguments.split(' ')).current_dir(data), b"");
    let file = arguments.split(' ').nth(1).expect("the file is named first");
    if kafkas.is_matched_by(&ours, file, data) {
        return None;
    }
    let texts = [&kafkas.text, &ours.stdout].map(|text| String::from_utf8_lossy(text));
    let mut lines = texts[0].lines().zip(texts[1].lines()).enumerate();
    let first = lines.find(|(_, (kafka, klamm))| kafka != klamm);
    let lines = first.map_or_else(
        || format!("  {} lines against {}", texts[0].lines().count(), texts[1].lines().count()),
        |(number, (kafka, klamm))| format!("  line {}\n  Kafka: {kafka}\n  Klamm: {klamm}", number + 1),
    );
    let told = String::from_utf8_lossy(&ours.stderr);
    let (told, kafkas_told) = (told.trim(), kafkas.told.trim());
    Some(format!(
        "{arguments} (Kafka: {}; ours: {})\n{lines}\n  {kafkas_told}\n  {told}",
        kafkas.code, ours.status
    ))
}
