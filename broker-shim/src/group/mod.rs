//! Groups of consumers: their members, their rebalances, their offsets, in `__consumer_offsets` as Kafka keeps them.
//!
//! A request is decided by the state of its group's shard ([`state::GroupState`]); the runtime in [`crate::coordinator`]
//! writes what was decided and answers. Here are the questions that handlers ask; what bytes they come in is theirs.

mod config;
mod offsets;
mod records;
mod state;

use std::sync::Arc;

use log_engine::Clock;
use tokio::runtime::Handle;
use wire::ErrorCode;

pub(crate) use config::{GroupConfig, OFFSETS_TOPIC, topic_settings};
pub(crate) use offsets::{
    Committed,
    commit::NewOffset,
    fetch::{FetchedOffset, FetchedTopic, Stability},
};
use state::GroupState;
pub(crate) use state::{CommitRequest, FetchRequest};

use crate::{
    config::Config,
    coordinator::{Coordinator, InternalTopic},
    metadata::MetadataHandle,
    replicas::Replicas,
};

/// The group coordinator of this broker.
pub(crate) struct Groups {
    topic: Arc<InternalTopic>,
    coordinator: Arc<Coordinator<GroupState>>,
}

impl Groups {
    pub(crate) fn new(
        config: &Config,
        metadata: MetadataHandle,
        replicas: Arc<Replicas>,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Self {
        let topic = Arc::new(InternalTopic::new(topic_settings(config), metadata, replicas));
        let group_config = Arc::new(GroupConfig::of(config));
        let make = move |_| GroupState::new(Arc::clone(&group_config));
        let coordinator = Coordinator::new(Arc::clone(&topic), clock, runtime, make);
        Self { topic, coordinator }
    }

    /// Starts to load what is led here.
    pub(crate) fn load(&self) {
        self.coordinator.load();
    }

    /// Lets go of all who wait.
    pub(crate) fn stop(&self) {
        self.coordinator.stop();
    }

    /// Makes the topic of groups where it does not exist.
    ///
    /// # Errors
    /// With what a client is to be told.
    pub(crate) async fn ensure_topic(&self) -> Result<(), ErrorCode> {
        self.topic.ensure().await
    }

    /// Commits offsets; answers one code for each.
    ///
    /// # Errors
    /// Where none of them is committed.
    pub(crate) async fn commit(&self, request: CommitRequest<'_>) -> Result<Vec<ErrorCode>, ErrorCode> {
        let shard = self.coordinator.shard_of(request.group);
        self.coordinator.write(shard, |state, now| state.commit(&request, now)).await
    }

    /// What a group has committed.
    ///
    /// # Errors
    /// Where that is not known here.
    pub(crate) fn fetch(&self, request: &FetchRequest<'_>) -> Result<Vec<FetchedTopic>, ErrorCode> {
        let shard = self.coordinator.shard_of(request.group);
        self.coordinator.read(shard, |state, _| state.fetch(request))
    }
}
