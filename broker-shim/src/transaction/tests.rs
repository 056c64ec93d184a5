//! The coordinator's decisions as tables, above all where epochs and ids run out: Kafka's answers to the rest are in
//! `tests/it/transactions.txt`.
#![expect(clippy::unwrap_used, reason = "tests")]

use log_engine::{
    batch::control::TxnOutcome::{Abort, Commit},
    types::{ProducerEpoch, ProducerId},
};
use wire::ErrorCode;

use super::{
    decide::{
        Circumstances, Decided, Init, Step, add_partitions, end_txn, fence, init_producer_id,
        verify_partition,
    },
    record,
    state::{
        LAST_EPOCH, Partitions, Producer, TransactionMetadata,
        TransactionState::{
            self, CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit,
            PrepareEpochFence,
        },
        TransactionVersion::{self, V0, V1, V2},
    },
};

const ID: i64 = 7;
const SPARE: ProducerId = ProducerId::new(8);
const NOW: i64 = 5000;

fn metadata(state: TransactionState, epoch: i16) -> TransactionMetadata {
    let partitions =
        if state == Ongoing { Partitions::from([("t".into(), [0, 3].into())]) } else { Partitions::new() };
    TransactionMetadata {
        producer: Producer::new(ID, epoch),
        state,
        partitions,
        started_ms: if state == Empty { -1 } else { 100 },
        ..TransactionMetadata::new(ProducerId::new(ID), 1000, 50)
    }
}

fn circumstances(finalized: TransactionVersion) -> Circumstances {
    Circumstances { now_ms: NOW, spare_id: Some(SPARE), finalized }
}

fn init(expected: Option<Producer>) -> Init {
    Init { timeout_ms: 2000, expected }
}

fn written<R: std::fmt::Debug>(step: Decided<R>) -> TransactionMetadata {
    match step.unwrap() {
        Step::Write(next, _) => *next,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_that_ends_its_transaction_gets_what_kafkas_table_says() {
    use ErrorCode::{ConcurrentTransactions as CT, InvalidTxnState as ITS, ProducerFenced as PF};
    // Of each version and state: what an abort and a commit come to, with the current epoch and with the one before.
    let next = |state| Ok(Some(state));
    let none = Ok(None);
    for (version, state, abort, commit) in [
        (V0, Empty, [Err(ITS), Err(PF)], [Err(ITS), Err(PF)]),
        (V0, Ongoing, [next(PrepareAbort), Err(PF)], [next(PrepareCommit), Err(PF)]),
        (V0, PrepareCommit, [Err(ITS), Err(PF)], [Err(CT), Err(PF)]),
        (V0, PrepareAbort, [Err(CT), Err(PF)], [Err(ITS), Err(PF)]),
        (V0, CompleteCommit, [Err(ITS), Err(PF)], [none, Err(PF)]),
        (V0, CompleteAbort, [none, Err(PF)], [Err(ITS), Err(PF)]),
        (V2, Empty, [next(PrepareAbort), Err(PF)], [Err(ITS), Err(PF)]),
        (V2, Ongoing, [next(PrepareAbort), Err(PF)], [next(PrepareCommit), Err(PF)]),
        (V2, PrepareCommit, [Err(PF), Err(ITS)], [Err(PF), Err(CT)]),
        (V2, PrepareAbort, [Err(PF), Err(CT)], [Err(PF), Err(ITS)]),
        (V2, CompleteCommit, [next(PrepareAbort), Err(ITS)], [Err(ITS), none]),
        (V2, CompleteAbort, [next(PrepareAbort), none], [Err(ITS), Err(ITS)]),
    ] {
        let known = metadata(state, 5);
        for (outcome, expected) in [(Abort, abort), (Commit, commit)] {
            for (epoch, expected) in [5, 4].into_iter().zip(expected) {
                let step =
                    end_txn(Some(&known), Producer::new(ID, epoch), outcome, version, &circumstances(V2));
                let became = step.map(|step| match step {
                    Step::Write(next, _) => Some(next.state),
                    _ => None,
                });
                assert_eq!(became, expected, "{version:?} {state:?} {outcome:?} {epoch}");
            }
        }
    }
}

#[test]
fn an_end_bumps_the_epoch_and_a_timeout_fences_it() {
    let known = metadata(Ongoing, 5);
    let ended = written(end_txn(Some(&known), known.producer, Commit, V2, &circumstances(V2)));
    assert_eq!((ended.producer, ended.last_epoch), (Producer::new(ID, 6), ProducerEpoch::new(5)));
    assert_eq!((ended.started_ms, ended.updated_ms, &ended.partitions), (100, NOW, &known.partitions));
    let done = ended.completed(NOW + 1).unwrap();
    assert_eq!((done.state, done.producer), (CompleteCommit, ended.producer));
    assert!(done.partitions.is_empty() && done.started_ms == 100);

    let classic = written(end_txn(Some(&known), known.producer, Commit, V0, &circumstances(V2)));
    assert_eq!(classic.producer, known.producer);

    for (finalized, last, version) in [(V2, 5, V2), (V1, -1, V0), (V0, -1, V0)] {
        let fenced = fence(&known, &circumstances(finalized)).unwrap();
        assert_eq!((fenced.state, fenced.producer), (PrepareAbort, Producer::new(ID, 6)));
        assert_eq!((fenced.last_epoch, fenced.client_version), (ProducerEpoch::new(last), version));
    }
}

#[test]
fn an_abort_without_partitions_starts_when_it_ends() {
    for state in [Empty, CompleteCommit, CompleteAbort] {
        let known = metadata(state, 5);
        let next = written(end_txn(Some(&known), known.producer, Abort, V2, &circumstances(V2)));
        assert_eq!((next.state, next.started_ms), (PrepareAbort, NOW));
        assert_eq!(next.completed(NOW).unwrap().state, CompleteAbort);
    }
}

#[test]
fn the_last_epoch_is_followed_by_a_new_producer_id() {
    let known = metadata(Ongoing, LAST_EPOCH);
    let end = |spare_id| {
        let circumstances = Circumstances { spare_id, ..circumstances(V2) };
        end_txn(Some(&known), known.producer, Commit, V2, &circumstances)
    };
    assert_eq!(end(None), Ok(Step::NeedsProducerId));
    let Ok(Step::Write(prepared, granted)) = end(Some(SPARE)) else { panic!("it ends") };
    // The markers carry the epoch that is kept for this, the client goes on with the new id.
    assert_eq!(prepared.producer, Producer::new(ID, i16::MAX));
    assert_eq!(granted, Producer { id: SPARE, epoch: ProducerEpoch::new(0) });
    let done = prepared.completed(NOW).unwrap();
    assert_eq!((done.producer, done.previous_producer_id), (granted, ProducerId::new(ID)));
    assert_eq!(done.last_epoch, ProducerEpoch::new(LAST_EPOCH));
    // The client did not hear of it, and asks again.
    let again = end_txn(Some(&done), known.producer, Commit, V2, &circumstances(V2));
    assert_eq!(again, Ok(Step::Answer(granted)));
    let other = end_txn(Some(&done), known.producer, Abort, V2, &circumstances(V2));
    assert_eq!(other, Err(ErrorCode::InvalidTxnState));
    // Or it recovers, under its old id.
    let recovered = init_producer_id(Some(&done), &init(Some(known.producer)), &circumstances(V2));
    assert!(matches!(recovered, Ok(Step::Write(..))), "{recovered:?}");
    // Nor does a timeout leave an epoch that could be fenced no more.
    let fenced = fence(&known, &circumstances(V2)).unwrap();
    assert_eq!((fenced.producer.epoch.get(), fenced.next_producer_id), (i16::MAX, SPARE));
}

#[test]
fn a_new_producer_gets_the_next_epoch_or_the_next_id() {
    let fresh =
        |spare_id| init_producer_id(None, &init(None), &Circumstances { spare_id, ..circumstances(V2) });
    assert_eq!(fresh(None), Ok(Step::NeedsProducerId));
    assert_eq!(written(fresh(Some(SPARE))).producer, Producer { id: SPARE, epoch: ProducerEpoch::new(0) });

    for state in [Empty, CompleteCommit, CompleteAbort] {
        let next = written(init_producer_id(Some(&metadata(state, 5)), &init(None), &circumstances(V2)));
        assert_eq!((next.producer, next.state, next.started_ms), (Producer::new(ID, 6), Empty, -1));
        assert_eq!((next.timeout_ms, next.last_epoch), (2000, ProducerEpoch::NONE));
        let exhausted = metadata(state, LAST_EPOCH);
        let next = written(init_producer_id(Some(&exhausted), &init(None), &circumstances(V2)));
        assert_eq!(next.producer, Producer { id: SPARE, epoch: ProducerEpoch::new(0) });
        let own = Some(exhausted.producer);
        let next = written(init_producer_id(Some(&exhausted), &init(own), &circumstances(V2)));
        assert_eq!(next.last_epoch, ProducerEpoch::new(LAST_EPOCH));
        let stale = Some(Producer::new(ID, 3));
        let refused = init_producer_id(Some(&exhausted), &init(stale), &circumstances(V2));
        assert_eq!(refused, Err(ErrorCode::UnknownServerError));
    }
    for state in [PrepareCommit, PrepareAbort] {
        let refused = init_producer_id(Some(&metadata(state, 5)), &init(None), &circumstances(V2));
        assert_eq!(refused, Err(ErrorCode::ConcurrentTransactions));
    }
    for state in [Dead, PrepareEpochFence] {
        let refused = init_producer_id(Some(&metadata(state, 5)), &init(None), &circumstances(V2));
        assert_eq!(refused, Err(ErrorCode::UnknownServerError));
    }
}

#[test]
fn a_new_producer_has_the_open_transaction_of_the_old_one_aborted() {
    let known = metadata(Ongoing, 5);
    let Ok(Step::Write(next, answer)) = init_producer_id(Some(&known), &init(None), &circumstances(V2))
    else {
        panic!("it is aborted")
    };
    assert_eq!((next.state, next.partitions.clone()), (PrepareAbort, known.partitions));
    assert_eq!(answer, Err(ErrorCode::ConcurrentTransactions));
}

#[test]
fn partitions_are_added_to_the_transaction_that_they_begin() {
    let added = Partitions::from([("t".into(), [3, 4].into()), ("u".into(), [0].into())]);
    for state in [Empty, CompleteCommit, CompleteAbort] {
        let known = metadata(state, 5);
        let next = written(add_partitions(Some(&known), known.producer, &added, V2, NOW));
        assert_eq!((next.state, next.started_ms, &next.partitions), (Ongoing, NOW, &added));
        assert_eq!(next.client_version, V2);
    }
    let known = metadata(Ongoing, 5);
    let next = written(add_partitions(Some(&known), known.producer, &added, V0, NOW));
    assert_eq!((next.started_ms, next.partitions["t"].len()), (100, 3));
    let present = Partitions::from([("t".into(), [3].into())]);
    let step = add_partitions(Some(&known), known.producer, &present, V0, NOW);
    assert_eq!(step, Ok(Step::Answer(())));
    assert_eq!(verify_partition(Some(&known), known.producer, "t", 3), Ok(()));
    let missing = verify_partition(Some(&known), known.producer, "t", 4);
    assert_eq!(missing, Err(ErrorCode::TransactionAbortable));
}

#[test]
fn a_record_says_all_that_outlives_a_restart_in_either_version() {
    let known = TransactionMetadata {
        previous_producer_id: ProducerId::new(3),
        next_producer_id: SPARE,
        client_version: V2,
        ..metadata(Ongoing, 5)
    };
    for (finalized, expected) in [
        (V2, known.clone()),
        (
            V0,
            TransactionMetadata {
                previous_producer_id: ProducerId::NONE,
                next_producer_id: ProducerId::NONE,
                client_version: V0,
                ..known.clone()
            },
        ),
    ] {
        let written = record::encode("an id", &known, finalized).unwrap();
        let (id, read) = record::decode(Some(&written.key), written.value.as_deref()).unwrap();
        assert_eq!((&*id, read), ("an id", Some(expected)));
    }
    let gone = record::tombstone("an id").unwrap();
    assert_eq!(record::decode(Some(&gone.key), None).unwrap(), ("an id".into(), None));
}

#[test]
fn what_is_no_record_is_told_and_no_reason_to_stop() {
    let good = record::encode("an id", &metadata(Ongoing, 5), V2).unwrap();
    let value = good.value.as_deref().unwrap();
    assert!(record::decode(None, Some(value)).is_err());
    assert!(record::decode(Some(&[0, 9, 0, 0]), Some(value)).is_err());
    for len in 0..good.key.len() {
        assert!(record::decode(Some(&good.key[..len]), Some(value)).is_err(), "{len}");
    }
    for len in 0..value.len() {
        assert!(record::decode(Some(&good.key), Some(&value[..len])).is_err(), "{len}");
    }
    for at in 0..value.len() {
        for bit in 0..8 {
            let mut mutilated = value.to_vec();
            mutilated[at] ^= 1 << bit;
            // Some are records still: none may do more harm than that.
            let _ = record::decode(Some(&good.key), Some(&mutilated));
        }
    }
}

#[test]
fn states_have_kafkas_numbers_and_names() {
    for (id, name) in
        ["Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead"]
            .into_iter()
            .enumerate()
    {
        let state = TransactionState::from_id(i8::try_from(id).unwrap()).unwrap();
        assert_eq!((state.name(), usize::try_from(state.id()).unwrap()), (name, id));
        assert_eq!(TransactionState::from_name(name), Some(state));
    }
    assert_eq!((TransactionState::from_id(8), TransactionState::from_id(-1)), (None, None));
}
