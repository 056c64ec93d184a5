//! The partitions that this broker leads. What the controller part decided is carried out here: logs are made, led under
//! their epochs, configured and removed.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use log_engine::{
    CreateLogError, Engine, Log,
    types::{LeaderEpoch, TopicId, TopicPartition},
};

use crate::{
    config::Config,
    effective::Layers,
    metadata::{
        Delta, Image, MetadataListener, PartitionImage, TopicImage,
        ops::CLUSTER_METADATA_TOPIC,
        record::{ConfigResource, ResourceKind},
    },
    partition::Partition,
};

/// Why a partition cannot be led.
#[derive(Debug, thiserror::Error)]
enum LeadError {
    /// Its log cannot be made.
    #[error(transparent)]
    Create(#[from] CreateLogError),
    /// Its new epoch or id cannot be written, or what lies in its place cannot be set aside.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// See the module.
pub(crate) struct Replicas {
    config: Arc<Config>,
    engine: Arc<Engine>,
    led: papaya::HashMap<(TopicId, i32), Arc<Partition>>,
    /// Partitions come and go one change at a time.
    changing: Mutex<()>,
}

impl Replicas {
    pub(crate) fn new(config: Arc<Config>, engine: Arc<Engine>) -> Self {
        Self { config, engine, led: papaya::HashMap::new(), changing: Mutex::default() }
    }

    /// A partition that is led here.
    pub(crate) fn get(&self, topic: TopicId, number: i32) -> Option<Arc<Partition>> {
        self.led.pin().get(&(topic, number)).cloned()
    }

    /// How many partitions are led here.
    pub(crate) fn len(&self) -> usize {
        self.led.pin().len()
    }

    /// Leads every partition that the metadata give to this broker.
    pub(crate) fn lead_all(&self, image: &Image) {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for topic in image.topics() {
            for partition in &topic.partitions {
                self.lead_or_report(image, topic, partition);
            }
        }
        drop(changing);
    }

    /// Logs of which the metadata know nothing. They are left alone: deleting data is not a decision to take here.
    pub(crate) fn report_strays(&self, image: &Image) {
        for log in self.engine.logs() {
            let id = log.partition();
            let known =
                &*id.topic == CLUSTER_METADATA_TOPIC || image.partition(&id.topic, id.partition).is_some();
            if !known {
                tracing::warn!(directory = %log.directory().display(), "no topic of the metadata has this log; it is left as it is");
            }
        }
    }

    /// A partition that cannot be led does not keep the others from being led.
    fn lead_or_report(&self, image: &Image, topic: &TopicImage, partition: &PartitionImage) {
        if partition.leader != self.config.node_id {
            return;
        }
        if let Err(error) = self.lead(image, topic, partition) {
            tracing::error!(topic = %topic.name, partition = partition.partition, %error, "cannot lead the partition");
        }
    }

    fn lead(&self, image: &Image, topic: &TopicImage, partition: &PartitionImage) -> Result<(), LeadError> {
        let epoch = LeaderEpoch::new(partition.leader_epoch);
        let key = (topic.topic_id, partition.partition);
        if let Some(led) = self.led.pin().get(&key) {
            return Ok(led.lead_on(epoch)?);
        }
        let log = self.log_of(image, topic, partition.partition)?;
        let led = Partition::lead(log, epoch)?;
        self.led.pin().insert(key, Arc::new(led));
        Ok(())
    }

    fn log_of(&self, image: &Image, topic: &TopicImage, number: i32) -> Result<Arc<Log>, LeadError> {
        let id = TopicPartition { topic: Arc::clone(&topic.name), partition: number };
        let own = image.topic_config(&topic.name).map(|values| &**values);
        let config = Layers::of(&self.config, image).log_config(own);
        let Some(log) = self.engine.log(&id) else {
            return Ok(self.engine.create_log(&id, topic.topic_id, config, None)?);
        };
        if log.adopt_topic_id(topic.topic_id)? != topic.topic_id {
            // Of a topic that was deleted while its log was out of reach; a crash behind the deletion leaves it, too.
            tracing::warn!(directory = %log.directory().display(), "a topic that no longer exists had this log; it is set aside");
            self.engine.set_aside(&id)?;
            return Ok(self.engine.create_log(&id, topic.topic_id, config, None)?);
        }
        log.update_config(config);
        Ok(log)
    }

    /// A deleted topic's logs go, and who waits for them learns of it.
    fn remove_topic(&self, id: TopicId, name: &Arc<str>) {
        let led: Vec<Arc<Partition>> = self
            .led
            .pin()
            .iter()
            .filter(|((topic, _), _)| *topic == id)
            .map(|(_, led)| Arc::clone(led))
            .collect();
        for partition in led {
            self.led.pin().remove(&(id, partition.number()));
            let log = TopicPartition { topic: Arc::clone(name), partition: partition.number() };
            if let Err(error) = self.engine.delete_log(&log) {
                tracing::error!(topic = %name, partition = partition.number(), %error, "the log cannot be removed");
            }
            partition.delete();
        }
    }

    /// A topic's logs follow its configuration; all logs follow the broker's.
    fn reconfigure(&self, image: &Image, resource: &ConfigResource) {
        let layers = Layers::of(&self.config, image);
        for topic in image.topics() {
            if resource.kind == ResourceKind::TOPIC && *topic.name != *resource.name {
                continue;
            }
            let config = layers.log_config(image.topic_config(&topic.name).map(|values| &**values));
            for partition in &topic.partitions {
                if let Some(led) = self.get(topic.topic_id, partition.partition) {
                    led.update_config(config.clone());
                }
            }
        }
    }
}

impl MetadataListener for Replicas {
    fn published(&self, image: &Arc<Image>, delta: &Delta) {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, name) in &delta.deleted_topics {
            self.remove_topic(*id, name);
        }
        for (id, number) in &delta.partitions {
            if let Some(topic) = image.topic_by_id(*id)
                && let Some(partition) = topic.partition(*number)
            {
                self.lead_or_report(image, topic, partition);
            }
        }
        for resource in &delta.configs {
            self.reconfigure(image, resource);
        }
        drop(changing);
    }
}
