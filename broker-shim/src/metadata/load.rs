//! From the latest snapshot and the log behind it to the image.
//!
//! A metadata transaction (KIP-868) counts only once its end is in the log; what an unfinished one holds is left out,
//! as Kafka's `MetadataBatchLoader` does. Records of a newer Kafka stay in the log, are not folded, and are named once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use log_engine::{
    io::Disk,
    types::{LeaderEpoch, Offset, TimestampMs},
};

use super::{
    batches::{self, BatchProblem, DecodedBatch, Entry},
    fold::{Delta, FoldError},
    image::Image,
    quorum_state::read_file,
    raft::{ControlRecord, Quorum},
    record::MetadataRecord,
    record_log::{LogFailure, RecordLog},
    snapshot::{self, SnapshotId},
};

/// Bytes of log that are decoded at a time.
const READ_BYTES: usize = 1 << 20;

/// Longest snapshot that is read. One of 100 000 partitions has some 10 MB.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

/// Why the metadata cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A snapshot cannot be read.
    #[error("{}: {error}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A batch cannot be decoded.
    #[error("{}: {problem}", path.display())]
    Batch {
        /// Snapshot or log.
        path: PathBuf,
        /// What is wrong, and where.
        problem: BatchProblem,
    },
    /// A record contradicts those before it.
    #[error("{}: the record at offset {offset} cannot be applied: {error}", path.display())]
    Fold {
        /// Snapshot or log.
        path: PathBuf,
        /// Offset of the batch.
        offset: Offset,
        /// The contradiction.
        error: FoldError,
    },
    /// The log begins behind the end of every snapshot that can be read.
    #[error("{}: the log begins at offset {start} and no snapshot that can be read reaches it", path.display())]
    Gap {
        /// Directory of the metadata log.
        path: PathBuf,
        /// Where the log begins.
        start: Offset,
    },
    /// The log itself fails.
    #[error(transparent)]
    Log(#[from] LogFailure),
}

/// What was loaded.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) image: Image,
    pub(super) quorum: Quorum,
    /// The snapshot it began with.
    pub(super) snapshot: Option<SnapshotId>,
    /// Bytes of log behind it.
    pub(super) bytes_since_snapshot: u64,
    /// The log ends within a metadata transaction.
    pub(super) open_transaction: bool,
    /// Names of what could not be understood. While there is any, no snapshot may be written: it would lose it.
    pub(super) unknown: BTreeSet<String>,
}

pub(super) fn load(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    log: &dyn RecordLog,
    cluster_id: &str,
) -> Result<Loaded, LoadError> {
    let mut loaded = load_snapshot(disk, dir, log, cluster_id)?;
    let mut replay =
        Replay { image: loaded.image, quorum: loaded.quorum, held: None, unknown: loaded.unknown };
    let path = dir.join("00000000000000000000.log");
    let mut next = replay.image.provenance.end_offset.max(log.start_offset());
    while next < log.end_offset() {
        let bytes = log.read(next, READ_BYTES)?;
        let before = next;
        loaded.bytes_since_snapshot += bytes.len() as u64;
        for batch in batches::decode_batches(&bytes, 0) {
            let batch = batch.map_err(|problem| LoadError::Batch { path: path.clone(), problem })?;
            next = batch.next_offset;
            // The first batch that is read may begin before the snapshot's end.
            if next > replay.image.provenance.end_offset {
                let offset = batch.base_offset;
                replay.batch(batch).map_err(|error| LoadError::Fold { path: path.clone(), offset, error })?;
            }
        }
        if next == before {
            break;
        }
    }
    loaded.open_transaction = replay.held.is_some();
    loaded.image = replay.image;
    loaded.quorum = replay.quorum;
    loaded.unknown = replay.unknown;
    Ok(loaded)
}

/// The snapshots of a directory, the latest first.
pub(super) fn snapshots(disk: &Arc<dyn Disk>, dir: &Path) -> std::io::Result<Vec<SnapshotId>> {
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ids: Vec<_> = entries.iter().filter_map(|entry| SnapshotId::of_file(&entry.path)).collect();
    ids.sort_unstable();
    ids.reverse();
    Ok(ids)
}

/// The latest snapshot that is whole. One that is not is passed over where the log still reaches back far enough.
fn load_snapshot(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    log: &dyn RecordLog,
    cluster_id: &str,
) -> Result<Loaded, LoadError> {
    let listed = snapshots(disk, dir).map_err(|error| LoadError::Snapshot { path: dir.to_owned(), error })?;
    let mut first_failure = None;
    for id in listed {
        if id.end_offset < log.start_offset() {
            break;
        }
        match read_snapshot(disk, &dir.join(id.file_name()), id, cluster_id) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => {
                tracing::warn!("a metadata snapshot is passed over: {error}");
                first_failure.get_or_insert(error);
            }
        }
    }
    if log.start_offset() > Offset::ZERO {
        let gap = LoadError::Gap { path: dir.to_owned(), start: log.start_offset() };
        return Err(first_failure.unwrap_or(gap));
    }
    Ok(Loaded {
        image: Image::empty(cluster_id),
        quorum: Quorum::default(),
        snapshot: None,
        bytes_since_snapshot: 0,
        open_transaction: false,
        unknown: BTreeSet::new(),
    })
}

fn read_snapshot(
    disk: &Arc<dyn Disk>,
    path: &Path,
    id: SnapshotId,
    cluster_id: &str,
) -> Result<Loaded, LoadError> {
    let bytes = read_file(disk, path, SNAPSHOT_BYTES_MAX)
        .map_err(|error| LoadError::Snapshot { path: path.to_owned(), error })?;
    let decoded =
        snapshot::decode(&bytes).map_err(|problem| LoadError::Batch { path: path.to_owned(), problem })?;
    let mut image = Image::empty(cluster_id);
    for record in &decoded.records {
        image.fold(record, &mut Delta::default()).map_err(|error| LoadError::Fold {
            path: path.to_owned(),
            offset: id.end_offset,
            error,
        })?;
    }
    image.stamp(id.end_offset, id.epoch, decoded.last_contained);
    let unknown: BTreeSet<_> = decoded.unknown.into_iter().collect();
    say_unknown(&unknown);
    Ok(Loaded {
        image,
        quorum: decoded.quorum,
        snapshot: Some(id),
        bytes_since_snapshot: 0,
        open_transaction: false,
        unknown,
    })
}

fn say_unknown<'a>(what: impl IntoIterator<Item = &'a String>) {
    for what in what {
        tracing::warn!(
            "the metadata holds records of a newer Kafka, which are kept and have no effect: {what}"
        );
    }
}

/// Folds batches, holding back what a transaction has not ended.
struct Replay {
    image: Image,
    quorum: Quorum,
    /// Records since the begin of a transaction.
    held: Option<Vec<MetadataRecord>>,
    unknown: BTreeSet<String>,
}

impl Replay {
    fn batch(&mut self, batch: DecodedBatch) -> Result<(), FoldError> {
        for entry in batch.entries {
            match entry {
                Entry::Control(record) => self.control(&record),
                Entry::Metadata(record) => self.metadata(record)?,
                Entry::Unknown(what) => {
                    if !self.unknown.contains(&what) {
                        say_unknown([&what]);
                        self.unknown.insert(what);
                    }
                }
            }
        }
        self.image.stamp(batch.next_offset, batch.epoch, batch.timestamp);
        Ok(())
    }

    fn control(&mut self, record: &ControlRecord) {
        self.quorum.fold(record);
    }

    fn metadata(&mut self, record: MetadataRecord) -> Result<(), FoldError> {
        match (record, &mut self.held) {
            (MetadataRecord::BeginTransaction { .. }, held) => *held = Some(Vec::new()),
            (MetadataRecord::EndTransaction, held) => {
                for record in held.take().unwrap_or_default() {
                    self.image.fold(&record, &mut Delta::default())?;
                }
            }
            (MetadataRecord::AbortTransaction { .. }, held) => *held = None,
            (record, Some(held)) => held.push(record),
            (record, None) => self.image.fold(&record, &mut Delta::default())?,
        }
        Ok(())
    }
}

impl Image {
    /// Says up to which batch the image goes.
    pub(super) fn stamp(&mut self, end_offset: Offset, epoch: LeaderEpoch, timestamp: TimestampMs) {
        self.provenance.end_offset = end_offset;
        self.provenance.epoch = epoch;
        self.provenance.timestamp = timestamp;
    }
}
