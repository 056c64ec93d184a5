//! What verification tells, and where to.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use log_engine::{Corruption, LeaderEpoch, Offset, ProducerId, Rule as EngineRule, producer::SnapshotError};
use serde_json::json;
use thiserror::Error;

/// A rule that does not hold: the engine's, or one between two files.
#[derive(Debug, Error)]
pub(super) enum Rule {
    #[error(transparent)]
    Engine(#[from] EngineRule),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the file is missing")]
    Missing,
    #[error("there is no segment of this base offset")]
    NoSegment,
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
pub(super) struct Counts {
    pub(super) partitions: u64,
    pub(super) segments: u64,
    pub(super) batches: u64,
    pub(super) bytes: u64,
    pub(super) damages: u64,
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

/// Where findings go as they are made.
pub(super) struct Findings<'w> {
    out: &'w mut dyn Write,
    progress: &'w mut dyn Write,
    is_json: bool,
    shows_progress: bool,
    total_bytes: u64,
    shown: Instant,
    pub(super) counts: Counts,
}

const PROGRESS_EVERY: Duration = Duration::from_millis(200);

impl<'w> Findings<'w> {
    pub(super) fn new(
        out: &'w mut dyn Write,
        progress: &'w mut dyn Write,
        is_json: bool,
        total_bytes: u64,
    ) -> Self {
        let shows_progress = io::stderr().is_terminal();
        let (shown, counts) = (Instant::now(), Counts::default());
        Self { out, progress, is_json, shows_progress, total_bytes, shown, counts }
    }

    pub(super) fn corruption(&mut self, corruption: Corruption) -> io::Result<()> {
        self.damage(&corruption.file, corruption.position, &corruption.rule.into(), None)
    }

    /// One line. `lost` are the bytes behind the position that cannot be read for it.
    pub(super) fn damage(
        &mut self,
        file: &Path,
        position: u64,
        rule: &Rule,
        lost: Option<u64>,
    ) -> io::Result<()> {
        self.counts.damages += 1;
        self.clear_progress();
        if self.is_json {
            let line = json!({
                "type": "damage", "file": file.display().to_string(), "position": position,
                "rule": rule.to_string(), "lostBytes": lost,
            });
            return writeln!(self.out, "{line}");
        }
        write!(self.out, "{}: at byte {position}: {rule}", file.display())?;
        match lost {
            Some(lost) => writeln!(self.out, " ({lost} bytes are lost)"),
            None => writeln!(self.out),
        }
    }

    pub(super) fn progress(&mut self) {
        if self.shows_progress && self.shown.elapsed() >= PROGRESS_EVERY {
            const WIDTH: u64 = 40;
            self.shown = Instant::now();
            let done = self.counts.bytes.min(self.total_bytes);
            let filled = (done * WIDTH).checked_div(self.total_bytes).unwrap_or(0) as usize;
            let percent = (done * 100).checked_div(self.total_bytes).unwrap_or(0);
            let _ = write!(
                self.progress,
                "\r[{:<width$}] {percent:3} %",
                "#".repeat(filled),
                width = WIDTH as usize
            );
        }
    }

    fn clear_progress(&mut self) {
        if self.shows_progress {
            let _ = write!(self.progress, "\r\x1b[K");
        }
    }

    pub(super) fn finish(mut self) -> io::Result<Counts> {
        self.clear_progress();
        let counts = self.counts;
        if self.is_json {
            let Counts { partitions, segments, batches, bytes, damages } = counts;
            let line = json!({
                "type": "summary", "partitions": partitions, "segments": segments, "batches": batches,
                "bytes": bytes, "damages": damages,
            });
            writeln!(self.out, "{line}")?;
        } else {
            writeln!(self.out, "{counts}")?;
        }
        Ok(counts)
    }
}
