//! Cutting a segment: where, and what becomes of what stands beside the records.
//!
//! What may come to nothing is done first: [`Segment::place_of_cut`] reads, [`Segment::cut`] changes. Index entries that are in
//! memory stay there, so that a full disk, which a cut may have to relieve, refuses nothing.

use std::io;

use crate::error::ReadError;
use crate::io::DiskFile;
use crate::types::Offset;

use super::damage::DamagedStretch;
use super::scan::ReadMode;
use super::{Segment, State};

impl Segment {
    /// Where the records from `end` on begin. Damage that may have had some of them goes with them.
    pub(crate) fn place_of_cut(&self, end: Offset) -> Result<u64, ReadError> {
        let (size, _) = self.published();
        let found = self.batch_reaching(end, size, ReadMode::Blocking)?;
        let position = found.map_or(size, |batch| batch.position);
        Ok(self.damage.reaching(end).map_or(position, |damaged| damaged.min(position)))
    }

    /// Cuts the published end back to `position`, where `end` is the offset of the next record. The file shrinks. Where
    /// that offset lay inside a batch, the segment ends before it, with what is whole.
    pub(crate) fn cut(&self, position: u64, end: Offset) -> Result<(), ReadError> {
        let file = self.file()?;
        let _files = self.files();
        file.set_len(position)?;
        let base = self.base_offset;
        self.change(|state, names| {
            state.flushed.cut_to(position);
            self.damage.cut_to(position);
            state.offset_index.truncate(names, |entry| entry.position.get() < position)?;
            state.time_index.truncate(names, |entry| entry.absolute(base) < end)?;
            state.txn_index.truncate_to(names, end)?;
            state.size = position;
            match self.resume_or_learn(state, &*file, end) {
                // The index points anywhere: the log is walked without it.
                Err(ReadError::Corrupt(_)) => {
                    state.offset_index.truncate(names, |_| false)?;
                    self.resume_or_learn(state, &*file, end)
                }
                resumed => resumed,
            }
        })
    }

    // What cannot be walked over behind the last index entry is damage that nobody has found yet. Which of it is whole is not
    // known before somebody looks at every byte.
    fn resume_or_learn(&self, state: &mut State, file: &dyn DiskFile, end: Offset) -> Result<(), ReadError> {
        let indexed = state.offset_index.last().map(|entry| entry.position.get());
        match state.resume_pace(file, self.base_offset, &self.damage) {
            Err(ReadError::Corrupt(corruption)) if indexed != Some(corruption.position) => {
                let (end_position, first_offset) = (state.size, state.end_offset);
                let stretch = DamagedStretch { end_position, first_offset, next_offset: end, corruption };
                self.damage.add(stretch);
                state.pace.entry_is_due();
                Ok(())
            }
            resumed => resumed,
        }
    }

    /// What was reserved behind the published end was not written, or goes again: the file ends there.
    pub(crate) fn cut_to_published(&self) -> io::Result<()> {
        let file = self.file()?;
        let size = self.published().0;
        file.set_len(size)?;
        self.state().flushed.cut_to(size);
        Ok(())
    }
}
