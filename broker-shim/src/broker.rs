//! What handlers work with: the metadata, the partitions that are led here, the configuration, and whom to ask.

use std::sync::Arc;

use log_engine::{Engine, types::TopicId};
use wire::ErrorCode;

use crate::{
    api::fetch::FetchSessions,
    authorizer::Authorizer,
    config::{Config, Endpoint},
    group::{Groups, OFFSETS_TOPIC},
    metadata::{Image, MetadataHandle},
    partition::Partition,
    producer_ids::ProducerIds,
    quota::ClientQuotas,
    replicas::Replicas,
    transaction::{TRANSACTION_TOPIC, Transactions},
};

/// Topics that brokers keep for themselves: clients read them, but do not produce to them.
const INTERNAL_TOPICS: [&str; 3] = [OFFSETS_TOPIC, TRANSACTION_TOPIC, "__share_group_state"];

/// Whether a topic is one of the broker's own.
pub(crate) fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// One running broker.
pub(crate) struct Broker {
    config: Arc<Config>,
    cluster_id: String,
    /// What clients of each listener are told to connect to.
    advertised: Vec<Endpoint>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) metadata: MetadataHandle,
    pub(crate) replicas: Arc<Replicas>,
    pub(crate) producer_ids: Arc<ProducerIds>,
    pub(crate) authorizer: Box<dyn Authorizer>,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) fetch_max_bytes: usize,
}

/// What a broker is made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) cluster_id: String,
    pub(crate) advertised: Vec<Endpoint>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) metadata: MetadataHandle,
    pub(crate) replicas: Arc<Replicas>,
    pub(crate) producer_ids: Arc<ProducerIds>,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    pub(crate) authorizer: Box<dyn Authorizer>,
}

impl Broker {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            config,
            cluster_id,
            advertised,
            engine,
            metadata,
            replicas,
            producer_ids,
            groups,
            transactions,
            authorizer,
        } = parts;
        let size = |key| usize::try_from(config.number(key)).unwrap_or(0);
        let fetch_sessions = FetchSessions::new(size("max.incremental.fetch.session.cache.slots"));
        let fetch_max_bytes = size("fetch.max.bytes");
        Self {
            config,
            cluster_id,
            advertised,
            engine,
            metadata,
            replicas,
            producer_ids,
            authorizer,
            groups,
            transactions,
            fetch_sessions,
            fetch_max_bytes,
        }
    }

    /// What clients may use.
    pub(crate) fn client_quotas(&self) -> &Arc<ClientQuotas> {
        self.replicas.settings().client_quotas()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn node_id(&self) -> i32 {
        self.config.node_id
    }

    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// What clients of a listener are told to connect to.
    pub(crate) fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.advertised.iter().find(|endpoint| endpoint.name == listener)
    }

    pub(crate) fn image(&self) -> Arc<Image> {
        self.metadata.image()
    }

    /// A partition that is led here, or why it is not (Kafka's `ReplicaManager.getPartitionOrError`).
    pub(crate) fn partition(&self, topic: &str, number: i32) -> Result<Arc<Partition>, ErrorCode> {
        self.replicas.led(&self.image(), topic, number)
    }

    /// The same by the topic's id.
    pub(crate) fn partition_by_id(&self, topic: TopicId, number: i32) -> Result<Arc<Partition>, ErrorCode> {
        self.replicas.led_by_id(&self.image(), topic, number)
    }
}
