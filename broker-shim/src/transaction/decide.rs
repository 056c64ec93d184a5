//! What becomes of a transactional id when its client asks for something: functions of what is known, the request and the
//! time. Kafka 4.3's `TransactionCoordinator`, with one difference of form: since events of a shard are written one after
//! the other, there is no transition that is pending, and no client is sent away because of one.

use log_engine::{
    batch::control::TxnOutcome,
    types::{ProducerEpoch, ProducerId},
};
use wire::ErrorCode;

use super::state::{
    LAST_EPOCH, NOT_STARTED, Partitions, Producer, TransactionMetadata, TransactionState, TransactionVersion,
    is_exhausted, next_epoch,
};

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<R> {
    /// Ask again with a producer id that nobody has had.
    NeedsProducerId,
    /// Nothing changes.
    Answer(R),
    /// The answer, once the next state is written.
    Write(Box<TransactionMetadata>, R),
}

/// An answer without change where `Err`.
pub(super) type Decided<R> = Result<Step<R>, ErrorCode>;

/// What a client that begins, or recovers, says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Init {
    pub(super) timeout_ms: i32,
    /// Who it takes itself for; nothing where it has just begun.
    pub(super) expected: Option<Producer>,
}

/// The circumstances of a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    pub(super) now_ms: i64,
    /// A producer id that may be used up.
    pub(super) spare_id: Option<ProducerId>,
    /// The finalized `transaction.version`: by it the coordinator ends what no client ends.
    pub(super) finalized: TransactionVersion,
}

/// InitProducerId. An open transaction is aborted first, which the client is told by `CONCURRENT_TRANSACTIONS`.
pub(super) fn init_producer_id(
    known: Option<&TransactionMetadata>,
    init: &Init,
    circumstances: &Circumstances,
) -> Decided<Result<Producer, ErrorCode>> {
    let Some(metadata) = known else {
        let Some(id) = circumstances.spare_id else { return Ok(Step::NeedsProducerId) };
        let fresh = TransactionMetadata::new(id, init.timeout_ms, circumstances.now_ms);
        return begin_epoch(&fresh, init, circumstances).map(granted);
    };
    if init.expected.is_some_and(|expected| !is_known_producer(metadata, expected)) {
        return Err(ErrorCode::ProducerFenced);
    }
    match metadata.state {
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
            Err(ErrorCode::ConcurrentTransactions)
        }
        TransactionState::Ongoing => Ok(match fence(metadata, circumstances) {
            Some(aborted) => Step::Write(Box::new(aborted), Err(ErrorCode::ConcurrentTransactions)),
            None => Step::NeedsProducerId,
        }),
        TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
            let current = metadata.producer.epoch;
            let rotates =
                is_exhausted(current) && init.expected.is_none_or(|expected| expected.epoch == current);
            if !rotates {
                return begin_epoch(metadata, init, circumstances).map(granted);
            }
            Ok(match circumstances.spare_id {
                Some(id) => granted(rotated(metadata, id, init, circumstances)),
                None => Step::NeedsProducerId,
            })
        }
        TransactionState::Dead | TransactionState::PrepareEpochFence => Err(ErrorCode::UnknownServerError),
    }
}

fn granted(next: TransactionMetadata) -> Step<Result<Producer, ErrorCode>> {
    let producer = next.producer;
    Step::Write(Box::new(next), Ok(producer))
}

/// Whether a client may go on under this id: it is the current one; or there is none yet; or it is the one before, which
/// ended with its last epoch, and the client has not heard of the new one.
fn is_known_producer(metadata: &TransactionMetadata, expected: Producer) -> bool {
    metadata.producer.epoch == ProducerEpoch::NONE
        || expected.id == metadata.producer.id
        || (expected.id == metadata.previous_producer_id && is_exhausted(expected.epoch))
}

/// The next epoch of the same producer id.
fn begin_epoch(
    metadata: &TransactionMetadata,
    init: &Init,
    circumstances: &Circumstances,
) -> Result<TransactionMetadata, ErrorCode> {
    let current = metadata.producer.epoch;
    if is_exhausted(current) {
        return Err(ErrorCode::UnknownServerError);
    }
    let (epoch, last) = match init.expected.map(|expected| expected.epoch) {
        None => (next_epoch(current), ProducerEpoch::NONE),
        Some(expected) if current == ProducerEpoch::NONE || expected == current => {
            (next_epoch(current), current)
        }
        // The client asks again, since it did not hear the answer.
        Some(expected) if expected == metadata.last_epoch => (current, metadata.last_epoch),
        Some(_) => return Err(ErrorCode::ProducerFenced),
    };
    let producer = Producer { epoch, ..metadata.producer };
    Ok(emptied(metadata, producer, last, init, circumstances))
}

fn rotated(
    metadata: &TransactionMetadata,
    id: ProducerId,
    init: &Init,
    circumstances: &Circumstances,
) -> TransactionMetadata {
    let producer = Producer { id, epoch: ProducerEpoch::new(0) };
    let last = if init.expected.is_some() { metadata.producer.epoch } else { ProducerEpoch::NONE };
    emptied(metadata, producer, last, init, circumstances)
}

fn emptied(
    metadata: &TransactionMetadata,
    producer: Producer,
    last_epoch: ProducerEpoch,
    init: &Init,
    circumstances: &Circumstances,
) -> TransactionMetadata {
    TransactionMetadata {
        producer,
        last_epoch,
        timeout_ms: init.timeout_ms,
        partitions: Partitions::new(),
        started_ms: NOT_STARTED,
        updated_ms: circumstances.now_ms,
        ..metadata.following(TransactionState::Empty)
    }
}

/// The abort of an open transaction whose client is not asked: it cannot write under its epoch any more. Nothing where a
/// spare producer id is needed for it.
pub(super) fn fence(
    metadata: &TransactionMetadata,
    circumstances: &Circumstances,
) -> Option<TransactionMetadata> {
    let current = metadata.producer;
    let fenced = Producer { epoch: next_epoch(current.epoch), ..current };
    let aborted = TransactionMetadata {
        producer: fenced,
        updated_ms: circumstances.now_ms,
        ..metadata.following(TransactionState::PrepareAbort)
    };
    if !circumstances.finalized.bumps_epoch() {
        return Some(TransactionMetadata {
            last_epoch: ProducerEpoch::NONE,
            next_producer_id: ProducerId::NONE,
            client_version: TransactionVersion::V0,
            ..aborted
        });
    }
    Some(TransactionMetadata {
        last_epoch: current.epoch,
        next_producer_id: id_after(current, circumstances)?,
        client_version: circumstances.finalized,
        ..aborted
    })
}

/// The id that follows one whose epochs are used up; none where they are not.
fn id_after(producer: Producer, circumstances: &Circumstances) -> Option<ProducerId> {
    if is_exhausted(producer.epoch) { circumstances.spare_id } else { Some(ProducerId::NONE) }
}

/// Whether a request comes from the producer that has the id now.
fn check_producer(metadata: &TransactionMetadata, producer: Producer) -> Result<(), ErrorCode> {
    if metadata.producer.id != producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if metadata.producer.epoch != producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match metadata.state {
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
            Err(ErrorCode::ConcurrentTransactions)
        }
        _ => Ok(()),
    }
}

/// AddPartitionsToTxn: the first partition begins the transaction.
pub(super) fn add_partitions(
    known: Option<&TransactionMetadata>,
    producer: Producer,
    added: &Partitions,
    client: TransactionVersion,
    now_ms: i64,
) -> Decided<()> {
    let metadata = known.ok_or(ErrorCode::InvalidProducerIdMapping)?;
    check_producer(metadata, producer)?;
    let ongoing = metadata.state == TransactionState::Ongoing;
    let all = |holds: &dyn Fn(&str, i32) -> bool| {
        added.iter().all(|(topic, numbers)| numbers.iter().all(|number| holds(topic, *number)))
    };
    if ongoing && all(&|topic, number| metadata.holds(topic, number)) {
        return Ok(Step::Answer(()));
    }
    let mut next = metadata.following(TransactionState::Ongoing);
    for (topic, numbers) in added {
        next.partitions.entry(topic.clone()).or_default().extend(numbers);
    }
    if !ongoing {
        next.started_ms = now_ms;
    }
    (next.updated_ms, next.client_version) = (now_ms, client);
    Ok(Step::Write(Box::new(next), ()))
}

/// Whether a partition belongs to the open transaction; `TRANSACTION_ABORTABLE` where it does not.
pub(super) fn verify_partition(
    known: Option<&TransactionMetadata>,
    producer: Producer,
    topic: &str,
    partition: i32,
) -> Result<(), ErrorCode> {
    let metadata = known.ok_or(ErrorCode::InvalidProducerIdMapping)?;
    check_producer(metadata, producer)?;
    if metadata.holds(topic, partition) { Ok(()) } else { Err(ErrorCode::TransactionAbortable) }
}

/// EndTxn of a client.
pub(super) fn end_txn(
    known: Option<&TransactionMetadata>,
    producer: Producer,
    outcome: TxnOutcome,
    client: TransactionVersion,
    circumstances: &Circumstances,
) -> Decided<Producer> {
    let metadata = known.ok_or(ErrorCode::InvalidProducerIdMapping)?;
    if client.bumps_epoch() {
        end_with_epoch_bump(metadata, producer, outcome, client, circumstances)
    } else {
        end_classically(metadata, producer, outcome, circumstances.now_ms)
    }
}

fn end_classically(
    metadata: &TransactionMetadata,
    producer: Producer,
    outcome: TxnOutcome,
    now_ms: i64,
) -> Decided<Producer> {
    if metadata.producer.id != producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if metadata.producer.epoch != producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match (metadata.state, outcome) {
        (TransactionState::Ongoing, _) => {
            let next = TransactionMetadata {
                next_producer_id: ProducerId::NONE,
                updated_ms: now_ms,
                client_version: TransactionVersion::V0,
                ..metadata.following(prepare(outcome))
            };
            Ok(Step::Write(Box::new(next), Producer::NONE))
        }
        (TransactionState::CompleteCommit, TxnOutcome::Commit)
        | (TransactionState::CompleteAbort, TxnOutcome::Abort) => Ok(Step::Answer(Producer::NONE)),
        (TransactionState::PrepareCommit, TxnOutcome::Commit)
        | (TransactionState::PrepareAbort, TxnOutcome::Abort) => Err(ErrorCode::ConcurrentTransactions),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

fn prepare(outcome: TxnOutcome) -> TransactionState {
    match outcome {
        TxnOutcome::Commit => TransactionState::PrepareCommit,
        TxnOutcome::Abort => TransactionState::PrepareAbort,
    }
}

/// How a client's id and epoch relate to those that the transactional id has now, where each transaction has its own epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Current,
    /// The epoch that the client had before its last EndTxn, whose answer it may have missed.
    BeforeBump,
    /// The same, where that epoch was the last of its producer id.
    BeforeRotation,
    Other,
}

fn claim(metadata: &TransactionMetadata, producer: Producer) -> Claim {
    let (now, epoch) = (metadata.producer, producer.epoch.get());
    if i32::from(now.epoch.get()) == i32::from(epoch) + 1 {
        Claim::BeforeBump
    } else if metadata.previous_producer_id == producer.id && epoch == LAST_EPOCH && now.epoch.get() == 0 {
        Claim::BeforeRotation
    } else if now.epoch == producer.epoch {
        Claim::Current
    } else {
        Claim::Other
    }
}

/// Kafka's table above `TransactionCoordinator.endTransaction`: the same epoch is not a repetition but the next end.
fn end_with_epoch_bump(
    metadata: &TransactionMetadata,
    producer: Producer,
    outcome: TxnOutcome,
    client: TransactionVersion,
    circumstances: &Circumstances,
) -> Decided<Producer> {
    use TransactionState::{
        CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit, PrepareEpochFence,
    };
    let claim = claim(metadata, producer);
    if metadata.producer.id != producer.id && claim != Claim::BeforeRotation {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let is_valid = match metadata.state {
        Ongoing | Empty | Dead | PrepareEpochFence => claim == Claim::Current,
        PrepareCommit | PrepareAbort => claim == Claim::BeforeBump,
        CompleteCommit | CompleteAbort => claim != Claim::Other,
    };
    if !is_valid {
        return Err(ErrorCode::ProducerFenced);
    }
    let retried = claim != Claim::Current;
    match (metadata.state, outcome) {
        (Ongoing, _) => Ok(end_and_bump(metadata, outcome, client, Begun::Before, circumstances)),
        (CompleteCommit, TxnOutcome::Commit) | (CompleteAbort, TxnOutcome::Abort) if retried => {
            Ok(Step::Answer(metadata.producer))
        }
        (Empty | CompleteCommit | CompleteAbort, TxnOutcome::Abort) if !retried => {
            Ok(end_and_bump(metadata, outcome, client, Begun::Never, circumstances))
        }
        (PrepareCommit, TxnOutcome::Commit) | (PrepareAbort, TxnOutcome::Abort) => {
            Err(ErrorCode::ConcurrentTransactions)
        }
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

/// Whether the transaction that ends has any partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Before,
    Never,
}

fn end_and_bump(
    metadata: &TransactionMetadata,
    outcome: TxnOutcome,
    client: TransactionVersion,
    begun: Begun,
    circumstances: &Circumstances,
) -> Step<Producer> {
    let current = metadata.producer;
    let Some(next_producer_id) = id_after(current, circumstances) else { return Step::NeedsProducerId };
    let next = TransactionMetadata {
        producer: Producer { epoch: next_epoch(current.epoch), ..current },
        last_epoch: current.epoch,
        next_producer_id,
        started_ms: if begun == Begun::Never { circumstances.now_ms } else { metadata.started_ms },
        updated_ms: circumstances.now_ms,
        client_version: client,
        ..metadata.following(prepare(outcome))
    };
    // What the client goes on with is what it will be once all markers are written.
    let granted = next.completed(circumstances.now_ms).map_or(next.producer, |completed| completed.producer);
    Step::Write(Box::new(next), granted)
}
