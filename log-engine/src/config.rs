//! What can be configured: [`EngineConfig`] for an engine, [`LogConfig`] for one log.
//!
//! A `LogConfig` is valid by construction: each field's type admits only values that work, and [`LogConfig::set`]
//! applies Kafka's own bounds to Kafka's own keys. Keys of a topic that do not concern its log (replication
//! throttles, remote storage) are not here.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::{Compression, CompressionType, TimestampType};
use crate::clean::CleanerConfig;
use crate::clock::{Clock, SystemClock};
use crate::commit::{CommitLimits, Durability};
use crate::io::{BackendChoice, Disk, NativeDisk};
use crate::scrub::ScrubConfig;

/// How an engine is opened.
#[derive(Clone)]
pub struct EngineConfig {
    /// `log.dirs`: the data directories.
    pub directories: Vec<PathBuf>,
    /// `node.id`: must agree with each directory's meta.properties.
    pub node_id: i32,
    /// The cluster the directories must belong to; `None` takes the one found.
    pub cluster_id: Option<String>,
    /// How bytes get to the disk.
    pub disk: DiskChoice,
    /// Configuration of logs that nobody has configured yet.
    pub log_defaults: LogConfig,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Bounds of the committers.
    pub commit_limits: CommitLimits,
    /// Bytes behind the recovery points of a directory after which points are moved up in the background: what a start
    /// after a crash reads at most, but for what is appended meanwhile.
    pub recovery_point_bytes: u64,
    /// `log.flush.offset.checkpoint.interval.ms`: after this time recovery points move up in any case.
    pub recovery_point_interval_ms: i64,
    /// `log.flush.start.offset.checkpoint.interval.ms`: how often it is written where the logs start. Below zero: only
    /// where records are about to go for it, and at the end.
    pub log_start_interval_ms: i64,
    /// `replica.high.watermark.checkpoint.interval.ms`: how often high watermarks are written. Below zero: at the end only.
    pub high_watermark_interval_ms: i64,
    /// `log.retention.check.interval.ms`.
    pub retention_interval_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// `producer.id.expiration.check.interval.ms`: how often producers are forgotten that are expired.
    pub producer_expiry_interval_ms: i64,
    /// `log.cleaner.*`: how logs are compacted.
    pub cleaner: CleanerConfig,
    /// How closed segments are looked through for damage.
    pub scrub: ScrubConfig,
    /// `num.recovery.threads.per.data.dir`: threads that open the logs of a directory; at least one does.
    pub recovery_threads: usize,
    /// Files of segments that stay open while nobody uses them; others are closed and opened again when they are asked
    /// for. `None` is half of what the process may open.
    pub open_files_max: Option<usize>,
    /// Who does what is to be done without being asked.
    pub upkeep: Upkeep,
}

/// Who moves recovery points, writes checkpoints, applies retention and removes deleted files.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Upkeep {
    /// A thread of the engine for each data directory.
    #[default]
    Threads,
    /// The caller, with [`crate::Engine::look_after`]: a program with a scheduler of its own, or one that must do the
    /// same in every run.
    Caller,
}

impl fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineConfig")
            .field("directories", &self.directories)
            .field("node_id", &self.node_id)
            .field("cluster_id", &self.cluster_id)
            .finish_non_exhaustive()
    }
}

/// Which disk an engine works on.
#[derive(Clone)]
pub enum DiskChoice {
    /// The machine's, through the backend asked for.
    Native(BackendChoice),
    /// One made elsewhere, such as the simulated disk of tests.
    Given(Arc<dyn Disk>),
}

impl EngineConfig {
    /// The defaults, for these directories.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>, node_id: i32) -> Self {
        Self {
            directories: directories.into_iter().collect(),
            node_id,
            cluster_id: None,
            disk: DiskChoice::Native(BackendChoice::Auto),
            log_defaults: LogConfig::default(),
            clock: Arc::new(SystemClock),
            commit_limits: CommitLimits::default(),
            recovery_point_bytes: 256 << 20,
            recovery_point_interval_ms: 60_000,
            log_start_interval_ms: 60_000,
            high_watermark_interval_ms: 5_000,
            retention_interval_ms: 300_000,
            producer_expiration_ms: 86_400_000,
            producer_expiry_interval_ms: 600_000,
            cleaner: CleanerConfig::default(),
            scrub: ScrubConfig::default(),
            recovery_threads: 2,
            open_files_max: None,
            upkeep: Upkeep::Threads,
        }
    }
}

impl EngineConfig {
    /// The disk that an engine of this configuration works on.
    pub fn open_disk(&self) -> Arc<dyn Disk> {
        match &self.disk {
            DiskChoice::Native(choice) => Arc::new(NativeDisk::new(*choice)),
            DiskChoice::Given(disk) => Arc::clone(disk),
        }
    }
}

/// When an append counts as stored; the value of `klamm.flush.policy`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum FlushPolicy {
    /// In the page cache: survives the process, not the machine. Kafka's default.
    #[default]
    Os,
    /// On the disk. Appends that wait at the same moment share one flush. Also what `flush.messages=1` means.
    Sync,
    /// On the disk. A flush may be put off, for no longer than [`CommitLimits::group_delay_max`], while appends come that
    /// can share it.
    Group,
}

impl FlushPolicy {
    /// What an append is told to be when it is acknowledged.
    pub const fn durability(self) -> Durability {
        match self {
            Self::Os => Durability::Os,
            Self::Sync => Durability::Sync,
            Self::Group => Durability::Group,
        }
    }
}

/// `cleanup.policy`. Neither keeps everything, as Kafka allows since 4.1.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CleanupPolicy {
    /// Old segments are deleted.
    pub delete: bool,
    /// Only the last record of each key is kept.
    pub compact: bool,
}

/// `compression.type` of a topic, with its level.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum TargetCompression {
    /// `producer`: as the producer compressed it.
    #[default]
    Producer,
    /// Recompressed where it arrives otherwise.
    Fixed(CompressionType),
}

/// Configuration of one log, named as Kafka names the keys of a topic.
#[derive(Clone, PartialEq, Debug)]
pub struct LogConfig {
    /// `segment.bytes`: a batch that would make a segment longer begins the next. Bytes, 2^20 to 2^31 - 1, default 2^30.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment whose first record is older than the batch to append by more is left. 1 or more, default a week.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: of `segment_ms`, up to so much is taken off, drawn for each segment. 0 or more, default 0.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: a segment with an index of this size is left. 4 to 2^31 - 1, default 10 MiB.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: bytes of batches between two index entries. 0 to 2^31 - 1, default 4096.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: a larger batch of a client is refused. 0 to 2^31 - 1, default 1 MiB and a little.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`: the producer's time (default), or that of the append.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: records older than this against the clock are refused. 0 or more, default without end.
    pub message_timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`: records newer than this against the clock are refused. 0 or more, default an hour.
    pub message_timestamp_after_max_ms: i64,
    /// `compression.type`: how batches are stored; default as they come.
    pub compression_type: TargetCompression,
    /// `compression.gzip.level`: 1 to 9, or -1 for the codec's own; default -1.
    pub compression_gzip_level: i32,
    /// `compression.lz4.level`: 1 to 17, default 9.
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`: -131072 to 22, default 3.
    pub compression_zstd_level: i32,
    /// `cleanup.policy`: what becomes of old records; default deletion.
    pub cleanup_policy: CleanupPolicy,
    /// `retention.ms`: a segment goes once its newest record is older. -1 keeps records of any age; default a week.
    pub retention_ms: i64,
    /// `retention.bytes`: the oldest segment goes if what is more than this covers it whole. -1, the default, keeps any number.
    pub retention_bytes: i64,
    /// `delete.retention.ms`: how long compaction keeps a tombstone or marker once it has passed it. 0 or more, default a day.
    pub delete_retention_ms: i64,
    /// `min.cleanable.dirty.ratio`: a log whose dirty part is a larger share than this is compacted. 0 to 1, default 0.5.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: younger records are not compacted. 0 or more, default 0.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: a log with an older dirty record is compacted whatever its share. 1 or more, default without end.
    pub max_compaction_lag_ms: i64,
    /// `file.delete.delay.ms`: how long files that were deleted stay under a name ending in `.deleted`. 0 or more, default a minute.
    pub file_delete_delay_ms: i64,
    /// `flush.messages`: 1 makes every append durable before it is acknowledged; more is left to `flush_ms` and the system. 1 or more,
    /// default without end.
    pub flush_messages: i64,
    /// `flush.ms`: a flush in the background, that no acknowledgement waits for. 0 or more, default without end.
    pub flush_ms: i64,
    /// `klamm.flush.policy`, where it is set.
    pub klamm_flush_policy: Option<FlushPolicy>,
    /// `min.insync.replicas`; kept here, judged by the broker.
    pub min_insync_replicas: u32,
    /// `preallocate`; accepted and of no effect: files grow as they are written.
    pub preallocate: bool,
    /// `unclean.leader.election.enable`; kept here, judged by the broker.
    pub unclean_leader_election_enable: bool,
}

impl Default for LogConfig {
    /// Kafka's defaults of a topic.
    fn default() -> Self {
        const WEEK_MS: i64 = 7 * 24 * 3_600_000;
        Self {
            segment_bytes: 1 << 30,
            segment_ms: WEEK_MS,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: 3_600_000,
            compression_type: TargetCompression::Producer,
            compression_gzip_level: -1,
            compression_lz4_level: 9,
            compression_zstd_level: 3,
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            retention_ms: WEEK_MS,
            retention_bytes: -1,
            delete_retention_ms: 24 * 3_600_000,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            klamm_flush_policy: None,
            min_insync_replicas: 1,
            preallocate: false,
            unclean_leader_election_enable: false,
        }
    }
}

/// Why a value was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// A key that does not configure a log.
    #[error("unknown key {key}")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A value out of bounds or of the wrong kind.
    #[error("invalid value {value:?} for {key}: {expected}")]
    InvalidValue {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What would be accepted.
        expected: String,
    },
}

type Apply = fn(&mut LogConfig, &str) -> Result<(), String>;

impl LogConfig {
    /// When an append to this log counts as stored.
    pub fn flush_policy(&self) -> FlushPolicy {
        match self.klamm_flush_policy {
            Some(policy) => policy,
            None if self.flush_messages <= 1 => FlushPolicy::Sync,
            None => FlushPolicy::Os,
        }
    }

    /// What arriving batches are recompressed with; `None` keeps what the producer chose.
    pub(crate) fn target_compression(&self) -> Option<Compression> {
        let TargetCompression::Fixed(codec) = self.compression_type else { return None };
        Some(match codec {
            CompressionType::Gzip => Compression::Gzip { level: self.compression_gzip_level },
            CompressionType::Lz4 => Compression::Lz4 { level: self.compression_lz4_level },
            CompressionType::Zstd => Compression::Zstd { level: self.compression_zstd_level },
            CompressionType::None | CompressionType::Snappy => Compression::of(codec),
        })
    }

    /// The keys that [`LogConfig::set`] knows.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        KEYS.iter().map(|(key, _)| *key)
    }

    /// Sets one value by Kafka's key, within Kafka's bounds.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidConfig> {
        let (key, apply) = KEYS
            .iter()
            .find(|(known, _)| *known == key)
            .ok_or_else(|| InvalidConfig::UnknownKey { key: key.to_owned() })?;
        apply(self, value.trim()).map_err(|expected| InvalidConfig::InvalidValue {
            key,
            value: value.to_owned(),
            expected,
        })
    }

    /// Offset index entries that fit into `segment.index.bytes`.
    pub(crate) fn offset_index_entries_max(&self) -> u64 {
        u64::from(self.segment_index_bytes) / 8
    }

    /// Age at which a segment is left: that of a compacted log soon enough for `max.compaction.lag.ms`, which the active
    /// segment would escape.
    pub(crate) fn roll_ms(&self) -> i64 {
        if self.cleanup_policy.compact && self.max_compaction_lag_ms > 0 {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }

    /// Time index entries that fit into `segment.index.bytes`.
    pub(crate) fn time_index_entries_max(&self) -> u64 {
        u64::from(self.segment_index_bytes) / 12
    }
}

const KEYS: &[(&str, Apply)] = &[
    ("cleanup.policy", |c, v| parse_cleanup(v).map(|p| c.cleanup_policy = p)),
    ("compression.gzip.level", |c, v| parse_gzip_level(v).map(|n| c.compression_gzip_level = n)),
    ("compression.lz4.level", |c, v| between(v, 1, 17).map(|n| c.compression_lz4_level = n)),
    ("compression.type", |c, v| parse_compression(v).map(|t| c.compression_type = t)),
    ("compression.zstd.level", |c, v| between(v, -131_072, 22).map(|n| c.compression_zstd_level = n)),
    ("delete.retention.ms", |c, v| between(v, 0, i64::MAX).map(|n| c.delete_retention_ms = n)),
    ("file.delete.delay.ms", |c, v| between(v, 0, i64::MAX).map(|n| c.file_delete_delay_ms = n)),
    ("flush.messages", |c, v| between(v, 1, i64::MAX).map(|n| c.flush_messages = n)),
    ("flush.ms", |c, v| between(v, 0, i64::MAX).map(|n| c.flush_ms = n)),
    ("index.interval.bytes", |c, v| between(v, 0, INT_MAX).map(|n| c.index_interval_bytes = n)),
    ("klamm.flush.policy", |c, v| parse_flush_policy(v).map(|p| c.klamm_flush_policy = p)),
    ("max.compaction.lag.ms", |c, v| between(v, 1, i64::MAX).map(|n| c.max_compaction_lag_ms = n)),
    ("max.message.bytes", |c, v| between(v, 0, INT_MAX).map(|n| c.max_message_bytes = n)),
    ("message.timestamp.after.max.ms", |c, v| {
        between(v, 0, i64::MAX).map(|n| c.message_timestamp_after_max_ms = n)
    }),
    ("message.timestamp.before.max.ms", |c, v| {
        between(v, 0, i64::MAX).map(|n| c.message_timestamp_before_max_ms = n)
    }),
    ("message.timestamp.type", |c, v| parse_timestamp_type(v).map(|t| c.message_timestamp_type = t)),
    ("min.cleanable.dirty.ratio", |c, v| parse_ratio(v).map(|r| c.min_cleanable_dirty_ratio = r)),
    ("min.compaction.lag.ms", |c, v| between(v, 0, i64::MAX).map(|n| c.min_compaction_lag_ms = n)),
    ("min.insync.replicas", |c, v| between(v, 1, INT_MAX).map(|n| c.min_insync_replicas = n)),
    ("preallocate", |c, v| parse_bool(v).map(|b| c.preallocate = b)),
    ("retention.bytes", |c, v| between(v, i64::MIN, i64::MAX).map(|n| c.retention_bytes = n)),
    ("retention.ms", |c, v| between(v, -1, i64::MAX).map(|n| c.retention_ms = n)),
    ("segment.bytes", |c, v| between(v, 1 << 20, INT_MAX).map(|n| c.segment_bytes = n)),
    ("segment.index.bytes", |c, v| between(v, 4, INT_MAX).map(|n| c.segment_index_bytes = n)),
    ("segment.jitter.ms", |c, v| between(v, 0, i64::MAX).map(|n| c.segment_jitter_ms = n)),
    ("segment.ms", |c, v| between(v, 1, i64::MAX).map(|n| c.segment_ms = n)),
    ("unclean.leader.election.enable", |c, v| parse_bool(v).map(|b| c.unclean_leader_election_enable = b)),
];

const INT_MAX: u32 = i32::MAX as u32;

fn between<T: std::str::FromStr + PartialOrd + std::fmt::Display>(
    value: &str,
    min: T,
    max: T,
) -> Result<T, String> {
    match value.parse() {
        Ok(number) if number >= min && number <= max => Ok(number),
        _ => Err(format!("expected a whole number from {min} to {max}")),
    }
}

fn parse_bool(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

fn parse_ratio(value: &str) -> Result<f64, String> {
    // Java takes the suffixes of its own literals.
    match value.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(value).parse() {
        // As Kafka, to which no log is dirty enough then.
        Ok(ratio) if f64::is_nan(ratio) => Ok(ratio),
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

fn parse_gzip_level(value: &str) -> Result<i32, String> {
    match value.parse() {
        Ok(level @ (-1 | 1..=9)) => Ok(level),
        _ => Err("expected -1 or a whole number from 1 to 9".to_owned()),
    }
}

fn parse_flush_policy(value: &str) -> Result<Option<FlushPolicy>, String> {
    match value {
        "auto" => Ok(None),
        "os" => Ok(Some(FlushPolicy::Os)),
        "sync" => Ok(Some(FlushPolicy::Sync)),
        "group" => Ok(Some(FlushPolicy::Group)),
        _ => Err("expected auto, os, sync or group".to_owned()),
    }
}

fn parse_timestamp_type(value: &str) -> Result<TimestampType, String> {
    match value {
        "CreateTime" => Ok(TimestampType::CreateTime),
        "LogAppendTime" => Ok(TimestampType::LogAppendTime),
        _ => Err("expected CreateTime or LogAppendTime".to_owned()),
    }
}

fn parse_compression(value: &str) -> Result<TargetCompression, String> {
    match value {
        "producer" => Ok(TargetCompression::Producer),
        "uncompressed" => Ok(TargetCompression::Fixed(CompressionType::None)),
        name => match CompressionType::from_name(name) {
            Some(codec) if codec != CompressionType::None => Ok(TargetCompression::Fixed(codec)),
            _ => Err("expected producer, uncompressed, gzip, snappy, lz4 or zstd".to_owned()),
        },
    }
}

fn parse_cleanup(value: &str) -> Result<CleanupPolicy, String> {
    let mut policy = CleanupPolicy { delete: false, compact: false };
    for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "delete" => policy.delete = true,
            "compact" => policy.compact = true,
            _ => return Err("expected a list of delete and compact".to_owned()),
        }
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_within_kafkas_bounds_and_refused_outside() {
        for (key, good, bad) in [
            ("cleanup.policy", &["delete", "compact,delete", ""][..], &["drop"][..]),
            ("compression.gzip.level", &["-1", "9"], &["0", "10"]),
            ("compression.type", &["producer", "uncompressed", "zstd"], &["none", "ZSTD"]),
            ("klamm.flush.policy", &["auto", "os", "sync", "group"], &["always"]),
            ("message.timestamp.type", &["CreateTime", "LogAppendTime"], &["createtime"]),
            ("min.cleanable.dirty.ratio", &["0", "0.5", "1", "0.5f", "NaN"], &["1.1", "Infinity"]),
            ("preallocate", &["true", "FALSE"], &["1"]),
            ("retention.ms", &["-1", "0"], &["-2", "1.5"]),
            ("segment.bytes", &["1048576", "2147483647"], &["1048575", "2147483648", ""]),
            ("segment.ms", &["1"], &["0"]),
        ] {
            for value in good {
                assert_eq!(LogConfig::default().set(key, value), Ok(()), "{key}={value}");
            }
            for value in bad {
                let error = LogConfig::default().set(key, value).expect_err(value);
                assert!(
                    matches!(error, InvalidConfig::InvalidValue { key: k, .. } if k == key),
                    "{key}={value}"
                );
            }
        }
        assert!(matches!(
            LogConfig::default().set("segment.byte", "1"),
            Err(InvalidConfig::UnknownKey { .. })
        ));
    }

    #[test]
    fn one_message_per_flush_means_sync_unless_the_policy_is_named() {
        let mut config = LogConfig::default();
        assert_eq!(config.flush_policy(), FlushPolicy::Os);
        config.set("flush.messages", "1").expect("valid");
        assert_eq!(config.flush_policy(), FlushPolicy::Sync);
        config.set("klamm.flush.policy", "os").expect("valid");
        assert_eq!(config.flush_policy(), FlushPolicy::Os);
        config.set("klamm.flush.policy", "auto").expect("valid");
        assert_eq!(config.flush_policy(), FlushPolicy::Sync);
    }
}
