//! Where a batch lies in a `.log` file and what its bytes sum up to, without showing it.

use std::io;

use log_engine::batch::{
    BatchHeader, BatchView, Crc32c, HEADER_LEN, HeaderError, LOG_OVERHEAD, Prefix, legacy::LegacyView,
};

use super::{
    damage::Rule,
    records,
    segment::{READ_AHEAD, Segment},
};

/// The smallest length that any batch can claim: that of an empty message of format 0.
const LENGTH_MIN: i32 = 14;

/// Batches up to this size are held in memory as they come; of larger ones the checksum is asked first, in pieces.
const HELD_UNASKED: usize = 4 * 1024 * 1024;

/// A batch as far as its first 17 bytes tell.
pub(super) struct Extent {
    pub(super) size: u64,
    pub(super) magic: i8,
}

/// The first 17 bytes of what should be a batch.
pub(super) fn extent(segment: &mut Segment, position: u64) -> io::Result<Result<Extent, Rule>> {
    let bytes = segment.bytes(position, Prefix::LEN)?;
    let Some(prefix) = bytes.first_chunk::<{ Prefix::LEN }>() else {
        return Ok(Err(Rule::BatchCutShort(bytes.len() as u64)));
    };
    let [.., a, b, c, d, _, _, _, _, magic] = *prefix;
    let length = i32::from_be_bytes([a, b, c, d]);
    if length < LENGTH_MIN {
        return Ok(Err(Rule::BatchTooSmall(length)));
    }
    Ok(Ok(Extent { size: LOG_OVERHEAD as u64 + u64::from(length.unsigned_abs()), magic: magic as i8 }))
}

/// What an index is compared with: where a batch ends, in offsets and in bytes.
pub(super) struct BatchEnds {
    pub(super) last_offset: i64,
    pub(super) next: u64,
}

/// The ends of the batch at `position`, if there is one whole within `limit` bytes.
pub(super) fn batch_ends(segment: &mut Segment, position: u64, limit: i32) -> io::Result<Option<BatchEnds>> {
    let end = segment.end().min(position.saturating_add(u64::try_from(limit).unwrap_or(0)));
    if position + Prefix::LEN as u64 >= end {
        return Ok(None);
    }
    let Ok(extent) = extent(segment, position)? else { return Ok(None) };
    let next = position + extent.size;
    if next > end {
        return Ok(None);
    }
    let bytes = segment.bytes(position, HEADER_LEN)?;
    let last_offset = if (0..2).contains(&extent.magic) {
        bytes.first_chunk().map(|offset| i64::from_be_bytes(*offset))
    } else {
        BatchHeader::read(bytes).ok().map(|header| header.last_offset().get())
    };
    Ok(last_offset.map(|last_offset| BatchEnds { last_offset, next }))
}

/// The largest timestamp of the records of the batch at `position`.
pub(super) fn max_timestamp_at(segment: &mut Segment, position: u64) -> io::Result<Result<i64, Rule>> {
    let extent = match extent(segment, position)? {
        Ok(extent) => extent,
        Err(rule) => return Ok(Err(rule)),
    };
    let bytes = segment.bytes(position, usize::try_from(extent.size).unwrap_or(usize::MAX))?;
    Ok(if (0..2).contains(&extent.magic) {
        LegacyView::read(bytes)
            .map_err(Rule::Legacy)
            .and_then(|message| records::legacy_max_timestamp(&message))
    } else {
        BatchView::read(bytes)
            .map_err(|error| header_rule(&error, &extent))
            .and_then(|batch| records::max_timestamp(&batch))
    })
}

/// Kafka reads every format above 1 as format 2. The checksum does not cover the format, so a copy that says 2 reads and
/// checks the same.
pub(super) fn as_format_2(bytes: &[u8], extent: &Extent) -> Option<Vec<u8>> {
    if extent.magic <= 2 {
        return None;
    }
    let size = usize::try_from(extent.size).unwrap_or(usize::MAX).min(bytes.len());
    let mut copy = bytes[..size].to_vec();
    *copy.get_mut(Prefix::LEN - 1)? = 2;
    Some(copy)
}

/// What is wrong where the extent of a batch is known, but no header can be read.
pub(super) fn header_rule(error: &HeaderError, extent: &Extent) -> Rule {
    match error {
        HeaderError::Magic { magic, .. } => Rule::UnknownMagic(*magic),
        HeaderError::Length { .. } | HeaderError::Incomplete { .. } => {
            Rule::HeaderCutShort(extent.size, extent.magic)
        }
    }
}

/// The checksum that a batch carries and that of its bytes.
#[derive(Clone, Copy)]
pub(super) struct Checksum {
    pub(super) size: u64,
    pub(super) stored: u32,
    pub(super) computed: u32,
}

impl Checksum {
    /// Reads the batch in pieces, so that its size costs no memory.
    pub(super) fn of(segment: &mut Segment, position: u64) -> io::Result<Self> {
        const COVERED_FROM: u64 = 21;
        let bytes = segment.bytes(position, HEADER_LEN)?;
        let Ok(header) = BatchHeader::read(bytes) else {
            return Ok(Self { size: 0, stored: 0, computed: u32::MAX });
        };
        let (size, stored) = (header.size_in_bytes() as u64, header.crc());
        let mut checksum = Crc32c::new();
        let mut at = COVERED_FROM;
        while at < size {
            let wanted = usize::try_from(size - at).unwrap_or(usize::MAX).min(READ_AHEAD);
            let bytes = segment.bytes(position + at, wanted)?;
            let piece = &bytes[..bytes.len().min(wanted)];
            if piece.is_empty() {
                break;
            }
            checksum.update(piece);
            at += piece.len() as u64;
        }
        Ok(Self { size, stored, computed: checksum.value() })
    }

    /// Whether they are the same.
    pub(super) fn is_valid(self) -> bool {
        self.stored == self.computed
    }
}

/// The checksum of a batch too large to be held just because it says so; none for others.
pub(super) fn large_batch_checksum(
    segment: &mut Segment,
    position: u64,
    size: u64,
) -> io::Result<Option<Checksum>> {
    if size <= HELD_UNASKED as u64 { Ok(None) } else { Checksum::of(segment, position).map(Some) }
}
