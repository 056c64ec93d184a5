//! Offsets of a shard: in transactions, and until nobody wants them. Records are replayed as the runtime does.
#![expect(clippy::unwrap_used, reason = "tests")]

use log_engine::{
    Offset, TimestampMs,
    batch::control::TxnOutcome,
    types::{ProducerEpoch, ProducerId},
};
use wire::primitives::Uuid;

use super::{
    state::{GroupState, GroupTimer},
    *,
};
use crate::coordinator::{
    CoordinatorState as _, EndMarker, LogRecord, Moment, Record, Ticks, Transaction, Write,
};

const RETENTION_MS: i64 = 60_000;

/// A shard, its clock, and the offset of its next record.
struct World {
    state: GroupState,
    now: i64,
    end: Offset,
}

impl World {
    fn new() -> Self {
        let pairs = [("offsets.retention.minutes", "1"), ("group.initial.rebalance.delay.ms", "0")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let config = GroupConfig::of(&Config::from_pairs(&pairs).unwrap());
        Self { state: GroupState::new(Arc::new(config)), now: 1_000_000, end: Offset::new(0) }
    }

    fn now(&self) -> Moment {
        Moment { wall: TimestampMs::new(self.now), ticks: Ticks::new(self.now) }
    }

    fn replay(&mut self, records: &[Record], transaction: Option<Transaction>) {
        for Record { key, value } in records {
            let (key, value) = (Some(&key[..]), value.as_deref());
            self.state.replay(&LogRecord { offset: self.end, transaction, key, value }).unwrap();
            self.end = self.end.next();
        }
    }

    fn written(&mut self, write: &Write) -> usize {
        match write {
            Write::Records { records, .. } => {
                self.replay(records, None);
                records.len()
            }
            Write::Transactional { transaction, records, .. } => {
                self.replay(records, Some(*transaction));
                records.len()
            }
            _ => 0,
        }
    }

    fn commit(&mut self, topic: &str, offset: i64, transaction: Option<Transaction>) {
        let committed =
            NewOffset { topic, topic_id: Uuid::ZERO, partition: 0, offset, leader_epoch: -1, metadata: None };
        let request = CommitRequest {
            group: "g",
            by: Committer { generation: -1, member: "", instance: None },
            offsets: vec![committed],
            retention_ms: None,
            transaction,
            verified_by: None,
            no_group: ErrorCode::IllegalGeneration,
        };
        let now = self.now();
        let decision = self.state.commit(&request, now).unwrap();
        assert_eq!(decision.answer, [ErrorCode::None]);
        assert_eq!(matches!(decision.write, Write::Transactional { .. }), transaction.is_some());
        self.written(&decision.write);
    }

    fn end_transaction(&mut self, producer: i64, outcome: TxnOutcome) {
        let marker = EndMarker { transaction: transaction(producer), coordinator_epoch: 0, outcome };
        self.state.replay_marker(marker);
        self.end = self.end.next();
    }

    /// The offset of a topic, as one who asks for a stable one is told, and as others are.
    fn fetch(&self, topic: &str) -> (Result<Option<i64>, ErrorCode>, Option<i64>) {
        let of = |stability| {
            let asked = AskedTopic { name: topic.into(), id: Uuid::ZERO, partitions: &[0] };
            let request = FetchRequest { group: "g", topics: Some(vec![asked]), stability };
            let fetched = self.state.fetch(&request).remove(0).partitions.remove(0).1;
            fetched.map(|committed| committed.map(|committed| committed.offset))
        };
        (of(Stability::Required), of(Stability::AsItIs).unwrap())
    }

    /// How many tombstones a look at what has expired writes.
    fn expire(&mut self) -> usize {
        let now = self.now();
        let decision = self.state.fired(GroupTimer::Expiry, now);
        self.written(&decision.write)
    }

    /// A group of one stable member with this protocol type that reads the topic `t`.
    fn join(&mut self, protocol_type: &str) -> String {
        let subscription =
            wire::records::ConsumerProtocolSubscription { topics: vec!["t".into()], ..Default::default() };
        let metadata = wire::records::encode_versioned(&subscription, 1).unwrap();
        let request = JoinRequest {
            version: 3,
            group: "g",
            member: "",
            instance: None,
            client: ClientFacts { id: "c", host: "/127.0.0.1" },
            session_timeout_ms: 10_000_000,
            rebalance_timeout_ms: 10_000_000,
            protocol_type,
            protocols: vec![("range".into(), metadata.into())],
            unique: "1",
        };
        let now = self.now();
        let mut told = self.state.join(request, now).unwrap().answer;
        self.state.fired(GroupTimer::Join("g".into()), now);
        let joined = told.try_recv().unwrap();
        let request = SyncRequest {
            group: "g",
            generation: joined.generation,
            member: &joined.member,
            instance: None,
            protocol_type: None,
            protocol: None,
            assignments: Vec::new(),
        };
        let decision = self.state.sync(request, now).unwrap();
        self.state.settled(decision.after.unwrap(), Ok(()), now);
        joined.member.to_string()
    }

    fn leave(&mut self, member: &str) {
        let now = self.now();
        self.state.leave("g", &[Leaving { member, instance: None, reason: None }], now);
    }
}

fn transaction(producer: i64) -> Transaction {
    Transaction { producer_id: ProducerId::new(producer), producer_epoch: ProducerEpoch::new(0) }
}

#[test]
fn an_offset_of_a_transaction_counts_once_that_is_committed() {
    let mut world = World::new();
    world.commit("t", 5, None);
    world.commit("t", 7, Some(transaction(1)));
    assert_eq!(world.fetch("t"), (Err(ErrorCode::UnstableOffsetCommit), Some(5)));
    world.end_transaction(2, TxnOutcome::Commit);
    assert_eq!(world.fetch("t").1, Some(5), "another producer's");
    world.end_transaction(1, TxnOutcome::Commit);
    assert_eq!(world.fetch("t"), (Ok(Some(7)), Some(7)));
}

#[test]
fn an_offset_of_a_transaction_that_is_aborted_never_counts() {
    let mut world = World::new();
    world.commit("t", 7, Some(transaction(1)));
    assert_eq!(world.fetch("t"), (Err(ErrorCode::UnstableOffsetCommit), None));
    world.end_transaction(1, TxnOutcome::Abort);
    assert_eq!(world.fetch("t"), (Ok(None), None));
}

#[test]
fn of_two_offsets_the_one_whose_record_is_the_later_counts() {
    let mut world = World::new();
    world.commit("t", 7, Some(transaction(1)));
    world.commit("t", 9, None);
    world.end_transaction(1, TxnOutcome::Commit);
    assert_eq!(world.fetch("t").1, Some(9));
    world.commit("t", 3, None);
    world.commit("t", 4, Some(transaction(1)));
    world.end_transaction(1, TxnOutcome::Commit);
    assert_eq!(world.fetch("t").1, Some(4));
}

#[test]
fn a_deleted_offset_is_not_brought_back_by_its_transaction() {
    let mut world = World::new();
    world.commit("t", 7, Some(transaction(1)));
    let decision = world.state.forget_topics(&["t".into()]).unwrap();
    assert_eq!(world.written(&decision.write), 1);
    world.end_transaction(1, TxnOutcome::Commit);
    assert_eq!(world.fetch("t"), (Ok(None), None));
}

#[test]
fn offsets_of_who_assigns_partitions_itself_expire_by_their_age_and_the_group_with_them() {
    let mut world = World::new();
    world.commit("t", 5, None);
    world.now += RETENTION_MS - 1;
    assert_eq!(world.expire(), 0);
    world.commit("u", 6, None);
    world.now += 1;
    assert_eq!(world.expire(), 1);
    assert_eq!((world.fetch("t").1, world.fetch("u").1), (None, Some(6)));
    world.now += RETENTION_MS;
    assert_eq!(world.expire(), 2, "the other offset, and the group");
    assert!(world.state.describe("g").is_none());
}

#[test]
fn offsets_of_an_empty_group_expire_by_how_long_it_has_been_empty() {
    let mut world = World::new();
    world.commit("t", 5, None);
    world.now += 10 * RETENTION_MS;
    let member = world.join("consumer");
    world.leave(&member);
    world.now += RETENTION_MS - 1;
    assert_eq!(world.expire(), 0);
    world.now += 1;
    assert_eq!(world.expire(), 2);
    assert!(world.state.describe("g").is_none());
}

#[test]
fn of_consumers_that_are_there_only_offsets_of_topics_that_they_do_not_read_expire() {
    let mut world = World::new();
    world.commit("t", 5, None);
    world.commit("u", 5, None);
    world.join("consumer");
    world.now += RETENTION_MS;
    assert_eq!(world.expire(), 1);
    assert_eq!((world.fetch("t").1, world.fetch("u").1), (Some(5), None));
    // Nobody knows what others read.
    let mut world = World::new();
    world.commit("u", 5, None);
    world.join("connect");
    world.now += RETENTION_MS;
    assert_eq!(world.expire(), 0);
}

#[test]
fn an_open_transaction_keeps_an_offset_and_its_group() {
    let mut world = World::new();
    world.commit("t", 5, None);
    world.commit("t", 7, Some(transaction(1)));
    world.now += RETENTION_MS;
    assert_eq!(world.expire(), 0);
    world.end_transaction(1, TxnOutcome::Abort);
    assert_eq!(world.expire(), 2);
}

#[test]
fn an_offset_of_a_topic_that_was_made_anew_is_not_that_of_the_old_one() {
    let mut world = World::new();
    let id = |byte| Uuid([byte; 16]);
    let offset =
        NewOffset { topic: "t", topic_id: id(1), partition: 0, offset: 5, leader_epoch: -1, metadata: None };
    let request = CommitRequest {
        group: "g",
        by: Committer { generation: -1, member: "", instance: None },
        offsets: vec![offset],
        retention_ms: None,
        transaction: None,
        verified_by: None,
        no_group: ErrorCode::IllegalGeneration,
    };
    let now = world.now();
    let decision = world.state.commit(&request, now).unwrap();
    world.written(&decision.write);
    for (asked, found) in [(id(1), true), (id(2), false), (Uuid::ZERO, true)] {
        let asked = AskedTopic { name: "t".into(), id: asked, partitions: &[0] };
        let request = FetchRequest { group: "g", topics: Some(vec![asked]), stability: Stability::AsItIs };
        let fetched = world.state.fetch(&request).remove(0).partitions.remove(0).1.unwrap();
        assert_eq!(fetched.is_some(), found);
    }
}
