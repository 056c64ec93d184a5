//! When a metadata snapshot is written, and which ones are kept.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use log_engine::{
    io::{Disk, OpenMode},
    types::TimestampMs,
};

use super::{
    image::Image,
    load::{Loaded, snapshots},
    raft::{EncodeBatchError, Quorum},
    snapshot::{self, SnapshotId},
};

/// Snapshots that are kept besides a new one: should it not be readable, an older one is.
const KEPT: usize = 3;

/// The keys that say when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub max_bytes: u64,
    /// `metadata.log.max.snapshot.interval.ms`; zero for never.
    pub max_interval: Duration,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self { max_bytes: 20 * 1024 * 1024, max_interval: Duration::from_secs(3600) }
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error(transparent)]
    Encode(#[from] EncodeBatchError),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Counts what is behind the latest snapshot, and writes the next.
pub(super) struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    policy: SnapshotPolicy,
    bytes_since: u64,
    last: Option<TimestampMs>,
}

impl SnapshotWriter {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, policy: SnapshotPolicy, loaded: &Loaded) -> Self {
        Self { disk, dir, policy, bytes_since: loaded.bytes_since_snapshot, last: None }
    }

    /// A batch was appended.
    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes_since += bytes as u64;
    }

    /// Enough has been written, or enough time has passed and anything was written at all.
    pub(super) fn is_due(&mut self, now: TimestampMs) -> bool {
        let since = *self.last.get_or_insert(now);
        let interval = i64::try_from(self.policy.max_interval.as_millis()).unwrap_or(i64::MAX);
        let late = interval > 0 && now.get().saturating_sub(since.get()) >= interval;
        self.bytes_since >= self.policy.max_bytes || (late && self.bytes_since > 0)
    }

    /// Writes the snapshot of an image and removes the oldest. A crash leaves at most a file beside, never half a
    /// snapshot under a snapshot's name.
    pub(super) fn write(
        &mut self,
        image: &Image,
        quorum: &Quorum,
        now: TimestampMs,
    ) -> Result<SnapshotId, SnapshotError> {
        // Also where it fails: the next attempt comes after as many bytes again.
        self.bytes_since = 0;
        self.last = Some(now);
        let id = image.snapshot_id();
        let version = image.metadata_version();
        let last_contained = image.provenance().timestamp;
        let bytes = snapshot::encode(id, last_contained, quorum, &image.to_records(), version, now)?;
        let path = self.dir.join(id.file_name());
        write_file(&self.disk, &path, &bytes).map_err(|error| SnapshotError::Io { path, error })?;
        self.remove_old().map_err(|error| SnapshotError::Io { path: self.dir.clone(), error })?;
        Ok(id)
    }

    fn remove_old(&self) -> io::Result<()> {
        for id in snapshots(&self.disk, &self.dir)?.into_iter().skip(KEPT) {
            self.disk.remove_file(&self.dir.join(id.file_name()))?;
        }
        Ok(())
    }
}

/// As Kafka's `FileRawSnapshotWriter`: beside it with the suffix `.part`, durable, then renamed.
pub(super) fn write_file(disk: &Arc<dyn Disk>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part: OsString = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let file = disk.open(&part, OpenMode::OpenOrCreate)?;
    file.set_len(0)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&part, path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}
