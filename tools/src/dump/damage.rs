//! What can be wrong with a file, each rule with its facts, and where it was found.

use std::{fmt, path::PathBuf};

use log_engine::batch::{DecompressError, RecordError, legacy::LegacyError};
use thiserror::Error;

/// One damage: file, position and rule.
#[derive(Debug)]
pub(super) struct Damage {
    /// The file, as it was named on the command line.
    pub(super) file: PathBuf,
    /// Where in it, in bytes.
    pub(super) position: u64,
    /// What does not hold there.
    pub(super) rule: Rule,
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: position {}: {}", self.file.display(), self.position, self.rule)
    }
}

/// What Kafka's files keep to.
#[derive(Debug, Error)]
pub(super) enum Rule {
    /// A batch that claims less than the smallest message there ever was.
    #[error("the batch's size {0} is smaller than the smallest possible, 14")]
    BatchTooSmall(i32),
    /// A batch too small for the header of its format.
    #[error("the batch has {0} bytes, fewer than a header of format {1}")]
    HeaderCutShort(u64, i8),
    /// The file ends inside a batch.
    #[error("the last batch is not whole: {0} bytes to the end of the file")]
    BatchCutShort(u64),
    /// Bytes stand between two batches.
    #[error("{0} bytes are no batch; the next valid batch begins at {1}")]
    Skipped(u64, u64),
    /// The bytes are not those that were checksummed.
    #[error("the checksum is {computed}, the batch says {stored}")]
    CrcMismatch {
        /// What the header says.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// A format that no Kafka ever wrote.
    #[error("the format (magic) {0} is unknown")]
    UnknownMagic(i8),
    /// A codec that no Kafka ever wrote.
    #[error("compression codec {0} is unknown")]
    UnknownCodec(u8),
    /// The compressed bytes do not decompress.
    #[error(transparent)]
    Decompression(DecompressError),
    /// The records are not what the header says.
    #[error(transparent)]
    Records(RecordError),
    /// A message of format 0 or 1 that is none.
    #[error(transparent)]
    Legacy(LegacyError),
    /// The bytes of a message of format 0 or 1 are not those that were checksummed.
    #[error("the checksum is not {0}, as the message says")]
    LegacyCrcMismatch(u32),
    /// A batch that begins before its place.
    #[error("the batch begins with offset {found}, lower than {lowest}, the lowest that may follow here")]
    OffsetsGoBack {
        /// What the batch says.
        found: i64,
        /// The offset after the batch before, or that of the file's name.
        lowest: i64,
    },
    /// A control record that says nothing.
    #[error("record {index} of the batch is no control record: {what}")]
    ControlRecord {
        /// Which, counted from 0.
        index: i32,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A key or a payload of a size that its decoder does not take.
    #[error("record {index} of the batch: {length} bytes are too few for the decoder of its {part}")]
    Undecodable {
        /// Which, counted from 0.
        index: i32,
        /// Key or payload.
        part: &'static str,
        /// Its size.
        length: usize,
    },
    /// An index file of a size that is no multiple of its entries.
    #[error("the size {size} is no multiple of {entry}, the size of an entry")]
    IndexSize {
        /// Of the file.
        size: u64,
        /// Of one entry.
        entry: u64,
    },
    /// Offsets or timestamps that go back.
    #[error("the last entry (offset {last_offset}) lies before the base offset {base_offset}")]
    IndexBehindBase {
        /// Of the last entry.
        last_offset: i64,
        /// Of the file.
        base_offset: i64,
    },
    /// A time index whose last timestamp is older than its first.
    #[error("the last entry's timestamp {last} is older than the first one's, {first}")]
    TimestampsGoBack {
        /// Of the first entry.
        first: i64,
        /// Of the last entry.
        last: i64,
    },
    /// An index entry points to where no batch is.
    #[error(
        "the index entry for offset {offset} points to position {target} of the log, where no batch begins"
    )]
    PointsNowhere {
        /// Of the entry.
        offset: i64,
        /// Where it points to.
        target: i64,
    },
    /// An entry of an unknown version.
    #[error("version {0} is unknown")]
    UnknownVersion(i16),
    /// A file too short for what it must hold.
    #[error("the file ends before {0}")]
    EndsBefore(&'static str),
    /// A text file whose line is not what must stand there.
    #[error("line {line} is not {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What must stand there.
        expected: &'static str,
    },
}
