//! OffsetFetch: what a group has committed.

use std::sync::Arc;

use wire::{ErrorCode, primitives::Uuid};

use super::{Committed, Offsets};

/// Offsets of one topic.
#[derive(Clone, Debug)]
pub(crate) struct FetchedTopic {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: Vec<(i32, FetchedOffset)>,
}

/// The offset; nothing where none was committed; an error where it will change.
pub(crate) type FetchedOffset = Result<Option<Committed>, ErrorCode>;

/// Whether an offset may be shown while a transaction is open that commits another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stability {
    AsItIs,
    Required,
}

/// The offset of one partition.
pub(in crate::group) fn one(
    offsets: &Offsets,
    group: &str,
    (topic, topic_id): (&str, Uuid),
    partition: i32,
    stability: Stability,
) -> FetchedOffset {
    if stability == Stability::Required && offsets.is_pending(group, topic, partition) {
        return Err(ErrorCode::UnstableOffsetCommit);
    }
    Ok(offsets.get(group, topic, partition).filter(|found| !found.is_of_another(topic_id)).cloned())
}

/// All that a group has committed.
pub(in crate::group) fn all(offsets: &Offsets, group: &str, stability: Stability) -> Vec<FetchedTopic> {
    let of_topic = |(name, partitions): (&Arc<str>, &std::collections::BTreeMap<i32, Committed>)| {
        let numbers = partitions.keys();
        let partitions = numbers
            .map(|number| (*number, one(offsets, group, (name, Uuid::ZERO), *number, stability)))
            .collect();
        FetchedTopic { name: Arc::clone(name), partitions }
    };
    offsets.topics_of(group).map(of_topic).collect()
}
