//! Message formats v0 and v1: recognised and read, never written.
//!
//! ```text
//!  0 offset i64 | 8 size i32 | 12 crc u32 | 16 magic i8 | 17 attributes i8
//! [18 timestamp i64, magic 1 only] | key length i32, key | value length i32, value
//! ```
//! A compressed message holds a whole set of messages in its value; its own offset is that of the last of them.

use std::io::Read;

use super::compress::{CompressionType, DecompressError, DecompressionCap, Decompressor};
use super::header::{HeaderError, LOG_OVERHEAD, Prefix, TimestampType};
use crate::types::{Offset, TimestampMs};

const MAGIC: usize = Prefix::LEN - 1;
const ATTRIBUTES: usize = MAGIC + 1;
const CRC: usize = LOG_OVERHEAD;

const COMPRESSION_BITS: u8 = 0x07;
const LOG_APPEND_TIME_BIT: u8 = 0x08;

/// Why an old message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    /// It is not a whole message of the old formats.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Key or value run past the end of the message.
    #[error("key or value run past the end of the message")]
    Length,
    /// A compressed message has no value.
    #[error("a compressed message without value")]
    NoValue,
    /// A compressed message holds another compressed one, or none.
    #[error("a compressed message holds a compressed message or none")]
    Nested,
    /// A compressed message does not unfold.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// One message of format v0 or v1: a record, or a compressed set of them.
#[derive(Debug, Clone, Copy)]
pub struct LegacyView<'a> {
    bytes: &'a [u8],
    prefix: Prefix,
    timestamp: Option<TimestampMs>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> LegacyView<'a> {
    /// The message at the start of `bytes`.
    pub fn read(bytes: &'a [u8]) -> Result<Self, LegacyError> {
        let prefix = Prefix::read(bytes)?;
        if prefix.magic > 1 {
            return Err(HeaderError::Magic { magic: prefix.magic, expected: "0 or 1" }.into());
        }
        let (have, need) = (bytes.len(), prefix.size_in_bytes);
        let bytes = bytes.get(..need).ok_or(HeaderError::Incomplete { have, need })?;
        let mut rest = bytes.get(ATTRIBUTES + 1..).ok_or(LegacyError::Length)?;
        let timestamp = match prefix.magic {
            0 => None,
            _ => Some(TimestampMs::new(i64::from_be_bytes(take(&mut rest)?))),
        };
        let key = nullable(&mut rest)?;
        let value = nullable(&mut rest)?;
        Ok(Self { bytes, prefix, timestamp, key, value })
    }

    /// The offset of the record; of a compressed set, that of its last record.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.prefix.base_offset
    }

    /// 0 or 1.
    #[must_use]
    pub fn magic(&self) -> i8 {
        self.prefix.magic
    }

    /// Bytes of the message.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The checksum the message carries: CRC-32, not Castagnoli.
    #[must_use]
    pub fn crc(&self) -> u32 {
        let mut field = [0; 4];
        field.copy_from_slice(&self.bytes[CRC..MAGIC]);
        u32::from_be_bytes(field)
    }

    /// Whether the checksum is that of the bytes.
    #[must_use]
    pub fn crc_is_valid(&self) -> bool {
        let mut crc = flate2::Crc::new();
        crc.update(&self.bytes[MAGIC..]);
        self.crc() == crc.sum()
    }

    /// The codec of the value; the number where there is no such codec.
    pub fn compression(&self) -> Result<CompressionType, u8> {
        CompressionType::from_id(self.bytes[ATTRIBUTES] & COMPRESSION_BITS)
    }

    /// Whose clock the timestamp shows; `None` in format v0, which has no timestamps.
    #[must_use]
    pub fn timestamp_type(&self) -> Option<TimestampType> {
        self.timestamp.map(|_| match self.bytes[ATTRIBUTES] & LOG_APPEND_TIME_BIT {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        })
    }

    /// The timestamp, or [`TimestampMs::NONE`] in format v0.
    #[must_use]
    pub fn timestamp(&self) -> TimestampMs {
        self.timestamp.unwrap_or(TimestampMs::NONE)
    }

    /// The key, if any.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value, if any; of a compressed set, the set.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The records: the message itself, or those of the set in it with the offsets they have in the log.
    pub fn records(&self, cap: DecompressionCap) -> Result<LegacyRecords<'a>, LegacyError> {
        let codec = self.compression().map_err(|id| DecompressError::UnknownCodec { id })?;
        if codec == CompressionType::None {
            return Ok(LegacyRecords { set: LegacySet::Single(*self), wrapper: *self });
        }
        let body = self.value.ok_or(LegacyError::NoValue)?;
        let mut unfolded = Vec::new();
        let decompressor = match (codec, self.magic()) {
            (CompressionType::Lz4, 0) => Some(Decompressor::lz4_of_format_0(body, cap)?),
            _ => Decompressor::new(codec, body, cap)?,
        };
        if let Some(decompressor) = decompressor {
            unfold(decompressor, &mut unfolded)?;
        }
        let shift = self.inner_offset_shift(&unfolded)?;
        Ok(LegacyRecords { set: LegacySet::Unfolded { bytes: unfolded, at: 0, shift }, wrapper: *self })
    }

    /// What is added to the offsets inside: in v1 they are relative and the wrapper has the last absolute one.
    fn inner_offset_shift(&self, unfolded: &[u8]) -> Result<i64, LegacyError> {
        let mut last = None;
        let mut rest = unfolded;
        while !rest.is_empty() {
            let inner = LegacyView::read(rest)?;
            if inner.compression() != Ok(CompressionType::None) {
                return Err(LegacyError::Nested);
            }
            last = Some(inner.offset());
            rest = &rest[inner.size_in_bytes()..];
        }
        let last = last.ok_or(LegacyError::Nested)?;
        Ok(if self.magic() == 0 { 0 } else { self.offset().get().wrapping_sub(last.get()) })
    }
}

fn unfold(mut decompressor: Decompressor<'_>, out: &mut Vec<u8>) -> Result<(), DecompressError> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        match decompressor.read(&mut piece)? {
            0 => return Ok(()),
            n => out.extend_from_slice(&piece[..n]),
        }
    }
}

/// A record of an old message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegacyRecord<'r> {
    /// Offset in the partition.
    pub offset: Offset,
    /// The time, or [`TimestampMs::NONE`].
    pub timestamp: TimestampMs,
    /// The key, if any.
    pub key: Option<&'r [u8]>,
    /// The value, if any.
    pub value: Option<&'r [u8]>,
    /// The checksum of the record.
    pub crc: u32,
    /// Whether the checksum is that of the record's bytes.
    pub crc_is_valid: bool,
    /// Bytes of the record with its offset and size.
    pub size_in_bytes: usize,
}

/// The records of an old message, one after another.
pub struct LegacyRecords<'a> {
    set: LegacySet<'a>,
    wrapper: LegacyView<'a>,
}

enum LegacySet<'a> {
    Single(LegacyView<'a>),
    Unfolded { bytes: Vec<u8>, at: usize, shift: i64 },
    Done,
}

impl LegacyRecords<'_> {
    /// The next record, or `None` after the last. The view lasts until the next call.
    pub fn next_record(&mut self) -> Option<Result<LegacyRecord<'_>, LegacyError>> {
        if let LegacySet::Single(view) = self.set {
            self.set = LegacySet::Done;
            return Some(Ok(record_of(&view, &view, 0)));
        }
        let LegacySet::Unfolded { bytes, at, shift } = &mut self.set else { return None };
        let rest = bytes.get(*at..).filter(|rest| !rest.is_empty())?;
        Some(LegacyView::read(rest).map(|inner| {
            *at += inner.size_in_bytes();
            record_of(&inner, &self.wrapper, *shift)
        }))
    }
}

/// The inner record's own fields, but the wrapper's time where the broker gave it.
fn record_of<'r>(inner: &LegacyView<'r>, wrapper: &LegacyView<'_>, shift: i64) -> LegacyRecord<'r> {
    let timestamp = match wrapper.timestamp_type() {
        Some(TimestampType::LogAppendTime) => wrapper.timestamp(),
        _ => inner.timestamp(),
    };
    LegacyRecord {
        offset: inner.offset().plus(shift),
        timestamp,
        key: inner.key(),
        value: inner.value(),
        crc: inner.crc(),
        crc_is_valid: inner.crc_is_valid(),
        size_in_bytes: inner.size_in_bytes(),
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], LegacyError> {
    let mut field = [0; N];
    rest.read_exact(&mut field).map_err(|_| LegacyError::Length)?;
    Ok(field)
}

fn nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, LegacyError> {
    let Ok(length) = usize::try_from(i32::from_be_bytes(take(rest)?)) else { return Ok(None) };
    let (bytes, after) = rest.split_at_checked(length).ok_or(LegacyError::Length)?;
    *rest = after;
    Ok(Some(bytes))
}
