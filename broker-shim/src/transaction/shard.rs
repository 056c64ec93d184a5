//! The state of one shard of `__transaction_state`: its transactional ids, and when each has to be looked at again.

use std::{collections::HashMap, sync::Arc};

use log_engine::types::ProducerEpoch;
use tokio::sync::mpsc::UnboundedSender;
use wire::ErrorCode;

use super::{
    record,
    state::{TransactionMetadata, TransactionState, TransactionVersion},
};
use crate::coordinator::{
    CoordinatorState, Decision, EndMarker, LogRecord, Moment, ReplayError, Ticks, Timers, Write,
};

/// What the coordinator does by itself, apart from the events of a shard: it takes more than one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// The end of a transaction is decided: its markers are to be written.
    Complete(Place),
    /// A transaction was open for too long.
    AbortTimedOut(Place),
}

/// A transactional id and the shard that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) shard: i32,
    pub(super) id: Arc<str>,
}

/// What deadlines are for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum TransactionTimer {
    /// The open transaction has had its time.
    TimeOut(Arc<str>),
    /// The id was silent for so long that it may be forgotten.
    Expire(Arc<str>),
}

/// What remains to be done for an id once a write has succeeded or failed.
#[derive(Debug)]
pub(super) enum After {
    /// The id has a new state. Its client's last epoch is not in the record.
    Written { id: Arc<str>, last_epoch: ProducerEpoch },
    /// The id is forgotten.
    Expired { id: Arc<str> },
}

/// Until what could not be written is tried again.
const RETRY_MS: i64 = 10_000;

/// See the module.
#[derive(Debug)]
pub(super) struct TransactionShard {
    number: i32,
    /// `transactional.id.expiration.ms`
    expiration_ms: i64,
    chores: UnboundedSender<Chore>,
    transactions: HashMap<Arc<str>, TransactionMetadata>,
    timers: Timers<TransactionTimer>,
}

impl TransactionShard {
    pub(super) fn new(number: i32, expiration_ms: i64, chores: UnboundedSender<Chore>) -> Self {
        let (transactions, timers) = (HashMap::new(), Timers::default());
        Self { number, expiration_ms, chores, transactions, timers }
    }

    pub(super) fn get(&self, id: &str) -> Option<&TransactionMetadata> {
        self.transactions.get(id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &TransactionMetadata)> {
        self.transactions.iter()
    }

    /// The id is to become `next`.
    pub(super) fn write<R>(
        &self,
        id: &str,
        next: &TransactionMetadata,
        finalized: TransactionVersion,
        answer: R,
    ) -> Result<Decision<Self, R>, ErrorCode> {
        let record = record::encode(id, next, finalized).map_err(|error| {
            tracing::error!(id, %error, "the state of a transactional id cannot be written");
            ErrorCode::UnknownServerError
        })?;
        let after = After::Written { id: id.into(), last_epoch: next.last_epoch };
        Ok(Decision { write: Write::records(vec![record]), after: Some(after), answer })
    }

    fn place(&self, id: &Arc<str>) -> Place {
        Place { shard: self.number, id: Arc::clone(id) }
    }

    fn order(&self, chore: Chore) {
        // Without anybody at the other end, the coordinator has stopped.
        let _ = self.chores.send(chore);
    }

    /// What has to happen next to an id that has come to rest, and when.
    pub(super) fn arm(&mut self, id: &Arc<str>, now: Moment) {
        let (time_out, expire) =
            (TransactionTimer::TimeOut(Arc::clone(id)), TransactionTimer::Expire(Arc::clone(id)));
        let Some(metadata) = self.transactions.get(id) else {
            self.timers.cancel(&time_out);
            return self.timers.cancel(&expire);
        };
        let at = |wall_ms: i64| now.ticks.plus_ms(wall_ms.saturating_sub(now.wall.get()).max(0));
        let times_out = metadata.times_out_at_ms().map(|ms| at(ms.saturating_add(1)));
        let expires =
            metadata.state.may_expire().then(|| at(metadata.updated_ms.saturating_add(self.expiration_ms)));
        let completes = metadata.state.outcome_under_way().is_some();
        self.set_or_cancel(time_out, times_out);
        self.set_or_cancel(expire, expires);
        if completes {
            self.order(Chore::Complete(self.place(id)));
        }
    }

    fn set_or_cancel(&mut self, timer: TransactionTimer, at: Option<Ticks>) {
        match at {
            Some(at) => self.timers.set(timer, at),
            None => self.timers.cancel(&timer),
        }
    }

    /// What could not be done now.
    pub(super) fn try_later(&mut self, timer: TransactionTimer, now: Moment) {
        self.timers.set(timer, now.ticks.plus_ms(RETRY_MS));
    }

    fn expire(&mut self, id: Arc<str>, now: Moment) -> Decision<Self> {
        let expired = self.transactions.get(&id).is_some_and(|metadata| {
            let silent_ms = now.wall.get().saturating_sub(metadata.updated_ms);
            metadata.state.may_expire() && silent_ms >= self.expiration_ms
        });
        if !expired {
            // The wall's clock was set back.
            self.arm(&id, now);
            return Decision::answer(());
        }
        match record::tombstone(&id) {
            Ok(record) => {
                let write = Write::records(vec![record]);
                Decision { write, after: Some(After::Expired { id }), answer: () }
            }
            Err(error) => {
                tracing::error!(%id, %error, "a transactional id cannot be forgotten");
                Decision::answer(())
            }
        }
    }
}

impl CoordinatorState for TransactionShard {
    type Timer = TransactionTimer;
    type After = After;

    fn replay(&mut self, entry: &LogRecord<'_>) -> Result<(), ReplayError> {
        match record::decode(entry.key, entry.value)? {
            (id, Some(metadata)) => match self.transactions.get_mut(&*id) {
                Some(known) => *known = metadata,
                None => drop(self.transactions.insert(id.into(), metadata)),
            },
            (id, None) => drop(self.transactions.remove(&*id)),
        }
        Ok(())
    }

    /// Nothing here is written in transactions.
    fn replay_marker(&mut self, _marker: EndMarker) {}

    fn loaded(&mut self, now: Moment) {
        let ids: Vec<Arc<str>> = self.transactions.keys().cloned().collect();
        ids.iter().for_each(|id| self.arm(id, now));
    }

    fn settled(&mut self, after: After, outcome: Result<(), ErrorCode>, now: Moment) {
        match (after, outcome) {
            (After::Written { id, last_epoch }, Ok(())) => {
                if let Some(metadata) = self.transactions.get_mut(&id) {
                    metadata.last_epoch = last_epoch;
                }
                self.arm(&id, now);
            }
            (After::Written { .. }, Err(_)) => {}
            (After::Expired { id }, Ok(())) => self.arm(&id, now),
            (After::Expired { id }, Err(_)) => self.try_later(TransactionTimer::Expire(id), now),
        }
    }

    fn timers(&mut self) -> &mut Timers<TransactionTimer> {
        &mut self.timers
    }

    fn fired(&mut self, timer: TransactionTimer, now: Moment) -> Decision<Self> {
        match timer {
            TransactionTimer::TimeOut(id) => {
                if self.get(&id).is_some_and(|metadata| metadata.state == TransactionState::Ongoing) {
                    self.order(Chore::AbortTimedOut(self.place(&id)));
                }
                Decision::answer(())
            }
            TransactionTimer::Expire(id) => self.expire(id, now),
        }
    }
}
