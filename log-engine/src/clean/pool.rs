//! The cleaner's threads: each takes the log with the largest dirty share that nobody else cleans, cleans it, and looks
//! again; one that finds none rests. A log that cannot be cleaned is marked and named once; a panic counts as that, so
//! that the threads go on for the other logs.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::engine::{Logs, write_checkpoints, write_cleaner_checkpoint};
use crate::home::Home;
use crate::io::is_shortage;
use crate::log::Log;
use crate::throttle::Throttle;
use crate::types::TopicPartition;

use super::choose::filthiest;
use super::cleaning::Pacer;
use super::{CleanerConfig, CleaningError, CleaningReport, clean, is_due, survey};

/// The threads; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct CleanerPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    logs: Arc<Logs>,
    state: Mutex<State>,
    changed: Condvar,
    throttle: Mutex<Throttle>,
    began: Instant,
}

#[derive(Debug)]
struct State {
    config: CleanerConfig,
    /// How often the configuration has changed: who rests by an older one looks again.
    version: u64,
    started: bool,
    stopped: bool,
    /// Numbers of the threads that run.
    running: HashSet<usize>,
    at_work: HashSet<TopicPartition>,
}

impl CleanerPool {
    /// A pool without threads yet.
    pub(crate) fn new(logs: &Arc<Logs>, config: CleanerConfig) -> Self {
        let state = State {
            config,
            version: 0,
            started: false,
            stopped: false,
            running: HashSet::new(),
            at_work: HashSet::new(),
        };
        let shared = Shared {
            logs: Arc::clone(logs),
            state: Mutex::new(state),
            changed: Condvar::new(),
            throttle: Mutex::new(Throttle::new(config.io_max_bytes_per_second)),
            began: Instant::now(),
        };
        Self { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// Starts the threads, once.
    pub(crate) fn start(&self) -> io::Result<()> {
        self.shared.state().started = true;
        self.start_missing()
    }

    /// Puts another configuration in force. Threads that are too many end when the log is clean that they are at; a
    /// cleaning goes on with the memory that it began with, and at the new speed.
    pub(crate) fn reconfigure(&self, config: CleanerConfig) -> io::Result<()> {
        {
            let mut state = self.shared.state();
            if state.config == config {
                return Ok(());
            }
            state.config = config;
            state.version += 1;
            let mut throttle = self.shared.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            throttle.set_rate(config.io_max_bytes_per_second);
        }
        self.shared.changed.notify_all();
        self.start_missing()
    }

    fn start_missing(&self) -> io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        let mut state = self.shared.state();
        if !state.started || state.stopped {
            return Ok(());
        }
        for number in 0..state.config.threads {
            if !state.running.contains(&number) {
                let shared = Arc::clone(&self.shared);
                let run = move || shared.run(number);
                threads.push(thread::Builder::new().name(format!("log-cleaner-{number}")).spawn(run)?);
                state.running.insert(number);
            }
        }
        Ok(())
    }

    /// Cleans one log now.
    pub(crate) fn clean(&self, log: &Arc<Log>) -> Result<CleaningReport, CleaningError> {
        self.shared.clean(log)
    }

    /// Ends the threads. One that is cleaning leaves its log as it was.
    pub(crate) fn stop(&self) {
        self.shared.state().stopped = true;
        self.shared.changed.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic in a cleaning was caught, and there is nothing else to panic.
            let _ = thread.join();
        }
    }
}

impl Drop for CleanerPool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self, number: usize) {
        while self.goes_on(number) {
            match self.choose() {
                Some(log) => {
                    self.clean_chosen(&log);
                    self.state().at_work.remove(log.partition());
                }
                None => self.back_off(),
            }
        }
    }

    // Whether the thread is wanted; one that is not has ended for who asks for it again.
    fn goes_on(&self, number: usize) -> bool {
        let mut state = self.state();
        let wanted = !state.stopped && number < state.config.threads;
        if !wanted {
            state.running.remove(&number);
        }
        wanted
    }

    // Marks the log as being worked on.
    fn choose(&self) -> Option<Arc<Log>> {
        let mut state = self.state();
        let candidates = self.logs.all().into_iter().filter_map(|log| {
            if !log.config().cleanup_policy.compact
                || log.is_uncleanable()
                || state.at_work.contains(log.partition())
                || log.home().dir_state().offline().is_some()
            {
                return None;
            }
            let (cuts, now) = (log.cuts(), log.home().clock.now().get());
            let cleanable = survey(&log, now);
            match is_due(&log, &cleanable, now) {
                Ok(due) => due.then_some((log, cleanable)),
                // Cut while it was looked at, or a file could not be opened just now.
                Err(error) if log.cuts() != cuts || is_shortage(&error) => None,
                Err(error) => {
                    give_up(&log, &error);
                    None
                }
            }
        });
        let (log, _) = filthiest(candidates.collect())?;
        state.at_work.insert(log.partition().clone());
        Some(log)
    }

    fn clean_chosen(&self, log: &Arc<Log>) {
        let cleaned = catch_unwind(AssertUnwindSafe(|| self.clean(log)));
        match cleaned {
            Ok(Ok(report)) => tracing::debug!("{} compacted: {report:?}", log.partition()),
            Ok(Err(CleaningError::Stopped | CleaningError::Busy | CleaningError::Changed)) => {}
            Ok(Err(error)) if error.is_passing() => {
                tracing::warn!("{} was not compacted and will be tried again: {error}", log.partition());
                self.back_off();
            }
            Ok(Err(error)) => give_up(log, &error),
            Err(_) => give_up(log, &"the cleaner panicked"),
        }
    }

    fn clean(&self, log: &Arc<Log>) -> Result<CleaningReport, CleaningError> {
        let config = self.state().config;
        let report = clean(log, &config, self, || write_checkpoints(log.home(), &self.logs_of(log.home())))?;
        write_cleaner_checkpoint(log.home(), &self.logs_of(log.home()))?;
        Ok(report)
    }

    fn logs_of(&self, home: &Arc<Home>) -> Vec<Arc<Log>> {
        self.logs.all().into_iter().filter(|log| Arc::ptr_eq(log.home(), home)).collect()
    }

    fn back_off(&self) {
        let backoff_ms = self.state().config.backoff_ms;
        self.rest(Duration::from_millis(backoff_ms));
    }

    // Until the time is over, another configuration is in force, or the pool stops.
    fn rest(&self, time: Duration) {
        let state = self.state();
        let version = state.version;
        let until = |state: &mut State| !state.stopped && state.version == version;
        drop(self.changed.wait_timeout_while(state, time, until));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pacer for Shared {
    fn go_on(&self, bytes: u64) -> bool {
        let now = self.began.elapsed();
        let rest = self.throttle.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, now);
        if !rest.is_zero() {
            self.rest(rest);
        }
        !self.state().stopped
    }
}

fn give_up(log: &Log, reason: &dyn std::fmt::Display) {
    log.give_up_cleaning();
    tracing::warn!("{} will not be compacted until the next start: {reason}", log.partition());
}
