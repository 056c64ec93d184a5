//! The rules that batches and records can break, and what kind of answer each calls for.

use crate::batch::builder::BuildError;
use crate::batch::compress::DecompressError;
use crate::batch::control::ControlError;
use crate::batch::header::HeaderError;
use crate::batch::record::RecordError;
use crate::types::{Offset, ProducerId, Sequence, TimestampMs, TopicPartition};

/// The rule that refused batches break.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// There is no whole batch.
    #[error("produce requests must have at least one record batch per partition")]
    NoBatch,
    /// There is more than one batch where one is allowed.
    #[error("produce requests are only allowed to contain exactly one record batch per partition")]
    MoreThanOneBatch,
    /// The batch is of an older format.
    #[error("produce requests are only allowed to contain record batches with magic version 2, not {magic}")]
    OldMagic {
        /// The format.
        magic: i8,
    },
    /// The bytes are no batch at all.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The checksum does not fit the bytes.
    #[error("record is corrupt (stored crc = {stored}, computed crc = {computed})")]
    Crc {
        /// What the batch carries.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The batch is larger than the topic allows.
    #[error("the record batch size is {size} bytes which exceeds the maximum configured value of {max}")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// `max.message.bytes`
        max: usize,
    },
    /// The batches do not fit into one segment.
    #[error("the record batches have {size} bytes, which exceeds the segment size of {max}")]
    LargerThanSegment {
        /// Bytes of the batches.
        size: usize,
        /// `segment.bytes`
        max: usize,
    },
    /// A client's batch does not start at offset 0.
    #[error("the base offset of the record batch should be 0, but it is {found}")]
    BaseOffset {
        /// What it starts at.
        found: Offset,
    },
    /// The offsets of a batch that brings them do not follow those before it.
    #[error("offsets are not monotonically increasing: {found} follows {last}")]
    OffsetsOutOfOrder {
        /// The first offset of the batch.
        found: Offset,
        /// The last offset of the batch before.
        last: Offset,
    },
    /// The last offset lies before the first.
    #[error("the batch has an invalid offset range: its last offset delta is {last_offset_delta}")]
    OffsetRange {
        /// What the header says.
        last_offset_delta: i32,
    },
    /// A client's batch must hold records.
    #[error("invalid reported count for record batch: {count}")]
    Count {
        /// What the header says.
        count: i32,
    },
    /// Offsets and count of the header contradict each other.
    #[error("inconsistent last offset delta {last_offset_delta} and count of records {count}")]
    CountAndOffsets {
        /// What the header says of the offsets.
        last_offset_delta: i32,
        /// What the header says of the count.
        count: i32,
    },
    /// A client sent control records.
    #[error("clients are not allowed to write control records")]
    ControlFromClient,
    /// A producer id comes without a sequence.
    #[error("invalid sequence number {base_sequence} in record batch with producer id {producer_id}")]
    Sequence {
        /// The sequence.
        base_sequence: Sequence,
        /// The producer.
        producer_id: ProducerId,
    },
    /// The attributes name a codec that does not exist.
    #[error("unknown compression type id: {id}")]
    UnknownCompression {
        /// The number.
        id: u8,
    },
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// A marker cannot be read.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The offsets inside a compressed batch do not count up from 0.
    #[error("record {index} inside the compressed record batch does not have incremental offsets: {found}")]
    InnerOffset {
        /// Which record, counted from 0.
        index: i32,
        /// Its offset delta.
        found: i32,
    },
    /// Some records were refused, at least one of them for its timestamp.
    #[error("one or more records have been rejected due to invalid timestamp")]
    InvalidTimestamp {
        /// The refused records, or the first of very many.
        problems: Vec<RecordProblem>,
    },
    /// Some records were refused.
    #[error("one or more records have been rejected due to {} record errors in total", problems.len())]
    InvalidRecords {
        /// The refused records, or the first of very many.
        problems: Vec<RecordProblem>,
    },
    /// The batch could not be built anew with the topic's codec.
    #[error("the record batch cannot be compressed with the codec of the topic")]
    Rewrite(#[source] BuildError),
}

/// What Kafka answers a violation with, named as its protocol names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViolationClass {
    /// `CORRUPT_MESSAGE`
    CorruptMessage,
    /// `INVALID_RECORD`
    InvalidRecord,
    /// `INVALID_TIMESTAMP`
    InvalidTimestamp,
    /// `MESSAGE_TOO_LARGE`
    MessageTooLarge,
    /// `RECORD_LIST_TOO_LARGE`
    RecordListTooLarge,
    /// `UNKNOWN_SERVER_ERROR`: what Kafka did not foresee, such as records that do not decompress.
    UnknownServerError,
}

impl Violation {
    /// What Kafka answers with.
    #[must_use]
    pub fn class(&self) -> ViolationClass {
        match self {
            Self::Header(_) | Self::Crc { .. } => ViolationClass::CorruptMessage,
            Self::TooLarge { .. } => ViolationClass::MessageTooLarge,
            Self::LargerThanSegment { .. } => ViolationClass::RecordListTooLarge,
            Self::InvalidTimestamp { .. } => ViolationClass::InvalidTimestamp,
            Self::UnknownCompression { .. }
            | Self::Records(RecordError::Decompress(_))
            | Self::InnerOffset { .. }
            | Self::OffsetsOutOfOrder { .. }
            | Self::Control(_)
            | Self::Rewrite(_) => ViolationClass::UnknownServerError,
            Self::NoBatch
            | Self::MoreThanOneBatch
            | Self::OldMagic { .. }
            | Self::BaseOffset { .. }
            | Self::OffsetRange { .. }
            | Self::Count { .. }
            | Self::CountAndOffsets { .. }
            | Self::ControlFromClient
            | Self::Sequence { .. }
            | Self::Records(_)
            | Self::InvalidRecords { .. } => ViolationClass::InvalidRecord,
        }
    }

    /// The records refused one by one, for the `record_errors` of a produce response.
    #[must_use]
    pub fn problems(&self) -> &[RecordProblem] {
        match self {
            Self::InvalidTimestamp { problems } | Self::InvalidRecords { problems } => problems,
            _ => &[],
        }
    }
}

/// One record that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordProblem {
    /// Which record of the batch, counted from 0.
    pub index: i32,
    /// What is wrong with it.
    pub rule: RecordProblemRule,
}

/// What is wrong with a refused record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordProblemRule {
    /// Compacted topics need keys.
    NoKey,
    /// The timestamp lies too far from the broker's clock.
    TimestampOutOfRange {
        /// The record's time.
        timestamp: TimestampMs,
        /// The record's offset, as the client wrote it.
        offset: Offset,
        /// The earliest time allowed.
        earliest: TimestampMs,
        /// The latest time allowed.
        latest: TimestampMs,
    },
    /// A producer claims that its timestamps are the broker's.
    LogAppendTimeFromProducer,
}

impl RecordProblem {
    /// What to tell the client, close to Kafka's words.
    #[must_use]
    pub fn message(&self, partition: &TopicPartition) -> String {
        match self.rule {
            RecordProblemRule::NoKey => {
                format!("Compacted topic cannot accept message without key in topic partition {partition}")
            }
            RecordProblemRule::TimestampOutOfRange { timestamp, offset, earliest, latest } => format!(
                "Timestamp {timestamp} of message with offset {offset} is out of range. \
                 The timestamp should be within [{earliest}, {latest}]"
            ),
            RecordProblemRule::LogAppendTimeFromProducer => {
                "Invalid timestamp type in message. Producer should not set timestamp type to LogAppendTime."
                    .to_owned()
            }
        }
    }
}

impl From<DecompressError> for Violation {
    fn from(error: DecompressError) -> Self {
        Self::Records(RecordError::Decompress(error))
    }
}
