//! The rules for the records of one batch, timestamps above all: held against a batch that stays as it is, or against
//! one that is built anew with the topic's codec.

use super::check_size;
use super::rules::ValidationRules;
use super::violation::{RecordProblem, RecordProblemRule, Violation};
use crate::batch::builder::BatchBuilder;
use crate::batch::compress::{Compression, CompressionType};
use crate::batch::header::{BatchHeader, BatchView, TimestampType};
use crate::batch::record::{self, RecordError, SkimmedRecord};
use crate::limits;
use crate::types::TimestampMs;

/// Walks over the records of a batch that stays as it is; the largest timestamp.
pub(super) fn check_records(
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
pub(super) fn rewrite(
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
