//! `klamm-log`: what can be told of logs that nobody has open. Reads only, in bounded memory.
//!
//! The rules are the engine's: batches are walked as recovery walks them, and retention and compaction are decided by the
//! functions that decide in the engine. See `docs/klamm-log.md`.

mod diff;
mod explain;
mod layout;
mod metadata;
mod progress;
mod repair;
mod verify;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use log_engine::{Corruption, InvalidConfig};
use thiserror::Error;

/// What is to be done.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Check every checksum, the order of offsets and epochs, indexes against logs, snapshots and checkpoint files.
    Verify(verify::Verify),
    /// Plan, and with --execute carry out, what makes a damaged directory one that can be opened: nothing is deleted.
    Repair(repair::Repair),
    /// Tell which segments retention and compaction take next, and why.
    Explain(explain::Explain),
    /// Compare two partition directories, or two data directories: records, epochs, producers, configuration.
    Diff(diff::Diff),
}

/// What a run found, where it could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is wrong; exit code 0.
    InOrder,
    /// There is damage, or a difference; exit code 1.
    Differs,
}

/// Why a run could not be carried out; exit code 2.
#[derive(Debug, Error)]
pub enum OfflineError {
    /// The directory is being written to.
    #[error("{} is in use by a running broker (its .lock is taken); stop it, or look at a copy", .0.display())]
    InUse(PathBuf),
    /// The directory holds no log.
    #[error("{} is neither a data directory nor that of a partition", .0.display())]
    NoLog(PathBuf),
    /// One is a data directory, the other that of a partition.
    #[error("{} and {} cannot be compared: one is a data directory, the other that of a partition", .0.display(), .1.display())]
    Unlike(PathBuf, PathBuf),
    /// A `--config` that is not `key=value`.
    #[error("--config {0}: key=value is expected")]
    NotKeyValue(String),
    /// A value that the engine refuses.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// A log that is too damaged for the question.
    #[error("{0}; see klamm-log verify")]
    Damaged(Corruption),
    /// The operating system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The refusal.
        error: io::Error,
    },
    /// What was found could not be written.
    #[error("output: {0}")]
    Output(#[from] io::Error),
}

fn refused(path: &Path) -> impl FnOnce(io::Error) -> OfflineError + '_ {
    move |error| OfflineError::Io { path: path.to_owned(), error }
}

impl Command {
    /// Runs it. Progress is shown where standard error is a terminal.
    pub fn run(&self, out: &mut dyn Write) -> Result<Outcome, OfflineError> {
        match self {
            Self::Verify(verify) => verify.run(out),
            Self::Repair(repair) => repair.run(out),
            Self::Explain(explain) => explain.run(out),
            Self::Diff(diff) => diff.run(out),
        }
    }
}
