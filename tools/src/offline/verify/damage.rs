//! What verification tells, and where to.

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
};

use indicatif::ProgressBar;
use log_engine::{
    Corruption, LeaderEpoch, Offset, ProducerId, Rule as EngineRule, TopicId, producer::SnapshotError,
};
use serde_json::json;
use thiserror::Error;

/// A rule that does not hold: the engine's, or one between two files.
#[derive(Debug, Error)]
pub(in crate::offline) enum Rule {
    #[error(transparent)]
    Engine(#[from] EngineRule),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the file is missing")]
    Missing,
    #[error("it is no file")]
    NotAFile,
    #[error("there is no segment of this base offset")]
    NoSegment,
    #[error("topic id {found} is that of the topic {owner:?}, and this one has {expected}")]
    OtherTopic { found: TopicId, owner: String, expected: TopicId },
    #[error("no batch begins at byte {target}, which the entry of offset {offset} points to")]
    NoBatchAt { target: u64, offset: Offset },
    #[error("no batch behind the place that the entry points to ends at offset {offset}")]
    NoBatchEnds { offset: Offset },
    #[error("the entry has timestamp {entry} for offset {offset}, but the largest up to there is {log}")]
    Timestamp { entry: i64, offset: Offset, log: i64 },
    #[error("the transaction of producer {producer} has no marker at offset {offset}")]
    NoMarker { producer: ProducerId, offset: Offset },
    #[error("a batch of leader epoch {log} lies at offset {offset}, where the file says {file:?}")]
    Epoch { log: LeaderEpoch, offset: Offset, file: Option<i32> },
    #[error("{partition} is said to reach offset {offset}, but its log ends at {end}")]
    BehindEnd { partition: String, offset: Offset, end: Offset },
}

/// Counts of a run.
#[derive(Default, Debug)]
pub(in crate::offline) struct Counts {
    pub(in crate::offline) partitions: u64,
    pub(in crate::offline) segments: u64,
    pub(in crate::offline) batches: u64,
    pub(in crate::offline) bytes: u64,
    pub(in crate::offline) damages: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partitions, segments, batches, bytes, damages } = self;
        write!(
            f,
            "partitions: {partitions}, segments: {segments}, batches: {batches}, bytes: {bytes}, damages: {damages}"
        )
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub(in crate::offline) struct Damage {
    pub(in crate::offline) file: PathBuf,
    pub(in crate::offline) position: u64,
    pub(in crate::offline) rule: Rule,
    /// The bytes behind the position that cannot be read for it.
    pub(in crate::offline) lost: Option<u64>,
}

impl Damage {
    pub(in crate::offline) fn new(file: &Path, position: u64, rule: impl Into<Rule>) -> Self {
        Self { file: file.to_owned(), position, rule: rule.into(), lost: None }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: at byte {}: {}", self.file.display(), self.position, self.rule)?;
        self.lost.map_or(Ok(()), |lost| write!(f, " ({lost} bytes are lost)"))
    }
}

/// Who is told of damage as it is found.
pub(in crate::offline) trait Told {
    fn damage(&mut self, damage: Damage) -> io::Result<()>;
}

/// A line for each.
pub(super) struct Lines<'w> {
    pub(super) out: &'w mut dyn Write,
    pub(super) is_json: bool,
    pub(super) progress: ProgressBar,
}

impl Told for Lines<'_> {
    fn damage(&mut self, damage: Damage) -> io::Result<()> {
        let Self { out, is_json, progress } = self;
        progress.suspend(|| {
            if !*is_json {
                return writeln!(out, "{damage}");
            }
            let line = json!({
                "type": "damage", "file": damage.file.display().to_string(), "position": damage.position,
                "rule": damage.rule.to_string(), "lostBytes": damage.lost,
            });
            writeln!(out, "{line}")
        })
    }
}

impl Lines<'_> {
    pub(super) fn summary(self, counts: &Counts) -> io::Result<()> {
        self.progress.finish_and_clear();
        if !self.is_json {
            return writeln!(self.out, "{counts}");
        }
        let Counts { partitions, segments, batches, bytes, damages } = counts;
        let line = json!({
            "type": "summary", "partitions": partitions, "segments": segments, "batches": batches,
            "bytes": bytes, "damages": damages,
        });
        writeln!(self.out, "{line}")
    }
}

/// What a walk finds: counted, shown as progress, told.
pub(in crate::offline) struct Findings<'w> {
    told: &'w mut dyn Told,
    progress: ProgressBar,
    pub(in crate::offline) counts: Counts,
}

impl<'w> Findings<'w> {
    pub(in crate::offline) fn new(told: &'w mut dyn Told, progress: ProgressBar) -> Self {
        Self { told, progress, counts: Counts::default() }
    }

    pub(super) fn corruption(&mut self, corruption: Corruption) -> io::Result<()> {
        self.tell(Damage::new(&corruption.file, corruption.position, corruption.rule))
    }

    pub(super) fn damage(&mut self, file: &Path, position: u64, rule: impl Into<Rule>) -> io::Result<()> {
        self.tell(Damage::new(file, position, rule))
    }

    pub(super) fn tell(&mut self, damage: Damage) -> io::Result<()> {
        self.counts.damages += 1;
        self.told.damage(damage)
    }

    /// So many more bytes of records were read.
    pub(super) fn read_bytes(&mut self, bytes: u64) {
        self.counts.bytes += bytes;
        self.progress.inc(bytes);
    }
}
