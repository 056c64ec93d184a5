//! What a leader of one voter writes when it begins, when its broker comes up, and when it goes down.
//!
//! The records, and their order, are those that Apache Kafka 4.3 writes in the same cases (docs/metadata.md): a broker
//! that vanished is fenced before it registers again; fencing takes its partitions' leaders away, unfencing elects it
//! again, and each of the two is a new leader epoch. So an unclean start always begins a new epoch in every partition.

use std::sync::Arc;

use super::{
    codec::MetadataVersion,
    ids::{DirectoryId, IncarnationId},
    image::{ELR_VERSION, Image, METADATA_VERSION, PartitionImage, TopicImage},
    record::{
        BrokerRegistrationChange, ConfigResource, Endpoint, MetadataRecord, NO_LEADER, PartitionChange,
        RegisterBroker, RegisterController, SupportedFeature,
    },
};

/// `LeaderRecoveryState.RECOVERING`.
const RECOVERING: i8 = 1;

/// What this process says of itself when it registers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `node.id`, of broker and controller.
    pub node_id: i32,
    /// Where clients reach the broker.
    pub endpoints: Vec<Endpoint>,
    /// Where brokers reach the controller.
    pub controller_endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<Arc<str>>,
    /// The data directories that are online.
    pub log_dirs: Vec<DirectoryId>,
}

/// Levels of features that this build can work with: those of Kafka 4.3.
fn supported_features() -> Vec<SupportedFeature> {
    let levels = [
        ("group.version", 0, 1),
        ("kraft.version", 0, 1),
        (METADATA_VERSION, MetadataVersion::MIN.0, MetadataVersion::LATEST.0),
        ("share.version", 0, 1),
        ("streams.version", 0, 1),
        ("transaction.version", 0, 2),
        (ELR_VERSION, 0, 1),
    ];
    levels.map(|(name, min, max)| SupportedFeature { name: name.into(), min, max }).into()
}

/// The records with which a cluster begins: what `bootstrap.checkpoint` holds, as one metadata transaction.
pub(super) fn bootstrap(records: Vec<MetadataRecord>, min_insync_replicas: &str) -> Vec<MetadataRecord> {
    let level = |feature: &str| {
        records.iter().rev().find_map(|record| match record {
            MetadataRecord::FeatureLevel { name, level } if **name == *feature => Some(*level),
            _ => None,
        })
    };
    let version = level(METADATA_VERSION).map_or(MetadataVersion::MIN, MetadataVersion);
    let elr = level(ELR_VERSION).is_some_and(|level| level > 0);
    let in_transaction = version.has_transactions();
    let mut all = Vec::with_capacity(records.len() + 3);
    if in_transaction {
        all.push(MetadataRecord::BeginTransaction { name: Some("Bootstrap records".into()) });
    }
    all.extend(records);
    if elr {
        // Eligible leader replicas need one minimum for the whole cluster, from the first record on (KIP-966).
        all.push(MetadataRecord::Config {
            resource: ConfigResource::broker_default(),
            name: "min.insync.replicas".into(),
            value: Some(min_insync_replicas.into()),
        });
    }
    if in_transaction {
        all.push(MetadataRecord::EndTransaction);
    }
    all
}

/// What a new controller appends where the log ends within a metadata transaction.
pub(super) fn abort_transaction() -> Vec<MetadataRecord> {
    vec![MetadataRecord::AbortTransaction { reason: Some("the controller that began it is gone".into()) }]
}

/// The controller registers, where the cluster's version knows of that.
pub(super) fn register_controller(
    image: &Image,
    identity: &Identity,
    incarnation_id: IncarnationId,
) -> Vec<MetadataRecord> {
    if !image.metadata_version().has_controller_registration() {
        return Vec::new();
    }
    vec![MetadataRecord::RegisterController(RegisterController {
        controller_id: identity.node_id,
        incarnation_id,
        zk_migration_ready: false,
        endpoints: identity.controller_endpoints.clone(),
        features: supported_features(),
    })]
}

/// The run of the broker that the image still takes for alive is gone.
pub(super) fn fence(image: &Image, node_id: i32) -> Vec<MetadataRecord> {
    match image.broker(node_id) {
        Some(broker) if !broker.fenced => {
            let mut records = leave_partitions(image, node_id);
            records
                .push(registration_change(node_id, broker.broker_epoch, |change| change.fenced = Some(true)));
            records
        }
        _ => Vec::new(),
    }
}

/// A new run of the broker registers, fenced. `broker_epoch` is the offset at which these records will lie.
///
/// `previous_broker_epoch` is what the marker of a clean stop says. Where it is not the epoch of the registration in
/// the image, the broker may have lost records: it leaves the eligible leader replicas (KIP-966).
pub(super) fn register_broker(
    image: &Image,
    identity: &Identity,
    incarnation_id: IncarnationId,
    broker_epoch: i64,
    previous_broker_epoch: Option<i64>,
) -> Vec<MetadataRecord> {
    let node_id = identity.node_id;
    let known = image.broker(node_id).map(|broker| broker.broker_epoch);
    let mut records = Vec::new();
    if known.is_some() && known != previous_broker_epoch && image.has_elr() {
        records.extend(changes(image, |partition| {
            let elr = &partition.eligible_leader_replicas;
            elr.contains(&node_id).then(|| PartitionChange {
                eligible_leader_replicas: Some(without(elr, node_id)),
                ..nothing()
            })
        }));
    }
    let version = image.metadata_version();
    records.push(MetadataRecord::RegisterBroker(RegisterBroker {
        broker_id: node_id,
        incarnation_id,
        broker_epoch,
        endpoints: identity.endpoints.clone(),
        features: supported_features(),
        rack: identity.rack.clone(),
        fenced: true,
        in_controlled_shutdown: false,
        log_dirs: if version.has_directories() { identity.log_dirs.clone() } else { Vec::new() },
        cordoned_log_dirs: None,
    }));
    records
}

/// Data directories of the broker failed: their partitions lose it as if it were gone, and it is registered with those
/// that are left (Kafka's `ReplicationControlManager.handleDirectoriesOffline`, KIP-858).
pub(super) fn lose_directories(image: &Image, node_id: i32, failed: &[DirectoryId]) -> Vec<MetadataRecord> {
    let Some(broker) = image.broker(node_id) else { return Vec::new() };
    let (lost, left): (Vec<_>, Vec<_>) = broker.log_dirs.iter().partition(|id| failed.contains(id));
    if lost.is_empty() {
        return Vec::new();
    }
    let elr = image.has_elr();
    let lies_there =
        |partition: &PartitionImage| partition.directory_on(node_id).is_some_and(|id| lost.contains(&id));
    let mut records =
        changes(image, |partition| lies_there(partition).then(|| leave(partition, node_id, elr)).flatten());
    records.push(registration_change(node_id, broker.broker_epoch, |change| change.log_dirs = Some(left)));
    records
}

/// The broker has opened its logs: it is fit to lead.
pub(super) fn unfence(image: &Image, node_id: i32) -> Vec<MetadataRecord> {
    let Some(broker) = image.broker(node_id) else { return Vec::new() };
    let epoch = broker.broker_epoch;
    let mut records = Vec::new();
    if image.metadata_version().has_cordoned_directories() {
        let none = |change: &mut BrokerRegistrationChange| change.cordoned_log_dirs = Some(Vec::new());
        records.push(registration_change(node_id, epoch, none));
    }
    records.push(registration_change(node_id, epoch, |change| change.fenced = Some(false)));
    let directories = &broker.log_dirs;
    records.extend(changes(image, |partition| elect(partition, node_id, directories)));
    records
}

/// The image by which records are read while there is no room to write any of this: the broker serves under its new
/// addresses what it can reach, under the epochs that the log has. No new epoch is made up: one that is shown before it is
/// durable could be given out twice.
pub(super) fn readable(image: &Image, identity: &Identity, incarnation: IncarnationId) -> Image {
    let node_id = identity.node_id;
    let known = image.broker(node_id).map(|broker| broker.broker_epoch);
    let mut readable = image.clone();
    for record in register_broker(image, identity, incarnation, known.unwrap_or(-1), known) {
        if let MetadataRecord::RegisterBroker(broker) = record {
            let broker = RegisterBroker { fenced: false, ..broker };
            Arc::make_mut(&mut readable.brokers).insert(node_id, broker);
        }
    }
    let online = &identity.log_dirs;
    for topic in image.topics() {
        let mut topic = TopicImage::clone(topic);
        for partition in &mut topic.partitions {
            let reachable = partition.directory_on(node_id).is_some_and(|found| found.is_online(online));
            let leads =
                reachable && (partition.leader == node_id || elect(partition, node_id, online).is_some());
            Arc::make_mut(partition).leader = if leads { node_id } else { NO_LEADER };
        }
        readable.topics.insert(Arc::clone(&topic.name), Arc::new(topic));
    }
    readable
}

/// The broker stops on purpose: first it gives up what it leads.
pub(super) fn begin_controlled_shutdown(image: &Image, node_id: i32) -> Vec<MetadataRecord> {
    let Some(broker) = image.broker(node_id) else { return Vec::new() };
    let mut records = vec![registration_change(node_id, broker.broker_epoch, |change| {
        change.in_controlled_shutdown = true
    })];
    records.extend(leave_partitions(image, node_id));
    records
}

/// The broker has stopped.
pub(super) fn end_controlled_shutdown(image: &Image, node_id: i32) -> Vec<MetadataRecord> {
    fence(image, node_id)
}

fn leave_partitions(image: &Image, node_id: i32) -> Vec<MetadataRecord> {
    let elr = image.has_elr();
    changes(image, |partition| leave(partition, node_id, elr))
}

/// Without a replica that is gone. The last one in sync stays in the ISR, or, where that is kept, becomes an eligible
/// leader replica: either way only it can lead next.
fn leave(partition: &PartitionImage, node_id: i32, has_elr: bool) -> Option<PartitionChange> {
    let in_sync = partition.isr.contains(&node_id);
    let leads = partition.leader == node_id;
    if !in_sync && !leads {
        return None;
    }
    let isr = without(&partition.isr, node_id);
    let last = in_sync && isr.is_empty();
    let mut change = PartitionChange { leader: leads.then_some(NO_LEADER), ..nothing() };
    if last && has_elr {
        change.isr = Some(isr);
        change.eligible_leader_replicas = Some([node_id].into());
        change.last_known_elr = (*partition.last_known_elr != [node_id]).then(|| [node_id].into());
    } else if in_sync && !last {
        change.isr = Some(isr);
    }
    (change != nothing()).then_some(change)
}

/// Makes a replica that came up the leader, where none leads and it may. One whose data directory did not come up with
/// its broker may not: its records are there, and nowhere else (KIP-858).
fn elect(partition: &PartitionImage, node_id: i32, online: &[DirectoryId]) -> Option<PartitionChange> {
    let directory = partition.directory_on(node_id)?;
    if partition.leader != NO_LEADER || !directory.is_online(online) {
        return None;
    }
    let mut change = PartitionChange { leader: Some(node_id), ..nothing() };
    if partition.isr.contains(&node_id) {
        return Some(change);
    }
    let elr = &partition.eligible_leader_replicas;
    change.isr = Some([node_id].into());
    change.last_known_elr = (!partition.last_known_elr.is_empty()).then(Box::default);
    if elr.contains(&node_id) {
        change.eligible_leader_replicas = Some(without(elr, node_id));
        return Some(change);
    }
    // Nobody is known to have everything; the leader that was last comes nearest.
    let last_leader = partition.isr.is_empty() && elr.is_empty() && *partition.last_known_elr == [node_id];
    change.leader_recovery_state = (partition.leader_recovery_state != RECOVERING).then_some(RECOVERING);
    last_leader.then_some(change)
}

fn changes(
    image: &Image,
    decide: impl Fn(&PartitionImage) -> Option<PartitionChange>,
) -> Vec<MetadataRecord> {
    let mut topics: Vec<&Arc<TopicImage>> = image.topics().collect();
    topics.sort_unstable_by_key(|topic| topic.topic_id);
    let mut records = Vec::new();
    for topic in topics {
        records.extend(topic.partitions.iter().filter_map(|partition| {
            let change = decide(partition)?;
            Some(MetadataRecord::PartitionChange(PartitionChange {
                topic_id: topic.topic_id,
                partition: partition.partition,
                ..change
            }))
        }));
    }
    records
}

fn registration_change(
    broker_id: i32,
    broker_epoch: i64,
    change: impl FnOnce(&mut BrokerRegistrationChange),
) -> MetadataRecord {
    let mut record =
        BrokerRegistrationChange { broker_id, broker_epoch, ..BrokerRegistrationChange::default() };
    change(&mut record);
    MetadataRecord::BrokerRegistrationChange(record)
}

fn nothing() -> PartitionChange {
    PartitionChange::default()
}

fn without(ids: &[i32], id: i32) -> Box<[i32]> {
    ids.iter().copied().filter(|known| *known != id).collect()
}

impl Image {
    /// The level that says which records may be written.
    #[must_use]
    pub fn metadata_version(&self) -> MetadataVersion {
        MetadataVersion(self.feature_level(METADATA_VERSION))
    }

    fn has_elr(&self) -> bool {
        self.feature_level(ELR_VERSION) > 0
    }
}
