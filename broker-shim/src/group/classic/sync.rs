//! SyncGroup: the leader hands in the assignment, everyone receives its part.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use wire::ErrorCode;

use super::{After, Effect, Reply, State, SyncAnswer, Turn, store};

/// See the module.
#[derive(Debug)]
pub(crate) struct SyncRequest<'a> {
    pub(crate) group: &'a str,
    pub(crate) generation: i32,
    pub(crate) member: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) protocol_type: Option<&'a str>,
    pub(crate) protocol: Option<&'a str>,
    /// The leader's.
    pub(crate) assignments: Vec<(Arc<str>, Bytes)>,
}

impl Turn<'_> {
    pub(in crate::group) fn sync(&mut self, request: SyncRequest<'_>, reply: Reply<SyncAnswer>) -> Effect {
        if let Err(error) = self.check_sync(&request) {
            reply.send(SyncAnswer::error(error));
            return Effect::default();
        }
        match self.group.state {
            State::Empty => reply.send(SyncAnswer::error(ErrorCode::UnknownMemberId)),
            State::PreparingRebalance => reply.send(SyncAnswer::error(ErrorCode::RebalanceInProgress)),
            State::CompletingRebalance => {
                self.note_sync(request.member);
                if let Some(member) = self.group.members.get_mut(request.member) {
                    member.await_sync(reply);
                }
                if self.group.is_leader(request.member) {
                    return self.take_assignment(request);
                }
            }
            State::Stable => {
                self.note_sync(request.member);
                reply.send(self.assignment_of(request.member));
            }
        }
        Effect::default()
    }

    fn note_sync(&mut self, member: &str) {
        self.group.unsynced.remove(member);
        if self.group.unsynced.is_empty() {
            self.timers.cancel(&self.sync_timer());
        }
    }

    fn check_sync(&self, request: &SyncRequest<'_>) -> Result<(), ErrorCode> {
        self.group.check_member(request.member, request.instance)?;
        if request.generation != self.group.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs =
            |said: Option<&str>, is: Option<&str>| matches!((said, is), (Some(a), Some(b)) if a != b);
        if differs(request.protocol_type, self.group.protocol_type.as_deref())
            || differs(request.protocol, self.group.protocol.as_deref())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// Nobody is told its part before all of it is written.
    fn take_assignment(&mut self, request: SyncRequest<'_>) -> Effect {
        let assignments: HashMap<Arc<str>, Bytes> = request.assignments.into_iter().collect();
        let record =
            store::record(self.group, |member| assignments.get(&member.id).cloned().unwrap_or_default());
        let generation = self.group.generation;
        match record {
            Ok(record) => {
                Effect { records: vec![record], after: Some(After::Assigned { generation, assignments }) }
            }
            Err(error) => {
                tracing::error!(%error, "an assignment cannot be written");
                self.settle_assigned(generation, &assignments, Err(ErrorCode::UnknownServerError))
            }
        }
    }

    /// The leader's assignment is written, or is not. Meanwhile another rebalance may have begun.
    pub(in crate::group) fn settle_assigned(
        &mut self,
        generation: i32,
        assignments: &HashMap<Arc<str>, Bytes>,
        outcome: Result<(), ErrorCode>,
    ) -> Effect {
        if self.group.state != State::CompletingRebalance || self.group.generation != generation {
            return Effect::default();
        }
        if let Err(error) = outcome {
            self.hand_out(|_| Bytes::new(), Some(error));
            return self.rebalance_or_complete("the assignment could not be written");
        }
        self.hand_out(|id| assignments.get(id).cloned().unwrap_or_default(), None);
        self.group.move_to(State::Stable, self.now);
        Effect::default()
    }

    /// What was assigned is void: who waits for it is to join again.
    pub(super) fn drop_assignments(&mut self) {
        self.hand_out(|_| Bytes::new(), Some(ErrorCode::RebalanceInProgress));
    }

    /// Gives each member its part and answers those that wait for it, whose sessions begin anew: they could not send
    /// heartbeats.
    fn hand_out(&mut self, part_of: impl Fn(&str) -> Bytes, error: Option<ErrorCode>) {
        let ids: Vec<Arc<str>> = self.group.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.group.members.get_mut(&id) else { continue };
            member.assignment = part_of(&id);
            let session_ms = member.session_timeout_ms.into();
            let answer = match error {
                Some(error) => SyncAnswer::error(error),
                None => self.assignment_of(&id),
            };
            let waited = self.group.members.get_mut(&id).is_some_and(|member| member.answer_sync(answer));
            if waited {
                self.expect_by(&id, session_ms);
            }
        }
    }

    fn assignment_of(&self, id: &str) -> SyncAnswer {
        SyncAnswer {
            error: ErrorCode::None,
            protocol_type: self.group.protocol_type.clone(),
            protocol: self.group.protocol.clone(),
            assignment: self
                .group
                .members
                .get(id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }
}
