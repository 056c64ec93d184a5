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
    config: CleanerConfig,
    state: Mutex<State>,
    changed: Condvar,
    throttle: Mutex<Throttle>,
    began: Instant,
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    at_work: HashSet<TopicPartition>,
}

impl CleanerPool {
    /// A pool without threads yet.
    pub(crate) fn new(logs: &Arc<Logs>, config: CleanerConfig) -> Self {
        let shared = Shared {
            logs: Arc::clone(logs),
            config,
            state: Mutex::default(),
            changed: Condvar::new(),
            throttle: Mutex::new(Throttle::new(config.io_max_bytes_per_second)),
            began: Instant::now(),
        };
        Self { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// Starts the threads, once.
    pub(crate) fn start(&self) -> io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while threads.len() < self.shared.config.threads {
            let shared = Arc::clone(&self.shared);
            let name = format!("log-cleaner-{}", threads.len());
            threads.push(thread::Builder::new().name(name).spawn(move || shared.run())?);
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
    fn run(&self) {
        while !self.state().stopped {
            match self.choose() {
                Some(log) => {
                    self.clean_chosen(&log);
                    self.state().at_work.remove(log.partition());
                }
                None => self.rest(Duration::from_millis(self.config.backoff_ms)),
            }
        }
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
            let now = log.home().clock.now().get();
            let cleanable = survey(&log, now);
            match is_due(&log, &cleanable, now) {
                Ok(due) => due.then_some((log, cleanable)),
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
                self.rest(Duration::from_millis(self.config.backoff_ms));
            }
            Ok(Err(error)) => give_up(log, &error),
            Err(_) => give_up(log, &"the cleaner panicked"),
        }
    }

    fn clean(&self, log: &Arc<Log>) -> Result<CleaningReport, CleaningError> {
        let report =
            clean(log, &self.config, self, || write_checkpoints(log.home(), &self.logs_of(log.home())))?;
        write_cleaner_checkpoint(log.home(), &self.logs_of(log.home()))?;
        Ok(report)
    }

    fn logs_of(&self, home: &Arc<Home>) -> Vec<Arc<Log>> {
        self.logs.all().into_iter().filter(|log| Arc::ptr_eq(log.home(), home)).collect()
    }

    // Until the time is over or the pool stops.
    fn rest(&self, time: Duration) {
        let until = |state: &mut State| !state.stopped;
        drop(self.changed.wait_timeout_while(self.state(), time, until));
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
