//! Batches that the first walk has folded again without the records that go, until the second walk comes to them.
//!
//! They are made from the last to the first and asked for from the first to the last: a stack, in bounded memory. What
//! does not fit any more is unfolded once more by the second walk.

use crate::batch::filter::Filtered;
use crate::batch::{BatchHeader, BatchView, HEADER_LEN};
use crate::types::Offset;

#[derive(Debug, Default)]
pub(super) struct Refolded {
    batches: Vec<Batch>,
    room: usize,
}

/// A batch, folded again.
#[derive(Debug)]
struct Batch {
    base_offset: Offset,
    // As it was when its checksum was verified.
    header: [u8; HEADER_LEN],
    bytes: Vec<u8>,
}

/// What a batch costs beside its bytes.
const OVERHEAD: usize = size_of::<Batch>() + 16;

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
            let (base_offset, header) = (batch.base_offset(), *batch.header_bytes());
            self.batches.push(Batch { base_offset, header, bytes });
        }
    }

    pub(super) fn has(&self, header: &BatchHeader<'_>) -> bool {
        let at = self.batches.iter().rev().find(|batch| batch.base_offset >= header.base_offset());
        at.is_some_and(|batch| batch.header == *header.header_bytes())
    }

    /// What a batch has become, if it is here. Those before it have been asked for, or will not be.
    pub(super) fn take(&mut self, header: &BatchHeader<'_>) -> Option<Vec<u8>> {
        let base_offset = header.base_offset();
        while self.batches.last().is_some_and(|batch| batch.base_offset < base_offset) {
            self.batches.pop();
        }
        self.batches.pop_if(|batch| batch.header == *header.header_bytes()).map(|batch| batch.bytes)
    }
}
