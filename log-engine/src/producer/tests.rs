#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::batch::control::{EndTxnMarker, TxnOutcome};
use crate::batch::{AppendOrigin, CompressionType};
use crate::types::{LeaderEpoch, ProducerEpoch, Sequence};

const ID: i64 = 1000;

/// A batch of `count` records of producer 1000.
fn batch(epoch: i16, sequence: i32, count: i32) -> BatchSummary {
    BatchSummary {
        position: 0,
        size_in_bytes: 100,
        base_offset: Offset::ZERO,
        last_offset_delta: count - 1,
        leader_epoch: LeaderEpoch::new(0),
        max_timestamp: TimestampMs::new(5),
        compression: CompressionType::None,
        producer_id: ProducerId::new(ID),
        producer_epoch: ProducerEpoch::new(epoch),
        base_sequence: Sequence::new(sequence),
        transactional: false,
        control: false,
        record_count: count,
        marker: None,
    }
}

fn transactional(id: i64, sequence: i32) -> BatchSummary {
    BatchSummary { transactional: true, producer_id: ProducerId::new(id), ..batch(0, sequence, 1) }
}

fn marker(id: i64, epoch: i16, outcome: TxnOutcome, coordinator_epoch: i32) -> BatchSummary {
    BatchSummary {
        control: true,
        base_sequence: Sequence::NONE,
        producer_epoch: ProducerEpoch::new(epoch),
        marker: Some((EndTxnMarker { outcome, coordinator_epoch }, TimestampMs::new(9))),
        ..transactional(id, 0)
    }
}

/// Appends batches one behind the other.
struct Appender {
    states: ProducerStates,
    next: Offset,
}

impl Appender {
    fn new() -> Self {
        Self { states: ProducerStates::new(Offset::ZERO), next: Offset::ZERO }
    }

    fn reserve(&mut self, batch: BatchSummary) -> BatchSummary {
        let placed = batch.at(self.next);
        assert_eq!(self.states.admit(&batch, AppendOrigin::Coordinator), Admission::Accept, "{batch:?}");
        self.states.reserve(&placed);
        self.next = placed.last_offset().next();
        placed
    }

    fn append(&mut self, batch: BatchSummary) -> Option<CompletedTxn> {
        let placed = self.reserve(batch);
        self.states.publish(&placed)
    }

    fn offered(&self, batch: BatchSummary) -> Admission {
        self.states.admit(&batch, AppendOrigin::Client)
    }
}

#[test]
fn sequences_and_epochs_are_judged_as_kafka_judges_them() {
    let max = i32::MAX;
    let stale = |epoch, current| Refusal::InvalidProducerEpoch {
        epoch: ProducerEpoch::new(epoch),
        current: ProducerEpoch::new(current),
    };
    let gap = |sequence, last| Refusal::OutOfOrderSequence {
        sequence: Sequence::new(sequence),
        last: Sequence::new(last),
    };
    let bump = |sequence, epoch, current| Refusal::SequenceOfNewEpoch {
        sequence: Sequence::new(sequence),
        epoch: ProducerEpoch::new(epoch),
        current: ProducerEpoch::new(current),
    };
    // What was written (epoch, first sequence, records), what comes, what Kafka says.
    type Written = (i16, i32, i32);
    let table: [(&str, &[Written], Written, Option<Refusal>); 14] = [
        ("a new producer begins at 0", &[], (0, 0, 3), None),
        ("a new producer may begin anywhere", &[], (7, 42, 3), None),
        ("the next sequence follows", &[(0, 0, 3)], (0, 3, 1), None),
        ("a gap is refused", &[(0, 0, 3)], (0, 4, 1), Some(gap(4, 2))),
        ("an overlap that is no repetition is refused", &[(0, 0, 3)], (0, 0, 2), Some(gap(0, 2))),
        ("going back to 0 is refused", &[(0, 5, 3)], (0, 0, 1), Some(gap(0, 7))),
        ("after the last sequence comes 0", &[(0, max - 1, 2)], (0, 0, 1), None),
        ("a batch may lie across the wrap", &[(0, max - 2, 2)], (0, max, 3), None),
        ("what follows the wrap follows it", &[(0, max - 1, 4)], (0, 2, 1), None),
        ("before the wrap 0 is too early", &[(0, max - 1, 1)], (0, 0, 1), Some(gap(0, max - 1))),
        ("an older epoch is fenced", &[(3, 0, 1)], (2, 1, 1), Some(stale(2, 3))),
        ("a new epoch begins at 0", &[(3, 0, 9)], (4, 0, 1), None),
        ("a new epoch begins nowhere else", &[(3, 0, 9)], (4, 9, 1), Some(bump(9, 4, 3))),
        ("epochs may be skipped", &[(3, 0, 9)], (9, 0, 1), None),
    ];
    for (rule, written, (epoch, sequence, count), expected) in table {
        let mut log = Appender::new();
        for (epoch, sequence, count) in written {
            log.append(batch(*epoch, *sequence, *count));
        }
        let expected = expected.map_or(Admission::Accept, Admission::Refuse);
        assert_eq!(log.offered(batch(epoch, sequence, count)), expected, "{rule}");
    }
}

#[test]
fn a_duplicate_of_the_fifth_last_batch_is_acknowledged_with_its_first_offset() {
    let mut log = Appender::new();
    for i in 0..6 {
        log.append(batch(0, i * 10, 10));
    }
    for i in 1..6 {
        let Admission::Duplicate { of, in_flight: false } = log.offered(batch(0, i * 10, 10)) else {
            panic!("batch {i} is not recognised");
        };
        assert_eq!(
            (of.first_offset().get(), of.last_offset.get()),
            (i64::from(i) * 10, i64::from(i) * 10 + 9)
        );
    }
    let sixth_last = log.offered(batch(0, 0, 10));
    assert!(matches!(sixth_last, Admission::Refuse(Refusal::OutOfOrderSequence { .. })));
}

#[test]
fn a_duplicate_across_the_wrap_is_recognised() {
    let mut log = Appender::new();
    log.append(batch(0, i32::MAX - 1, 4));
    assert!(matches!(log.offered(batch(0, i32::MAX - 1, 4)), Admission::Duplicate { .. }));
}

#[test]
fn batches_of_an_older_epoch_are_fenced_not_recognised() {
    let mut log = Appender::new();
    log.append(batch(0, 0, 2));
    log.append(batch(1, 0, 2));
    assert!(matches!(log.offered(batch(0, 0, 2)), Admission::Refuse(Refusal::InvalidProducerEpoch { .. })));
}

#[test]
fn reserved_batches_are_judged_against_each_other_and_vanish_together() {
    let mut log = Appender::new();
    log.append(batch(0, 0, 1));
    let first = log.reserve(batch(0, 1, 1));
    log.reserve(batch(0, 2, 1));
    assert_eq!(log.offered(batch(0, 3, 1)), Admission::Accept);
    assert!(matches!(log.offered(batch(0, 0, 1)), Admission::Duplicate { in_flight: false, .. }));
    assert!(matches!(log.offered(batch(0, 2, 1)), Admission::Duplicate { in_flight: true, .. }));
    log.states.publish(&first);
    assert!(matches!(log.offered(batch(0, 1, 1)), Admission::Duplicate { in_flight: false, .. }));
    assert!(matches!(log.offered(batch(0, 2, 1)), Admission::Duplicate { in_flight: true, .. }));
    log.states.drop_tentative();
    assert_eq!(log.offered(batch(0, 2, 1)), Admission::Accept);
    assert_eq!(log.states.end_offset(), Offset::new(2));
}

#[test]
fn coordinators_write_without_sequences_and_replicas_are_not_judged() {
    let mut log = Appender::new();
    log.append(batch(5, 0, 1));
    let unnumbered = BatchSummary { base_sequence: Sequence::NONE, ..batch(5, 0, 1) };
    assert_eq!(log.states.admit(&unnumbered, AppendOrigin::Coordinator), Admission::Accept);
    let stale = batch(1, 77, 1);
    assert!(matches!(log.states.admit(&stale, AppendOrigin::Coordinator), Admission::Refuse(_)));
    assert_eq!(log.states.admit(&stale, AppendOrigin::Replication), Admission::Accept);
}

#[test]
fn a_write_outside_the_open_transaction_is_refused() {
    let mut log = Appender::new();
    log.append(transactional(ID, 0));
    let refused = log.offered(batch(0, 1, 1));
    assert_eq!(refused, Admission::Refuse(Refusal::NotTransactional { open_since: Offset::ZERO }));
    assert_eq!(log.offered(transactional(ID, 1)), Admission::Accept);
    log.append(marker(ID, 0, TxnOutcome::Commit, 1));
    assert_eq!(log.offered(batch(0, 1, 1)), Admission::Accept);
}

#[test]
fn a_marker_of_a_replaced_coordinator_is_refused() {
    let mut log = Appender::new();
    log.append(transactional(ID, 0));
    log.append(marker(ID, 0, TxnOutcome::Abort, 3));
    let late = log.states.admit(&marker(ID, 0, TxnOutcome::Commit, 2), AppendOrigin::Coordinator);
    assert_eq!(late, Admission::Refuse(Refusal::CoordinatorFenced { epoch: 2, current: 3 }));
}

#[test]
fn an_epoch_bump_by_a_marker_makes_the_sequence_begin_at_zero() {
    let mut log = Appender::new();
    log.append(transactional(ID, 0));
    log.append(marker(ID, 1, TxnOutcome::Commit, 0));
    let follows = BatchSummary { producer_epoch: ProducerEpoch::new(1), ..transactional(ID, 1) };
    let begins = BatchSummary { producer_epoch: ProducerEpoch::new(1), ..transactional(ID, 0) };
    assert!(matches!(log.offered(follows), Admission::Refuse(Refusal::OutOfOrderSequence { .. })));
    assert_eq!(log.offered(begins), Admission::Accept);
}

#[test]
fn the_last_stable_offset_waits_for_the_oldest_transaction_and_its_marker_to_be_committed() {
    let mut log = Appender::new();
    log.append(batch(0, 0, 10));
    log.append(transactional(1, 0));
    log.append(transactional(2, 0));
    let stable = |log: &Appender| log.states.last_stable_offset(log.next).get();
    assert_eq!(stable(&log), 10);
    let done = log.append(marker(1, 0, TxnOutcome::Abort, 0)).unwrap();
    assert_eq!((done.first_offset.get(), done.last_offset.get()), (10, 12));
    // Producer 2 is open since 11, so that is what the transaction index stores.
    assert_eq!((done.outcome, done.last_stable_offset.get()), (TxnOutcome::Abort, 11));
    assert_eq!(stable(&log), 10);
    log.states.on_high_watermark_updated(Offset::new(12));
    assert_eq!(stable(&log), 10);
    log.states.on_high_watermark_updated(Offset::new(13));
    assert_eq!(stable(&log), 11);
    let done = log.append(marker(2, 0, TxnOutcome::Commit, 0)).unwrap();
    assert_eq!(done.last_stable_offset.get(), 14);
    log.states.on_high_watermark_updated(Offset::new(14));
    assert_eq!(stable(&log), 14);
}

#[test]
fn a_marker_without_transaction_completes_none() {
    let mut log = Appender::new();
    assert_eq!(log.append(marker(ID, 0, TxnOutcome::Commit, 4)), None);
    assert_eq!(log.states.producer(ProducerId::new(ID)).unwrap().coordinator_epoch, 4);
    let emptied = BatchSummary { marker: None, ..marker(ID, 9, TxnOutcome::Commit, 9) };
    assert_eq!(log.append(emptied), None);
    assert_eq!(log.states.producer(ProducerId::new(ID)).unwrap().coordinator_epoch, 4);
}

#[test]
fn idle_producers_expire_unless_a_transaction_is_open_or_a_batch_under_way() {
    let mut log = Appender::new();
    log.append(batch(0, 0, 1));
    log.append(transactional(1, 0));
    log.states.expire(TimestampMs::new(5 + 99), 100);
    assert_eq!(log.states.producers().len(), 2);
    log.reserve(batch(0, 1, 1));
    log.states.expire(TimestampMs::new(5 + 100), 100);
    assert_eq!(log.states.producers().len(), 2);
    log.states.drop_tentative();
    log.states.expire(TimestampMs::new(5 + 100), 100);
    assert_eq!(log.states.producers().map(|p| p.producer_id.get()).collect::<Vec<_>>(), [1]);
    assert_eq!(log.offered(batch(0, 77, 1)), Admission::Accept);
}

#[test]
fn a_snapshot_brings_back_the_last_batch_and_the_open_transaction() {
    let mut log = Appender::new();
    for i in 0..7 {
        log.append(batch(2, i, 1));
    }
    log.append(transactional(7, 0));
    log.append(marker(8, 3, TxnOutcome::Abort, 5));
    let bytes = log.states.to_snapshot();
    let end = log.states.end_offset();
    let loaded = ProducerStates::from_snapshot(&bytes, end, TimestampMs::new(6), 1000).unwrap();
    assert_eq!(loaded.to_snapshot(), bytes);
    assert_eq!(loaded.end_offset(), end);
    assert_eq!(loaded.first_unstable_offset(), log.states.first_unstable_offset());
    let producer = loaded.producer(ProducerId::new(ID)).unwrap();
    assert_eq!(producer.batches(), &log.states.producer(ProducerId::new(ID)).unwrap().batches()[4..]);
    let marked = loaded.producer(ProducerId::new(8)).unwrap();
    assert_eq!((marked.coordinator_epoch, marked.last_sequence()), (5, Sequence::NONE));
    let later = ProducerStates::from_snapshot(&bytes, end, TimestampMs::new(5000), 1000).unwrap();
    assert_eq!(later.producers().map(|p| p.producer_id.get()).collect::<Vec<_>>(), [7]);
}

#[test]
fn a_mutilated_snapshot_is_refused() {
    let mut log = Appender::new();
    log.append(batch(0, 0, 1));
    log.append(transactional(7, 0));
    let bytes = log.states.to_snapshot();
    for len in 0..bytes.len() {
        assert!(snapshot::decode(&bytes[..len]).is_err(), "{len}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut mutilated = bytes.clone();
            mutilated[at] ^= 1 << bit;
            assert!(snapshot::decode(&mutilated).is_err(), "{at} {bit}");
        }
    }
}

#[test]
fn a_verification_that_nobody_comes_back_for_is_forgotten_as_silent_producers_are() {
    let mut states = ProducerStates::new(Offset::ZERO);
    let request = VerificationRequest {
        producer_id: ProducerId::new(ID),
        producer_epoch: ProducerEpoch::new(0),
        base_sequence: Sequence::FIRST,
        protocol: TransactionProtocol::EpochBump,
    };
    let begin =
        |states: &mut ProducerStates| states.begin_verification(&request, TimestampMs::new(10)).unwrap();
    let first = begin(&mut states);
    states.expire(TimestampMs::new(109), 100);
    assert_eq!(begin(&mut states), first);
    states.expire(TimestampMs::new(110), 100);
    assert_ne!(begin(&mut states), first);
}
