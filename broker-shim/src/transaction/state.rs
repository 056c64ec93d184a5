//! The states of a transactional id, and one transactional id as its coordinator knows it.

use std::collections::{BTreeMap, BTreeSet};

use log_engine::{
    batch::control::TxnOutcome,
    producer::TransactionProtocol,
    types::{ProducerEpoch, ProducerId},
};

/// Kafka's `TransactionState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionState {
    /// No transaction was begun under this epoch.
    Empty,
    /// A transaction is open.
    Ongoing,
    /// It is decided that it counts; its markers are on their way.
    PrepareCommit,
    /// It is decided that it is void; its markers are on their way.
    PrepareAbort,
    /// All markers are written.
    CompleteCommit,
    /// All markers are written.
    CompleteAbort,
    /// On its way to being forgotten. Never seen here: forgetting is one step.
    Dead,
    /// On its way from `Ongoing` to `PrepareAbort` with a new epoch. Never seen here: fencing is one step.
    PrepareEpochFence,
}

/// By Kafka's numbers.
const STATES: [(TransactionState, &str); 8] = [
    (TransactionState::Empty, "Empty"),
    (TransactionState::Ongoing, "Ongoing"),
    (TransactionState::PrepareCommit, "PrepareCommit"),
    (TransactionState::PrepareAbort, "PrepareAbort"),
    (TransactionState::CompleteCommit, "CompleteCommit"),
    (TransactionState::CompleteAbort, "CompleteAbort"),
    (TransactionState::Dead, "Dead"),
    (TransactionState::PrepareEpochFence, "PrepareEpochFence"),
];

impl TransactionState {
    pub(crate) fn from_id(id: i8) -> Option<Self> {
        STATES.get(usize::try_from(id).ok()?).map(|(state, _)| *state)
    }

    pub(crate) fn id(self) -> i8 {
        self as i8
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        STATES.iter().find(|(_, known)| *known == name).map(|(state, _)| *state)
    }

    pub(crate) fn name(self) -> &'static str {
        STATES[self as usize].1
    }

    /// What the markers on their way say.
    pub(crate) fn outcome_under_way(self) -> Option<TxnOutcome> {
        match self {
            Self::PrepareCommit => Some(TxnOutcome::Commit),
            Self::PrepareAbort => Some(TxnOutcome::Abort),
            _ => None,
        }
    }

    /// Whether an id in this state may be forgotten after a long silence.
    pub(crate) fn may_expire(self) -> bool {
        matches!(self, Self::Empty | Self::CompleteCommit | Self::CompleteAbort)
    }
}

/// Levels of the feature `transaction.version`, and what a client that speaks them expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TransactionVersion {
    /// The first protocol.
    #[default]
    V0,
    /// The same, with records of the coordinator that have room for more.
    V1,
    /// An epoch for each transaction, and partitions that are added by producing to them (KIP-890).
    V2,
}

impl TransactionVersion {
    /// A level that is not known here is taken for the newest one that is.
    pub(crate) fn from_level(level: i16) -> Self {
        match level {
            ..=0 => Self::V0,
            1 => Self::V1,
            2.. => Self::V2,
        }
    }

    pub(crate) fn level(self) -> i16 {
        self as i16
    }

    pub(crate) fn bumps_epoch(self) -> bool {
        self >= Self::V2
    }

    /// In which version the coordinator's records are written.
    pub(super) fn record_version(self) -> i16 {
        self.level().min(1)
    }

    /// By which rules a partition judges the markers.
    pub(crate) fn protocol(self) -> TransactionProtocol {
        if self.bumps_epoch() { TransactionProtocol::EpochBump } else { TransactionProtocol::Classic }
    }
}

/// Who produces: an id and the epoch under which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

impl Producer {
    pub(crate) const NONE: Self = Self { id: ProducerId::NONE, epoch: ProducerEpoch::NONE };

    pub(crate) fn new(id: i64, epoch: i16) -> Self {
        Self { id: ProducerId::new(id), epoch: ProducerEpoch::new(epoch) }
    }
}

/// The last epoch that a producer may use. One more is kept, so that whoever has it can be fenced.
pub(super) const LAST_EPOCH: i16 = i16::MAX - 1;

pub(super) fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch.get() >= LAST_EPOCH
}

/// The one above; the largest stays.
pub(super) fn next_epoch(epoch: ProducerEpoch) -> ProducerEpoch {
    ProducerEpoch::new(epoch.get().saturating_add(1))
}

/// Partitions by topic.
pub(crate) type Partitions = BTreeMap<Box<str>, BTreeSet<i32>>;

/// Kafka's `TransactionMetadata`: of a transactional id, all that its coordinator knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransactionMetadata {
    pub(crate) producer: Producer,
    /// Before the last transition.
    pub(crate) previous_producer_id: ProducerId,
    /// Under way to its end, a transaction whose epoch was the last one: the id that follows.
    pub(crate) next_producer_id: ProducerId,
    /// The epoch that the client had before the one it has, as far as it was told so by this coordinator: not in the
    /// records, so it is forgotten by a restart.
    pub(crate) last_epoch: ProducerEpoch,
    pub(crate) timeout_ms: i32,
    pub(crate) state: TransactionState,
    pub(crate) partitions: Partitions,
    /// -1 where no transaction was begun.
    pub(crate) started_ms: i64,
    pub(crate) updated_ms: i64,
    /// What the client that began or ended the transaction speaks.
    pub(crate) client_version: TransactionVersion,
}

/// Where nothing was begun.
pub(crate) const NOT_STARTED: i64 = -1;

impl TransactionMetadata {
    /// A transactional id that is seen for the first time.
    pub(super) fn new(producer_id: ProducerId, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer: Producer { id: producer_id, epoch: ProducerEpoch::NONE },
            previous_producer_id: ProducerId::NONE,
            next_producer_id: ProducerId::NONE,
            last_epoch: ProducerEpoch::NONE,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: Partitions::new(),
            started_ms: NOT_STARTED,
            updated_ms: now_ms,
            client_version: TransactionVersion::V0,
        }
    }

    /// A copy to make the next state of.
    pub(super) fn following(&self, state: TransactionState) -> Self {
        Self { previous_producer_id: self.producer.id, state, ..self.clone() }
    }

    /// The epoch and id that all markers have been written under make way for the client's next ones.
    pub(super) fn completed(&self, now_ms: i64) -> Option<Self> {
        let state = match self.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            TransactionState::PrepareAbort => TransactionState::CompleteAbort,
            _ => return None,
        };
        let rotated = self.client_version.bumps_epoch() && self.next_producer_id != ProducerId::NONE;
        let producer = if rotated {
            Producer { id: self.next_producer_id, epoch: ProducerEpoch::new(0) }
        } else {
            self.producer
        };
        Some(Self {
            producer,
            next_producer_id: ProducerId::NONE,
            partitions: Partitions::new(),
            updated_ms: now_ms,
            ..self.following(state)
        })
    }

    pub(super) fn holds(&self, topic: &str, partition: i32) -> bool {
        self.partitions.get(topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// When the transaction is to be aborted, if it is open.
    pub(super) fn times_out_at_ms(&self) -> Option<i64> {
        (self.state == TransactionState::Ongoing)
            .then(|| self.started_ms.saturating_add(i64::from(self.timeout_ms)))
    }
}
