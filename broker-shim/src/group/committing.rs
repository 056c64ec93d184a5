//! Offsets: OffsetCommit and TxnOffsetCommit, OffsetFetch, OffsetDelete, and what goes with a deleted topic.

use std::sync::Arc;

use log_engine::producer::VerificationGuard;
use wire::{ErrorCode, primitives::Uuid};

use super::{
    classic::State,
    offsets::{
        commit::{self, NewOffset},
        fetch::{self, FetchedTopic, Stability},
    },
    records,
    state::{GroupState, unwritable},
};
use crate::coordinator::{Decision, Moment, Record, Transaction, Write};

/// Offsets that a client commits.
#[derive(Clone, Debug)]
pub(crate) struct CommitRequest<'a> {
    pub(crate) group: &'a str,
    pub(crate) by: Committer<'a>,
    pub(crate) offsets: Vec<NewOffset<'a>>,
    /// How long the offsets are kept, where the client says.
    pub(crate) retention_ms: Option<i64>,
    /// The transaction with which they come to count.
    pub(crate) transaction: Option<Transaction>,
    /// Allows them to open it in the partition of the group.
    pub(crate) verified_by: Option<VerificationGuard>,
    /// What one is answered who speaks for a generation of a group that is not there.
    pub(crate) no_group: ErrorCode,
}

/// Who commits. Neither a member nor of a generation is who assigns partitions itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committer<'a> {
    pub(crate) generation: i32,
    pub(crate) member: &'a str,
    pub(crate) instance: Option<&'a str>,
}

/// Committed offsets that a client asks for.
#[derive(Clone, Debug)]
pub(crate) struct FetchRequest<'a> {
    pub(crate) group: &'a str,
    /// `None` for all that there are.
    pub(crate) topics: Option<Vec<AskedTopic<'a>>>,
    pub(crate) stability: Stability,
}

/// A topic of which offsets are asked for.
#[derive(Clone, Debug)]
pub(crate) struct AskedTopic<'a> {
    pub(crate) name: Arc<str>,
    /// Zero where the client names topics.
    pub(crate) id: Uuid,
    pub(crate) partitions: &'a [i32],
}

impl GroupState {
    pub(super) fn commit(
        &mut self,
        request: &CommitRequest<'_>,
        now: Moment,
    ) -> Result<Decision<Self, Vec<ErrorCode>>, ErrorCode> {
        self.check_committer(request)?;
        if request.transaction.is_none() && !request.by.member.is_empty() {
            self.keep_committer_alive(request, now);
        }
        let decided =
            commit::decide(&self.config, request.group, &request.offsets, request.retention_ms, now.wall);
        let (records, codes) = decided.map_err(|error| unwritable(&error))?;
        let write = match request.transaction {
            Some(transaction) if !records.is_empty() => {
                Write::Transactional { transaction, verified_by: request.verified_by, records }
            }
            _ => Write::records(records),
        };
        Ok(Decision { write, after: None, answer: codes })
    }

    /// Kafka's `ClassicGroup.validateOffsetCommit`.
    fn check_committer(&self, request: &CommitRequest<'_>) -> Result<(), ErrorCode> {
        let Committer { generation, member, instance } = request.by;
        let Some(group) = self.classic(request.group) else {
            return if generation < 0 { Ok(()) } else { Err(request.no_group) };
        };
        if generation < 0 && group.is_empty() {
            return Ok(());
        }
        let is_transactional = request.transaction.is_some();
        if generation >= 0 || !member.is_empty() || instance.is_some() {
            group.check_member(member, instance)?;
            if generation != group.generation() {
                return Err(ErrorCode::IllegalGeneration);
            }
        } else if !is_transactional {
            // Nobody but the members may commit while there are any; old transactional producers do not say who they are.
            return Err(ErrorCode::UnknownMemberId);
        }
        if !is_transactional && group.state() == State::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit is as good as a heartbeat.
    fn keep_committer_alive(&mut self, request: &CommitRequest<'_>, now: Moment) {
        if let Some(mut turn) = self.turn(request.group, now)
            && matches!(turn.group.state(), State::Stable | State::PreparingRebalance)
        {
            turn.keep_alive(request.by.member);
        }
    }

    pub(super) fn fetch(&self, request: &FetchRequest<'_>) -> Vec<FetchedTopic> {
        let Some(topics) = &request.topics else {
            return fetch::all(&self.offsets, request.group, request.stability);
        };
        let of_topic = |AskedTopic { name, id, partitions }: &AskedTopic<'_>| {
            let one = |number: &i32| {
                (*number, fetch::one(&self.offsets, request.group, (name, *id), *number, request.stability))
            };
            FetchedTopic { name: Arc::clone(name), partitions: partitions.iter().map(one).collect() }
        };
        topics.iter().map(of_topic).collect()
    }

    /// Deletes the offsets of topics that no member reads; a code for each.
    pub(super) fn delete_offsets(
        &self,
        group: &str,
        partitions: &[(&str, i32)],
    ) -> Result<Decision<Self, Vec<ErrorCode>>, ErrorCode> {
        let found = self.classic(group).ok_or(ErrorCode::GroupIdNotFound)?;
        if !found.is_empty() && !found.is_of_consumers() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        let mut records = Vec::new();
        let mut codes = Vec::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            if found.is_subscribed(topic) {
                codes.push(ErrorCode::GroupSubscribedToTopic);
                continue;
            }
            codes.push(ErrorCode::None);
            if self.offsets.exists(group, topic, *partition) {
                records.push(self.tombstone(group, topic, *partition)?);
            }
        }
        Ok(Decision::records(records, codes))
    }

    /// Offsets of topics that no longer exist.
    pub(super) fn forget_topics(&self, topics: &[Arc<str>]) -> Result<Decision<Self>, ErrorCode> {
        let gone = self.offsets.of_topics(topics);
        let records: Result<Vec<Record>, ErrorCode> =
            gone.map(|(group, topic, partition)| self.tombstone(group, topic, partition)).collect();
        Ok(Decision::records(records?, ()))
    }

    pub(super) fn tombstone(&self, group: &str, topic: &str, partition: i32) -> Result<Record, ErrorCode> {
        records::offset_commit(group, topic, partition, None).map_err(|error| unwritable(&error))
    }
}
