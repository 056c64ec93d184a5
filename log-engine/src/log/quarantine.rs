//! Batches that were found damaged. Readers are told so instead of being given the bytes; what lies before and behind is read as
//! ever, and nothing is cut. The segments know of them, see [`crate::segment::damage`].

use std::sync::Arc;

use crate::error::Corruption;
use crate::segment::Segment;
use crate::segment::damage::DamagedStretch;
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

impl Log {
    /// Batches that cannot be read any more, as far as they were found.
    pub fn damaged_ranges(&self) -> Vec<DamagedRange> {
        let range = |segment: &Segment, stretch: DamagedStretch| DamagedRange {
            segment: segment.base_offset,
            end_position: stretch.end_position,
            first_offset: stretch.first_offset,
            next_offset: stretch.next_offset,
            corruption: stretch.corruption,
        };
        let of_segment = |segment: &Arc<Segment>| {
            segment.damage().into_iter().map(|stretch| range(segment, stretch)).collect()
        };
        self.segments().iter().flat_map::<Vec<_>, _>(of_segment).collect()
    }

    /// What was found in a segment, in place of what was known of it.
    pub(crate) fn quarantine(&self, segment: &Segment, found: Vec<DamagedStretch>) {
        let new = segment.set_damage(found);
        self.tell_of_damage(&new);
    }

    /// What the start has kept and nobody may be shown.
    pub(super) fn tell_of_kept_damage(&self) {
        let segments: Vec<Arc<Segment>> = self.segments().iter().cloned().collect();
        segments.iter().for_each(|segment| self.tell_of_damage(&segment.damage()));
    }

    fn tell_of_damage(&self, stretches: &[DamagedStretch]) {
        for DamagedStretch { end_position, first_offset, next_offset, corruption } in stretches {
            tracing::error!(
                "{}: damaged up to byte {end_position}, offsets {first_offset} up to {next_offset}: {corruption}; these records \
                 are refused, all others are served, and nothing is cut",
                self.partition
            );
        }
    }

    /// The same log in another place has the same damage.
    pub(super) fn adopt_quarantine(&self, from: &Self) {
        let others = from.segments();
        for segment in self.segments().iter() {
            let same =
                others.floor(segment.base_offset).filter(|other| other.base_offset == segment.base_offset);
            if let Some(other) = same {
                segment.set_damage(other.damage());
            }
        }
    }
}
