//! What handlers work with: the metadata, the partitions that are led here, the configuration, and whom to ask.

use std::sync::Arc;

use log_engine::{Engine, types::TopicId};
use wire::ErrorCode;

use crate::{
    api::fetch::FetchSessions,
    authorizer::{AllowAll, Authorizer},
    config::{Config, Endpoint},
    group::{Groups, OFFSETS_TOPIC},
    metadata::{ChangeError, Image, MetadataHandle, TopicImage, ops::ProducerIdBlock},
    partition::Partition,
    replicas::Replicas,
};

/// Topics that brokers keep for themselves: clients read them, but do not produce to them.
const INTERNAL_TOPICS: [&str; 3] = [OFFSETS_TOPIC, "__transaction_state", "__share_group_state"];

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
    producer_ids: tokio::sync::Mutex<ProducerIdBlock>,
    pub(crate) authorizer: Box<dyn Authorizer>,
    pub(crate) groups: Groups,
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
    pub(crate) groups: Groups,
}

impl Broker {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, cluster_id, advertised, engine, metadata, replicas, groups } = parts;
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
            producer_ids: tokio::sync::Mutex::new(ProducerIdBlock { first: 0, len: 0 }),
            authorizer: Box::new(AllowAll),
            groups,
            fetch_sessions,
            fetch_max_bytes,
        }
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
        let image = self.image();
        let topic = image.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.replicas.get(topic.topic_id, number).ok_or_else(|| not_led(topic, number))
    }

    /// The same by the topic's id.
    pub(crate) fn partition_by_id(&self, topic: TopicId, number: i32) -> Result<Arc<Partition>, ErrorCode> {
        self.replicas.get(topic, number).ok_or_else(|| {
            self.image().topic_by_id(topic).map_or(ErrorCode::UnknownTopicId, |topic| not_led(topic, number))
        })
    }

    /// A producer id that nobody has had; nothing where there are no more.
    pub(crate) async fn next_producer_id(&self) -> Result<Option<i64>, ChangeError> {
        let mut block = self.producer_ids.lock().await;
        if block.len == 0 {
            match self.metadata.allocate_producer_ids().await? {
                Ok(next) => *block = next,
                Err(refusal) => {
                    tracing::error!(%refusal, "no producer id can be given");
                    return Ok(None);
                }
            }
        }
        let id = block.first;
        block.first += 1;
        block.len -= 1;
        Ok(Some(id))
    }
}

fn not_led(topic: &TopicImage, number: i32) -> ErrorCode {
    match topic.partition(number) {
        Some(_) => ErrorCode::NotLeaderOrFollower,
        None => ErrorCode::UnknownTopicOrPartition,
    }
}
