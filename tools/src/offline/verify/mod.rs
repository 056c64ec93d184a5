//! `verify`: everything that can be wrong with a log's files, one line each.

pub(super) mod damage;
mod entries;
mod indexes;
mod partition;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

use log_engine::{
    Offset, TopicPartition,
    checkpoint::{CLEANER_FILE, LOG_START_FILE, RECOVERY_POINT_FILE, REPLICATION_FILE, parse_offsets},
    log_dir::{META_PROPERTIES_FILE, MetaProperties},
};

use self::damage::{Findings, Lines, Rule};
use super::{
    OfflineError, Outcome,
    layout::{PartitionDir, Target, offsets_beside},
    metadata::ClusterFacts,
    progress, refused,
};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Data directories, or directories of partitions.
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// An object per line: one for each damage, and a summary at the end.
    #[arg(long)]
    json: bool,
    /// Missing offsets are no damage: for a replica of a compacted log that was never compacted here itself.
    #[arg(long)]
    allow_gaps: bool,
}

impl Verify {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, OfflineError> {
        let targets: Vec<Target> =
            self.directories.iter().map(|dir| Target::read(dir)).collect::<Result<_, _>>()?;
        let progress = progress::bar(records_bytes(&targets));
        let mut lines = Lines { out, is_json: self.json, progress: progress.clone() };
        let mut findings = Findings::new(&mut lines, progress);
        for target in &targets {
            verify(target, self.allow_gaps, &mut findings)?;
        }
        let counts = findings.counts;
        lines.summary(&counts)?;
        Ok(if counts.damages == 0 { Outcome::InOrder } else { Outcome::Differs })
    }
}

/// Bytes that a run over these reads.
pub(super) fn records_bytes(targets: &[Target]) -> u64 {
    targets.iter().flat_map(Target::partitions).map(PartitionDir::size_bytes).sum()
}

/// Checks a data directory or a partition; answers where each log ends.
pub(super) fn verify(
    target: &Target,
    allow_gaps: bool,
    findings: &mut Findings<'_>,
) -> Result<BTreeMap<TopicPartition, Offset>, OfflineError> {
    let facts = target.data_dir().map(|dir| ClusterFacts::read(&dir)).transpose()?.flatten();
    let mut ends = BTreeMap::new();
    for dir in target.partitions() {
        let may_have_gaps = allow_gaps || was_compacted(dir)?;
        let end = partition::verify(dir, may_have_gaps, facts.as_ref(), findings)?;
        ends.extend(dir.partition.clone().map(|partition| (partition, end)));
    }
    if let Target::Data(dir, _) = target {
        verify_checkpoints(dir, &ends, findings)?;
    }
    Ok(ends)
}

// Only compaction leaves gaps between offsets, and it notes how far it came.
fn was_compacted(dir: &PartitionDir) -> Result<bool, OfflineError> {
    let Some(partition) = &dir.partition else { return Ok(false) };
    Ok(offsets_beside(dir, CLEANER_FILE)?.contains_key(partition))
}

fn verify_checkpoints(
    dir: &Path,
    ends: &BTreeMap<TopicPartition, Offset>,
    findings: &mut Findings<'_>,
) -> Result<(), OfflineError> {
    let path = dir.join(META_PROPERTIES_FILE);
    match read_text(&path)? {
        Text::Missing => findings.damage(&path, 0, Rule::Missing)?,
        Text::NoFile => findings.damage(&path, 0, Rule::NotAFile)?,
        Text::Content(text) => {
            MetaProperties::parse(&path, &text)
                .map_or_else(|error| findings.corruption(error), |_| Ok(()))?;
        }
    }
    for name in [RECOVERY_POINT_FILE, LOG_START_FILE, REPLICATION_FILE, CLEANER_FILE] {
        verify_offsets(&dir.join(name), ends, findings)?;
    }
    Ok(())
}

// A partition that is gone stays in the file until it is written next.
fn verify_offsets(
    path: &Path,
    ends: &BTreeMap<TopicPartition, Offset>,
    findings: &mut Findings<'_>,
) -> Result<(), OfflineError> {
    let text = match read_text(path)? {
        Text::Content(text) if !text.is_empty() => text,
        Text::NoFile => return Ok(findings.damage(path, 0, Rule::NotAFile)?),
        Text::Content(_) | Text::Missing => return Ok(()),
    };
    let offsets = match parse_offsets(path, &text) {
        Ok(offsets) => offsets,
        Err(corruption) => return Ok(findings.corruption(corruption)?),
    };
    for (partition, offset) in offsets {
        if let Some(&end) = ends.get(&partition).filter(|end| offset > **end) {
            let rule = Rule::BehindEnd { partition: partition.to_string(), offset, end };
            findings.damage(path, 0, rule)?;
        }
    }
    Ok(())
}

/// What a small text file holds.
enum Text {
    Missing,
    /// Something else has its name.
    NoFile,
    /// Its text. Bytes that are no text make it malformed, not unreadable.
    Content(String),
}

fn read_text(path: &Path) -> Result<Text, OfflineError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Text::Content(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Text::Missing),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(Text::NoFile),
        Err(error) => Err(refused(path)(error)),
    }
}
