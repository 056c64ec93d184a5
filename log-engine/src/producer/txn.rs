//! Open transactions of a partition, and those whose end is not committed yet.
//!
//! A transaction holds back readers of committed data from its first record until its marker lies below the high
//! watermark, not only until the marker is written.

use std::collections::BTreeMap;

use crate::batch::{BatchSummary, control::TxnOutcome};
use crate::types::{Offset, ProducerId};

/// A transaction that a marker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedTxn {
    /// Whose transaction it was.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// The marker.
    pub last_offset: Offset,
    /// How it ended. Aborted ones belong in the transaction index.
    pub outcome: TxnOutcome,
    /// The last stable offset once this transaction is done, as the transaction index stores it.
    pub last_stable_offset: Offset,
}

#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// By first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// First offset -> marker, of transactions whose marker lies at or above the high watermark.
    unreplicated: BTreeMap<Offset, Offset>,
}

impl Transactions {
    pub(super) fn begin(&mut self, first_offset: Offset, producer_id: ProducerId) {
        self.ongoing.insert(first_offset, producer_id);
    }

    /// Ends the transaction that began at `first_offset` by the marker in `batch`.
    pub(super) fn complete(&mut self, first_offset: Offset, batch: &BatchSummary) -> Option<CompletedTxn> {
        let (marker, _) = batch.marker?;
        let (producer_id, last_offset) = (batch.producer_id, batch.base_offset);
        self.ongoing.remove(&first_offset);
        self.unreplicated.insert(first_offset, last_offset);
        // A producer has one open transaction at most, so what remains open belongs to others.
        let last_stable_offset = self.ongoing.keys().next().copied().unwrap_or(last_offset.next());
        let outcome = marker.outcome;
        Some(CompletedTxn { producer_id, first_offset, last_offset, outcome, last_stable_offset })
    }

    pub(super) fn forget_completed_below(&mut self, offset: Offset) {
        self.unreplicated.retain(|_, marker| *marker >= offset);
    }

    pub(super) fn first_unstable_offset(&self) -> Option<Offset> {
        let ongoing = self.ongoing.keys().next();
        let unreplicated = self.unreplicated.keys().next();
        ongoing.into_iter().chain(unreplicated).min().copied()
    }
}
