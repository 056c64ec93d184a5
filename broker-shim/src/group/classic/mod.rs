//! Classic groups: members agree on a protocol, one of them assigns, the coordinator keeps them in step.
//!
//! ```text
//!          first join              all have joined, or time is up        the leader's assignment is written
//! Empty ------------> PreparingRebalance ------------> CompletingRebalance ------------> Stable
//!   ^                   |    ^    ^                          |                             |
//!   +-- none is left ---+    |    +--- join, leave, expiry --+                             |
//!                            +--------------- join, leave, expiry, leader joins again -----+
//! ```
//!
//! Pure: members, their answers that wait, deadlines and records to write; who sends and stores them is not known here.
//! The group is ahead of its records, as in Kafka: they are written for the next start. Rules are those of
//! `ClassicGroup` and the classic paths of `GroupMetadataManager`.

mod answer;
mod describe;
mod join;
mod leave;
mod member;
mod protocols;
mod rebalance;
mod session;
mod store;
mod sync;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use wire::ErrorCode;

pub(crate) use answer::{JoinAnswer, JoinedMember, Reply, SyncAnswer};
pub(crate) use join::JoinRequest;
pub(crate) use leave::{LeaveAnswer, Leaving};
pub(crate) use member::ClientFacts;
use member::Member;
use rebalance::InitialDelay;
use store::Unrecorded;
pub(crate) use sync::SyncRequest;

use super::{GroupConfig, state::GroupTimer};
use crate::coordinator::{Moment, Record, Timers};

/// What the members of a group are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There are none. Offsets may remain.
    Empty,
    /// They are to join again.
    PreparingRebalance,
    /// They have joined and wait for the leader's assignment.
    CompletingRebalance,
    /// They have their assignment.
    Stable,
}

impl State {
    /// Kafka's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The protocol type of groups of consumers.
const CONSUMER: &str = "consumer";

/// See the module.
#[derive(Debug)]
pub(super) struct ClassicGroup {
    pub(super) id: Arc<str>,
    state: State,
    /// Since when it is in this state, by the clock on the wall; unknown in records of old brokers.
    since: Option<i64>,
    generation: i32,
    protocol_type: Option<Box<str>>,
    protocol: Option<Box<str>>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Members by the name that they keep over restarts (KIP-345).
    instances: HashMap<Box<str>, Arc<str>>,
    /// Ids that were given out and have not joined yet (KIP-394).
    pending: HashSet<Arc<str>>,
    /// Members that have joined and not asked for their assignment yet.
    unsynced: HashSet<Arc<str>>,
    /// How long the first rebalance may still be put off.
    initial: Option<InitialDelay>,
    /// What the members subscribe to, where that is known.
    topics: Option<HashSet<Box<str>>>,
}

/// What an event asks to be written, and what follows.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) records: Vec<Record>,
    pub(super) after: Option<After>,
}

/// What follows once the records of an event are written, or are not.
#[derive(Debug)]
pub(super) enum After {
    /// The group's first record.
    Created,
    /// The leader's assignment.
    Assigned { generation: i32, assignments: HashMap<Arc<str>, Bytes> },
    /// A static member came back under another id.
    Replaced(Box<join::Replaced>),
}

/// A group in the moment of an event.
pub(super) struct Turn<'a> {
    pub(super) group: &'a mut ClassicGroup,
    pub(super) timers: &'a mut Timers<GroupTimer>,
    pub(super) config: &'a GroupConfig,
    pub(super) now: Moment,
}

impl ClassicGroup {
    /// A group without members, protocol or generation.
    pub(super) fn new(id: Arc<str>, now: Moment) -> Self {
        Self::simple(id, now.wall.get())
    }

    /// The same, of which only offsets are known that were written at a time.
    pub(super) fn simple(id: Arc<str>, written: i64) -> Self {
        Self {
            id,
            state: State::Empty,
            since: Some(written),
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            pending: HashSet::new(),
            unsynced: HashSet::new(),
            initial: None,
            topics: None,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    pub(super) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    /// Since when it is in its state, by the clock on the wall; unknown in records of old brokers.
    pub(super) fn since(&self) -> Option<i64> {
        self.since
    }

    pub(super) fn is_of_consumers(&self) -> bool {
        self.protocol_type() == CONSUMER
    }

    /// Whether it is known what the members subscribe to.
    pub(super) fn knows_topics(&self) -> bool {
        self.topics.is_some()
    }

    /// Whether a member reads the topic. Of consumers whose subscription cannot be read, every topic is assumed.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// Whether a request comes from who it says.
    pub(super) fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            let owner = self.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if **owner != *member {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    fn move_to(&mut self, state: State, now: Moment) {
        self.state = state;
        self.since = Some(now.wall.get());
    }

    /// The longest that a member may take to join again.
    fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| member.rebalance_timeout_ms.into()).max().unwrap_or(0)
    }

    fn all_have_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(Member::awaits_join)
    }

    fn awaiting_join(&self) -> usize {
        self.members.values().filter(|member| member.awaits_join()).count()
    }

    fn add(&mut self, member: Member) {
        if self.members.is_empty() {
            self.protocol_type = Some(member.protocol_type.clone());
        }
        if let Some(instance) = &member.instance {
            self.instances.insert(instance.clone(), Arc::clone(&member.id));
        }
        self.leader.get_or_insert_with(|| Arc::clone(&member.id));
        self.pending.remove(&member.id);
        self.members.insert(Arc::clone(&member.id), member);
    }

    /// A member, or an id that was given out, is gone.
    fn remove(&mut self, id: &str) -> Option<Member> {
        let removed = self.members.remove(id);
        if let Some(instance) = removed.as_ref().and_then(|member| member.instance.as_ref()) {
            self.instances.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending.remove(id);
        self.unsynced.remove(id);
        removed
    }
}

impl Effect {
    /// These records for the next start; `after` follows.
    fn of(record: Result<Record, Unrecorded>, after: Option<After>) -> Self {
        match record {
            Ok(record) => Self { records: vec![record], after },
            Err(error) => {
                tracing::error!(%error, "a group cannot be written");
                Self::default()
            }
        }
    }
}

impl Turn<'_> {
    fn session_timer(&self, member: &Arc<str>) -> GroupTimer {
        GroupTimer::Session(Arc::clone(&self.group.id), Arc::clone(member))
    }

    fn join_timer(&self) -> GroupTimer {
        GroupTimer::Join(Arc::clone(&self.group.id))
    }

    fn sync_timer(&self) -> GroupTimer {
        GroupTimer::Sync(Arc::clone(&self.group.id))
    }
}
