//! Between [`MetadataRecord`] and the bytes of a record's value in the metadata log.
//!
//! Which version of a record is written follows from the finalized `metadata.version`, as in Kafka's
//! `MetadataVersion`: a directory of an older cluster gets only records that its Kafka can read.

use std::{borrow::Cow, sync::Arc};

use log_engine::types::TopicId;
use wire::{
    DecodeError, EncodeError,
    primitives::{Reader, Uuid},
    records::{
        self as wire_records, broker_registration_change_record, client_quota_record, register_broker_record,
        register_controller_record,
    },
};

use super::{
    ids::{DirectoryId, IncarnationId},
    ops::in_kafkas_order,
    record::{
        BrokerRegistrationChange, ConfigResource, Endpoint, KeptKey, KeptRecord, MetadataRecord,
        PartitionChange, PartitionImage, PartitionRecord, QuotaEntity, RegisterBroker, RegisterController,
        ResourceKind, ScramCredential, SupportedFeature,
    },
};

/// The levels of `metadata.version` at which records changed.
mod level {
    /// 3.6-IV1.
    pub(super) const TRANSACTIONS: i16 = 13;
    /// 3.7-IV0.
    pub(super) const CONTROLLER_REGISTRATION: i16 = 15;
    /// 3.7-IV2.
    pub(super) const DIRECTORIES: i16 = 17;
    /// 4.0-IV1.
    pub(super) const ELR: i16 = 23;
    /// 4.3-IV0.
    pub(super) const CORDONED_DIRECTORIES: i16 = 30;
}

/// A finalized `metadata.version`, for what may be written under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetadataVersion(pub i16);

impl MetadataVersion {
    /// The lowest level of a KRaft cluster that Kafka 4 still reads: 3.3-IV3.
    pub const MIN: Self = Self(7);
    /// 4.3-IV0, at which directories are formatted.
    pub const LATEST: Self = Self(30);

    /// Whether `BeginTransactionRecord` and its like may be written.
    #[must_use]
    pub const fn has_transactions(self) -> bool {
        self.0 >= level::TRANSACTIONS
    }

    /// Whether controllers are registered.
    #[must_use]
    pub const fn has_controller_registration(self) -> bool {
        self.0 >= level::CONTROLLER_REGISTRATION
    }

    /// Whether partitions know the data directories of their replicas.
    #[must_use]
    pub const fn has_directories(self) -> bool {
        self.0 >= level::DIRECTORIES
    }

    /// Whether partitions may have eligible leader replicas.
    #[must_use]
    pub const fn has_elr(self) -> bool {
        self.0 >= level::ELR
    }

    /// Whether registrations tell of cordoned data directories.
    #[must_use]
    pub const fn has_cordoned_directories(self) -> bool {
        self.0 >= level::CORDONED_DIRECTORIES
    }

    const fn partition_record(self) -> i16 {
        if self.has_elr() {
            2
        } else if self.has_directories() {
            1
        } else {
            0
        }
    }

    const fn register_broker_record(self) -> i16 {
        match self.0 {
            ..=7 => 1,
            8..level::DIRECTORIES => 2,
            level::DIRECTORIES..level::CORDONED_DIRECTORIES => 3,
            _ => 4,
        }
    }
}

impl Default for MetadataVersion {
    fn default() -> Self {
        Self::LATEST
    }
}

/// Whether a failure means "a record of a Kafka newer than this build", which is kept and not folded.
pub(super) fn is_unknown(error: &DecodeError) -> bool {
    matches!(
        error,
        DecodeError::UnknownRecord { .. }
            | DecodeError::UnsupportedVersion { .. }
            | DecodeError::UnknownRecordFrame { .. }
    )
}

/// Reads the value of a record.
pub(super) fn decode(value: &[u8]) -> Result<MetadataRecord, DecodeError> {
    use wire_records::MetadataRecord as Wire;
    let (record, _) = Wire::decode(&mut Reader::new(value))?;
    let kept =
        |key, value: Option<&[u8]>| MetadataRecord::Kept(KeptRecord { key, value: value.map(Arc::from) });
    Ok(match record {
        Wire::RegisterBroker(r) => MetadataRecord::RegisterBroker(register_broker(r)),
        Wire::UnregisterBroker(r) => MetadataRecord::UnregisterBroker { broker_id: r.broker_id },
        Wire::Topic(r) => MetadataRecord::Topic { name: text(r.name), topic_id: topic_id(r.topic_id) },
        Wire::Partition(r) => MetadataRecord::Partition(partition(r)),
        Wire::Config(r) => MetadataRecord::Config {
            resource: ConfigResource { kind: ResourceKind(r.resource_type), name: text(r.resource_name) },
            name: text(r.name),
            value: r.value.map(text),
        },
        Wire::PartitionChange(r) => MetadataRecord::PartitionChange(partition_change(r)),
        Wire::FenceBroker(r) => MetadataRecord::BrokerRegistrationChange(fence(r.id, r.epoch, true)),
        Wire::UnfenceBroker(r) => MetadataRecord::BrokerRegistrationChange(fence(r.id, r.epoch, false)),
        Wire::RemoveTopic(r) => MetadataRecord::RemoveTopic { topic_id: topic_id(r.topic_id) },
        Wire::DelegationToken(r) => kept(KeptKey::DelegationToken(text(r.token_id)), Some(value)),
        Wire::RemoveDelegationToken(r) => kept(KeptKey::DelegationToken(text(r.token_id)), None),
        Wire::UserScramCredential(r) => MetadataRecord::UserScramCredential {
            user: text(r.name),
            mechanism: r.mechanism,
            credential: Some(ScramCredential {
                salt: Arc::from(&*r.salt),
                stored_key: Arc::from(&*r.stored_key),
                server_key: Arc::from(&*r.server_key),
                iterations: r.iterations,
            }),
        },
        Wire::RemoveUserScramCredential(r) => MetadataRecord::UserScramCredential {
            user: text(r.name),
            mechanism: r.mechanism,
            credential: None,
        },
        Wire::FeatureLevel(r) => MetadataRecord::FeatureLevel { name: text(r.name), level: r.feature_level },
        Wire::ClientQuota(r) => MetadataRecord::ClientQuota {
            entity: r
                .entity
                .into_iter()
                .map(|part| (text(part.entity_type), part.entity_name.map(text)))
                .collect(),
            key: text(r.key),
            value: (!r.remove).then_some(r.value),
        },
        Wire::ProducerIds(r) => MetadataRecord::ProducerIds {
            broker_id: r.broker_id,
            broker_epoch: r.broker_epoch,
            next_producer_id: r.next_producer_id,
        },
        Wire::BrokerRegistrationChange(r) => {
            MetadataRecord::BrokerRegistrationChange(broker_registration_change(r))
        }
        Wire::AccessControlEntry(r) => kept(KeptKey::AccessControlEntry(r.id.0), Some(value)),
        Wire::RemoveAccessControlEntry(r) => kept(KeptKey::AccessControlEntry(r.id.0), None),
        // The migration away from ZooKeeper is over in every cluster that Kafka 4 reads.
        Wire::NoOp(_) | Wire::ZkMigrationState(_) => MetadataRecord::NoOp,
        Wire::BeginTransaction(r) => MetadataRecord::BeginTransaction { name: r.name.map(text) },
        Wire::EndTransaction(_) => MetadataRecord::EndTransaction,
        Wire::AbortTransaction(r) => MetadataRecord::AbortTransaction { reason: r.reason.map(text) },
        Wire::RegisterController(r) => MetadataRecord::RegisterController(register_controller(r)),
        Wire::ClearElr(r) => MetadataRecord::ClearElr { topic_name: text(r.topic_name) },
        // `wire` may learn further records before this does.
        _ => return Err(DecodeError::UnknownRecord { key: u32::MAX }),
    })
}

/// Writes the value of a record.
pub(super) fn encode(record: &MetadataRecord, version: MetadataVersion) -> Result<Vec<u8>, EncodeError> {
    use wire_records::MetadataRecord as Wire;
    let (wire, at): (Wire<'_>, i16) = match record {
        MetadataRecord::RegisterBroker(r) => {
            (Wire::RegisterBroker(wire_register_broker(r, version)), version.register_broker_record())
        }
        MetadataRecord::UnregisterBroker { broker_id } => (
            Wire::UnregisterBroker(wire_records::UnregisterBrokerRecord {
                broker_id: *broker_id,
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::BrokerRegistrationChange(r) => {
            let wire = wire_registration_change(r);
            let at = registration_change_version(r);
            (Wire::BrokerRegistrationChange(wire), at)
        }
        MetadataRecord::RegisterController(r) => (Wire::RegisterController(wire_register_controller(r)), 0),
        MetadataRecord::Topic { name, topic_id } => (
            Wire::Topic(wire_records::TopicRecord {
                name: Cow::Borrowed(name),
                topic_id: Uuid(topic_id.get()),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::RemoveTopic { topic_id } => (
            Wire::RemoveTopic(wire_records::RemoveTopicRecord {
                topic_id: Uuid(topic_id.get()),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::Partition(r) => {
            (Wire::Partition(wire_partition(r, version)), version.partition_record())
        }
        MetadataRecord::PartitionChange(r) => {
            (Wire::PartitionChange(wire_partition_change(r, version)), version.partition_record())
        }
        MetadataRecord::ClearElr { topic_name } => (
            Wire::ClearElr(wire_records::ClearElrRecord {
                topic_name: Cow::Borrowed(topic_name),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::Config { resource, name, value } => (
            Wire::Config(wire_records::ConfigRecord {
                resource_type: resource.kind.0,
                resource_name: Cow::Borrowed(&resource.name),
                name: Cow::Borrowed(name),
                value: value.as_deref().map(Cow::Borrowed),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::FeatureLevel { name, level } => (
            Wire::FeatureLevel(wire_records::FeatureLevelRecord {
                name: Cow::Borrowed(name),
                feature_level: *level,
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id } => (
            Wire::ProducerIds(wire_records::ProducerIdsRecord {
                broker_id: *broker_id,
                broker_epoch: *broker_epoch,
                next_producer_id: *next_producer_id,
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::ClientQuota { entity, key, value } => {
            (Wire::ClientQuota(wire_client_quota(entity, key, *value)), 0)
        }
        MetadataRecord::UserScramCredential { user, mechanism, credential: Some(credential) } => (
            Wire::UserScramCredential(wire_records::UserScramCredentialRecord {
                name: Cow::Borrowed(user),
                mechanism: *mechanism,
                salt: Cow::Borrowed(&credential.salt),
                stored_key: Cow::Borrowed(&credential.stored_key),
                server_key: Cow::Borrowed(&credential.server_key),
                iterations: credential.iterations,
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::UserScramCredential { user, mechanism, credential: None } => (
            Wire::RemoveUserScramCredential(wire_records::RemoveUserScramCredentialRecord {
                name: Cow::Borrowed(user),
                mechanism: *mechanism,
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::BeginTransaction { name } => (
            Wire::BeginTransaction(wire_records::BeginTransactionRecord {
                name: name.as_deref().map(Cow::Borrowed),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::EndTransaction => (Wire::EndTransaction(Default::default()), 0),
        MetadataRecord::AbortTransaction { reason } => (
            Wire::AbortTransaction(wire_records::AbortTransactionRecord {
                reason: reason.as_deref().map(Cow::Borrowed),
                ..Default::default()
            }),
            0,
        ),
        MetadataRecord::NoOp => (Wire::NoOp(Default::default()), 0),
        MetadataRecord::Kept(KeptRecord { value: Some(bytes), .. }) => return Ok(bytes.to_vec()),
        // Nothing here takes a kept thing away: those operations do not exist yet.
        MetadataRecord::Kept(KeptRecord { value: None, .. }) => {
            return Err(EncodeError::Null { field: "Value" });
        }
    };
    wire.to_bytes(at)
}

/// A quota that is removed has the value that nothing else was written into: 0, as in Kafka.
fn wire_client_quota<'a>(
    entity: &'a QuotaEntity,
    key: &'a str,
    value: Option<f64>,
) -> wire_records::ClientQuotaRecord<'a> {
    let part = |(kind, name): (&'a Arc<str>, &'a Option<Arc<str>>)| client_quota_record::EntityData {
        entity_type: Cow::Borrowed(&**kind),
        entity_name: name.as_deref().map(Cow::Borrowed),
        ..Default::default()
    };
    wire_records::ClientQuotaRecord {
        entity: in_kafkas_order(entity).map(part).collect(),
        key: Cow::Borrowed(key),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
        ..Default::default()
    }
}

fn text(text: Cow<'_, str>) -> Arc<str> {
    Arc::from(&*text)
}

fn topic_id(id: Uuid) -> TopicId {
    TopicId::new(id.0)
}

fn directories(ids: Vec<Uuid>) -> impl Iterator<Item = DirectoryId> {
    ids.into_iter().map(|id| DirectoryId::new(id.0))
}

fn uuids(ids: &[DirectoryId]) -> Vec<Uuid> {
    ids.iter().map(|id| Uuid(id.get())).collect()
}

fn fence(broker_id: i32, broker_epoch: i64, fenced: bool) -> BrokerRegistrationChange {
    BrokerRegistrationChange {
        broker_id,
        broker_epoch,
        fenced: Some(fenced),
        ..BrokerRegistrationChange::default()
    }
}

fn register_broker(r: wire_records::RegisterBrokerRecord<'_>) -> RegisterBroker {
    let endpoint = |e: register_broker_record::BrokerEndpoint<'_>| Endpoint {
        name: text(e.name),
        host: text(e.host),
        port: e.port,
        security_protocol: e.security_protocol,
    };
    let feature = |f: register_broker_record::BrokerFeature<'_>| SupportedFeature {
        name: text(f.name),
        min: f.min_supported_version,
        max: f.max_supported_version,
    };
    RegisterBroker {
        broker_id: r.broker_id,
        incarnation_id: IncarnationId::new(r.incarnation_id.0),
        broker_epoch: r.broker_epoch,
        endpoints: r.end_points.into_iter().map(endpoint).collect(),
        features: r.features.into_iter().map(feature).collect(),
        rack: r.rack.map(text),
        fenced: r.fenced,
        in_controlled_shutdown: r.in_controlled_shutdown,
        log_dirs: directories(r.log_dirs).collect(),
        cordoned_log_dirs: r.cordoned_log_dirs.map(|ids| directories(ids).collect()),
    }
}

fn wire_register_broker(
    r: &RegisterBroker,
    version: MetadataVersion,
) -> wire_records::RegisterBrokerRecord<'_> {
    let endpoints = r.endpoints.iter().map(|e| register_broker_record::BrokerEndpoint {
        name: Cow::Borrowed(&*e.name),
        host: Cow::Borrowed(&*e.host),
        port: e.port,
        security_protocol: e.security_protocol,
        ..Default::default()
    });
    let features = r.features.iter().map(|f| register_broker_record::BrokerFeature {
        name: Cow::Borrowed(&*f.name),
        min_supported_version: f.min,
        max_supported_version: f.max,
        ..Default::default()
    });
    wire_records::RegisterBrokerRecord {
        broker_id: r.broker_id,
        incarnation_id: Uuid(r.incarnation_id.get()),
        broker_epoch: r.broker_epoch,
        end_points: endpoints.collect(),
        features: features.collect(),
        rack: r.rack.as_deref().map(Cow::Borrowed),
        fenced: r.fenced,
        in_controlled_shutdown: r.in_controlled_shutdown,
        log_dirs: if version.has_directories() { uuids(&r.log_dirs) } else { Vec::new() },
        cordoned_log_dirs: r
            .cordoned_log_dirs
            .as_deref()
            .filter(|_| version.has_cordoned_directories())
            .map(uuids),
        ..Default::default()
    }
}

fn register_controller(r: wire_records::RegisterControllerRecord<'_>) -> RegisterController {
    let endpoint = |e: register_controller_record::ControllerEndpoint<'_>| Endpoint {
        name: text(e.name),
        host: text(e.host),
        port: e.port,
        security_protocol: e.security_protocol,
    };
    let feature = |f: register_controller_record::ControllerFeature<'_>| SupportedFeature {
        name: text(f.name),
        min: f.min_supported_version,
        max: f.max_supported_version,
    };
    RegisterController {
        controller_id: r.controller_id,
        incarnation_id: IncarnationId::new(r.incarnation_id.0),
        zk_migration_ready: r.zk_migration_ready,
        endpoints: r.end_points.into_iter().map(endpoint).collect(),
        features: r.features.into_iter().map(feature).collect(),
    }
}

fn wire_register_controller(r: &RegisterController) -> wire_records::RegisterControllerRecord<'_> {
    let endpoints = r.endpoints.iter().map(|e| register_controller_record::ControllerEndpoint {
        name: Cow::Borrowed(&*e.name),
        host: Cow::Borrowed(&*e.host),
        port: e.port,
        security_protocol: e.security_protocol,
        ..Default::default()
    });
    let features = r.features.iter().map(|f| register_controller_record::ControllerFeature {
        name: Cow::Borrowed(&*f.name),
        min_supported_version: f.min,
        max_supported_version: f.max,
        ..Default::default()
    });
    wire_records::RegisterControllerRecord {
        controller_id: r.controller_id,
        incarnation_id: Uuid(r.incarnation_id.get()),
        zk_migration_ready: r.zk_migration_ready,
        end_points: endpoints.collect(),
        features: features.collect(),
        ..Default::default()
    }
}

fn broker_registration_change(
    r: wire_records::BrokerRegistrationChangeRecord<'_>,
) -> BrokerRegistrationChange {
    BrokerRegistrationChange {
        broker_id: r.broker_id,
        broker_epoch: r.broker_epoch,
        fenced: match r.fenced {
            0 => None,
            change => Some(change > 0),
        },
        in_controlled_shutdown: r.in_controlled_shutdown == 1,
        log_dirs: (!r.log_dirs.is_empty()).then(|| directories(r.log_dirs).collect()),
        cordoned_log_dirs: r.cordoned_log_dirs.map(|ids| directories(ids).collect()),
    }
}

fn wire_registration_change(
    r: &BrokerRegistrationChange,
) -> broker_registration_change_record::BrokerRegistrationChangeRecord<'_> {
    wire_records::BrokerRegistrationChangeRecord {
        broker_id: r.broker_id,
        broker_epoch: r.broker_epoch,
        fenced: match r.fenced {
            None => 0,
            Some(false) => -1,
            Some(true) => 1,
        },
        in_controlled_shutdown: i8::from(r.in_controlled_shutdown),
        log_dirs: r.log_dirs.as_deref().map(uuids).unwrap_or_default(),
        cordoned_log_dirs: r.cordoned_log_dirs.as_deref().map(uuids),
        ..Default::default()
    }
}

/// The lowest version that has what changes, as Kafka writes it.
fn registration_change_version(r: &BrokerRegistrationChange) -> i16 {
    if r.cordoned_log_dirs.is_some() {
        3
    } else if r.log_dirs.is_some() {
        2
    } else {
        i16::from(r.in_controlled_shutdown)
    }
}

fn partition(r: wire_records::PartitionRecord<'_>) -> PartitionRecord {
    // Before directories had ids, a replica lay where the broker had it.
    let directories: Box<[DirectoryId]> = match r.directories.len() {
        0 => vec![DirectoryId::MIGRATING; r.replicas.len()].into(),
        _ => directories(r.directories).collect(),
    };
    PartitionRecord {
        topic_id: topic_id(r.topic_id),
        partition: PartitionImage {
            partition: r.partition_id,
            replicas: r.replicas.into(),
            directories,
            isr: r.isr.into(),
            removing_replicas: r.removing_replicas.into(),
            adding_replicas: r.adding_replicas.into(),
            eligible_leader_replicas: r.eligible_leader_replicas.unwrap_or_default().into(),
            last_known_elr: r.last_known_elr.unwrap_or_default().into(),
            leader: r.leader,
            leader_recovery_state: r.leader_recovery_state,
            leader_epoch: r.leader_epoch,
            partition_epoch: r.partition_epoch,
        },
    }
}

fn wire_partition(r: &PartitionRecord, version: MetadataVersion) -> wire_records::PartitionRecord<'_> {
    let partition = &r.partition;
    let elr = |ids: &[i32]| (version.has_elr() && !ids.is_empty()).then(|| ids.to_vec());
    wire_records::PartitionRecord {
        partition_id: partition.partition,
        topic_id: Uuid(r.topic_id.get()),
        replicas: partition.replicas.to_vec(),
        isr: partition.isr.to_vec(),
        removing_replicas: partition.removing_replicas.to_vec(),
        adding_replicas: partition.adding_replicas.to_vec(),
        leader: partition.leader,
        leader_recovery_state: partition.leader_recovery_state,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        directories: if version.has_directories() { uuids(&partition.directories) } else { Vec::new() },
        eligible_leader_replicas: elr(&partition.eligible_leader_replicas),
        last_known_elr: elr(&partition.last_known_elr),
        ..Default::default()
    }
}

/// In a change the leader -2 and the recovery state -1 mean "as before".
const NO_LEADER_CHANGE: i32 = -2;
const NO_RECOVERY_CHANGE: i8 = -1;

fn partition_change(r: wire_records::PartitionChangeRecord<'_>) -> PartitionChange {
    let ids = |ids: Option<Vec<i32>>| ids.map(Vec::into_boxed_slice);
    PartitionChange {
        topic_id: topic_id(r.topic_id),
        partition: r.partition_id,
        isr: ids(r.isr),
        leader: (r.leader != NO_LEADER_CHANGE).then_some(r.leader),
        replicas: ids(r.replicas),
        removing_replicas: ids(r.removing_replicas),
        adding_replicas: ids(r.adding_replicas),
        leader_recovery_state: (r.leader_recovery_state != NO_RECOVERY_CHANGE)
            .then_some(r.leader_recovery_state),
        directories: r.directories.map(|found| directories(found).collect()),
        eligible_leader_replicas: ids(r.eligible_leader_replicas),
        last_known_elr: ids(r.last_known_elr),
    }
}

fn wire_partition_change(
    r: &PartitionChange,
    version: MetadataVersion,
) -> wire_records::PartitionChangeRecord<'_> {
    let ids = |ids: &Option<Box<[i32]>>| ids.as_deref().map(<[i32]>::to_vec);
    let elr = |change: &Option<Box<[i32]>>| ids(change).filter(|_| version.has_elr());
    wire_records::PartitionChangeRecord {
        partition_id: r.partition,
        topic_id: Uuid(r.topic_id.get()),
        isr: ids(&r.isr),
        leader: r.leader.unwrap_or(NO_LEADER_CHANGE),
        replicas: ids(&r.replicas),
        removing_replicas: ids(&r.removing_replicas),
        adding_replicas: ids(&r.adding_replicas),
        leader_recovery_state: r.leader_recovery_state.unwrap_or(NO_RECOVERY_CHANGE),
        directories: r.directories.as_deref().filter(|_| version.has_directories()).map(uuids),
        eligible_leader_replicas: elr(&r.eligible_leader_replicas),
        last_known_elr: elr(&r.last_known_elr),
        ..Default::default()
    }
}
