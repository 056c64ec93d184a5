//! Batches that the first walk has folded again without the records that go, until the second walk comes to them.
//!
//! They are made from the last to the first and asked for from the first to the last: a stack, in bounded memory. What
//! does not fit any more is unfolded once more by the second walk.

use crate::batch::BatchView;
use crate::batch::filter::Filtered;
use crate::types::Offset;

#[derive(Debug, Default)]
pub(super) struct Refolded {
    batches: Vec<(Offset, Vec<u8>)>,
    room: usize,
}

/// What a batch costs beside its bytes.
const OVERHEAD: usize = 48;

impl Refolded {
    /// In so many bytes of memory.
    pub(super) fn within(bytes: u64) -> Self {
        Self { batches: Vec::new(), room: usize::try_from(bytes).unwrap_or(usize::MAX) }
    }

    /// Folds what stays of a batch, if that is something, but not all, and there is room.
    pub(super) fn offer(&mut self, batch: &BatchView<'_>, filtered: Filtered<'_>) {
        let most = batch.size_in_bytes() + OVERHEAD;
        if filtered.kept() == 0 || filtered.is_whole() || self.room < most {
            return;
        }
        let mut bytes = Vec::with_capacity(batch.size_in_bytes());
        // Whatever the codec has against it, it tells the second walk, too.
        if filtered.write(batch.delete_horizon(), &mut bytes).is_ok() {
            bytes.shrink_to_fit();
            self.room = self.room.saturating_sub(bytes.len() + OVERHEAD);
            self.batches.push((batch.base_offset(), bytes));
        }
    }

    pub(super) fn has(&self, base_offset: Offset) -> bool {
        let at = self.batches.iter().rev().find(|(base, _)| *base >= base_offset);
        at.is_some_and(|(base, _)| *base == base_offset)
    }

    /// The batch at `base_offset`, if it is here. Those before it have been asked for, or will not be.
    pub(super) fn take(&mut self, base_offset: Offset) -> Option<Vec<u8>> {
        while self.batches.last().is_some_and(|(base, _)| *base < base_offset) {
            self.batches.pop();
        }
        self.batches.pop_if(|(base, _)| *base == base_offset).map(|(_, bytes)| bytes)
    }
}
