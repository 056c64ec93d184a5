//! The read walk: bound by isolation, find the segment, find the batch, answer a slice of the file. Of the records
//! themselves nothing is read; of the batches in front of the one asked for, only the headers since the last index
//! entry.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{OfflineError, ReadError};
use crate::segment::Segment;
use crate::segment::data::FileSlice;
use crate::segment::scan::{BatchAt, ReadMode};
use crate::segment::txn_index::AbortedTransaction;
use crate::types::Offset;

use super::{Log, LogOffsets};

/// What to read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ReadRequest {
    /// The first offset wanted. The answer begins with the batch that holds it.
    pub from: Offset,
    /// Bytes wanted at most. The last batch may be cut: take it for what comes next time.
    pub max_bytes: usize,
    /// Whether the first batch comes whole although it is larger than `max_bytes`.
    pub at_least_one: bool,
    /// Where to stop.
    pub isolation: Isolation,
    /// Whether the read may wait for the disk.
    pub mode: ReadMode,
}

impl ReadRequest {
    /// A megabyte from the first offset on, at any cost.
    pub fn from_start(isolation: Isolation) -> Self {
        Self {
            from: Offset::ZERO,
            max_bytes: 1 << 20,
            at_least_one: true,
            isolation,
            mode: ReadMode::Blocking,
        }
    }
}

/// Where a reader stops.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// At the log's end: replicas.
    LogEnd,
    /// At the high watermark: consumers.
    HighWatermark,
    /// At the first open transaction: consumers at `read_committed`.
    LastStable,
}

impl Isolation {
    /// The end this isolation sees.
    pub fn end(self, offsets: &LogOffsets) -> Offset {
        match self {
            Self::LogEnd => offsets.log_end,
            Self::HighWatermark => offsets.high_watermark,
            Self::LastStable => offsets.last_stable,
        }
    }
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The records.
    pub data: FetchedData,
    /// The ends of the log when it was read.
    pub offsets: LogOffsets,
    /// Aborted transactions among the records; only for [`Isolation::LastStable`].
    pub aborted: Vec<AbortedTransaction>,
    /// Whether the records end with their segment although the reader may see more behind it: not the end of what is
    /// there, however few they are.
    pub stops_at_segment: bool,
}

/// Where the records are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FetchedData {
    /// There are none.
    Empty,
    /// In a file.
    File(FileSlice),
}

impl Fetched {
    /// Bytes of records.
    pub fn len(&self) -> usize {
        match &self.data {
            FetchedData::Empty => 0,
            FetchedData::File(slice) => slice.len(),
        }
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of the records. Reads the file, and so may wait for the disk or fail as it does.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        match &self.data {
            FetchedData::Empty => Ok(Bytes::new()),
            FetchedData::File(slice) => slice.to_bytes(),
        }
    }

    fn empty(offsets: LogOffsets) -> Self {
        Self { data: FetchedData::Empty, offsets, aborted: Vec::new(), stops_at_segment: false }
    }
}

impl Log {
    /// Reads from an offset on. Takes no lock that an append waits under, and never reads past what was published. At the end
    /// that the isolation sees the answer is empty.
    ///
    /// [`ReadError::OffsetOutOfRange`] before the log's start and behind its end; [`ReadError::Corrupt`] where a range begins
    /// that was found damaged, which one can read on behind; [`ReadError::WouldBlock`] only with [`ReadMode::CachedOnly`].
    /// The checksums of the batches are not looked at: that is the reader's to do, see [`crate::batch::BatchView::crc_is_valid`].
    pub fn read(&self, request: &ReadRequest) -> Result<Fetched, ReadError> {
        if let Some(offline) = self.home.dir_state().offline() {
            return Err(OfflineError(Arc::clone(offline)).into());
        }
        let offsets = self.offsets.snapshot();
        if request.from < offsets.log_start || request.from > offsets.log_end {
            let LogOffsets { log_start, log_end, .. } = offsets;
            return Err(ReadError::OffsetOutOfRange { from: request.from, log_start, log_end });
        }
        let end = request.isolation.end(&offsets);
        if request.from >= end {
            return Ok(Fetched::empty(offsets));
        }
        loop {
            let Some((segment, first)) = self.locate(request.from, request.mode)? else {
                return Ok(Fetched::empty(offsets));
            };
            // Once more where compaction put another segment in its place meanwhile.
            if let Some(fetched) = self.read_in(&segment, &first, request, offsets)? {
                return Ok(fetched);
            }
        }
    }

    fn read_in(
        &self,
        segment: &Arc<Segment>,
        first: &BatchAt,
        request: &ReadRequest,
        offsets: LogOffsets,
    ) -> Result<Option<Fetched>, ReadError> {
        let end = request.isolation.end(&offsets);
        let limit = position_of_end(segment, end, request.mode)?;
        let Some(len) = slice_len(first, limit, request) else { return Ok(Some(Fetched::empty(offsets))) };
        let len = segment.readable_len(first.position, len)?;
        let aborted = match request.isolation {
            Isolation::LastStable => {
                let Some(segments) = self.segments().from(segment).map(<[_]>::to_vec) else {
                    return Ok(None);
                };
                aborted_in(&segments, first, len, request, offsets.log_end)?
            }
            Isolation::LogEnd | Isolation::HighWatermark => Vec::new(),
        };
        let slice = FileSlice::new(segment.file_for(request.mode)?, first.position, len);
        let (size, segment_end) = segment.published();
        let stops_at_segment = segment_end < end && first.position + len as u64 >= size;
        Ok(Some(Fetched { data: FetchedData::File(slice), offsets, aborted, stops_at_segment }))
    }

    /// The batch that holds `offset`, or the first one behind it where compaction took it; damage where it is known to lie in
    /// that.
    pub(super) fn locate(
        &self,
        offset: Offset,
        mode: ReadMode,
    ) -> Result<Option<(Arc<Segment>, BatchAt)>, ReadError> {
        let mut segment = self.segments().floor(offset).cloned();
        while let Some(current) = segment {
            current.check_readable(offset)?;
            let (size, _) = current.published();
            let found = current.batch_reaching(offset, size, mode)?;
            if mode == ReadMode::Blocking && current.offset_index_is_wrong() {
                current.mend_offset_index(self.config().index_interval_bytes, self.home.clock.now());
            }
            if let Some(batch) = found {
                return Ok(Some((current, batch)));
            }
            segment = self.segment_behind(&current);
        }
        Ok(None)
    }

    /// Where to go on behind a segment. Where compaction has exchanged it meanwhile, what took its place may hold the records of
    /// the next ones, too.
    pub(crate) fn segment_behind(&self, segment: &Arc<Segment>) -> Option<Arc<Segment>> {
        self.segments().behind(segment).cloned()
    }
}

// What a consumer must skip of the slice, which lies in the first of `segments`. Transactions of that segment and of those
// behind it may have begun in the slice; the last stable offset noted with each tells when there can be no more. As near
// as the index tells where the slice ends, so there may be some that it does not reach: they are those that Kafka names, too.
fn aborted_in(
    segments: &[Arc<Segment>],
    first: &BatchAt,
    len: usize,
    request: &ReadRequest,
    log_end: Offset,
) -> Result<Vec<AbortedTransaction>, ReadError> {
    let [segment, behind @ ..] = segments else { return Ok(Vec::new()) };
    let next_segment = || behind.first().map(|next| next.base_offset);
    let slice_end = first.position + len as u64;
    let upper = segment.offset_ceiling(slice_end, request.mode)?.or_else(next_segment).unwrap_or(log_end);
    let mut aborted = Vec::new();
    let mut complete = false;
    for segment in segments {
        if complete {
            break;
        }
        segment.aborted(request.mode)?.for_each(request.mode, |transaction| {
            if transaction.last_offset >= request.from && transaction.first_offset < upper {
                aborted.push(transaction);
            }
            complete = transaction.last_stable_offset >= upper;
            !complete
        })?;
    }
    Ok(aborted)
}

/// The position behind the last batch that lies before `end`.
fn position_of_end(segment: &Segment, end: Offset, mode: ReadMode) -> Result<u64, ReadError> {
    let (size, segment_end) = segment.published();
    if end >= segment_end {
        return Ok(size);
    }
    Ok(segment.batch_reaching(end, size, mode)?.map_or(size, |batch| batch.position))
}

/// Kafka's rule of `LogSegment.read`: up to `max_bytes`, cutting the last batch, but the first one whole where it is
/// asked for; a first batch that would be cut is not worth sending.
fn slice_len(first: &BatchAt, limit: u64, request: &ReadRequest) -> Option<usize> {
    let available = limit.checked_sub(first.position).filter(|bytes| *bytes > 0)?;
    let wanted = if request.at_least_one {
        first.size.max(request.max_bytes as u64)
    } else {
        request.max_bytes as u64
    };
    (wanted >= first.size).then(|| available.min(wanted) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LeaderEpoch, TimestampMs};

    #[test]
    fn a_slice_is_bounded_as_kafka_bounds_it() {
        let first = BatchAt {
            position: 100,
            size: 50,
            base_offset: Offset::ZERO,
            last_offset: Offset::ZERO,
            max_timestamp: TimestampMs::NONE,
            leader_epoch: LeaderEpoch::NONE,
            magic: 2,
        };
        for (max_bytes, at_least_one, limit, expected) in [
            (1000, false, 300, Some(200)),
            (120, false, 300, Some(120)),
            (50, false, 300, Some(50)),
            (49, false, 300, None),
            (49, true, 300, Some(50)),
            (0, true, 300, Some(50)),
            (0, false, 300, None),
            (1000, true, 100, None),
            (1000, true, 50, None),
        ] {
            let request = ReadRequest {
                from: Offset::ZERO,
                max_bytes,
                at_least_one,
                isolation: Isolation::LogEnd,
                mode: ReadMode::Blocking,
            };
            assert_eq!(slice_len(&first, limit, &request), expected, "{max_bytes} {at_least_one} {limit}");
        }
    }
}
