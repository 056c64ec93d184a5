//! Groups and offsets that nobody wants any more (KIP-211).

use std::sync::Arc;

use super::{
    classic::{ClassicGroup, State},
    offsets::Committed,
    records,
    state::{GroupState, GroupTimer},
};
use crate::coordinator::{Decision, Moment, Record};

/// Records after which a look is broken off: they are one batch. The rest is looked at soon after.
const RECORDS_AT_ONCE: usize = 10_000;

/// When the look is gone on with.
const SOON_MS: i64 = 10;

/// Since when an offset counts as unwanted.
enum Since {
    /// The group has lost its last member.
    Empty(i64),
    /// It was committed.
    Committed,
}

impl GroupState {
    pub(super) fn set_expiry(&mut self, now: Moment) {
        let at = now.ticks.plus_ms(self.config.expiry_check_interval_ms);
        self.timers.set(GroupTimer::Expiry, at);
    }

    /// Tombstones for all that has expired.
    pub(super) fn expire(&mut self, now: Moment) -> Decision<Self> {
        self.set_expiry(now);
        let mut records = Vec::new();
        for id in self.groups.keys() {
            self.expire_group(id, now, &mut records);
            if records.len() >= RECORDS_AT_ONCE {
                self.timers.set(GroupTimer::Expiry, now.ticks.plus_ms(SOON_MS));
                break;
            }
        }
        Decision::records(records, ())
    }

    fn expire_group(&self, id: &Arc<str>, now: Moment, records: &mut Vec<Record>) {
        let Some(group) = self.classic(id) else { return };
        let mut keeps_some = self.offsets.has_pending(id);
        match since(group) {
            Some(since) => {
                for (topic, partition, committed) in self.offsets.of_group(id) {
                    let is_wanted = group.is_subscribed(topic)
                        || !self.is_over(committed, &since, now)
                        || self.offsets.is_pending(id, topic, partition);
                    if is_wanted {
                        keeps_some = true;
                    } else {
                        records.extend(self.tombstone(id, topic, partition).ok());
                    }
                }
            }
            None => keeps_some |= self.offsets.of_group(id).next().is_some(),
        }
        if !keeps_some && group.is_empty() {
            records.extend(records::group_metadata(id, None).ok());
        }
    }

    fn is_over(&self, committed: &Committed, since: &Since, now: Moment) -> bool {
        let since = match since {
            Since::Empty(since) => *since,
            Since::Committed => committed.commit_timestamp,
        };
        match committed.expire_timestamp {
            Some(expires) => now.wall.get() >= expires,
            None => now.wall.get().saturating_sub(since) >= self.config.offsets_retention_ms,
        }
    }
}

/// Kafka's `ClassicGroup.offsetExpirationCondition`: nothing expires of a group that is between two states, or of which it
/// is not known what it reads.
fn since(group: &ClassicGroup) -> Option<Since> {
    if group.protocol_type().is_empty() {
        return Some(Since::Committed);
    }
    match group.state() {
        State::Empty => Some(group.since().map_or(Since::Committed, Since::Empty)),
        State::Stable if group.is_of_consumers() && group.knows_topics() => Some(Since::Committed),
        _ => None,
    }
}
