//! The one table of broker keys: `server.properties`, DescribeConfigs and `docs/config.md` all read it.
//!
//! Names, types and ranges are Kafka's. Defaults are those of the `server.properties` that Kafka ships where that file
//! sets one, and of its code elsewhere; listeners and data directory are ours, so that no configuration is needed.

use super::value::{
    Kind::{self, Boolean, Class, Double, Int, List, Long, Short, String},
    Range::{self, Any, AtLeast, Between, BetweenOr, OneOf},
};

/// Whether and for whom a key can be changed while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Read once, at the start.
    ReadOnly,
    /// Can be changed for one broker.
    PerBroker,
    /// Can be changed for one broker and for all.
    ClusterWide,
}

/// What a key does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Used,
    /// It is checked and shown, and changes nothing.
    Accepted,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name in `server.properties`.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// Value where none is given; `None` where Kafka has null or derives it.
    pub default: Option<&'static str>,
    /// Values that are allowed.
    pub range: Range,
    /// Whether it can change while the broker runs.
    pub mode: Mode,
    /// Whether it does anything here.
    pub effect: Effect,
    /// What it means, in a sentence or two.
    pub doc: &'static str,
}

/// Id with which a fresh data directory is formatted.
pub const CLUSTER_ID: &str = "klamm.cluster.id";
/// When an append counts as stored.
pub const FLUSH_POLICY: &str = "klamm.flush.policy";
/// How long a flush is put off for more appends to share it.
pub const FLUSH_GROUP_DELAY: &str = "klamm.flush.group.delay.ms";
/// Which disk backend runs.
pub const DISK_BACKEND: &str = "klamm.disk.backend";

use Effect::{Accepted, Used};
use Mode::{ClusterWide, PerBroker, ReadOnly};

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    range: Range,
    mode: Mode,
    effect: Effect,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, range, mode, effect, doc }
}

/// The row of a key.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The table, grouped by subject.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key(CLUSTER_ID, String, None, Any, ReadOnly, Used, "Id with which fresh data directories are formatted, and which formatted ones must have. A new one is drawn where it is not given."),
    key(FLUSH_POLICY, String, Some("auto"), OneOf(&["auto", "os", "sync", "group"]), ClusterWide, Used, "When an append counts as stored: os, once it is in the page cache; sync, once it is on the disk; group, as sync, where the flush waits for a moment while more appends come that can share it. auto is sync where log.flush.interval.messages=1, and os otherwise."),
    key(FLUSH_GROUP_DELAY, Int, Some("5"), Between(0, 5), ReadOnly, Used, "Most milliseconds that an append under group waits for others although it could be flushed."),
    key(DISK_BACKEND, String, Some("auto"), OneOf(&["auto", "uring", "threads"]), ReadOnly, Used, "How files are written: uring, threads, or auto for the better one that this machine allows."),
    key("klamm.scrub.interval.ms", Long, Some("604800000"), AtLeast(0), ReadOnly, Used, "How often closed segments are read again in search of damage; 0 for never."),
    key("klamm.scrub.bytes.per.second", Long, Some("8388608"), AtLeast(1), ReadOnly, Used, "Most bytes per second that are read for that."),
    key("process.roles", List, Some("broker,controller"), OneOf(&["broker", "controller"]), ReadOnly, Used, "What this process is. Only the combined node, broker and controller in one, exists today."),
    key("node.id", Int, Some("1"), AtLeast(0), ReadOnly, Used, "Number of this node, written into each data directory and into every partition it holds."),
    key("broker.id", Int, Some("-1"), Any, ReadOnly, Used, "Older name of node.id: stands for it where that is not given, and must be the same where both are."),
    key("broker.rack", String, None, Any, ReadOnly, Used, "Where the node stands; told to clients, which may prefer a near replica."),
    key("controller.listener.names", List, Some("CONTROLLER"), Any, ReadOnly, Used, "Listeners that belong to the controller. They are not opened, since the controller runs in this process."),
    key("controller.quorum.voters", List, Some(""), Any, ReadOnly, Accepted, "Voters of the metadata quorum. One node is its own only voter."),
    key("controller.quorum.bootstrap.servers", List, Some(""), Any, ReadOnly, Accepted, "Where other nodes find the metadata quorum. One node needs none."),
    key("inter.broker.listener.name", String, Some("PLAINTEXT"), Any, ReadOnly, Accepted, "Listener that brokers use among themselves."),
    key("listeners", List, Some("PLAINTEXT://127.0.0.1:9092"), Any, PerBroker, Used, "Where the broker listens: name://host:port, several separated by commas. An empty host is every address, port 0 a free port."),
    key("advertised.listeners", List, None, Any, ReadOnly, Used, "What clients are told to connect to, where that differs from the listeners."),
    key("listener.security.protocol.map", String, Some("CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"), Any, ReadOnly, Used, "Security protocol of each listener name. Only PLAINTEXT exists today."),
    key("log.dir", List, None, Any, ReadOnly, Used, "One data directory; log.dirs comes first."),
    key("log.dirs", List, Some("klamm-data"), Any, ReadOnly, Used, "Data directories, separated by commas. A new partition goes to the one that holds the fewest."),
    key("metadata.log.dir", String, None, Any, ReadOnly, Used, "Data directory of the metadata log; the first of log.dirs where not given."),
    key("num.partitions", Int, Some("1"), AtLeast(1), ReadOnly, Used, "Partitions of a topic that is created without naming a number."),
    key("default.replication.factor", Int, Some("1"), Any, ReadOnly, Used, "Replicas of a topic that is created without naming a number."),
    key("auto.create.topics.enable", Boolean, Some("true"), Any, ReadOnly, Used, "Create a topic when a client asks for the metadata of one that does not exist."),
    key("delete.topic.enable", Boolean, Some("true"), Any, ReadOnly, Used, "Allow topics to be deleted."),
    key("message.max.bytes", Int, Some("1048588"), AtLeast(0), ClusterWide, Used, "Largest record batch that a produce request may carry."),
    key("fetch.max.bytes", Int, Some("57671680"), AtLeast(1024), ReadOnly, Used, "Most bytes that one fetch response carries, whatever the client asks for."),
    key("max.request.partition.size.limit", Int, Some("2000"), AtLeast(1), ReadOnly, Used, "Most partitions that one DescribeTopicPartitions response describes."),
    key("max.incremental.fetch.session.cache.slots", Int, Some("1000"), AtLeast(0), ReadOnly, Used, "How many incremental fetch sessions are remembered."),
    key("min.insync.replicas", Int, Some("1"), AtLeast(1), ClusterWide, Used, "Replicas that must be in sync for acks=all to be accepted."),
    key("unclean.leader.election.enable", Boolean, Some("false"), Any, ClusterWide, Accepted, "Allow a replica that is not in sync to lead."),
    key("compression.type", String, Some("producer"), OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ClusterWide, Used, "Codec in which batches are stored; producer keeps the one that they came in."),
    key("compression.gzip.level", Int, Some("-1"), BetweenOr(1, 9, -1), ClusterWide, Used, "Level of gzip where the broker compresses."),
    key("compression.lz4.level", Int, Some("9"), Between(1, 17), ClusterWide, Used, "Level of lz4 where the broker compresses."),
    key("compression.zstd.level", Int, Some("3"), Between(-131_072, 22), ClusterWide, Used, "Level of zstd where the broker compresses."),
    key("log.segment.bytes", Int, Some("1073741824"), AtLeast(1048576), ClusterWide, Used, "Size at which a segment is closed and the next begun."),
    key("log.roll.ms", Long, None, Any, ClusterWide, Used, "Age at which a segment is closed although it is not full; comes before log.roll.hours."),
    key("log.roll.hours", Int, Some("168"), AtLeast(1), ReadOnly, Used, "Age in hours at which a segment is closed although it is not full."),
    key("log.roll.jitter.ms", Long, None, Any, ClusterWide, Used, "Most by which that age is shortened at random; comes before log.roll.jitter.hours."),
    key("log.roll.jitter.hours", Int, Some("0"), AtLeast(0), ReadOnly, Used, "Most hours by which that age is shortened at random."),
    key("log.index.size.max.bytes", Int, Some("10485760"), AtLeast(4), ClusterWide, Used, "Largest size of an offset index; a segment whose index is full is closed."),
    key("log.index.interval.bytes", Int, Some("4096"), AtLeast(0), ClusterWide, Used, "Bytes of log between two entries of its offset index."),
    key("log.cleanup.policy", List, Some("delete"), OneOf(&["compact", "delete"]), ClusterWide, Used, "What happens to old segments: delete, compact or both."),
    key("log.retention.ms", Long, None, Any, ClusterWide, Used, "How long records are kept; -1 for ever. Comes before log.retention.minutes and log.retention.hours."),
    key("log.retention.minutes", Int, None, Any, ReadOnly, Used, "How many minutes records are kept."),
    key("log.retention.hours", Int, Some("168"), Any, ReadOnly, Used, "How many hours records are kept."),
    key("log.retention.bytes", Long, Some("-1"), Any, ClusterWide, Used, "How many bytes of a partition are kept; -1 for all."),
    key("replica.alter.log.dirs.io.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide, Used, "Most bytes per second that are copied where logs are moved between data directories."),
    key("log.retention.check.interval.ms", Long, Some("300000"), AtLeast(1), ReadOnly, Used, "How often it is decided which segments go."),
    key("log.segment.delete.delay.ms", Long, Some("60000"), AtLeast(0), ClusterWide, Used, "How long a deleted segment keeps its file."),
    key("log.preallocate", Boolean, Some("false"), Any, ClusterWide, Accepted, "Reserve a segment's space on disk when it is begun."),
    key("log.flush.interval.messages", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide, Used, "Records after which a log is synced; 1 makes every acknowledgement durable."),
    key("log.flush.interval.ms", Long, None, Any, ClusterWide, Used, "Longest time that a record waits to be synced; unset leaves it to the operating system."),
    key("log.flush.scheduler.interval.ms", Long, Some("9223372036854775807"), Any, ReadOnly, Used, "Stands for log.flush.interval.ms where that is not given. How often it is looked for logs that are due does not follow it: that is done twice a second."),
    key("log.flush.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly, Used, "How often the recovery points are written."),
    key("log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly, Used, "How often the log start offsets are written, besides at once where records are about to go."),
    key("replica.high.watermark.checkpoint.interval.ms", Long, Some("5000"), Any, ReadOnly, Used, "How often the high watermarks are written; below zero at the stop only."),
    key("log.message.timestamp.type", String, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide, Used, "Whether a record carries the time of its producer or of its append."),
    key("log.message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide, Used, "How far in the past a producer's time may lie."),
    key("log.message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0), ClusterWide, Used, "How far in the future a producer's time may lie."),
    key("log.local.retention.bytes", Long, Some("-2"), AtLeast(-2), ClusterWide, Accepted, "Bytes kept on local disk where a topic is tiered."),
    key("log.local.retention.ms", Long, Some("-2"), AtLeast(-2), ClusterWide, Accepted, "Time kept on local disk where a topic is tiered."),
    key("log.dir.failure.timeout.ms", Long, Some("30000"), AtLeast(1), ReadOnly, Accepted, "How long a failed directory may stay unreported."),
    key("num.recovery.threads.per.data.dir", Int, Some("2"), AtLeast(1), ClusterWide, Used, "Threads per data directory that open its logs. That happens before the metadata are read, in Kafka, too: what was set while the broker ran does not count for it, and Kafka takes it for closing, which is one thread's work here."),
    key("producer.id.expiration.ms", Int, Some("86400000"), AtLeast(1), ClusterWide, Used, "How long an idle producer's sequence is remembered."),
    key("producer.id.expiration.check.interval.ms", Int, Some("600000"), AtLeast(1), ReadOnly, Used, "How often idle producers are looked for."),
    key("log.cleaner.enable", Boolean, Some("true"), Any, ReadOnly, Used, "Whether topics with cleanup.policy=compact are compacted."),
    key("log.cleaner.threads", Int, Some("1"), AtLeast(0), ClusterWide, Used, "Logs that are compacted at a time."),
    key("log.cleaner.backoff.ms", Long, Some("15000"), AtLeast(0), ClusterWide, Used, "Pause of a compacting thread that found nothing to do."),
    key("log.cleaner.dedupe.buffer.size", Long, Some("134217728"), Any, ClusterWide, Used, "Memory for the keys of dirty records, shared among the threads. A log with more keys is compacted in several passes."),
    key("log.cleaner.io.buffer.size", Int, Some("524288"), AtLeast(0), ClusterWide, Used, "Memory for reading and writing, shared among the threads."),
    key("log.cleaner.io.buffer.load.factor", Double, Some("0.9"), Any, ClusterWide, Used, "How full the table of keys may become."),
    key("log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"), Any, ClusterWide, Used, "Most bytes per second that compaction reads and writes, all threads together."),
    key("log.cleaner.min.cleanable.ratio", Double, Some("0.5"), Between(0, 1), ClusterWide, Used, "Share of a compacted log that must be uncompacted before it is worth the work."),
    key("log.cleaner.min.compaction.lag.ms", Long, Some("0"), AtLeast(0), ClusterWide, Used, "Age below which a record is not compacted away."),
    key("log.cleaner.max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide, Used, "Age at which a record must have been compacted."),
    key("log.cleaner.delete.retention.ms", Long, Some("86400000"), AtLeast(0), ClusterWide, Used, "How long the marker of a deleted key is kept."),
    key("socket.send.buffer.bytes", Int, Some("102400"), Any, ReadOnly, Used, "Send buffer of a connection; -1 leaves it to the operating system."),
    key("socket.receive.buffer.bytes", Int, Some("102400"), Any, ReadOnly, Used, "Receive buffer of a connection; -1 leaves it to the operating system."),
    key("socket.request.max.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly, Used, "Largest request; a connection that announces a larger one is closed."),
    key("socket.listen.backlog.size", Int, Some("50"), AtLeast(1), ReadOnly, Used, "Connections that may wait to be accepted."),
    key("queued.max.request.bytes", Long, Some("-1"), Any, ReadOnly, Used, "Most bytes of requests in memory, over all connections; -1 for one maximal request beside 32 MiB, which are kept for requests of up to 2 MiB."),
    key("queued.max.requests", Int, Some("500"), AtLeast(1), ReadOnly, Accepted, "Requests that may wait for a handler. Here each connection handles its own."),
    key("connections.max.idle.ms", Long, Some("600000"), Any, ReadOnly, Used, "A connection that has been silent for so long is closed."),
    key("max.connections", Int, Some("2147483647"), AtLeast(0), ClusterWide, Used, "Most connections at a time. Who is in stays in where it becomes less."),
    key("max.connections.per.ip", Int, Some("2147483647"), AtLeast(0), ClusterWide, Used, "Most connections at a time from one address."),
    key("max.connections.per.ip.overrides", String, Some(""), Any, ClusterWide, Used, "Most connections at a time from certain addresses: host:number, separated by commas."),
    key("max.connection.creation.rate", Int, Some("2147483647"), AtLeast(0), ClusterWide, Used, "Most new connections per second. More wait until they may come."),
    key("quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly, Used, "Windows over which the rates of quotas are reckoned."),
    key("quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly, Used, "Seconds of each of these windows."),
    key("controller.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly, Used, "The same for quotas of changes of the metadata."),
    key("controller.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly, Used, "Seconds of each of these windows."),
    key("num.network.threads", Int, Some("3"), AtLeast(1), ClusterWide, Accepted, "Threads for connections. Here there is one per processor, and one more than there are data directories."),
    key("num.io.threads", Int, Some("8"), AtLeast(1), ClusterWide, Accepted, "Threads for requests. Here the threads for connections serve them."),
    key("background.threads", Int, Some("10"), AtLeast(1), ClusterWide, Accepted, "Threads for work in the background."),
    key("num.replica.fetchers", Int, Some("1"), AtLeast(1), ClusterWide, Accepted, "Threads that copy from each other broker."),
    key("replica.fetch.max.bytes", Int, Some("1048576"), AtLeast(0), ReadOnly, Accepted, "Bytes per partition that a follower asks for."),
    key("replica.lag.time.max.ms", Long, Some("30000"), Any, ReadOnly, Accepted, "How long a follower may lag and count as in sync."),
    key("request.timeout.ms", Int, Some("30000"), Any, ReadOnly, Accepted, "How long a request between nodes may take."),
    key("controlled.shutdown.enable", Boolean, Some("true"), Any, ReadOnly, Accepted, "Hand over leadership before stopping."),
    key("auto.leader.rebalance.enable", Boolean, Some("true"), Any, ReadOnly, Accepted, "Give leadership back to the preferred replica."),
    key("offsets.topic.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly, Used, "Partitions of the topic of committed offsets."),
    key("offsets.topic.replication.factor", Short, Some("1"), AtLeast(1), ReadOnly, Used, "Replicas of the topic of committed offsets."),
    key("offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly, Used, "Segment size of the topic of committed offsets."),
    key("offsets.topic.compression.codec", Int, Some("0"), Any, ReadOnly, Used, "Codec of the topic of committed offsets."),
    key("offsets.retention.minutes", Int, Some("10080"), AtLeast(1), ReadOnly, Used, "How long an abandoned group keeps its offsets."),
    key("offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1), ReadOnly, Used, "How often it is looked for offsets that are to go."),
    key("offset.metadata.max.bytes", Int, Some("4096"), Any, ReadOnly, Used, "Longest remark beside a committed offset."),
    key("group.initial.rebalance.delay.ms", Int, Some("3000"), Any, ReadOnly, Used, "How long the first member of a group waits for others."),
    key("group.min.session.timeout.ms", Int, Some("6000"), Any, ReadOnly, Used, "Shortest session that a member of a group may ask for."),
    key("group.max.session.timeout.ms", Int, Some("1800000"), Any, ReadOnly, Used, "Longest session that a member of a group may ask for."),
    key("group.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly, Used, "Most members of a group."),
    key("group.coordinator.rebalance.protocols", List, Some("classic,consumer,streams"), OneOf(&["consumer", "classic", "share", "streams"]), ReadOnly, Accepted, "Group protocols that are offered."),
    key("transaction.state.log.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly, Used, "Partitions of the topic of transaction states."),
    key("transaction.state.log.replication.factor", Short, Some("1"), AtLeast(1), ReadOnly, Used, "Replicas of the topic of transaction states."),
    key("transaction.state.log.min.isr", Int, Some("1"), AtLeast(1), ReadOnly, Used, "In-sync replicas that the topic of transaction states needs."),
    key("transaction.state.log.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly, Used, "Segment size of the topic of transaction states."),
    key("transaction.max.timeout.ms", Int, Some("900000"), AtLeast(1), ReadOnly, Used, "Longest transaction that a producer may ask for."),
    key("transactional.id.expiration.ms", Int, Some("604800000"), AtLeast(1), ReadOnly, Used, "How long an idle transactional id is remembered."),
    key("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, Some("10000"), AtLeast(1), ReadOnly, Accepted, "How often it is looked for transactions that were open for too long. Here each is aborted once its time is over."),
    key("transaction.remove.expired.transaction.cleanup.interval.ms", Int, Some("3600000"), AtLeast(1), ReadOnly, Accepted, "How often it is looked for transactional ids that are to be forgotten. Here each is forgotten once its time is over."),
    key("add.partitions.to.txn.retry.backoff.ms", Int, Some("20"), AtLeast(1), ReadOnly, Used, "Longest pause while a partition that is added by producing waits for the end of the transaction before."),
    key("add.partitions.to.txn.retry.backoff.max.ms", Int, Some("100"), AtLeast(0), ReadOnly, Used, "How long it waits before the client is told to try again."),
    key("transaction.partition.verification.enable", Boolean, Some("true"), Any, ClusterWide, Used, "Verify that a partition belongs to the transaction before a batch of it is appended."),
    key("share.coordinator.state.topic.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly, Accepted, "Partitions of the topic of share group states."),
    key("share.coordinator.state.topic.replication.factor", Short, Some("1"), AtLeast(1), ReadOnly, Accepted, "Replicas of the topic of share group states."),
    key("share.coordinator.state.topic.min.isr", Short, Some("1"), AtLeast(1), ReadOnly, Accepted, "In-sync replicas that the topic of share group states needs."),
    key("metadata.log.segment.bytes", Int, Some("1073741824"), AtLeast(8388608), ReadOnly, Used, "Segment size of the metadata log."),
    key("metadata.log.segment.ms", Long, Some("604800000"), Any, ReadOnly, Used, "Segment age of the metadata log."),
    key("metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520"), AtLeast(1), ReadOnly, Used, "Bytes of metadata records after which a snapshot is written."),
    key("metadata.log.max.snapshot.interval.ms", Long, Some("3600000"), AtLeast(0), ReadOnly, Used, "Longest time without a snapshot of the metadata."),
    key("metadata.max.retention.bytes", Long, Some("104857600"), Any, ReadOnly, Used, "Bytes of metadata log and snapshots that are kept."),
    key("metadata.max.retention.ms", Long, Some("604800000"), Any, ReadOnly, Used, "How long metadata log and snapshots are kept."),
    key("broker.heartbeat.interval.ms", Int, Some("2000"), Any, ReadOnly, Accepted, "How often a broker tells the controller that it lives."),
    key("broker.session.timeout.ms", Int, Some("9000"), Any, ReadOnly, Accepted, "How long a silent broker counts as alive."),
    key("security.inter.broker.protocol", String, Some("PLAINTEXT"), OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly, Accepted, "Security protocol between brokers."),
    key("authorizer.class.name", String, Some(""), Any, ReadOnly, Used, "Class that decides who may do what. Only the empty name, which allows everything, is accepted today."),
    key("create.topic.policy.class.name", Class, None, Any, ReadOnly, Accepted, "Class that judges topics to be created."),
    key("alter.config.policy.class.name", Class, None, Any, ReadOnly, Accepted, "Class that judges changes of configuration."),
    key("remote.log.storage.system.enable", Boolean, Some("false"), Any, ReadOnly, Accepted, "Tiered storage."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value;

    #[test]
    fn every_default_is_a_value_that_its_own_row_allows() {
        for key in KEYS {
            if let Some(default) = key.default {
                assert_eq!(value::check(key.name, default, key.kind, key.range), Ok(()));
            }
        }
    }

    #[test]
    fn no_key_stands_in_the_table_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(
                KEYS[index + 1..].iter().all(|other| other.name != key.name),
                "{} is there twice",
                key.name
            );
        }
    }
}
