//! Which segments go? A pure decision with the rules of Kafka's `UnifiedLog.deleteOldSegments`. The active segment
//! stays in any case; Kafka would roll it first where it has expired, which makes it go one tick later here.

use crate::segment::SegmentInfo;
use crate::types::Offset;

#[derive(Copy, Clone, Debug)]
pub(super) struct Limits {
    /// `retention.ms`, unless unlimited or not a matter of deletion.
    pub(super) retention_ms: Option<i64>,
    /// `retention.bytes`, likewise.
    pub(super) retention_bytes: Option<i64>,
    pub(super) log_start: Offset,
    pub(super) high_watermark: Offset,
    pub(super) now: i64,
}

/// How many segments, from the oldest on, are to be deleted.
pub(super) fn segments_to_delete(segments: &[SegmentInfo], limits: &Limits) -> usize {
    let by_age = prefix(segments, limits, |_, segment| {
        let newest = segment.max_timestamp.unwrap_or(segment.created).get();
        limits.retention_ms.is_some_and(|retention| limits.now.saturating_sub(newest) > retention)
    });
    let by_start = prefix(segments, limits, |next, _| next.base_offset <= limits.log_start);
    by_age.max(by_start).max(by_size(segments, limits))
}

// A segment goes only if the excess covers it whole.
fn by_size(segments: &[SegmentInfo], limits: &Limits) -> usize {
    let Some(retention) = limits.retention_bytes else { return 0 };
    let total: u64 = segments.iter().map(|segment| segment.size_bytes).sum();
    let mut excess = total.saturating_sub(retention.unsigned_abs());
    prefix(segments, limits, |_, segment| match excess.checked_sub(segment.size_bytes) {
        Some(rest) if excess > 0 => {
            excess = rest;
            true
        }
        _ => false,
    })
}

// Nothing above the high watermark goes, nor the active segment.
fn prefix(
    segments: &[SegmentInfo],
    limits: &Limits,
    mut goes: impl FnMut(&SegmentInfo, &SegmentInfo) -> bool,
) -> usize {
    let pairs = segments.iter().zip(segments.iter().skip(1));
    pairs
        .take_while(|(segment, next)| next.base_offset <= limits.high_watermark && goes(next, segment))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TimestampMs;

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

    fn nothing() -> Limits {
        Limits {
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
            ("age: exactly the retention stays", Limits { retention_ms: Some(9_000), ..none }, 0),
            ("age: one millisecond more goes", Limits { retention_ms: Some(8_999), ..none }, 1),
            ("age: the active segment stays", Limits { retention_ms: Some(0), ..none }, 3),
            ("size: excess of 99 covers no segment", Limits { retention_bytes: Some(301), ..none }, 0),
            ("size: excess of 100 covers one", Limits { retention_bytes: Some(300), ..none }, 1),
            ("size: the active segment stays", Limits { retention_bytes: Some(0), ..none }, 3),
            (
                "start: a segment that the log starts in stays",
                Limits { log_start: Offset::new(19), ..none },
                1,
            ),
            ("start: one wholly before it goes", Limits { log_start: Offset::new(20), ..none }, 2),
            (
                "nothing above the high watermark goes",
                Limits { retention_ms: Some(0), high_watermark: Offset::new(19), ..none },
                1,
            ),
        ];
        for (name, limits, expected) in table {
            assert_eq!(segments_to_delete(&segments(), &limits), expected, "{name}");
        }
    }
}
