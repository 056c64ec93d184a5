//! Retention: old segments go, by age, by size, or because the log starts behind them.
//!
//! In three steps, after each of which a crash finds a log that is whole: the log starts behind what goes, and a
//! checkpoint says so; the files are renamed to `.deleted`, which a start removes; `file.delete.delay.ms` later they are
//! removed. A rename that a crash takes back leaves a segment below the log start, which goes the next time.

pub(crate) mod decide;

use std::sync::Arc;

use crate::error::ReadError;
use crate::log::Log;

use decide::{RetentionLimits, segments_due};

/// Whether a checkpoint says where the logs start now.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum LogStart {
    /// It does.
    Noted,
    /// There is no room for one, and there will be none if nothing goes.
    Unnoted,
}

/// The first step for one log: decides, and moves its start. Answers whether there is a second step.
pub(crate) fn move_log_start(log: &Arc<Log>, now: i64) -> bool {
    let config = log.config();
    let offsets = log.offsets();
    let limits = RetentionLimits::of(&config, offsets.log_start, offsets.high_watermark, now);
    let moved = count_due(log, &limits).and_then(|count| Ok(log.start_behind_segments(count)?));
    moved.unwrap_or_else(|error| {
        tracing::warn!("old segments of {} stay for now: {error}", log.partition());
        false
    })
}

/// The second step: what lies before the log start is renamed, and will be removed.
pub(crate) fn set_aside(log: &Log, noted: LogStart) {
    if let Err(error) = log.set_old_segments_aside(noted) {
        tracing::warn!("old segments of {} were not deleted: {error}", log.partition());
    }
}

// How old a segment is, its time index tells; before one goes, and before the first one stays, its log is asked.
fn count_due(log: &Log, limits: &RetentionLimits) -> Result<usize, ReadError> {
    let mut checked = 0;
    loop {
        let due = segments_due(&log.segments_info(), limits).by_age;
        let wanted = if limits.retention_ms.is_some() { due.max(1) } else { 0 };
        if checked >= wanted {
            return Ok(due);
        }
        log.check_oldest_timestamps(wanted)?;
        checked = wanted;
    }
}
