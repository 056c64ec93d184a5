//! Batches of closed segments that the scrubber found damaged. Readers are told so instead of being given the bytes;
//! what lies before and behind is read as ever, and nothing is cut. Kept in memory only: the next scrubbing finds them again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Corruption;
use crate::segment::SegmentInfo;
use crate::types::Offset;

use super::Log;

/// Bytes of a segment that are no batches any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// The segment.
    pub segment: Offset,
    /// Where the damage ends in its file; where it begins, `corruption` says.
    pub end_position: u64,
    /// The first offset that was there.
    pub first_offset: Offset,
    /// The first offset behind.
    pub next_offset: Offset,
    /// What is wrong, and where.
    pub corruption: Corruption,
}

/// All of a log.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    // Asked by every read.
    has_any: AtomicBool,
    ranges: Mutex<Vec<DamagedRange>>,
}

impl Quarantine {
    /// What of a slice may be given away: `Err` where it begins within damage.
    pub(super) fn clip(&self, segment: Offset, position: u64, len: usize) -> Result<usize, Corruption> {
        if !self.has_any.load(Ordering::Acquire) {
            return Ok(len);
        }
        let mut allowed = len as u64;
        for range in self.ranges().iter().filter(|range| range.segment == segment) {
            let start = range.corruption.position;
            if (start..range.end_position).contains(&position) {
                return Err(range.corruption.clone());
            }
            if start > position {
                allowed = allowed.min(start - position);
            }
        }
        Ok(usize::try_from(allowed).unwrap_or(len))
    }

    /// Whether a record may be asked for.
    pub(super) fn check(&self, offset: Offset) -> Result<(), Corruption> {
        if !self.has_any.load(Ordering::Acquire) {
            return Ok(());
        }
        let is_in = |range: &&DamagedRange| (range.first_offset..range.next_offset).contains(&offset);
        match self.ranges().iter().find(is_in) {
            Some(range) => Err(range.corruption.clone()),
            None => Ok(()),
        }
    }

    /// Where to look for `offset` instead of at `position`, where a batch lies that seems to hold it: it says a wrong offset.
    pub(super) fn behind(&self, segment: Offset, position: u64, offset: Offset) -> Option<u64> {
        if !self.has_any.load(Ordering::Acquire) {
            return None;
        }
        let is_there = |range: &&DamagedRange| {
            range.segment == segment
                && (range.corruption.position..range.end_position).contains(&position)
                && range.next_offset <= offset
        };
        self.ranges().iter().find(is_there).map(|range| range.end_position)
    }

    /// The log was cut: other records will be there.
    pub(super) fn cut_to(&self, end: Offset) {
        let mut ranges = self.ranges();
        ranges.retain(|range| range.first_offset < end);
        self.has_any.store(!ranges.is_empty(), Ordering::Release);
    }

    // Answers those that were not known.
    fn replace(
        &self,
        segment: Offset,
        found: Vec<DamagedRange>,
        present: &[SegmentInfo],
    ) -> Vec<DamagedRange> {
        let mut ranges = self.ranges();
        let new = found.iter().filter(|range| !ranges.contains(range)).cloned().collect();
        let is_present = |base: Offset| present.iter().any(|info| info.base_offset == base);
        ranges.retain(|range| range.segment != segment && is_present(range.segment));
        ranges.extend(found);
        self.has_any.store(!ranges.is_empty(), Ordering::Release);
        new
    }

    fn ranges(&self) -> MutexGuard<'_, Vec<DamagedRange>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Batches that cannot be read any more, as far as they were found.
    pub fn damaged_ranges(&self) -> Vec<DamagedRange> {
        self.quarantine.ranges().clone()
    }

    /// What was found in a segment, in place of what was known of it.
    pub(crate) fn quarantine(&self, segment: Offset, found: Vec<DamagedRange>) {
        for DamagedRange { end_position, first_offset, next_offset, corruption, .. } in
            self.quarantine.replace(segment, found, &self.segments_info())
        {
            tracing::error!(
                "{}: damaged up to byte {end_position}, offsets {first_offset} up to {next_offset}: {corruption}; these records \
                 are refused, all others are served, and nothing is cut",
                self.partition
            );
        }
    }

    /// The same log in another place has the same damage.
    pub(super) fn adopt_quarantine(&self, from: &Self) {
        let ranges = from.damaged_ranges();
        self.quarantine.has_any.store(!ranges.is_empty(), Ordering::Release);
        *self.quarantine.ranges() = ranges;
    }
}
