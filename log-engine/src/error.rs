//! What can go wrong, one enum per operation. Variants are facts; the broker maps them to Kafka's error codes in one
//! place. Three kinds of failure get three reactions: a caller's mistake is returned, a failing disk takes its
//! directory offline ([`crate::commit::Offline`]), a broken invariant of ours stops the program.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::Violation;
use crate::commit::{Abandoned, CommitError, Offline};
use crate::io::is_full;
use crate::producer::Refusal;
use crate::types::{LeaderEpoch, Offset, TopicId, TopicPartition};

/// Damage found in a file: where, and which rule of the format it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: at byte {position}: {rule}", file.display())]
pub struct Corruption {
    /// The damaged file.
    pub file: PathBuf,
    /// Byte position of the damage.
    pub position: u64,
    /// The rule that does not hold.
    pub rule: Rule,
}

/// A rule of the file formats.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// The file ends inside a batch.
    #[error("the batch is not whole: {expected} bytes announced, {present} present")]
    BatchCut {
        /// Bytes the batch should have.
        expected: u64,
        /// Bytes left in the file.
        present: u64,
    },
    /// A batch length below the smallest header.
    #[error("a batch length of {length} is below the smallest batch")]
    BatchLength {
        /// The length field.
        length: i32,
    },
    /// A magic byte that is none of Kafka's.
    #[error("unknown magic {magic}")]
    Magic {
        /// The magic byte.
        magic: i8,
    },
    /// The checksum does not match.
    #[error("the stored CRC is {stored:#010x}, the bytes have {computed:#010x}")]
    CrcMismatch {
        /// CRC in the header.
        stored: u32,
        /// CRC of the bytes.
        computed: u32,
    },
    /// The header contradicts itself.
    #[error("the batch header contradicts itself")]
    BatchHeader,
    /// A batch whose offsets do not follow the batch before it.
    #[error("base offset {base} does not follow offset {previous}")]
    OffsetOrder {
        /// Base offset of the batch.
        base: Offset,
        /// Last offset before it.
        previous: Offset,
    },
    /// Offsets that no batch has, in a log that was never compacted.
    #[error("offsets from {expected} on are missing: base offset {base} follows")]
    OffsetGap {
        /// Base offset of the batch.
        base: Offset,
        /// Offset that should follow.
        expected: Offset,
    },
    /// A batch with an older leader epoch than the batch before it.
    #[error("leader epoch {epoch} follows leader epoch {previous}")]
    EpochOrder {
        /// Epoch of the batch.
        epoch: LeaderEpoch,
        /// Epoch before it.
        previous: LeaderEpoch,
    },
    /// A segment that does not begin where the one before it ends.
    #[error("the segment begins at offset {base}, but the one before it ends at {expected}")]
    SegmentOrder {
        /// Base offset of the segment.
        base: Offset,
        /// Where it should begin.
        expected: Offset,
    },
    /// An offset outside what the segment's indexes can hold.
    #[error("offset {offset} is outside the segment of base offset {base}")]
    OffsetRange {
        /// The offset.
        offset: Offset,
        /// Base offset of the segment.
        base: Offset,
    },
    /// An index file that is no whole number of entries.
    #[error("{length} bytes are no multiple of the {entry} bytes of an entry")]
    IndexLength {
        /// Bytes of the file.
        length: u64,
        /// Bytes of an entry.
        entry: u64,
    },
    /// Index entries that do not increase, or lie outside the segment.
    #[error("index entry {entry} does not follow the entry before it or lies outside the segment")]
    IndexOrder {
        /// Number of the entry, from 0.
        entry: u64,
    },
    /// A line of a text file that cannot be read.
    #[error("line {line} is malformed")]
    CheckpointLine {
        /// Number of the line, from 1.
        line: usize,
    },
    /// A file whose content is not what its name promises.
    #[error("not a {what} file that can be read: {problem}")]
    Content {
        /// What the file should be.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// Why an engine could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No directory was given.
    #[error("no data directory is configured; set log.dirs")]
    NoDirectory,
    /// Another process uses the directory.
    #[error("{} is in use by another process (its .lock is taken); stop that one or choose another directory", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory was never formatted.
    #[error("{} has no meta.properties; format it first", dir.display())]
    NotFormatted {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory belongs to another cluster.
    #[error("{} belongs to cluster {found}, not to {expected}", dir.display())]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// Cluster id in its meta.properties.
        found: String,
        /// Cluster id asked for.
        expected: String,
    },
    /// The directory belongs to another node.
    #[error("{} belongs to node {found}, not to node {expected}", dir.display())]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// Node id in its meta.properties.
        found: i32,
        /// Node id asked for.
        expected: i32,
    },
    /// Two directories hold the same partition.
    #[error("{partition} lies in both {} and {}; move one of them away", first.display(), second.display())]
    DuplicatePartition {
        /// The partition.
        partition: TopicPartition,
        /// One place.
        first: PathBuf,
        /// The other place.
        second: PathBuf,
    },
    /// A file cannot be made sense of, and nothing to rebuild it from exists.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The operating system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// What was being opened.
        path: PathBuf,
        /// The refusal.
        error: io::Error,
    },
}

impl OpenError {
    /// Whether it says something of the disk or of what is stored there, and nothing of whose it is.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::Io { .. })
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { path, error }
    }
}

/// Why a log could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateLogError {
    /// A log of that name exists.
    #[error("{partition} exists already")]
    Exists {
        /// The partition.
        partition: TopicPartition,
    },
    /// A log of that name with another topic id exists.
    #[error("{partition} exists with topic id {found}, not {expected}")]
    OtherTopicId {
        /// The partition.
        partition: TopicPartition,
        /// The id in its partition.metadata.
        found: TopicId,
        /// The id asked for.
        expected: TopicId,
    },
    /// The name cannot name a directory.
    #[error("{partition} is no legal partition name")]
    IllegalName {
        /// The partition.
        partition: TopicPartition,
    },
    /// The directory asked for is none of the engine's.
    #[error("{} is no data directory of this engine", dir.display())]
    UnknownDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds a log that the engine did not open; its records are not to turn up in another topic.
    #[error("{} holds records already; move it away", path.display())]
    DirectoryTaken {
        /// The directory.
        path: PathBuf,
    },
    /// No data directory serves.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The operating system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// What was being created.
        path: PathBuf,
        /// The refusal.
        error: io::Error,
    },
}

/// Why a log is not moved to another data directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveLogError {
    /// The directory is none of the engine's.
    #[error("{} is no data directory of this engine", dir.display())]
    UnknownDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no such log.
    #[error("{partition} has no log")]
    UnknownLog {
        /// The partition.
        partition: TopicPartition,
    },
    /// The directory that it lies in, or that it is to lie in, is offline.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The operating system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The refusal.
        error: io::Error,
    },
}

/// The directory of a log is offline.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct OfflineError(pub Arc<Offline>);

/// Why an append was refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The records break a rule.
    #[error(transparent)]
    Invalid(#[from] Arc<Violation>),
    /// The producer's epoch or sequence is not the expected one.
    #[error(transparent)]
    Producer(#[from] Refusal),
    /// Replicated records that do not continue the log.
    #[error("records from offset {first} do not continue a log that ends at {log_end}")]
    OutOfOrder {
        /// First offset of the records.
        first: Offset,
        /// End of the log.
        log_end: Offset,
    },
    /// The write failed; nothing of the append is readable.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A file of the log could not be created.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The refusal.
        error: Arc<io::Error>,
    },
    /// The log is closed or deleted.
    #[error("the log is closed")]
    Closed,
}

impl AppendError {
    /// Whether there was no room, and nothing else is wrong: the same may go well later.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Commit(error) => error.is_full(),
            Self::Io { error, .. } => is_full(error),
            _ => false,
        }
    }
}

impl From<Abandoned> for AppendError {
    fn from(_: Abandoned) -> Self {
        Self::Closed
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset is not in the log.
    #[error("offset {from} is outside the log, which has {log_start} up to {log_end}")]
    OffsetOutOfRange {
        /// Offset asked for.
        from: Offset,
        /// First offset of the log.
        log_start: Offset,
        /// Offset after the last.
        log_end: Offset,
    },
    /// What the read needs is not in the page cache; read again in blocking mode off the caller's runtime.
    #[error("not in the page cache")]
    WouldBlock,
    /// The file is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The directory is offline.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// The operating system refused.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::WouldBlock { Self::WouldBlock } else { Self::Io(error) }
    }
}

/// Why the log was not cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// The offset is not in the log.
    #[error("offset {offset} is outside the log, which may be cut between {log_start} and {high_watermark}")]
    OffsetOutOfRange {
        /// Offset asked for.
        offset: Offset,
        /// First offset of the log.
        log_start: Offset,
        /// The high watermark.
        high_watermark: Offset,
    },
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
    /// Reading the log failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}
