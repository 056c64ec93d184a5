//! JoinGroup: a new member, one that comes back, or one that joins the next generation.

use std::sync::Arc;

use bytes::Bytes;
use wire::ErrorCode;

use super::{
    After, ClassicGroup, ClientFacts, Effect, JoinAnswer, JoinedMember, Reply, State, Turn,
    member::{Described, Member, Protocol},
    store,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct JoinRequest<'a> {
    pub(crate) version: i16,
    pub(crate) group: &'a str,
    /// Empty for one who has no id yet.
    pub(crate) member: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) client: ClientFacts<'a>,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocol_type: &'a str,
    pub(crate) protocols: Vec<Protocol>,
    /// What makes a new member's id one of a kind.
    pub(crate) unique: &'a str,
}

/// From this version on a member without an id is told one, and joins with it (KIP-394).
const FIRST_WITH_KNOWN_ID: i16 = 4;
/// From this version on a leader can be told that its assignment stands (KIP-814).
const FIRST_WITH_SKIPPED_ASSIGNMENT: i16 = 9;

/// How long a new member's request may wait: its client cannot be seen to be gone.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// What a static member was before it came back, should that fail to be written.
#[derive(Debug)]
pub(in crate::group) struct Replaced {
    version: i16,
    old: Arc<str>,
    new: Arc<str>,
    leader: Option<Arc<str>>,
    protocols: Vec<Protocol>,
    rebalance_timeout_ms: i32,
    session_timeout_ms: i32,
}

impl Turn<'_> {
    pub(in crate::group) fn join(&mut self, request: JoinRequest<'_>, reply: Reply<JoinAnswer>) -> Effect {
        if !self.has_room_for(request.member) {
            self.group.remove(request.member);
            reply.send(JoinAnswer::error("", ErrorCode::GroupMaxSizeReached));
            return Effect::default();
        }
        if !self.group.accepts(request.protocol_type, &request.protocols) {
            reply.send(JoinAnswer::error(request.member, ErrorCode::InconsistentGroupProtocol));
            return Effect::default();
        }
        if request.member.is_empty() {
            self.join_as_new(request, reply)
        } else {
            self.join_again(request, reply)
        }
    }

    /// Who waits already may go on waiting; others are let in up to `group.max.size`.
    fn has_room_for(&self, member: &str) -> bool {
        let known = self.group.members.get(member);
        let max = self.config.max_size;
        match self.group.state {
            State::Empty => true,
            // Not the number of members: of a group that is too large already, the last to join are left out.
            State::PreparingRebalance => {
                known.is_some_and(Member::awaits_join) || self.group.awaiting_join() < max
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.group.members.len() < max,
        }
    }

    fn join_as_new(&mut self, request: JoinRequest<'_>, reply: Reply<JoinAnswer>) -> Effect {
        let name = request.instance.unwrap_or(request.client.id);
        let id: Arc<str> = format!("{name}-{}", request.unique).into();
        let Some(instance) = request.instance else {
            if request.version < FIRST_WITH_KNOWN_ID {
                return self.add_and_rebalance(id, request, reply);
            }
            self.group.pending.insert(Arc::clone(&id));
            let until = self.now.ticks.plus_ms(request.session_timeout_ms.into());
            self.timers.set(self.session_timer(&id), until);
            reply.send(JoinAnswer::error(id, ErrorCode::MemberIdRequired));
            return Effect::default();
        };
        match self.group.instances.get(instance).cloned() {
            Some(old) => self.replace_static(&old, &id, request, reply),
            None => self.add_and_rebalance(id, request, reply),
        }
    }

    fn join_again(&mut self, request: JoinRequest<'_>, reply: Reply<JoinAnswer>) -> Effect {
        if self.group.pending.contains(request.member) && request.instance.is_none() {
            return self.add_and_rebalance(request.member.into(), request, reply);
        }
        if let Err(error) = self.group.check_member(request.member, request.instance) {
            reply.send(JoinAnswer::error(request.member, error));
            return Effect::default();
        }
        let is_leader = self.group.is_leader(request.member);
        let unchanged = self
            .group
            .members
            .get(request.member)
            .is_some_and(|member| member.protocols == request.protocols);
        match self.group.state {
            // It may not have received its answer: here it is again.
            State::CompletingRebalance if unchanged => {
                reply.send(self.group.joined(request.member));
                Effect::default()
            }
            // A leader that joins again asks for a new assignment, of topics that have changed, for instance.
            State::Stable if unchanged && !is_leader => {
                reply.send(self.group.joined(request.member));
                Effect::default()
            }
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                self.update(&request, Some(reply));
                self.rebalance_or_complete("a member joins again")
            }
            State::Empty => {
                reply.send(JoinAnswer::error(request.member, ErrorCode::UnknownMemberId));
                Effect::default()
            }
        }
    }

    fn add_and_rebalance(
        &mut self,
        id: Arc<str>,
        request: JoinRequest<'_>,
        reply: Reply<JoinAnswer>,
    ) -> Effect {
        let mut member = Member::new(Described {
            id: Arc::clone(&id),
            instance: request.instance.map(Into::into),
            client_id: request.client.id.into(),
            client_host: request.client.host.into(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocol_type: request.protocol_type.into(),
            protocols: request.protocols,
            assignment: Bytes::new(),
        });
        member.is_new = true;
        member.await_join(reply);
        self.group.add(member);
        if let Some(initial) = &mut self.group.initial {
            initial.somebody_came = true;
        }
        self.expect_by(&id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete("a member joins")
    }

    /// What a member tells anew with each JoinGroup.
    fn update(&mut self, request: &JoinRequest<'_>, reply: Option<Reply<JoinAnswer>>) {
        if let Some(member) = self.group.members.get_mut(request.member) {
            member.protocols.clone_from(&request.protocols);
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
            member.session_timeout_ms = request.session_timeout_ms;
            if let Some(reply) = reply {
                member.await_join(reply);
            }
        }
    }

    /// A static member without an id takes the place of the one with its name. Where the group is stable and goes on with
    /// the same protocol, the others do not notice.
    fn replace_static(
        &mut self,
        old: &Arc<str>,
        new: &Arc<str>,
        request: JoinRequest<'_>,
        reply: Reply<JoinAnswer>,
    ) -> Effect {
        let leader = self.group.leader.clone();
        self.timers.cancel(&self.session_timer(old));
        let Some(before) = self.group.rename(old, new) else { return Effect::default() };
        let JoinRequest { version, session_timeout_ms, .. } = request;
        self.update(&JoinRequest { member: new, ..request }, Some(reply));
        self.expect_by(new, session_timeout_ms.into());
        let replaced = Replaced { version, old: Arc::clone(old), new: Arc::clone(new), leader, ..before };
        match self.group.state {
            State::Stable if self.group.protocol == self.group.elected_protocol() => {
                let record = store::record(self.group, |member| member.assignment.clone());
                Effect::of(record, Some(After::Replaced(Box::new(replaced))))
            }
            State::Stable => self.rebalance_or_complete("a static member comes back with other protocols"),
            // The old id may be in the assignment that the leader is about to send.
            State::CompletingRebalance => self.prepare_rebalance("a static member comes back"),
            State::PreparingRebalance => self.complete_if_all_joined(),
            State::Empty => Effect::default(),
        }
    }

    /// The record of a static member that came back is written, or is not.
    pub(in crate::group) fn settle_replaced(&mut self, replaced: Replaced, outcome: Result<(), ErrorCode>) {
        let new = &replaced.new;
        let mut answer = self.group.joined(new);
        match outcome {
            Err(error) => {
                answer = JoinAnswer {
                    error,
                    member: "".into(),
                    leader: replaced.leader.clone().unwrap_or_default(),
                    members: Vec::new(),
                    ..answer
                };
            }
            Ok(()) if replaced.version >= FIRST_WITH_SKIPPED_ASSIGNMENT => {
                answer.skip_assignment = self.group.is_leader(new);
            }
            // It must not take itself for the leader: it would assign, and nobody would follow.
            Ok(()) => {
                answer.leader = replaced.leader.clone().unwrap_or_default();
                answer.members = Vec::new();
            }
        }
        if let Some(member) = self.group.members.get_mut(new) {
            member.answer_join(answer);
        }
        if outcome.is_err() {
            self.undo_replaced(replaced);
        }
    }

    fn undo_replaced(&mut self, replaced: Replaced) {
        let Replaced { old, new, protocols, rebalance_timeout_ms, session_timeout_ms, .. } = replaced;
        self.timers.cancel(&self.session_timer(&new));
        if self.group.rename(&new, &old).is_none() {
            return;
        }
        if let Some(member) = self.group.members.get_mut(&old) {
            member.protocols = protocols;
            member.rebalance_timeout_ms = rebalance_timeout_ms;
            member.session_timeout_ms = session_timeout_ms;
        }
        self.expect_by(&old, session_timeout_ms.into());
    }
}

impl ClassicGroup {
    /// Gives a static member another id, and says what it was. Who waits under the old one is fenced.
    fn rename(&mut self, old: &Arc<str>, new: &Arc<str>) -> Option<Replaced> {
        let mut member = self.members.remove(old)?;
        member.fence();
        member.id = Arc::clone(new);
        member.is_new = false;
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), Arc::clone(new));
        }
        if self.is_leader(old) {
            self.leader = Some(Arc::clone(new));
        }
        let before = Replaced {
            version: 0,
            old: Arc::clone(old),
            new: Arc::clone(new),
            leader: None,
            protocols: member.protocols.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
        };
        self.members.insert(Arc::clone(new), member);
        Some(before)
    }

    /// What a member is told of the generation that has begun.
    pub(super) fn joined(&self, id: &str) -> JoinAnswer {
        JoinAnswer {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member: id.into(),
            members: if self.is_leader(id) { self.for_the_leader() } else { Vec::new() },
        }
    }

    fn for_the_leader(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values().map(|member| JoinedMember {
            id: Arc::clone(&member.id),
            instance: member.instance.clone(),
            metadata: member.metadata(protocol),
        });
        members.collect()
    }
}
