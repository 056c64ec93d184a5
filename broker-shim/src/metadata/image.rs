//! The metadata as it stands after some record of the log: what requests read, without a lock.
//!
//! An image never changes; a change makes a new one that shares what stayed the same. Names, ids and partitions of
//! topics, configuration, brokers and features are reached from here; what they mean for a request is the caller's.

use std::{collections::BTreeMap, sync::Arc};

use log_engine::types::{LeaderEpoch, Offset, TimestampMs, TopicId};

use super::{
    ids::DirectoryId,
    record::{ConfigResource, KeptKey, QuotaEntity, RegisterBroker, RegisterController, ScramCredential},
    shared_map::SharedMap,
};

pub use super::record::PartitionImage;

/// The values of one resource's configuration.
pub type ConfigValues = BTreeMap<Arc<str>, Arc<str>>;

/// The quotas of one entity.
pub type QuotaValues = BTreeMap<Arc<str>, f64>;

/// The feature whose level says which records, in which versions, may be written.
pub const METADATA_VERSION: &str = "metadata.version";
/// The feature that keeps eligible leader replicas (KIP-966).
pub const ELR_VERSION: &str = "eligible.leader.replicas.version";

/// See the module.
#[derive(Clone, Debug)]
pub struct Image {
    pub(super) cluster_id: Arc<str>,
    pub(super) provenance: Provenance,
    pub(super) features: Arc<BTreeMap<Arc<str>, i16>>,
    pub(super) brokers: Arc<BTreeMap<i32, BrokerImage>>,
    pub(super) controllers: Arc<BTreeMap<i32, RegisterController>>,
    pub(super) topics: SharedMap<Arc<str>, Arc<TopicImage>>,
    pub(super) names: SharedMap<TopicId, Arc<str>>,
    pub(super) configs: SharedMap<ConfigResource, Arc<ConfigValues>>,
    pub(super) next_producer_id: i64,
    pub(super) client_quotas: Arc<BTreeMap<QuotaEntity, QuotaValues>>,
    pub(super) scram_credentials: Arc<BTreeMap<Arc<str>, BTreeMap<i8, ScramCredential>>>,
    pub(super) kept: Arc<BTreeMap<KeptKey, Arc<[u8]>>>,
}

/// Up to which record an image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// First offset that is not in the image.
    pub end_offset: Offset,
    /// Leader epoch of the last batch in it.
    pub epoch: LeaderEpoch,
    /// Time of the last batch in it.
    pub timestamp: TimestampMs,
}

/// A topic and its partitions.
#[derive(Clone, Debug)]
pub struct TopicImage {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub topic_id: TopicId,
    /// Its partitions, in the order of their numbers.
    pub partitions: Vec<Arc<PartitionImage>>,
}

/// A registered broker. Its flags are those of now, not of the time of its registration.
pub type BrokerImage = RegisterBroker;

impl Image {
    /// The image before the first record.
    #[must_use]
    pub fn empty(cluster_id: impl Into<Arc<str>>) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            provenance: Provenance {
                end_offset: Offset::ZERO,
                epoch: LeaderEpoch::new(0),
                timestamp: TimestampMs::new(0),
            },
            features: Arc::default(),
            brokers: Arc::default(),
            controllers: Arc::default(),
            topics: SharedMap::default(),
            names: SharedMap::default(),
            configs: SharedMap::default(),
            next_producer_id: 0,
            client_quotas: Arc::default(),
            scram_credentials: Arc::default(),
            kept: Arc::default(),
        }
    }

    /// Id of the cluster.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Up to which record the image goes.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        self.provenance
    }

    /// The topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    /// The topic of this id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.names.get(&id).and_then(|name| self.topics.get(name))
    }

    /// All topics, in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.iter().map(|(_, topic)| topic)
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// A partition by name and number.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&Arc<PartitionImage>> {
        self.topic(topic)?.partition(partition)
    }

    /// Replicas that cannot be reached: their broker is down, or their data directory is not online there.
    #[must_use]
    pub fn offline_replicas(&self, partition: &PartitionImage) -> Vec<i32> {
        let is_online = |id: i32| {
            let broker = self.broker(id).filter(|broker| !broker.fenced)?;
            Some(partition.directory_on(id)?.is_online(&broker.log_dirs))
        };
        partition.replicas.iter().copied().filter(|id| is_online(*id) != Some(true)).collect()
    }

    /// The configuration of a resource, as far as it differs from the defaults.
    #[must_use]
    pub fn config(&self, resource: &ConfigResource) -> Option<&Arc<ConfigValues>> {
        self.configs.get(resource)
    }

    /// The values of a topic's own configuration.
    #[must_use]
    pub fn topic_config(&self, topic: &str) -> Option<&Arc<ConfigValues>> {
        self.config(&ConfigResource::topic(topic))
    }

    /// A registered broker.
    #[must_use]
    pub fn broker(&self, id: i32) -> Option<&BrokerImage> {
        self.brokers.get(&id)
    }

    /// All registered brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerImage> {
        self.brokers.values()
    }

    /// All registered controllers, by id.
    pub fn controllers(&self) -> impl Iterator<Item = &RegisterController> {
        self.controllers.values()
    }

    /// The finalized features and their levels.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, level)| (&**name, *level))
    }

    /// The level at which a feature is finalized; 0 where it is not.
    #[must_use]
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Whose quotas are set, and what they are.
    pub fn client_quotas(&self) -> impl Iterator<Item = (&QuotaEntity, &QuotaValues)> {
        self.client_quotas.iter()
    }

    /// The users that have credentials, and these by Kafka's numbers of the mechanisms.
    pub fn scram_credentials(&self) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<i8, ScramCredential>)> {
        self.scram_credentials.iter()
    }

    /// The credentials of a user.
    #[must_use]
    pub fn scram_credentials_of(&self, user: &str) -> Option<&BTreeMap<i8, ScramCredential>> {
        self.scram_credentials.get(user)
    }

    /// First producer id that was not handed out.
    #[must_use]
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }
}

impl PartitionImage {
    /// In which data directory a broker's replica lies; `None` where the broker holds none.
    #[must_use]
    pub fn directory_on(&self, broker_id: i32) -> Option<DirectoryId> {
        let replica = self.replicas.iter().position(|id| *id == broker_id)?;
        Some(self.directories.get(replica).copied().unwrap_or(DirectoryId::UNASSIGNED))
    }
}

impl TopicImage {
    /// The partition of this number.
    #[must_use]
    pub fn partition(&self, partition: i32) -> Option<&Arc<PartitionImage>> {
        self.position(partition).ok().map(|at| &self.partitions[at])
    }

    /// Where the partition of this number is, or where it belongs.
    pub(super) fn position(&self, partition: i32) -> Result<usize, usize> {
        // Numbers are 0, 1, 2 .. in every topic that is whole.
        let guess = usize::try_from(partition).unwrap_or(usize::MAX);
        match self.partitions.get(guess) {
            Some(found) if found.partition == partition => Ok(guess),
            _ => self.partitions.binary_search_by_key(&partition, |found| found.partition),
        }
    }
}
