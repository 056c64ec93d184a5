//! Which offset belongs to a time: the answers to ListOffsets. The rules are those of Kafka's
//! `UnifiedLog.fetchOffsetByTimestamp` and `FileRecords.searchForTimestamp`.

use std::sync::Arc;

use crate::batch::{BatchView, DecompressionCap};
use crate::error::{Corruption, ReadError, Rule};
use crate::segment::Segment;
use crate::segment::data::FileSlice;
use crate::segment::scan::{BatchAt, ReadMode};
use crate::types::{LeaderEpoch, Offset, TimestampMs};

use super::{Isolation, Log, LogOffsets};

/// Which offset is looked for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TimestampQuery {
    /// The first of the log.
    Earliest,
    /// The first in files of this machine.
    EarliestLocal,
    /// The end that a reader of the given isolation sees.
    Latest,
    /// The first record that has the largest timestamp.
    MaxTimestamp,
    /// The first record that is not older.
    AtOrAfter(TimestampMs),
}

/// What was found.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct FoundOffset {
    /// Timestamp of the record, or -1 for the ends of a log.
    pub timestamp: TimestampMs,
    /// The offset.
    pub offset: Offset,
    /// The leader epoch that the record was written in, where it is known.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Log {
    /// Finds an offset by time; `None` where no record fits that the isolation sees. Reads index entries, batch headers and at
    /// most the records of one batch; may wait for the disk.
    pub fn offset_for_timestamp(
        &self,
        query: TimestampQuery,
        isolation: Isolation,
    ) -> Result<Option<FoundOffset>, ReadError> {
        let offsets = self.offsets.snapshot();
        let end = isolation.end(&offsets);
        let found = match query {
            TimestampQuery::Earliest | TimestampQuery::EarliestLocal => {
                return Ok(Some(self.earliest(&offsets)));
            }
            TimestampQuery::Latest => return Ok(Some(self.latest(end))),
            TimestampQuery::MaxTimestamp => self.max_timestamp(&offsets)?,
            TimestampQuery::AtOrAfter(timestamp) => self.at_or_after(timestamp, &offsets)?,
        };
        Ok(found.filter(|found| found.offset < end))
    }

    fn earliest(&self, offsets: &LogOffsets) -> FoundOffset {
        let leader_epoch = self.tail().epochs.epoch_at(offsets.log_start);
        FoundOffset { timestamp: TimestampMs::NONE, offset: offsets.log_start, leader_epoch }
    }

    fn latest(&self, end: Offset) -> FoundOffset {
        FoundOffset { timestamp: TimestampMs::NONE, offset: end, leader_epoch: self.latest_epoch() }
    }

    fn max_timestamp(&self, offsets: &LogOffsets) -> Result<Option<FoundOffset>, ReadError> {
        // The first segment wins among equals, as its records are older.
        self.check_max_timestamps(offsets)?;
        let newest = self.segments().iter().rev().max_by_key(|segment| segment.max_timestamp().0).cloned();
        let Some(segment) = newest else { return Ok(None) };
        let (timestamp, offset) = segment.max_timestamp();
        if timestamp == TimestampMs::NONE {
            return Ok(None);
        }
        let (size, _) = segment.published();
        let Some(batch) = segment.batch_reaching(offset, size, ReadMode::Blocking)? else { return Ok(None) };
        first_record(&segment, &batch, |record_time, _| record_time == timestamp)
            .map(|found| found.filter(|found| found.offset >= offsets.log_start))
    }

    fn check_max_timestamps(&self, offsets: &LogOffsets) -> Result<(), ReadError> {
        let segments: Vec<Arc<Segment>> =
            self.segments().floor_and_after(offsets.log_start).cloned().collect();
        segments.iter().try_for_each(|segment| segment.check_max_timestamp())
    }

    /// Makes sure that the largest timestamps of the oldest segments are those of their records.
    pub(crate) fn check_oldest_timestamps(&self, count: usize) -> Result<(), ReadError> {
        let segments: Vec<Arc<Segment>> = self.segments().iter().take(count).cloned().collect();
        segments.iter().try_for_each(|segment| segment.check_max_timestamp())
    }

    fn at_or_after(
        &self,
        timestamp: TimestampMs,
        offsets: &LogOffsets,
    ) -> Result<Option<FoundOffset>, ReadError> {
        self.check_max_timestamps(offsets)?;
        let segments: Vec<Arc<Segment>> =
            self.segments().floor_and_after(offsets.log_start).cloned().collect();
        for segment in segments.into_iter().filter(|segment| segment.max_timestamp().0 >= timestamp) {
            let found = search(&segment, timestamp, offsets.log_start)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

fn search(
    segment: &Segment,
    timestamp: TimestampMs,
    start: Offset,
) -> Result<Option<FoundOffset>, ReadError> {
    let (size, _) = segment.published();
    let mut next = segment.batch_before_time(timestamp, start, size)?;
    while let Some(batch) = next {
        if batch.max_timestamp >= timestamp {
            let found = first_record(segment, &batch, |time, offset| time >= timestamp && offset >= start)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        next = segment.batch_after(&batch, size, ReadMode::Blocking)?;
    }
    Ok(None)
}

// The records of one batch are read and, where they are compressed, unfolded under the cap that appending has.
fn first_record(
    segment: &Segment,
    at: &BatchAt,
    wanted: impl Fn(TimestampMs, Offset) -> bool,
) -> Result<Option<FoundOffset>, ReadError> {
    let file = segment.file()?;
    let corrupt =
        || Corruption { file: file.path().to_owned(), position: at.position, rule: Rule::BatchHeader };
    let bytes = FileSlice::new(Arc::clone(&file), at.position, at.size as usize).to_bytes()?;
    let leader_epoch = Some(at.leader_epoch).filter(|epoch| epoch.get() >= 0);
    if at.magic < 2 {
        let found = wanted(at.max_timestamp, at.last_offset);
        return Ok(found.then_some(FoundOffset {
            timestamp: at.max_timestamp,
            offset: at.last_offset,
            leader_epoch,
        }));
    }
    let batch = BatchView::read(&bytes).map_err(|_| corrupt())?;
    let mut records = batch.records(DecompressionCap::default()).map_err(|_| corrupt())?;
    while let Some(record) = records.next_record() {
        let record = record.map_err(|_| corrupt())?;
        let (timestamp, offset) = (record.timestamp, record.offset);
        if wanted(timestamp, offset) {
            return Ok(Some(FoundOffset { timestamp, offset, leader_epoch }));
        }
    }
    Ok(None)
}
