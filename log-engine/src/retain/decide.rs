//! Which segments go? A pure decision with the rules of Kafka's `UnifiedLog.deleteOldSegments`: first those that the log
//! starts behind, then those that its size is too large by, then those that are too old; each rule goes on where the
//! one before it ended, and ends at the first segment that it spares.

use crate::config::LogConfig;
use crate::segment::SegmentInfo;
use crate::types::{Offset, TimestampMs};

/// What retention goes by.
#[derive(Copy, Clone, Debug)]
pub struct RetentionLimits {
    /// `retention.ms`, unless unlimited or not a matter of deletion.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`, likewise.
    pub retention_bytes: Option<i64>,
    /// First offset of the log.
    pub log_start: Offset,
    /// Nothing that reaches above it goes.
    pub high_watermark: Offset,
    /// Milliseconds since 1970.
    pub now: i64,
}

impl RetentionLimits {
    /// The limits that `config` sets to a log.
    pub fn of(config: &LogConfig, log_start: Offset, high_watermark: Offset, now: i64) -> Self {
        let may_delete = config.cleanup_policy.delete;
        Self {
            retention_ms: Some(config.retention_ms).filter(|ms| may_delete && *ms >= 0),
            retention_bytes: Some(config.retention_bytes).filter(|bytes| may_delete && *bytes >= 0),
            log_start,
            high_watermark,
            now,
        }
    }
}

/// How many segments go, counted from the oldest on, when each rule has been asked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SegmentsDue {
    /// Those that end before the log starts.
    pub by_start: usize,
    /// Those and the ones that the log is too large by.
    pub by_size: usize,
    /// Those and the ones that are too old: all that go. Where it is all of them, the active one has to be left for a new
    /// one first.
    pub by_age: usize,
}

/// Which segments go.
pub fn segments_due(segments: &[SegmentInfo], limits: &RetentionLimits) -> SegmentsDue {
    let by_start =
        prefix(segments, 0, limits, |_, next| next.is_some_and(|next| next.base_offset <= limits.log_start));
    let by_size = match limits.retention_bytes {
        Some(retention) => beyond_size(segments, by_start, retention.unsigned_abs(), limits),
        None => by_start,
    };
    let by_age = limits.retention_ms.map_or(by_size, |retention_ms| {
        prefix(segments, by_size, limits, |segment, _| {
            limits.now.saturating_sub(newest_timestamp(segment).get()) > retention_ms
        })
    });
    SegmentsDue { by_start, by_size, by_age }
}

/// What a segment's age is counted from: its largest timestamp or, where no record has any, the time of its file.
pub fn newest_timestamp(segment: &SegmentInfo) -> TimestampMs {
    segment.max_timestamp.unwrap_or(segment.created)
}

// A segment goes only if the excess covers it whole.
fn beyond_size(segments: &[SegmentInfo], from: usize, retention: u64, limits: &RetentionLimits) -> usize {
    let total: u64 = segments.iter().skip(from).map(|segment| segment.size_bytes).sum();
    let Some(mut excess) = total.checked_sub(retention) else { return from };
    prefix(segments, from, limits, |segment, _| match excess.checked_sub(segment.size_bytes) {
        Some(rest) => {
            excess = rest;
            true
        }
        None => false,
    })
}

// From `from` on, the segments that go. Nothing that reaches above the high watermark goes, nor a last segment without
// records: it would make room for one like it.
fn prefix(
    segments: &[SegmentInfo],
    from: usize,
    limits: &RetentionLimits,
    mut goes: impl FnMut(&SegmentInfo, Option<&SegmentInfo>) -> bool,
) -> usize {
    let rest = segments.get(from..).unwrap_or_default();
    let count = rest.iter().enumerate().take_while(|(index, segment)| {
        let next = rest.get(index + 1);
        let end = next.map_or(segment.end_offset, |next| next.base_offset);
        let last_and_empty = next.is_none() && segment.size_bytes == 0;
        end <= limits.high_watermark && !last_and_empty && goes(segment, next)
    });
    from + count.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments_to_delete(segments: &[SegmentInfo], limits: &RetentionLimits) -> usize {
        segments_due(segments, limits).by_age
    }

    fn segments() -> Vec<SegmentInfo> {
        let segment = |base, end, time| SegmentInfo {
            base_offset: Offset::new(base),
            end_offset: Offset::new(end),
            size_bytes: 100,
            max_timestamp: Some(TimestampMs::new(time)),
            created: TimestampMs::new(0),
        };
        vec![segment(0, 10, 1_000), segment(10, 20, 2_000), segment(20, 30, 3_000), segment(30, 40, 4_000)]
    }

    fn nothing() -> RetentionLimits {
        RetentionLimits {
            retention_ms: None,
            retention_bytes: None,
            log_start: Offset::ZERO,
            high_watermark: Offset::new(40),
            now: 10_000,
        }
    }

    #[test]
    fn segments_go_by_the_rules_kafka_has() {
        let none = nothing();
        let table = [
            ("no limit", none, 0),
            ("age: exactly the retention stays", RetentionLimits { retention_ms: Some(9_000), ..none }, 0),
            ("age: one millisecond more goes", RetentionLimits { retention_ms: Some(8_999), ..none }, 1),
            ("age: the active segment goes, too", RetentionLimits { retention_ms: Some(0), ..none }, 4),
            (
                "size: excess of 99 covers no segment",
                RetentionLimits { retention_bytes: Some(301), ..none },
                0,
            ),
            ("size: excess of 100 covers one", RetentionLimits { retention_bytes: Some(300), ..none }, 1),
            ("size: the active segment goes, too", RetentionLimits { retention_bytes: Some(0), ..none }, 4),
            (
                "start: a segment that the log starts in stays",
                RetentionLimits { log_start: Offset::new(19), ..none },
                1,
            ),
            ("start: one wholly before it goes", RetentionLimits { log_start: Offset::new(20), ..none }, 2),
            (
                "nothing above the high watermark goes",
                RetentionLimits { retention_ms: Some(0), high_watermark: Offset::new(19), ..none },
                1,
            ),
            (
                "nor the active segment while its end is not below it",
                RetentionLimits { retention_ms: Some(0), high_watermark: Offset::new(39), ..none },
                3,
            ),
            ("start: the active segment stays", RetentionLimits { log_start: Offset::new(40), ..none }, 3),
            (
                "each rule goes on where the one before it ended",
                RetentionLimits { retention_bytes: Some(300), retention_ms: Some(7_500), ..none },
                2,
            ),
            (
                "what goes for the log start is not counted again for the size",
                RetentionLimits { retention_bytes: Some(200), log_start: Offset::new(10), ..none },
                2,
            ),
        ];
        for (name, limits, expected) in table {
            assert_eq!(segments_to_delete(&segments(), &limits), expected, "{name}");
        }
    }

    #[test]
    fn a_segment_goes_by_size_only_if_the_excess_covers_it_whole() {
        let sized = |sizes: &[u64]| -> Vec<SegmentInfo> {
            let each = sizes.iter().zip(segments());
            each.map(|(size, segment)| SegmentInfo { size_bytes: *size, ..segment }).collect()
        };
        let rows: [(&[u64], i64, usize); 9] = [
            (&[500, 500, 500, 10], 1_500, 0),
            (&[500, 500, 500, 10], 1_010, 1),
            (&[500, 500, 500, 10], 1_000, 1),
            (&[500, 500, 500, 10], 510, 2),
            (&[500, 500, 500, 10], 9, 3),
            (&[500, 500, 500, 10], 0, 4),
            (&[500, 500, 500, 10], 1_511, 0),
            (&[500, 500, 500, 0], 0, 3),
            (&[0, 500], 500, 1),
        ];
        for (sizes, retention, expected) in rows {
            let limits = RetentionLimits { retention_bytes: Some(retention), ..nothing() };
            assert_eq!(segments_to_delete(&sized(sizes), &limits), expected, "{sizes:?} within {retention}");
        }
    }

    #[test]
    fn a_segment_without_timestamps_is_as_old_as_its_file() {
        let plain = SegmentInfo { max_timestamp: None, created: TimestampMs::new(5_000), ..segments()[0] };
        for (retention_ms, expected) in [(5_000, 0), (4_999, 1)] {
            let limits = RetentionLimits { retention_ms: Some(retention_ms), ..nothing() };
            assert_eq!(segments_to_delete(&[plain], &limits), expected);
        }
    }
}
