//! One record: decoding, one after another, and encoding.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//! key length varint, key | value length varint, value | header count varint, { key, value }*
//! ```
//! Every length is checked twice: against the bytes that are there, and against the length of the record. Nothing is
//! allocated from a count or a length; a window of unfolded bytes grows only as bytes arrive.

use std::cell::Cell;

use super::compress::{DecompressError, DecompressionCap, Decompressor};
use super::header::{BatchHeader, BatchView, TimestampType};
use super::varint::{self, VarintError};
use crate::limits;
use crate::types::{Offset, Sequence, TimestampMs};

/// Why the records of a batch cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The header counts fewer than no records.
    #[error("found invalid record count {count} in the batch")]
    Count {
        /// The count.
        count: i32,
    },
    /// A record breaks the format.
    #[error("record {index} of the batch: {rule}")]
    Malformed {
        /// Which record, counted from 0.
        index: i32,
        /// What it breaks.
        rule: RecordRule,
    },
    /// All records that the header counts were read, and there are bytes left.
    #[error("incorrect declared batch size, records still remaining in file")]
    BytesLeft,
    /// The batch does not unfold.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// What a malformed record breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordRule {
    /// The batch ends before the record does.
    #[error("the batch ends before the record does")]
    PastEnd,
    /// A field runs past the length of the record, or fields end before it.
    #[error("the fields do not fill the length of the record")]
    Length,
    /// A variable-length number does not end in time.
    #[error("a variable-length number is too long")]
    Varint,
    /// There are fewer than no headers, or more than bytes.
    #[error("invalid number of record headers")]
    HeaderCount,
    /// A header has no key.
    #[error("a header without key")]
    HeaderKey,
    /// A record of a compressed batch is too large to be held in memory.
    #[error("the record is larger than {max} bytes", max = limits::DECOMPRESSED_RECORD_BYTES_MAX)]
    TooLarge,
}

impl From<VarintError> for RecordRule {
    fn from(error: VarintError) -> Self {
        match error {
            VarintError::Truncated => Self::Length,
            VarintError::TooLong => Self::Varint,
        }
    }
}

/// One record, with the offset, timestamp and sequence that its batch gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'r> {
    /// Attribute bits; none has a meaning yet.
    pub attributes: i8,
    /// Position in the batch, counted in offsets from its first.
    pub offset_delta: i32,
    /// Milliseconds after the base timestamp of the batch.
    pub timestamp_delta: i64,
    /// Offset in the partition.
    pub offset: Offset,
    /// The record's time; that of the append where the batch says so.
    pub timestamp: TimestampMs,
    /// The producer's number for the record, or [`Sequence::NONE`].
    pub sequence: Sequence,
    /// The key, if any.
    pub key: Option<&'r [u8]>,
    /// The value, if any; a record with a key and no value is a tombstone.
    pub value: Option<&'r [u8]>,
    /// The headers.
    pub headers: RecordHeaders<'r>,
    /// Bytes of the record, its length field included.
    pub size_in_bytes: usize,
}

/// The headers of one record, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordHeaders<'r> {
    count: u32,
    rest: &'r [u8],
}

/// One header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader<'r> {
    /// The key: text in UTF-8 as far as the producer kept to the rules.
    pub key: &'r [u8],
    /// The value, if any.
    pub value: Option<&'r [u8]>,
}

impl<'r> RecordHeaders<'r> {
    /// How many headers are left to iterate over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'r> Iterator for RecordHeaders<'r> {
    type Item = RecordHeader<'r>;

    fn next(&mut self) -> Option<RecordHeader<'r>> {
        self.count = self.count.checked_sub(1)?;
        // Cannot fail: the headers were walked once when the record was read.
        let key = nullable(&mut self.rest).ok().flatten()?;
        let value = nullable(&mut self.rest).ok()?;
        Some(RecordHeader { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

/// What validation needs of a record; key, value and headers were walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkimmedRecord {
    /// Attribute bits.
    pub attributes: i8,
    /// Position in the batch, counted in offsets from its first.
    pub offset_delta: i32,
    /// Milliseconds after the base timestamp of the batch.
    pub timestamp_delta: i64,
    /// Whether there is a key.
    pub has_key: bool,
    /// Bytes of the record, its length field included.
    pub size_in_bytes: usize,
}

/// The records of a batch, one after another. Ends after the first error.
pub struct Records<'a> {
    header: BatchHeader<'a>,
    source: Source<'a>,
    index: i32,
    done: bool,
}

enum Source<'a> {
    Plain(&'a [u8]),
    Unfolding(Box<Window<'a>>),
}

impl<'a> Records<'a> {
    pub(super) fn of(batch: &BatchView<'a>, cap: DecompressionCap) -> Result<Self, DecompressError> {
        let codec = batch.compression().map_err(|id| DecompressError::UnknownCodec { id })?;
        let source = match Decompressor::new(codec, batch.body(), cap)? {
            None => Source::Plain(batch.body()),
            Some(decompressor) => Source::Unfolding(Box::new(Window::new(decompressor))),
        };
        Ok(Self { header: batch.header(), source, index: 0, done: false })
    }

    /// The next record, or `None` after the last. The view lasts until the next call.
    pub fn next_record(&mut self) -> Option<Result<RecordView<'_>, RecordError>> {
        let index = match self.begin()? {
            Ok(index) => index,
            Err(error) => return Some(Err(error)),
        };
        let raw = match &mut self.source {
            Source::Plain(rest) => take_record(rest).map_err(|rule| RecordError::Malformed { index, rule }),
            Source::Unfolding(window) => window.take_record(index),
        };
        let view = raw.and_then(|raw| {
            parse(raw.fields, raw.size_in_bytes, &self.header)
                .map_err(|rule| RecordError::Malformed { index, rule })
        });
        self.done = view.is_err();
        Some(view)
    }

    /// Walks over the next record without holding its key and value; `None` after the last.
    #[inline]
    pub fn skim(&mut self) -> Option<Result<SkimmedRecord, RecordError>> {
        let index = match self.begin()? {
            Ok(index) => index,
            Err(error) => return Some(Err(error)),
        };
        let skimmed = match &mut self.source {
            Source::Plain(rest) => take_record(rest)
                .and_then(|raw| skim(raw.fields, raw.size_in_bytes))
                .map_err(|rule| RecordError::Malformed { index, rule }),
            Source::Unfolding(window) => window.skim(index),
        };
        self.done = skimmed.is_err();
        Some(skimmed)
    }

    /// Walks over all records that are left, and tells `each` of them with its index.
    pub(super) fn skim_each(mut self, mut each: impl FnMut(i32, &SkimmedRecord)) -> Result<(), RecordError> {
        if let Source::Plain(rest) = &mut self.source {
            // The hot path of every produce request: nothing but the bytes left is carried from record to record.
            let mut left = *rest;
            for index in self.index..self.header.record_count() {
                let skimmed = take_record(&mut left)
                    .and_then(|raw| skim(raw.fields, raw.size_in_bytes))
                    .map_err(|rule| RecordError::Malformed { index, rule })?;
                each(index, &skimmed);
                self.index = index + 1;
            }
            *rest = left;
        }
        while let Some(skimmed) = self.skim() {
            each(self.index - 1, &skimmed?);
        }
        Ok(())
    }

    // The index of the next record; `None` behind the last.
    fn begin(&mut self) -> Option<Result<i32, RecordError>> {
        if self.done {
            return None;
        }
        let count = self.header.record_count();
        if count < 0 {
            self.done = true;
            return Some(Err(RecordError::Count { count }));
        }
        let index = self.index;
        if index < count {
            self.index += 1;
            return Some(Ok(index));
        }
        self.done = true;
        // Kafka does not look for leftovers in a batch that says it is empty: compaction keeps such headers.
        if count == 0 {
            return None;
        }
        match self.bytes_left() {
            Ok(false) => None,
            Ok(true) => Some(Err(RecordError::BytesLeft)),
            Err(error) => Some(Err(error)),
        }
    }

    fn bytes_left(&mut self) -> Result<bool, RecordError> {
        match &mut self.source {
            Source::Plain(rest) => Ok(!rest.is_empty()),
            Source::Unfolding(window) => Ok(window.fill(1)?),
        }
    }
}

/// A record cut out by its length, not yet parsed.
struct RawRecord<'r> {
    fields: &'r [u8],
    size_in_bytes: usize,
}

#[inline]
fn take_record<'r>(rest: &mut &'r [u8]) -> Result<RawRecord<'r>, RecordRule> {
    let before = rest.len();
    let length = varint::read_i32(rest).map_err(|error| match error {
        VarintError::Truncated => RecordRule::PastEnd,
        VarintError::TooLong => RecordRule::Varint,
    })?;
    let length = usize::try_from(length).map_err(|_| RecordRule::Length)?;
    let (fields, after) = rest.split_at_checked(length).ok_or(RecordRule::PastEnd)?;
    *rest = after;
    Ok(RawRecord { fields, size_in_bytes: before - after.len() })
}

fn parse<'r>(
    mut fields: &'r [u8],
    size_in_bytes: usize,
    batch: &BatchHeader<'_>,
) -> Result<RecordView<'r>, RecordRule> {
    let fixed = read_fixed(&mut fields)?;
    let key = nullable(&mut fields)?;
    let value = nullable(&mut fields)?;
    let headers = read_headers(&mut fields)?;
    if !fields.is_empty() {
        return Err(RecordRule::Length);
    }
    Ok(RecordView {
        attributes: fixed.attributes,
        offset_delta: fixed.offset_delta,
        timestamp_delta: fixed.timestamp_delta,
        offset: batch.base_offset().plus(i64::from(fixed.offset_delta)),
        timestamp: timestamp(batch, fixed.timestamp_delta),
        sequence: sequence(batch.base_sequence(), fixed.offset_delta),
        key,
        value,
        headers,
        size_in_bytes,
    })
}

#[inline]
fn skim(mut fields: &[u8], size_in_bytes: usize) -> Result<SkimmedRecord, RecordRule> {
    let fixed = read_fixed(&mut fields)?;
    let has_key = nullable(&mut fields)?.is_some();
    nullable(&mut fields)?;
    // Most records end here, with a count of no headers.
    if fields != [0] {
        read_headers(&mut fields)?;
        if !fields.is_empty() {
            return Err(RecordRule::Length);
        }
    }
    Ok(SkimmedRecord {
        attributes: fixed.attributes,
        offset_delta: fixed.offset_delta,
        timestamp_delta: fixed.timestamp_delta,
        has_key,
        size_in_bytes,
    })
}

struct Fixed {
    attributes: i8,
    timestamp_delta: i64,
    offset_delta: i32,
}

#[inline]
fn read_fixed(fields: &mut &[u8]) -> Result<Fixed, RecordRule> {
    let (attributes, rest) = fields.split_first().ok_or(RecordRule::Length)?;
    *fields = rest;
    let timestamp_delta = varint::read_i64(fields)?;
    let offset_delta = varint::read_i32(fields)?;
    Ok(Fixed { attributes: *attributes as i8, timestamp_delta, offset_delta })
}

/// Bytes with their length in front; any negative length is none, as in Kafka.
#[inline]
pub(super) fn nullable<'r>(fields: &mut &'r [u8]) -> Result<Option<&'r [u8]>, RecordRule> {
    let Ok(length) = usize::try_from(varint::read_i32(fields)?) else { return Ok(None) };
    let (bytes, rest) = fields.split_at_checked(length).ok_or(RecordRule::Length)?;
    *fields = rest;
    Ok(Some(bytes))
}

fn read_headers<'r>(fields: &mut &'r [u8]) -> Result<RecordHeaders<'r>, RecordRule> {
    let count = header_count(varint::read_i32(fields)?, fields.len())?;
    let rest = *fields;
    for _ in 0..count {
        nullable(fields)?.ok_or(RecordRule::HeaderKey)?;
        nullable(fields)?;
    }
    Ok(RecordHeaders { count, rest: &rest[..rest.len() - fields.len()] })
}

fn header_count(count: i32, bytes_left: usize) -> Result<u32, RecordRule> {
    match u32::try_from(count) {
        Ok(count) if count as usize <= bytes_left => Ok(count),
        _ => Err(RecordRule::HeaderCount),
    }
}

/// The time of a record of `batch`.
pub(super) fn timestamp(batch: &BatchHeader<'_>, delta: i64) -> TimestampMs {
    match batch.timestamp_type() {
        TimestampType::LogAppendTime => batch.max_timestamp(),
        TimestampType::CreateTime => TimestampMs::new(batch.base_timestamp().get().wrapping_add(delta)),
    }
}

fn sequence(base: Sequence, offset_delta: i32) -> Sequence {
    if base < Sequence::new(0) || offset_delta < 0 { Sequence::NONE } else { base.plus(offset_delta) }
}

/// Unfolded bytes around the present record.
struct Window<'a> {
    decompressor: Decompressor<'a>,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    drained: bool,
}

thread_local! {
    /// The bytes of this thread's last window, for its next one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        if self.bytes.len() <= limits::DECOMPRESSION_WINDOW_BYTES {
            SPARE.set(std::mem::take(&mut self.bytes));
        }
    }
}

impl<'a> Window<'a> {
    fn new(decompressor: Decompressor<'a>) -> Self {
        Self { decompressor, bytes: SPARE.take(), start: 0, end: 0, drained: false }
    }

    /// Makes at least `want` bytes ready, if the batch has them.
    fn fill(&mut self, want: usize) -> Result<bool, DecompressError> {
        while self.end - self.start < want && !self.drained {
            self.make_room(want);
            let n = self.decompressor.read(&mut self.bytes[self.end..])?;
            self.end += n;
            self.drained = n == 0;
        }
        Ok(self.end - self.start >= want)
    }

    /// Room for more bytes behind those that are ready. A window that is too small for `want` doubles: it is full
    /// of bytes that did arrive, so a claimed length alone makes nothing grow.
    fn make_room(&mut self, want: usize) {
        if self.start > 0 && (self.start == self.end || self.end == self.bytes.len()) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            let doubled = (self.bytes.len() * 2).min(want);
            self.bytes.resize(doubled.max(limits::DECOMPRESSION_WINDOW_BYTES), 0);
        }
    }

    fn ready(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The length of the next record and the bytes its length field takes.
    fn record_length(&mut self, index: i32) -> Result<(usize, usize), RecordError> {
        self.fill(5)?;
        let mut ready = self.ready();
        let before = ready.len();
        let length = varint::read_i32(&mut ready).map_err(|error| match error {
            VarintError::Truncated => RecordRule::PastEnd,
            VarintError::TooLong => RecordRule::Varint,
        });
        let prefix = before - ready.len();
        length
            .and_then(|length| usize::try_from(length).map_err(|_| RecordRule::Length))
            .map(|length| (length, prefix))
            .map_err(|rule| RecordError::Malformed { index, rule })
    }

    fn take_record(&mut self, index: i32) -> Result<RawRecord<'_>, RecordError> {
        let (length, prefix) = self.record_length(index)?;
        let malformed = |rule| RecordError::Malformed { index, rule };
        if length > limits::DECOMPRESSED_RECORD_BYTES_MAX {
            return Err(malformed(RecordRule::TooLarge));
        }
        if !self.fill(prefix + length)? {
            return Err(malformed(RecordRule::PastEnd));
        }
        let start = self.start + prefix;
        self.start = start + length;
        Ok(RawRecord { fields: &self.bytes[start..self.start], size_in_bytes: prefix + length })
    }

    fn skim(&mut self, index: i32) -> Result<SkimmedRecord, RecordError> {
        let (length, prefix) = self.record_length(index)?;
        let malformed = |rule| RecordError::Malformed { index, rule };
        if prefix + length > limits::DECOMPRESSION_WINDOW_BYTES {
            self.start += prefix;
            return Passing { window: self, left: length }.skim(prefix + length).map_err(|stop| match stop {
                Stop::Rule(rule) => malformed(rule),
                Stop::Decompress(error) => RecordError::Decompress(error),
            });
        }
        if !self.fill(prefix + length)? {
            return Err(malformed(RecordRule::PastEnd));
        }
        let start = self.start + prefix;
        self.start = start + length;
        skim(&self.bytes[start..self.start], prefix + length).map_err(malformed)
    }
}

/// A record larger than the window, passing through it.
struct Passing<'w, 'a> {
    window: &'w mut Window<'a>,
    left: usize,
}

enum Stop {
    Rule(RecordRule),
    Decompress(DecompressError),
}

impl From<RecordRule> for Stop {
    fn from(rule: RecordRule) -> Self {
        Self::Rule(rule)
    }
}

impl From<DecompressError> for Stop {
    fn from(error: DecompressError) -> Self {
        Self::Decompress(error)
    }
}

/// The longest variable-length number.
const VARINT_LEN_MAX: usize = 10;

impl Passing<'_, '_> {
    fn skim(mut self, size_in_bytes: usize) -> Result<SkimmedRecord, Stop> {
        let fixed = self.number(1 + 2 * VARINT_LEN_MAX, read_fixed)?;
        let has_key = self.pass_nullable()?;
        self.pass_nullable()?;
        let count = self.number(VARINT_LEN_MAX, |bytes| Ok(varint::read_i32(bytes)?))?;
        for _ in 0..header_count(count, self.left)? {
            if !self.pass_nullable()? {
                return Err(RecordRule::HeaderKey.into());
            }
            self.pass_nullable()?;
        }
        if self.left > 0 {
            return Err(RecordRule::Length.into());
        }
        Ok(SkimmedRecord {
            attributes: fixed.attributes,
            offset_delta: fixed.offset_delta,
            timestamp_delta: fixed.timestamp_delta,
            has_key,
            size_in_bytes,
        })
    }

    /// Reads what takes up to `len_max` bytes.
    fn number<T>(
        &mut self,
        len_max: usize,
        read: impl FnOnce(&mut &[u8]) -> Result<T, RecordRule>,
    ) -> Result<T, Stop> {
        self.window.fill(len_max.min(self.left))?;
        let ready = self.window.ready();
        let mut bytes = &ready[..ready.len().min(self.left)];
        let before = bytes.len();
        let value = read(&mut bytes)?;
        let taken = before - bytes.len();
        self.window.start += taken;
        self.left -= taken;
        Ok(value)
    }

    /// Passes over bytes with their length in front; false where there are none.
    fn pass_nullable(&mut self) -> Result<bool, Stop> {
        let length = self.number(VARINT_LEN_MAX, |bytes| Ok(varint::read_i32(bytes)?))?;
        let Ok(mut length) = usize::try_from(length) else { return Ok(false) };
        self.left = self.left.checked_sub(length).ok_or(RecordRule::Length)?;
        while length > 0 {
            if !self.window.fill(1)? {
                return Err(RecordRule::PastEnd.into());
            }
            let passed = length.min(self.window.ready().len());
            self.window.start += passed;
            length -= passed;
        }
        Ok(true)
    }
}

/// What a record is encoded from; deltas are counted from its batch.
pub(super) struct RecordFields<'r> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'r [u8]>,
    pub(super) value: Option<&'r [u8]>,
    pub(super) header_count: usize,
    /// The headers encoded one after another, without their count.
    pub(super) headers: &'r [u8],
}

/// Appends a record to `out`; false where it would be longer than a record can be.
pub(super) fn encode(out: &mut Vec<u8>, record: &RecordFields<'_>) -> bool {
    let length = 1
        + varint::len_i64(record.timestamp_delta)
        + varint::len_i32(record.offset_delta)
        + nullable_len(record.key)
        + nullable_len(record.value)
        + varint::len_i32(record.header_count as i32)
        + record.headers.len();
    let Ok(length) = i32::try_from(length) else { return false };
    varint::write_i32(out, length);
    out.push(0);
    varint::write_i64(out, record.timestamp_delta);
    varint::write_i32(out, record.offset_delta);
    write_nullable(out, record.key);
    write_nullable(out, record.value);
    varint::write_i32(out, record.header_count as i32);
    out.extend_from_slice(record.headers);
    true
}

/// Appends one header, as the field of [`RecordFields`] wants it.
pub(super) fn encode_header(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    write_nullable(out, Some(key));
    write_nullable(out, value);
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::len_i32(bytes.len() as i32) + bytes.len())
}

fn write_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::write_i32(out, -1),
        Some(bytes) => {
            varint::write_i32(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}
