//! The internal topic that a coordinator's state lives in: made when somebody first needs it, as Kafka's
//! `AutoTopicCreationManager` does.

use std::sync::Arc;

use log_engine::batch::Compression;
use wire::ErrorCode;

use crate::{
    error_map,
    metadata::{
        MetadataHandle,
        ops::{CreateTopics, NewTopic, Refusal},
    },
    partition::Partition,
    replicas::Replicas,
};

/// How the topic is made, and how its batches are compressed.
#[derive(Clone, Debug)]
pub(crate) struct TopicSettings {
    pub(crate) name: &'static str,
    /// Where it does not exist yet.
    pub(crate) partitions: i32,
    pub(crate) replication_factor: i16,
    pub(crate) configs: Vec<(&'static str, String)>,
    pub(crate) compression: Compression,
}

/// Which partitions of a coordinator's topic are led here.
pub(super) trait Led: Send + Sync {
    fn name(&self) -> &'static str;
    /// How many shards there are, also before the topic is made.
    fn partitions(&self) -> i32;
    /// The numbers of the partitions that exist.
    fn existing(&self) -> Vec<i32>;
    fn led(&self, number: i32) -> Result<Arc<Partition>, ErrorCode>;
    fn compression(&self) -> Compression;
}

/// See the module.
pub(crate) struct InternalTopic {
    settings: TopicSettings,
    metadata: MetadataHandle,
    replicas: Arc<Replicas>,
}

impl InternalTopic {
    pub(crate) fn new(settings: TopicSettings, metadata: MetadataHandle, replicas: Arc<Replicas>) -> Self {
        Self { settings, metadata, replicas }
    }

    /// Creates the topic where it does not exist.
    ///
    /// # Errors
    /// With what a client is to be told where it cannot be created now.
    pub(crate) async fn ensure(&self) -> Result<(), ErrorCode> {
        if self.metadata.image().topic(self.settings.name).is_some() {
            return Ok(());
        }
        let configs = self.settings.configs.iter();
        let topic = NewTopic {
            name: self.settings.name.to_owned(),
            num_partitions: self.settings.partitions,
            replication_factor: self.settings.replication_factor,
            assignments: Vec::new(),
            configs: configs.map(|(key, value)| ((*key).to_owned(), Some(value.clone()))).collect(),
        };
        let request = CreateTopics { topics: vec![topic], validate_only: false };
        let answers = self.metadata.create_topics(request).await.map_err(|error| {
            tracing::warn!(topic = self.settings.name, %error, "an internal topic cannot be created");
            error_map::coordinator(error_map::change(&error))
        })?;
        match answers.into_iter().next() {
            Some((_, Err(refusal))) if !matches!(refusal, Refusal::TopicExists(_)) => {
                tracing::warn!(topic = self.settings.name, %refusal, "an internal topic cannot be created");
                Err(ErrorCode::CoordinatorNotAvailable)
            }
            _ => Ok(()),
        }
    }
}

impl Led for InternalTopic {
    fn name(&self) -> &'static str {
        self.settings.name
    }

    fn partitions(&self) -> i32 {
        let image = self.metadata.image();
        let existing = image.topic(self.settings.name).map(|topic| topic.partitions.len());
        existing.and_then(|count| i32::try_from(count).ok()).unwrap_or(self.settings.partitions)
    }

    fn existing(&self) -> Vec<i32> {
        let image = self.metadata.image();
        let topic = image.topic(self.settings.name);
        topic.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.partition).collect()
    }

    fn led(&self, number: i32) -> Result<Arc<Partition>, ErrorCode> {
        let image = self.metadata.image();
        let topic = image.topic(self.settings.name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.replicas.get(topic.topic_id, number).ok_or(ErrorCode::NotLeaderOrFollower)
    }

    fn compression(&self) -> Compression {
        self.settings.compression
    }
}
