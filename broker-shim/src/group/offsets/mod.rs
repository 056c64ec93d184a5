//! Committed offsets of the groups of a shard, and those that wait for their transactions.

pub(super) mod commit;
pub(super) mod fetch;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use log_engine::{
    batch::control::TxnOutcome,
    types::{Offset, ProducerId},
};
use wire::{primitives::Uuid, records::OffsetCommitValue};

/// A committed offset (Kafka's `OffsetAndMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// Below zero where the client did not say.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Box<str>,
    pub(crate) commit_timestamp: i64,
    /// When it expires, where the client said (up to version 4 of OffsetCommit).
    pub(crate) expire_timestamp: Option<i64>,
    /// Of the topic, where the client said.
    topic_id: Uuid,
    /// Of its record: of two, the later one counts.
    record_offset: Offset,
}

impl Committed {
    fn of_record(record_offset: Offset, value: &OffsetCommitValue<'_>) -> Self {
        Self {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.as_ref().into(),
            commit_timestamp: value.commit_timestamp,
            expire_timestamp: (value.expire_timestamp >= 0).then_some(value.expire_timestamp),
            topic_id: value.topic_id,
            record_offset,
        }
    }

    /// Whether it was committed for another topic that had the same name.
    fn is_of_another(&self, topic_id: Uuid) -> bool {
        self.topic_id != Uuid::ZERO && topic_id != Uuid::ZERO && self.topic_id != topic_id
    }
}

/// Offsets of one group.
type ByTopic = HashMap<Arc<str>, BTreeMap<i32, Committed>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    committed: HashMap<Arc<str>, ByTopic>,
    /// By the producer whose transaction is open.
    pending: HashMap<ProducerId, HashMap<Arc<str>, ByTopic>>,
    /// Names of topics, each held once.
    topics: HashSet<Arc<str>>,
}

impl Offsets {
    /// The committed offsets of a group.
    pub(super) fn of_group(&self, group: &str) -> impl Iterator<Item = (&Arc<str>, i32, &Committed)> {
        all_in(self.committed.get(group))
    }

    /// The partitions of which a group has committed an offset, or is about to.
    pub(super) fn all_of(&self, group: &str) -> BTreeSet<(&Arc<str>, i32)> {
        let pending = self.pending.values().flat_map(|groups| all_in(groups.get(group)));
        self.of_group(group).chain(pending).map(|(topic, partition, _)| (topic, partition)).collect()
    }

    /// The partitions of some topics of which a group has committed an offset, or is about to.
    pub(super) fn of_topics(&self, wanted: &[Arc<str>]) -> impl Iterator<Item = (&Arc<str>, &Arc<str>, i32)> {
        let groups = self.committed.keys().chain(self.pending.values().flat_map(HashMap::keys));
        let groups: BTreeSet<&Arc<str>> = groups.collect();
        groups.into_iter().flat_map(move |group| {
            let all = self.all_of(group).into_iter();
            let gone = all.filter(|(topic, _)| wanted.contains(topic));
            gone.map(move |(topic, partition)| (group, topic, partition)).collect::<Vec<_>>()
        })
    }

    /// The same by topic.
    pub(super) fn topics_of(
        &self,
        group: &str,
    ) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<i32, Committed>)> {
        self.committed.get(group).into_iter().flatten()
    }

    /// Whether there is an offset, or will be.
    pub(super) fn exists(&self, group: &str, topic: &str, partition: i32) -> bool {
        self.get(group, topic, partition).is_some() || self.is_pending(group, topic, partition)
    }

    /// Whether a transaction is open that commits offsets of the group.
    pub(super) fn has_pending(&self, group: &str) -> bool {
        self.pending.values().any(|groups| groups.contains_key(group))
    }

    pub(super) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.committed.get(group)?.get(topic)?.get(&partition)
    }

    /// Whether a transaction is open that commits an offset of this partition.
    pub(super) fn is_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        let holds = |groups: &HashMap<Arc<str>, ByTopic>| {
            groups.get(group).and_then(|topics| topics.get(topic)?.get(&partition)).is_some()
        };
        self.pending.values().any(holds)
    }

    /// A record of an offset was written; with `producer`, in an open transaction.
    pub(super) fn replay(
        &mut self,
        record_offset: Offset,
        producer: Option<ProducerId>,
        (group, topic, partition): (&Arc<str>, &str, i32),
        value: &OffsetCommitValue<'_>,
    ) {
        let committed = Committed::of_record(record_offset, value);
        let groups = match producer {
            None => &mut self.committed,
            Some(producer) => self.pending.entry(producer).or_default(),
        };
        // Hardly ever a group or a topic that is new: what is looked up a million times at a start is looked up once each.
        if let Some(partitions) = groups.get_mut(group).and_then(|topics| topics.get_mut(topic)) {
            partitions.insert(partition, committed);
            return;
        }
        let topic = name_of(&mut self.topics, topic);
        put(groups, group, topic, partition, committed);
    }

    /// A tombstone was written: nothing is left of the offset, and none that is pending will come.
    pub(super) fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        remove(&mut self.committed, group, topic, partition);
        for groups in self.pending.values_mut() {
            remove(groups, group, topic, partition);
        }
    }

    /// The transaction of a producer has ended. Of two offsets of a partition the one whose record is the later stays: where
    /// compaction has removed the older, loading must come to the same.
    pub(super) fn end_transaction(&mut self, producer: ProducerId, outcome: TxnOutcome) {
        let Some(groups) = self.pending.remove(&producer) else { return };
        if outcome == TxnOutcome::Abort {
            return;
        }
        for (group, topics) in groups {
            for (topic, partitions) in topics {
                for (partition, committed) in partitions {
                    let newer = |there: &Committed| there.record_offset > committed.record_offset;
                    if !self.get(&group, &topic, partition).is_some_and(newer) {
                        put(&mut self.committed, &group, Arc::clone(&topic), partition, committed);
                    }
                }
            }
        }
    }
}

/// A topic's name, of which one is kept.
fn name_of(topics: &mut HashSet<Arc<str>>, topic: &str) -> Arc<str> {
    if let Some(name) = topics.get(topic) {
        return Arc::clone(name);
    }
    let name: Arc<str> = topic.into();
    topics.insert(Arc::clone(&name));
    name
}

fn all_in(topics: Option<&ByTopic>) -> impl Iterator<Item = (&Arc<str>, i32, &Committed)> {
    topics.into_iter().flatten().flat_map(|(topic, partitions)| {
        partitions.iter().map(move |(partition, committed)| (topic, *partition, committed))
    })
}

fn put(
    groups: &mut HashMap<Arc<str>, ByTopic>,
    group: &Arc<str>,
    topic: Arc<str>,
    partition: i32,
    committed: Committed,
) {
    groups.entry(Arc::clone(group)).or_default().entry(topic).or_default().insert(partition, committed);
}

fn remove(groups: &mut HashMap<Arc<str>, ByTopic>, group: &str, topic: &str, partition: i32) {
    let Some(topics) = groups.get_mut(group) else { return };
    let Some(partitions) = topics.get_mut(topic) else { return };
    partitions.remove(&partition);
    if partitions.is_empty() {
        topics.remove(topic);
    }
    if topics.is_empty() {
        groups.remove(group);
    }
}
