//! May this batch follow what its producer wrote before? Pure: Kafka's `ProducerAppendInfo` and the duplicate check
//! in front of it, as of 4.3.

use super::entry::{AppendedBatch, ProducerEntry};
use super::verify::{TransactionProtocol, Unverified, VerificationGuard};
use crate::batch::{AppendOrigin, BatchSummary, control::EndTxnMarker};
use crate::types::{Offset, ProducerEpoch, Sequence};

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Append it.
    Accept,
    /// Append nothing and answer with what it is a repetition of.
    Duplicate {
        /// The batch that was appended before.
        of: AppendedBatch,
        /// That batch is reserved, but not yet written: answer once it is.
        in_flight: bool,
    },
    /// Answer with an error.
    Refuse(Refusal),
}

/// What the appender knows of the transaction that its batches belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionContext {
    /// The coordinator has said that the partition belongs to the transaction.
    pub verified_by: Option<VerificationGuard>,
    /// The protocol by which a marker ends the transaction.
    pub protocol: TransactionProtocol,
}

/// By which rules a batch is judged.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionRules {
    /// Who appends.
    pub origin: AppendOrigin,
    /// What is known of the transaction.
    pub transaction: TransactionContext,
    /// Whether a batch may open a transaction only with a guard (`transaction.partition.verification.enable`).
    pub demand_verification: bool,
}

impl From<AppendOrigin> for AdmissionRules {
    fn from(origin: AppendOrigin) -> Self {
        Self { origin, transaction: TransactionContext::default(), demand_verification: false }
    }
}

/// Why a producer's batch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A newer incarnation of the producer has written. `INVALID_PRODUCER_EPOCH`
    #[error("producer epoch {epoch} is smaller than the last seen epoch {current}")]
    InvalidProducerEpoch {
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The newest epoch.
        current: ProducerEpoch,
    },
    /// A marker that carries no new epoch, though each transaction has its own. `INVALID_PRODUCER_EPOCH`
    #[error("the marker's producer epoch {epoch} is not above the last seen epoch {current}")]
    MarkerEpoch {
        /// The epoch of the marker.
        epoch: ProducerEpoch,
        /// The newest epoch.
        current: ProducerEpoch,
    },
    /// Nobody has verified that the partition belongs to the transaction. `INVALID_TXN_STATE`
    #[error("the record was not part of an ongoing transaction")]
    NotVerified,
    /// A batch that cannot be its producer's first, of which no other is known. `OUT_OF_ORDER_SEQUENCE_NUMBER`
    #[error("sequence number {sequence} of a producer without state, which must begin at 0")]
    SequenceWithoutState {
        /// The first sequence of the batch.
        sequence: Sequence,
    },
    /// A batch with a lower sequence came before, and is not appended yet. `OUT_OF_ORDER_SEQUENCE_NUMBER`
    #[error("out of order sequence number {sequence}: {lowest} came before it and is not appended yet")]
    SequenceAboveUnverified {
        /// The first sequence of the batch.
        sequence: Sequence,
        /// The lowest seen.
        lowest: Sequence,
    },
    /// The first batch of a new epoch does not begin at sequence 0. `OUT_OF_ORDER_SEQUENCE_NUMBER`
    #[error(
        "invalid sequence number {sequence} for new epoch {epoch} of the producer, whose current epoch is {current}"
    )]
    SequenceOfNewEpoch {
        /// The first sequence of the batch.
        sequence: Sequence,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The newest epoch.
        current: ProducerEpoch,
    },
    /// The batch does not follow the last one. `OUT_OF_ORDER_SEQUENCE_NUMBER`
    #[error("out of order sequence number {sequence}: the last one was {last}")]
    OutOfOrderSequence {
        /// The first sequence of the batch.
        sequence: Sequence,
        /// The last sequence appended.
        last: Sequence,
    },
    /// Records outside a transaction while one is open. `INVALID_TXN_STATE`
    #[error("expected a transactional write: the producer's transaction is open since offset {open_since}")]
    NotTransactional {
        /// Where the transaction began.
        open_since: Offset,
    },
    /// A coordinator that was replaced ends a transaction. `TRANSACTION_COORDINATOR_FENCED`
    #[error("coordinator epoch {epoch} of a transaction marker is older than {current}")]
    CoordinatorFenced {
        /// The epoch of the marker's writer.
        epoch: i32,
        /// The newest coordinator epoch.
        current: i32,
    },
}

/// What is known of a batch's producer.
pub(super) struct Known<'a> {
    /// With the batches that are reserved.
    pub(super) newest: Option<&'a ProducerEntry>,
    /// Without them: tells whether the batch that a duplicate repeats is written already.
    pub(super) published: Option<&'a ProducerEntry>,
    pub(super) unverified: Option<&'a Unverified>,
}

/// Judges `batch`.
pub(super) fn admit(known: &Known<'_>, batch: &BatchSummary, rules: &AdmissionRules) -> Admission {
    let origin = rules.origin;
    if matches!(origin, AppendOrigin::Replication | AppendOrigin::RaftLeader) {
        return Admission::Accept;
    }
    // Before the epoch is looked at, as Kafka does: a repetition is answered even where it comes late.
    if origin == AppendOrigin::Client
        && let Some(of) = known.newest.and_then(|newest| newest.duplicate_of(batch))
    {
        let in_flight = known.published.is_none_or(|entry| entry.duplicate_of(batch) != Some(of));
        return Admission::Duplicate { of: *of, in_flight };
    }
    match refusal(known, batch, rules) {
        Some(refusal) => Admission::Refuse(refusal),
        None => Admission::Accept,
    }
}

fn refusal(known: &Known<'_>, batch: &BatchSummary, rules: &AdmissionRules) -> Option<Refusal> {
    if batch.control {
        let (marker, _) = batch.marker?;
        let newest = known.newest?;
        return stale_marker(newest, batch, rules.transaction.protocol)
            .or_else(|| fenced_coordinator(newest, marker));
    }
    let stale = known.newest.and_then(|newest| stale_epoch(newest, batch));
    stale
        .or_else(|| not_verified(known, batch, rules))
        .or_else(|| if rules.origin == AppendOrigin::Client { out_of_sequence(known, batch) } else { None })
        .or_else(|| known.newest.and_then(|newest| outside_transaction(newest, batch)))
}

fn stale_epoch(newest: &ProducerEntry, batch: &BatchSummary) -> Option<Refusal> {
    let (epoch, current) = (batch.producer_epoch, newest.producer_epoch);
    (epoch < current).then_some(Refusal::InvalidProducerEpoch { epoch, current })
}

fn stale_marker(
    newest: &ProducerEntry,
    batch: &BatchSummary,
    protocol: TransactionProtocol,
) -> Option<Refusal> {
    let (epoch, current) = (batch.producer_epoch, newest.producer_epoch);
    match protocol {
        TransactionProtocol::Classic => stale_epoch(newest, batch),
        // The same marker once more, written by a coordinator that did not see it through (KAFKA-19999).
        TransactionProtocol::EpochBump if epoch == current && newest.current_txn_first_offset.is_none() => {
            None
        }
        TransactionProtocol::EpochBump => {
            (epoch <= current).then_some(Refusal::MarkerEpoch { epoch, current })
        }
    }
}

fn not_verified(known: &Known<'_>, batch: &BatchSummary, rules: &AdmissionRules) -> Option<Refusal> {
    let asked = batch.transactional && rules.demand_verification;
    if !asked || known.newest.is_some_and(|newest| newest.has_ongoing_txn(batch.producer_epoch)) {
        return None;
    }
    let guard = known.unverified.map(|unverified| unverified.guard);
    (guard.is_none() || guard != rules.transaction.verified_by).then_some(Refusal::NotVerified)
}

fn out_of_sequence(known: &Known<'_>, batch: &BatchSummary) -> Option<Refusal> {
    let sequence = batch.base_sequence;
    if let Some(unverified) = known.unverified {
        let without_state = known.newest.is_none_or(|newest| newest.batches().is_empty());
        if unverified.protocol == TransactionProtocol::EpochBump
            && sequence != Sequence::FIRST
            && without_state
        {
            return Some(Refusal::SequenceWithoutState { sequence });
        }
        let lowest = unverified.lowest_sequence;
        if sequence > lowest {
            return Some(Refusal::SequenceAboveUnverified { sequence, lowest });
        }
    }
    // No state is left of a producer that is new, expired, or whose records were deleted: any sequence will do.
    let newest = known.newest.filter(|newest| newest.producer_epoch != ProducerEpoch::NONE)?;
    let (epoch, current) = (batch.producer_epoch, newest.producer_epoch);
    if epoch != current {
        let begins = sequence == Sequence::FIRST;
        return (!begins).then_some(Refusal::SequenceOfNewEpoch { sequence, epoch, current });
    }
    let last = newest.last_sequence();
    // After 2^31 - 1 comes 0; after none comes 0.
    let follows = if last == Sequence::NONE { Sequence::FIRST } else { last.plus(1) };
    (sequence != follows).then_some(Refusal::OutOfOrderSequence { sequence, last })
}

fn outside_transaction(newest: &ProducerEntry, batch: &BatchSummary) -> Option<Refusal> {
    let open_since = newest.current_txn_first_offset?;
    (!batch.transactional).then_some(Refusal::NotTransactional { open_since })
}

fn fenced_coordinator(newest: &ProducerEntry, marker: EndTxnMarker) -> Option<Refusal> {
    let (epoch, current) = (marker.coordinator_epoch, newest.coordinator_epoch);
    (epoch < current).then_some(Refusal::CoordinatorFenced { epoch, current })
}
