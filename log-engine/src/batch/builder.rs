//! Records -> batch: for what the broker itself writes, for recompression, tools and tests.

use std::io;

use super::compress::{Compression, Compressor};
use super::header::{Attributes, HEADER_LEN, HeaderFields, LOG_OVERHEAD, TimestampType, write_header};
use super::record::{self, RecordFields, RecordHeader, RecordHeaders};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// A record to be built.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord<'r> {
    /// The record's time, or [`TimestampMs::NONE`].
    pub timestamp: TimestampMs,
    /// The key, if any.
    pub key: Option<&'r [u8]>,
    /// The value, if any.
    pub value: Option<&'r [u8]>,
    /// The headers.
    pub headers: &'r [RecordHeader<'r>],
}

/// Why no batch can be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A batch has at least one record.
    #[error("a batch without records")]
    Empty,
    /// An offset does not come after the one before, or lies more than 2^31 after the first.
    #[error("offset {offset} does not fit behind offset {last} in a batch that starts at {base}")]
    Offset {
        /// The offset refused.
        offset: Offset,
        /// The last offset taken.
        last: Offset,
        /// The first offset of the batch.
        base: Offset,
    },
    /// The batch or a record is longer than its length field can say.
    #[error("the batch is longer than 2^31 bytes")]
    TooLong,
    /// The codec failed.
    #[error("the records cannot be compressed")]
    Compress(#[from] io::Error),
}

/// Gathers records and folds them into one v2 batch.
///
/// ```
/// use log_engine::batch::{BatchBuilder, BatchView, Compression, DecompressionCap, NewRecord};
/// use log_engine::types::{Offset, TimestampMs};
///
/// let mut builder = BatchBuilder::new(Compression::Snappy).base_offset(Offset::new(7));
/// builder.append(&NewRecord { timestamp: TimestampMs::new(1), value: Some(b"hello"), ..NewRecord::default() })?;
/// let bytes = builder.finish()?;
///
/// let batch = BatchView::read(&bytes)?;
/// assert!(batch.crc_is_valid());
/// let mut records = batch.records(DecompressionCap::default())?;
/// let record = records.next_record().expect("one record")?;
/// assert_eq!((record.offset, record.value), (Offset::new(7), Some(&b"hello"[..])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BatchBuilder {
    compression: Compression,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    log_append_time: Option<TimestampMs>,
    producer: (ProducerId, ProducerEpoch, Sequence),
    attributes: Attributes,
    body: Option<Compressor>,
    first_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
    last_offset: Offset,
    record_count: i32,
    record: Vec<u8>,
    headers: Vec<u8>,
}

impl BatchBuilder {
    /// A batch at offset 0, without leader epoch, producer and transaction.
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
            log_append_time: None,
            producer: (ProducerId::NONE, ProducerEpoch::NONE, Sequence::NONE),
            attributes: Attributes::empty(),
            body: None,
            first_timestamp: TimestampMs::NONE,
            max_timestamp: TimestampMs::NONE,
            last_offset: Offset::ZERO,
            record_count: 0,
            record: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// The offset of the first record.
    #[must_use]
    pub fn base_offset(mut self, base: Offset) -> Self {
        self.base_offset = base;
        self
    }

    /// The epoch of the leader that writes the batch.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: LeaderEpoch) -> Self {
        self.leader_epoch = epoch;
        self
    }

    /// Gives the batch the broker's time instead of the records'.
    #[must_use]
    pub fn log_append_time(mut self, now: TimestampMs) -> Self {
        self.log_append_time = Some(now);
        self
    }

    /// The producer, its epoch and the sequence of the first record.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: Sequence) -> Self {
        self.producer = (id, epoch, base_sequence);
        self
    }

    /// Marks the batch as part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes |= Attributes::TRANSACTIONAL;
        self
    }

    /// Marks the records as control records.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes |= Attributes::CONTROL;
        self
    }

    /// How many records the batch holds.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Bytes of the batch so far; what a codec still holds back is not counted.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        self.body.as_ref().map_or(HEADER_LEN, Compressor::written)
    }

    /// Adds a record at the next offset.
    pub fn append(&mut self, record: &NewRecord<'_>) -> Result<(), BuildError> {
        let offset = if self.record_count == 0 { self.base_offset } else { self.last_offset.next() };
        self.append_at(offset, record)
    }

    /// Adds a record at `offset`, behind a gap or not.
    pub fn append_at(&mut self, offset: Offset, new: &NewRecord<'_>) -> Result<(), BuildError> {
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        for header in new.headers {
            record::encode_header(&mut headers, header.key, header.value);
        }
        let added = self.add(offset, new.timestamp, new.key, new.value, (new.headers.len(), &headers));
        self.headers = headers;
        added
    }

    /// Adds a record read from another batch, at the next offset.
    pub(super) fn append_copy(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: RecordHeaders<'_>,
    ) -> Result<(), BuildError> {
        let offset = if self.record_count == 0 { self.base_offset } else { self.last_offset.next() };
        let mut encoded = std::mem::take(&mut self.headers);
        encoded.clear();
        let count = headers.len();
        for header in headers {
            record::encode_header(&mut encoded, header.key, header.value);
        }
        let added = self.add(offset, timestamp, key, value, (count, &encoded));
        self.headers = encoded;
        added
    }

    fn add(
        &mut self,
        offset: Offset,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        (header_count, headers): (usize, &[u8]),
    ) -> Result<(), BuildError> {
        let offset_delta = self.offset_delta(offset)?;
        if self.record_count == 0 {
            self.first_timestamp = timestamp;
        }
        let timestamp_delta = timestamp.get().wrapping_sub(self.first_timestamp.get());
        self.record.clear();
        let fields = RecordFields { timestamp_delta, offset_delta, key, value, header_count, headers };
        if !record::encode(&mut self.record, &fields) {
            return Err(BuildError::TooLong);
        }
        let body = match &mut self.body {
            Some(body) => body,
            none => none.insert(Compressor::new(self.compression, vec![0; HEADER_LEN])?),
        };
        body.write(&self.record)?;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset = offset;
        self.record_count += 1;
        Ok(())
    }

    fn offset_delta(&self, offset: Offset) -> Result<i32, BuildError> {
        let in_order = self.record_count == 0 || offset > self.last_offset;
        offset
            .relative_to(self.base_offset)
            .filter(|_| in_order)
            .and_then(|delta| i32::try_from(delta.get()).ok())
            .ok_or(BuildError::Offset { offset, last: self.last_offset, base: self.base_offset })
    }

    /// The finished batch.
    pub fn finish(mut self) -> Result<Vec<u8>, BuildError> {
        let mut batch = self.body.take().ok_or(BuildError::Empty)?.finish()?;
        let length = i32::try_from(batch.len() - LOG_OVERHEAD).map_err(|_| BuildError::TooLong)?;
        let mut attributes =
            self.attributes | Attributes::from_bits_retain(i16::from(self.compression.codec().id()));
        attributes.set(Attributes::LOG_APPEND_TIME, self.timestamp_type() == TimestampType::LogAppendTime);
        let (producer_id, producer_epoch, base_sequence) = self.producer;
        let fields = HeaderFields {
            base_offset: self.base_offset,
            leader_epoch: self.leader_epoch,
            attributes,
            last_offset_delta: (self.last_offset.get() - self.base_offset.get()) as i32,
            base_timestamp: self.first_timestamp,
            max_timestamp: self.log_append_time.unwrap_or(self.max_timestamp),
            producer_id,
            producer_epoch,
            base_sequence,
            record_count: self.record_count,
        };
        write_header(&mut batch, length, &fields);
        Ok(batch)
    }

    fn timestamp_type(&self) -> TimestampType {
        match self.log_append_time {
            Some(_) => TimestampType::LogAppendTime,
            None => TimestampType::CreateTime,
        }
    }
}
