//! When is a new segment due? A pure decision; the rules are those of Kafka's `LogSegment.shouldRoll`.

use crate::types::{Offset, TimestampMs};

/// What the decision looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RollQuestion {
    /// Offset the active segment is named after.
    pub(crate) base_offset: Offset,
    /// Bytes in the active segment, those still being written included.
    pub(crate) size_bytes: u64,
    /// When the active segment was created.
    pub(crate) created: TimestampMs,
    /// Largest timestamp of the segment's first batch, once it has one.
    pub(crate) first_timestamp: Option<TimestampMs>,
    /// Whether either index has no room for another entry.
    pub(crate) index_full: bool,
    /// Size of what is to be appended.
    pub(crate) append_bytes: u64,
    /// Last offset of what is to be appended.
    pub(crate) append_last_offset: Offset,
    /// Largest timestamp of what is to be appended.
    pub(crate) append_max_timestamp: TimestampMs,
    /// The clock.
    pub(crate) now: TimestampMs,
    /// `segment.bytes`.
    pub(crate) segment_bytes: u64,
    /// `segment.ms` less this segment's share of `segment.jitter.ms`.
    pub(crate) segment_ms: i64,
}

/// Why a new segment is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RollReason {
    /// The batch does not fit under `segment.bytes`.
    Size,
    /// The segment is older than `segment.ms`.
    Age,
    /// An index has no room.
    IndexFull,
    /// An offset of the batch cannot be told relative to the segment's base offset.
    OffsetRange,
}

/// Decides whether the active segment is left before the append.
pub(crate) fn decide(q: &RollQuestion) -> Option<RollReason> {
    if q.size_bytes + q.append_bytes > q.segment_bytes {
        return Some(RollReason::Size);
    }
    if q.size_bytes > 0 && waited_ms(q) > q.segment_ms {
        return Some(RollReason::Age);
    }
    if q.index_full {
        return Some(RollReason::IndexFull);
    }
    q.append_last_offset.relative_to(q.base_offset).is_none().then_some(RollReason::OffsetRange)
}

// Age is measured in the time of the records where they have one, so that a replayed topic rolls as
// the original did; only a segment without timestamps ages by the clock.
fn waited_ms(q: &RollQuestion) -> i64 {
    match q.first_timestamp {
        Some(first) if first.get() >= 0 => q.append_max_timestamp.get().saturating_sub(first.get()),
        _ => q.now.get().saturating_sub(q.created.get()),
    }
}

/// The share of `segment.jitter.ms` one segment takes, drawn from `random`, so that segments created
/// together do not all roll together. Never more than `segment.ms` itself.
pub(crate) fn jitter_ms(random: u64, segment_jitter_ms: i64, segment_ms: i64) -> i64 {
    match segment_jitter_ms.min(segment_ms) {
        limit if limit <= 0 => 0,
        limit => i64::try_from(random % limit.unsigned_abs()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> RollQuestion {
        RollQuestion {
            base_offset: Offset::new(100),
            size_bytes: 1000,
            created: TimestampMs::new(0),
            first_timestamp: Some(TimestampMs::new(5_000)),
            index_full: false,
            append_bytes: 24,
            append_last_offset: Offset::new(200),
            append_max_timestamp: TimestampMs::new(6_000),
            now: TimestampMs::new(1_000_000),
            segment_bytes: 1024,
            segment_ms: 1_000,
        }
    }

    #[test]
    fn a_segment_is_left_for_exactly_the_reasons_kafka_has() {
        let q = quiet();
        let table: [(&str, RollQuestion, Option<RollReason>); 11] = [
            ("fits to the byte", q, None),
            ("one byte too many", RollQuestion { append_bytes: 25, ..q }, Some(RollReason::Size)),
            (
                "an empty segment smaller than the batch rolls too, as Kafka's does",
                RollQuestion { size_bytes: 0, append_bytes: 1025, ..q },
                Some(RollReason::Size),
            ),
            (
                "record time, one millisecond past segment.ms",
                RollQuestion { append_max_timestamp: TimestampMs::new(6_001), ..q },
                Some(RollReason::Age),
            ),
            (
                "the clock does not matter where records have times",
                RollQuestion { now: TimestampMs::new(i64::MAX), ..q },
                None,
            ),
            (
                "without record times the clock counts",
                RollQuestion { first_timestamp: None, ..q },
                Some(RollReason::Age),
            ),
            (
                "no timestamp (-1) counts as none",
                RollQuestion {
                    first_timestamp: Some(TimestampMs::new(-1)),
                    now: TimestampMs::new(1_000),
                    ..q
                },
                None,
            ),
            (
                "an empty segment never grows old",
                RollQuestion { size_bytes: 0, first_timestamp: None, ..q },
                None,
            ),
            ("index full", RollQuestion { index_full: true, ..q }, Some(RollReason::IndexFull)),
            (
                "last offset that still fits",
                RollQuestion { append_last_offset: Offset::new(100 + i64::from(i32::MAX)), ..q },
                None,
            ),
            (
                "first offset that does not",
                RollQuestion { append_last_offset: Offset::new(101 + i64::from(i32::MAX)), ..q },
                Some(RollReason::OffsetRange),
            ),
        ];
        for (name, question, expected) in table {
            assert_eq!(decide(&question), expected, "{name}");
        }
    }

    #[test]
    fn jitter_stays_below_both_bounds_and_is_absent_without_configuration() {
        assert_eq!(jitter_ms(12_345, 0, 1_000), 0);
        for random in 0..500 {
            assert!(jitter_ms(random, 100, 1_000) < 100);
            assert!(jitter_ms(random, 1_000, 50) < 50);
        }
    }
}
