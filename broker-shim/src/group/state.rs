//! The state of one shard of `__consumer_offsets`, and what requests make of it.

use std::sync::Arc;

use wire::ErrorCode;

use super::{
    GroupConfig,
    offsets::{
        Committed, Offsets,
        commit::{self, NewOffset},
        expire,
        fetch::{self, FetchedTopic, Stability},
    },
    records::{self, GroupRecord, Unwritable},
};
use crate::coordinator::{
    CoordinatorState, Decision, EndMarker, LogRecord, Moment, Record, ReplayError, Timers,
};

/// Offsets that a client commits outside a transaction.
#[derive(Clone, Debug)]
pub(crate) struct CommitRequest<'a> {
    pub(crate) group: &'a str,
    pub(crate) generation: i32,
    /// How long the offsets are kept, where the client says.
    pub(crate) retention_ms: Option<i64>,
    pub(crate) offsets: Vec<NewOffset<'a>>,
}

/// Committed offsets that a client asks for.
#[derive(Clone, Debug)]
pub(crate) struct FetchRequest<'a> {
    pub(crate) group: &'a str,
    /// `None` for all that there are.
    pub(crate) topics: Option<Vec<(Arc<str>, &'a [i32])>>,
    pub(crate) stability: Stability,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct GroupState {
    config: Arc<GroupConfig>,
    offsets: Offsets,
    timers: Timers<GroupTimer>,
}

/// What deadlines of groups are for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum GroupTimer {
    /// Offsets are looked through for those that nobody wants any more.
    ExpireOffsets,
}

impl GroupState {
    pub(super) fn new(config: Arc<GroupConfig>) -> Self {
        Self { config, offsets: Offsets::default(), timers: Timers::default() }
    }

    pub(super) fn commit(
        &self,
        request: &CommitRequest<'_>,
        now: Moment,
    ) -> Result<Decision<Self, Vec<ErrorCode>>, ErrorCode> {
        // There are no members yet that could have a generation.
        if request.generation >= 0 {
            return Err(ErrorCode::IllegalGeneration);
        }
        let (records, codes) =
            commit::decide(&self.config, request.group, &request.offsets, request.retention_ms, now.wall)
                .map_err(|error| unwritable(&error))?;
        Ok(Decision::records(records, codes))
    }

    pub(super) fn fetch(&self, request: &FetchRequest<'_>) -> Vec<FetchedTopic> {
        let Some(topics) = &request.topics else {
            return fetch::all(&self.offsets, request.group, request.stability);
        };
        let of_topic = |(name, partitions): &(Arc<str>, &[i32])| {
            let one =
                |number: &i32| fetch::one(&self.offsets, request.group, name, *number, request.stability);
            let partitions = partitions.iter().map(|number| (*number, one(number))).collect();
            FetchedTopic { name: Arc::clone(name), partitions }
        };
        topics.iter().map(of_topic).collect()
    }
}

impl GroupState {
    fn set_expiry(&mut self, now: Moment) {
        self.timers.set(GroupTimer::ExpireOffsets, now.ticks.plus_ms(self.config.expiry_check_interval_ms));
    }

    /// Tombstones of what has expired.
    fn expired_offsets(&self, now: Moment) -> Vec<Record> {
        let groups = self.offsets.groups();
        let expired = groups.flat_map(|group| {
            let is_over = |committed: &Committed| {
                expire::is_over(
                    committed,
                    committed.commit_timestamp,
                    self.config.offsets_retention_ms,
                    now.wall,
                )
            };
            expire::expired(&self.offsets, group, is_over)
                .map(move |(topic, partition)| records::offset_commit(group, topic, partition, None))
        });
        expired
            .filter_map(|record| record.map_err(|error| unwritable(&error)).ok())
            .take(EXPIRED_AT_ONCE)
            .collect()
    }
}

/// Most tombstones of one batch; the rest waits for the next look.
const EXPIRED_AT_ONCE: usize = 10_000;

fn unwritable(error: &Unwritable) -> ErrorCode {
    tracing::warn!(%error, "a request of a group is refused");
    ErrorCode::UnknownServerError
}

impl CoordinatorState for GroupState {
    type Timer = GroupTimer;
    type After = ();

    fn replay(&mut self, record: &LogRecord<'_>) -> Result<(), ReplayError> {
        match GroupRecord::decode(record)? {
            GroupRecord::Offset(key, Some(value)) => {
                let producer = record.transaction.map(|transaction| transaction.producer_id);
                let group: Arc<str> = (&*key.group).into();
                self.offsets.replay(record.offset, producer, (&group, &key.topic, key.partition), &value);
            }
            GroupRecord::Offset(key, None) => self.offsets.remove(&key.group, &key.topic, key.partition),
        }
        Ok(())
    }

    fn replay_marker(&mut self, marker: EndMarker) {
        self.offsets.end_transaction(marker.transaction.producer_id, marker.outcome);
    }

    fn loaded(&mut self, now: Moment) {
        self.set_expiry(now);
    }

    fn settled(&mut self, (): (), _outcome: Result<(), ErrorCode>, _now: Moment) {}

    fn timers(&mut self) -> &mut Timers<GroupTimer> {
        &mut self.timers
    }

    fn fired(&mut self, timer: GroupTimer, now: Moment) -> Decision<Self> {
        match timer {
            GroupTimer::ExpireOffsets => {
                self.set_expiry(now);
                Decision::records(self.expired_offsets(now), ())
            }
        }
    }
}
