//! One shard: its state and the gate before it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Gate, OwnedMutexGuard};
use wire::ErrorCode;

use super::{CoordinatorState, Moment, Ticks, alarm::Alarm};
use crate::partition::Partition;

/// See the module.
pub(super) struct Shard<S> {
    number: i32,
    partition: Arc<Partition>,
    gate: Arc<Gate<()>>,
    inner: Mutex<Inner<S>>,
}

struct Inner<S> {
    phase: Phase<S>,
    /// What the alarm is set to.
    armed: Option<Ticks>,
}

enum Phase<S> {
    Loading,
    Loaded(S),
    Unloaded,
}

/// Held while an event is decided, written and replayed.
pub(super) type Passage = OwnedMutexGuard<()>;

impl<S: CoordinatorState> Shard<S> {
    pub(super) fn new(number: i32, partition: Arc<Partition>) -> Self {
        let inner = Mutex::new(Inner { phase: Phase::Loading, armed: None });
        Self { number, partition, gate: Arc::default(), inner }
    }

    pub(super) fn number(&self) -> i32 {
        self.number
    }

    pub(super) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    pub(super) fn is_of(&self, partition: &Arc<Partition>) -> bool {
        Arc::ptr_eq(&self.partition, partition)
    }

    pub(super) async fn gate(&self) -> Passage {
        Arc::clone(&self.gate).lock_owned().await
    }

    /// Lets `act` at the state, and sets the alarm to what it made of the deadlines.
    pub(super) fn with<R>(&self, alarm: &Alarm, act: impl FnOnce(&mut S) -> R) -> Result<R, ErrorCode> {
        let mut inner = self.inner();
        let state = match &mut inner.phase {
            Phase::Loaded(state) => state,
            Phase::Loading => return Err(ErrorCode::CoordinatorLoadInProgress),
            Phase::Unloaded => return Err(ErrorCode::NotCoordinator),
        };
        let result = act(state);
        let earliest = state.timers().earliest();
        if earliest != inner.armed {
            alarm.moved(self.number, inner.armed, earliest);
            inner.armed = earliest;
        }
        Ok(result)
    }

    /// All is replayed. Nothing happens to a shard that was unloaded meanwhile.
    pub(super) fn loaded(&self, alarm: &Alarm, state: S, now: Moment) {
        {
            let mut inner = self.inner();
            if matches!(inner.phase, Phase::Unloaded) {
                return;
            }
            inner.phase = Phase::Loaded(state);
        }
        // Unloaded in between: its deadlines are of no interest.
        let _ = self.with(alarm, |state| state.loaded(now));
    }

    /// Forgets the state, and with it who waits in it.
    pub(super) fn unload(&self) {
        let before = std::mem::replace(&mut self.inner().phase, Phase::Unloaded);
        drop(before);
    }

    fn inner(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
