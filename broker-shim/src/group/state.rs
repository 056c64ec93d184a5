//! The state of one shard of `__consumer_offsets`: its groups and their offsets, as the records make them.
//!
//! What requests make of it is in `membership` (who is in a group), `committing` (offsets) and `admin` (looking and
//! deleting).

use std::{collections::HashMap, sync::Arc};

use log_engine::types::Sequence;
use wire::{ErrorCode, records::GroupMetadataValue};

use super::{
    GroupConfig,
    classic::{After, ClassicGroup, Effect, Turn},
    offsets::Offsets,
    records::{GroupRecord, Unwritable},
};
use crate::coordinator::{
    CoordinatorState, Decision, EndMarker, LogRecord, Moment, ReplayError, Timers, Write,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct GroupState {
    pub(super) config: Arc<GroupConfig>,
    pub(super) groups: HashMap<Arc<str>, Group>,
    pub(super) offsets: Offsets,
    pub(super) timers: Timers<GroupTimer>,
}

/// A group of one of the types that there are.
#[derive(Debug)]
pub(super) enum Group {
    Classic(ClassicGroup),
}

/// What deadlines of groups are for. Members and groups by their ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum GroupTimer {
    /// A member's session may have ended.
    Session(Arc<str>, Arc<str>),
    /// The members have had the time to join.
    Join(Arc<str>),
    /// The members have had the time to ask for their assignments.
    Sync(Arc<str>),
    /// Groups and offsets are looked through for those that nobody wants any more.
    Expiry,
}

/// What remains to be done once the records of a group are written, or are not.
#[derive(Debug)]
pub(crate) struct GroupAfter {
    group: Arc<str>,
    after: After,
}

impl GroupState {
    pub(super) fn new(config: Arc<GroupConfig>) -> Self {
        let (groups, offsets, timers) = (HashMap::new(), Offsets::default(), Timers::default());
        Self { config, groups, offsets, timers }
    }

    /// A classic group in the moment of an event.
    pub(super) fn turn(&mut self, group: &str, now: Moment) -> Option<Turn<'_>> {
        let Group::Classic(group) = self.groups.get_mut(group)?;
        Some(Turn { group, timers: &mut self.timers, config: &self.config, now })
    }

    pub(super) fn classic(&self, group: &str) -> Option<&ClassicGroup> {
        let Group::Classic(group) = self.groups.get(group)?;
        Some(group)
    }

    /// Makes a group without members where there is none of this id; says whether it did.
    pub(super) fn make_classic(&mut self, id: &str, now: Moment) -> bool {
        if self.groups.contains_key(id) {
            return false;
        }
        let id: Arc<str> = id.into();
        self.groups.insert(Arc::clone(&id), Group::Classic(ClassicGroup::new(id, now)));
        true
    }

    fn replay_group(&mut self, id: &str, value: Option<&GroupMetadataValue<'_>>) {
        match value {
            Some(value) => {
                let id: Arc<str> = id.into();
                let group = ClassicGroup::from_record(Arc::clone(&id), value);
                self.groups.insert(id, Group::Classic(group));
            }
            None => {
                self.groups.remove(id);
            }
        }
    }

    /// The id of a group that has offsets, if no more: one whose consumers assign partitions themselves.
    fn group_with_offsets(&mut self, id: &str, written: i64) -> Arc<str> {
        if let Some((id, _)) = self.groups.get_key_value(id) {
            return Arc::clone(id);
        }
        let id: Arc<str> = id.into();
        self.groups.insert(Arc::clone(&id), Group::Classic(ClassicGroup::simple(Arc::clone(&id), written)));
        id
    }
}

/// The decision that an effect on a classic group comes to.
pub(super) fn decision<R>(group: &str, effect: Effect, answer: R) -> Decision<GroupState, R> {
    let Effect { records, after } = effect;
    let after = after.map(|after| GroupAfter { group: group.into(), after });
    Decision { write: Write::for_the_start(records), after, answer }
}

pub(super) fn unwritable(error: &Unwritable) -> ErrorCode {
    tracing::warn!(%error, "a request of a group is refused");
    ErrorCode::UnknownServerError
}

impl CoordinatorState for GroupState {
    type Timer = GroupTimer;
    type After = GroupAfter;
    // As Kafka's coordinator runtime writes it.
    const BASE_SEQUENCE: Sequence = Sequence::new(0);

    fn replay(&mut self, record: &LogRecord<'_>) -> Result<(), ReplayError> {
        match GroupRecord::decode(record)? {
            GroupRecord::Offset(key, Some(value)) => {
                let producer = record.transaction.map(|transaction| transaction.producer_id);
                let group = self.group_with_offsets(&key.group, value.commit_timestamp);
                self.offsets.replay(record.offset, producer, (&group, &key.topic, key.partition), &value);
            }
            GroupRecord::Offset(key, None) => self.offsets.remove(&key.group, &key.topic, key.partition),
            GroupRecord::Group(key, value) => self.replay_group(&key.group, value.as_ref()),
        }
        Ok(())
    }

    fn replay_marker(&mut self, marker: EndMarker) {
        self.offsets.end_transaction(marker.transaction.producer_id, marker.outcome);
    }

    fn loaded(&mut self, now: Moment) {
        self.set_expiry(now);
        let groups: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for group in groups {
            if let Some(mut turn) = self.turn(&group, now) {
                turn.loaded();
            }
        }
    }

    fn settled(
        &mut self,
        GroupAfter { group, after }: GroupAfter,
        outcome: Result<(), ErrorCode>,
        now: Moment,
    ) {
        let Some(mut turn) = self.turn(&group, now) else { return };
        match after {
            After::Created if outcome.is_err() => {
                // Who waits in it hears that it is gone.
                self.groups.remove(&group);
            }
            After::Created => {}
            After::Assigned { generation, assignments } => {
                turn.settle_assigned(generation, &assignments, outcome);
            }
            After::Replaced(replaced) => turn.settle_replaced(*replaced, outcome),
        }
    }

    fn timers(&mut self) -> &mut Timers<GroupTimer> {
        &mut self.timers
    }

    fn fired(&mut self, timer: GroupTimer, now: Moment) -> Decision<Self> {
        let (group, effect) = match timer {
            GroupTimer::Expiry => return self.expire(now),
            GroupTimer::Session(group, member) => {
                let effect = self.turn(&group, now).map(|mut turn| turn.session_time_up(&member));
                (group, effect)
            }
            GroupTimer::Join(group) => {
                let effect = self.turn(&group, now).map(|mut turn| turn.join_time_up());
                (group, effect)
            }
            GroupTimer::Sync(group) => {
                let effect = self.turn(&group, now).map(|mut turn| turn.sync_time_up());
                (group, effect)
            }
        };
        decision(&group, effect.unwrap_or_default(), ())
    }
}
