//! Transactions that are about to begin in a partition, while the coordinator is asked whether the partition belongs to
//! them (KIP-890): Kafka's `VerificationStateEntry`.
//!
//! ```text
//! begin -> guard -> the coordinator says yes -> append with the guard
//!             '---- a marker or another first batch came between: the guard opens nothing any more
//! ```
//! So a batch that was long on its way cannot open a transaction that nobody will ever end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::BatchSummary;
use crate::types::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Stands for one verification. Worth something until its producer's next batch or marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationGuard(u64);

impl VerificationGuard {
    // Of the process and not of the partition: one from before a log was emptied must not fit one from after it.
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Which protocol a transaction is run by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransactionProtocol {
    /// `transaction.version` 0 and 1: an epoch may see many transactions, markers carry the epoch of the records.
    #[default]
    Classic,
    /// `transaction.version` 2: each transaction has its own epoch, markers carry the next one.
    EpochBump,
}

/// The first batch of what may be a new transaction.
#[derive(Debug, Clone, Copy)]
pub struct VerificationRequest {
    /// Whose batch it is.
    pub producer_id: ProducerId,
    /// The epoch it is written under.
    pub producer_epoch: ProducerEpoch,
    /// Its first sequence.
    pub base_sequence: Sequence,
    /// The protocol that the producer follows.
    pub protocol: TransactionProtocol,
}

/// Whether the coordinator has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// The transaction is open in this partition already.
    Ongoing,
    /// Ask, and append with this.
    Needed(VerificationGuard),
}

#[derive(Debug)]
pub(super) struct Unverified {
    pub(super) guard: VerificationGuard,
    pub(super) protocol: TransactionProtocol,
    /// The lowest that came for this epoch: a higher one must not be appended before it, or it never can be.
    pub(super) lowest_sequence: Sequence,
    epoch: ProducerEpoch,
    since: TimestampMs,
}

#[derive(Debug, Default)]
pub(super) struct Verifications {
    by_producer: HashMap<ProducerId, Unverified>,
}

impl Verifications {
    /// The guard of the producer's verification, which begins now unless one is under way.
    pub(super) fn begin(&mut self, request: &VerificationRequest, now: TimestampMs) -> VerificationGuard {
        let (sequence, epoch) = (request.base_sequence, request.producer_epoch);
        let entry = self.by_producer.entry(request.producer_id).or_insert_with(|| Unverified {
            guard: VerificationGuard::next(),
            protocol: request.protocol,
            lowest_sequence: sequence,
            epoch,
            since: now,
        });
        if epoch > entry.epoch || (epoch == entry.epoch && sequence < entry.lowest_sequence) {
            (entry.epoch, entry.lowest_sequence) = (epoch, sequence);
        }
        entry.guard
    }

    pub(super) fn get(&self, producer: ProducerId) -> Option<&Unverified> {
        self.by_producer.get(&producer)
    }

    /// A batch or a marker of a producer's transaction is appended: what was being verified has begun, or is over. Not so
    /// where each transaction has its own epoch, and the marker is the one that gave the epoch: it ended the transaction
    /// before.
    pub(super) fn end(&mut self, batch: &BatchSummary) {
        let goes_on = |entry: &Unverified| {
            entry.protocol == TransactionProtocol::EpochBump
                && batch.control
                && batch.producer_epoch == entry.epoch
        };
        if batch.transactional && !self.get(batch.producer_id).is_some_and(goes_on) {
            self.by_producer.remove(&batch.producer_id);
        }
    }

    /// Those that nobody came back for.
    pub(super) fn expire(&mut self, now: TimestampMs, expiration_ms: i64) {
        self.by_producer.retain(|_, entry| now.get().saturating_sub(entry.since.get()) < expiration_ms);
    }
}
