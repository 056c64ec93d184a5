//! `verify`: everything that can be wrong with a log's files, one line each.

mod damage;
mod entries;
mod indexes;
mod partition;

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use log_engine::{
    Offset, TopicPartition,
    checkpoint::{CLEANER_FILE, LOG_START_FILE, RECOVERY_POINT_FILE, REPLICATION_FILE, parse_offsets},
    log_dir::{META_PROPERTIES_FILE, MetaProperties},
};

use self::{
    damage::{Findings, Rule},
    partition::read_text,
};
use super::{
    OfflineError, Outcome,
    layout::{PartitionDir, Target, offsets_beside},
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
    pub(super) fn run(&self, out: &mut dyn Write, errors: &mut dyn Write) -> Result<Outcome, OfflineError> {
        let targets: Vec<Target> =
            self.directories.iter().map(|dir| Target::read(dir)).collect::<Result<_, _>>()?;
        let bytes = targets.iter().flat_map(Target::partitions).map(PartitionDir::size_bytes).sum();
        let mut findings = Findings::new(out, errors, self.json, bytes);
        for target in &targets {
            self.verify(target, &mut findings)?;
        }
        let counts = findings.finish()?;
        Ok(if counts.damages == 0 { Outcome::InOrder } else { Outcome::Differs })
    }

    fn verify(&self, target: &Target, findings: &mut Findings<'_>) -> Result<(), OfflineError> {
        let mut ends = BTreeMap::new();
        for dir in target.partitions() {
            let end = partition::verify(dir, self.allow_gaps || was_compacted(dir)?, findings)?;
            ends.extend(dir.partition.clone().map(|partition| (partition, end)));
        }
        match target {
            Target::Data(dir, _) => verify_checkpoints(dir, &ends, findings),
            Target::Partition(_) => Ok(()),
        }
    }
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
        None => findings.damage(&path, 0, &Rule::Missing, None)?,
        Some(text) => {
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
    let Some(text) = read_text(path)?.filter(|text| !text.is_empty()) else { return Ok(()) };
    let offsets = match parse_offsets(path, &text) {
        Ok(offsets) => offsets,
        Err(corruption) => return Ok(findings.corruption(corruption)?),
    };
    for (partition, offset) in offsets {
        if let Some(&end) = ends.get(&partition).filter(|end| offset > **end) {
            let rule = Rule::BehindEnd { partition: partition.to_string(), offset, end };
            findings.damage(path, 0, &rule, None)?;
        }
    }
    Ok(())
}
