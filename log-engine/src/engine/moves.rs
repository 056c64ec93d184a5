//! Moving logs between data directories: what is wanted, and the thread that does it, one log after the other.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Engine, Logs};
use crate::error::{MoveLogError, OfflineError};
use crate::home::Home;
use crate::io::is_shortage;
use crate::log::Log;
use crate::log::relocate::{MoveError, Progress, Relocation};
use crate::throttle::Throttle;
use crate::types::{Offset, TopicPartition};

/// Before a move is tried again that did not find room, or a log that is compacted at the moment.
const PAUSE: Duration = Duration::from_millis(500);

/// Is told of a log in its new place, before anybody can append to it there. Runs while appends to the log wait: be quick.
pub trait MoveListener: Send + Sync + std::fmt::Debug {
    /// The log goes on as `log`; whoever holds the old one lets go of it.
    fn moved(&self, log: &Arc<Log>);
}

/// A log on its way to another data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMove {
    /// The partition.
    pub partition: TopicPartition,
    /// The data directory that it is moved to.
    pub directory: PathBuf,
    /// Bytes of records that are there.
    pub copied_bytes: u64,
    /// The records that are there end here or later.
    pub copied_to: Offset,
}

/// What is wanted, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Moves {
    state: Mutex<State>,
    wake: Condvar,
    listener: OnceLock<Arc<dyn MoveListener>>,
    // As the bits of a float; 0 is no limit.
    bytes_per_second: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<TopicPartition>,
    wanted: BTreeMap<TopicPartition, Wanted>,
    stop: bool,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
struct Wanted {
    target: Arc<Home>,
    progress: Arc<Progress>,
}

impl Moves {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stop = true;
        state.wanted.values().for_each(|wanted| wanted.progress.cancelled.store(true, Ordering::Release));
        let thread = state.thread.take();
        drop(state);
        self.wake.notify_all();
        if let Some(thread) = thread {
            // A panic in it has been printed, and its log goes on where it was.
            let _ = thread.join();
        }
    }

    /// Takes a partition off the list; its copy goes.
    fn cancel(&self, partition: &TopicPartition) {
        let mut state = self.state();
        if let Some(wanted) = state.wanted.remove(partition) {
            wanted.progress.cancelled.store(true, Ordering::Release);
        }
        state.waiting.retain(|waiting| waiting != partition);
        drop(state);
        self.wake.notify_all();
    }

    fn want(
        self: &Arc<Self>,
        partition: TopicPartition,
        target: Arc<Home>,
        logs: &Arc<Logs>,
    ) -> io::Result<()> {
        let mut state = self.state();
        if state.stop {
            return Err(io::Error::other("the engine is closed"));
        }
        state.waiting.push_back(partition.clone());
        state.wanted.insert(partition, Wanted { target, progress: Arc::default() });
        if state.thread.is_none() {
            let (moves, logs) = (Arc::clone(self), Arc::clone(logs));
            let thread =
                thread::Builder::new().name("log-mover".to_owned()).spawn(move || moves.run(&logs))?;
            state.thread = Some(thread);
        }
        drop(state);
        self.wake.notify_all();
        Ok(())
    }

    fn run(&self, logs: &Arc<Logs>) {
        let started = Instant::now();
        let mut throttle = Throttle::new(f64::MAX);
        while let Some((partition, wanted)) = self.next() {
            let Some(log) = logs.get(&partition) else {
                self.cancel(&partition);
                continue;
            };
            let outcome = self.carry_out(&log, &wanted, logs, |bytes| {
                throttle.set_rate(self.rate());
                self.sleep(throttle.take(bytes, started.elapsed()), &wanted.progress);
            });
            self.settle(partition, &wanted, outcome);
        }
    }

    fn next(&self) -> Option<(TopicPartition, Wanted)> {
        let mut state = self.state();
        loop {
            if state.stop {
                return None;
            }
            if let Some(partition) = state.waiting.pop_front() {
                match state.wanted.get(&partition).cloned() {
                    Some(wanted) => return Some((partition, wanted)),
                    None => continue,
                }
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn carry_out(
        &self,
        log: &Arc<Log>,
        wanted: &Wanted,
        logs: &Arc<Logs>,
        rest: impl FnMut(u64),
    ) -> Result<(), MoveError> {
        if let Some(offline) = wanted.target.dir_state().offline() {
            return Err(io::Error::other(offline.to_string()).into());
        }
        wanted.progress.copied_bytes.store(0, Ordering::Relaxed);
        let mut relocation = Relocation::begin(log, &wanted.target, &wanted.progress)?;
        let placed = |moved: &Arc<Log>| {
            logs.insert(Arc::clone(moved));
            if let Some(listener) = self.listener.get() {
                listener.moved(moved);
            }
        };
        let outcome = relocation.carry_out(rest, placed);
        // At a stop the copy stays, so that the next start knows of the move.
        if outcome.is_err() && !self.state().stop {
            relocation.discard();
        }
        outcome
    }

    fn settle(&self, partition: TopicPartition, wanted: &Wanted, outcome: Result<(), MoveError>) {
        let cancelled = wanted.progress.cancelled.load(Ordering::Acquire);
        match outcome {
            Ok(()) => tracing::info!("{partition} was moved to {}", wanted.target.path.display()),
            Err(_) if cancelled => return,
            Err(error) if passes(&error) => {
                tracing::debug!("{partition} is not moved yet: {error}");
                self.sleep(PAUSE, &wanted.progress);
                let mut state = self.state();
                if state.wanted.contains_key(&partition) {
                    state.waiting.push_back(partition);
                }
                return;
            }
            Err(error) => tracing::error!("{partition} stays where it is: {error}"),
        }
        self.state().wanted.remove(&partition);
    }

    // Not longer than the move is wanted, and at that rate.
    fn sleep(&self, rest: Duration, progress: &Progress) {
        if !rest.is_zero() {
            let rate = self.rate();
            let goes_on = |_: &mut State| !progress.cancelled.load(Ordering::Acquire) && self.rate() == rate;
            let waited = self.wake.wait_timeout_while(self.state(), rest, goes_on);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn rate(&self) -> f64 {
        match self.bytes_per_second.load(Ordering::Relaxed) {
            0 => f64::MAX,
            rate => rate as f64,
        }
    }
}

fn passes(error: &MoveError) -> bool {
    match error {
        MoveError::Busy => true,
        MoveError::Io(error) => is_shortage(error),
        MoveError::Cancelled | MoveError::Read(_) => false,
    }
}

impl Engine {
    /// Has a log moved to another data directory, in the background, while it is written and read. Without effect where it
    /// lies there, or is on its way there; a move to elsewhere is given up.
    pub fn move_log(&self, partition: &TopicPartition, directory: &Path) -> Result<(), MoveLogError> {
        let homes = self.directories.iter().map(|found| &found.home);
        let Some(target) = homes.into_iter().find(|home| home.path == directory) else {
            return Err(MoveLogError::UnknownDirectory { dir: directory.to_owned() });
        };
        if let Some(offline) = target.dir_state().offline() {
            return Err(OfflineError(Arc::clone(offline)).into());
        }
        let Some(log) = self.log(partition) else {
            return Err(MoveLogError::UnknownLog { partition: partition.clone() });
        };
        if let Some(offline) = log.home().dir_state().offline() {
            return Err(OfflineError(Arc::clone(offline)).into());
        }
        let on_its_way = self.moves().into_iter().find(|found| found.partition == *partition);
        if on_its_way.as_ref().is_some_and(|found| found.directory == directory) {
            return Ok(());
        }
        self.moves.cancel(partition);
        if Arc::ptr_eq(log.home(), target) {
            return Ok(());
        }
        self.moves
            .want(partition.clone(), Arc::clone(target), &self.logs)
            .map_err(|error| MoveLogError::Io { path: directory.to_owned(), error })
    }

    /// The logs that are on their way, or wait for their turn.
    pub fn moves(&self) -> Vec<LogMove> {
        let of = |(partition, wanted): (&TopicPartition, &Wanted)| LogMove {
            partition: partition.clone(),
            directory: wanted.target.path.clone(),
            copied_bytes: wanted.progress.copied_bytes.load(Ordering::Relaxed),
            copied_to: Offset::new(wanted.progress.copied_to.load(Ordering::Relaxed)),
        };
        self.moves.state().wanted.iter().map(of).collect()
    }

    /// Names who is told of logs that were moved; the first one stays.
    pub fn set_move_listener(&self, listener: Arc<dyn MoveListener>) {
        let _ = self.moves.listener.set(listener);
    }

    /// Most bytes per second that are copied, all moves together; `u64::MAX` is no limit.
    pub fn set_move_rate(&self, bytes_per_second: u64) {
        let rate = if bytes_per_second == u64::MAX { 0 } else { bytes_per_second.max(1) };
        // Under the lock, so that nobody falls asleep on the old rate.
        let state = self.moves.state();
        self.moves.bytes_per_second.store(rate, Ordering::Relaxed);
        drop(state);
        self.moves.wake.notify_all();
    }

    /// Goes on with the moves that the last run had begun: their copies are made anew.
    pub fn resume_moves(&self) {
        for (partition, directory) in &self.unfinished_moves {
            if let Err(error) = self.move_log(partition, directory) {
                tracing::warn!("{partition} is not moved to {}: {error}", directory.display());
            }
        }
    }
}
