//! The fixed part of a batch: where each field lies, a view that reads them, and the only in-place writes there are.
//!
//! A view trusts nothing but lengths: it never reads outside its bytes, and whether the fields make sense is asked
//! elsewhere.

use std::ops::Deref;

use bitflags::bitflags;

use super::checksum::crc32c;
use super::compress::{CompressionType, DecompressError, DecompressionCap};
use super::record::Records;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

const BASE_OFFSET: usize = 0;
const LENGTH: usize = BASE_OFFSET + 8;
const LEADER_EPOCH: usize = LENGTH + 4;
const MAGIC: usize = LEADER_EPOCH + 4;
const CRC: usize = MAGIC + 1;
const ATTRIBUTES: usize = CRC + 4;
const LAST_OFFSET_DELTA: usize = ATTRIBUTES + 2;
const BASE_TIMESTAMP: usize = LAST_OFFSET_DELTA + 4;
const MAX_TIMESTAMP: usize = BASE_TIMESTAMP + 8;
const PRODUCER_ID: usize = MAX_TIMESTAMP + 8;
const PRODUCER_EPOCH: usize = PRODUCER_ID + 8;
const BASE_SEQUENCE: usize = PRODUCER_EPOCH + 2;
const RECORD_COUNT: usize = BASE_SEQUENCE + 4;

/// Bytes of the fixed part; the records follow.
pub const HEADER_LEN: usize = RECORD_COUNT + 4;

/// Bytes that the length field does not count: base offset and the length itself. The same in every format.
pub const LOG_OVERHEAD: usize = LEADER_EPOCH;

const _: () = assert!(HEADER_LEN == 61 && LOG_OVERHEAD == 12 && MAGIC == 16 && ATTRIBUTES == 21);

/// The magic of this format.
pub(super) const MAGIC_V2: i8 = 2;

/// The smallest length field of any format: that of a record of magic 0 without key and value.
const LENGTH_MIN: i32 = 14;

/// Why bytes are not read as a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The bytes end before the batch does.
    #[error("{have} bytes are not a whole batch: {need} are needed")]
    Incomplete {
        /// Bytes there are.
        have: usize,
        /// Bytes the batch says it has, or the header's length while that is not known.
        need: usize,
    },
    /// The length field is below what the smallest batch of its format takes.
    #[error("batch length {length} is below the minimum of {min}")]
    Length {
        /// The length field.
        length: i32,
        /// The smallest length possible.
        min: i32,
    },
    /// The magic byte names another format than the one asked for.
    #[error("magic {magic} where {expected} is expected")]
    Magic {
        /// The magic byte.
        magic: i8,
        /// What was expected.
        expected: &'static str,
    },
}

/// What the batches of all formats begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The offset of the first record (magic 2), or of the last (compressed batches of magic 0 and 1).
    pub base_offset: Offset,
    /// Bytes of the whole batch.
    pub size_in_bytes: usize,
    /// The format: 0, 1 or 2.
    pub magic: i8,
}

impl Prefix {
    /// Bytes needed to read a prefix.
    pub const LEN: usize = MAGIC + 1;

    /// Reads the beginning of a batch of any format, with the bounds that Kafka's log input streams set.
    pub fn read(bytes: &[u8]) -> Result<Self, HeaderError> {
        let incomplete = HeaderError::Incomplete { have: bytes.len(), need: Self::LEN };
        let Some(overhead) = bytes.first_chunk::<LOG_OVERHEAD>() else { return Err(incomplete) };
        let length = i32_at(overhead, LENGTH);
        if length < LENGTH_MIN {
            return Err(HeaderError::Length { length, min: LENGTH_MIN });
        }
        let Some(bytes) = bytes.first_chunk::<{ Self::LEN }>() else { return Err(incomplete) };
        let magic = bytes[MAGIC] as i8;
        if !(0..=MAGIC_V2).contains(&magic) {
            return Err(HeaderError::Magic { magic, expected: "0, 1 or 2" });
        }
        let size_in_bytes = LOG_OVERHEAD + length.unsigned_abs() as usize;
        Ok(Self { base_offset: Offset::new(i64_at(bytes, BASE_OFFSET)), size_in_bytes, magic })
    }
}

bitflags! {
    /// The attribute bits above the compression codec.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Attributes: i16 {
        /// The three bits of the compression codec.
        const COMPRESSION = 0x07;
        /// The timestamps are those of the broker.
        const LOG_APPEND_TIME = 0x08;
        /// Written inside a transaction.
        const TRANSACTIONAL = 0x10;
        /// Holds control records.
        const CONTROL = 0x20;
        /// The base timestamp is the time from which the cleaner may drop the tombstones.
        const DELETE_HORIZON = 0x40;
        /// Not yet given a meaning.
        const _ = !0;
    }
}

impl Attributes {
    /// The bits that have a meaning. Kafka drops the others wherever it writes attributes anew.
    pub(super) const KNOWN: Self = Self::from_bits_retain(0x7f);
}

/// Whose clock the timestamps of a batch show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's, at the append; all records of a batch share it.
    LogAppendTime,
}

/// The fixed part of a v2 batch, as it lies in memory.
#[derive(Clone, Copy)]
pub struct BatchHeader<'a> {
    bytes: &'a [u8; HEADER_LEN],
}

impl<'a> BatchHeader<'a> {
    /// The bytes of the header.
    pub(crate) fn header_bytes(&self) -> &'a [u8; HEADER_LEN] {
        self.bytes
    }

    /// Reads the header at the start of `bytes`; the records need not be there.
    pub fn read(bytes: &'a [u8]) -> Result<Self, HeaderError> {
        let prefix = Prefix::read(bytes)?;
        if prefix.magic != MAGIC_V2 {
            return Err(HeaderError::Magic { magic: prefix.magic, expected: "2" });
        }
        if prefix.size_in_bytes < HEADER_LEN {
            let length = (prefix.size_in_bytes - LOG_OVERHEAD) as i32;
            return Err(HeaderError::Length { length, min: (HEADER_LEN - LOG_OVERHEAD) as i32 });
        }
        let bytes =
            bytes.first_chunk().ok_or(HeaderError::Incomplete { have: bytes.len(), need: HEADER_LEN })?;
        Ok(Self { bytes })
    }

    /// The offset of the first record.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        Offset::new(i64_at(self.bytes, BASE_OFFSET))
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        // Not negative: read() refuses lengths below the header's.
        LOG_OVERHEAD + i32_at(self.bytes, LENGTH).unsigned_abs() as usize
    }

    /// The epoch of the leader that appended the batch.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch::new(i32_at(self.bytes, LEADER_EPOCH))
    }

    /// The format: always 2.
    #[must_use]
    pub fn magic(&self) -> i8 {
        self.bytes[MAGIC] as i8
    }

    /// The checksum the batch carries.
    #[must_use]
    pub fn crc(&self) -> u32 {
        i32_at(self.bytes, CRC) as u32
    }

    /// All attribute bits.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes::from_bits_retain(i16_at(self.bytes, ATTRIBUTES))
    }

    /// The codec of the records; the number where there is no such codec.
    pub fn compression(&self) -> Result<CompressionType, u8> {
        CompressionType::from_id((self.attributes() & Attributes::COMPRESSION).bits() as u8)
    }

    /// Whose clock the timestamps show.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes().contains(Attributes::LOG_APPEND_TIME) {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether the batch was written inside a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes().contains(Attributes::TRANSACTIONAL)
    }

    /// Whether the records are control records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes().contains(Attributes::CONTROL)
    }

    /// Whether the base timestamp is a delete horizon.
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes().contains(Attributes::DELETE_HORIZON)
    }

    /// The time from which the cleaner may drop the tombstones of this batch.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<TimestampMs> {
        self.has_delete_horizon().then(|| self.base_timestamp())
    }

    /// The last offset, counted from the first.
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        i32_at(self.bytes, LAST_OFFSET_DELTA)
    }

    /// The offset of the last record, also of one that compaction removed.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset().plus(i64::from(self.last_offset_delta()))
    }

    /// The offset after the batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    /// What the records' timestamps are counted from.
    #[must_use]
    pub fn base_timestamp(&self) -> TimestampMs {
        TimestampMs::new(i64_at(self.bytes, BASE_TIMESTAMP))
    }

    /// The largest timestamp of the records, or the time of the append.
    #[must_use]
    pub fn max_timestamp(&self) -> TimestampMs {
        TimestampMs::new(i64_at(self.bytes, MAX_TIMESTAMP))
    }

    /// The producer id, or [`ProducerId::NONE`].
    #[must_use]
    pub fn producer_id(&self) -> ProducerId {
        ProducerId::new(i64_at(self.bytes, PRODUCER_ID))
    }

    /// Whether there is a producer id; Kafka asks whether it is above -1.
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id() > ProducerId::NONE
    }

    /// The producer's epoch, or [`ProducerEpoch::NONE`].
    #[must_use]
    pub fn producer_epoch(&self) -> ProducerEpoch {
        ProducerEpoch::new(i16_at(self.bytes, PRODUCER_EPOCH))
    }

    /// The sequence of the first record, or [`Sequence::NONE`].
    #[must_use]
    pub fn base_sequence(&self) -> Sequence {
        Sequence::new(i32_at(self.bytes, BASE_SEQUENCE))
    }

    /// The sequence of the last record, or [`Sequence::NONE`].
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        match self.base_sequence() {
            Sequence::NONE => Sequence::NONE,
            base => base.plus(self.last_offset_delta()),
        }
    }

    /// How many records the batch says it holds; untrusted, may be negative.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        i32_at(self.bytes, RECORD_COUNT)
    }
}

impl std::fmt::Debug for BatchHeader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchHeader")
            .field("base_offset", &self.base_offset())
            .field("size_in_bytes", &self.size_in_bytes())
            .field("leader_epoch", &self.leader_epoch())
            .field("attributes", &self.attributes())
            .field("last_offset_delta", &self.last_offset_delta())
            .field("record_count", &self.record_count())
            .field("producer_id", &self.producer_id())
            .finish_non_exhaustive()
    }
}

/// A whole v2 batch; its header's fields are methods of the view.
#[derive(Debug, Clone, Copy)]
pub struct BatchView<'a> {
    header: BatchHeader<'a>,
    bytes: &'a [u8],
}

impl<'a> Deref for BatchView<'a> {
    type Target = BatchHeader<'a>;

    fn deref(&self) -> &BatchHeader<'a> {
        &self.header
    }
}

/// The batches that lie one behind the other in `bytes`, as a read answers them. Ends at a last batch that is cut, which
/// the next read begins with; one that is cut although it is the first is an error, as is a header of another format.
/// Checksums are not looked at: ask [`BatchView::crc_is_valid`].
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { bytes, at_first: true }
}

/// See [`batches`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    at_first: bool,
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, HeaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let read = BatchView::read(self.bytes);
        self.bytes = match &read {
            Ok(batch) => &self.bytes[batch.size_in_bytes()..],
            Err(_) => &[],
        };
        match (&read, std::mem::replace(&mut self.at_first, false)) {
            (Err(HeaderError::Incomplete { .. }), false) => None,
            _ => Some(read),
        }
    }
}

impl<'a> BatchView<'a> {
    /// The batch at the start of `bytes`; what follows it is left alone.
    pub fn read(bytes: &'a [u8]) -> Result<Self, HeaderError> {
        let header = BatchHeader::read(bytes)?;
        let need = header.size_in_bytes();
        let whole = bytes.get(..need).ok_or(HeaderError::Incomplete { have: bytes.len(), need })?;
        Ok(Self { header, bytes: whole })
    }

    /// The fixed part.
    #[must_use]
    pub fn header(&self) -> BatchHeader<'a> {
        self.header
    }

    /// The bytes of the batch, header included.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes after the header: the records, compressed where the batch is.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// The checksum of the bytes as they are.
    #[must_use]
    pub fn computed_crc(&self) -> u32 {
        crc32c(&self.bytes[ATTRIBUTES..])
    }

    /// Whether the checksum the batch carries is that of its bytes.
    #[must_use]
    pub fn crc_is_valid(&self) -> bool {
        self.crc() == self.computed_crc()
    }

    /// The records, unfolded under `cap` where they are compressed.
    pub fn records(&self, cap: DecompressionCap) -> Result<Records<'a>, DecompressError> {
        Records::of(self, cap)
    }
}

/// Gives the batch its place in the log. Outside the checksum.
///
/// # Panics
/// If `batch` is shorter than a header: whole batches are checked before they are stamped.
pub fn stamp_base_offset(batch: &mut [u8], base: Offset) {
    put(batch, BASE_OFFSET, base.get().to_be_bytes());
}

/// Names the leader that appends the batch. Outside the checksum.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn stamp_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    put(batch, LEADER_EPOCH, epoch.get().to_be_bytes());
}

/// Gives the batch the broker's time. Changes the checksum.
///
/// # Panics
/// If `batch` is shorter than a header.
pub fn stamp_log_append_time(batch: &mut [u8], now: TimestampMs) {
    stamp_max_timestamp(batch, TimestampType::LogAppendTime, now);
}

/// Sets timestamp type and largest timestamp, and the checksum where one of them was another. `batch` is exactly
/// one batch.
pub(super) fn stamp_max_timestamp(batch: &mut [u8], timestamp_type: TimestampType, max: TimestampMs) {
    let old: [u8; 2] = [batch[ATTRIBUTES], batch[ATTRIBUTES + 1]];
    let old = Attributes::from_bits_retain(i16::from_be_bytes(old));
    let was = if old.contains(Attributes::LOG_APPEND_TIME) {
        TimestampType::LogAppendTime
    } else {
        TimestampType::CreateTime
    };
    if was == timestamp_type && batch[MAX_TIMESTAMP..PRODUCER_ID] == max.get().to_be_bytes() {
        return;
    }
    let mut new = old & Attributes::KNOWN;
    new.set(Attributes::LOG_APPEND_TIME, timestamp_type == TimestampType::LogAppendTime);
    put(batch, ATTRIBUTES, new.bits().to_be_bytes());
    put(batch, MAX_TIMESTAMP, max.get().to_be_bytes());
    let crc = crc32c(&batch[ATTRIBUTES..]);
    put(batch, CRC, crc.to_be_bytes());
}

/// The fields of a batch under construction.
pub(super) struct HeaderFields {
    pub(super) base_offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) attributes: Attributes,
    pub(super) last_offset_delta: i32,
    pub(super) base_timestamp: TimestampMs,
    pub(super) max_timestamp: TimestampMs,
    pub(super) producer_id: ProducerId,
    pub(super) producer_epoch: ProducerEpoch,
    pub(super) base_sequence: Sequence,
    pub(super) record_count: i32,
}

/// Fills in the first [`HEADER_LEN`] bytes of `batch`, whose body is in place; `length` is the length field.
pub(super) fn write_header(batch: &mut [u8], length: i32, fields: &HeaderFields) {
    put(batch, BASE_OFFSET, fields.base_offset.get().to_be_bytes());
    put(batch, LENGTH, length.to_be_bytes());
    put(batch, LEADER_EPOCH, fields.leader_epoch.get().to_be_bytes());
    put(batch, MAGIC, MAGIC_V2.to_be_bytes());
    put(batch, ATTRIBUTES, fields.attributes.bits().to_be_bytes());
    put(batch, LAST_OFFSET_DELTA, fields.last_offset_delta.to_be_bytes());
    put(batch, BASE_TIMESTAMP, fields.base_timestamp.get().to_be_bytes());
    put(batch, MAX_TIMESTAMP, fields.max_timestamp.get().to_be_bytes());
    put(batch, PRODUCER_ID, fields.producer_id.get().to_be_bytes());
    put(batch, PRODUCER_EPOCH, fields.producer_epoch.get().to_be_bytes());
    put(batch, BASE_SEQUENCE, fields.base_sequence.get().to_be_bytes());
    put(batch, RECORD_COUNT, fields.record_count.to_be_bytes());
    let crc = crc32c(&batch[ATTRIBUTES..]);
    put(batch, CRC, crc.to_be_bytes());
}

fn put<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    batch[at..at + N].copy_from_slice(&field);
}

fn array_at<const LEN: usize, const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

fn i16_at<const LEN: usize>(bytes: &[u8; LEN], at: usize) -> i16 {
    i16::from_be_bytes(array_at(bytes, at))
}

fn i32_at<const LEN: usize>(bytes: &[u8; LEN], at: usize) -> i32 {
    i32::from_be_bytes(array_at(bytes, at))
}

fn i64_at<const LEN: usize>(bytes: &[u8; LEN], at: usize) -> i64 {
    i64::from_be_bytes(array_at(bytes, at))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Two records of producer 4000, as Kafka's `MemoryRecordsBuilder` wrote them.
    fn golden() -> Vec<u8> {
        let text = include_str!("../../tests/data/appends.tsv");
        let line = text.lines().find(|line| line.starts_with("idempotent-none\tdefault\t")).unwrap();
        let hex = line.split('\t').nth(4).unwrap();
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn batches_end_at_one_that_is_cut_unless_it_is_the_first() {
        let one = golden();
        let bytes = [&one[..], &one[..], &one[..one.len() - 1]].concat();
        let whole: Vec<usize> = batches(&bytes).map(|batch| batch.unwrap().size_in_bytes()).collect();
        assert_eq!(whole, [one.len(); 2]);
        let cut: Vec<_> = batches(&one[..one.len() - 1]).collect();
        assert!(matches!(cut[..], [Err(HeaderError::Incomplete { .. })]));
        assert!(batches(b"").next().is_none());
    }

    #[test]
    fn a_batch_of_another_format_ends_the_batches_with_an_error() {
        let one = golden();
        let mut other = one.clone();
        other[16] = 1;
        let bytes = [&one[..], &other[..], &one[..]].concat();
        let found: Vec<bool> = batches(&bytes).map(|batch| batch.is_ok()).collect();
        assert_eq!(found, [true, false]);
    }

    #[test]
    fn every_field_lies_where_kafka_puts_it() {
        let bytes = golden();
        let batch = BatchView::read(&bytes).unwrap();
        assert_eq!(batch.base_offset(), Offset::ZERO);
        assert_eq!(batch.size_in_bytes(), bytes.len());
        assert_eq!(batch.leader_epoch(), LeaderEpoch::NONE);
        assert_eq!(batch.magic(), 2);
        assert_eq!(batch.compression(), Ok(CompressionType::None));
        assert_eq!(batch.timestamp_type(), TimestampType::CreateTime);
        assert!(!batch.is_transactional() && !batch.is_control() && !batch.has_delete_horizon());
        assert_eq!((batch.last_offset(), batch.next_offset()), (Offset::new(1), Offset::new(2)));
        assert_eq!(batch.base_timestamp(), TimestampMs::new(1_700_000_000_000));
        assert_eq!(batch.max_timestamp(), TimestampMs::new(1_700_000_000_000));
        assert_eq!((batch.producer_id().get(), batch.producer_epoch().get()), (4000, 2));
        assert_eq!((batch.base_sequence().get(), batch.last_sequence().get()), (9, 10));
        assert_eq!(batch.record_count(), 2);
        assert!(batch.crc_is_valid());
    }

    #[test]
    fn offset_and_epoch_are_stamped_outside_the_checksum_and_the_time_inside() {
        let mut bytes = golden();
        let crc = BatchView::read(&bytes).unwrap().crc();
        stamp_base_offset(&mut bytes, Offset::new(77));
        stamp_leader_epoch(&mut bytes, LeaderEpoch::new(5));
        let stamped = BatchView::read(&bytes).unwrap();
        assert_eq!((stamped.base_offset().get(), stamped.leader_epoch().get(), stamped.crc()), (77, 5, crc));
        assert!(stamped.crc_is_valid());
        stamp_log_append_time(&mut bytes, TimestampMs::new(9));
        let timed = BatchView::read(&bytes).unwrap();
        assert_eq!((timed.max_timestamp().get(), timed.timestamp_type()), (9, TimestampType::LogAppendTime));
        assert!(timed.crc_is_valid() && timed.crc() != crc);
    }

    #[test]
    fn a_cut_batch_is_incomplete_at_every_length_and_a_changed_one_fails_its_checksum() {
        let bytes = golden();
        for len in 0..bytes.len() {
            assert!(matches!(BatchView::read(&bytes[..len]), Err(HeaderError::Incomplete { .. })), "{len}");
        }
        for at in CRC..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(!BatchView::read(&changed).unwrap().crc_is_valid(), "{at}");
        }
    }

    #[test]
    fn lengths_and_magics_that_cannot_be_are_refused() {
        for (length, has_prefix) in [(-1, false), (13, false), (14, true), (48, true), (i32::MIN, false)] {
            let mut bytes = golden();
            bytes[LENGTH..LEADER_EPOCH].copy_from_slice(&length.to_be_bytes());
            assert_eq!(Prefix::read(&bytes).is_ok(), has_prefix, "{length}");
            assert!(matches!(BatchHeader::read(&bytes), Err(HeaderError::Length { .. })), "{length}");
        }
        for magic in [-1, 0, 1, 3] {
            let mut bytes = golden();
            bytes[MAGIC] = magic as u8;
            assert!(matches!(BatchHeader::read(&bytes), Err(HeaderError::Magic { .. })), "{magic}");
        }
    }
}
