//! What a directory holds by the names of its files.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use log_engine::{
    Offset, TopicPartition,
    checkpoint::{LEADER_EPOCH_FILE, OffsetsByPartition, parse_offsets},
    inspect::{self, DirectoryName, FileState, FileType, file_name, parse_directory_name, parse_file_name},
    log_dir::{LOCK_FILE, META_PROPERTIES_FILE, PARTITION_METADATA_FILE},
};

use super::{OfflineError, refused};

/// The files of one partition.
pub(super) struct PartitionDir {
    pub(super) path: PathBuf,
    pub(super) partition: Option<TopicPartition>,
    files: BTreeSet<(FileType, Offset)>,
    /// What has the name of a file and is none.
    pub(super) no_files: Vec<PathBuf>,
}

impl PartitionDir {
    pub(super) fn read(path: &Path) -> Result<Self, OfflineError> {
        let (mut files, mut no_files) = (BTreeSet::new(), Vec::new());
        for entry in fs::read_dir(path).map_err(refused(path))? {
            let entry = entry.map_err(refused(path))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let parsed = parse_file_name(name).filter(|file| file.state == FileState::Live);
            let is_known = parsed.is_some() || [LEADER_EPOCH_FILE, PARTITION_METADATA_FILE].contains(&name);
            if is_known && !entry.path().is_file() {
                no_files.push(entry.path());
            } else if let Some(file) = parsed {
                files.insert((file.file_type, file.offset));
            }
        }
        no_files.sort();
        let name = path.file_name().and_then(OsStr::to_str).and_then(parse_directory_name);
        let partition = match name {
            Some(DirectoryName::Partition(partition)) => Some(partition),
            _ => None,
        };
        Ok(Self { path: path.to_owned(), partition, files, no_files })
    }

    /// Offsets in the names of files of one kind, in order.
    pub(super) fn offsets(&self, file_type: FileType) -> impl Iterator<Item = Offset> + '_ {
        self.files.iter().filter(move |(found, _)| *found == file_type).map(|(_, offset)| *offset)
    }

    pub(super) fn has(&self, file_type: FileType, offset: Offset) -> bool {
        self.files.contains(&(file_type, offset))
    }

    pub(super) fn file(&self, file_type: FileType, offset: Offset) -> PathBuf {
        self.path.join(file_name(offset, file_type))
    }

    /// Bytes of records.
    pub(super) fn size_bytes(&self) -> u64 {
        let sizes = self.offsets(FileType::Log).map(|base| fs::metadata(self.file(FileType::Log, base)));
        sizes.map(|metadata| metadata.map_or(0, |metadata| metadata.len())).sum()
    }
}

/// What a directory on the command line is.
pub(super) enum Target {
    /// A data directory with its partitions.
    Data(PathBuf, Vec<PartitionDir>),
    /// A single partition.
    Partition(PartitionDir),
}

impl Target {
    /// Looks at `dir`, unless somebody works in it.
    pub(super) fn read(dir: &Path) -> Result<Self, OfflineError> {
        let parent = data_dir_of(dir);
        for place in [Some(dir), parent.as_deref()].into_iter().flatten() {
            if inspect::is_in_use(place).map_err(refused(place))? {
                return Err(OfflineError::InUse(place.to_owned()));
            }
        }
        let mut partitions = Vec::new();
        for entry in fs::read_dir(dir).map_err(refused(dir))? {
            let entry = entry.map_err(refused(dir))?;
            let name = entry.file_name();
            if let Some(DirectoryName::Partition(_)) = name.to_str().and_then(parse_directory_name)
                && entry.path().is_dir()
            {
                partitions.push(PartitionDir::read(&entry.path())?);
            }
        }
        if !partitions.is_empty() || dir.join(META_PROPERTIES_FILE).exists() {
            partitions.sort_by(|a, b| a.path.cmp(&b.path));
            return Ok(Self::Data(dir.to_owned(), partitions));
        }
        let partition = PartitionDir::read(dir)?;
        if partition.partition.is_none() && partition.files.is_empty() && partition.no_files.is_empty() {
            return Err(OfflineError::NoLog(dir.to_owned()));
        }
        Ok(Self::Partition(partition))
    }

    /// The data directory that it is, or lies in.
    pub(super) fn data_dir(&self) -> Option<PathBuf> {
        match self {
            Self::Data(path, _) => Some(path.clone()),
            Self::Partition(partition) => data_dir_of(&partition.path),
        }
    }

    pub(super) fn partitions(&self) -> &[PartitionDir] {
        match self {
            Self::Data(_, partitions) => partitions,
            Self::Partition(partition) => std::slice::from_ref(partition),
        }
    }
}

/// The data directory that a partition's directory lies in, where it lies in one.
pub(super) fn data_dir_of(dir: &Path) -> Option<PathBuf> {
    let parent = fs::canonicalize(dir).ok()?.parent()?.to_owned();
    [META_PROPERTIES_FILE, LOCK_FILE].iter().any(|name| parent.join(name).exists()).then_some(parent)
}

/// An offset checkpoint beside a partition; empty where it is missing or damaged.
pub(super) fn offsets_beside(
    partition: &PartitionDir,
    name: &str,
) -> Result<OffsetsByPartition, OfflineError> {
    let Some(data_dir) = data_dir_of(&partition.path) else { return Ok(OffsetsByPartition::new()) };
    let path = data_dir.join(name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(OffsetsByPartition::new()),
        Err(error) if [io::ErrorKind::InvalidData, io::ErrorKind::IsADirectory].contains(&error.kind()) => {
            return Ok(OffsetsByPartition::new());
        }
        Err(error) => return Err(refused(&path)(error)),
    };
    Ok(parse_offsets(&path, &text).unwrap_or_default())
}
