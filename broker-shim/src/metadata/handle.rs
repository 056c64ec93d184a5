//! What the broker holds: the image to read, and the operations to ask the controller for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use log_engine::{io::Disk, types::TopicId};

use super::{
    TopicImage,
    controller::{self, ChangeError, ControllerConfig, Requests, StartError},
    ids::{self, DirectoryId},
    image::Image,
    leadership,
    ops::{
        self, Allowance, AlterClientQuotas, AlterConfigs, CreatePartitions, CreateTopics, CreatedTopic,
        DeleteTopics, DirectoryAssignment, ProducerIdBlock, Refusal, TopicSelector,
    },
    record::{ConfigResource, QuotaEntity},
    record_log::RecordLog,
};

/// The metadata of the cluster. Cheap to clone; the controller stops when [`MetadataHandle::shutdown`] is called or the
/// last clone is dropped.
#[derive(Clone)]
pub struct MetadataHandle {
    image: Arc<ArcSwap<Image>>,
    requests: Requests,
    node_id: i32,
    directory_id: DirectoryId,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl MetadataHandle {
    /// Loads the metadata, takes the leadership and registers the broker. Waits for the disk.
    ///
    /// # Errors
    /// See [`StartError`].
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        log: Box<dyn RecordLog>,
        config: ControllerConfig,
    ) -> Result<Self, StartError> {
        let node_id = config.identity.node_id;
        let directory_id = config.directory_id;
        let started = controller::start(disk, log, config)?;
        Ok(Self {
            image: started.image,
            requests: started.requests,
            node_id,
            directory_id,
            thread: Arc::new(Mutex::new(Some(started.thread))),
        })
    }

    /// The metadata as they stand now. Who holds an image sees one moment, however long that takes.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// The epoch of this run's registration; it belongs into the marker of a clean stop.
    #[must_use]
    pub fn broker_epoch(&self) -> i64 {
        self.image().broker(self.node_id).map_or(-1, |broker| broker.broker_epoch)
    }

    /// The data directory that the metadata log lies in, and votes for.
    pub(crate) fn voter_directory(&self) -> DirectoryId {
        self.directory_id
    }

    /// Creates topics. One answer for each name, in the order of the request.
    ///
    /// # Errors
    /// Where nothing could be stored; what one topic may not have is in its answer.
    pub async fn create_topics(
        &self,
        request: CreateTopics,
    ) -> Result<Vec<(String, Result<CreatedTopic, Refusal>)>, ChangeError> {
        self.create_topics_within(request, unlimited()).await
    }

    /// The same, as far as the allowance reaches.
    pub(crate) async fn create_topics_within(
        &self,
        request: CreateTopics,
        mut allowance: Allowance,
    ) -> Result<Vec<(String, Result<CreatedTopic, Refusal>)>, ChangeError> {
        // Enough ids beforehand: the decision itself draws nothing.
        let ids = request.topics.iter().map(|_| ids::random_topic_id()).collect::<Result<Vec<TopicId>, _>>();
        let mut ids = ids.map_err(|error| ChangeError::Log(super::LogFailure::new(error)))?;
        self.requests
            .submit(move |image, rules| {
                let mut new_id = || ids.pop().unwrap_or(TopicId::ZERO);
                ops::create_topics(
                    image,
                    rules.defaults,
                    &*rules.config,
                    &request,
                    &mut new_id,
                    &mut allowance,
                )
                .carry_out()
            })
            .await?
    }

    /// Deletes topics. One answer for each entry, in the order of the request.
    ///
    /// # Errors
    /// Where nothing could be stored.
    pub async fn delete_topics(
        &self,
        request: DeleteTopics,
    ) -> Result<Vec<(TopicSelector, Result<Arc<TopicImage>, Refusal>)>, ChangeError> {
        self.delete_topics_within(request, unlimited()).await
    }

    /// The same, as far as the allowance reaches.
    pub(crate) async fn delete_topics_within(
        &self,
        request: DeleteTopics,
        mut allowance: Allowance,
    ) -> Result<Vec<(TopicSelector, Result<Arc<TopicImage>, Refusal>)>, ChangeError> {
        self.requests
            .submit(move |image, _| ops::delete_topics(image, &request, &mut allowance).carry_out())
            .await?
    }

    /// Adds partitions to topics. One answer for each entry, in the order of the request.
    ///
    /// # Errors
    /// Where nothing could be stored.
    pub async fn create_partitions(
        &self,
        request: CreatePartitions,
    ) -> Result<Vec<(String, Result<(), Refusal>)>, ChangeError> {
        self.create_partitions_within(request, unlimited()).await
    }

    /// The same, as far as the allowance reaches.
    pub(crate) async fn create_partitions_within(
        &self,
        request: CreatePartitions,
        mut allowance: Allowance,
    ) -> Result<Vec<(String, Result<(), Refusal>)>, ChangeError> {
        self.requests
            .submit(move |image, _| ops::create_partitions(image, &request, &mut allowance).carry_out())
            .await?
    }

    /// Changes configuration. One answer for each resource, in the order of the request.
    ///
    /// # Errors
    /// Where nothing could be stored.
    pub async fn incremental_alter_configs(
        &self,
        request: AlterConfigs,
    ) -> Result<Vec<(ConfigResource, Result<(), Refusal>)>, ChangeError> {
        self.requests
            .submit(move |image, rules| ops::alter_configs(image, &*rules.config, &request).carry_out())
            .await?
    }

    /// Changes quotas of clients. One answer for each entity.
    ///
    /// # Errors
    /// Where nothing could be stored.
    pub async fn alter_client_quotas(
        &self,
        request: AlterClientQuotas,
    ) -> Result<Vec<(QuotaEntity, Result<(), Refusal>)>, ChangeError> {
        self.requests.submit(move |image, _| ops::alter_client_quotas(image, &request).carry_out()).await?
    }

    /// Takes the next block of producer ids.
    ///
    /// # Errors
    /// Where it could not be stored: the block may then not be used.
    pub async fn allocate_producer_ids(&self) -> Result<Result<ProducerIdBlock, Refusal>, ChangeError> {
        self.requests
            .submit(|image, rules| {
                let epoch = image.broker(rules.node_id).map_or(-1, |broker| broker.broker_epoch);
                ops::allocate_producer_ids(image, rules.node_id, epoch).carry_out()
            })
            .await?
    }

    /// Records in which data directories replicas of this broker lie.
    ///
    /// # Errors
    /// Where nothing could be stored.
    pub async fn assign_directories(&self, assignments: Vec<DirectoryAssignment>) -> Result<(), ChangeError> {
        self.requests
            .submit(move |image, rules| (ops::assign_directories(image, rules.node_id, &assignments), ()))
            .await
    }

    /// Records that data directories of this broker failed.
    ///
    /// # Errors
    /// Where nothing could be stored.
    pub async fn lose_directories(&self, failed: Vec<DirectoryId>) -> Result<(), ChangeError> {
        self.requests
            .submit(move |image, rules| (leadership::lose_directories(image, rules.node_id, &failed), ()))
            .await
    }

    /// Has the listener look at partitions again that it could not serve before.
    ///
    /// # Errors
    /// Where the controller has stopped.
    pub async fn look_again(&self, partitions: BTreeSet<(TopicId, i32)>) -> Result<(), ChangeError> {
        self.requests.look_again(partitions).await
    }

    /// Records that this broker stops on purpose, and stops the controller. Afterwards nothing is appended any more.
    /// Gives the broker epoch for the marker of a clean stop.
    ///
    /// # Errors
    /// Where it could not be stored; the stop is then not a clean one.
    pub async fn shutdown(&self) -> Result<i64, ChangeError> {
        let broker_epoch = self.broker_epoch();
        let begun = self
            .requests
            .submit(|image, rules| (leadership::begin_controlled_shutdown(image, rules.node_id), ()))
            .await;
        let ended = match begun {
            Ok(()) => {
                self.requests
                    .submit(|image, rules| (leadership::end_controlled_shutdown(image, rules.node_id), ()))
                    .await
            }
            failed => failed,
        };
        self.requests.stop().await;
        let thread = self.thread.lock().map(|mut held| held.take()).unwrap_or_default();
        if let Some(thread) = thread {
            // The thread has been told to end; it is between two groups.
            let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
            debug_assert!(joined.is_ok());
        }
        ended.map(|()| broker_epoch)
    }
}

fn unlimited() -> Allowance {
    Box::new(|_| Ok(()))
}
