//! What happens without being asked: one thread per data directory moves recovery points, writes checkpoints, applies
//! retention and removes what was deleted. It sleeps on a condition, not in a loop of polls.
//!
//! Should it panic, the directory goes offline: an engine whose recovery points stand still must not look healthy.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::config::{EngineConfig, Upkeep};
use crate::engine::{Logs, write_checkpoints, write_some_checkpoints};
use crate::home::{Doomed, Errands, Home};
use crate::io::{is_full, is_shortage, remove_dir_all};
use crate::log::Log;
use crate::retain::{self, LogStart};
use crate::segment::ignore_missing;
use crate::types::{TimestampMs, TopicPartition};

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(500);

/// How often it is looked whether the directory is still there.
const PRESENCE_INTERVAL_MS: i64 = 5_000;

/// The thread, which ends when this is dropped; or what it would do, for a caller to do.
#[derive(Debug)]
pub(crate) struct Background {
    home: Arc<Home>,
    thread: Option<JoinHandle<()>>,
    keeper: Option<Keeper>,
}

impl Background {
    pub(crate) fn start(
        home: &Arc<Home>,
        logs: &Arc<Logs>,
        config: &EngineConfig,
        deleted: Vec<PathBuf>,
    ) -> io::Result<Self> {
        let now = home.clock.now().get();
        for path in deleted {
            home.note_deleted(
                now.saturating_add(config.log_defaults.file_delete_delay_ms),
                Doomed::Directory(path),
            );
        }
        let keeper = Keeper {
            home: Arc::clone(home),
            logs: Arc::clone(logs),
            recovery_point_bytes: config.recovery_point_bytes,
            recovery_points: Interval::new(config.recovery_point_interval_ms, now),
            retention: Interval::new(config.retention_interval_ms, now),
            presence: Interval::new(PRESENCE_INTERVAL_MS, now),
            log_starts: Interval::new(config.log_start_interval_ms, now),
            high_watermarks: Interval::new(config.high_watermark_interval_ms, now),
            expiry: Interval::new(config.producer_expiry_interval_ms, now),
        };
        let home = Arc::clone(home);
        match config.upkeep {
            Upkeep::Caller => Ok(Self { home, thread: None, keeper: Some(keeper) }),
            Upkeep::Threads => {
                let name = "log-background".to_owned();
                let thread = thread::Builder::new().name(name).spawn(move || keeper.run())?;
                Ok(Self { home, thread: Some(thread), keeper: None })
            }
        }
    }

    /// One round, where no thread does it.
    pub(crate) fn look_after(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.run_once();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.home.stop_background();
        if let Some(thread) = self.thread.take() {
            // A panic has taken the directory offline already, see `Guard`.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Keeper {
    home: Arc<Home>,
    logs: Arc<Logs>,
    recovery_point_bytes: u64,
    recovery_points: Interval,
    retention: Interval,
    presence: Interval,
    log_starts: Interval,
    high_watermarks: Interval,
    expiry: Interval,
}

impl Keeper {
    fn run(mut self) {
        let _guard = Guard(Arc::clone(&self.home));
        loop {
            let errands = self.home.wait_for_errands(TICK);
            if errands.stop || self.home.dir_state().offline().is_some() {
                return;
            }
            self.look_after(&errands);
        }
    }

    fn run_once(&mut self) {
        let errands = self.home.wait_for_errands(Duration::ZERO);
        if self.home.dir_state().offline().is_none() {
            self.look_after(&errands);
        }
    }

    fn look_after(&mut self, errands: &Errands) {
        let now = self.home.clock.now().get();
        let mut moved = self.flush_rolled(&errands.rolled);
        let all = self.recovery_points.is_due(now);
        if self.home.take_appended() || all {
            moved |= self.move_recovery_points(all, now);
        }
        if self.home.retention_started() && self.retention.is_due(now) {
            retain(&self.home, &self.own_logs(), now);
        }
        if self.expiry.is_due(now) {
            self.own_logs().iter().for_each(|log| log.expire_producers(TimestampMs::new(now)));
        }
        self.remove_deleted(now);
        let (starts, ends) = (self.log_starts.is_due(now), self.high_watermarks.is_due(now));
        let look = self.presence.is_due(now) || starts || ends;
        if moved || (look && self.home.is_still_there()) {
            let stale = self.home.take_stale(&due(starts, ends));
            if !stale.is_empty() {
                self.write_checkpoints(&self.own_logs(), &stale);
            }
        }
    }

    // Asked for only when there is something to do: there may be ten thousand, and nothing to do most of the time.
    fn own_logs(&self) -> Vec<Arc<Log>> {
        self.logs.all().into_iter().filter(|log| Arc::ptr_eq(log.home(), &self.home)).collect()
    }

    // A disk that does not take them takes nothing, as in Kafka.
    fn write_checkpoints(&self, logs: &[Arc<Log>], which: &[Checkpoint]) {
        if let Err(error) = write_some_checkpoints(&self.home, logs, which) {
            self.home.note_stale();
            tracing::warn!("checkpoints in {} were not written: {error}", self.home.path.display());
            if !is_shortage(&error) {
                self.home.dir_state().fail("checkpoint", &self.home.path, error);
            }
        }
    }

    fn flush_rolled(&self, rolled: &[TopicPartition]) -> bool {
        let logs: Vec<Arc<Log>> = rolled.iter().filter_map(|partition| self.logs.get(partition)).collect();
        logs.iter().filter(|log| flush(log)).count() > 0
    }

    // By time all of them; in between those that were configured to, and the largest until what a start would have to
    // read is within bounds again.
    fn move_recovery_points(&self, all: bool, now: i64) -> bool {
        let logs = self.own_logs();
        let mut unflushed: Vec<(u64, &Arc<Log>)> =
            logs.iter().map(|log| (log.unflushed_bytes(), log)).filter(|(bytes, _)| *bytes > 0).collect();
        unflushed.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut total: u64 = unflushed.iter().map(|(bytes, _)| bytes).sum();
        let mut moved = false;
        for (bytes, log) in unflushed {
            if all || total > self.recovery_point_bytes || log.flush_is_due(now) {
                moved |= flush(log);
                total -= bytes;
            }
            if log.unflushed_bytes() > 0 {
                self.home.note_appended();
            }
        }
        moved
    }

    fn remove_deleted(&self, now: i64) {
        remove_due(&self.home, now);
    }
}

/// What is written where there is something to write. Recovery points always: they tell a start how little it has to read.
fn due(starts: bool, ends: bool) -> Vec<Checkpoint> {
    let timed = [
        (true, Checkpoint::RecoveryPoints),
        (starts, Checkpoint::LogStarts),
        (ends, Checkpoint::HighWatermarks),
    ];
    timed.into_iter().filter(|(due, _)| *due).map(|(_, checkpoint)| checkpoint).collect()
}

/// Applies retention to `logs`, which are those of one directory.
pub(crate) fn retain(home: &Home, logs: &[Arc<Log>], now: i64) {
    let due: Vec<&Arc<Log>> = logs.iter().filter(|log| retain::move_log_start(log, now)).collect();
    if due.is_empty() {
        return;
    }
    // Where the new starts cannot be noted, what lies before them stays.
    match write_checkpoints(home, logs) {
        Ok(()) => due.iter().for_each(|log| retain::set_aside(log, LogStart::Noted)),
        Err(error) if is_full(&error) => due.iter().for_each(|log| retain::set_aside(log, LogStart::Unnoted)),
        Err(error) => {
            tracing::warn!("checkpoints in {} were not written: {error}", home.path.display());
        }
    }
}

/// Removes what was renamed away long enough ago.
pub(crate) fn remove_due(home: &Home, now: i64) {
    for doomed in home.take_due_deletions(now) {
        let (path, removed) = match &doomed {
            Doomed::File(path) => (path, home.disk.remove_file(path)),
            Doomed::Directory(path) => (path, remove_dir_all(&*home.disk, path)),
        };
        if let Err(error) = ignore_missing(removed) {
            tracing::warn!("{} was not removed: {error}", path.display());
        }
    }
}

fn flush(log: &Log) -> bool {
    match log.flush() {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!("the recovery point of {} stays where it is: {error}", log.partition());
            false
        }
    }
}

/// Something to do every so often.
#[derive(Debug)]
struct Interval {
    every_ms: i64,
    last: i64,
}

impl Interval {
    fn new(every_ms: i64, now: i64) -> Self {
        Self { every_ms, last: now }
    }

    /// Never, where the interval is below zero, as Kafka's scheduler has it.
    fn is_due(&mut self, now: i64) -> bool {
        let due = self.every_ms >= 0 && now.saturating_sub(self.last) >= self.every_ms;
        if due {
            self.last = now;
        }
        due
    }
}

struct Guard(Arc<Home>);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = io::Error::other("the background thread panicked");
            self.0.dir_state().fail("upkeep", &self.0.path, error);
        }
    }
}
