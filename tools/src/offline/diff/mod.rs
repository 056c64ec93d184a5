//! `diff`: whether two partitions, or two data directories, hold the same: records first, then what is kept beside them.
//!
//! A batch's header holds the checksum of all behind it, which the walk verifies: equal headers are equal batches. Where two
//! differ, their records are looked at. How a log is cut into segments is told, and makes no difference.

mod batches;
mod beside;

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use log_engine::TopicPartition;

use super::{
    OfflineError, Outcome,
    layout::{PartitionDir, Target},
    metadata::ClusterFacts,
};

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// Directory of a partition, or a data directory.
    left: PathBuf,
    /// Another one of the same kind.
    right: PathBuf,
}

/// One of the two partitions, with what the metadata log beside it says.
struct Side<'a> {
    dir: &'a PartitionDir,
    facts: Option<&'a ClusterFacts>,
}

impl Diff {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, OfflineError> {
        let (left, right) = (Target::read(&self.left)?, Target::read(&self.right)?);
        let (left_facts, right_facts) = (facts(&left)?, facts(&right)?);
        let same = match (&left, &right) {
            (Target::Partition(left), Target::Partition(right)) => {
                let left = Side { dir: left, facts: left_facts.as_ref() };
                partitions(&left, &Side { dir: right, facts: right_facts.as_ref() }, out)?
            }
            (Target::Data(..), Target::Data(..)) => {
                let mut same = true;
                for name in names(&left).union(&names(&right)) {
                    match (find(&left, name), find(&right, name)) {
                        (Some(left), Some(right)) => {
                            let left = Side { dir: left, facts: left_facts.as_ref() };
                            same &=
                                partitions(&left, &Side { dir: right, facts: right_facts.as_ref() }, out)?;
                        }
                        (found, _) => {
                            same = false;
                            writeln!(out, "{name}: only {}", if found.is_some() { "left" } else { "right" })?;
                        }
                    }
                }
                same
            }
            _ => return Err(OfflineError::Unlike(self.left.clone(), self.right.clone())),
        };
        Ok(if same { Outcome::InOrder } else { Outcome::Differs })
    }
}

fn facts(target: &Target) -> Result<Option<ClusterFacts>, OfflineError> {
    Ok(target.data_dir().as_deref().map(ClusterFacts::read).transpose()?.flatten())
}

fn names(target: &Target) -> BTreeSet<TopicPartition> {
    target.partitions().iter().filter_map(|dir| dir.partition.clone()).collect()
}

fn find<'a>(target: &'a Target, name: &TopicPartition) -> Option<&'a PartitionDir> {
    target.partitions().iter().find(|dir| dir.partition.as_ref() == Some(name))
}

fn partitions(left: &Side<'_>, right: &Side<'_>, out: &mut dyn Write) -> Result<bool, OfflineError> {
    let same_batches = batches::compare(left.dir, right.dir, out)?;
    let same_beside = beside::compare(left, right, out)?;
    let verdict = match (same_batches, same_beside) {
        (true, true) => "the logs hold the same",
        (true, false) => "the logs hold the same batches, and differ beside them",
        (false, _) => "the logs differ",
    };
    writeln!(out, "{verdict}")?;
    Ok(same_batches && same_beside)
}

/// How a directory is called in a line about both.
fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
