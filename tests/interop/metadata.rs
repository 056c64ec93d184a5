//! One directory, opened in turn by the metadata part of Klamm and by Apache Kafka: each must find what the other
//! created and changed, after clean stops and after kill -9 of either.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use broker_shim::metadata::format::{Format, Formatted, format};
use broker_shim::metadata::ops::{
    AlterConfigs, ConfigOp, CreateTopics, DirectoryAssignment, NewTopic, ResourceAlterations, TopicDefaults,
};
use broker_shim::metadata::record::{ConfigResource, Endpoint};
use broker_shim::metadata::{Image, MetadataHandle, MetadataOptions, SegmentPolicy, SnapshotPolicy};
use klamm_tests::java_clients::JavaClients;
use klamm_tests::oracle::Oracle;
use klamm_tests::process::run;
use klamm_tests::properties::{Properties, free_ports};
use klamm_tests::{kafka, oracle};
use log_engine::{Engine, EngineConfig, LogConfig, TopicPartition};
use tokio::runtime::Runtime;

use super::CLUSTER_ID;

/// How a broker ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    Clean,
    Kill,
}

/// A set of data directories and the configuration with which both brokers open it.
struct Travelling {
    properties: Properties,
    directories: Vec<PathBuf>,
    ports: [u16; 2],
    _root: tempfile::TempDir,
}

impl Travelling {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        let directories = vec![root.path().join("data"), root.path().join("more")];
        let ports = free_ports();
        let [port, controller] = ports;
        let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
        let all: Vec<_> = directories.iter().map(|dir| dir.display().to_string()).collect();
        let properties = Properties::new(&directories[0])
            .with("log.dirs", all.join(","))
            .with("listeners", listeners.clone())
            .with("advertised.listeners", listeners)
            .with("controller.quorum.bootstrap.servers", format!("127.0.0.1:{controller}"))
            // A broker that was killed is taken for alive for so long.
            .with("broker.session.timeout.ms", "1500")
            .with("broker.heartbeat.interval.ms", "300");
        Self { properties, directories, ports, _root: root }
    }

    /// `controller.quorum.voters` instead of `controller.quorum.bootstrap.servers`.
    fn with_voters_in_configuration_unless(mut self, in_the_log: bool) -> Self {
        if !in_the_log {
            let voters = format!("1@127.0.0.1:{}", self.ports[1]);
            self.properties = self.properties.with("controller.quorum.voters", voters);
            self.properties = self.properties.without("controller.quorum.bootstrap.servers");
        }
        self
    }

    fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    fn format(&self) -> Formatted {
        let config = EngineConfig::new(self.directories.clone(), 1);
        let wanted = Format {
            log_dirs: self.directories.clone(),
            metadata_log_dir: self.directories[0].clone(),
            node_id: 1,
            cluster_id: Some(CLUSTER_ID.to_owned()),
            controller: ("CONTROLLER".into(), "127.0.0.1".into(), self.ports[1]),
        };
        format(&config.open_disk(), &wanted, config.clock.now()).expect("the directories can be formatted")
    }

    /// Opens the directories as the broker does, works with them, and stops.
    fn in_klamm<T>(&self, stop: Stop, work: impl FnOnce(&Klamm) -> T) -> T {
        let ids: Vec<_> = self.format().directories.into_iter().map(|(_, id)| id).collect();
        let engine = Engine::open(EngineConfig::new(self.directories.clone(), 1)).expect("the engine opens");
        let endpoint = |name: &str, port| Endpoint {
            name: name.into(),
            host: "127.0.0.1".into(),
            port,
            security_protocol: 0,
        };
        let options = MetadataOptions {
            node_id: 1,
            metadata_log_dir: self.directories[0].clone(),
            endpoints: vec![endpoint("PLAINTEXT", self.ports[0])],
            controller_endpoints: vec![endpoint("CONTROLLER", self.ports[1])],
            rack: None,
            min_insync_replicas: "1".to_owned(),
            defaults: TopicDefaults { num_partitions: 1, replication_factor: 1 },
            snapshots: SnapshotPolicy { max_bytes: 3000, ..SnapshotPolicy::default() },
            segments: SegmentPolicy::default(),
            listener: None,
        };
        let runtime = Runtime::new().expect("a runtime starts");
        let handle = MetadataHandle::open(&engine, options).expect("the metadata open");
        let klamm = Klamm { engine, handle, runtime, directories: self.directories.clone(), ids };
        klamm.take_up_leadership();
        let result = work(&klamm);
        if stop == Stop::Clean {
            let epoch = klamm.runtime.block_on(klamm.handle.shutdown()).expect("the stop is recorded");
            klamm.engine.set_broker_epoch(epoch);
            klamm.engine.close().expect("the engine closes");
        }
        result
    }

    fn in_kafka<T>(&self, oracle: &Oracle, stop: Stop, work: impl FnOnce(&str) -> T) -> T {
        let kafka = kafka::start(oracle, &self.properties);
        let result = work(&self.bootstrap());
        match stop {
            Stop::Clean => kafka.stop(),
            Stop::Kill => kafka.kill(),
        }
        result
    }
}

struct Klamm {
    engine: Engine,
    handle: MetadataHandle,
    runtime: Runtime,
    directories: Vec<PathBuf>,
    ids: Vec<broker_shim::metadata::ids::DirectoryId>,
}

impl Klamm {
    fn image(&self) -> Arc<Image> {
        self.handle.image()
    }

    /// Every partition has its log, and the log knows the leader epoch.
    fn take_up_leadership(&self) {
        let mut chosen = Vec::new();
        for topic in self.image().topics() {
            for partition in &topic.partitions {
                let tp = TopicPartition::new(Arc::clone(&topic.name), partition.partition);
                let log = self.engine.log(&tp).unwrap_or_else(|| {
                    let at = usize::try_from(partition.partition).unwrap_or(0) % self.directories.len();
                    let assignment = DirectoryAssignment {
                        topic_id: topic.topic_id,
                        partition: partition.partition,
                        directory: self.ids[at],
                    };
                    chosen.push(assignment);
                    let dir = Some(&*self.directories[at]);
                    self.engine
                        .create_log(&tp, topic.topic_id, LogConfig::default(), dir)
                        .expect("a log is created")
                });
                assert_eq!(log.topic_id(), Some(topic.topic_id));
                assert_eq!(partition.leader, 1, "{tp} is led");
                log.begin_epoch(log_engine::LeaderEpoch::new(partition.leader_epoch))
                    .expect("the epoch is stored");
            }
        }
        self.runtime.block_on(self.handle.assign_directories(chosen)).expect("directories are assigned");
    }

    fn create(&self, name: &str, partitions: i32) {
        let topic = NewTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: vec![("segment.bytes".to_owned(), Some("2000000".to_owned()))],
        };
        let request = CreateTopics { topics: vec![topic], validate_only: false };
        let answers = self.runtime.block_on(self.handle.create_topics(request)).expect("stored");
        assert!(answers[0].1.is_ok(), "{answers:?}");
        self.take_up_leadership();
    }

    fn configure(&self, topic: &str, retention_ms: &str) {
        let ops = vec![("retention.ms".to_owned(), ConfigOp::Set, Some(retention_ms.to_owned()))];
        let resources = vec![ResourceAlterations { resource: ConfigResource::topic(topic), ops }];
        let request = AlterConfigs { resources, validate_only: false };
        let answers = self.runtime.block_on(self.handle.incremental_alter_configs(request)).expect("stored");
        assert_eq!(answers[0].1, Ok(()));
    }

    fn retention(&self, topic: &str) -> Option<String> {
        self.image().topic_config(topic)?.get("retention.ms").map(|value| value.to_string())
    }
}

fn produce(java: &mut JavaClients, bootstrap: &str, topic: &str, partition: i32) {
    java.must(&format!("produce {bootstrap} {topic} {partition} none idempotent 0 10"));
}

fn retention(java: &mut JavaClients, bootstrap: &str, topic: &str) -> String {
    java.must(&format!("configuration {bootstrap} {topic} retention.ms"))
}

#[test]
fn a_directory_travels_between_klamm_and_kafka_after_clean_stops() {
    let Some(oracle) = oracle::required() else { return };
    journey(oracle, Stop::Clean, Stop::Clean);
}

#[test]
fn a_directory_travels_between_klamm_and_kafka_after_kills_of_both() {
    let Some(oracle) = oracle::required() else { return };
    journey(oracle, Stop::Kill, Stop::Kill);
}

/// Klamm, Kafka, Klamm, Kafka: topics and configuration from every stop are there at every later one.
fn journey(oracle: &Oracle, ours: Stop, theirs: Stop) {
    let place = Travelling::new();
    let mut java = JavaClients::start(oracle);
    place.in_klamm(ours, |klamm| klamm.create("from-klamm", 3));
    place.in_kafka(oracle, theirs, |bootstrap| {
        assert_eq!(topics(&mut java, bootstrap), ["from-klamm"]);
        produce(&mut java, bootstrap, "from-klamm", 2);
        java.must(&format!("configure {bootstrap} from-klamm retention.ms 1111"));
        java.must(&format!("create {bootstrap} from-kafka 2"));
        produce(&mut java, bootstrap, "from-kafka", 1);
    });
    let epochs = place.in_klamm(ours, |klamm| {
        assert_eq!(klamm.retention("from-klamm").as_deref(), Some("1111"));
        assert_eq!(klamm.image().topic("from-kafka").expect("it is known").partitions.len(), 2);
        klamm.configure("from-kafka", "2222");
        klamm.create("again-klamm", 1);
        klamm.image().partition("from-klamm", 2).expect("it is known").leader_epoch
    });
    place.in_kafka(oracle, theirs, |bootstrap| {
        assert_eq!(topics(&mut java, bootstrap), ["again-klamm", "from-kafka", "from-klamm"]);
        assert_eq!(retention(&mut java, bootstrap, "from-klamm"), "1111 DYNAMIC_TOPIC_CONFIG");
        assert_eq!(retention(&mut java, bootstrap, "from-kafka"), "2222 DYNAMIC_TOPIC_CONFIG");
        for (topic, partition) in [("again-klamm", 0), ("from-klamm", 2), ("from-kafka", 1)] {
            produce(&mut java, bootstrap, topic, partition);
        }
        assert_eq!(java.must(&format!("offsets {bootstrap} from-klamm 2")), "0 20");
    });
    place.in_klamm(ours, |klamm| {
        let image = klamm.image();
        assert_eq!(image.topic_count(), 3);
        assert!(image.partition("from-klamm", 2).expect("it is known").leader_epoch > epochs);
        assert!(image.next_producer_id() > 0, "Kafka handed out producer ids");
    });
}

#[test]
fn a_directory_that_kafka_formatted_is_taken_over() {
    let Some(oracle) = oracle::required() else { return };
    // The voters in the log; in the configuration, as before KIP-853; and as a cluster that once was a Kafka 3.6.
    let without_elr = ["--feature", "eligible.leader.replicas.version=0"];
    for options in [&["--standalone"][..], &without_elr, &["--release-version", "3.6"]] {
        let place = Travelling::new().with_voters_in_configuration_unless(options[0] == "--standalone");
        let mut tool: Command = oracle.java("kafka.tools.StorageTool");
        tool.args(["format", "--cluster-id", CLUSTER_ID]).args(options);
        run(tool.arg("--config").arg(place.properties.write()), b"");
        let mut java = JavaClients::start(oracle);
        place.in_klamm(Stop::Kill, |klamm| klamm.create("from-klamm", 2));
        place.in_kafka(oracle, Stop::Clean, |bootstrap| {
            assert_eq!(topics(&mut java, bootstrap), ["from-klamm"], "{options:?}");
            produce(&mut java, bootstrap, "from-klamm", 1);
            java.must(&format!("create {bootstrap} from-kafka 1"));
        });
        place.in_klamm(Stop::Clean, |klamm| assert_eq!(klamm.image().topic_count(), 2, "{options:?}"));
    }
}

#[test]
fn kafkas_dump_tool_reads_the_log_and_the_snapshots_that_klamm_writes() {
    let Some(oracle) = oracle::required() else { return };
    let place = Travelling::new();
    place.in_klamm(Stop::Clean, |klamm| {
        for n in 0..20 {
            klamm.create(&format!("topic-{n}"), 2);
        }
        klamm.configure("topic-7", "1234567");
    });
    let log_dir = place.directories[0].join("__cluster_metadata-0");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&log_dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("and can be listed").path())
        .filter(|path| path.extension().is_some_and(|found| found == "log" || found == "checkpoint"))
        .collect();
    files.sort();
    assert!(files.len() > 2, "snapshots were written");
    for file in &files {
        let mut tool = oracle.java("org.apache.kafka.tools.DumpLogSegments");
        tool.args(["--cluster-metadata-decoder", "--files"]).arg(file);
        let text = run(&mut tool, b"");
        assert!(
            !text.contains("isvalid: false") && !text.contains("Could not"),
            "{}:\n{text}",
            file.display()
        );
        let is_log = file.extension().is_some_and(|found| found == "log");
        if is_log {
            assert!(text.contains(r#""type":"CONFIG_RECORD","version":0,"data":{"resourceType":2,"resourceName":"topic-7","name":"retention.ms","value":"1234567"}"#));
            assert!(text.contains(r#""type":"PARTITION_CHANGE_RECORD","version":2"#));
        } else {
            assert!(text.contains("SnapshotHeader") && text.contains("SnapshotFooter"), "{text}");
        }
    }
}

fn topics(java: &mut JavaClients, bootstrap: &str) -> Vec<String> {
    let listed = java.must(&format!("topics {bootstrap}"));
    let mut names: Vec<_> = listed.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    names.sort();
    names
}
