//! Kafka's dump tool and ours over the same files: the same text, byte for byte.
//!
//! Where Kafka's tool finds something wrong, it complains on standard error and gives up or goes on as if nothing were.
//! Ours prints at least the same; whether it is damage is for the dump tool's own tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
            let complained = code != 0 || output.with_extension("stderr").exists();
            difference(data, arguments, &kafkas, complained)
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

fn difference(data: &Path, arguments: &str, kafkas: &[u8], complained: bool) -> Option<String> {
    let mut tool = Command::new(binaries::kafka_dump_log());
    let ours = output_of(tool.args(arguments.split(' ')).current_dir(data), b"");
    let same = if complained {
        ours.stdout.starts_with(kafkas)
    } else {
        ours.stdout == kafkas && ours.status.success()
    };
    if same {
        return None;
    }
    let texts = [kafkas, &ours.stdout].map(String::from_utf8_lossy);
    let mut lines = texts[0].lines().zip(texts[1].lines()).enumerate();
    let first = lines.find(|(_, (kafka, klamm))| kafka != klamm);
    let lines = first.map_or_else(
        || format!("  {} lines against {}", texts[0].lines().count(), texts[1].lines().count()),
        |(number, (kafka, klamm))| format!("  line {}\n  Kafka: {kafka}\n  Klamm: {klamm}", number + 1),
    );
    let stderr = String::from_utf8_lossy(&ours.stderr);
    let stderr = stderr.trim();
    Some(format!("{arguments} (Kafka complains: {complained}; ours: {})\n{lines}\n  {stderr}", ours.status))
}
