//! One change that a repair makes, and how it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use log_engine::{
    Offset,
    inspect::{FileType, parse_file_name},
};

use super::survey::SurveyedSegment;

/// One change.
#[derive(Debug)]
pub(super) enum Step {
    /// The next start must not believe the files as they are.
    RemoveCleanMark { path: PathBuf },
    /// What cannot be used goes out of the way, and is kept.
    SetAside { path: PathBuf, reason: String },
    /// A `.log` is written without what is damaged; the original is kept aside.
    TakeOut(SurveyedSegment),
    /// What follows from the batches is written.
    Derive(Derive),
    /// All records of a log become durable.
    Flush { dir: PathBuf, logs: Vec<PathBuf> },
    /// A small file is written.
    Write { path: PathBuf, content: String, reason: String },
}

/// Files of one log that are written from its batches.
#[derive(Debug)]
pub(super) struct Derive {
    pub(super) dir: PathBuf,
    pub(super) index_interval_bytes: u32,
    /// All segments, in order.
    pub(super) logs: Vec<(Offset, PathBuf)>,
    /// Snapshots of producers at the beginning of a segment that hold what the batches may not.
    pub(super) snapshots: BTreeMap<Offset, PathBuf>,
    pub(super) files: BTreeSet<PathBuf>,
}

/// Something that stays as it is.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) path: PathBuf,
    pub(super) problem: String,
    /// Whether it keeps a broker from serving what is there.
    pub(super) needs_somebody: bool,
}

impl Step {
    /// The kind of change, in one word or two.
    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::RemoveCleanMark { .. } => "remove",
            Self::SetAside { .. } => "set aside",
            Self::TakeOut(_) => "take out",
            Self::Derive(_) => "derive",
            Self::Flush { .. } => "flush",
            Self::Write { .. } => "write",
        }
    }

    /// What is changed.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::RemoveCleanMark { path } | Self::SetAside { path, .. } | Self::Write { path, .. } => path,
            Self::TakeOut(segment) => &segment.path,
            Self::Derive(derive) => &derive.dir,
            Self::Flush { dir, .. } => dir,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().display();
        match self {
            Self::RemoveCleanMark { .. } => {
                write!(f, "remove {path}: the next start has to look at the logs")
            }
            Self::SetAside { reason, .. } => write!(f, "set aside {path}: {reason}"),
            Self::TakeOut(segment) => {
                let kept: u64 = segment.kept.iter().map(|range| range.end - range.start).sum();
                let (lost, reason) = (segment.size - kept, segment.reason.as_deref().unwrap_or_default());
                write!(
                    f,
                    "take {lost} of {} bytes out of {path}, keeping the whole aside: {reason}",
                    segment.size
                )
            }
            Self::Derive(derive) => {
                let names: Vec<_> = derive
                    .files
                    .iter()
                    .filter_map(|file| file.file_name()?.to_str())
                    .filter(|name| !is_rare(name))
                    .collect();
                write!(f, "write from the batches of {path}: {}", names.join(", "))
            }
            Self::Flush { .. } => write!(f, "flush the segments of {path}"),
            Self::Write { reason, .. } => write!(f, "write {path}: {reason}"),
        }
    }
}

// Exists only where a transaction was aborted.
fn is_rare(name: &str) -> bool {
    parse_file_name(name).is_some_and(|name| name.file_type == FileType::TxnIndex)
}
