//! Untrusted bytes -> batches that may be appended, or the rule they break.
//!
//! The rules, their order and what each is answered with are those of `ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords` and `LogValidator` of Kafka 4.3. Batches stay where they are and are stamped
//! in place, unless the topic's codec is another than the producer's: then they are built anew.

use super::builder::{BatchBuilder, BuildError};
use super::compress::{Compression, CompressionType, DecompressError, DecompressionCap};
use super::control::{self, ControlError, EndTxnMarker};
use super::header::{
    BatchHeader, BatchView, HEADER_LEN, HeaderError, MAGIC_V2, Prefix, TimestampType, stamp_base_offset,
    stamp_leader_epoch, stamp_max_timestamp,
};
use super::record::{self, RecordError, SkimmedRecord};
use crate::limits;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicPartition};

/// Who appends; decides what is checked. Kafka's `AppendOrigin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A client's produce request: every rule.
    Client,
    /// A group or transaction coordinator of this broker: sequences are not checked, control batches may be written.
    Coordinator,
    /// The leader of the metadata log, which gives offsets and epochs itself.
    RaftLeader,
    /// Another replica, or our own log read again: offsets and epochs are given.
    Replication,
}

impl AppendOrigin {
    /// Whether the log gives the batches their offsets.
    #[must_use]
    pub const fn assigns_offsets(self) -> bool {
        matches!(self, Self::Client | Self::Coordinator)
    }
}

/// What the topic's configuration asks of its batches.
#[derive(Debug, Clone, Copy)]
pub struct ValidationRules {
    /// Who appends.
    pub origin: AppendOrigin,
    /// `compression.type`; `None` for `producer`, which keeps what comes.
    pub compression: Option<Compression>,
    /// Whether `cleanup.policy` has `compact`: every record needs a key then.
    pub compacted: bool,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: i64,
    /// `max.message.bytes`
    pub max_message_bytes: usize,
    /// `segment.bytes`
    pub segment_bytes: usize,
    /// What a batch may unfold to.
    pub decompression: DecompressionCap,
}

impl ValidationRules {
    /// The rules of a topic without configuration.
    #[must_use]
    pub fn defaults(origin: AppendOrigin) -> Self {
        Self {
            origin,
            compression: None,
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            max_message_bytes: 1_048_588,
            segment_bytes: 1 << 30,
            decompression: DecompressionCap::default(),
        }
    }
}

/// What the log keeps of a batch that it appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSummary {
    /// Where the batch begins in the appended bytes.
    pub position: usize,
    /// Bytes of the batch.
    pub size_in_bytes: usize,
    /// The offset of the first record; of a batch that is still to get its offsets, what the client wrote.
    pub base_offset: Offset,
    /// The last offset, counted from the first.
    pub last_offset_delta: i32,
    /// The epoch of its leader; of a batch that is still to be stamped, what the client wrote.
    pub leader_epoch: LeaderEpoch,
    /// The largest timestamp, as it will be stored.
    pub max_timestamp: TimestampMs,
    /// The codec, as it will be stored.
    pub compression: CompressionType,
    /// The producer id, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first record.
    pub base_sequence: Sequence,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
    /// Whether it holds control records.
    pub control: bool,
    /// How many records it says it holds.
    pub record_count: i32,
    /// The transaction marker and its time, in control batches that carry one.
    pub marker: Option<(EndTxnMarker, TimestampMs)>,
}

impl BatchSummary {
    /// The summary of a stored batch at `position`.
    pub fn of(batch: &BatchView<'_>, position: usize) -> Result<Self, ControlError> {
        let marker =
            if batch.is_control() && batch.has_producer_id() { control::marker_of(batch)? } else { None };
        Ok(Self {
            position,
            size_in_bytes: batch.size_in_bytes(),
            base_offset: batch.base_offset(),
            last_offset_delta: batch.last_offset_delta(),
            leader_epoch: batch.leader_epoch(),
            max_timestamp: batch.max_timestamp(),
            compression: batch.compression().unwrap_or_default(),
            producer_id: batch.producer_id(),
            producer_epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
            transactional: batch.is_transactional(),
            control: batch.is_control(),
            record_count: batch.record_count(),
            marker,
        })
    }

    /// The offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The sequence of the last record, or [`Sequence::NONE`].
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        match self.base_sequence {
            Sequence::NONE => Sequence::NONE,
            base => base.plus(self.last_offset_delta),
        }
    }

    /// The same batch at its place in the log.
    #[must_use]
    pub fn at(self, base_offset: Offset) -> Self {
        Self { base_offset, ..self }
    }
}

/// Batches that keep all rules.
#[derive(Debug)]
pub struct ValidBatches {
    batches: Vec<BatchSummary>,
    valid_bytes: usize,
    rewritten: Option<Vec<u8>>,
    was_rewritten: bool,
    stamp: Stamp,
}

/// What is written into the batches once their place is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    /// Offsets, epoch and the time.
    Leader(TimestampType, TimestampMs),
    /// Nothing: the batches bring all that with them.
    Nothing,
}

impl ValidBatches {
    /// The batches, in order. Never empty.
    #[must_use]
    pub fn batches(&self) -> &[BatchSummary] {
        &self.batches
    }

    /// The batches, to keep.
    #[must_use]
    pub fn into_batches(self) -> Vec<BatchSummary> {
        self.batches
    }

    /// Bytes of the input that are batches; what follows is a piece of a batch and is dropped, as in Kafka.
    #[must_use]
    pub fn valid_bytes(&self) -> usize {
        self.valid_bytes
    }

    /// The bytes to append instead of the input, where the batch had to be built anew.
    #[must_use]
    pub fn take_rewritten(&mut self) -> Option<Vec<u8>> {
        self.rewritten.take()
    }

    /// Whether the batch had to be built anew, and [`Self::take_rewritten`] has, or had, the bytes.
    #[must_use]
    pub fn was_rewritten(&self) -> bool {
        self.was_rewritten
    }

    /// The broker's time, where the topic's timestamps are the broker's.
    #[must_use]
    pub fn log_append_time(&self) -> Option<TimestampMs> {
        match self.stamp {
            Stamp::Leader(TimestampType::LogAppendTime, now) => Some(now),
            _ => None,
        }
    }

    /// The offset of the last record, if the first gets `base`.
    #[must_use]
    pub fn last_offset(&self, base: Offset) -> Offset {
        let records: i64 = self.batches.iter().map(|batch| i64::from(batch.last_offset_delta) + 1).sum();
        base.plus(records - 1)
    }

    /// Gives the batches the time they will be stored with, and the checksum where that changes it. `stamp` does so
    /// too; done before, outside a lock, it leaves `stamp` nothing to compute.
    ///
    /// # Panics
    /// If `bytes` are not those that were validated.
    pub fn stamp_time(&self, bytes: &mut [u8]) {
        let Stamp::Leader(timestamp_type, _) = self.stamp else { return };
        for batch in &self.batches {
            let bytes = &mut bytes[batch.position..batch.position + batch.size_in_bytes];
            stamp_max_timestamp(bytes, timestamp_type, batch.max_timestamp);
        }
    }

    /// Gives the batches their place: offsets from `base` on, the leader's epoch and the time. `bytes` are the
    /// valid bytes of the input, or the rewritten ones. Batches that bring their offsets are left as they are.
    ///
    /// # Panics
    /// If `bytes` are not those that were validated.
    pub fn stamp(&mut self, bytes: &mut [u8], base: Offset, epoch: LeaderEpoch) {
        if self.stamp == Stamp::Nothing {
            return;
        }
        self.stamp_time(bytes);
        let mut next = base;
        for batch in &mut self.batches {
            let bytes = &mut bytes[batch.position..batch.position + batch.size_in_bytes];
            stamp_base_offset(bytes, next);
            stamp_leader_epoch(bytes, epoch);
            (batch.base_offset, batch.leader_epoch) = (next, epoch);
            next = batch.last_offset().next();
        }
    }
}

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
        /// The last offset of the batch.
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

/// Checks `bytes` against the rules of a topic at the time `now`.
///
/// Nothing is allocated from a count or length in the bytes, and a compressed batch is never held unfolded.
pub fn validate(bytes: &[u8], rules: &ValidationRules, now: TimestampMs) -> Result<ValidBatches, Violation> {
    if rules.origin.assigns_offsets() {
        validate_for_leader(bytes, rules, now)
    } else {
        validate_with_offsets(bytes, rules)
    }
}

fn validate_for_leader(
    bytes: &[u8],
    rules: &ValidationRules,
    now: TimestampMs,
) -> Result<ValidBatches, Violation> {
    let batch = only_batch(bytes)?;
    if rules.origin == AppendOrigin::Client && batch.base_offset() != Offset::ZERO {
        return Err(Violation::BaseOffset { found: batch.base_offset() });
    }
    check_size(batch.size_in_bytes(), rules)?;
    check_crc(&batch)?;
    let source = batch.compression().map_err(|id| Violation::UnknownCompression { id })?;
    check_offsets_and_count(&batch)?;
    if rules.origin == AppendOrigin::Client {
        check_client_header(&batch)?;
    }
    let mut summary = BatchSummary::of(&batch, 0)?;
    let target = rules.compression.unwrap_or(Compression::of(source));
    // Kafka compresses no control records that come uncompressed.
    let in_place = target.codec() == source || (batch.is_control() && source == CompressionType::None);
    let (max_timestamp, rewritten) = if in_place {
        (check_records(&batch, rules, now)?, None)
    } else {
        let rewritten = rewrite(&batch, target, rules, now)?;
        check_size(rewritten.len(), rules)?;
        summary.size_in_bytes = rewritten.len();
        summary.compression = target.codec();
        (BatchView::read(&rewritten)?.max_timestamp(), Some(rewritten))
    };
    summary.max_timestamp = match rules.timestamp_type {
        TimestampType::CreateTime => max_timestamp,
        TimestampType::LogAppendTime => now,
    };
    check_fits_segment(summary.size_in_bytes, rules)?;
    let stamp = Stamp::Leader(rules.timestamp_type, now);
    let (valid_bytes, was_rewritten) = (batch.size_in_bytes(), rewritten.is_some());
    Ok(ValidBatches { batches: vec![summary], valid_bytes, rewritten, was_rewritten, stamp })
}

/// The one v2 batch at the start of `bytes`. A piece of another may follow it: Kafka's reader sees only whole ones.
fn only_batch(bytes: &[u8]) -> Result<BatchView<'_>, Violation> {
    let prefix = whole_prefix(bytes)?.ok_or(Violation::NoBatch)?;
    if prefix.magic != MAGIC_V2 {
        return Err(Violation::OldMagic { magic: prefix.magic });
    }
    if whole_prefix(&bytes[prefix.size_in_bytes..])?.is_some() {
        return Err(Violation::MoreThanOneBatch);
    }
    Ok(BatchView::read(bytes)?)
}

/// The prefix of the batch at the start of `bytes`, if the batch is there as a whole.
fn whole_prefix(bytes: &[u8]) -> Result<Option<Prefix>, HeaderError> {
    match Prefix::read(bytes) {
        Ok(prefix) if prefix.size_in_bytes <= bytes.len() => Ok(Some(prefix)),
        Ok(_) | Err(HeaderError::Incomplete { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn check_size(size: usize, rules: &ValidationRules) -> Result<(), Violation> {
    // What another replica has accepted is not judged again.
    if size > rules.max_message_bytes && rules.origin != AppendOrigin::Replication {
        return Err(Violation::TooLarge { size, max: rules.max_message_bytes });
    }
    Ok(())
}

fn check_fits_segment(size: usize, rules: &ValidationRules) -> Result<(), Violation> {
    if size > rules.segment_bytes {
        return Err(Violation::LargerThanSegment { size, max: rules.segment_bytes });
    }
    Ok(())
}

fn check_crc(batch: &BatchView<'_>) -> Result<(), Violation> {
    let (stored, computed) = (batch.crc(), batch.computed_crc());
    if stored != computed {
        return Err(Violation::Crc { stored, computed });
    }
    Ok(())
}

/// Whether the header agrees with itself. Kafka asks this of clients only; the batches of our own coordinators keep
/// it too, since the offsets that are handed out follow from it.
fn check_offsets_and_count(batch: &BatchHeader<'_>) -> Result<(), Violation> {
    let (last_offset_delta, count) = (batch.last_offset_delta(), batch.record_count());
    if last_offset_delta < 0 {
        return Err(Violation::OffsetRange { last_offset_delta });
    }
    if count <= 0 {
        return Err(Violation::Count { count });
    }
    if i64::from(last_offset_delta) + 1 != i64::from(count) {
        return Err(Violation::CountAndOffsets { last_offset_delta, count });
    }
    Ok(())
}

/// What else a client's header must say.
fn check_client_header(batch: &BatchHeader<'_>) -> Result<(), Violation> {
    if batch.is_control() {
        return Err(Violation::ControlFromClient);
    }
    if batch.has_producer_id() && batch.base_sequence() < Sequence::new(0) {
        let (base_sequence, producer_id) = (batch.base_sequence(), batch.producer_id());
        return Err(Violation::Sequence { base_sequence, producer_id });
    }
    Ok(())
}

/// Walks over the records of a batch that stays as it is; the largest timestamp.
fn check_records(
    batch: &BatchView<'_>,
    rules: &ValidationRules,
    now: TimestampMs,
) -> Result<TimestampMs, Violation> {
    let compressed = batch.compression() != Ok(CompressionType::None);
    let checks = RecordChecks::new(batch, rules, now);
    let records = batch.records(rules.decompression).map_err(RecordError::from)?;
    let mut max_timestamp = TimestampMs::NONE;
    let mut problems = Problems::default();
    let mut wrong_offset = None;
    records.skim_each(|index, record| match checks.problem(index, record) {
        Some(problem) => problems.add(problem),
        None => {
            max_timestamp = max_timestamp.max(checks.timestamp(record));
            // Kafka looks at the offsets inside compressed batches only.
            if compressed && record.offset_delta != index {
                wrong_offset.get_or_insert(Violation::InnerOffset { index, found: record.offset_delta });
            }
        }
    })?;
    problems.refuse()?;
    wrong_offset.map_or(Ok(max_timestamp), Err)
}

/// Builds the batch anew with the codec of the topic; offsets inside it count up from 0 whatever they were.
fn rewrite(
    batch: &BatchView<'_>,
    target: Compression,
    rules: &ValidationRules,
    now: TimestampMs,
) -> Result<Vec<u8>, Violation> {
    let checks = RecordChecks::new(batch, rules, now);
    let mut builder = rewriting_builder(batch, target, rules, now);
    let mut records = batch.records(rules.decompression).map_err(RecordError::from)?;
    let mut problems = Problems::default();
    let mut index = 0;
    while let Some(record) = records.next_record() {
        let record = record?;
        let skimmed = SkimmedRecord {
            attributes: record.attributes,
            offset_delta: record.offset_delta,
            timestamp_delta: record.timestamp_delta,
            has_key: record.key.is_some(),
            size_in_bytes: record.size_in_bytes,
        };
        if let Some(problem) = checks.problem(index, &skimmed) {
            problems.add(problem);
        }
        if problems.list.is_empty() {
            builder
                .append_copy(record.timestamp, record.key, record.value, record.headers)
                .map_err(Violation::Rewrite)?;
            // No use in folding on what is too large already: what came out so far only grows.
            check_size(builder.size_in_bytes(), rules)?;
        }
        index += 1;
    }
    problems.refuse()?;
    builder.finish().map_err(Violation::Rewrite)
}

fn rewriting_builder(
    batch: &BatchView<'_>,
    target: Compression,
    rules: &ValidationRules,
    now: TimestampMs,
) -> BatchBuilder {
    let mut builder = BatchBuilder::new(target).producer(
        batch.producer_id(),
        batch.producer_epoch(),
        batch.base_sequence(),
    );
    if batch.is_transactional() {
        builder = builder.transactional();
    }
    if rules.timestamp_type == TimestampType::LogAppendTime {
        builder = builder.log_append_time(now);
    }
    builder
}

/// The refused records of a batch: as many as are worth telling the client.
#[derive(Default)]
struct Problems {
    list: Vec<RecordProblem>,
    about_time: bool,
}

impl Problems {
    fn add(&mut self, problem: RecordProblem) {
        self.about_time |= problem.rule != RecordProblemRule::NoKey;
        if self.list.len() < limits::RECORD_PROBLEMS_MAX {
            self.list.push(problem);
        }
    }

    fn refuse(self) -> Result<(), Violation> {
        let problems = self.list;
        if problems.is_empty() {
            return Ok(());
        }
        // One bad timestamp decides the answer for the whole batch.
        Err(if self.about_time {
            Violation::InvalidTimestamp { problems }
        } else {
            Violation::InvalidRecords { problems }
        })
    }
}

/// The rules for single records, with what they need of batch and topic.
struct RecordChecks<'a> {
    batch: BatchHeader<'a>,
    batch_timestamp_type: TimestampType,
    topic_timestamp_type: TimestampType,
    base_timestamp: i64,
    before_max_ms: i64,
    after_max_ms: i64,
    now: i64,
    compacted: bool,
}

impl<'a> RecordChecks<'a> {
    fn new(batch: &BatchView<'a>, rules: &ValidationRules, now: TimestampMs) -> Self {
        Self {
            batch: batch.header(),
            batch_timestamp_type: batch.timestamp_type(),
            topic_timestamp_type: rules.timestamp_type,
            base_timestamp: batch.base_timestamp().get(),
            before_max_ms: rules.timestamp_before_max_ms,
            after_max_ms: rules.timestamp_after_max_ms,
            now: now.get(),
            compacted: rules.compacted,
        }
    }

    #[inline]
    fn timestamp(&self, record: &SkimmedRecord) -> TimestampMs {
        match self.batch_timestamp_type {
            TimestampType::CreateTime => {
                TimestampMs::new(self.base_timestamp.wrapping_add(record.timestamp_delta))
            }
            TimestampType::LogAppendTime => record::timestamp(&self.batch, record.timestamp_delta),
        }
    }

    #[inline]
    fn problem(&self, index: i32, record: &SkimmedRecord) -> Option<RecordProblem> {
        if self.compacted && !record.has_key {
            return Some(RecordProblem { index, rule: RecordProblemRule::NoKey });
        }
        let timestamp = self.timestamp(record);
        if self.topic_timestamp_type == TimestampType::CreateTime && timestamp != TimestampMs::NONE {
            // The differences wrap as Java's do.
            let age = self.now.wrapping_sub(timestamp.get());
            if age > self.before_max_ms || age.wrapping_neg() > self.after_max_ms {
                return Some(RecordProblem { index, rule: self.out_of_range(timestamp, record) });
            }
        } else if self.batch_timestamp_type == TimestampType::LogAppendTime {
            return Some(RecordProblem { index, rule: RecordProblemRule::LogAppendTimeFromProducer });
        }
        None
    }

    fn out_of_range(&self, timestamp: TimestampMs, record: &SkimmedRecord) -> RecordProblemRule {
        RecordProblemRule::TimestampOutOfRange {
            timestamp,
            offset: self.batch.base_offset().plus(i64::from(record.offset_delta)),
            earliest: TimestampMs::new(self.now.wrapping_sub(self.before_max_ms)),
            latest: TimestampMs::new(self.now.wrapping_add(self.after_max_ms)),
        }
    }
}

/// Batches that bring their offsets: whole, intact and in order, and nothing else is asked.
fn validate_with_offsets(bytes: &[u8], rules: &ValidationRules) -> Result<ValidBatches, Violation> {
    let mut batches: Vec<BatchSummary> = Vec::new();
    let mut position = 0;
    while let Some(prefix) = whole_prefix(&bytes[position..])? {
        if prefix.magic != MAGIC_V2 {
            return Err(Violation::OldMagic { magic: prefix.magic });
        }
        let batch = BatchView::read(&bytes[position..])?;
        check_size(batch.size_in_bytes(), rules)?;
        check_crc(&batch)?;
        batch.compression().map_err(|id| Violation::UnknownCompression { id })?;
        if let Some(before) = batches.last()
            && batch.last_offset() <= before.last_offset()
        {
            return Err(Violation::OffsetsOutOfOrder {
                found: batch.last_offset(),
                last: before.last_offset(),
            });
        }
        batches.push(BatchSummary::of(&batch, position)?);
        position += prefix.size_in_bytes;
    }
    if batches.is_empty() {
        return Err(Violation::NoBatch);
    }
    check_fits_segment(position, rules)?;
    let stamp = Stamp::Nothing;
    Ok(ValidBatches { batches, valid_bytes: position, rewritten: None, was_rewritten: false, stamp })
}

const _: () = assert!(HEADER_LEN > Prefix::LEN);

impl From<DecompressError> for Violation {
    fn from(error: DecompressError) -> Self {
        Self::Records(RecordError::Decompress(error))
    }
}
