//! Two copies of one directory that Kafka wrote, one served by Kafka and one by Klamm: clients are told the same.

use klamm_tests::corpus;
use klamm_tests::java_clients::JavaClients;
use klamm_tests::oracle::Oracle;
use klamm_tests::properties::Properties;

use crate::travel::Host;

/// Panics if Klamm does not tell what Kafka tells of the same directory.
pub(crate) fn assert_same(oracle: &Oracle, directory: &str) {
    let [klamm, kafka] = [Host::Klamm, Host::Kafka].map(|host| of(host, oracle, directory));
    let pairs = klamm.iter().zip(&kafka).filter(|(klamm, kafka)| klamm != kafka);
    let differences: Vec<String> =
        pairs.map(|(klamm, kafka)| format!("  Klamm {klamm}\n  Kafka {kafka}")).collect();
    assert!(differences.is_empty(), "{} answers differ:\n{}", differences.len(), differences.join("\n"));
    assert_eq!(klamm.len(), kafka.len());
}

/// Starts `host` on its own copy of a directory of the corpus and asks for everything a consumer can be told.
fn of(host: Host, oracle: &Oracle, directory: &str) -> Vec<String> {
    let copy = corpus::copy();
    // Timestamps in the corpus are old: retention would empty it while we look.
    // A run of the cleaner would change what is compared.
    let properties = Properties::new(&copy.path().join(directory))
        .with("log.retention.ms", "-1")
        .with("log.cleaner.enable", "false");
    let broker = host.start(oracle, &properties);
    let mut java = JavaClients::start(oracle);
    let bootstrap = broker.bootstrap();
    let topics = java.must(&format!("topics {bootstrap}"));
    let mut answers = vec![format!("topics: {topics}")];
    for topic in topics.split(',') {
        let description = java.must(&format!("describe {bootstrap} {topic}"));
        let partitions = description.split(' ').count() - 1;
        answers.push(format!("{topic}: {description}"));
        for key in
            ["cleanup.policy", "segment.ms", "message.timestamp.type", "max.message.bytes", "retention.ms"]
        {
            answers.push(format!(
                "{topic} {key}: {:?}",
                java.ask(&format!("configuration {bootstrap} {topic} {key}"))
            ));
        }
        for partition in 0..partitions {
            answers.extend(questions(topic, partition, directory).into_iter().map(|(command, rest)| {
                let told = java.ask(&format!("{command} {bootstrap} {topic} {partition} {rest}"));
                format!("{command} {topic}-{partition} {rest}: {told:?}")
            }));
        }
    }
    broker.stop();
    answers
}

fn questions(topic: &str, partition: usize, directory: &str) -> Vec<(&'static str, String)> {
    let mut questions = vec![("digest", "uncommitted".to_owned())];
    // Kafka aborts the transaction that the crash left open as soon as it starts: where that ends is a matter of time.
    if (topic, partition, directory) != ("transactions", 0, "killed") {
        questions.push(("digest", "committed".to_owned()));
        questions.push(("offsets", String::new()));
    }
    // Kafka looks for a timestamp in one segment only: while a segment below the log start offset awaits its deletion,
    // it finds nothing there and says none. Klamm goes on to the records that there are.
    let below_log_start = (topic, directory) == ("rolled", "stopped");
    // Before the first record, at one, between two, after the last.
    let times = [0_i64, 1_700_000_000_000, 1_700_000_012_345, 1_700_000_100_500, 4_000_000_000_000];
    let times = times.into_iter().filter(|&time| !below_log_start || time > 1_700_000_130_000);
    questions.extend(times.map(|time| ("at-timestamp", time.to_string())));
    questions
}
