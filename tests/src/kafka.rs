//! Apache Kafka's broker as a child process.

use crate::broker::Running;
use crate::oracle::Oracle;
use crate::process::{Process, run};
use crate::properties::Properties;

/// Formats the data directories as `kafka-storage format --standalone` does.
pub fn format(oracle: &Oracle, properties: &Properties, cluster_id: &str) {
    let mut tool = oracle.java("kafka.tools.StorageTool");
    tool.args(["format", "--standalone", "--cluster-id", cluster_id, "--config"]).arg(properties.write());
    run(&mut tool, b"");
}

/// Starts the broker on formatted directories and waits until it serves.
pub fn start(oracle: &Oracle, properties: &Properties) -> Running {
    let mut java = oracle.java_with(&["-Xmx256m", "-Dklamm.log.level=info"], "kafka.Kafka");
    java.arg(properties.write());
    let output = properties.data().with_extension("kafka.out");
    let before = std::fs::read_to_string(&output).unwrap_or_default().len();
    let mut process = Process::spawn(java, "Apache Kafka", &output);
    process.wait_until("Kafka Server started", |text| {
        text.get(before..).is_some_and(|new| new.contains("Kafka Server started"))
    });
    Running::new(process, properties.bootstrap())
}
