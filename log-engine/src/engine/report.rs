//! What opening an engine found.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::OpenError;
use crate::io::BackendReport;
use crate::log::LogOpening;
use crate::log_dir::{MetaProperties, Shutdown};

/// What opening an engine found.
#[derive(Debug, Clone)]
pub struct OpenReport {
    /// The disk backend in use, and why.
    pub backend: BackendReport,
    /// The data directories that serve, in the order of the configuration.
    pub directories: Vec<DirectoryReport>,
    /// Those that could not be opened. The others serve without them.
    pub offline: Vec<OfflineDirectory>,
}

/// What opening one data directory found.
#[derive(Debug, Clone)]
pub struct DirectoryReport {
    /// The directory.
    pub path: PathBuf,
    /// Its identity.
    pub meta: MetaProperties,
    /// How it was left.
    pub shutdown: Shutdown,
    /// The logs in it.
    pub logs: Vec<LogOpening>,
}

/// A data directory that could not be opened.
#[derive(Debug, Clone)]
pub struct OfflineDirectory {
    /// The directory.
    pub path: PathBuf,
    /// What was wrong with it.
    pub error: Arc<OpenError>,
}

impl OpenReport {
    /// Whether every directory was left by a clean stop.
    pub fn is_clean(&self) -> bool {
        self.directories.iter().all(|directory| matches!(directory.shutdown, Shutdown::Clean { .. }))
    }

    /// Bytes whose checksums were computed.
    pub fn scanned_bytes(&self) -> u64 {
        self.directories.iter().flat_map(|directory| &directory.logs).map(|log| log.scanned_bytes).sum()
    }

    /// Bytes cut off.
    pub fn cut_bytes(&self) -> u64 {
        self.directories.iter().flat_map(|directory| &directory.logs).map(|log| log.cut_bytes).sum()
    }
}
