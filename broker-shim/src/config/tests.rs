#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf, time::Duration};

use super::*;

fn load(overrides: &[&str]) -> Result<Config, ConfigError> {
    Config::load(&Sources {
        overrides: overrides.iter().map(|&text| text.to_owned()).collect(),
        ..Sources::default()
    })
}

#[test]
fn without_configuration_it_listens_on_the_loopback_and_stores_below_the_working_directory() {
    let config = load(&[]).unwrap();
    assert_eq!(config.listeners.bind[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(config.log_dirs, [PathBuf::from("klamm-data")]);
    assert_eq!(config.node_id, 1);
    assert_eq!(config.number("offsets.topic.replication.factor"), 1);
    assert_eq!(config.connections.idle, Some(Duration::from_secs(600)));
    assert!(config.warnings.is_empty());
}

#[test]
fn file_environment_and_overrides_win_in_this_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("server.properties");
    fs::write(&file, "num.partitions=2\nlog.dirs=/a,\\\n  /b\nlog.retention.hours=1\n").unwrap();
    let sources = Sources {
        file: Some(file),
        environment: vec![
            ("KAFKA_NUM_PARTITIONS".into(), "3".into()),
            ("KAFKA_LOG_RETENTION_HOURS".into(), "2".into()),
            ("HOME".into(), "/root".into()),
        ],
        overrides: vec!["num.partitions=4".into()],
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.number("num.partitions"), 4);
    assert_eq!(config.log_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(config.given("log.retention.hours"), Some("2"));
}

#[test]
fn an_unknown_key_is_a_warning() {
    let config = load(&["num.partition=4"]).unwrap();
    assert_eq!(config.warnings, ["num.partition is not a key that klamm knows; it has no effect"]);
}

#[test]
fn a_key_of_kafkas_that_has_no_effect_is_a_warning_that_says_why() {
    let config = load(&["ssl.keystore.location=/keys", "socket.connection.setup.timeout.ms=1000"]).unwrap();
    let warnings = [
        "ssl.keystore.location has no effect: there is no TLS",
        "socket.connection.setup.timeout.ms has no effect: the broker opens no connections",
    ];
    assert_eq!(config.warnings, warnings);
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_opened() {
    let rows = [
        (
            "num.partitions=many",
            "Invalid value many for configuration num.partitions: Not a number of type INT",
        ),
        ("num.partitions", "--override num.partitions: expected key=value"),
        ("log.dirs=", "log.dirs must not be empty"),
        (
            "process.roles=broker",
            "process.roles=broker: klamm runs as broker and controller in one; set process.roles=broker,controller",
        ),
        (
            "controller.quorum.voters=1@a:1,2@b:1",
            "controller.quorum.voters=1@a:1,2@b:1: klamm is its own only controller so far; leave the key out or name only node 1",
        ),
        (
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer: there is no access control yet, so klamm does not start with an authorizer configured",
        ),
        (
            "max.connections.per.ip.overrides=a",
            "Error parsing configuration property 'max.connections.per.ip.overrides': begin 0, end -1, length 1",
        ),
        (
            "listeners=SSL://:9093",
            "listeners: SSL asks for SSL; only PLAINTEXT is built so far, so it is not opened at all",
        ),
    ];
    for (text, message) in rows {
        assert_eq!(load(&[text]).unwrap_err().to_string(), message);
    }
}

#[test]
fn broker_id_is_another_name_of_node_id() {
    assert_eq!(load(&["broker.id=7"]).unwrap().node_id, 7);
    assert_eq!(load(&["node.id=7"]).unwrap().text("broker.id"), Some("7"));
    assert_eq!(load(&[]).unwrap().node_id, 1);
    let two = load(&["node.id=1", "broker.id=2"]).unwrap_err().to_string();
    assert_eq!(two, "You must set `node.id` to the same value as `broker.id`.");
}

#[test]
fn the_file_that_kafka_ships_for_one_node_is_accepted_without_a_warning() {
    let text = "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
        listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
        advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
        controller.listener.names=CONTROLLER\n\
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL\n\
        num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\nsocket.receive.buffer.bytes=102400\n\
        socket.request.max.bytes=104857600\nlog.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\n\
        num.recovery.threads.per.data.dir=1\noffsets.topic.replication.factor=1\n\
        share.coordinator.state.topic.replication.factor=1\nshare.coordinator.state.topic.min.isr=1\n\
        transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\nlog.retention.hours=168\n\
        log.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n";
    let config = Config::from_pairs(&properties::parse(text).unwrap()).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.listeners.advertised[0].to_string(), "PLAINTEXT://localhost:9092");
}
