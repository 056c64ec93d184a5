//! Compaction: of the records of a key, only the last one is kept. Logs with `cleanup.policy=compact` are rewritten in the
//! background, segment by segment; what goes and what stays, to the record, is what Kafka's `LogCleaner` decides.
//!
//! ```text
//!   choose -> [ flush -> offset_map <- keys of the dirty part
//!               group -> for each group: walk -> keep, transactions -> .cleaned -> exchange ] -> checkpoint
//! ```
//!
//! Nothing here touches a log's active segment or what its readers hold. Retention is next door.

pub(crate) mod choose;
mod cleaning;
mod group;
mod keep;
mod keys;
mod offset_map;
mod outcome;
mod outline;
mod pool;
mod refolded;
mod superseded;
#[cfg(test)]
mod tests;
mod transactions;
mod walk;

use std::io;
use std::sync::Arc;

use crate::log::Log;
use crate::log::compact::CleaningTurn;
use crate::segment::scan::{ReadMode, header_at};

use choose::{Cleanable, LogFacts, cleanable, dirty_segments, is_overdue};
use cleaning::{Cleaning, Pacer};

pub use outcome::{CleaningError, CleaningReport};
pub(crate) use pool::CleanerPool;

/// How compaction works, for all logs of an engine.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct CleanerConfig {
    /// `log.cleaner.threads`: how many logs are cleaned at a time. None are where it is 0.
    pub threads: usize,
    /// `log.cleaner.dedupe.buffer.size`: bytes for the keys of dirty records, shared among the threads.
    pub dedupe_buffer_bytes: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full the table of keys may become.
    pub load_factor: f64,
    /// `log.cleaner.io.buffer.size`: bytes for reading and writing, shared among the threads. Larger batches make a
    /// buffer grow.
    pub io_buffer_bytes: u32,
    /// `log.cleaner.io.max.bytes.per.second`, read and written, all threads together.
    pub io_max_bytes_per_second: f64,
    /// `log.cleaner.backoff.ms`: how long a thread rests that found nothing to do.
    pub backoff_ms: u64,
}

impl Default for CleanerConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            threads: 1,
            dedupe_buffer_bytes: 128 << 20,
            load_factor: 0.9,
            io_buffer_bytes: 512 << 10,
            io_max_bytes_per_second: f64::MAX,
            backoff_ms: 15_000,
        }
    }
}

/// What there is to clean of a log.
fn survey(log: &Log, now: i64) -> Cleanable {
    let (segments, offsets, config) = (log.segments_info(), log.offsets(), log.config());
    cleanable(&LogFacts {
        segments: &segments,
        log_start: offsets.log_start,
        log_end: offsets.log_end,
        last_stable: offsets.last_stable,
        cleaned_to: log.cleaned_to(),
        config: &config,
        now,
    })
}

/// Whether it is time to clean a log.
fn is_due(log: &Log, cleanable: &Cleanable, now: i64) -> io::Result<bool> {
    let config = log.config();
    let is_overdue = config.max_compaction_lag_ms < i64::MAX
        && is_overdue(first_timestamps(log, cleanable)?, &config, now);
    Ok(cleanable.is_due(&config, is_overdue))
}

fn first_timestamps(log: &Log, cleanable: &Cleanable) -> io::Result<Vec<i64>> {
    let infos = log.segments_info();
    let active = infos.last().map_or(cleanable.first_dirty, |segment| segment.base_offset);
    let bases: Vec<_> =
        dirty_segments(&infos, cleanable.first_dirty, active).map(|segment| segment.base_offset).collect();
    let mut timestamps = Vec::with_capacity(bases.len());
    for segment in log.segments_between(cleanable.first_dirty, active) {
        if bases.contains(&segment.base_offset) {
            let (size, _) = segment.published();
            let first = header_at(&*segment.file()?, 0, size, ReadMode::Blocking)
                .map_err(|error| io::Error::other(error.to_string()))?;
            timestamps.extend(first.map(|batch| batch.max_timestamp.get()));
        }
    }
    Ok(timestamps)
}

/// Cleans a log whatever the share that is dirty. `before_exchange` runs before the first segment is replaced.
fn clean(
    log: &Arc<Log>,
    config: &CleanerConfig,
    pacer: &dyn Pacer,
    before_exchange: impl FnOnce() -> io::Result<()>,
) -> Result<CleaningReport, CleaningError> {
    let turn = log.begin_cleaning().ok_or(CleaningError::Busy)?;
    clean_in_turn(log, &turn, config, pacer, before_exchange).map_err(|error| {
        // Half of what was being read is gone, which says nothing of the disk.
        if turn.is_void() && !error.is_passing() { CleaningError::Changed } else { error }
    })
}

fn clean_in_turn(
    log: &Arc<Log>,
    turn: &CleaningTurn<'_>,
    config: &CleanerConfig,
    pacer: &dyn Pacer,
    before_exchange: impl FnOnce() -> io::Result<()>,
) -> Result<CleaningReport, CleaningError> {
    let now = log.home().clock.now().get();
    let cleanable = survey(log, now);
    if cleanable.dirty_bytes == 0 {
        return Ok(CleaningReport { cleaned_to: cleanable.first_dirty, ..CleaningReport::default() });
    }
    if let Some(damage) = log.damage_before(cleanable.first_uncleanable) {
        return Err(CleaningError::Corrupt(Box::new(damage)));
    }
    // No record goes for the sake of one that a power loss could still take, be it a marker behind all that is cleaned. And
    // a checkpoint says so before any goes: where it does not, a start takes a gap for a loss.
    if log.recovery_point() < log.offsets().last_stable {
        log.flush()?;
    }
    turn.set_cleaned_to(cleanable.first_dirty);
    before_exchange()?;
    let report = Cleaning::new(log, turn, config, pacer, &cleanable).run(cleanable.first_dirty)?;
    turn.set_cleaned_to(report.cleaned_to);
    Ok(report)
}
