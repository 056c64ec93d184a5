//! `explain`: which segments retention and compaction take next, and why. The decisions are the engine's own.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use log_engine::{
    Clock, LogConfig, Offset, SegmentInfo, SystemClock, TimestampMs,
    checkpoint::{CLEANER_FILE, LOG_START_FILE, REPLICATION_FILE},
    inspect::{
        CompactionFacts, FileType, Found, RetentionLimits, SegmentFile, SegmentsDue, cleanable,
        dirty_segments, is_overdue, newest_timestamp, segments_due,
    },
    log_dir::{META_PROPERTIES_FILE, MetaProperties},
    producer::snapshot,
};

use super::{
    OfflineError, Outcome,
    layout::{PartitionDir, Target, offsets_beside},
    metadata::ClusterFacts,
    refused,
};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// A data directory, or that of a partition.
    directory: PathBuf,
    /// A setting of the topic, which comes before what the cluster's metadata in the data directory says. May be given several
    /// times.
    #[arg(long = "config", value_name = "KEY=VALUE")]
    configs: Vec<String>,
    /// The time to decide for, in milliseconds since 1970; now if not given.
    #[arg(long, value_name = "MILLISECONDS")]
    at: Option<i64>,
}

/// What is known of a log by its files.
struct Facts {
    segments: Vec<SegmentInfo>,
    first_timestamps: Vec<i64>,
    log_start: Offset,
    high_watermark: Offset,
    last_stable: Offset,
    log_end: Offset,
    cleaned_to: Option<Offset>,
}

impl Explain {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, OfflineError> {
        let now = self.at.unwrap_or_else(|| SystemClock.now().get());
        let target = Target::read(&self.directory)?;
        let configured = Configured::read(&target, &self.configs)?;
        for dir in target.partitions() {
            let facts = Facts::read(dir)?;
            let (config, told) = configured.of(dir)?;
            writeln!(
                out,
                "{}: log start {}, last stable {}, high watermark {}, log end {}",
                dir.path.display(),
                facts.log_start,
                facts.last_stable,
                facts.high_watermark,
                facts.log_end
            )?;
            writeln!(
                out,
                "  config: {}",
                if told.is_empty() { "Kafka's defaults".to_owned() } else { told.join(", ") }
            )?;
            explain_retention(&facts, &config, now, out)?;
            explain_compaction(&facts, &config, now, out)?;
        }
        Ok(Outcome::InOrder)
    }
}

/// Where configuration comes from.
struct Configured {
    cluster: Option<ClusterFacts>,
    node_id: Option<i32>,
    given: Vec<(String, String)>,
}

impl Configured {
    fn read(target: &Target, given: &[String]) -> Result<Self, OfflineError> {
        let pair = |text: &String| match text.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(OfflineError::NotKeyValue(text.clone())),
        };
        let given = given.iter().map(pair).collect::<Result<_, _>>()?;
        let Some(data_dir) = target.data_dir() else {
            return Ok(Self { cluster: None, node_id: None, given });
        };
        Ok(Self { cluster: ClusterFacts::read(&data_dir)?, node_id: node_id(&data_dir), given })
    }

    /// The configuration of a log, and each setting that is not Kafka's default with where it is set.
    fn of(&self, dir: &PartitionDir) -> Result<(LogConfig, Vec<String>), OfflineError> {
        let mut config = LogConfig::default();
        let mut told = BTreeMap::new();
        if let (Some(cluster), Some(partition)) = (&self.cluster, &dir.partition) {
            for (key, value, source) in cluster.configs(&partition.topic, self.node_id) {
                // Topics have keys that do not concern their logs.
                if config.set(&key, &value).is_ok() {
                    told.insert(key, (value, source));
                }
            }
        }
        for (key, value) in &self.given {
            config.set(key, value)?;
            told.insert(key.clone(), (value.clone(), "given"));
        }
        let told = told.into_iter().map(|(key, (value, source))| format!("{key}={value} ({source})"));
        Ok((config, told.collect()))
    }
}

fn node_id(data_dir: &Path) -> Option<i32> {
    let path = data_dir.join(META_PROPERTIES_FILE);
    let text = fs::read_to_string(&path).ok()?;
    MetaProperties::parse(&path, &text).ok().map(|meta| meta.node_id)
}

impl Facts {
    fn read(dir: &PartitionDir) -> Result<Self, OfflineError> {
        let (mut segments, mut first_timestamps) = (Vec::new(), Vec::new());
        for base in dir.offsets(FileType::Log) {
            let (info, first) = read_segment(dir, base)?;
            segments.push(info);
            first_timestamps.push(first.map_or(-1, TimestampMs::get));
        }
        let first = segments.first().map_or(Offset::ZERO, |segment| segment.base_offset);
        let log_end = segments.last().map_or(first, |segment| segment.end_offset);
        let known = |name: &str| -> Result<Option<Offset>, OfflineError> {
            let offsets = offsets_beside(dir, name)?;
            Ok(dir.partition.as_ref().and_then(|partition| offsets.get(partition).copied()))
        };
        let log_start = known(LOG_START_FILE)?.unwrap_or(first).max(first).min(log_end);
        let high_watermark = known(REPLICATION_FILE)?.unwrap_or(log_end).min(log_end);
        let last_stable = first_unstable(dir, log_end)?.unwrap_or(high_watermark).min(high_watermark);
        let cleaned_to = known(CLEANER_FILE)?;
        Ok(Self { segments, first_timestamps, log_start, high_watermark, last_stable, log_end, cleaned_to })
    }
}

fn read_segment(
    dir: &PartitionDir,
    base: Offset,
) -> Result<(SegmentInfo, Option<TimestampMs>), OfflineError> {
    let path = dir.file(FileType::Log, base);
    let file = SegmentFile::open(&path, base).map_err(refused(&path))?;
    let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).map_err(refused(&path))?;
    let created = modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as i64);
    let (mut end_offset, mut largest, mut first) = (base, TimestampMs::NONE, None);
    let mut batches = file.batches(None);
    while let Some(found) = batches.next_found().map_err(refused(&path))? {
        match found {
            Found::Batch(batch) => {
                end_offset = batch.at.last_offset.next();
                largest = largest.max(batch.at.max_timestamp);
                first.get_or_insert(batch.at.max_timestamp);
            }
            Found::Damage { corruption, .. } => return Err(OfflineError::Damaged(corruption)),
        }
    }
    let info = SegmentInfo {
        base_offset: base,
        end_offset,
        size_bytes: file.size_bytes(),
        max_timestamp: Some(largest).filter(|timestamp| timestamp.get() >= 0),
        created: TimestampMs::new(created),
    };
    Ok((info, first))
}

// Of the transactions that the newest snapshot knows as open, the oldest.
fn first_unstable(dir: &PartitionDir, log_end: Offset) -> Result<Option<Offset>, OfflineError> {
    let newest = dir.offsets(FileType::ProducerSnapshot).filter(|offset| *offset <= log_end).last();
    let Some(newest) = newest else { return Ok(None) };
    let path = dir.file(FileType::ProducerSnapshot, newest);
    let bytes = fs::read(&path).map_err(refused(&path))?;
    let producers = snapshot::decode(&bytes).unwrap_or_default();
    Ok(producers.iter().filter_map(|producer| producer.current_txn_first_offset).min())
}

fn explain_retention(
    facts: &Facts,
    config: &LogConfig,
    now: i64,
    out: &mut dyn Write,
) -> Result<(), OfflineError> {
    let limits = RetentionLimits::of(config, facts.log_start, facts.high_watermark, now);
    let due = segments_due(&facts.segments, &limits);
    writeln!(out, "  retention: {} of {} segments go", due.by_age, facts.segments.len())?;
    for (index, segment) in facts.segments.iter().enumerate() {
        let (base, size) = (segment.base_offset, segment.size_bytes);
        let verdict = verdict(index, segment, &due, &limits, facts);
        writeln!(out, "    segment {base} to {}, {size} bytes: {verdict}", segment.end_offset)?;
    }
    Ok(())
}

fn verdict(
    index: usize,
    segment: &SegmentInfo,
    due: &SegmentsDue,
    limits: &RetentionLimits,
    facts: &Facts,
) -> String {
    let newest = newest_timestamp(segment).get();
    let retention_ms = limits.retention_ms.unwrap_or(i64::MAX);
    let retention_bytes = limits.retention_bytes.unwrap_or(i64::MAX);
    if index < due.by_start {
        return format!("goes, it ends before the log starts at {}", limits.log_start);
    }
    if index < due.by_size {
        return format!("goes, what is more than retention.bytes={retention_bytes} covers it whole");
    }
    if index < due.by_age {
        let age = limits.now.saturating_sub(newest);
        return format!(
            "goes, its newest timestamp {newest} is {age} ms old, more than retention.ms={retention_ms}"
        );
    }
    if index > due.by_age {
        return "stays, the one before it stays".to_owned();
    }
    if segment.end_offset > limits.high_watermark {
        return format!("stays, it reaches above the high watermark {}", limits.high_watermark);
    }
    if segment.size_bytes == 0 {
        return "stays, it is empty and active".to_owned();
    }
    let mut reasons = Vec::new();
    if limits.retention_ms.is_some() {
        reasons.push(format!(
            "goes by age after {} (newest timestamp {newest})",
            newest.saturating_add(retention_ms)
        ));
    }
    if limits.retention_bytes.is_some() {
        let left: u64 = facts.segments.iter().skip(index).map(|segment| segment.size_bytes).sum();
        let needed = retention_bytes.unsigned_abs().saturating_add(segment.size_bytes).saturating_sub(left);
        reasons.push(format!("goes by size when the log has grown by {needed} bytes"));
    }
    match reasons.is_empty() {
        true => "stays, neither age nor size is limited".to_owned(),
        false => format!("stays; {}", reasons.join("; ")),
    }
}

fn explain_compaction(
    facts: &Facts,
    config: &LogConfig,
    now: i64,
    out: &mut dyn Write,
) -> Result<(), OfflineError> {
    if !config.cleanup_policy.compact {
        return Ok(writeln!(out, "  compaction: none, cleanup.policy has no compact")?);
    }
    let found = cleanable(&CompactionFacts {
        segments: &facts.segments,
        log_start: facts.log_start,
        log_end: facts.log_end,
        last_stable: facts.last_stable,
        cleaned_to: facts.cleaned_to,
        config,
        now,
    });
    let active = facts.segments.last().map_or(facts.log_end, |segment| segment.base_offset);
    let dirty: Vec<Offset> = dirty_segments(&facts.segments, found.first_dirty, active)
        .map(|segment| segment.base_offset)
        .collect();
    let firsts = facts.segments.iter().zip(&facts.first_timestamps);
    let firsts = firsts.filter(|(segment, _)| dirty.contains(&segment.base_offset)).map(|(_, first)| *first);
    let overdue = config.max_compaction_lag_ms < i64::MAX && is_overdue(firsts, config, now);
    let verdict = match (found.is_due(config, overdue), found.dirty_bytes, overdue) {
        (true, _, true) => "due, a dirty record is older than max.compaction.lag.ms",
        (true, _, false) => "due, the dirty ratio is above min.cleanable.dirty.ratio",
        (false, 0, _) => "not due, nothing may be cleaned",
        (false, ..) => "not due, the dirty ratio is not above min.cleanable.dirty.ratio",
    };
    writeln!(
        out,
        "  compaction: {verdict}: clean up to {} ({} bytes), dirty up to {} ({} bytes), ratio {:.2} of {}",
        found.first_dirty,
        found.clean_bytes,
        found.first_uncleanable,
        found.dirty_bytes,
        found.dirty_ratio(),
        config.min_cleanable_dirty_ratio
    )?;
    for segment in &facts.segments {
        let base = segment.base_offset;
        let why = if base >= active {
            "stays as it is, it is active"
        } else if base < found.first_uncleanable {
            if base < found.first_dirty {
                "was cleaned; rewritten without what the dirty part replaces"
            } else {
                "dirty, will be cleaned"
            }
        } else if segment.end_offset > facts.last_stable {
            "stays as it is, a transaction in it is open or it reaches above the high watermark"
        } else {
            "stays as it is, it or one before it is younger than min.compaction.lag.ms"
        };
        writeln!(out, "    segment {base}: {why}")?;
    }
    Ok(())
}
