//! The partitions that this broker leads. What the controller part decided is carried out here: logs are made, led under
//! their epochs, configured and removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use log_engine::{
    CreateLogError, Engine, Log, MoveListener,
    types::{LeaderEpoch, TopicId, TopicPartition},
};

use tokio::sync::Notify;
use wire::ErrorCode;

use crate::{
    config::Config,
    effective::Layers,
    metadata::{
        self, Delta, Image, MetadataHandle, MetadataListener, PartitionImage, TopicImage,
        ids::DirectoryId,
        ops::{CLUSTER_METADATA_TOPIC, DirectoryAssignment},
        record::{ConfigResource, ResourceKind},
    },
    partition::Partition,
    settings::Settings,
    side_by_side::side_by_side,
    wait::Watched as _,
};

fn not_led(topic: &TopicImage, number: i32) -> ErrorCode {
    match topic.partition(number) {
        Some(_) => ErrorCode::NotLeaderOrFollower,
        None => ErrorCode::UnknownTopicOrPartition,
    }
}

/// Why a partition cannot be led.
#[derive(Debug, thiserror::Error)]
enum LeadError {
    /// Its log cannot be made.
    #[error(transparent)]
    Create(#[from] CreateLogError),
    /// Its new epoch or id cannot be written, or what lies in its place cannot be set aside.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The metadata have it in a data directory that is not here.
    #[error("its data directory {0} is not among those that are online; nothing is created in its place")]
    Elsewhere(DirectoryId),
    /// Nobody knows in which data directory it was, and not all of them are online.
    #[error("its log may lie in a data directory that is offline; nothing is created in its place")]
    MayBeElsewhere,
}

impl LeadError {
    /// Whether it may go better by itself: room on the disk, descriptors to open files with.
    fn passes(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Create(CreateLogError::Io { .. }))
    }
}

/// First and longest pause before a partition that could not be served is tried again.
/// So short that a disk is in use within a second of having room.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// See the module.
pub(crate) struct Replicas {
    config: Arc<Config>,
    engine: Arc<Engine>,
    settings: Settings,
    /// The data directories that came up with the broker.
    directories: BTreeMap<PathBuf, DirectoryId>,
    led: papaya::HashMap<(TopicId, i32), Arc<Partition>>,
    /// Those that could not be served, but may be later.
    failed: Mutex<BTreeSet<(TopicId, i32)>>,
    failed_one: Notify,
}

impl Replicas {
    pub(crate) fn new(config: Arc<Config>, engine: Arc<Engine>) -> Self {
        let online = engine.open_report().directories.iter();
        let directories =
            online.map(|directory| (directory.path.clone(), metadata::id_of(&directory.meta))).collect();
        let led = papaya::HashMap::new();
        let settings = Settings::new(&config, &engine);
        Self {
            config,
            engine,
            settings,
            directories,
            led,
            failed: Mutex::default(),
            failed_one: Notify::new(),
        }
    }

    /// What follows the broker's configuration.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Goes on with logs that were being moved between data directories, and hears of those that are from now on.
    pub(crate) fn follow_moves(self: &Arc<Self>) {
        self.engine.set_move_listener(Arc::new(Follower(Arc::downgrade(self))));
        self.engine.resume_moves();
    }

    /// The data directories that came up with the broker.
    pub(crate) fn directories(&self) -> &BTreeMap<PathBuf, DirectoryId> {
        &self.directories
    }

    /// A partition that is led here.
    pub(crate) fn get(&self, topic: TopicId, number: i32) -> Option<Arc<Partition>> {
        self.led.pin().get(&(topic, number)).cloned()
    }

    /// The same by its topic's name, or why it is not (Kafka's `ReplicaManager.getPartitionOrError`).
    pub(crate) fn led(&self, image: &Image, topic: &str, number: i32) -> Result<Arc<Partition>, ErrorCode> {
        let topic = image.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.get(topic.topic_id, number).ok_or_else(|| not_led(topic, number))
    }

    /// The same by its topic's id.
    pub(crate) fn led_by_id(
        &self,
        image: &Image,
        topic: TopicId,
        number: i32,
    ) -> Result<Arc<Partition>, ErrorCode> {
        let why_not =
            || image.topic_by_id(topic).map_or(ErrorCode::UnknownTopicId, |topic| not_led(topic, number));
        self.get(topic, number).ok_or_else(why_not)
    }

    /// How many partitions are led here.
    pub(crate) fn len(&self) -> usize {
        self.led.pin().len()
    }

    /// Tries what failed again, until the controller stops: a topic was acknowledged before its logs could be made.
    pub(crate) async fn retry(self: Arc<Self>, metadata: MetadataHandle) {
        let (shortest, longest) = RETRY_PAUSES;
        loop {
            self.failed_one.notified().await;
            let mut pause = shortest;
            while !self.failed().is_empty() {
                tokio::time::sleep(pause).await;
                let failed = self.failed().clone();
                if metadata.look_again(failed).await.is_err() {
                    return;
                }
                pause = longest.min(pause * 2);
            }
        }
    }

    fn failed(&self) -> MutexGuard<'_, BTreeSet<(TopicId, i32)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Partitions that have no leader because their data directory did not come up with the broker.
    pub(crate) fn report_unreachable(&self, image: &Image) {
        let registered = image.broker(self.config.node_id).map_or(&[][..], |broker| &broker.log_dirs);
        let mut missing: BTreeMap<DirectoryId, usize> = BTreeMap::new();
        for partition in image.topics().flat_map(|topic| &topic.partitions) {
            if let Some(directory) = partition.directory_on(self.config.node_id)
                && !directory.is_online(registered)
            {
                *missing.entry(directory).or_default() += 1;
            }
        }
        for (directory, partitions) in missing {
            tracing::error!(%directory, partitions, "a data directory is missing; its partitions have no leader until it is back");
        }
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

    /// A partition that cannot be led does not keep the others from being led. Answers where its log lies, if the
    /// metadata have it elsewhere.
    fn lead_or_report(
        &self,
        image: &Image,
        topic: &TopicImage,
        partition: &PartitionImage,
    ) -> Option<DirectoryAssignment> {
        let key = (topic.topic_id, partition.partition);
        if partition.leader != self.config.node_id {
            self.failed().remove(&key);
            // Its data directory failed: who waits for its end gets to know.
            if let Some(led) = self.get(topic.topic_id, partition.partition) {
                led.watch().wake();
            }
            return None;
        }
        match self.lead(image, topic, partition) {
            Ok(led) => {
                self.failed().remove(&key);
                self.placement(topic.topic_id, partition, &led.data_directory())
            }
            Err(error) => {
                self.report_failure(topic, partition.partition, &error);
                None
            }
        }
    }

    /// Said once, however often it is tried again.
    fn report_failure(&self, topic: &TopicImage, number: i32, error: &LeadError) {
        let key = (topic.topic_id, number);
        let again = error.passes();
        if again && !self.failed().insert(key) {
            return;
        }
        tracing::error!(topic = %topic.name, partition = number, %error, again, "cannot lead the partition");
        if again {
            self.failed_one.notify_one();
        } else {
            self.failed().remove(&key);
        }
    }

    fn placement(
        &self,
        topic_id: TopicId,
        partition: &PartitionImage,
        lies_in: &Path,
    ) -> Option<DirectoryAssignment> {
        let directory = *self.directories.get(lies_in)?;
        let told = partition.directory_on(self.config.node_id) == Some(directory);
        (!told).then_some(DirectoryAssignment { topic_id, partition: partition.partition, directory })
    }

    fn lead(
        &self,
        image: &Image,
        topic: &TopicImage,
        partition: &PartitionImage,
    ) -> Result<Arc<Partition>, LeadError> {
        let epoch = LeaderEpoch::new(partition.leader_epoch);
        let key = (topic.topic_id, partition.partition);
        if let Some(led) = self.led.pin().get(&key) {
            led.lead_on(epoch)?;
            return Ok(Arc::clone(led));
        }
        let log = self.log_of(image, topic, partition)?;
        let led = Arc::new(Partition::lead(log, epoch)?);
        self.led.pin().insert(key, Arc::clone(&led));
        Ok(led)
    }

    fn has_log(&self, topic: &TopicImage, number: i32) -> bool {
        self.engine.log(&TopicPartition { topic: Arc::clone(&topic.name), partition: number }).is_some()
    }

    fn log_of(
        &self,
        image: &Image,
        topic: &TopicImage,
        partition: &PartitionImage,
    ) -> Result<Arc<Log>, LeadError> {
        let id = TopicPartition { topic: Arc::clone(&topic.name), partition: partition.partition };
        let own = image.topic_config(&topic.name).map(|values| &**values);
        let config = Layers::of(&self.config, image).log_config(own);
        if let Some(log) = self.engine.log(&id) {
            if log.adopt_topic_id(topic.topic_id)? == topic.topic_id {
                log.update_config(config);
                return Ok(log);
            }
            // Of a topic that was deleted while its log was out of reach; a crash behind the deletion leaves it, too.
            tracing::warn!(directory = %log.directory().display(), "a topic that no longer exists had this log; it is set aside");
            self.engine.set_aside(&id)?;
        }
        let dir = self.directory_for(partition)?;
        Ok(self.engine.create_log(&id, topic.topic_id, config, dir)?)
    }

    /// Where a log that is not here is to be made: where the metadata have it, or, if it was never placed, where the
    /// engine finds best. As Kafka's `Partition.createLogIfNotExists`: not where it may lie in a directory out of reach.
    fn directory_for(&self, partition: &PartitionImage) -> Result<Option<&Path>, LeadError> {
        let assigned = partition.directory_on(self.config.node_id).filter(|id| !id.is_reserved());
        let Some(assigned) = assigned else {
            let is_new = partition.partition_epoch == 0;
            let all_online = self.config.log_dirs.iter().all(|dir| self.engine.is_online(dir));
            return if is_new || all_online { Ok(None) } else { Err(LeadError::MayBeElsewhere) };
        };
        let found = self.directories.iter().find(|(_, id)| **id == assigned);
        found.map(|(path, _)| Some(&**path)).ok_or(LeadError::Elsewhere(assigned))
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
        if resource.kind == ResourceKind::BROKER
            && let Err(error) = self.settings.apply(&layers)
        {
            tracing::error!(%error, "not every thread that is to compact logs could be started");
        }
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

impl Replicas {
    /// What is here is shown, as far as it is this topic's; nothing is created or written.
    fn show(&self, image: &Image, topic: &TopicImage, partition: &PartitionImage) -> io::Result<()> {
        let id = TopicPartition { topic: Arc::clone(&topic.name), partition: partition.partition };
        let Some(log) = self.engine.log(&id).filter(|log| log.topic_id() == Some(topic.topic_id)) else {
            return Ok(());
        };
        let own = image.topic_config(&topic.name).map(|values| &**values);
        log.update_config(Layers::of(&self.config, image).log_config(own));
        let shown = Partition::show(log, LeaderEpoch::new(partition.leader_epoch))?;
        self.led.pin().insert((topic.topic_id, partition.partition), Arc::new(shown));
        Ok(())
    }
}

/// Has partitions follow their logs to other data directories.
#[derive(Debug)]
struct Follower(Weak<Replicas>);

impl MoveListener for Follower {
    fn moved(&self, log: &Arc<Log>) {
        let (Some(replicas), Some(topic_id)) = (self.0.upgrade(), log.topic_id()) else { return };
        let key = (topic_id, log.partition().partition);
        if let Some(led) = replicas.get(key.0, key.1) {
            led.follow(log);
        }
        // Where it lies now is recorded by whoever looks at it again.
        replicas.failed().insert(key);
        replicas.failed_one.notify_one();
    }
}

impl MetadataListener for Replicas {
    fn readable(&self, image: &Arc<Image>) {
        for topic in image.topics() {
            for partition in topic.partitions.iter().filter(|found| found.leader == self.config.node_id) {
                if let Err(error) = self.show(image, topic, partition) {
                    tracing::error!(topic = %topic.name, partition = partition.partition, %error, "cannot show the partition");
                }
            }
        }
    }

    fn published(&self, image: &Arc<Image>, delta: &Delta) -> Vec<DirectoryAssignment> {
        let mut placed = Vec::new();
        for (id, name) in &delta.deleted_topics {
            self.remove_topic(*id, name);
        }
        let (mut present, mut new) = (Vec::new(), Vec::new());
        for (id, number) in &delta.partitions {
            let Some(topic) = image.topic_by_id(*id) else {
                self.failed().remove(&(*id, *number));
                continue;
            };
            match topic.partition(*number) {
                Some(partition) if self.has_log(topic, *number) => present.push((topic, partition)),
                Some(partition) => new.push((topic, partition)),
                None => drop(self.failed().remove(&(*id, *number))),
            }
        }
        // Each waits until its epoch is on the disk. Those that are new are placed by how many there are: one by one.
        let lead = |topic, partition| self.lead_or_report(image, topic, partition);
        let led = side_by_side(&present, |(topic, partition)| lead(topic, partition));
        placed.extend(led.into_iter().flatten());
        placed.extend(new.into_iter().filter_map(|(topic, partition)| lead(topic, partition)));
        for resource in &delta.configs {
            self.reconfigure(image, resource);
        }
        if delta.client_quotas {
            self.settings.apply_client_quotas(image);
        }
        placed
    }
}
