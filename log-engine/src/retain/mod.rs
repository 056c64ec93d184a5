//! Retention: old segments go, by age, by size, or because the log starts behind them.

mod decide;

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
    let count = segments_to_delete(&log.segments_info(), &limits);
    if count == 0 {
        return;
    }
    if let Err(error) = log.delete_segments(count) {
        tracing::warn!("old segments of {} were not deleted: {error}", log.partition());
    }
}
