//! Bytes of a segment that are no batches any more, as far as anybody has found them. Who walks over the headers steps over
//! them, and who asks for a record in them is told; what lies before and behind is as ever, and nothing is cut for their sake.
//! Kept in memory only: the next start or scrubbing finds them again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Corruption;
use crate::types::Offset;

use super::Segment;

/// Bytes that are no batch any more, or one that says a wrong offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DamagedStretch {
    /// Where it ends; where it begins, `corruption` says.
    pub(crate) end_position: u64,
    /// The offset that should be there.
    pub(crate) first_offset: Offset,
    /// The offset of what follows.
    pub(crate) next_offset: Offset,
    pub(crate) corruption: Corruption,
}

impl DamagedStretch {
    fn position(&self) -> u64 {
        self.corruption.position
    }

    fn is_at(&self, position: u64) -> bool {
        (self.position()..self.end_position).contains(&position)
    }

    fn had(&self, offset: Offset) -> bool {
        (self.first_offset..self.next_offset).contains(&offset)
    }
}

/// What a walk over all bytes meets, in its order.
#[derive(Debug, Default)]
pub(super) struct DamageMet(Vec<DamagedStretch>);

impl DamageMet {
    /// Notes what is damaged from `corruption` up to `end_position`; which offset follows is not known yet.
    pub(super) fn note(&mut self, end_position: u64, first_offset: Offset, corruption: Corruption) {
        match self.ending_at(corruption.position) {
            Some(before) => before.end_position = end_position,
            None => {
                let next_offset = first_offset.next();
                self.0.push(DamagedStretch { end_position, first_offset, next_offset, corruption });
            }
        }
    }

    /// The stretch that ends at the walk's place.
    pub(super) fn ending_at(&mut self, position: u64) -> Option<&mut DamagedStretch> {
        self.0.last_mut().filter(|last| last.end_position == position)
    }

    pub(super) fn had(&self, offset: Offset) -> bool {
        self.0.iter().any(|stretch| stretch.had(offset))
    }

    pub(super) fn into_stretches(self) -> Vec<DamagedStretch> {
        self.0
    }
}

/// All of a segment.
#[derive(Debug, Default)]
pub(super) struct Damage {
    // Asked by every read.
    is_any: AtomicBool,
    // In the order in which they lie in the file.
    stretches: Mutex<Vec<DamagedStretch>>,
}

impl Damage {
    /// The first position from `position` on at which a batch may begin.
    pub(super) fn past(&self, position: u64) -> u64 {
        let step = |at: u64, stretch: &DamagedStretch| {
            if stretch.is_at(at) { stretch.end_position } else { at }
        };
        self.known().map_or(position, |stretches| stretches.iter().fold(position, step))
    }

    /// Where the first stretch begins that had, or may have had, records from `end` on.
    pub(super) fn reaching(&self, end: Offset) -> Option<u64> {
        self.known()?.iter().find(|stretch| stretch.next_offset > end).map(DamagedStretch::position)
    }

    /// The segment was cut: other records will be there.
    pub(super) fn cut_to(&self, position: u64) {
        let mut stretches = self.stretches();
        stretches.retain(|stretch| stretch.position() < position);
        self.is_any.store(!stretches.is_empty(), Ordering::Release);
    }

    pub(super) fn add(&self, stretch: DamagedStretch) {
        let mut stretches = self.stretches();
        stretches.push(stretch);
        stretches.sort_by_key(DamagedStretch::position);
        self.is_any.store(true, Ordering::Release);
    }

    // `None` where there is none, which costs no lock.
    fn known(&self) -> Option<MutexGuard<'_, Vec<DamagedStretch>>> {
        self.is_any.load(Ordering::Acquire).then(|| self.stretches())
    }

    fn stretches(&self) -> MutexGuard<'_, Vec<DamagedStretch>> {
        self.stretches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Segment {
    /// What was found damaged.
    pub(crate) fn damage(&self) -> Vec<DamagedStretch> {
        self.damage.known().map_or_else(Vec::new, |stretches| stretches.clone())
    }

    /// What was found, in the order of the file, in place of what was known; answers those stretches that were not.
    pub(crate) fn set_damage(&self, found: Vec<DamagedStretch>) -> Vec<DamagedStretch> {
        let mut stretches = self.damage.stretches();
        let new = found.iter().filter(|stretch| !stretches.contains(stretch)).cloned().collect();
        *stretches = found;
        self.damage.is_any.store(!stretches.is_empty(), Ordering::Release);
        new
    }

    /// Whether a record may be asked for.
    pub(crate) fn check_readable(&self, offset: Offset) -> Result<(), Corruption> {
        let Some(stretches) = self.damage.known() else { return Ok(()) };
        match stretches.iter().find(|stretch| stretch.had(offset)) {
            Some(stretch) => Err(stretch.corruption.clone()),
            None => Ok(()),
        }
    }

    /// What of `len` bytes from `position` on may be given away: `Err` where they begin within damage.
    pub(crate) fn readable_len(&self, position: u64, len: usize) -> Result<usize, Corruption> {
        let Some(stretches) = self.damage.known() else { return Ok(len) };
        if let Some(stretch) = stretches.iter().find(|stretch| stretch.is_at(position)) {
            return Err(stretch.corruption.clone());
        }
        let next = stretches.iter().map(DamagedStretch::position).find(|start| *start > position);
        let allowed = next.map_or(u64::MAX, |start| start - position);
        Ok(usize::try_from(allowed).unwrap_or(len).min(len))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::error::Rule;

    fn stretch(position: u64, end_position: u64, offsets: std::ops::Range<i64>) -> DamagedStretch {
        DamagedStretch {
            end_position,
            first_offset: Offset::new(offsets.start),
            next_offset: Offset::new(offsets.end),
            corruption: Corruption { file: PathBuf::new(), position, rule: Rule::BatchHeader },
        }
    }

    #[test]
    fn a_walk_steps_over_all_stretches_that_lie_side_by_side() {
        let damage = Damage::default();
        assert_eq!(damage.past(10), 10);
        for found in [stretch(30, 40, 3..4), stretch(10, 20, 1..2), stretch(20, 25, 2..3)] {
            damage.add(found);
        }
        let past: Vec<u64> = [0, 9, 10, 24, 25, 30, 39, 40].map(|position| damage.past(position)).into();
        assert_eq!(past, [0, 9, 25, 25, 25, 40, 40, 40]);
    }

    #[test]
    fn a_cut_takes_the_damage_that_had_records_behind_it() {
        let damage = Damage::default();
        for found in [stretch(10, 20, 1..5), stretch(30, 40, 8..9)] {
            damage.add(found);
        }
        let reaching: Vec<_> = [1, 4, 5, 8, 9].map(|end| damage.reaching(Offset::new(end))).into();
        assert_eq!(reaching, [Some(10), Some(10), Some(30), Some(30), None]);
        damage.cut_to(30);
        assert_eq!((damage.past(10), damage.past(30)), (20, 30));
        damage.cut_to(10);
        assert_eq!(damage.past(10), 10);
    }
}
