//! What group and transaction coordinators have in common: state that lives in the partitions of an internal topic.
//!
//! A *shard* is one partition of the topic and the state that its records make. An event is decided by a function of state
//! and time, which answers a [`Decision`]: records to write and an answer. The records are appended as one batch; once they
//! are below the high watermark they are replayed into the state, by the same [`CoordinatorState::replay`] that reads the
//! partition at the start, and only then is the answer given. An append that is refused or fails has changed nothing.
//!
//! ```text
//! write(shard, decide):  gate -> decide(&mut state, now) -> append -> high watermark -> replay, settled -> answer -> gate
//! read(shard, look):                look(&mut state, now) -> answer
//! ```
//!
//! The gate lets one event of a shard write at a time, so that a decision never builds on records that may still fail; a
//! [`Coordinator::read`] does not pass it. The state's lock is held for deciding and replaying only, never for an append.
//!
//! To use it: implement [`CoordinatorState`], make one [`Coordinator`] with an [`InternalTopic`], call [`Coordinator::load`]
//! once the broker leads its partitions and [`Coordinator::stop`] before the connections are closed. Deadlines are
//! [`Timers`] inside the state: the runtime sleeps until the earliest of all shards and hands what is due to
//! [`CoordinatorState::fired`]. There is one task for all timers of a coordinator, and it sleeps while nothing is due.
//!
//! What is decided, and what records mean, is not known here.

mod alarm;
mod load;
mod log;
mod shard;
mod timers;
mod topic;
mod write;

#[cfg(test)]
mod tests;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use log_engine::{Clock, Offset, TimestampMs, types::Sequence};
use tokio::{runtime::Handle, task::JoinHandle, time::Instant};
use wire::ErrorCode;

use alarm::Alarm;
use log::Entry;
pub(crate) use log::{EndMarker, LogRecord, Record, Transaction, Write};
use shard::Shard;
pub(crate) use timers::{Ticks, Timers};
use topic::Led;
pub(crate) use topic::{InternalTopic, TopicSettings};

/// The time of an event, by the clock on the wall and by one that nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// What goes into records.
    pub(crate) wall: TimestampMs,
    /// What deadlines are counted in.
    pub(crate) ticks: Ticks,
}

/// Why a record of the internal topic is passed over when it is replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// The key is of a kind that this build does not know.
    #[error("its key is of the unknown type {0}")]
    UnknownType(i16),
    /// Key or value cannot be read.
    #[error("it cannot be read: {0}")]
    Malformed(#[from] wire::message::DecodeError),
    /// It has no key.
    #[error("it has no key")]
    NoKey,
    /// The value is of a version that this build does not know.
    #[error("its value is of the unknown version {0}")]
    UnknownVersion(i16),
    /// The value says that something is in a state that does not exist.
    #[error("it tells of the unknown state {0}")]
    UnknownState(i8),
}

/// What an event comes to.
#[derive(Debug)]
pub(crate) struct Decision<S: CoordinatorState, R = ()> {
    /// What is appended; nothing is allowed.
    pub(crate) write: Write,
    /// Handed to [`CoordinatorState::settled`] once the write has succeeded or failed.
    pub(crate) after: Option<S::After>,
    /// The answer, given if the write succeeds.
    pub(crate) answer: R,
}

impl<S: CoordinatorState, R> Decision<S, R> {
    /// Nothing is written.
    pub(crate) fn answer(answer: R) -> Self {
        Self { write: Write::Nothing, after: None, answer }
    }

    /// These records, which change the state when they are replayed.
    pub(crate) fn records(records: Vec<Record>, answer: R) -> Self {
        Self { write: Write::records(records), after: None, answer }
    }
}

/// The state of one shard.
pub(crate) trait CoordinatorState: Send + Sized + 'static {
    /// What a deadline is for.
    type Timer: Clone + Ord + std::hash::Hash + Send;
    /// What remains to be done once a write has succeeded or failed.
    type After: Send + 'static;
    /// What stands as first sequence in its batches, which nobody looks at.
    const BASE_SEQUENCE: Sequence = Sequence::NONE;

    /// Applies a record, at the start or once it is written. An error passes the record over, with a line in the log.
    ///
    /// # Errors
    /// Where the record is not one of this coordinator's.
    fn replay(&mut self, record: &LogRecord<'_>) -> Result<(), ReplayError>;

    /// Applies the marker that ends a transaction.
    fn replay_marker(&mut self, marker: EndMarker);

    /// All records of the partition are replayed: from now on events are decided.
    fn loaded(&mut self, now: Moment);

    /// A write with an [`after`](Decision::after) has been replayed, or has failed and nothing of it has happened.
    fn settled(&mut self, after: Self::After, outcome: Result<(), ErrorCode>, now: Moment);

    /// The deadlines.
    fn timers(&mut self) -> &mut Timers<Self::Timer>;

    /// A deadline has passed, and is no longer among the timers.
    fn fired(&mut self, timer: Self::Timer, now: Moment) -> Decision<Self>;
}

/// One coordinator: all shards that are led here. See the module.
pub(crate) struct Coordinator<S: CoordinatorState> {
    topic: Arc<dyn Led>,
    make: Box<dyn Fn(i32) -> S + Send + Sync>,
    clock: Arc<dyn Clock>,
    began: Instant,
    runtime: Handle,
    shards: papaya::HashMap<i32, Arc<Shard<S>>>,
    alarm: Alarm,
    /// The task that waits for deadlines.
    timer_task: Mutex<Option<JoinHandle<()>>>,
    stopped: AtomicBool,
}

impl<S: CoordinatorState> Coordinator<S> {
    /// A coordinator whose state is in `topic`; `make` gives the state of a shard before its first record. Background
    /// work is done on `runtime`.
    pub(crate) fn new(
        topic: Arc<InternalTopic>,
        clock: Arc<dyn Clock>,
        runtime: Handle,
        make: impl Fn(i32) -> S + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::over(topic, clock, runtime, make)
    }

    fn over(
        topic: Arc<dyn Led>,
        clock: Arc<dyn Clock>,
        runtime: Handle,
        make: impl Fn(i32) -> S + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            topic,
            make: Box::new(make),
            clock,
            began: Instant::now(),
            runtime,
            shards: papaya::HashMap::new(),
            alarm: Alarm::default(),
            timer_task: Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Starts to load every shard that is led here, and to wait for deadlines.
    pub(crate) fn load(self: &Arc<Self>) {
        self.timer_task().get_or_insert_with(|| self.runtime.spawn(Arc::clone(self).wait_for_deadlines()));
        for number in self.topic.existing() {
            // Whoever asks for one that cannot be served is told why.
            let _ = self.shard(number);
        }
    }

    /// Forgets all state: whoever waits is told that the coordinator is elsewhere, and so are all who come.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(task) = self.timer_task().take() {
            task.abort();
        }
        for shard in self.shards.pin().values() {
            shard.unload();
        }
    }

    /// The shard that a group or transactional id belongs to (Kafka's `partitionFor`).
    pub(crate) fn shard_of(&self, key: &str) -> i32 {
        partition_for(key, self.topic.partitions())
    }

    /// The numbers of all shards that are led here.
    pub(crate) fn shards(&self) -> Vec<i32> {
        self.topic.existing()
    }

    /// The epoch under which a shard's partition is led here; markers carry it.
    ///
    /// # Errors
    /// Where it is not led here.
    pub(crate) fn leader_epoch(&self, number: i32) -> Result<i32, ErrorCode> {
        let partition = self.topic.led(number).map_err(|_| ErrorCode::NotCoordinator)?;
        Ok(partition.leader_epoch().get())
    }

    pub(crate) fn now(&self) -> Moment {
        let ticks = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        Moment { wall: self.clock.now(), ticks: Ticks::new(ticks) }
    }

    /// Looks at a shard's state, which nothing that may still fail has changed. What is done to it here is not written
    /// anywhere: deadlines, and the like.
    ///
    /// # Errors
    /// Where the shard is not led here, or not loaded yet.
    pub(crate) fn read<R>(
        self: &Arc<Self>,
        number: i32,
        look: impl FnOnce(&mut S, Moment) -> R,
    ) -> Result<R, ErrorCode> {
        let shard = self.shard(number)?;
        shard.with(&self.alarm, |state| look(state, self.now()))
    }

    /// Decides an event, writes its records, and gives its answer once they are visible and replayed. What was begun is
    /// ended also if this future is dropped.
    ///
    /// # Errors
    /// Where the shard is not led here or not loaded yet, where `decide` refuses, and where the records cannot be written.
    pub(crate) async fn write<R>(
        self: &Arc<Self>,
        number: i32,
        decide: impl FnOnce(&mut S, Moment) -> Result<Decision<S, R>, ErrorCode>,
    ) -> Result<R, ErrorCode> {
        let shard = self.shard(number)?;
        let gate = shard.gate().await;
        let decision = shard.with(&self.alarm, |state| decide(state, self.now()))??;
        write::carry_out(self, shard, gate, decision).await
    }

    /// The shard, whose loading begins with the first question for it.
    fn shard(self: &Arc<Self>, number: i32) -> Result<Arc<Shard<S>>, ErrorCode> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(ErrorCode::NotCoordinator);
        }
        let partition = self.topic.led(number).map_err(|_| ErrorCode::NotCoordinator)?;
        if let Some(shard) = self.shards.pin().get(&number).filter(|shard| shard.is_of(&partition)) {
            return Ok(Arc::clone(shard));
        }
        let fresh = Arc::new(Shard::new(number, partition));
        let shards = self.shards.pin();
        let now_there = shards.update_or_insert(
            number,
            |there| if there.is_of(fresh.partition()) { Arc::clone(there) } else { Arc::clone(&fresh) },
            Arc::clone(&fresh),
        );
        if Arc::ptr_eq(now_there, &fresh) {
            load::begin(self, &fresh);
        }
        Ok(Arc::clone(now_there))
    }

    /// Could not be loaded: the next question for it tries again.
    fn forget(&self, shard: &Arc<Shard<S>>) {
        let shards = self.shards.pin();
        if shards.get(&shard.number()).is_some_and(|there| Arc::ptr_eq(there, shard)) {
            shards.remove(&shard.number());
        }
    }

    fn timer_task(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.timer_task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_for_deadlines(self: Arc<Self>) {
        loop {
            for number in self.alarm.due(|| self.now().ticks).await {
                // Apart, so that a shard whose partition stands still holds up no other.
                self.runtime.spawn(Arc::clone(&self).fire(number));
            }
        }
    }

    async fn fire(self: Arc<Self>, number: i32) {
        let mut more = true;
        while more {
            let fired = self.write(number, |state, now| {
                Ok(match state.timers().take_due(now.ticks) {
                    Some(timer) => {
                        let Decision { write, after, answer: () } = state.fired(timer, now);
                        Decision { write, after, answer: true }
                    }
                    None => Decision::answer(false),
                })
            });
            match fired.await {
                Ok(fired) => more = fired,
                Err(error) => {
                    tracing::warn!(topic = self.topic.name(), partition = number, %error, "what a deadline asks for failed");
                    // A shard that is gone has no deadlines; one that cannot write still has the others.
                    more =
                        error != ErrorCode::NotCoordinator && error != ErrorCode::CoordinatorLoadInProgress;
                }
            }
        }
    }
}

/// `String.hashCode`, over the UTF-16 units that Java hashes.
pub(crate) fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()))
}

/// Applies a record or marker; one that is not understood is passed over.
fn replay_entry<S: CoordinatorState>(
    state: &mut S,
    entry: Entry<'_>,
    place: impl FnOnce(Offset) -> (&'static str, i32, Offset),
) {
    match entry {
        Entry::Marker(marker) => state.replay_marker(marker),
        Entry::Record(record) => {
            if let Err(error) = state.replay(&record) {
                let (topic, partition, offset) = place(record.offset);
                tracing::error!(topic, partition, %offset, %error, "a coordinator's record is passed over");
            }
        }
    }
}

/// `Utils.abs(key.hashCode()) % partitions`.
fn partition_for(key: &str, partitions: i32) -> i32 {
    let hash = java_hash(key);
    let positive = if hash == i32::MIN { 0 } else { hash.abs() };
    positive % partitions.max(1)
}
