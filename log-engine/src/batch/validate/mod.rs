//! Untrusted bytes -> batches that may be appended, or the rule they break.
//!
//! The rules, their order and what each is answered with are those of `ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords` and `LogValidator` of Kafka 4.3. Batches stay where they are and are stamped
//! in place, unless the topic's codec is another than the producer's: then they are built anew.

mod batches;
mod records;
mod rules;
mod violation;

use super::compress::{Compression, CompressionType};
use super::header::{BatchHeader, BatchView, HEADER_LEN, HeaderError, MAGIC_V2, Prefix, TimestampType};
use crate::types::{Offset, Sequence, TimestampMs};

pub use batches::{BatchSummary, ValidBatches};
pub use rules::{AppendOrigin, ValidationRules};
pub use violation::{RecordProblem, RecordProblemRule, Violation, ViolationClass};

use batches::Stamp;
use records::{check_records, rewrite};

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

/// Batches that bring their offsets: whole, intact and in order, and nothing else is asked. A follower that was told of a
/// leader may be sent what a later one wrote, with that one's offsets: it takes nothing from there on. Kafka takes batches
/// that overlap, too; no start after a crash would keep them.
fn validate_with_offsets(bytes: &[u8], rules: &ValidationRules) -> Result<ValidBatches, Violation> {
    let mut batches: Vec<BatchSummary> = Vec::new();
    let mut position = 0;
    while let Some(prefix) = whole_prefix(&bytes[position..])? {
        if prefix.magic != MAGIC_V2 {
            return Err(Violation::OldMagic { magic: prefix.magic });
        }
        let batch = BatchView::read(&bytes[position..])?;
        if rules.origin == AppendOrigin::Replication && batch.leader_epoch() > rules.leader_epoch {
            break;
        }
        check_size(batch.size_in_bytes(), rules)?;
        check_crc(&batch)?;
        batch.compression().map_err(|id| Violation::UnknownCompression { id })?;
        if let Some(before) = batches.last()
            && batch.base_offset() <= before.last_offset()
        {
            return Err(Violation::OffsetsOutOfOrder {
                found: batch.base_offset(),
                last: before.last_offset(),
            });
        }
        batches.push(BatchSummary::of(&batch, position)?);
        position += prefix.size_in_bytes;
    }
    // A fetch may have brought a piece of a batch only.
    if batches.is_empty() && rules.origin != AppendOrigin::Replication {
        return Err(Violation::NoBatch);
    }
    check_fits_segment(position, rules)?;
    let stamp = Stamp::Nothing;
    Ok(ValidBatches { batches, valid_bytes: position, rewritten: None, was_rewritten: false, stamp })
}

const _: () = assert!(HEADER_LEN > Prefix::LEN);
