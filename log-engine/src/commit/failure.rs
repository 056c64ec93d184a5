//! What a failed append means for its partition and for its directory.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::io::is_full;

use super::Offline;

/// Why an append was not committed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk or a quota is full. The partition refuses appends until there is space and stays readable.
    #[error("no space for {}: {error}; free space and produce again", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
        /// What the operating system answered.
        error: Arc<io::Error>,
    },
    /// An earlier append of the same target failed, so this one was not written.
    #[error("not written, because an earlier append failed: {first}")]
    AfterFailure {
        /// The earlier failure.
        first: Arc<CommitError>,
    },
    /// The directory is offline.
    #[error("{0}")]
    Offline(Arc<Offline>),
}

impl CommitError {
    /// Whether there was no room, and nothing else is wrong.
    pub fn is_full(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::AfterFailure { first } => first.is_full(),
            Self::Offline(_) => false,
        }
    }
}

/// How far a failed write reaches.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// Only the target that wanted to write.
    Target,
    /// The whole directory, until it is reopened.
    Directory,
}

/// A full disk, an exhausted quota and a file at its size limit leave what is stored intact; of any other answer to
/// a write nothing is known, so it counts as a failing disk, as in Kafka's LogDirFailureChannel.
pub(super) fn reach_of_write_failure(error: &io::Error) -> Reach {
    if is_full(error) { Reach::Target } else { Reach::Directory }
}
