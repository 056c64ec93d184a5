//! A rebalance: it is prepared until all members have joined or their time is up, and then a generation begins.

use std::sync::Arc;

use super::{Effect, Member, State, Turn, store};

/// How long the first rebalance of a group without members is put off, so that those that start together join together
/// (KIP-134).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// The wait that is under way.
    waiting_ms: i64,
    /// What may still be waited after it.
    remaining_ms: i64,
    /// Whether somebody has joined since the wait began.
    pub(super) somebody_came: bool,
}

impl Turn<'_> {
    /// Something has changed that the members must agree on.
    pub(super) fn rebalance_or_complete(&mut self, reason: &str) -> Effect {
        match self.group.state {
            State::PreparingRebalance => self.complete_if_all_joined(),
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(reason),
        }
    }

    pub(in crate::group) fn prepare_rebalance(&mut self, reason: &str) -> Effect {
        if self.group.state == State::CompletingRebalance {
            self.drop_assignments();
        }
        self.forget_unsynced();
        let was_empty = self.group.is_empty();
        self.group.move_to(State::PreparingRebalance, self.now);
        tracing::info!(group = %self.group.id, generation = self.group.generation, reason, "a rebalance is prepared");
        if !was_empty {
            return self.complete_or_wait();
        }
        let waiting_ms = self.config.initial_rebalance_delay_ms;
        let remaining_ms = (self.group.rebalance_timeout_ms() - waiting_ms).max(0);
        self.group.initial = Some(InitialDelay { waiting_ms, remaining_ms, somebody_came: false });
        self.timers.set(self.join_timer(), self.now.ticks.plus_ms(waiting_ms));
        Effect::default()
    }

    fn complete_or_wait(&mut self) -> Effect {
        if self.group.all_have_joined() {
            return self.complete_join();
        }
        self.wait_for_members();
        Effect::default()
    }

    fn wait_for_members(&mut self) {
        let until = self.now.ticks.plus_ms(self.group.rebalance_timeout_ms());
        self.timers.set(self.join_timer(), until);
    }

    /// The first rebalance of a group is completed by time alone.
    pub(super) fn complete_if_all_joined(&mut self) -> Effect {
        let is_due = self.group.state == State::PreparingRebalance
            && self.group.initial.is_none()
            && self.group.all_have_joined();
        if is_due { self.complete_join() } else { Effect::default() }
    }

    /// The time for joining is up.
    pub(in crate::group) fn join_time_up(&mut self) -> Effect {
        if self.group.state != State::PreparingRebalance {
            return Effect::default();
        }
        match self.group.initial {
            Some(InitialDelay { waiting_ms, remaining_ms, somebody_came: true }) if remaining_ms > 0 => {
                let next_ms = self.config.initial_rebalance_delay_ms.min(remaining_ms);
                let remaining_ms = (remaining_ms - waiting_ms).max(0);
                let delay = InitialDelay { waiting_ms: next_ms, remaining_ms, somebody_came: false };
                self.group.initial = Some(delay);
                self.timers.set(self.join_timer(), self.now.ticks.plus_ms(next_ms));
                Effect::default()
            }
            _ => self.complete_join(),
        }
    }

    /// Whoever has not joined is out, but for static members, whose session may still bring them back. With the others a
    /// generation begins.
    pub(super) fn complete_join(&mut self) -> Effect {
        self.timers.cancel(&self.join_timer());
        self.group.initial = None;
        self.remove_late_members();
        if !self.group.members.is_empty() && !self.leader_has_joined() {
            // Static members only, none of which is back yet.
            self.wait_for_members();
            return Effect::default();
        }
        self.begin_generation();
        if self.group.is_empty() {
            return Effect::of(store::record(self.group, |_| bytes::Bytes::new()), None);
        }
        self.tell_members();
        Effect::default()
    }

    fn remove_late_members(&mut self) {
        let is_late = |member: &&Member| !member.awaits_join() && !member.is_static();
        let late: Vec<Arc<str>> =
            self.group.members.values().filter(is_late).map(|member| Arc::clone(&member.id)).collect();
        for member in late {
            tracing::info!(group = %self.group.id, %member, "a member has not joined in time and is removed");
            self.group.remove(&member);
            self.timers.cancel(&self.session_timer(&member));
        }
    }

    /// If the leader has not joined, one who has leads from now on.
    fn leader_has_joined(&mut self) -> bool {
        let leader = self.group.leader.as_ref().and_then(|id| self.group.members.get(id));
        if leader.is_some_and(Member::awaits_join) {
            return true;
        }
        let next = self.group.members.values().find(|member| member.awaits_join());
        match next.map(|member| Arc::clone(&member.id)) {
            Some(next) => {
                self.group.leader = Some(next);
                true
            }
            None => false,
        }
    }

    fn begin_generation(&mut self) {
        self.group.generation = self.group.generation.wrapping_add(1);
        self.group.protocol = self.group.elected_protocol();
        self.group.topics = self.group.subscribed_topics();
        self.group.unsynced.clear();
        let state = if self.group.members.is_empty() { State::Empty } else { State::CompletingRebalance };
        self.group.move_to(state, self.now);
        let (generation, members) = (self.group.generation, self.group.members.len());
        tracing::info!(group = %self.group.id, generation, members, "a generation begins");
    }

    /// Everyone learns of the generation, and has to ask for its assignment in time.
    fn tell_members(&mut self) {
        let ids: Vec<Arc<str>> = self.group.members.keys().cloned().collect();
        for id in &ids {
            let answer = self.group.joined(id);
            let Some(member) = self.group.members.get_mut(id) else { continue };
            member.answer_join(answer);
            member.is_new = false;
            let session_ms = member.session_timeout_ms.into();
            self.expect_by(id, session_ms);
        }
        self.group.unsynced = ids.into_iter().collect();
        let until = self.now.ticks.plus_ms(self.group.rebalance_timeout_ms());
        self.timers.set(self.sync_timer(), until);
    }

    /// Members that have joined, but have not asked for their assignment in time, are out.
    pub(in crate::group) fn sync_time_up(&mut self) -> Effect {
        let is_over = matches!(self.group.state, State::CompletingRebalance | State::Stable);
        if !is_over || self.group.unsynced.is_empty() {
            return Effect::default();
        }
        for member in std::mem::take(&mut self.group.unsynced) {
            tracing::info!(group = %self.group.id, %member, "a member has not asked for its assignment and is removed");
            self.group.remove(&member);
            self.timers.cancel(&self.session_timer(&member));
        }
        self.prepare_rebalance("members did not ask for their assignments")
    }

    pub(super) fn forget_unsynced(&mut self) {
        self.group.unsynced.clear();
        self.timers.cancel(&self.sync_timer());
    }
}
