//! Groups of consumers: their members, their rebalances, their offsets, in `__consumer_offsets` as Kafka keeps them.
//!
//! A request is decided by the state of its group's shard ([`state::GroupState`]); the runtime in [`crate::coordinator`]
//! writes what was decided and answers. Here are the questions that handlers ask; what bytes they come in is theirs.

mod admin;
mod classic;
mod committing;
mod config;
mod expiry;
mod membership;
mod offsets;
mod records;
mod state;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use log_engine::Clock;
use tokio::{runtime::Handle, sync::oneshot::Receiver};
use wire::ErrorCode;

pub(crate) use admin::{Described, DescribedMember, Filter, Listed};
pub(crate) use classic::{
    ClientFacts, JoinAnswer, JoinRequest, JoinedMember, LeaveAnswer, Leaving, SyncAnswer, SyncRequest,
};
pub(crate) use committing::{AskedTopic, CommitRequest, Committer, FetchRequest};
pub(crate) use config::{GroupConfig, OFFSETS_TOPIC, topic_settings};
pub(crate) use offsets::{
    Committed,
    commit::NewOffset,
    fetch::{FetchedOffset, FetchedTopic, Stability},
};
use state::GroupState;

use crate::{
    config::Config,
    coordinator::{Coordinator, Decision, EndMarker, InternalTopic, Write},
    metadata::MetadataHandle,
    replicas::Replicas,
};

/// An answer that may have to wait for other members.
#[derive(Debug)]
pub(crate) enum Waiting<T> {
    Answered(T),
    /// Where it arrives, and what it is if the coordinator goes away.
    Later(Receiver<T>, T),
}

impl<T> Waiting<T> {
    pub(crate) fn answered(answer: T) -> Self {
        Self::Answered(answer)
    }

    /// Once it is there.
    pub(crate) async fn answer(self) -> T {
        match self {
            Self::Answered(answer) => answer,
            Self::Later(told, gone) => told.await.unwrap_or(gone),
        }
    }
}

/// The group coordinator of this broker.
#[derive(Clone)]
pub(crate) struct Groups {
    config: Arc<GroupConfig>,
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
        let config = Arc::new(GroupConfig::of(config));
        let of_shards = Arc::clone(&config);
        let make = move |_| GroupState::new(Arc::clone(&of_shards));
        let coordinator = Coordinator::new(Arc::clone(&topic), clock, runtime, make);
        Self { config, topic, coordinator }
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

    /// Joins a group. The answer comes once the others have joined, too.
    pub(crate) async fn join(&self, request: JoinRequest<'_>) -> Waiting<JoinAnswer> {
        let refused = |error| JoinAnswer::error(request.member, error);
        if let Err(error) = self.check_join(&request) {
            return Waiting::answered(refused(error));
        }
        let shard = self.coordinator.shard_of(request.group);
        let gone = refused(ErrorCode::NotCoordinator);
        let member = request.member;
        match self.coordinator.write(shard, |state, now| state.join(request, now)).await {
            Ok(told) => Waiting::Later(told, gone),
            Err(error) => Waiting::Answered(JoinAnswer::error(member, error)),
        }
    }

    fn check_join(&self, request: &JoinRequest<'_>) -> Result<(), ErrorCode> {
        let sessions = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        if request.group.is_empty() {
            Err(ErrorCode::InvalidGroupId)
        } else if !sessions.contains(&request.session_timeout_ms.into()) {
            Err(ErrorCode::InvalidSessionTimeout)
        } else {
            Ok(())
        }
    }

    /// Hands in and receives assignments. The answer comes once the leader has assigned.
    pub(crate) async fn sync(&self, request: SyncRequest<'_>) -> Waiting<SyncAnswer> {
        if request.group.is_empty() {
            return Waiting::answered(SyncAnswer::error(ErrorCode::InvalidGroupId));
        }
        let shard = self.coordinator.shard_of(request.group);
        match self.coordinator.write(shard, |state, now| state.sync(request, now)).await {
            Ok(told) => Waiting::Later(told, SyncAnswer::error(ErrorCode::NotCoordinator)),
            Err(error) => Waiting::Answered(SyncAnswer::error(error)),
        }
    }

    /// Keeps a member's session, and says whether it may go on.
    pub(crate) fn heartbeat(
        &self,
        group: &str,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        if group.is_empty() {
            return ErrorCode::InvalidGroupId;
        }
        let shard = self.coordinator.shard_of(group);
        let beat = |state: &mut GroupState, now| state.heartbeat(group, member, instance, generation, now);
        match self.coordinator.read(shard, beat) {
            Ok(code) => code,
            // As if nothing were wrong, as in Kafka: the member would only join a group that it is in.
            Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
            Err(error) => error,
        }
    }

    /// Members leave; answers one code for each.
    ///
    /// # Errors
    /// Where none of them leaves.
    pub(crate) async fn leave(&self, group: &str, leaving: &[Leaving<'_>]) -> Result<LeaveAnswer, ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let shard = self.coordinator.shard_of(group);
        self.coordinator.write(shard, |state, now| Ok(state.leave(group, leaving, now))).await
    }

    /// Commits offsets; answers one code for each.
    ///
    /// # Errors
    /// Where none of them is committed.
    pub(crate) async fn commit(&self, request: CommitRequest<'_>) -> Result<Vec<ErrorCode>, ErrorCode> {
        let shard = self.coordinator.shard_of(request.group);
        self.coordinator.write(shard, |state, now| state.commit(&request, now)).await
    }

    /// The partition that a group's records are in.
    pub(crate) fn partition_of(&self, group: &str) -> i32 {
        self.coordinator.shard_of(group)
    }

    /// Ends a transaction in one partition of the groups' topic: the offsets that were committed in it count, or never were.
    ///
    /// # Errors
    /// Where the marker is not written.
    pub(crate) async fn end_transaction(&self, number: i32, marker: EndMarker) -> Result<(), ErrorCode> {
        let write = Write::Marker(marker);
        self.coordinator.write(number, |_, _| Ok(Decision { write, after: None, answer: () })).await
    }

    /// What a group has committed.
    ///
    /// # Errors
    /// Where that is not known here.
    pub(crate) fn fetch(&self, request: &FetchRequest<'_>) -> Result<Vec<FetchedTopic>, ErrorCode> {
        let shard = self.coordinator.shard_of(request.group);
        self.coordinator.read(shard, |state, _| state.fetch(request))
    }

    /// Deletes offsets of one group; answers one code for each partition.
    ///
    /// # Errors
    /// Where none of them is deleted.
    pub(crate) async fn delete_offsets(
        &self,
        group: &str,
        partitions: &[(&str, i32)],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        if group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let shard = self.coordinator.shard_of(group);
        self.coordinator.write(shard, |state, _| state.delete_offsets(group, partitions)).await
    }

    /// Deletes the offsets of topics that no longer exist, of all groups.
    pub(crate) async fn forget_topics(&self, topics: &[Arc<str>]) {
        for shard in self.coordinator.shards() {
            if let Err(error) = self.coordinator.write(shard, |state, _| state.forget_topics(topics)).await {
                tracing::warn!(shard, %error, "offsets of deleted topics stay until they expire");
            }
        }
    }

    /// The groups that there are.
    ///
    /// # Errors
    /// While some of them are being loaded.
    pub(crate) fn list(&self, filter: &Filter) -> Result<Vec<Listed>, ErrorCode> {
        let mut listed = Vec::new();
        for shard in self.coordinator.shards() {
            match self.coordinator.read(shard, |state, _| state.list(filter)) {
                Ok(groups) => listed.extend(groups),
                Err(ErrorCode::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(listed)
    }

    /// A group, or nothing where there is none of this id.
    ///
    /// # Errors
    /// Where that is not known here.
    pub(crate) fn describe(&self, group: &str) -> Result<Option<Described>, ErrorCode> {
        let shard = self.coordinator.shard_of(group);
        self.coordinator.read(shard, |state, _| state.describe(group))
    }

    /// Deletes a group that has no members.
    ///
    /// # Errors
    /// Where it is not deleted.
    pub(crate) async fn delete(&self, group: &str) -> Result<(), ErrorCode> {
        let shard = self.coordinator.shard_of(group);
        self.coordinator.write(shard, |state, _| state.delete(group)).await
    }
}
