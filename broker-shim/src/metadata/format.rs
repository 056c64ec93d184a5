//! A fresh set of data directories, as `StorageTool format --standalone` of Apache Kafka 4.3 leaves them.
//!
//! ```text
//! every directory      meta.properties          node id, cluster id, a directory id of its own
//!                      bootstrap.checkpoint     feature levels, the first metadata records
//! the metadata one     __cluster_metadata-0/00000000000000000000-0000000000.checkpoint
//!                                               kraft.version 1 and the one voter: this node
//! ```
//!
//! `meta.properties` comes last in each directory and in the metadata directory last of all: it says that a directory is
//! formatted, so after a crash the format begins anew.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use log_engine::{
    error::OpenError,
    io::{Disk, FileKind, FileLock},
    log_dir::{self, LOCK_FILE, MetaProperties},
    types::{TimestampMs, TopicId},
};

use super::{
    batches::BatchProblem,
    codec::MetadataVersion,
    ids::{self, DirectoryId},
    image::{ELR_VERSION, METADATA_VERSION},
    ops::CLUSTER_METADATA_TOPIC,
    quorum_state::read_file,
    raft::{EncodeBatchError, Quorum, Voter},
    record::MetadataRecord,
    snapshot::{self, SnapshotId},
    snapshot_writer::write_file,
};

/// Name of the file with the first metadata records.
const BOOTSTRAP_FILE: &str = "bootstrap.checkpoint";

const BOOTSTRAP_BYTES_MAX: u64 = 1 << 24;

/// What directories are formatted for.
#[derive(Clone, Debug)]
pub struct Format {
    /// The data directories.
    pub log_dirs: Vec<PathBuf>,
    /// The one of them that holds the metadata log.
    pub metadata_log_dir: PathBuf,
    /// `node.id`.
    pub node_id: i32,
    /// Id of the cluster; a new one where none is given.
    pub cluster_id: Option<String>,
    /// Where the controller listens, or would: listener name, host, port.
    pub controller: (Arc<str>, Arc<str>, u16),
}

/// Who a set of data directories is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formatted {
    /// Id of the cluster.
    pub cluster_id: String,
    /// The directories that the disk gives, in the order of the configuration, and their ids.
    pub directories: Vec<(PathBuf, DirectoryId)>,
    /// Whether this call formatted any of them.
    pub fresh: bool,
}

/// Why directories cannot be formatted.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A directory's identity cannot be read.
    #[error(transparent)]
    Identity(#[from] OpenError),
    /// Another process formats or uses a directory.
    #[error("{} is in use by another process (its .lock is taken); stop that one or choose another directory", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Two directories have the same id: one is a copy of the other.
    #[error("Duplicate directory ID {id} found. It was the ID of {}, but also of {}", first.display(), second.display())]
    DuplicateId {
        /// The id.
        id: DirectoryId,
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A directory belongs to another cluster than the one configured, or than the others.
    #[error("{} belongs to the cluster {found}, not to {expected}", dir.display())]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// Its cluster id.
        found: String,
        /// The cluster id it should have.
        expected: String,
    },
    /// A directory belongs to another node.
    #[error("{} belongs to node {found}, but node.id is {expected}", dir.display())]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// Its node id.
        found: i32,
        /// The node id of the configuration.
        expected: i32,
    },
    /// A directory was formatted before directories had ids.
    #[error("{} has no directory.id: start it once with a Kafka of 3.7 or later", dir.display())]
    NoDirectoryId {
        /// The directory.
        dir: PathBuf,
    },
    /// Other directories are formatted, but the one of the metadata log is not.
    #[error("{} holds no metadata, although other data directories belong to a cluster: is metadata.log.dir right?", dir.display())]
    MetadataLost {
        /// The directory that should hold the metadata log.
        dir: PathBuf,
    },
    /// A directory holds logs, but nothing says whose they are.
    #[error("{} holds logs but no meta.properties: bring the file back, or move the logs away", dir.display())]
    IdentityLost {
        /// The directory.
        dir: PathBuf,
    },
    /// `bootstrap.checkpoint` is damaged.
    #[error("{}: {problem}", path.display())]
    Bootstrap {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: BatchProblem,
    },
    /// A file's content cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeBatchError),
}

impl FormatError {
    /// Whether it says something of the disk or of what is stored there, and nothing of whose it is.
    fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Identity(OpenError::Io { .. } | OpenError::Corrupt(_)))
    }
}

/// Formats what is not formatted yet, and says who all of it is. A directory that Kafka formatted is left as it is; one
/// that the disk cannot give is passed over, unless it is that of the metadata log.
///
/// # Errors
/// See [`FormatError`]. What is already stored stays as it is.
pub fn format(disk: &Arc<dyn Disk>, wanted: &Format, now: TimestampMs) -> Result<Formatted, FormatError> {
    let mut found = Vec::with_capacity(wanted.log_dirs.len());
    for dir in &wanted.log_dirs {
        found.extend(unless_offline(wanted, dir, inspect(disk, dir))?.map(|meta| (dir.as_path(), meta)));
    }
    let cluster_id = cluster_of(wanted, &found)?;
    let mut directories = Vec::with_capacity(found.len());
    let mut fresh = Vec::new();
    for (dir, meta) in &found {
        let id = match meta {
            Some(meta) => known_directory(wanted, dir, meta)?,
            None => match unless_offline(wanted, dir, FreshDirectory::lock(disk, dir))? {
                Some(locked) => {
                    fresh.push(locked);
                    fresh[fresh.len() - 1].id
                }
                None => continue,
            },
        };
        if let Some((first, _)) = directories.iter().find(|(_, known)| *known == id) {
            return Err(FormatError::DuplicateId {
                id,
                first: PathBuf::clone(first),
                second: dir.to_path_buf(),
            });
        }
        directories.push((dir.to_path_buf(), id));
    }
    // The metadata directory last: until then the next start formats again.
    fresh.sort_by_key(|directory| directory.path == wanted.metadata_log_dir);
    for directory in &fresh {
        format_directory(disk, wanted, directory.path, directory.id, &cluster_id, now)?;
    }
    Ok(Formatted { cluster_id, directories, fresh: !fresh.is_empty() })
}

/// A directory that is about to be formatted. Nobody else formats or opens it meanwhile.
struct FreshDirectory<'a> {
    path: &'a Path,
    id: DirectoryId,
    _lock: FileLock,
}

impl<'a> FreshDirectory<'a> {
    fn lock(disk: &Arc<dyn Disk>, path: &'a Path) -> Result<Self, FormatError> {
        let in_use = || FormatError::InUse { dir: path.to_owned() };
        disk.create_dir_all(path).map_err(in_file(path))?;
        let lock_file = path.join(LOCK_FILE);
        let lock = disk.lock(&lock_file).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => in_use(),
            _ => FormatError::Io { path: lock_file, error },
        })?;
        // Another process may have formatted it just before it was locked.
        if log_dir::read_meta_properties(disk, path)?.is_some() {
            return Err(in_use());
        }
        Ok(Self { path, id: DirectoryId::random().map_err(in_file(path))?, _lock: lock })
    }
}

/// A disk that fails takes its own directory out, as in Kafka, and not the broker; but without metadata there is none.
fn unless_offline<T>(
    wanted: &Format,
    dir: &Path,
    outcome: Result<T, FormatError>,
) -> Result<Option<T>, FormatError> {
    match outcome {
        Err(error) if error.is_of_the_disk() && dir != wanted.metadata_log_dir => {
            tracing::error!("data directory {} is offline: {error}", dir.display());
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

/// Who a directory is; nobody yet, where it holds nothing.
fn inspect(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Option<MetaProperties>, FormatError> {
    let meta = log_dir::read_meta_properties(disk, dir)?;
    if meta.is_none() && holds_logs(disk, dir).map_err(in_file(dir))? {
        return Err(FormatError::IdentityLost { dir: dir.to_owned() });
    }
    Ok(meta)
}

/// Whether formatting would give a new identity to what someone stored. A format that was interrupted has made the
/// metadata log's directory, but no `.log` in it.
fn holds_logs(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<bool> {
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries.into_iter().filter(|entry| entry.kind == FileKind::Directory) {
        let files = disk.list(&entry.path)?;
        if files.iter().any(|file| file.path.extension().is_some_and(|extension| extension == "log")) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn cluster_of(wanted: &Format, found: &[(&Path, Option<MetaProperties>)]) -> Result<String, FormatError> {
    let mut cluster_id = wanted.cluster_id.clone();
    for (dir, meta) in found {
        let Some(meta) = meta else { continue };
        let expected = cluster_id.get_or_insert_with(|| meta.cluster_id.clone());
        if *expected != meta.cluster_id {
            let (found, expected) = (meta.cluster_id.clone(), expected.clone());
            return Err(FormatError::OtherCluster { dir: dir.to_path_buf(), found, expected });
        }
    }
    let metadata = found.iter().find(|(dir, _)| **dir == wanted.metadata_log_dir);
    if matches!(metadata, Some((_, None))) && found.iter().any(|(_, meta)| meta.is_some()) {
        return Err(FormatError::MetadataLost { dir: wanted.metadata_log_dir.clone() });
    }
    match cluster_id {
        Some(id) => Ok(id),
        None => ids::random_cluster_id().map_err(in_file(&wanted.metadata_log_dir)),
    }
}

fn known_directory(wanted: &Format, dir: &Path, meta: &MetaProperties) -> Result<DirectoryId, FormatError> {
    if meta.node_id != wanted.node_id {
        let (found, expected) = (meta.node_id, wanted.node_id);
        return Err(FormatError::OtherNode { dir: dir.to_owned(), found, expected });
    }
    let id = meta.directory_id.ok_or_else(|| FormatError::NoDirectoryId { dir: dir.to_owned() })?;
    Ok(DirectoryId::new(id.get()))
}

fn format_directory(
    disk: &Arc<dyn Disk>,
    wanted: &Format,
    dir: &Path,
    id: DirectoryId,
    cluster_id: &str,
    now: TimestampMs,
) -> Result<(), FormatError> {
    disk.create_dir_all(dir).map_err(in_file(dir))?;
    if dir == wanted.metadata_log_dir {
        let log = metadata_log_path(dir);
        disk.create_dir_all(&log).map_err(in_file(&log))?;
        let path = log.join(SnapshotId::BOOTSTRAP.file_name());
        let quorum = Quorum { kraft_version: 1, voters: vec![voter(wanted, id)] };
        write(disk, &path, &snapshot_bytes(&quorum, &[], now, now)?)?;
    }
    let bootstrap = snapshot_bytes(&Quorum::default(), &default_bootstrap(), TimestampMs::new(0), now)?;
    write(disk, &dir.join(BOOTSTRAP_FILE), &bootstrap)?;
    let meta = MetaProperties {
        cluster_id: cluster_id.to_owned(),
        node_id: wanted.node_id,
        directory_id: Some(TopicId::new(id.get())),
    };
    log_dir::format(disk, dir, &meta, now).map_err(in_file(dir))
}

/// Where the metadata log lies in its data directory.
#[must_use]
pub fn metadata_log_path(metadata_log_dir: &Path) -> PathBuf {
    metadata_log_dir.join(format!("{CLUSTER_METADATA_TOPIC}-0"))
}

/// The feature levels of a new cluster of 4.3, in Kafka's order.
#[must_use]
pub fn default_bootstrap() -> Vec<MetadataRecord> {
    let levels = [
        (METADATA_VERSION, MetadataVersion::LATEST.0),
        (ELR_VERSION, 1),
        ("group.version", 1),
        ("share.version", 1),
        ("streams.version", 1),
        ("transaction.version", 2),
    ];
    levels.map(|(name, level)| MetadataRecord::FeatureLevel { name: name.into(), level }).into()
}

/// The records of a directory's `bootstrap.checkpoint`; the default ones where it has none.
///
/// # Errors
/// Where the file cannot be read or is damaged.
pub fn read_bootstrap(
    disk: &Arc<dyn Disk>,
    metadata_log_dir: &Path,
) -> Result<Vec<MetadataRecord>, FormatError> {
    let path = metadata_log_dir.join(BOOTSTRAP_FILE);
    match read_file(disk, &path, BOOTSTRAP_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(default_bootstrap()),
        Err(error) => Err(FormatError::Io { path, error }),
        Ok(bytes) => match snapshot::decode(&bytes) {
            Ok(decoded) => Ok(decoded.records),
            Err(problem) => Err(FormatError::Bootstrap { path, problem }),
        },
    }
}

fn voter(wanted: &Format, directory_id: DirectoryId) -> Voter {
    Voter {
        id: wanted.node_id,
        directory_id,
        endpoints: vec![wanted.controller.clone()],
        kraft_versions: (0, 1),
    }
}

fn snapshot_bytes(
    quorum: &Quorum,
    records: &[MetadataRecord],
    last_contained: TimestampMs,
    now: TimestampMs,
) -> Result<Vec<u8>, EncodeBatchError> {
    snapshot::encode(SnapshotId::BOOTSTRAP, last_contained, quorum, records, MetadataVersion::LATEST, now)
}

fn write(disk: &Arc<dyn Disk>, path: &Path, bytes: &[u8]) -> Result<(), FormatError> {
    write_file(disk, path, bytes).map_err(in_file(path))
}

fn in_file(path: &Path) -> impl FnOnce(io::Error) -> FormatError {
    move |error| FormatError::Io { path: path.to_owned(), error }
}
