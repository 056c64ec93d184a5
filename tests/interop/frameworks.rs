//! What stands between an application and its client: Kafka Streams that counts words exactly once, Kafka Connect that
//! carries a file over a topic, Spring's template and listener; each with an end in the middle, given nothing but an
//! address.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread;

use klamm_tests::binaries::workspace;
use klamm_tests::oracle::{Oracle, skip};
use klamm_tests::process::{Process, run_within};
use klamm_tests::properties::free_ports;

use crate::clients::told;
use crate::libraries::STORY_AT_MOST;

/// The jars of Kafka's own two, and of Spring.
const STREAMS: &str = "streams.xml";
const SPRING: &str = "spring.xml";

/// Every story on one broker, side by side: most of the time they wait.
pub(crate) fn all(oracle: &Oracle, bootstrap: &str) {
    thread::scope(|scope| {
        scope.spawn(|| told("Kafka Streams", || words_are_counted_exactly_once(oracle, bootstrap)));
        scope.spawn(|| told("Spring", || a_listener_acknowledges_by_hand(oracle, bootstrap)));
        scope.spawn(|| told("Kafka Connect", || a_file_goes_over_a_topic(oracle, bootstrap)));
    });
}

fn words_are_counted_exactly_once(oracle: &Oracle, bootstrap: &str) {
    let Some(mut java) = program(oracle, STREAMS, "WordCount.java") else {
        return skip("no maven");
    };
    let state = tempfile::tempdir().expect("a temporary directory can be made");
    let facts = run_within(java.args([bootstrap, "words"]).arg(state.path()), STORY_AT_MOST);
    let expected = [
        "the first: ERROR",
        "the second: NOT_RUNNING",
        "changelog: compact",
        "repartition: delete",
        "GORGE: 1 to 48",
        "RIVER: 1 to 60",
        "ROCK: 1 to 36",
        "STONE: 1 to 12",
        "WATER: 1 to 24",
    ];
    assert_eq!(facts.lines().collect::<Vec<_>>(), expected);
}

fn a_listener_acknowledges_by_hand(oracle: &Oracle, bootstrap: &str) {
    let Some(mut java) = program(oracle, SPRING, "Spring.java") else {
        return skip("no maven");
    };
    let facts = run_within(java.args([bootstrap, "spring"]), STORY_AT_MOST);
    // Two transactions of three and two records with their markers stand before the two of the third.
    let expected = ["rolled back: as planned", "heard: a0 a1 a2 c0 c1", "acknowledged: 8", "heard again: c1"];
    assert_eq!(facts.lines().collect::<Vec<_>>(), expected);
}

/// One of our programs; Java compiles a single file by itself.
fn program(oracle: &Oracle, pom: &str, file: &str) -> Option<Command> {
    let file = workspace().join("tests/interop/frameworks").join(file);
    oracle.java_with_clients(pom, &file.display().to_string())
}

fn a_file_goes_over_a_topic(oracle: &Oracle, bootstrap: &str) {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let [from, to] = ["from.txt", "to.txt"].map(|name| place.path().join(name));
    for lines in [0..200, 200..300] {
        let mut file = OpenOptions::new().create(true).append(true).open(&from).expect("it can be written");
        lines.for_each(|n| writeln!(file, "line {n}").expect("it can be written"));
        let Some(mut worker) = worker(oracle, bootstrap, place.path()) else {
            return skip("no maven");
        };
        // What is more than the file is there as soon as what is missing: it goes on where it was, and the file is short.
        let expected = fs::read_to_string(&from).expect("it was just written");
        worker.wait_until("the file", |_| {
            fs::read_to_string(&to).is_ok_and(|found| found.len() >= expected.len())
        });
        let code = worker.terminate().code();
        assert!(matches!(code, Some(0 | 143)), "Connect stopped with {code:?}");
        assert_eq!(fs::read_to_string(&to).expect("it is there"), expected);
    }
}

/// A standalone worker with a source and a sink.
fn worker(oracle: &Oracle, bootstrap: &str, place: &Path) -> Option<Process> {
    let mut java = oracle.java_with_clients(STREAMS, "org.apache.kafka.connect.cli.ConnectStandalone")?;
    let [port] = free_ports();
    let at = place.display();
    let files = [
        (
            "worker",
            format!(
                "bootstrap.servers={bootstrap}\nlisteners=http://127.0.0.1:{port}\nplugin.discovery=service_load\n\
                 key.converter=org.apache.kafka.connect.storage.StringConverter\n\
                 value.converter=org.apache.kafka.connect.storage.StringConverter\n\
                 offset.storage.file.filename={at}/offsets\noffset.flush.interval.ms=100\n"
            ),
        ),
        (
            "source",
            format!("name=source\nconnector.class=FileStreamSource\nfile={at}/from.txt\ntopic=carried\n"),
        ),
        ("sink", format!("name=sink\nconnector.class=FileStreamSink\nfile={at}/to.txt\ntopics=carried\n")),
    ];
    for (name, lines) in files {
        let file = place.join(name).with_extension("properties");
        fs::write(&file, lines).expect("a temporary file can be written");
        java.arg(file);
    }
    Some(Process::spawn(java, "Kafka Connect", &place.join("connect.out")))
}
