//! The metadata records that klamm understands, owned and without their encoding.
//!
//! One enum, so that decisions give records, the log carries them and the image folds them, all in the same words.
//! How they are laid out in bytes is in `codec`. Records that only have to survive (ACLs, delegation tokens) are kept as their bytes under the key that makes two of them the same thing.

use std::{collections::BTreeMap, fmt, sync::Arc};

use log_engine::types::TopicId;

use super::ids::{DirectoryId, IncarnationId};

/// No leader: the partition is offline.
pub const NO_LEADER: i32 = -1;

/// One record of the metadata log.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataRecord {
    /// A broker came up under a new epoch.
    RegisterBroker(RegisterBroker),
    /// A broker was removed for good.
    UnregisterBroker {
        /// Its node id.
        broker_id: i32,
    },
    /// A broker's registration changed in part.
    BrokerRegistrationChange(BrokerRegistrationChange),
    /// A controller came up.
    RegisterController(RegisterController),
    /// A topic was created.
    Topic {
        /// Its name.
        name: Arc<str>,
        /// Its id.
        topic_id: TopicId,
    },
    /// A topic was deleted, with its partitions and its configuration.
    RemoveTopic {
        /// Its id.
        topic_id: TopicId,
    },
    /// A partition was created, or stands in a snapshot.
    Partition(PartitionRecord),
    /// A partition changed in part.
    PartitionChange(PartitionChange),
    /// The eligible leader replicas of one topic, or of all, were forgotten.
    ClearElr {
        /// The topic; all where empty.
        topic_name: Arc<str>,
    },
    /// A configuration key was set or, without a value, removed.
    Config {
        /// What is configured.
        resource: ConfigResource,
        /// The key.
        name: Arc<str>,
        /// Its new value.
        value: Option<Arc<str>>,
    },
    /// A feature was finalized at a level; 0 removes it.
    FeatureLevel {
        /// The feature.
        name: Arc<str>,
        /// Its level.
        level: i16,
    },
    /// A block of producer ids was handed out.
    ProducerIds {
        /// To which broker; -1 in snapshots.
        broker_id: i32,
        /// In which registration of it; -1 in snapshots.
        broker_epoch: i64,
        /// First id that is not handed out.
        next_producer_id: i64,
    },
    /// A quota of clients was set or, without a value, removed.
    ClientQuota {
        /// Whose.
        entity: QuotaEntity,
        /// The key.
        key: Arc<str>,
        /// Its new value.
        value: Option<f64>,
    },
    /// A credential was stored or, without one, removed.
    UserScramCredential {
        /// Whose.
        user: Arc<str>,
        /// Kafka's number of the mechanism.
        mechanism: i8,
        /// What is stored.
        credential: Option<ScramCredential>,
    },
    /// What follows counts only once the transaction ends (KIP-868).
    BeginTransaction {
        /// What the transaction is for.
        name: Option<Arc<str>>,
    },
    /// What came since the transaction's begin counts.
    EndTransaction,
    /// What came since the transaction's begin does not count.
    AbortTransaction {
        /// Why.
        reason: Option<Arc<str>>,
    },
    /// Nothing; Kafka writes it so that followers see progress.
    NoOp,
    /// A record whose meaning klamm does not need yet.
    Kept(KeptRecord),
}

/// What a broker says of itself when it comes up.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterBroker {
    /// Its node id.
    pub broker_id: i32,
    /// This run of its process.
    pub incarnation_id: IncarnationId,
    /// The epoch under which its requests count: the offset at which its registration was begun.
    pub broker_epoch: i64,
    /// Where clients reach it.
    pub endpoints: Vec<Endpoint>,
    /// Levels of features that its code can work with.
    pub features: Vec<SupportedFeature>,
    /// Its rack.
    pub rack: Option<Arc<str>>,
    /// Not (yet) fit to lead.
    pub fenced: bool,
    /// On its way down.
    pub in_controlled_shutdown: bool,
    /// Its data directories.
    pub log_dirs: Vec<DirectoryId>,
    /// Data directories that take no new partitions; known since metadata.version 4.3.
    pub cordoned_log_dirs: Option<Vec<DirectoryId>>,
}

/// What changes in a registration; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerRegistrationChange {
    /// The node id.
    pub broker_id: i32,
    /// The registration that is meant.
    pub broker_epoch: i64,
    /// Fenced or unfenced.
    pub fenced: Option<bool>,
    /// In controlled shutdown; never taken back.
    pub in_controlled_shutdown: bool,
    /// Its data directories.
    pub log_dirs: Option<Vec<DirectoryId>>,
    /// Data directories that take no new partitions.
    pub cordoned_log_dirs: Option<Vec<DirectoryId>>,
}

/// What a controller says of itself when it comes up.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterController {
    /// Its node id.
    pub controller_id: i32,
    /// This run of its process.
    pub incarnation_id: IncarnationId,
    /// Left from the migration away from ZooKeeper.
    pub zk_migration_ready: bool,
    /// Where brokers reach it.
    pub endpoints: Vec<Endpoint>,
    /// Levels of features that its code can work with.
    pub features: Vec<SupportedFeature>,
}

/// A listener as it is advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener.
    pub name: Arc<str>,
    /// Host to connect to.
    pub host: Arc<str>,
    /// Port to connect to.
    pub port: u16,
    /// Kafka's number of the security protocol; 0 is plain text.
    pub security_protocol: i16,
}

/// The levels of one feature that a process can work with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportedFeature {
    /// The feature.
    pub name: Arc<str>,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// A whole partition.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionRecord {
    /// Its topic.
    pub topic_id: TopicId,
    /// Its number and state.
    pub partition: PartitionImage,
}

/// The state of a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionImage {
    /// Its number.
    pub partition: i32,
    /// Brokers that hold it, the preferred leader first.
    pub replicas: Box<[i32]>,
    /// For each replica the data directory it lies in.
    pub directories: Box<[DirectoryId]>,
    /// Replicas in sync with the leader.
    pub isr: Box<[i32]>,
    /// Replicas about to be removed by a reassignment.
    pub removing_replicas: Box<[i32]>,
    /// Replicas about to be added by a reassignment.
    pub adding_replicas: Box<[i32]>,
    /// Replicas outside the ISR that hold everything below the high watermark (KIP-966).
    pub eligible_leader_replicas: Box<[i32]>,
    /// The leader that was last, where ISR and eligible leader replicas are empty.
    pub last_known_elr: Box<[i32]>,
    /// Broker that leads it, or [`NO_LEADER`].
    pub leader: i32,
    /// 1 after an unclean election that the leader has not yet recovered from.
    pub leader_recovery_state: i8,
    /// Grows with each change of the leader.
    pub leader_epoch: i32,
    /// Grows with each change of any kind.
    pub partition_epoch: i32,
}

/// What changes in a partition; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionChange {
    /// Its topic.
    pub topic_id: TopicId,
    /// Its number.
    pub partition: i32,
    /// Replicas in sync.
    pub isr: Option<Box<[i32]>>,
    /// The leader; also where it stays the same broker, its epoch grows.
    pub leader: Option<i32>,
    /// The replicas.
    pub replicas: Option<Box<[i32]>>,
    /// Replicas about to be removed.
    pub removing_replicas: Option<Box<[i32]>>,
    /// Replicas about to be added.
    pub adding_replicas: Option<Box<[i32]>>,
    /// Whether the leader recovers from an unclean election.
    pub leader_recovery_state: Option<i8>,
    /// Data directories of the replicas.
    pub directories: Option<Box<[DirectoryId]>>,
    /// Eligible leader replicas.
    pub eligible_leader_replicas: Option<Box<[i32]>>,
    /// Leader that was last.
    pub last_known_elr: Option<Box<[i32]>>,
}

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Kafka's number of its type.
    pub kind: ResourceKind,
    /// Its name; the empty name of a broker is the default of all brokers.
    pub name: Arc<str>,
}

/// Types of resources, as in Kafka's `ConfigResource.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKind(pub i8);

impl ResourceKind {
    /// A topic.
    pub const TOPIC: Self = Self(2);
    /// A broker.
    pub const BROKER: Self = Self(4);
    /// A logger of a broker.
    pub const BROKER_LOGGER: Self = Self(8);
    /// A subscription to metrics of clients.
    pub const CLIENT_METRICS: Self = Self(16);
    /// A group.
    pub const GROUP: Self = Self(32);
}

impl ConfigResource {
    /// The configuration of a topic.
    #[must_use]
    pub fn topic(name: impl Into<Arc<str>>) -> Self {
        Self { kind: ResourceKind::TOPIC, name: name.into() }
    }

    /// The configuration of one broker.
    #[must_use]
    pub fn broker(id: i32) -> Self {
        Self { kind: ResourceKind::BROKER, name: id.to_string().into() }
    }

    /// What holds for each broker that has no value of its own.
    #[must_use]
    pub fn broker_default() -> Self {
        Self { kind: ResourceKind::BROKER, name: "".into() }
    }
}

/// Whom a quota is for: types, and names where it is not for all that have none of their own.
pub type QuotaEntity = BTreeMap<Arc<str>, Option<Arc<str>>>;

/// What a broker must know to check a user's password, which does not tell the password (RFC 5802).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// Salt of the password.
    pub salt: Arc<[u8]>,
    /// Hash of the client's key.
    pub stored_key: Arc<[u8]>,
    /// The server's key.
    pub server_key: Arc<[u8]>,
    /// How often the password was hashed.
    pub iterations: i32,
}

/// Keys do not belong into logs.
impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// A record whose bytes are carried along.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRecord {
    /// Two records with the same key are about the same thing, the later one counts.
    pub key: KeptKey,
    /// The record's value as it stands in the log; `None` takes the thing away.
    pub value: Option<Arc<[u8]>>,
}

/// What a kept record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeptKey {
    /// A delegation token, by its id.
    DelegationToken(Arc<str>),
    /// An access control entry, by its id.
    AccessControlEntry([u8; 16]),
}
