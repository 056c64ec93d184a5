//! May this batch follow what its producer wrote before? Pure: Kafka's `ProducerAppendInfo` and the duplicate check
//! in front of it, as of 4.3.

use super::entry::{AppendedBatch, ProducerEntry};
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

/// Judges `batch` by the newest state of its producer, reserved batches included. `published` tells whether the
/// batch that a duplicate repeats is written already.
pub(super) fn admit(
    newest: Option<&ProducerEntry>,
    published: Option<&ProducerEntry>,
    batch: &BatchSummary,
    origin: AppendOrigin,
) -> Admission {
    if matches!(origin, AppendOrigin::Replication | AppendOrigin::RaftLeader) {
        return Admission::Accept;
    }
    // No state is left of a producer that is new, expired, or whose records were deleted: any sequence will do.
    let Some(newest) = newest else { return Admission::Accept };
    // Before the epoch is looked at, as Kafka does: a repetition is answered even where it comes late.
    if origin == AppendOrigin::Client
        && let Some(of) = newest.duplicate_of(batch)
    {
        let in_flight = published.is_none_or(|entry| entry.duplicate_of(batch) != Some(of));
        return Admission::Duplicate { of: *of, in_flight };
    }
    match refusal(newest, batch, origin) {
        Some(refusal) => Admission::Refuse(refusal),
        None => Admission::Accept,
    }
}

fn refusal(newest: &ProducerEntry, batch: &BatchSummary, origin: AppendOrigin) -> Option<Refusal> {
    if batch.control {
        let (marker, _) = batch.marker?;
        return stale_epoch(newest, batch).or_else(|| fenced_coordinator(newest, marker));
    }
    stale_epoch(newest, batch)
        .or_else(|| if origin == AppendOrigin::Client { out_of_sequence(newest, batch) } else { None })
        .or_else(|| outside_transaction(newest, batch))
}

fn stale_epoch(newest: &ProducerEntry, batch: &BatchSummary) -> Option<Refusal> {
    let (epoch, current) = (batch.producer_epoch, newest.producer_epoch);
    (epoch < current).then_some(Refusal::InvalidProducerEpoch { epoch, current })
}

fn out_of_sequence(newest: &ProducerEntry, batch: &BatchSummary) -> Option<Refusal> {
    let (sequence, epoch, current) = (batch.base_sequence, batch.producer_epoch, newest.producer_epoch);
    if current == ProducerEpoch::NONE {
        return None;
    }
    if epoch != current {
        let begins = sequence == Sequence::new(0);
        return (!begins).then_some(Refusal::SequenceOfNewEpoch { sequence, epoch, current });
    }
    let last = newest.last_sequence();
    // After 2^31 - 1 comes 0; after none comes 0.
    let follows = if last == Sequence::NONE { Sequence::new(0) } else { last.plus(1) };
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
