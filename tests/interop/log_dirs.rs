//! Data directories as Kafka's admin client and its tool see them, while replicas are moved from one to the other.

use klamm_tests::oracle::{self, Oracle};
use klamm_tests::process::run;
use klamm_tests::properties::Properties;
use klamm_tests::{broker, kafka};

use crate::{CLUSTER_ID, Place};

const TOPIC: &str = "placed";

fn two_directories(place: &Place) -> Properties {
    let directory = |name| place.root.path().join(name).display().to_string();
    place.properties().with("log.dirs", format!("{},{}", directory("data"), directory("more")))
}

/// What is seen, without what differs from one machine and run to the other.
fn story(oracle: &Oracle, bootstrap: &str) -> Vec<String> {
    let mut create = oracle.java("org.apache.kafka.tools.TopicCommand");
    create.args(["--bootstrap-server", bootstrap, "--create", "--topic", TOPIC, "--partitions", "4"]);
    run(&mut create, b"");
    let mut perf = oracle.java("org.apache.kafka.tools.ProducerPerformance");
    perf.args(["--bootstrap-server", bootstrap, "--topic", TOPIC, "--num-records", "20000"]);
    perf.args(["--record-size", "100", "--throughput", "-1"]);
    run(&mut perf, b"");
    let told = run(oracle.java("LogDirs").args([bootstrap, TOPIC]), b"");
    let mut lines: Vec<String> = told.lines().map(str::to_owned).collect();
    let mut describe = oracle.java("org.apache.kafka.tools.LogDirsCommand");
    describe.args(["--bootstrap-server", bootstrap, "--describe", "--topic-list", TOPIC]);
    let text = run(&mut describe, b"");
    let json = text.lines().find(|line| line.starts_with('{')).expect("a line of JSON");
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    for directory in json["brokers"][0]["logDirs"].as_array().expect("directories") {
        let partitions = directory["partitions"].as_array().expect("partitions");
        let strange = partitions.iter().filter(|found| {
            found["size"].as_i64() <= Some(0) || found["offsetLag"] != 0 || found["isFuture"] != false
        });
        lines.push(format!(
            "error {}, {} partitions, {} of them strange",
            directory["error"],
            partitions.len(),
            strange.count()
        ));
    }
    let mut offsets = oracle.java("org.apache.kafka.tools.GetOffsetShell");
    offsets.args(["--bootstrap-server", bootstrap, "--topic", TOPIC]);
    let ends = run(&mut offsets, b"");
    let all: i64 = ends.lines().filter_map(|line| line.rsplit(':').next()?.parse::<i64>().ok()).sum();
    lines.push(format!("{all} records"));
    lines
}

#[test]
fn replicas_are_moved_between_data_directories_as_kafka_moves_them() {
    let Some(oracle) = oracle::required() else { return };
    let place = Place::new();
    let properties = two_directories(&place);
    kafka::format(oracle, &properties, CLUSTER_ID);
    let running = kafka::start(oracle, &properties);
    let kafkas = story(oracle, running.bootstrap());
    running.stop();
    let place = Place::new();
    let running = broker::start(&two_directories(&place));
    let ours = story(oracle, running.bootstrap());
    running.stop();
    assert_eq!(ours, kafkas);
    assert!(kafkas.iter().any(|line| line == "all are in the other one"), "{kafkas:?}");
}
