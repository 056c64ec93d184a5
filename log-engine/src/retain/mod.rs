//! Retention: old segments go, by age, by size, or because the log starts behind them.

mod decide;

use crate::error::ReadError;
use crate::log::Log;

use decide::{Limits, segments_to_delete};

/// Deletes what is due of one log.
pub(crate) fn tick(log: &Log, now: i64) {
    let config = log.config();
    let offsets = log.offsets();
    let limits = Limits {
        retention_ms: config.cleanup_policy.delete.then_some(config.retention_ms).filter(|ms| *ms >= 0),
        retention_bytes: config
            .cleanup_policy
            .delete
            .then_some(config.retention_bytes)
            .filter(|bytes| *bytes >= 0),
        log_start: offsets.log_start,
        high_watermark: offsets.high_watermark,
        now,
    };
    let count = match segments_due(log, &limits) {
        Ok(0) => return,
        Ok(count) => count,
        Err(error) => {
            tracing::warn!("the segments of {} cannot be judged by age: {error}", log.partition());
            return;
        }
    };
    if let Err(error) = log.delete_segments(count) {
        tracing::warn!("old segments of {} were not deleted: {error}", log.partition());
    }
}

// How old a segment is, its time index tells; before one goes, and before the first one stays, its log is asked.
fn segments_due(log: &Log, limits: &Limits) -> Result<usize, ReadError> {
    let mut checked = 0;
    loop {
        let due = segments_to_delete(&log.segments_info(), limits);
        let wanted = if limits.retention_ms.is_some() { due.max(1) } else { 0 };
        if checked >= wanted {
            return Ok(due);
        }
        log.check_oldest_timestamps(wanted)?;
        checked = wanted;
    }
}
