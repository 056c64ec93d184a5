//! Which segments go? A pure decision with the rules of Kafka's `UnifiedLog.deleteOldSegments`: first those that the log
//! starts behind, then those that its size is too large by, then those that are too old; each rule goes on where the
//! one before it ended, and ends at the first segment that it spares.

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

/// How many segments, from the oldest on, are to be deleted. Where it is all of them, the active one has to be left for
/// a new one first.
pub(super) fn segments_to_delete(segments: &[SegmentInfo], limits: &Limits) -> usize {
    let by_start =
        prefix(segments, 0, limits, |_, next| next.is_some_and(|next| next.base_offset <= limits.log_start));
    let by_size = match limits.retention_bytes {
        Some(retention) => beyond_size(segments, by_start, retention.unsigned_abs(), limits),
        None => by_start,
    };
    let Some(retention_ms) = limits.retention_ms else { return by_size };
    prefix(segments, by_size, limits, |segment, _| {
        let newest = segment.max_timestamp.unwrap_or(segment.created).get();
        limits.now.saturating_sub(newest) > retention_ms
    })
}

// A segment goes only if the excess covers it whole.
fn beyond_size(segments: &[SegmentInfo], from: usize, retention: u64, limits: &Limits) -> usize {
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
    limits: &Limits,
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
            ("age: the active segment goes, too", Limits { retention_ms: Some(0), ..none }, 4),
            ("size: excess of 99 covers no segment", Limits { retention_bytes: Some(301), ..none }, 0),
            ("size: excess of 100 covers one", Limits { retention_bytes: Some(300), ..none }, 1),
            ("size: the active segment goes, too", Limits { retention_bytes: Some(0), ..none }, 4),
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
            (
                "nor the active segment while its end is not below it",
                Limits { retention_ms: Some(0), high_watermark: Offset::new(39), ..none },
                3,
            ),
            ("start: the active segment stays", Limits { log_start: Offset::new(40), ..none }, 3),
            (
                "each rule goes on where the one before it ended",
                Limits { retention_bytes: Some(300), retention_ms: Some(7_500), ..none },
                2,
            ),
            (
                "what goes for the log start is not counted again for the size",
                Limits { retention_bytes: Some(200), log_start: Offset::new(10), ..none },
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
            let limits = Limits { retention_bytes: Some(retention), ..nothing() };
            assert_eq!(segments_to_delete(&sized(sizes), &limits), expected, "{sizes:?} within {retention}");
        }
    }

    #[test]
    fn a_segment_without_timestamps_is_as_old_as_its_file() {
        let plain = SegmentInfo { max_timestamp: None, created: TimestampMs::new(5_000), ..segments()[0] };
        for (retention_ms, expected) in [(5_000, 0), (4_999, 1)] {
            let limits = Limits { retention_ms: Some(retention_ms), ..nothing() };
            assert_eq!(segments_to_delete(&[plain], &limits), expected);
        }
    }
}
