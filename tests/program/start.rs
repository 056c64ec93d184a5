//! Starting: one command, three lines; or one clear sentence and nothing harmed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use klamm_tests::process::Process;
use klamm_tests::properties::{Properties, free_ports};
use klamm_tests::{binaries, broker, corpus, process};

/// Runs klamm with `properties` until it gives up by itself.
fn refused(properties: &Properties) -> String {
    let mut command = Command::new(binaries::klamm());
    text_of_failure(&process::output_of(command.arg("--config").arg(properties.write()), b""))
}

/// What it said before it gave up. A refusal is words, not a panic.
pub(crate) fn text_of_failure(output: &Output) -> String {
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "it did not refuse:\n{text}");
    assert!(output.status.code().is_some(), "it was ended by a signal:\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

pub(crate) fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "it does not say {word}:\n{text}");
    }
}

#[test]
fn without_a_file_it_says_in_three_lines_where_it_is_and_what_it_runs_on() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [port] = free_ports();
    let mut command = Command::new(binaries::klamm());
    command
        .current_dir(place.path())
        .arg("--override")
        .arg(format!("listeners=PLAINTEXT://127.0.0.1:{port}"));
    let mut klamm = Process::spawn(command, "klamm", &place.path().join("out"));
    klamm.wait_until("its three lines", |text| text.contains("disk backend"));
    // Standard error shares the file: log lines carry a time and a level.
    let output = klamm.output();
    let lines: Vec<&str> = output.lines().filter(|line| !line.contains(" INFO ")).collect();
    let [listening, data, backend] = lines[..] else { panic!("not three lines:\n{output}") };
    assert_eq!(listening, format!("listening on PLAINTEXT 127.0.0.1:{port}"));
    assert!(data.starts_with("data in klamm-data (cluster "), "{data}");
    assert!(data.ends_with(", 0 partitions, formatted now)"), "{data}");
    let backend = backend.strip_prefix("disk backend ").expect("the last line names it");
    assert!(backend.starts_with("uring (") || backend.starts_with("threads ("), "{backend}");
    assert!(place.path().join("klamm-data/meta.properties").exists(), "the directory was formatted");
    assert_eq!(klamm.terminate().code(), Some(0));
    assert!(place.path().join("klamm-data/.kafka_cleanshutdown").exists(), "it stopped cleanly");
}

#[test]
fn ctrl_c_stops_it_as_cleanly_as_a_termination() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&place.path().join("data"));
    let file = properties.write();
    let start = |output: &str, words: &str| {
        let mut command = Command::new(binaries::klamm());
        command.arg("--config").arg(&file);
        let mut klamm = Process::spawn(command, "klamm", &place.path().join(output));
        klamm.wait_until(words, |text| text.contains("disk backend") && text.contains(words));
        klamm
    };
    assert_eq!(start("first", "formatted now").interrupt().code(), Some(0));
    assert!(properties.data().join(".kafka_cleanshutdown").exists(), "it stopped cleanly");
    assert_eq!(start("second", "last stopped cleanly").interrupt().code(), Some(0));
}

#[test]
fn environment_variables_of_the_docker_image_are_obeyed() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [port] = free_ports();
    let mut command = Command::new(binaries::klamm());
    command
        .current_dir(place.path())
        .env("KAFKA_LISTENERS", format!("PLAINTEXT://127.0.0.1:{port}"))
        .env("KAFKA_LOG_DIRS", place.path().join("elsewhere"));
    let mut klamm = Process::spawn(command, "klamm", &place.path().join("out"));
    klamm.wait_until("its three lines", |text| text.contains("disk backend"));
    assert_says(&klamm.output(), &[&format!("127.0.0.1:{port}"), "elsewhere"]);
    assert_eq!(klamm.terminate().code(), Some(0));
}

#[test]
fn a_malformed_value_is_an_error_before_anything_is_opened() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&place.path().join("data")).with("log.segment.bytes", "much");
    assert_says(&refused(&properties), &["log.segment.bytes", "much"]);
    assert!(!properties.data().exists(), "nothing was made");
}

#[test]
fn an_unknown_key_is_a_warning() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let klamm = broker::start(&Properties::new(&place.path().join("data")).with("no.such.key", "1"));
    assert_says(&klamm.output(), &["no.such.key"]);
    klamm.stop();
}

#[test]
fn a_port_in_use_is_named() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("a bound socket has an address").to_string();
    let properties = Properties::new(&place.path().join("data"))
        .with("listeners", format!("PLAINTEXT://{address}"))
        .with("advertised.listeners", format!("PLAINTEXT://{address}"));
    assert_says(&refused(&properties), &[&address]);
}

#[test]
fn a_directory_in_use_by_another_process_is_left_alone() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let first = Properties::new(&place.path().join("data"));
    let klamm = broker::start(&first);
    let before = files(&first.data());
    let second = Properties::new(&first.data());
    assert_says(&refused(&second), &[first.data().to_str().expect("text"), "in use"]);
    assert_eq!(files(&first.data()), before);
    klamm.stop();
}

#[test]
fn directories_of_two_clusters_are_refused_and_left_as_they_are() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [one, two] = ["one", "two"].map(|name| place.path().join(name));
    corpus::copy_directory(&corpus::directory().join("formatted"), &one);
    broker::start(&Properties::new(&two)).stop();
    let before = (files(&one), files(&two));
    let both = format!("{},{}", one.display(), two.display());
    assert_says(&refused(&Properties::new(&one).with("log.dirs", both)), &["cluster"]);
    assert_eq!((files(&one), files(&two)), before);
}

#[test]
fn a_directory_of_another_node_is_refused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("data");
    corpus::copy_directory(&corpus::directory().join("formatted"), &data);
    let before = files(&data);
    let properties = Properties::new(&data).with("node.id", "7");
    assert_says(&refused(&properties), &["node.id"]);
    assert_eq!(files(&data), before);
}

#[test]
fn a_place_where_nothing_can_be_written_is_named() {
    // The process file system refuses directories to everybody, the superuser of a container included.
    let place = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&place.path().join("data")).with("log.dirs", "/proc/klamm-data");
    let file = place.path().join("klamm.properties");
    let text: String = properties.lines();
    fs::write(&file, text).expect("a temporary file can be written");
    let mut command = Command::new(binaries::klamm());
    let failure = text_of_failure(&process::output_of(command.arg("--config").arg(file), b""));
    assert_says(&failure, &["/proc/klamm-data"]);
}

/// Every file below with its bytes, logs of brokers that run there excepted by being unchanged.
pub(crate) fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).expect("a directory can be listed") {
            let path = entry.expect("a directory can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.display().to_string(), fs::read(&path).expect("a file can be read")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn logs_without_an_identity_are_not_given_a_new_one() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let properties = Properties::new(&place.path().join("data"));
    broker::start(&properties).stop();
    let identity = properties.data().join("meta.properties");
    let kept = fs::read(&identity).expect("the directory was formatted");
    fs::remove_file(&identity).expect("the file can be removed");
    assert_says(&refused(&properties), &["holds logs but no meta.properties"]);
    assert!(!identity.exists(), "nothing was made");
    fs::write(&identity, kept).expect("the file can be brought back");
    broker::start(&properties).stop();
}
