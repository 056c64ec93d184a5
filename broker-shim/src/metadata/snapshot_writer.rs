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

/// The keys that say when, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub max_bytes: u64,
    /// `metadata.log.max.snapshot.interval.ms`; zero for never.
    pub max_interval: Duration,
    /// `metadata.max.retention.bytes`, of log and snapshots together; below zero for no limit.
    pub retention_bytes: i64,
    /// `metadata.max.retention.ms`; below zero for no limit.
    pub retention_ms: i64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            max_bytes: 20 * 1024 * 1024,
            max_interval: Duration::from_secs(3600),
            retention_bytes: 100 * 1024 * 1024,
            retention_ms: 7 * 24 * 3600 * 1000,
        }
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

    /// Writes the snapshot of an image. A crash leaves at most a file beside, never half a
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
        Ok(id)
    }

    /// The oldest snapshot that is to stay, where there are older ones to go.
    pub(super) fn first_to_keep(&self, log_bytes: u64, now: TimestampMs) -> io::Result<Option<SnapshotId>> {
        let mut ids = snapshots(&self.disk, &self.dir)?;
        ids.reverse();
        let sizes: Vec<u64> = ids
            .iter()
            .map(|id| self.disk.metadata(&self.dir.join(id.file_name())).map(|found| found.len))
            .collect::<io::Result<_>>()?;
        let too_many = self.policy.too_many(log_bytes, &sizes);
        let too_old = ids.iter().take_while(|id| self.is_too_old(**id, now)).count();
        // The latest stays in any case.
        let go = too_many.max(too_old).min(ids.len().saturating_sub(1));
        Ok(ids.get(go).copied().filter(|_| go > 0))
    }

    /// By the time of the last record in it; one that cannot be read has none.
    fn is_too_old(&self, id: SnapshotId, now: TimestampMs) -> bool {
        let retention = self.policy.retention_ms;
        if retention < 0 {
            return false;
        }
        let time = snapshot::read_last_contained(&self.disk, &self.dir.join(id.file_name()));
        time.is_some_and(|time| now.get().saturating_sub(time.get()) > retention)
    }

    pub(super) fn remove_before(&self, first_kept: SnapshotId) -> io::Result<()> {
        for id in snapshots(&self.disk, &self.dir)?.into_iter().filter(|id| *id < first_kept) {
            self.disk.remove_file(&self.dir.join(id.file_name()))?;
        }
        Ok(())
    }
}

impl SnapshotPolicy {
    /// How many of the oldest snapshots go until log and snapshots fit. As in Kafka, the log counts whole: how much of
    /// it goes with them is not known before.
    fn too_many(&self, log_bytes: u64, sizes: &[u64]) -> usize {
        let Ok(limit) = u64::try_from(self.retention_bytes) else { return 0 };
        let mut total = log_bytes + sizes.iter().sum::<u64>();
        let goes = move |size: &&u64| {
            let over = total > limit;
            total -= **size;
            over
        };
        sizes.iter().take_while(goes).count()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_snapshots_go_until_log_and_snapshots_fit_as_kafka_counts_them() {
        for (limit, log, sizes, gone) in [
            (100, 50, &[10, 10, 10][..], 0),
            (100, 80, &[10, 10, 10], 1),
            (100, 95, &[10, 10, 10], 3),
            (0, 0, &[10], 1),
            (-1, 1 << 40, &[10, 10], 0),
        ] {
            let policy = SnapshotPolicy { retention_bytes: limit, ..SnapshotPolicy::default() };
            assert_eq!(policy.too_many(log, sizes), gone, "{limit} {log} {sizes:?}");
        }
    }
}
