//! What a partition knows of the producers that write to it: their last batches, epochs and open transactions.
//!
//! ```text
//! admit (pure) -> reserve ---- write ok ---> publish    the batch is part of the log
//!                    '------- write failed -> drop_tentative    it never was, nor was any behind it
//! ```
//! Batches that are reserved but not yet written are judged against each other in a tentative layer above the
//! published state, which alone is seen by readers, snapshots and expiry. No I/O, no clock, no lock: the log calls
//! this under its own.

mod admit;
mod entry;
pub mod snapshot;
mod txn;
mod verify;

use std::collections::HashMap;

pub use admit::{Admission, AdmissionRules, Refusal, TransactionContext};
pub use entry::{AppendedBatch, ProducerEntry};
pub use snapshot::SnapshotError;
pub use txn::CompletedTxn;
pub use verify::{TransactionProtocol, Verification, VerificationGuard, VerificationRequest};

use crate::batch::BatchSummary;
use crate::types::{Offset, ProducerId, TimestampMs};

/// The producers of one partition.
#[derive(Debug, Default)]
pub struct ProducerStates {
    published: HashMap<ProducerId, ProducerEntry>,
    tentative: HashMap<ProducerId, Tentative>,
    transactions: txn::Transactions,
    verifications: verify::Verifications,
    end_offset: Offset,
}

/// A producer as it will be once its reserved batches are published.
#[derive(Debug)]
struct Tentative {
    entry: ProducerEntry,
    unpublished: u32,
}

impl ProducerStates {
    /// A partition that no producer has written to, whose next offset is `end_offset`.
    #[must_use]
    pub fn new(end_offset: Offset) -> Self {
        Self { end_offset, ..Self::default() }
    }

    /// The state that the bytes of a `.snapshot` file at `end_offset` hold, less what has expired since.
    pub fn from_snapshot(
        bytes: &[u8],
        end_offset: Offset,
        now: TimestampMs,
        expiration_ms: i64,
    ) -> Result<Self, SnapshotError> {
        let mut states = Self::new(end_offset);
        for entry in snapshot::decode(bytes)? {
            if !entry.is_expired(now, expiration_ms) {
                if let Some(first) = entry.current_txn_first_offset {
                    states.transactions.begin(first, entry.producer_id);
                }
                states.published.insert(entry.producer_id, entry);
            }
        }
        Ok(states)
    }

    /// The published state as the bytes of a `.snapshot` file, to be named after [`Self::end_offset`].
    #[must_use]
    pub fn to_snapshot(&self) -> Vec<u8> {
        snapshot::encode(&self.published)
    }

    /// The offset up to which the published state accounts for the log, exclusive.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Whether the batch may follow those that are published and reserved. Its offsets do not matter yet.
    #[must_use]
    pub fn admit(&self, batch: &BatchSummary, rules: impl Into<AdmissionRules>) -> Admission {
        if !has_producer(batch) {
            return Admission::Accept;
        }
        let id = batch.producer_id;
        let known = admit::Known {
            newest: self.newest(id),
            published: self.published.get(&id),
            unverified: self.verifications.get(id),
        };
        admit::admit(&known, batch, &rules.into())
    }

    /// Whether the coordinator must be asked before a batch may open a transaction here; refuses at once what it would
    /// be useless to ask about.
    pub fn begin_verification(
        &mut self,
        request: &VerificationRequest,
        now: TimestampMs,
    ) -> Result<Verification, Refusal> {
        let newest = self.newest(request.producer_id);
        if let Some(newest) = newest
            && request.producer_epoch < newest.producer_epoch
        {
            let (epoch, current) = (request.producer_epoch, newest.producer_epoch);
            return Err(Refusal::InvalidProducerEpoch { epoch, current });
        }
        if newest.is_some_and(|newest| newest.has_ongoing_txn(request.producer_epoch)) {
            return Ok(Verification::Ongoing);
        }
        Ok(Verification::Needed(self.verifications.begin(request, now)))
    }

    // Reserved batches included.
    fn newest(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.tentative.get(&id).map(|tentative| &tentative.entry).or_else(|| self.published.get(&id))
    }

    /// Takes an admitted batch, with its offsets, into the tentative layer.
    pub fn reserve(&mut self, batch: &BatchSummary) {
        if !has_producer(batch) {
            return;
        }
        self.verifications.end(batch);
        let published = self.published.get(&batch.producer_id);
        let tentative = self.tentative.entry(batch.producer_id).or_insert_with(|| Tentative {
            entry: published.cloned().unwrap_or_else(|| ProducerEntry::new(batch.producer_id)),
            unpublished: 0,
        });
        tentative.entry.apply(batch);
        tentative.unpublished += 1;
    }

    /// Makes a reserved batch part of the state, in the order of reservation. The transaction it completes, if any,
    /// belongs in the transaction index where it was aborted.
    pub fn publish(&mut self, batch: &BatchSummary) -> Option<CompletedTxn> {
        if let Some(tentative) = self.tentative.get_mut(&batch.producer_id) {
            tentative.unpublished -= 1;
            if tentative.unpublished == 0 {
                self.tentative.remove(&batch.producer_id);
            }
        }
        self.fold(batch)
    }

    /// Makes a batch of the log part of the state, without asking whether it should be there: for the log read
    /// again, and for what another replica has accepted.
    pub fn replay(&mut self, batch: &BatchSummary) -> Option<CompletedTxn> {
        self.verifications.end(batch);
        self.fold(batch)
    }

    fn fold(&mut self, batch: &BatchSummary) -> Option<CompletedTxn> {
        self.end_offset = self.end_offset.max(batch.last_offset().next());
        if !has_producer(batch) {
            return None;
        }
        let entry =
            self.published.entry(batch.producer_id).or_insert_with(|| ProducerEntry::new(batch.producer_id));
        let open_before = entry.current_txn_first_offset;
        entry.apply(batch);
        match (open_before, entry.current_txn_first_offset) {
            (None, Some(first)) => {
                self.transactions.begin(first, batch.producer_id);
                None
            }
            (Some(first), None) => self.transactions.complete(first, batch),
            _ => None,
        }
    }

    /// Forgets every reserved batch: a write failed, and all that was built on it fails with it.
    pub fn drop_tentative(&mut self) {
        self.tentative.clear();
    }

    /// Goes on with the verifications that are under way; of those the log knows nothing. As in Kafka, a cut ends none,
    /// but what is then read again does.
    pub fn take_verifications_of(&mut self, before: &mut Self) {
        self.verifications = std::mem::take(&mut before.verifications);
    }

    /// Forgets all producers; the log is empty and its next offset is `offset`.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) {
        *self = Self::new(offset);
    }

    /// Accounts for a log that now starts at `log_start`.
    pub fn on_log_start_offset_incremented(&mut self, log_start: Offset) {
        self.transactions.forget_completed_below(log_start);
        self.end_offset = self.end_offset.max(log_start);
    }

    /// Accounts for a log whose records below `high_watermark` are committed.
    pub fn on_high_watermark_updated(&mut self, high_watermark: Offset) {
        self.transactions.forget_completed_below(high_watermark);
    }

    /// Declares that the log up to `offset` holds nothing of producers beyond what is published.
    pub fn advance_end_offset(&mut self, offset: Offset) {
        self.end_offset = self.end_offset.max(offset);
    }

    /// The first offset of the oldest transaction that is open, or whose end lies at or above the high watermark.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        self.transactions.first_unstable_offset()
    }

    /// How far readers of committed transactions may read.
    #[must_use]
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        self.first_unstable_offset().map_or(high_watermark, |unstable| unstable.min(high_watermark))
    }

    /// Forgets the producers that have written nothing for `expiration_ms` (`producer.id.expiration.ms`). Those with
    /// an open transaction or a batch under way stay.
    pub fn expire(&mut self, now: TimestampMs, expiration_ms: i64) {
        let tentative = &self.tentative;
        self.published
            .retain(|id, entry| !entry.is_expired(now, expiration_ms) || tentative.contains_key(id));
        self.verifications.expire(now, expiration_ms);
    }

    /// The published producers, in no order.
    pub fn producers(&self) -> impl ExactSizeIterator<Item = &ProducerEntry> {
        self.published.values()
    }

    /// The published state of one producer.
    #[must_use]
    pub fn producer(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.published.get(&id)
    }
}

/// Kafka asks whether the id is above -1.
fn has_producer(batch: &BatchSummary) -> bool {
    batch.producer_id > ProducerId::NONE
}

#[cfg(test)]
mod tests;
