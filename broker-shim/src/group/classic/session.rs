//! Sessions: a member that sends no heartbeats for too long is out.
//!
//! A heartbeat only moves the member's deadline. Its timer stays, and is set again when it comes and finds the deadline
//! moved: a heartbeat costs no more than looking the member up.

use std::sync::Arc;

use wire::ErrorCode;

use super::{Effect, JoinAnswer, State, Turn};

impl Turn<'_> {
    /// Heartbeat: whether the member may go on.
    pub(in crate::group) fn heartbeat(
        &mut self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> ErrorCode {
        if let Err(error) = self.group.check_member(member, instance) {
            return error;
        }
        if generation != self.group.generation {
            return ErrorCode::IllegalGeneration;
        }
        self.keep_alive(member);
        match self.group.state {
            State::Empty => ErrorCode::UnknownMemberId,
            State::PreparingRebalance => ErrorCode::RebalanceInProgress,
            State::CompletingRebalance | State::Stable => ErrorCode::None,
        }
    }

    /// The member was heard of.
    pub(in crate::group) fn keep_alive(&mut self, member: &str) {
        let Some(member) = self.group.members.get_mut(member) else { return };
        member.deadline = self.now.ticks.plus_ms(member.session_timeout_ms.into());
        let timer = super::GroupTimer::Session(Arc::clone(&self.group.id), Arc::clone(&member.id));
        if !self.timers.is_set(&timer) {
            self.timers.set(timer, member.deadline);
        }
    }

    /// The member must be heard of within this time.
    pub(super) fn expect_by(&mut self, member: &Arc<str>, within_ms: i64) {
        let deadline = self.now.ticks.plus_ms(within_ms);
        if let Some(member) = self.group.members.get_mut(member) {
            member.deadline = deadline;
        }
        self.timers.set(self.session_timer(member), deadline);
    }

    /// A session's timer has come.
    pub(in crate::group) fn session_time_up(&mut self, id: &Arc<str>) -> Effect {
        if self.group.pending.contains(id) {
            tracing::info!(group = %self.group.id, member = %id, "a member was told its id and did not join");
            self.group.remove(id);
            return self.complete_if_nobody_is_missing();
        }
        let Some(member) = self.group.members.get(id) else { return Effect::default() };
        if member.deadline > self.now.ticks {
            let deadline = member.deadline;
            self.timers.set(self.session_timer(id), deadline);
            return Effect::default();
        }
        if member.is_excused() {
            return Effect::default();
        }
        tracing::info!(group = %self.group.id, member = %id, "a member's session has ended");
        self.dismiss(id);
        match self.group.state {
            State::Empty | State::PreparingRebalance => self.complete_if_nobody_is_missing(),
            State::CompletingRebalance | State::Stable => self.prepare_rebalance("a session has ended"),
        }
    }

    /// Also where the first rebalance could still be put off, as in Kafka.
    fn complete_if_nobody_is_missing(&mut self) -> Effect {
        if self.group.state == State::PreparingRebalance && self.group.all_have_joined() {
            return self.complete_join();
        }
        Effect::default()
    }

    /// Removes a member. If it waits in a rebalance it is told to start anew, should it still be there.
    pub(super) fn dismiss(&mut self, id: &str) {
        if let Some(mut member) = self.group.remove(id) {
            self.timers.cancel(&self.session_timer(&member.id));
            member.answer_join(JoinAnswer::error("", ErrorCode::UnknownMemberId));
        }
    }
}
