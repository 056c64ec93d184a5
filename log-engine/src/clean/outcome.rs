//! What a cleaning did, or why it did not.

use std::io;

use crate::batch::BatchHeader;
use crate::error::{Corruption, ReadError};
use crate::io::is_shortage;
use crate::types::Offset;

use super::walk::WalkError;

/// What a cleaning did.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct CleaningReport {
    /// The log is compacted up to here.
    pub cleaned_to: Offset,
    /// Bytes of batches that were read, those read for their keys and again for their records counted twice.
    pub bytes_read: u64,
    /// Bytes of batches that were written.
    pub bytes_written: u64,
    /// Records that were looked at to be kept or not.
    pub records_read: u64,
    /// Records that stayed.
    pub records_kept: u64,
    /// Keys in the dirty part.
    pub keys: u64,
    /// Segments there were and segments there are of them.
    pub segments: (u32, u32),
}

/// Why a log was not cleaned.
#[derive(Debug, thiserror::Error)]
pub enum CleaningError {
    /// The cleaner was told to stop.
    #[error("the cleaner stops")]
    Stopped,
    /// Somebody else cleans the log.
    #[error("the log is being cleaned")]
    Busy,
    /// Records were cut or deleted meanwhile; nothing is lost, and the log can be cleaned again.
    #[error("the log was cut while it was cleaned")]
    Changed,
    /// Damage was found. The log is left alone until the next start.
    #[error(transparent)]
    Corrupt(Box<Corruption>),
    /// A batch that cannot be cleaned. The log is left alone until the next start.
    #[error("the batch at offset {offset}: {reason}")]
    Batch {
        /// Where the batch begins.
        offset: Offset,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed. The log is left alone until the next start, unless the disk was merely full.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl CleaningError {
    /// Whether trying again may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Stopped | Self::Busy | Self::Changed => true,
            Self::Io(error) => is_shortage(error),
            Self::Corrupt(_) | Self::Batch { .. } => false,
        }
    }

    pub(super) fn batch(batch: &BatchHeader<'_>, reason: &dyn std::fmt::Display) -> Self {
        Self::Batch { offset: batch.base_offset(), reason: reason.to_string() }
    }
}

impl From<WalkError> for CleaningError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Io(error) => Self::Io(error),
            WalkError::Corrupt(corruption) => Self::Corrupt(corruption),
            WalkError::OldFormat { .. } => Self::Io(io::Error::other(error.to_string())),
        }
    }
}

impl From<ReadError> for CleaningError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Io(error),
            ReadError::Corrupt(corruption) => Self::Corrupt(Box::new(corruption)),
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }
}
