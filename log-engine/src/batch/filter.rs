//! Leaving records out of a batch: what compaction does to it. Kafka's `MemoryRecords.filterTo`, for one batch.
//!
//! Records that stay are copied as they lie. Only their time deltas may change, because these count from the first
//! record that stays, or from the delete horizon where the batch gets one. Offsets stay, and so do the header's base
//! offset, last offset and sequence: a producer's last batch must be known by them after its records are gone.

use super::compress::{Compression, CompressionType, DecompressError, DecompressionCap, whole};
use super::header::{
    Attributes, BatchHeader, BatchView, HEADER_LEN, HeaderFields, LOG_OVERHEAD, TimestampType, write_header,
};
use super::record::{RecordError, RecordRule, nullable, timestamp};
use super::varint;
use crate::types::{Offset, TimestampMs};

/// What decides about a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'r> {
    pub(crate) offset: Offset,
    pub(crate) key: Option<&'r [u8]>,
    pub(crate) has_value: bool,
}

/// Room that is kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct FilterBuffers {
    unfolded: Vec<u8>,
    kept: Vec<Kept>,
    folding: Vec<u8>,
}

/// A record that stays: where it lies in the unfolded body, and what is written anew of it.
#[derive(Debug, Clone, Copy)]
struct Kept {
    start: usize,
    // Behind the time delta, where what is never written anew begins.
    tail: usize,
    end: usize,
    timestamp: TimestampMs,
    delta: i64,
    plain: bool,
}

/// What is left of a batch.
pub(crate) struct Filtered<'b> {
    batch: BatchView<'b>,
    body: &'b [u8],
    kept: &'b [Kept],
    folding: &'b mut Vec<u8>,
    /// Records the batch had.
    pub(crate) read: u32,
    /// Whether a record that stays has no value.
    pub(crate) has_tombstone: bool,
}

/// Visits the records of a batch.
pub(crate) fn visit_records(
    batch: &BatchView<'_>,
    cap: DecompressionCap,
    buffers: &mut FilterBuffers,
    mut visit: impl FnMut(&Candidate<'_>),
) -> Result<(), RecordError> {
    let body = unfold(batch, cap, &mut buffers.unfolded)?;
    walk(batch, body, |candidate, _| visit(&candidate)).map(drop)
}

/// Asks of each record whether it stays. `prepare` sees all of them before `stays` sees the first: what it fetches from
/// memory is fetched side by side.
pub(crate) fn filter<'b, T>(
    batch: &BatchView<'b>,
    cap: DecompressionCap,
    buffers: &'b mut FilterBuffers,
    prepare: impl FnMut(&Candidate<'_>) -> T,
    stays: impl FnMut(&Candidate<'_>, T) -> bool,
) -> Result<Filtered<'b>, RecordError> {
    let FilterBuffers { unfolded, kept, folding } = buffers;
    let body = unfold(batch, cap, unfolded)?;
    let (read, records) = prepared(batch, body, prepare)?;
    let has_tombstone = keep(records.into_iter(), kept, stays);
    Ok(Filtered { batch: *batch, body, kept, folding, read, has_tombstone })
}

/// The same where nothing has to be fetched.
pub(crate) fn filter_at_once<'b>(
    batch: &BatchView<'b>,
    cap: DecompressionCap,
    buffers: &'b mut FilterBuffers,
    mut stays: impl FnMut(&Candidate<'_>) -> bool,
) -> Result<Filtered<'b>, RecordError> {
    let FilterBuffers { unfolded, kept, folding } = buffers;
    let body = unfold(batch, cap, unfolded)?;
    kept.clear();
    let mut has_tombstone = false;
    let read = walk(batch, body, |candidate, record| {
        if stays(&candidate) {
            has_tombstone |= !candidate.has_value;
            kept.push(record);
        }
    })?;
    Ok(Filtered { batch: *batch, body, kept, folding, read, has_tombstone })
}

/// Decides about the records of a batch, from the last to the first.
pub(crate) trait FromLast {
    /// What is known of a record before those behind it are decided about.
    type Prepared;

    /// Sees all records before [`FromLast::stays`] sees the last: what it fetches from memory is fetched side by side.
    fn prepare(&self, record: &Candidate<'_>) -> Self::Prepared;

    /// Whether the record stays.
    fn stays(&mut self, record: &Candidate<'_>, prepared: Self::Prepared) -> bool;
}

/// As [`filter`], from the last record to the first.
pub(crate) fn filter_from_last<'b, F: FromLast>(
    batch: &BatchView<'b>,
    cap: DecompressionCap,
    buffers: &'b mut FilterBuffers,
    decides: &mut F,
) -> Result<Filtered<'b>, RecordError> {
    let FilterBuffers { unfolded, kept, folding } = buffers;
    let body = unfold(batch, cap, unfolded)?;
    let (read, records) = prepared(batch, body, |record| decides.prepare(record))?;
    let has_tombstone =
        keep(records.into_iter().rev(), kept, |record, prepared| decides.stays(record, prepared));
    kept.reverse();
    Ok(Filtered { batch: *batch, body, kept, folding, read, has_tombstone })
}

/// A record, where it lies, and what was fetched for it.
type PreparedRecord<'r, T> = (Candidate<'r>, Kept, T);

// All records of a batch, and how many they are.
fn prepared<'r, T>(
    batch: &BatchView<'_>,
    body: &'r [u8],
    mut prepare: impl FnMut(&Candidate<'_>) -> T,
) -> Result<(u32, Vec<PreparedRecord<'r, T>>), RecordError> {
    let mut records = Vec::new();
    let read = walk(batch, body, |candidate, record| {
        let fetched = prepare(&candidate);
        records.push((candidate, record, fetched));
    })?;
    Ok((read, records))
}

// Fills `kept` with those that stay, and answers whether one of them is a tombstone.
fn keep<'r, T>(
    records: impl Iterator<Item = PreparedRecord<'r, T>>,
    kept: &mut Vec<Kept>,
    mut stays: impl FnMut(&Candidate<'_>, T) -> bool,
) -> bool {
    kept.clear();
    let mut has_tombstone = false;
    for (candidate, record, fetched) in records {
        if stays(&candidate, fetched) {
            has_tombstone |= !candidate.has_value;
            kept.push(record);
        }
    }
    has_tombstone
}

impl Filtered<'_> {
    /// How many records stay.
    pub(crate) fn kept(&self) -> u32 {
        self.kept.len() as u32
    }

    /// Whether none goes.
    pub(crate) fn is_whole(&self) -> bool {
        self.kept() == self.read
    }

    /// Appends a batch of the records that stay, of which there is one at least. `horizon` becomes its delete horizon.
    pub(crate) fn write(self, horizon: Option<TimestampMs>, out: &mut Vec<u8>) -> Result<(), RefoldError> {
        let first = self.kept.first().map_or(TimestampMs::NONE, |record| record.timestamp);
        let base = horizon.unwrap_or(first);
        let codec = self.batch.compression().map_err(|_| RefoldError::TooLong)?;
        let start = out.len();
        out.resize(start + HEADER_LEN, 0);
        if codec == CompressionType::None {
            self.copy_records(base, out);
        } else {
            let mut plain = std::mem::take(self.folding);
            plain.clear();
            self.copy_records(base, &mut plain);
            whole::fold(Compression::of(codec), &plain, out)?;
            *self.folding = plain;
        }
        let length = i32::try_from(out.len() - start - LOG_OVERHEAD).map_err(|_| RefoldError::TooLong)?;
        let fields = self.header(codec, base, horizon.is_some());
        write_header(&mut out[start..], length, &fields);
        Ok(())
    }

    // Neighbours that stay as they are go in one copy.
    fn copy_records(&self, base: TimestampMs, out: &mut Vec<u8>) {
        let mut run = 0..0;
        for record in self.kept {
            let delta = record.timestamp.get().wrapping_sub(base.get());
            if delta == record.delta && record.plain {
                if run.end == record.start {
                    run.end = record.end;
                } else {
                    out.extend_from_slice(&self.body[run]);
                    run = record.start..record.end;
                }
                continue;
            }
            out.extend_from_slice(&self.body[run]);
            run = 0..0;
            let tail = &self.body[record.tail..record.end];
            let length = 1 + varint::len_i64(delta) + tail.len();
            // Not longer than the record was by more than a time delta, and that lay within a batch.
            varint::write_i32(out, length as i32);
            out.push(0);
            varint::write_i64(out, delta);
            out.extend_from_slice(tail);
        }
        out.extend_from_slice(&self.body[run]);
    }

    fn header(&self, codec: CompressionType, base: TimestampMs, has_horizon: bool) -> HeaderFields {
        let batch = &self.batch;
        let max_timestamp = match batch.timestamp_type() {
            TimestampType::LogAppendTime => batch.max_timestamp(),
            TimestampType::CreateTime => {
                self.kept.iter().map(|record| record.timestamp).max().unwrap_or(TimestampMs::NONE)
            }
        };
        let mut attributes = batch.attributes() & Attributes::KNOWN;
        attributes.remove(Attributes::COMPRESSION);
        attributes |= Attributes::from_bits_retain(i16::from(codec.id()));
        attributes.set(Attributes::DELETE_HORIZON, has_horizon);
        HeaderFields {
            attributes,
            base_timestamp: base,
            max_timestamp: max_timestamp.max(TimestampMs::NONE),
            record_count: self.kept() as i32,
            ..fields_of(batch)
        }
    }
}

/// Appends the header of a batch whose records are all gone: it still tells offsets, epoch and the producer's sequence.
pub(crate) fn write_emptied(batch: &BatchHeader<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + HEADER_LEN, 0);
    let mut attributes = batch.attributes() & Attributes::KNOWN;
    attributes.remove(Attributes::COMPRESSION | Attributes::DELETE_HORIZON);
    let fields = HeaderFields {
        attributes,
        base_timestamp: TimestampMs::NONE,
        max_timestamp: batch.max_timestamp(),
        record_count: 0,
        ..fields_of(batch)
    };
    write_header(&mut out[start..], (HEADER_LEN - LOG_OVERHEAD) as i32, &fields);
}

fn fields_of(batch: &BatchHeader<'_>) -> HeaderFields {
    HeaderFields {
        base_offset: batch.base_offset(),
        leader_epoch: batch.leader_epoch(),
        attributes: batch.attributes(),
        last_offset_delta: batch.last_offset_delta(),
        base_timestamp: batch.base_timestamp(),
        max_timestamp: batch.max_timestamp(),
        producer_id: batch.producer_id(),
        producer_epoch: batch.producer_epoch(),
        base_sequence: batch.base_sequence(),
        record_count: batch.record_count(),
    }
}

fn unfold<'b>(
    batch: &BatchView<'b>,
    cap: DecompressionCap,
    unfolded: &'b mut Vec<u8>,
) -> Result<&'b [u8], DecompressError> {
    let codec = batch.compression().map_err(|id| DecompressError::UnknownCodec { id })?;
    Ok(match whole::unfold(codec, batch.body(), cap, unfolded)? {
        Some(len) => &unfolded[..len],
        None => batch.body(),
    })
}

// Answers how many records there were.
fn walk<'r>(
    batch: &BatchView<'_>,
    body: &'r [u8],
    mut each: impl FnMut(Candidate<'r>, Kept),
) -> Result<u32, RecordError> {
    let count = batch.record_count();
    let count = u32::try_from(count).map_err(|_| RecordError::Count { count })?;
    let mut rest = body;
    for index in 0..count {
        let at = body.len() - rest.len();
        let (candidate, kept) = read_record(batch, &mut rest, at)
            .map_err(|rule| RecordError::Malformed { index: index as i32, rule })?;
        each(candidate, kept);
    }
    if rest.is_empty() || count == 0 { Ok(count) } else { Err(RecordError::BytesLeft) }
}

#[inline]
fn read_record<'r>(
    batch: &BatchView<'_>,
    rest: &mut &'r [u8],
    start: usize,
) -> Result<(Candidate<'r>, Kept), RecordRule> {
    let before = rest.len();
    let length = usize::try_from(varint::read_i32(rest)?).map_err(|_| RecordRule::Length)?;
    let (mut fields, after) = rest.split_at_checked(length).ok_or(RecordRule::PastEnd)?;
    *rest = after;
    let end = start + before - after.len();
    let (attributes, behind) = fields.split_first().ok_or(RecordRule::Length)?;
    fields = behind;
    let delta = varint::read_i64(&mut fields)?;
    let tail = end - fields.len();
    let offset_delta = varint::read_i32(&mut fields)?;
    let key = nullable(&mut fields)?;
    let has_value = nullable(&mut fields)?.is_some();
    let offset = batch.base_offset().plus(i64::from(offset_delta));
    let kept = Kept { start, tail, end, timestamp: timestamp(batch, delta), delta, plain: *attributes == 0 };
    Ok((Candidate { offset, key, has_value }, kept))
}

/// Why a batch cannot be written again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefoldError {
    /// The batch is longer than its length field can say.
    #[error("the batch would be longer than 2^31 bytes")]
    TooLong,
    /// The codec failed.
    #[error(transparent)]
    Codec(#[from] std::io::Error),
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::batch::{BatchBuilder, NewRecord};
    use crate::types::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};

    fn ten(codec: CompressionType) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::of(codec))
            .base_offset(Offset::new(100))
            .leader_epoch(LeaderEpoch::new(3))
            .producer(ProducerId::new(7), ProducerEpoch::new(1), Sequence::new(40));
        for i in 0..10 {
            let (key, value) = (format!("key-{i}"), format!("value-{i}"));
            let value = (i != 4).then_some(value.as_bytes());
            let timestamp = TimestampMs::new(1_000 + i);
            builder.append(&NewRecord { timestamp, key: Some(key.as_bytes()), value, headers: &[] }).unwrap();
        }
        builder.finish().unwrap()
    }

    type Seen = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

    fn records(bytes: &[u8]) -> Vec<Seen> {
        let batch = BatchView::read(bytes).unwrap();
        assert!(batch.crc_is_valid());
        let mut records = batch.records(DecompressionCap::default()).unwrap();
        let mut seen = Vec::new();
        while let Some(record) = records.next_record() {
            let record = record.unwrap();
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            seen.push((record.offset.get(), record.timestamp.get(), owned(record.key), owned(record.value)));
        }
        seen
    }

    #[test]
    fn the_records_that_stay_are_the_same_and_so_is_what_the_header_tells_of_the_batch() {
        for codec in CompressionType::ALL {
            let bytes = ten(codec);
            let batch = BatchView::read(&bytes).unwrap();
            for horizon in [None, Some(TimestampMs::new(5_000)), Some(TimestampMs::new(10))] {
                let mut buffers = FilterBuffers::default();
                let stays = |c: &Candidate<'_>, ()| c.offset.get() >= 103 && c.offset.get() != 106;
                let cap = DecompressionCap::default();
                let filtered = filter(&batch, cap, &mut buffers, |_| (), stays).unwrap();
                assert_eq!((filtered.read, filtered.kept(), filtered.has_tombstone), (10, 6, true));
                let mut out = vec![9, 9];
                filtered.write(horizon, &mut out).unwrap();
                let cleaned = BatchView::read(&out[2..]).unwrap();
                assert_eq!(cleaned.base_offset(), batch.base_offset());
                assert_eq!(cleaned.last_offset(), batch.last_offset());
                assert_eq!(cleaned.base_sequence(), batch.base_sequence());
                assert_eq!(cleaned.leader_epoch(), batch.leader_epoch());
                assert_eq!(cleaned.compression(), Ok(codec));
                assert_eq!(cleaned.delete_horizon(), horizon);
                assert_eq!(cleaned.max_timestamp().get(), 1_009);
                assert_eq!(cleaned.base_timestamp(), horizon.unwrap_or(TimestampMs::new(1_003)));
                let expected: Vec<_> =
                    records(&bytes).into_iter().filter(|record| record.0 >= 103 && record.0 != 106).collect();
                assert_eq!(records(&out[2..]), expected, "{codec} {horizon:?}");
            }
        }
    }

    #[test]
    fn an_emptied_batch_still_tells_offsets_epoch_and_sequence() {
        let bytes = ten(CompressionType::Zstd);
        let batch = BatchView::read(&bytes).unwrap();
        let mut out = Vec::new();
        write_emptied(&batch, &mut out);
        let emptied = BatchView::read(&out).unwrap();
        assert!(emptied.crc_is_valid());
        assert_eq!((emptied.size_in_bytes(), emptied.record_count()), (HEADER_LEN, 0));
        assert_eq!(
            (emptied.base_offset(), emptied.last_offset()),
            (batch.base_offset(), batch.last_offset())
        );
        assert_eq!(emptied.last_sequence(), batch.last_sequence());
        assert_eq!(emptied.max_timestamp(), batch.max_timestamp());
        assert_eq!(emptied.base_timestamp(), TimestampMs::NONE);
    }

    #[test]
    fn damaged_records_are_refused_and_a_batch_over_the_cap_too() {
        let bytes = ten(CompressionType::None);
        for at in HEADER_LEN..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let batch = BatchView::read(&damaged).unwrap();
                let _ =
                    visit_records(&batch, DecompressionCap::default(), &mut FilterBuffers::default(), |_| {});
            }
        }
        let bytes = ten(CompressionType::Zstd);
        let batch = BatchView::read(&bytes).unwrap();
        let refused = visit_records(&batch, DecompressionCap::new(20), &mut FilterBuffers::default(), |_| {});
        assert!(matches!(refused, Err(RecordError::Decompress(DecompressError::OverCap { .. }))));
    }
}
