//! The one table of topic keys, and which broker keys give their defaults.

use super::value::{
    self,
    Kind::{self, Boolean, Double, Int, List, Long, String as Text},
    Range::{self, Any, AtLeast, Between, BetweenOr, OneOf, Replicas},
    ValueError,
};

/// A broker key from which a topic key's default comes, and the factor from its unit to the topic key's.
#[derive(Clone, Copy, Debug)]
pub struct Synonym {
    /// Name of the broker key.
    pub key: &'static str,
    /// Topic value = broker value times this.
    pub factor: i64,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct TopicKey {
    /// Name among a topic's configuration.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// Values that are allowed.
    pub range: Range,
    /// Value where neither topic nor broker gives one.
    pub default: &'static str,
    /// Broker keys that give its default, the first that is set counts.
    pub synonyms: &'static [Synonym],
    /// What it means.
    pub doc: &'static str,
}

/// The row of a topic key.
pub fn find(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}

/// Checks one topic key and its value.
pub fn check(key: &TopicKey, value: &str) -> Result<(), ValueError> {
    value::check(key.name, value, key.kind, key.range)
}

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

const fn same(key: &'static str) -> Synonym {
    Synonym { key, factor: 1 }
}

const fn times(key: &'static str, factor: i64) -> Synonym {
    Synonym { key, factor }
}

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    range: Range,
    synonyms: &'static [Synonym],
    doc: &'static str,
) -> TopicKey {
    TopicKey { name, kind, range, default, synonyms, doc }
}

/// The table, in alphabetical order.
#[rustfmt::skip]
pub const TOPIC_KEYS: &[TopicKey] = &[
    row("cleanup.policy", List, "delete", OneOf(&["compact", "delete"]), &[same("log.cleanup.policy")], "What happens to old segments: delete, compact or both."),
    row("compression.gzip.level", Int, "-1", BetweenOr(1, 9, -1), &[same("compression.gzip.level")], "Level of gzip where the broker compresses."),
    row("compression.lz4.level", Int, "9", Between(1, 17), &[same("compression.lz4.level")], "Level of lz4 where the broker compresses."),
    row("compression.type", Text, "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), &[same("compression.type")], "Codec in which batches are stored; producer keeps the one that they came in."),
    row("compression.zstd.level", Int, "3", Between(-131_072, 22), &[same("compression.zstd.level")], "Level of zstd where the broker compresses."),
    row("delete.retention.ms", Long, "86400000", AtLeast(0), &[same("log.cleaner.delete.retention.ms")], "How long the marker of a deleted key is kept in a compacted topic."),
    row("file.delete.delay.ms", Long, "60000", AtLeast(0), &[same("log.segment.delete.delay.ms")], "How long a deleted segment keeps its file."),
    row("flush.messages", Long, "9223372036854775807", AtLeast(1), &[same("log.flush.interval.messages")], "Records after which the log is synced; 1 makes every acknowledgement durable."),
    row("flush.ms", Long, "9223372036854775807", AtLeast(0), &[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")], "Longest time that a record waits to be synced."),
    row("follower.replication.throttled.replicas", List, "", Replicas, &[], "Replicas whose copying is throttled on the follower's side."),
    row("index.interval.bytes", Int, "4096", AtLeast(0), &[same("log.index.interval.bytes")], "Bytes of log between two entries of the offset index."),
    row("klamm.flush.policy", Text, "auto", OneOf(&["auto", "os", "sync", "group"]), &[same("klamm.flush.policy")], "When an append counts as stored; auto is sync where flush.messages=1, and os otherwise."),
    row("leader.replication.throttled.replicas", List, "", Replicas, &[], "Replicas whose copying is throttled on the leader's side."),
    row("local.retention.bytes", Long, "-2", AtLeast(-2), &[same("log.local.retention.bytes")], "Bytes kept on local disk where the topic is tiered; -2 follows retention.bytes."),
    row("local.retention.ms", Long, "-2", AtLeast(-2), &[same("log.local.retention.ms")], "Time kept on local disk where the topic is tiered; -2 follows retention.ms."),
    row("max.compaction.lag.ms", Long, "9223372036854775807", AtLeast(1), &[same("log.cleaner.max.compaction.lag.ms")], "Age at which a record must have been compacted."),
    row("max.message.bytes", Int, "1048588", AtLeast(0), &[same("message.max.bytes")], "Largest record batch that the topic takes."),
    row("message.timestamp.after.max.ms", Long, "3600000", AtLeast(0), &[same("log.message.timestamp.after.max.ms")], "How far in the future a producer's time may lie."),
    row("message.timestamp.before.max.ms", Long, "9223372036854775807", AtLeast(0), &[same("log.message.timestamp.before.max.ms")], "How far in the past a producer's time may lie."),
    row("message.timestamp.type", Text, "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), &[same("log.message.timestamp.type")], "Whether a record carries the time of its producer or of its append."),
    row("min.cleanable.dirty.ratio", Double, "0.5", Between(0, 1), &[same("log.cleaner.min.cleanable.ratio")], "Share of the log that must be uncompacted before compaction is worth the work."),
    row("min.compaction.lag.ms", Long, "0", AtLeast(0), &[same("log.cleaner.min.compaction.lag.ms")], "Age below which a record is not compacted away."),
    row("min.insync.replicas", Int, "1", AtLeast(1), &[same("min.insync.replicas")], "Replicas that must be in sync for acks=all to be accepted."),
    row("preallocate", Boolean, "false", Any, &[same("log.preallocate")], "Reserve a segment's space on disk when it is begun."),
    row("remote.log.copy.disable", Boolean, "false", Any, &[], "Copy no further segments of a tiered topic."),
    row("remote.log.delete.on.disable", Boolean, "false", Any, &[], "Delete what is tiered when tiering is switched off."),
    row("remote.storage.enable", Boolean, "false", Any, &[], "Tier the topic."),
    row("retention.bytes", Long, "-1", Any, &[same("log.retention.bytes")], "How many bytes of each partition are kept; -1 for all."),
    row("retention.ms", Long, "604800000", AtLeast(-1), &[same("log.retention.ms"), times("log.retention.minutes", MINUTE_MS), times("log.retention.hours", HOUR_MS)], "How long records are kept; -1 for ever."),
    row("segment.bytes", Int, "1073741824", AtLeast(1_048_576), &[same("log.segment.bytes")], "Size at which a segment is closed and the next begun."),
    row("segment.index.bytes", Int, "10485760", AtLeast(4), &[same("log.index.size.max.bytes")], "Largest size of an offset index; a segment whose index is full is closed."),
    row("segment.jitter.ms", Long, "0", AtLeast(0), &[same("log.roll.jitter.ms"), times("log.roll.jitter.hours", HOUR_MS)], "Most by which segment.ms is shortened at random."),
    row("segment.ms", Long, "604800000", AtLeast(1), &[same("log.roll.ms"), times("log.roll.hours", HOUR_MS)], "Age at which a segment is closed although it is not full."),
    row("unclean.leader.election.enable", Boolean, "false", Any, &[same("unclean.leader.election.enable")], "Allow a replica that is not in sync to lead."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_default_is_a_value_that_its_own_row_allows() {
        for key in TOPIC_KEYS {
            assert_eq!(check(key, key.default), Ok(()));
        }
    }

    #[test]
    fn every_synonym_is_a_broker_key() {
        for synonym in TOPIC_KEYS.iter().flat_map(|key| key.synonyms) {
            assert!(keys::find(synonym.key).is_some(), "{} is no broker key", synonym.key);
        }
    }
}
