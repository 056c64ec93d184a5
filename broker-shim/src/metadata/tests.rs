//! The controller over a log in memory, against what Apache Kafka 4.3.0 does (docs/metadata.md).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{path::Path, sync::Arc, time::Duration};

use log_engine::{
    batch::{BatchBuilder, Compression, NewRecord},
    clock::{Clock, ManualClock},
    io::{BackendChoice, Disk, NativeDisk},
    types::{LeaderEpoch, Offset, TimestampMs, TopicId},
};

use super::{
    ChangeError, ControllerConfig, Image, KnownKeys, MetadataHandle, PlacedLog, SnapshotPolicy, StartError,
    batches::{Entry, decode_batches},
    format::{self, Format, FormatError, metadata_log_path},
    golden::corpus,
    leadership::Identity,
    load,
    memory_log::MemoryLog,
    ops::{
        AlterConfigs, ConfigOp, CreatePartitions, CreateTopics, CreatedTopic, DeleteTopics, MorePartitions,
        NewTopic, ProducerIdBlock, Refusal, ResourceAlterations, TopicDefaults, TopicSelector,
    },
    record::{ConfigResource, Endpoint, MetadataRecord},
    record_log::RecordLog,
};

struct Cluster {
    dir: tempfile::TempDir,
    disk: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    log: MemoryLog,
    policy: SnapshotPolicy,
    controller_port: u16,
    placed: Vec<PlacedLog>,
}

impl Cluster {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            disk: disk(),
            clock: Arc::new(ManualClock::starting_at(TimestampMs::new(1_795_257_509_497))),
            log: MemoryLog::default(),
            policy: SnapshotPolicy::default(),
            controller_port: 9093,
            placed: Vec::new(),
        }
    }

    fn format(&self) -> Format {
        Format {
            log_dirs: vec![self.dir.path().join("a"), self.dir.path().join("b")],
            metadata_log_dir: self.dir.path().join("a"),
            node_id: 1,
            cluster_id: None,
            controller: ("CONTROLLER".into(), "localhost".into(), 9093),
        }
    }

    fn start(&self, previous_broker_epoch: Option<i64>) -> Result<MetadataHandle, StartError> {
        let wanted = self.format();
        let formatted = format::format(&self.disk, &wanted, self.clock.now()).unwrap();
        let endpoint = |name: &str, port| Endpoint {
            name: name.into(),
            host: "localhost".into(),
            port,
            security_protocol: 0,
        };
        let config = ControllerConfig {
            identity: Identity {
                node_id: 1,
                endpoints: vec![endpoint("PLAINTEXT", 9092)],
                controller_endpoints: vec![endpoint("CONTROLLER", self.controller_port)],
                rack: None,
                log_dirs: formatted.directories.iter().map(|(_, id)| *id).collect(),
            },
            cluster_id: formatted.cluster_id,
            dir: metadata_log_path(&wanted.metadata_log_dir),
            directory_id: formatted.directories[0].1,
            placed: self.placed.clone(),
            bootstrap: format::read_bootstrap(&self.disk, &wanted.metadata_log_dir).unwrap(),
            min_insync_replicas: "1".to_owned(),
            previous_broker_epoch,
            defaults: TopicDefaults { num_partitions: 1, replication_factor: 1 },
            rules: Arc::new(KnownKeys),
            snapshots: self.policy,
            clock: self.clock.clone(),
            listener: None,
        };
        MetadataHandle::start(Arc::clone(&self.disk), Box::new(self.log.clone()), config)
    }

    /// Names of the records from an offset on.
    fn record_names(&self, from: i64) -> Vec<String> {
        let bytes = self.log.bytes();
        let batches = decode_batches(&bytes, 0)
            .map(Result::unwrap)
            .filter(|batch| batch.base_offset >= Offset::new(from));
        batches.flat_map(|batch| batch.entries).map(|entry| name_of(&entry)).collect()
    }

    fn reloaded(&self) -> Image {
        let dir = metadata_log_path(&self.dir.path().join("a"));
        load::load(&self.disk, &dir, &self.log, "c").unwrap().image
    }
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(NativeDisk::new(BackendChoice::Threads))
}

fn name_of(entry: &Entry) -> String {
    let text = match entry {
        Entry::Metadata(record) => format!("{record:?}"),
        Entry::Control(record) => format!("{record:?}"),
        Entry::Unknown(what) => what.clone(),
    };
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

fn topic(name: &str, partitions: i32) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

async fn create(handle: &MetadataHandle, topics: Vec<NewTopic>) -> Vec<Result<CreatedTopic, Refusal>> {
    let answers = handle.create_topics(CreateTopics { topics, validate_only: false }).await.unwrap();
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[tokio::test]
async fn the_first_start_writes_the_records_that_kafka_writes_in_the_same_order() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    let expected = [
        "LeaderChange",
        "KRaftVersion",
        "Voters",
        "BeginTransaction",
        "FeatureLevel",
        "FeatureLevel",
        "FeatureLevel",
        "FeatureLevel",
        "FeatureLevel",
        "FeatureLevel",
        "Config",
        "EndTransaction",
        "RegisterController",
        "RegisterBroker",
        "BrokerRegistrationChange",
        "BrokerRegistrationChange",
    ];
    assert_eq!(cluster.record_names(0), expected);
    // The epoch of a registration is the offset at which it lies.
    assert_eq!(handle.broker_epoch(), 13);
    assert!(!handle.image().broker(1).unwrap().fenced);
    assert_eq!(handle.image().feature_level("metadata.version"), 30);
    assert_eq!(
        &*handle.image().config(&ConfigResource::broker_default()).unwrap()["min.insync.replicas"],
        "1"
    );
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_partition_gets_two_new_leader_epochs_by_a_clean_stop_and_start() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    create(&handle, vec![topic("t", 2)]).await;
    let epoch = handle.shutdown().await.unwrap();
    let stopped = cluster.reloaded();
    let partition = stopped.partition("t", 1).unwrap();
    assert_eq!(
        (partition.leader, &*partition.isr, &*partition.eligible_leader_replicas),
        (-1, &[][..], &[1][..])
    );
    assert!(stopped.broker(1).unwrap().fenced && stopped.broker(1).unwrap().in_controlled_shutdown);

    let from = stopped.provenance().end_offset.get();
    let again = cluster.start(Some(epoch)).unwrap();
    let image = again.image();
    let partition = image.partition("t", 1).unwrap();
    assert_eq!((partition.leader, partition.leader_epoch, partition.partition_epoch), (1, 2, 2));
    assert_eq!((&*partition.isr, partition.leader_recovery_state), (&[1][..], 0));
    assert!(partition.eligible_leader_replicas.is_empty() && partition.last_known_elr.is_empty());
    let expected = [
        "LeaderChange",
        "RegisterController",
        "RegisterBroker",
        "BrokerRegistrationChange",
        "BrokerRegistrationChange",
        "PartitionChange",
        "PartitionChange",
    ];
    assert_eq!(cluster.record_names(from), expected);
    again.shutdown().await.unwrap();
}

#[tokio::test]
async fn after_an_unclean_stop_the_old_run_is_fenced_and_every_partition_gets_a_new_epoch() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    create(&handle, vec![topic("t", 1)]).await;
    let from = handle.image().provenance().end_offset.get();
    drop(handle);
    let again = cluster.start(None).unwrap();
    let image = again.image();
    let partition = image.partition("t", 0).unwrap();
    assert_eq!((partition.leader, partition.leader_epoch), (1, 2));
    // Nobody is left that is known to have everything, so the election is an unclean one (KIP-966).
    assert_eq!((&*partition.isr, partition.leader_recovery_state), (&[1][..], 1));
    let expected = [
        "LeaderChange",
        "RegisterController",
        "PartitionChange",
        "BrokerRegistrationChange",
        "PartitionChange",
        "RegisterBroker",
        "BrokerRegistrationChange",
        "BrokerRegistrationChange",
        "PartitionChange",
    ];
    assert_eq!(cluster.record_names(from), expected);
    again.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_marker_of_another_registration_makes_the_stop_unclean() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    create(&handle, vec![topic("t", 1)]).await;
    let epoch = handle.shutdown().await.unwrap();
    let again = cluster.start(Some(epoch + 1)).unwrap();
    assert_eq!(again.image().partition("t", 0).unwrap().leader_recovery_state, 1);
    again.shutdown().await.unwrap();
}

#[tokio::test]
async fn each_start_takes_a_higher_epoch_and_says_so_before_it_appends() {
    let cluster = Cluster::new();
    for expected in 1..4 {
        let handle = cluster.start(None).unwrap();
        assert_eq!(handle.image().provenance().epoch.get(), expected);
        let state =
            std::fs::read_to_string(cluster.dir.path().join("a/__cluster_metadata-0/quorum-state")).unwrap();
        let voted = "\"votedId\":-1,\"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"data_version\":1";
        assert_eq!(state, format!("{{\"leaderId\":1,\"leaderEpoch\":{expected},{voted}}}"));
        handle.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_answered_is_in_the_log_and_in_the_image() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    let mut configured = topic("t", 3);
    configured.configs = vec![
        ("segment.bytes".to_owned(), Some("2000000".to_owned())),
        ("cleanup.policy".to_owned(), Some("compact".to_owned())),
    ];
    let created = create(&handle, vec![configured, topic("u", -1)]).await;
    assert_eq!(created[0].as_ref().unwrap().num_partitions, 3);
    assert_eq!(created[1].as_ref().unwrap().num_partitions, 1);

    let more = MorePartitions { name: "u".to_owned(), count: 4, assignments: None };
    let answers =
        handle.create_partitions(CreatePartitions { topics: vec![more], validate_only: false }).await;
    assert_eq!(answers.unwrap(), [("u".to_owned(), Ok(()))]);

    let ops = vec![
        ("retention.ms".to_owned(), ConfigOp::Set, Some("1000".to_owned())),
        ("cleanup.policy".to_owned(), ConfigOp::Append, Some("delete".to_owned())),
        ("segment.bytes".to_owned(), ConfigOp::Delete, None),
    ];
    let resources = vec![ResourceAlterations { resource: ConfigResource::topic("t"), ops }];
    let answers =
        handle.incremental_alter_configs(AlterConfigs { resources, validate_only: false }).await.unwrap();
    assert_eq!(answers, [(ConfigResource::topic("t"), Ok(()))]);

    for first in [0, 1000] {
        let block = handle.allocate_producer_ids().await.unwrap().unwrap();
        assert_eq!(block, ProducerIdBlock { first, len: 1000 });
    }
    let deleted =
        handle.delete_topics(DeleteTopics { topics: vec![TopicSelector::Name("u".to_owned())] }).await;
    assert!(deleted.unwrap()[0].1.is_ok());

    for image in [(*handle.image()).clone(), cluster.reloaded()] {
        assert_eq!(image.topic("t").unwrap().partitions.len(), 3);
        assert!(image.topic("u").is_none());
        let config = image.topic_config("t").unwrap();
        let config: Vec<_> = config.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(config, [("cleanup.policy", "compact,delete"), ("retention.ms", "1000")]);
        assert_eq!(image.next_producer_id(), 2000);
    }
    let end = handle.image().provenance().end_offset;
    assert_eq!(cluster.log.inner.lock().unwrap().high_watermark, Some(end));
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_request_for_more_records_than_a_batch_holds_changes_nothing_whatever_else_it_asks_for() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    for validate_only in [true, false] {
        // The topic is a record, too.
        let topics = vec![topic("big", 9_999), topic("small", 1)];
        let refused = handle.create_topics(CreateTopics { topics, validate_only }).await.unwrap_err();
        assert_eq!(refused.to_string(), "Unable to perform excessively large batch operation.");
        assert!(handle.image().topic("small").is_none());
    }
    let topics = vec![topic("big", 9_999)];
    let judged = handle.create_topics(CreateTopics { topics, validate_only: true }).await.unwrap();
    assert_eq!(judged[0].1.as_ref().unwrap().num_partitions, 9_999);
    assert!(handle.image().topic("big").is_none());
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn topics_are_refused_with_kafkas_errors() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    create(&handle, vec![topic("a.b", 1)]).await;
    let with = |name: &str, change: &dyn Fn(&mut NewTopic)| {
        let mut topic = topic(name, 1);
        change(&mut topic);
        topic
    };
    let assigned = |assignments: Vec<(i32, Vec<i32>)>| {
        move |topic: &mut NewTopic| {
            topic.num_partitions = -1;
            topic.assignments.clone_from(&assignments);
        }
    };
    let config = |key: &'static str, value: Option<&'static str>| {
        move |topic: &mut NewTopic| topic.configs = vec![(key.to_owned(), value.map(str::to_owned))]
    };
    let rows: Vec<(NewTopic, Refusal)> = vec![
        (topic("a_b", 1), Refusal::InvalidTopic("Topic 'a_b' collides with existing topic: a.b".into())),
        (topic("a.b", 1), Refusal::TopicExists("a.b".into())),
        (
            topic("__cluster_metadata", 1),
            Refusal::InvalidRequest("Creation of internal topic __cluster_metadata is prohibited.".into()),
        ),
        (topic("..", 1), Refusal::InvalidTopic("Topic name is invalid: '..' is not allowed".into())),
        (
            topic("p0", 0),
            Refusal::InvalidPartitions("Number of partitions was set to an invalid non-positive value.".into()),
        ),
        (
            topic("big", 10_001),
            Refusal::PolicyViolation("Excessively large number of partitions per request.".into()),
        ),
        (
            with("r0", &|topic| topic.replication_factor = 0),
            Refusal::InvalidReplicationFactor(
                "Replication factor must be larger than 0, or -1 to use the default value.".into(),
            ),
        ),
        (
            with("r3", &|topic| topic.replication_factor = 3),
            Refusal::InvalidReplicationFactor(
                "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached \
                 because only 1 broker(s) are registered or some brokers have all their log directories cordoned."
                    .into(),
            ),
        ),
        (
            with("m1", &assigned(vec![(0, vec![7])])),
            Refusal::InvalidReplicaAssignment(
                "The manual partition assignment includes broker 7, but no such broker is registered.".into(),
            ),
        ),
        (
            with("m2", &assigned(vec![(1, vec![1])])),
            Refusal::InvalidReplicaAssignment(
                "partitions should be a consecutive 0-based integer sequence".into(),
            ),
        ),
        (
            with("m3", &assigned(vec![(0, vec![1, 1])])),
            Refusal::InvalidReplicaAssignment(
                "The manual partition assignment includes the broker 1 more than once.".into(),
            ),
        ),
        (
            with("m4", &assigned(vec![(0, vec![])])),
            Refusal::InvalidReplicaAssignment(
                "The manual partition assignment includes an empty replica list.".into(),
            ),
        ),
        (with("c1", &config("foo", Some("1"))), Refusal::InvalidConfig("Unknown topic config name: foo".into())),
        (
            with("c2", &config("retention.ms", None)),
            Refusal::InvalidConfig("Null value not supported for topic configs: retention.ms".into()),
        ),
    ];
    let before = cluster.log.bytes().len();
    for (topic, refusal) in rows {
        assert_eq!(create(&handle, vec![topic.clone()]).await, [Err(refusal)], "{topic:?}");
    }
    let together = CreateTopics { topics: vec![topic("z.z", 1), topic("z_z", 1)], validate_only: true };
    let answers = handle.create_topics(together).await.unwrap();
    assert!(answers.iter().all(|(_, answer)| answer.is_ok()), "names of one request do not collide in Kafka");
    let twice = create(&handle, vec![topic("w", 1), topic("w", 2)]).await;
    assert!(matches!(&twice[..], [Err(Refusal::InvalidRequest(_))]));
    let only_checked = CreateTopics { topics: vec![topic("v", 1)], validate_only: true };
    assert!(handle.create_topics(only_checked).await.unwrap()[0].1.is_ok());
    assert_eq!(cluster.log.bytes().len(), before, "nothing was appended");
    assert!(create(&handle, vec![with("m5", &assigned(vec![(1, vec![1]), (0, vec![1])]))]).await[0].is_ok());
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn partitions_and_configuration_are_refused_with_kafkas_errors() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    create(&handle, vec![topic("pp", 3)]).await;
    let more = |name: &str, count, assignments: Option<Vec<Vec<i32>>>| {
        let topics = vec![MorePartitions { name: name.to_owned(), count, assignments }];
        CreatePartitions { topics, validate_only: false }
    };
    let rows = [
        (
            more("pp", 2, None),
            Refusal::InvalidPartitions(
                "The topic pp currently has 3 partition(s); 2 would not be an increase.".into(),
            ),
        ),
        (more("pp", 3, None), Refusal::InvalidPartitions("Topic already has 3 partition(s).".into())),
        (more("nope", 3, None), Refusal::UnknownTopic),
        (
            more("pp", 6, Some(vec![vec![1]])),
            Refusal::InvalidReplicaAssignment(
                "Attempted to add 3 additional partition(s), but only 1 assignment(s) were specified.".into(),
            ),
        ),
    ];
    for (request, refusal) in rows {
        assert_eq!(handle.create_partitions(request).await.unwrap()[0].1, Err(refusal));
    }
    let alter = |resource: ConfigResource, key: &str, op, value: Option<&str>| {
        let ops = vec![(key.to_owned(), op, value.map(str::to_owned))];
        AlterConfigs { resources: vec![ResourceAlterations { resource, ops }], validate_only: false }
    };
    let pp = || ConfigResource::topic("pp");
    let rows = [
        (
            alter(ConfigResource::topic("nope"), "retention.ms", ConfigOp::Set, Some("1")),
            Refusal::UnknownTopicResource("nope".into()),
        ),
        (
            alter(ConfigResource::topic(""), "retention.ms", ConfigOp::Set, Some("1")),
            Refusal::InvalidRequest("Default topic resources are not allowed.".into()),
        ),
        (
            alter(pp(), "foo", ConfigOp::Set, Some("1")),
            Refusal::InvalidConfig("Unknown topic config name: foo".into()),
        ),
        (
            alter(pp(), "retention.ms", ConfigOp::Set, None),
            Refusal::InvalidRequest("Null value not supported for : retention.ms".into()),
        ),
        (
            alter(pp(), "retention.ms", ConfigOp::Append, Some("1")),
            Refusal::InvalidConfig("Can't APPEND to key retention.ms because its type is not LIST.".into()),
        ),
        (
            alter(ConfigResource::broker_default(), "min.insync.replicas", ConfigOp::Delete, None),
            Refusal::InvalidConfig(
                "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.".into(),
            ),
        ),
    ];
    for (request, refusal) in rows {
        assert_eq!(handle.incremental_alter_configs(request).await.unwrap()[0].1, Err(refusal));
    }
    let unknown = DeleteTopics {
        topics: vec![TopicSelector::Name("nope".to_owned()), TopicSelector::Id(TopicId::new([7; 16]))],
    };
    let answers = handle.delete_topics(unknown).await.unwrap();
    assert_eq!(answers[0].1.as_ref().unwrap_err(), &Refusal::UnknownTopic);
    assert_eq!(answers[1].1.as_ref().unwrap_err(), &Refusal::UnknownTopicId(TopicId::new([7; 16])));
    handle.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_change_that_does_not_become_durable_is_refused_and_not_seen() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    create(&handle, vec![topic("kept", 1)]).await;
    let appended = cluster.log.inner.lock().unwrap().batches.len();
    cluster.log.inner.lock().unwrap().fails_from = Some(appended);
    let request = CreateTopics { topics: vec![topic("lost", 1)], validate_only: false };
    let error = handle.create_topics(request.clone()).await.unwrap_err();
    assert!(matches!(error, ChangeError::Log(_)), "{error}");
    assert!(handle.image().topic("lost").is_none() && handle.image().topic("kept").is_some());
    // The disk has room again.
    cluster.log.inner.lock().unwrap().fails_from = None;
    assert!(handle.create_topics(request).await.unwrap()[0].1.is_ok());
    assert!(cluster.reloaded().topic("lost").is_some());
    handle.shutdown().await.unwrap();
    let after = handle.create_topics(CreateTopics::default()).await.unwrap_err();
    assert!(matches!(after, ChangeError::Stopped));
}

#[tokio::test]
async fn a_start_from_a_snapshot_makes_the_same_image_as_one_from_the_log() {
    let mut cluster = Cluster::new();
    cluster.policy =
        SnapshotPolicy { max_bytes: 4000, max_interval: Duration::ZERO, ..SnapshotPolicy::default() };
    let handle = cluster.start(None).unwrap();
    for n in 0..60 {
        create(&handle, vec![topic(&format!("t{n}"), 2)]).await;
    }
    handle.shutdown().await.unwrap();
    let dir = metadata_log_path(&cluster.dir.path().join("a"));
    let written = load::snapshots(&cluster.disk, &dir).unwrap();
    assert!(written.len() > 3);
    let with = load::load(&cluster.disk, &dir, &cluster.log, "c").unwrap();
    assert_eq!(with.snapshot, Some(written[0]));
    for id in &written {
        std::fs::remove_file(dir.join(id.file_name())).unwrap();
    }
    let without = load::load(&cluster.disk, &dir, &cluster.log, "c").unwrap();
    assert_eq!(with.image.to_records(), without.image.to_records());
    assert_eq!((with.quorum, with.image.provenance()), (without.quorum, without.image.provenance()));
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over_while_the_log_reaches_back() {
    let mut cluster = Cluster::new();
    cluster.policy =
        SnapshotPolicy { max_bytes: 2000, max_interval: Duration::ZERO, ..SnapshotPolicy::default() };
    let handle = cluster.start(None).unwrap();
    for n in 0..20 {
        create(&handle, vec![topic(&format!("t{n}"), 1)]).await;
    }
    handle.shutdown().await.unwrap();
    let dir = metadata_log_path(&cluster.dir.path().join("a"));
    let expected = cluster.reloaded().to_records();
    let latest = dir.join(load::snapshots(&cluster.disk, &dir).unwrap()[0].file_name());
    let mut bytes = std::fs::read(&latest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&latest, bytes).unwrap();
    assert_eq!(cluster.reloaded().to_records(), expected);
}

#[test]
fn kafkas_metadata_load_to_the_same_image_from_each_snapshot_and_from_the_log_alone() {
    let dir = corpus("stopped/__cluster_metadata-0");
    let log = MemoryLog::of_bytes(&std::fs::read(dir.join("00000000000000000000.log")).unwrap());
    let snapshots = load::snapshots(&disk(), &dir).unwrap();
    assert!(snapshots.len() > 2);
    let whole = load::load(&disk(), &dir, &log, "c").unwrap();
    assert_eq!((whole.snapshot, whole.open_transaction), (Some(snapshots[0]), false));
    let copies = tempfile::tempdir().unwrap();
    for keep in 0..=snapshots.len() {
        let copy = copies.path().join(keep.to_string());
        std::fs::create_dir(&copy).unwrap();
        for id in &snapshots[snapshots.len() - keep..] {
            std::fs::copy(dir.join(id.file_name()), copy.join(id.file_name())).unwrap();
        }
        let loaded = load::load(&disk(), &copy, &log, "c").unwrap();
        assert_eq!(loaded.image.to_records(), whole.image.to_records(), "{keep} snapshots");
        assert_eq!(loaded.quorum, whole.quorum);
    }
}

#[test]
fn a_transaction_without_its_end_does_not_count() {
    let records = |end: Vec<MetadataRecord>| {
        let level = |level| MetadataRecord::FeatureLevel { name: "metadata.version".into(), level };
        let mut all = vec![level(29), MetadataRecord::BeginTransaction { name: None }, level(30)];
        all.extend(end);
        all
    };
    let rows = [
        (vec![], 29, true),
        (vec![MetadataRecord::EndTransaction], 30, false),
        (vec![MetadataRecord::AbortTransaction { reason: None }], 29, false),
    ];
    for (end, level, open) in rows {
        let now = TimestampMs::new(0);
        let epoch = log_engine::types::LeaderEpoch::new(1);
        let version = super::MetadataVersion::LATEST;
        let bytes = super::batches::data_batch(&records(end), version, Offset::ZERO, epoch, now).unwrap();
        let loaded = load::load(&disk(), Path::new("/nowhere"), &MemoryLog::of_bytes(&bytes), "c").unwrap();
        assert_eq!((loaded.image.feature_level("metadata.version"), loaded.open_transaction), (level, open));
    }
}

#[test]
fn what_kafka_formatted_is_left_as_it_is_and_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("data");
    std::fs::create_dir(&at).unwrap();
    std::fs::copy(corpus("formatted/meta.properties"), at.join("meta.properties")).unwrap();
    let wanted = |node_id, cluster_id: Option<&str>| Format {
        log_dirs: vec![at.clone()],
        metadata_log_dir: at.clone(),
        node_id,
        cluster_id: cluster_id.map(str::to_owned),
        controller: ("CONTROLLER".into(), "localhost".into(), 9093),
    };
    let now = TimestampMs::new(0);
    let known = format::format(&disk(), &wanted(1, None), now).unwrap();
    assert!(!known.fresh);
    assert_eq!(std::fs::read_dir(&at).unwrap().count(), 1, "nothing was added");
    let other = format::format(&disk(), &wanted(1, Some("other")), now).unwrap_err();
    assert!(matches!(other, FormatError::OtherCluster { .. }), "{other}");
    let node = format::format(&disk(), &wanted(2, None), now).unwrap_err();
    assert!(matches!(node, FormatError::OtherNode { found: 1, expected: 2, .. }), "{node}");
}

#[test]
fn a_formatted_directory_holds_the_records_that_storage_tool_leaves() {
    let cluster = Cluster::new();
    let formatted = format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap();
    assert!(formatted.fresh);
    let ours = cluster.dir.path().join("a");
    let kafkas = corpus("formatted");
    // Times, ids, host and port differ.
    for name in ["bootstrap.checkpoint", "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint"] {
        let of = |dir: &Path| {
            let bytes = std::fs::read(dir.join(name)).unwrap();
            decode_batches(&bytes, 0).map(|batch| batch.unwrap().entries).collect::<Vec<_>>()
        };
        // The corpus was formatted with a user's credential, which a plain format has not.
        let plain =
            |entry: &Entry| !matches!(entry, Entry::Metadata(MetadataRecord::UserScramCredential { .. }));
        let names =
            |batch: &Vec<Entry>| batch.iter().filter(|entry| plain(entry)).map(name_of).collect::<Vec<_>>();
        let shapes = |dir: &Path| of(dir).iter().map(names).collect::<Vec<_>>();
        assert_eq!(shapes(&ours), shapes(&kafkas), "{name}");
        if name == "bootstrap.checkpoint" {
            let features =
                |dir: &Path| of(dir)[1].iter().filter(|entry| plain(entry)).cloned().collect::<Vec<_>>();
            assert_eq!(features(&ours), features(&kafkas));
        }
    }
    let again = format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap();
    assert_eq!((again.fresh, again.directories), (false, formatted.directories));
}

#[tokio::test]
async fn a_quorum_of_others_is_not_taken_over() {
    let cluster = Cluster::new();
    format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap();
    // Another directory's metadata: its voter has another directory id.
    let name = "__cluster_metadata-0/00000000000000000000-0000000000.checkpoint";
    std::fs::remove_file(cluster.dir.path().join("a").join(name)).unwrap();
    std::fs::copy(corpus("formatted").join(name), cluster.dir.path().join("a").join(name)).unwrap();
    let error = cluster.start(None).err().unwrap();
    assert!(matches!(error, StartError::Voters { .. }), "{error}");
    assert!(cluster.log.bytes().is_empty());
}

#[test]
fn a_lost_metadata_directory_is_not_formatted_anew() {
    let cluster = Cluster::new();
    format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap();
    std::fs::remove_dir_all(cluster.dir.path().join("a")).unwrap();
    let error = format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap_err();
    assert!(matches!(error, FormatError::MetadataLost { .. }), "{error}");
}

#[test]
fn directory_ids_differ() {
    let cluster = Cluster::new();
    let formatted = format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap();
    assert_ne!(formatted.directories[0].1, formatted.directories[1].1);
}

#[test]
fn a_directory_that_is_a_copy_of_another_is_refused_with_kafkas_sentence() {
    let cluster = Cluster::new();
    format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap();
    let (a, b) = (cluster.dir.path().join("a"), cluster.dir.path().join("b"));
    std::fs::copy(a.join("meta.properties"), b.join("meta.properties")).unwrap();
    let error = format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap_err();
    let FormatError::DuplicateId { id, .. } = &error else { panic!("{error}") };
    assert_eq!(
        error.to_string(),
        format!(
            "Duplicate directory ID {id} found. It was the ID of {}, but also of {}",
            a.display(),
            b.display()
        )
    );
}

#[test]
fn a_directory_that_another_process_formats_is_in_use_and_left_to_it() {
    let cluster = Cluster::new();
    let a = cluster.dir.path().join("a");
    std::fs::create_dir(&a).unwrap();
    let lock = cluster.disk.lock(&a.join(".lock")).unwrap();
    let error = format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap_err();
    assert!(matches!(&error, FormatError::InUse { dir } if *dir == a), "{error}");
    assert_eq!(std::fs::read_dir(&a).unwrap().count(), 1, "only the lock");
    drop(lock);
    assert!(format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap().fresh);
}

#[test]
fn a_directory_that_cannot_be_read_is_passed_over_unless_it_is_that_of_the_metadata() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.dir.path().join("a"), cluster.dir.path().join("b"));
    std::fs::write(&b, "a file in its place").unwrap();
    let formatted = format::format(&cluster.disk, &cluster.format(), cluster.clock.now()).unwrap();
    assert_eq!(formatted.directories.iter().map(|(dir, _)| dir).collect::<Vec<_>>(), [&a]);
    let metadata_in_b = Format { metadata_log_dir: b.clone(), ..cluster.format() };
    let error = format::format(&cluster.disk, &metadata_in_b, cluster.clock.now()).unwrap_err();
    assert!(error.to_string().starts_with(&b.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_start_goes_on_from_a_crash_behind_any_batch() {
    let cluster = Cluster::new();
    let handle = cluster.start(None).unwrap();
    create(&handle, vec![topic("a", 2)]).await;
    let epoch = handle.shutdown().await.unwrap();
    let handle = cluster.start(Some(epoch)).unwrap();
    create(&handle, vec![topic("b", 1)]).await;
    drop(handle);
    cluster.start(None).unwrap().shutdown().await.unwrap();
    let batches = cluster.log.inner.lock().unwrap().batches.clone();
    assert!(batches.len() >= 20);
    for len in 0..=batches.len() {
        cluster.log.inner.lock().unwrap().batches = batches[..len].to_vec();
        let handle = cluster.start(None).unwrap();
        let image = handle.image();
        assert_eq!(image.metadata_version().0, 30, "behind {len} batches");
        assert!(!image.broker(1).unwrap().fenced);
        for topic in image.topics() {
            assert!(topic.partitions.iter().all(|partition| partition.leader == 1), "behind {len} batches");
        }
        handle.shutdown().await.unwrap();
        let stopped = cluster.reloaded();
        assert!(
            stopped.topics().all(|topic| topic.partitions.iter().all(|partition| partition.leader == -1))
        );
    }
}

#[tokio::test]
async fn a_controller_that_listens_elsewhere_says_so_to_the_voters() {
    let mut cluster = Cluster::new();
    cluster.start(None).unwrap().shutdown().await.unwrap();
    let from = cluster.reloaded().provenance().end_offset.get();
    cluster.start(None).unwrap().shutdown().await.unwrap();
    assert!(!cluster.record_names(from).contains(&"Voters".to_owned()), "nothing has changed");
    let from = cluster.reloaded().provenance().end_offset.get();
    cluster.controller_port = 19093;
    cluster.start(None).unwrap().shutdown().await.unwrap();
    assert_eq!(cluster.record_names(from)[..3], ["LeaderChange", "KRaftVersion", "Voters"]);
    let dir = metadata_log_path(&cluster.dir.path().join("a"));
    let quorum = load::load(&cluster.disk, &dir, &cluster.log, "c").unwrap().quorum;
    assert_eq!(quorum.voters[0].endpoints[0].2, 19093);
}

#[tokio::test]
async fn records_of_a_newer_kafka_stay_in_the_log_and_keep_snapshots_away() {
    let mut cluster = Cluster::new();
    cluster.policy =
        SnapshotPolicy { max_bytes: 1, max_interval: Duration::ZERO, ..SnapshotPolicy::default() };
    let handle = cluster.start(None).unwrap();
    create(&handle, vec![topic("known", 1)]).await;
    handle.shutdown().await.unwrap();
    let mut builder = BatchBuilder::new(Compression::None)
        .base_offset(cluster.log.end_offset())
        .leader_epoch(LeaderEpoch::new(1));
    let value = [1, 99, 0, 1, 2, 3];
    builder
        .append(&NewRecord { timestamp: cluster.clock.now(), key: None, value: Some(&value), headers: &[] })
        .unwrap();
    cluster.log.inner.lock().unwrap().batches.push(builder.finish().unwrap());
    let dir = metadata_log_path(&cluster.dir.path().join("a"));
    let before = load::snapshots(&cluster.disk, &dir).unwrap();

    let handle = cluster.start(None).unwrap();
    create(&handle, vec![topic("later", 1)]).await;
    assert!(handle.image().topic("known").is_some() && handle.image().topic("later").is_some());
    handle.shutdown().await.unwrap();
    assert_eq!(load::snapshots(&cluster.disk, &dir).unwrap(), before);
    let bytes = cluster.log.bytes();
    let kept = decode_batches(&bytes, 0).flat_map(|batch| batch.unwrap().entries);
    assert_eq!(kept.filter(|entry| matches!(entry, Entry::Unknown(_))).count(), 1);
}

#[tokio::test]
async fn quotas_credentials_and_tokens_of_kafka_survive_into_a_snapshot_of_ours() {
    let dir = corpus("stopped/__cluster_metadata-0");
    let log = MemoryLog::of_bytes(&std::fs::read(dir.join("00000000000000000000.log")).unwrap());
    let image = load::load(&disk(), &dir, &log, "c").unwrap().image;
    let records = image.to_records();
    let has = |wanted: fn(&MetadataRecord) -> bool| assert!(records.iter().any(wanted));
    has(|record| matches!(record, MetadataRecord::Kept(_)));
    has(|record| matches!(record, MetadataRecord::ClientQuota { .. }));
    has(|record| matches!(record, MetadataRecord::UserScramCredential { .. }));
    let mut again = Image::empty("c");
    for record in &records {
        again.fold(record, &mut super::Delta::default()).unwrap();
    }
    assert_eq!(again.to_records(), records);
}
