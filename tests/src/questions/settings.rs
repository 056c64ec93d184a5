//! Settings of topics and brokers: which values are taken, what is said of those that are not, and what lists become.
//!
//! The answers of Apache Kafka are kept in `tests/it/settings.txt`, as those of the module above.

use std::path::PathBuf;

use wire::messages::alter_configs_request;
use wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use wire::messages::describe_configs_request::DescribeConfigsResource;
use wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use wire::messages::{
    AlterConfigsRequest, CreateTopicsRequest, DescribeConfigsRequest, FindCoordinatorRequest,
    IncrementalAlterConfigsRequest,
};

use super::error;
use crate::binaries::workspace;
use crate::client::Client;

/// The topic that is configured.
const TOPIC: &str = "settings";
/// A topic whose configuration shows how far the broker has followed the controller.
const MARKED: &str = "settings-marked";
/// Kafka's numbers of resources.
const OF_TOPIC: i8 = 2;
const OF_BROKER: i8 = 4;
/// And of what is done to a key.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Values of topic keys, most of which are refused.
#[rustfmt::skip]
const TOPIC_VALUES: &[(&str, &str)] = &[
    ("cleanup.policy", "purge"), ("cleanup.policy", "delete,purge"), ("cleanup.policy", "delete,delete"),
    ("cleanup.policy", ""), ("cleanup.policy", "Delete"), ("cleanup.policy", "compact , delete"),
    ("cleanup.policy", "delete,"), ("cleanup.policy", " "),
    ("compression.gzip.level", "0"), ("compression.gzip.level", "10"), ("compression.gzip.level", "-1"),
    ("compression.lz4.level", "0"), ("compression.lz4.level", "18"),
    ("compression.type", "none"), ("compression.type", "GZIP"), ("compression.type", ""), ("compression.type", " gzip "),
    ("compression.zstd.level", "23"), ("compression.zstd.level", "-131073"), ("compression.zstd.level", "+3"),
    ("delete.retention.ms", "-1"), ("file.delete.delay.ms", "-1"), ("file.delete.delay.ms", "1e3"),
    ("flush.messages", "0"), ("flush.messages", "one"), ("flush.ms", "-1"),
    ("follower.replication.throttled.replicas", "x"), ("follower.replication.throttled.replicas", "*"),
    ("follower.replication.throttled.replicas", "0:1,1:1"), ("leader.replication.throttled.replicas", "0:x"),
    ("leader.replication.throttled.replicas", "none"), ("leader.replication.throttled.replicas", "0:1,*"),
    ("index.interval.bytes", "-1"), ("local.retention.bytes", "-3"), ("local.retention.ms", "-3"),
    ("max.compaction.lag.ms", "0"), ("max.message.bytes", "-1"), ("max.message.bytes", "2147483648"),
    ("message.format.version", "3.0"),
    ("message.timestamp.after.max.ms", "-1"), ("message.timestamp.before.max.ms", "-1"),
    ("message.timestamp.difference.max.ms", "1"), ("message.timestamp.type", "createtime"),
    ("min.cleanable.dirty.ratio", "1.5"), ("min.cleanable.dirty.ratio", "-0.1"), ("min.cleanable.dirty.ratio", "half"),
    ("min.cleanable.dirty.ratio", "NaN"), ("min.cleanable.dirty.ratio", "1e-3"),
    ("min.compaction.lag.ms", "-1"), ("min.insync.replicas", "0"), ("min.insync.replicas", "1.0"),
    ("preallocate", "yes"), ("preallocate", "TRUE"), ("preallocate", " true "), ("preallocate", ""),
    ("remote.log.copy.disable", "x"), ("remote.storage.enable", "maybe"), ("remote.storage.enable", "true"),
    ("retention.bytes", "1.5"), ("retention.bytes", "-7"), ("retention.bytes", " 5 "), ("retention.bytes", ""),
    ("retention.ms", "-2"), ("retention.ms", "9223372036854775808"), ("retention.ms", "soon"),
    ("segment.bytes", "1048575"), ("segment.bytes", "1mb"), ("segment.bytes", "2147483648"), ("segment.bytes", " 1048576 "),
    ("segment.index.bytes", "3"), ("segment.jitter.ms", "-1"), ("segment.ms", "0"), ("segment.ms", "0x10"),
    ("unclean.leader.election.enable", "1"), ("no.such.key", "1"), ("", "1"), ("Retention.ms", "1"),
];

/// Values of a broker's keys: those that can change while it runs, and those that cannot.
#[rustfmt::skip]
const BROKER_VALUES: &[(&str, &str)] = &[
    ("log.retention.ms", "soon"), ("log.retention.ms", "-1"), ("log.retention.ms", "-2"), ("log.retention.ms", "0"),
    ("log.retention.bytes", "x"), ("log.segment.bytes", "1"), ("log.segment.bytes", "x"), ("log.roll.ms", "0"),
    ("log.roll.jitter.ms", "-1"), ("log.cleanup.policy", "purge"), ("log.cleanup.policy", ""),
    ("log.index.size.max.bytes", "3"), ("log.flush.interval.messages", "0"), ("log.flush.interval.ms", "x"),
    ("log.message.timestamp.type", "x"), ("log.message.timestamp.after.max.ms", "-1"),
    ("log.cleaner.threads", "-1"), ("log.cleaner.min.cleanable.ratio", "2"), ("log.cleaner.io.max.bytes.per.second", "x"),
    ("log.cleaner.dedupe.buffer.size", "1"), ("log.cleaner.threads", "0"), ("log.cleaner.threads", "2"),
    ("log.cleaner.threads", "3"), ("log.cleaner.threads", "x"), ("log.cleaner.backoff.ms", "-1"), ("log.cleaner.backoff.ms", "10"),
    ("log.cleaner.io.buffer.size", "-1"), ("log.cleaner.io.buffer.load.factor", "1.5"), ("log.cleaner.io.max.bytes.per.second", "0"),
    ("log.cleaner.io.max.bytes.per.second", "NaN"), ("log.cleaner.min.cleanable.ratio", "NaN"),
    ("log.cleaner.dedupe.buffer.size", "2097152"), ("log.cleaner.enable", "false"), ("log.preallocate", "maybe"), ("log.local.retention.ms", "-3"),
    ("message.max.bytes", "-1"), ("message.max.bytes", "x"), ("compression.type", "none"), ("compression.gzip.level", "0"),
    ("max.connections", "-1"), ("max.connections.per.ip", "-1"), ("max.connections.per.ip.overrides", "a"),
    ("max.connections.per.ip.overrides", "127.0.0.1:x"), ("max.connections.per.ip.overrides", "127.0.0.1:5"),
    ("num.io.threads", "0"), ("num.io.threads", "x"), ("background.threads", "0"),
    ("num.recovery.threads.per.data.dir", "0"), ("producer.id.expiration.ms", "0"), ("min.insync.replicas", "0"),
    ("min.insync.replicas", "2"), ("unclean.leader.election.enable", "x"),
    ("transaction.partition.verification.enable", "2"),
    ("node.id", "9"), ("node.id", "x"), ("log.dirs", "/tmp"), ("num.partitions", "3"), ("num.partitions", "0"),
    ("log.retention.hours", "3"), ("auto.create.topics.enable", "false"), ("socket.request.max.bytes", "1"),
    ("advertised.listeners", "x"), ("broker.rack", "a"), ("no.such.key", "1"), ("follower.replication.throttled.rate", "1"),
    ("replica.alter.log.dirs.io.max.bytes.per.second", "5"),
];

/// Values of keys that are read once, at the start.
#[rustfmt::skip]
const START_VALUES: &[(&str, &str)] = &[
    ("node.id", "-1"), ("num.partitions", "many"), ("num.partitions", "0"),
    ("log.retention.hours", "1.5"), ("log.retention.hours", "0"), ("log.retention.minutes", "0"),
    ("log.retention.check.interval.ms", "0"), ("log.roll.hours", "0"), ("log.roll.jitter.hours", "-1"),
    ("log.cleaner.enable", "1"), ("auto.create.topics.enable", "yes"), ("delete.topic.enable", ""),
    ("socket.request.max.bytes", "0"), ("socket.listen.backlog.size", "0"), ("socket.send.buffer.bytes", "1m"),
    ("queued.max.requests", "0"), ("fetch.max.bytes", "1023"), ("max.request.partition.size.limit", "0"),
    ("offsets.topic.replication.factor", "0"), ("offsets.topic.replication.factor", "32768"),
    ("transaction.state.log.min.isr", "0"), ("group.max.size", "0"), ("producer.id.expiration.check.interval.ms", "0"),
    ("metadata.log.segment.bytes", "8388607"), ("max.incremental.fetch.session.cache.slots", "-1"),
    ("security.inter.broker.protocol", "TLS"), ("group.coordinator.rebalance.protocols", "classic,other"),
    ("log.flush.offset.checkpoint.interval.ms", "-1"), ("num.partitions", " 3 "), ("num.partitions", "+3"),
];

/// Where what Kafka says of a `server.properties` with one bad value is kept.
pub fn kafkas_start_answers() -> PathBuf {
    workspace().join("tests/it/server-properties.txt")
}

/// Every value as a line of a `server.properties`, but for two: of a number of the node that is none Kafka says that
/// the older `broker.id` is wrong, and of listeners that are none that it cannot parse them.
pub fn properties() -> impl Iterator<Item = String> {
    let values = START_VALUES.iter().chain(BROKER_VALUES);
    let values = values.filter(|pair| ![("node.id", "x"), ("advertised.listeners", "x")].contains(pair));
    values.map(|(key, value)| format!("{key}={value}"))
}

/// Where the answers of Apache Kafka are kept.
pub fn kafkas_answers() -> PathBuf {
    workspace().join("tests/it/settings.txt")
}

/// Asks everything. One line for each question, always in the same order.
pub fn ask(bootstrap: &str) -> Vec<String> {
    let client = Client::connect(bootstrap).expect("the broker accepts a connection");
    let mut asked = Asked { bootstrap: bootstrap.to_owned(), client, answers: Vec::new(), marks: 0 };
    asked.create("a topic", TOPIC, &[]);
    asked.create("another topic", MARKED, &[]);
    asked.ask_of_topics();
    asked.ask_of_brokers();
    asked.change_lists();
    asked.replace();
    asked.ask_for_what_is_no_setting();
    asked.find_coordinators();
    asked.answers
}

struct Asked {
    bootstrap: String,
    client: Client,
    answers: Vec<String>,
    marks: u32,
}

/// What is done to one key.
type Change<'a> = (i8, &'a str, Option<&'a str>);

impl Asked {
    fn or_closed(&mut self, answer: std::io::Result<String>) -> String {
        answer.unwrap_or_else(|failure| {
            self.client = Client::connect(&self.bootstrap).expect("the broker accepts a connection");
            assert_eq!(failure.kind(), std::io::ErrorKind::UnexpectedEof, "{failure}");
            "connection closed".to_owned()
        })
    }

    fn note(&mut self, question: &str, answer: &str) {
        self.answers.push(format!("{question}: {answer}"));
    }

    fn ask_of_topics(&mut self) {
        for &(key, value) in TOPIC_VALUES {
            self.try_alter(OF_TOPIC, TOPIC, &[(SET, key, Some(value))]);
        }
        for (key, value) in
            [("segment.bytes", "1"), ("cleanup.policy", "purge"), ("preallocate", "x"), ("", "1")]
        {
            self.create(&format!("a topic with {key}='{value}'"), "not-created", &[(key, Some(value))]);
        }
        self.create("a topic with retention.ms=null", "not-created", &[("retention.ms", None)]);
        self.create(
            "a topic with a key twice",
            "not-created",
            &[("retention.ms", Some("1")), ("retention.ms", Some("2"))],
        );
        let lags = [(SET, "min.compaction.lag.ms", Some("9")), (SET, "max.compaction.lag.ms", Some("5"))];
        self.try_alter(OF_TOPIC, TOPIC, &lags);
        self.try_alter(
            OF_TOPIC,
            TOPIC,
            &[(SET, "segment.ms", Some("5")), (SET, "segment.jitter.ms", Some("9"))],
        );
        self.try_alter(
            OF_TOPIC,
            TOPIC,
            &[(SET, "retention.ms", Some("5")), (SET, "local.retention.ms", Some("9"))],
        );
        self.try_alter(
            OF_TOPIC,
            TOPIC,
            &[(SET, "retention.ms", Some("5")), (SET, "retention.ms", Some("6"))],
        );
        self.try_alter(OF_TOPIC, TOPIC, &[(SET, "retention.ms", None)]);
        self.try_alter(OF_TOPIC, TOPIC, &[(DELETE, "retention.ms", None)]);
        self.try_alter(OF_TOPIC, TOPIC, &[(DELETE, "no.such.key", None)]);
        self.try_alter(OF_TOPIC, TOPIC, &[(9, "retention.ms", Some("1"))]);
        self.try_alter(OF_TOPIC, "unknown", &[(SET, "retention.ms", Some("1"))]);
        self.try_alter(OF_TOPIC, "", &[(SET, "retention.ms", Some("1"))]);
        self.try_alter(OF_TOPIC, "a b", &[(SET, "retention.ms", Some("1"))]);
        self.try_alter(OF_TOPIC, TOPIC, &[]);
    }

    fn ask_of_brokers(&mut self) {
        for &(key, value) in BROKER_VALUES {
            self.try_alter(OF_BROKER, "1", &[(SET, key, Some(value))]);
        }
        for (key, value) in [
            ("log.retention.ms", "x"),
            ("log.segment.bytes", "1"),
            ("node.id", "9"),
            ("listeners", "PLAINTEXT://127.0.0.1:1"),
            ("no.such.key", "1"),
            ("min.insync.replicas", "0"),
            ("max.connections", "5"),
        ] {
            self.try_alter(OF_BROKER, "", &[(SET, key, Some(value))]);
        }
        self.try_alter(OF_BROKER, "1", &[(SET, "node.id", Some("9")), (SET, "log.retention.ms", Some("x"))]);
        self.try_alter(OF_BROKER, "1", &[(DELETE, "node.id", None)]);
        self.try_alter(OF_BROKER, "1", &[(DELETE, "log.retention.ms", None)]);
        self.try_alter(OF_BROKER, "", &[(DELETE, "min.insync.replicas", None)]);
        self.try_alter(OF_BROKER, "2", &[(SET, "log.retention.ms", Some("5"))]);
        self.try_alter(OF_BROKER, "2", &[(SET, "log.retention.ms", Some("x"))]);
        self.try_alter(OF_BROKER, "one", &[(SET, "log.retention.ms", Some("5"))]);
        self.try_alter(OF_BROKER, "-1", &[(SET, "log.retention.ms", Some("5"))]);
    }

    /// Members are added to what is in force, be it the default, and taken from it.
    fn change_lists(&mut self) {
        for (op, key, value) in [
            (APPEND, "cleanup.policy", "compact"),
            (APPEND, "cleanup.policy", "compact"),
            (APPEND, "cleanup.policy", "purge"),
            (SUBTRACT, "cleanup.policy", "delete"),
            (SUBTRACT, "cleanup.policy", "delete"),
            (SUBTRACT, "cleanup.policy", "compact"),
            (APPEND, "cleanup.policy", "delete"),
            (APPEND, "leader.replication.throttled.replicas", "0:1"),
            (APPEND, "leader.replication.throttled.replicas", "1:1,0:1"),
            (SUBTRACT, "leader.replication.throttled.replicas", "1:1"),
            (SUBTRACT, "follower.replication.throttled.replicas", "1:1"),
            (APPEND, "retention.ms", "5"),
            (SUBTRACT, "compression.type", "gzip"),
            (APPEND, "no.such.key", "5"),
        ] {
            self.alter(OF_TOPIC, TOPIC, &[(op, key, Some(value))], false);
            self.describe(OF_TOPIC, TOPIC, key);
        }
        for (name, op, key, value) in [
            ("1", APPEND, "log.cleanup.policy", "compact"),
            ("1", SUBTRACT, "log.cleanup.policy", "delete"),
            ("1", APPEND, "log.cleanup.policy", "purge"),
            ("1", APPEND, "log.retention.ms", "5"),
            ("1", APPEND, "no.such.key", "5"),
            ("1", APPEND, "log.dirs", "/tmp"),
            ("", APPEND, "log.cleanup.policy", "compact"),
        ] {
            self.alter(OF_BROKER, name, &[(op, key, Some(value))], false);
            if key != "log.dirs" {
                self.describe(OF_BROKER, name, key);
            }
        }
        self.alter(OF_BROKER, "1", &[(DELETE, "log.cleanup.policy", None)], false);
        self.alter(OF_BROKER, "", &[(DELETE, "log.cleanup.policy", None)], false);
        self.try_alter(OF_TOPIC, TOPIC, &[(APPEND, "cleanup.policy", None)]);
    }

    /// The older request states the whole configuration.
    fn replace(&mut self) {
        self.replace_with(
            OF_TOPIC,
            TOPIC,
            &[("retention.ms", Some("7")), ("segment.bytes", Some("2000000"))],
        );
        self.describe(OF_TOPIC, TOPIC, "retention.ms");
        self.describe(OF_TOPIC, TOPIC, "cleanup.policy");
        self.replace_with(OF_TOPIC, TOPIC, &[("segment.bytes", Some("3000000"))]);
        self.describe(OF_TOPIC, TOPIC, "retention.ms");
        self.describe(OF_TOPIC, TOPIC, "segment.bytes");
        self.replace_with(OF_TOPIC, TOPIC, &[("segment.bytes", Some("1"))]);
        self.replace_with(OF_TOPIC, TOPIC, &[("no.such.key", Some("1"))]);
        self.replace_with(OF_TOPIC, TOPIC, &[("retention.ms", None)]);
        self.describe(OF_TOPIC, TOPIC, "segment.bytes");
        self.replace_with(OF_TOPIC, TOPIC, &[("retention.ms", Some("1")), ("retention.ms", Some("2"))]);
        self.describe(OF_TOPIC, TOPIC, "retention.ms");
        self.replace_with(OF_TOPIC, "unknown", &[("retention.ms", Some("1"))]);
        self.replace_with(OF_TOPIC, TOPIC, &[]);
        self.describe(OF_TOPIC, TOPIC, "segment.bytes");
        self.replace_with(
            OF_BROKER,
            "1",
            &[("log.retention.ms", Some("9")), ("message.max.bytes", Some("5000"))],
        );
        self.describe(OF_BROKER, "1", "log.retention.ms");
        self.replace_with(OF_BROKER, "1", &[("message.max.bytes", Some("6000"))]);
        self.describe(OF_BROKER, "1", "log.retention.ms");
        self.describe(OF_BROKER, "1", "message.max.bytes");
        self.replace_with(OF_BROKER, "1", &[("node.id", Some("9"))]);
        self.replace_with(OF_BROKER, "1", &[("message.max.bytes", Some("x"))]);
        self.replace_with(OF_BROKER, "2", &[("message.max.bytes", Some("1"))]);
        self.replace_with(OF_BROKER, "1", &[]);
        self.describe(OF_BROKER, "1", "message.max.bytes");
        self.replace_with(
            OF_BROKER,
            "",
            &[("message.max.bytes", Some("7000")), ("min.insync.replicas", Some("1"))],
        );
        self.describe(OF_BROKER, "", "message.max.bytes");
        self.replace_with(OF_BROKER, "", &[]);
        self.replace_with(9, "x", &[("a", Some("b"))]);
    }

    fn ask_for_what_is_no_setting(&mut self) {
        for kind in [0, 1, 3, 5, 77] {
            self.try_alter(kind, "x", &[(SET, "a", Some("b"))]);
        }
        let resource = || resource(OF_TOPIC, TOPIC, &[(SET, "retention.ms", Some("1"))]);
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource(), resource()],
            validate_only: true,
            ..Default::default()
        };
        let answer = self.client.call(&request, 1, |response| {
            let answers = response.responses.iter();
            let answers: Vec<_> =
                answers.map(|answer| error(answer.error_code, answer.error_message.as_deref())).collect();
            answers.join("; ")
        });
        self.note("configure a topic twice", &answer.expect("IncrementalAlterConfigs is answered"));
    }

    fn find_coordinators(&mut self) {
        for (version, key_type, key) in [
            (3, 7, "x"),
            (4, 7, "x"),
            (6, 7, "x"),
            (6, 2, "x"),
            (6, -1, "x"),
            (5, 2, "g:AAAAAAAAAAAAAAAAAAAAAQ:0"),
        ] {
            let request = FindCoordinatorRequest {
                key: if version < 4 { key.into() } else { "".into() },
                key_type,
                coordinator_keys: if version < 4 { Vec::new() } else { vec![key.into()] },
                ..Default::default()
            };
            let answer = self.client.call(&request, version, |response| {
                let each = response.coordinators.iter().map(|found| {
                    let code = error(found.error_code, found.error_message.as_deref());
                    format!(
                        "; '{}' {code} node {} at '{}':{}",
                        found.key, found.node_id, found.host, found.port
                    )
                });
                let code = error(response.error_code, response.error_message.as_deref());
                let node = (response.node_id, response.port);
                format!("{code} node {node:?} at '{}'{}", response.host, each.collect::<String>())
            });
            let answer = self.or_closed(answer);
            self.note(
                &format!("find the coordinator of type {key_type} for {key} in version {version}"),
                &answer,
            );
        }
    }

    // ---- one request each

    fn create(&mut self, question: &str, name: &str, configs: &[(&str, Option<&str>)]) {
        let configs = configs.iter().map(|&(name, value)| CreatableTopicConfig {
            name: name.into(),
            value: value.map(Into::into),
            ..Default::default()
        });
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let answer = self.client.call(&request, 7, |response| {
            let topic = response.topics.first().expect("an answer for the topic");
            error(topic.error_code, topic.error_message.as_deref())
        });
        self.note(&format!("create {question}"), &answer.expect("CreateTopics is answered"));
    }

    /// Asks without changing anything.
    fn try_alter(&mut self, kind: i8, name: &str, changes: &[Change<'_>]) {
        self.alter(kind, name, changes, true);
    }

    fn alter(&mut self, kind: i8, name: &str, changes: &[Change<'_>], validate_only: bool) {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource(kind, name, changes)],
            validate_only,
            ..Default::default()
        };
        let answer = self.client.call(&request, 1, |response| {
            let result = response.responses.first().expect("an answer for the resource");
            error(result.error_code, result.error_message.as_deref())
        });
        let changes: Vec<String> = changes
            .iter()
            .map(|(op, key, value)| {
                format!(
                    " {} {key} {value:?}",
                    ["set", "delete", "append", "subtract"].get(*op as usize).unwrap_or(&"?")
                )
            })
            .collect();
        let question = format!("{kind} '{name}'{}", changes.join(","));
        self.note(&question, &answer.expect("IncrementalAlterConfigs is answered"));
    }

    fn replace_with(&mut self, kind: i8, name: &str, configs: &[(&str, Option<&str>)]) {
        let request = AlterConfigsRequest {
            resources: vec![alter_configs_request::AlterConfigsResource {
                resource_type: kind,
                resource_name: name.into(),
                configs: configs
                    .iter()
                    .map(|&(name, value)| alter_configs_request::AlterableConfig {
                        name: name.into(),
                        value: value.map(Into::into),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = self.client.call(&request, 2, |response| {
            let result = response.responses.first().expect("an answer for the resource");
            error(result.error_code, result.error_message.as_deref())
        });
        self.note(&format!("{kind} '{name}' is {configs:?}"), &answer.expect("AlterConfigs is answered"));
    }

    /// The value of a key, once the broker has followed the last change.
    fn describe(&mut self, kind: i8, name: &str, key: &str) {
        // Once the first mark shows, the change is published; once the second does, the broker has done all that
        // the change called for.
        self.mark();
        self.mark();
        let answer = self.value(kind, name, key);
        self.note(&format!("{kind} '{name}' {key}"), &answer);
    }

    fn mark(&mut self) {
        const KEY: &str = "file.delete.delay.ms";
        self.marks += 1;
        let mark = self.marks.to_string();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource(OF_TOPIC, MARKED, &[(SET, KEY, Some(&mark))])],
            ..Default::default()
        };
        let code = self.client.call(&request, 1, |response| response.responses[0].error_code);
        assert_eq!(code.expect("IncrementalAlterConfigs is answered"), 0);
        let shown = format!("NONE [(Some(\"{mark}\"), 1)]");
        let visible = (0..10_000).any(|_| self.value(OF_TOPIC, MARKED, KEY) == shown);
        assert!(visible, "the broker follows the controller");
    }

    fn value(&mut self, kind: i8, name: &str, key: &str) -> String {
        let resource = DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: Some(vec![key.into()]),
            ..Default::default()
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
        let answer = self.client.call(&request, 4, |response| {
            let result = response.results.first().expect("an answer for the resource");
            let configs = result.configs.iter();
            let configs: Vec<_> = configs
                .map(|config| (config.value.as_deref().map(str::to_owned), config.config_source))
                .collect();
            format!("{} {configs:?}", error(result.error_code, None))
        });
        answer.expect("DescribeConfigs is answered")
    }
}

fn resource<'a>(kind: i8, name: &'a str, changes: &[Change<'a>]) -> AlterConfigsResource<'a> {
    let configs = changes.iter().map(|&(op, key, value)| AlterableConfig {
        name: key.into(),
        config_operation: op,
        value: value.map(Into::into),
        ..Default::default()
    });
    AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: configs.collect(),
        ..Default::default()
    }
}
