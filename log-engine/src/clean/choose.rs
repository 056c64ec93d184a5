//! Which log is cleaned next, and up to where? Pure decisions with the rules of Kafka's `LogCleanerManager` and
//! `LogToClean`.
//!
//! ```text
//!   log start        first dirty          first uncleanable     active
//!      |-- cleaned before --|------- dirty -------|--- not yet ---|---
//! ```

use crate::config::LogConfig;
use crate::segment::SegmentInfo;
use crate::types::Offset;

/// What the choice looks at.
#[derive(Debug)]
pub struct LogFacts<'a> {
    /// Oldest first; the last one is active.
    pub segments: &'a [SegmentInfo],
    /// First offset of the log.
    pub log_start: Offset,
    /// The offset after the last.
    pub log_end: Offset,
    /// The last stable offset.
    pub last_stable: Offset,
    /// What was cleaned before ends here.
    pub cleaned_to: Option<Offset>,
    /// How the log is to be kept.
    pub config: &'a LogConfig,
    /// Milliseconds since 1970.
    pub now: i64,
}

/// What there is to clean of a log.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Cleanable {
    /// Where the part begins that was not cleaned yet.
    pub first_dirty: Offset,
    /// Where a segment begins that stays as it is.
    pub first_uncleanable: Offset,
    /// Bytes of segments before the first dirty offset.
    pub clean_bytes: u64,
    /// Bytes that may be cleaned.
    pub dirty_bytes: u64,
}

impl Cleanable {
    /// The share of the cleanable part that is dirty.
    pub fn dirty_ratio(&self) -> f64 {
        match self.clean_bytes + self.dirty_bytes {
            0 => 0.0,
            total => self.dirty_bytes as f64 / total as f64,
        }
    }

    /// Whether the work is worth it: enough is dirty, or something has been dirty for too long.
    pub fn is_due(&self, config: &LogConfig, is_overdue: bool) -> bool {
        self.dirty_bytes > 0 && (is_overdue || self.dirty_ratio() > config.min_cleanable_dirty_ratio)
    }
}

/// What may be cleaned: not the active segment, nothing that is not stable, nothing too young.
pub fn cleanable(facts: &LogFacts<'_>) -> Cleanable {
    let first_dirty = first_dirty(facts);
    let active = facts.segments.last().map_or(facts.log_end, |segment| segment.base_offset);
    let too_young = too_young(facts, first_dirty, active);
    let limit = facts.last_stable.min(active).min(too_young.unwrap_or(active)).max(first_dirty);
    let first_uncleanable = floor(facts.segments, limit).unwrap_or(active).min(active);
    let bytes = |from: Offset, to: Offset| -> u64 {
        let from = floor(facts.segments, from).unwrap_or(from);
        let within = |segment: &&SegmentInfo| segment.base_offset >= from && segment.base_offset < to;
        facts.segments.iter().filter(within).map(|segment| segment.size_bytes).sum()
    };
    Cleanable {
        first_dirty,
        first_uncleanable,
        clean_bytes: bytes(Offset::new(i64::MIN), first_dirty),
        dirty_bytes: bytes(first_dirty.min(first_uncleanable), first_uncleanable),
    }
}

// A checkpoint that does not lie within the log speaks of records that are gone: all of the log counts as dirty.
fn first_dirty(facts: &LogFacts<'_>) -> Offset {
    match facts.cleaned_to {
        Some(offset) if offset >= facts.log_start && offset <= facts.log_end => offset,
        _ => facts.log_start,
    }
}

fn too_young(facts: &LogFacts<'_>, first_dirty: Offset, active: Offset) -> Option<Offset> {
    let lag = facts.config.min_compaction_lag_ms;
    if lag <= 0 {
        return None;
    }
    let oldest = facts.now.saturating_sub(lag);
    dirty_segments(facts.segments, first_dirty, active)
        .find(|segment| segment.max_timestamp.unwrap_or(segment.created).get() > oldest)
        .map(|segment| segment.base_offset)
}

/// The segments with dirty records, without the active one.
pub fn dirty_segments(
    segments: &[SegmentInfo],
    first_dirty: Offset,
    active: Offset,
) -> impl Iterator<Item = &SegmentInfo> {
    let from = floor(segments, first_dirty).unwrap_or(first_dirty);
    segments.iter().filter(move |segment| segment.base_offset >= from && segment.base_offset < active)
}

/// Whether a dirty record is older than `max.compaction.lag.ms`. `first_timestamps` are those of the first batch of each
/// dirty segment; one that is not positive tells nothing.
pub fn is_overdue(first_timestamps: impl IntoIterator<Item = i64>, config: &LogConfig, now: i64) -> bool {
    let oldest = first_timestamps.into_iter().filter(|timestamp| *timestamp > 0).min();
    oldest.is_some_and(|oldest| oldest < now.saturating_sub(config.max_compaction_lag_ms))
}

fn floor(segments: &[SegmentInfo], offset: Offset) -> Option<Offset> {
    let behind = segments.partition_point(|segment| segment.base_offset <= offset);
    Some(segments.get(behind.checked_sub(1)?)?.base_offset)
}

/// The one with the largest dirty share.
pub(super) fn filthiest<T>(candidates: Vec<(T, Cleanable)>) -> Option<(T, Cleanable)> {
    candidates.into_iter().max_by(|(_, a), (_, b)| a.dirty_ratio().total_cmp(&b.dirty_ratio()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TimestampMs;

    // Four closed segments of 100 bytes and 10 offsets, written at 1 000, 2 000, 3 000 and 4 000, and the active one.
    fn segments() -> Vec<SegmentInfo> {
        (0..5)
            .map(|i| SegmentInfo {
                base_offset: Offset::new(i * 10),
                end_offset: Offset::new(i * 10 + 10),
                size_bytes: 100,
                max_timestamp: Some(TimestampMs::new((i + 1) * 1_000)),
                created: TimestampMs::new(0),
            })
            .collect()
    }

    struct Case {
        log_start: i64,
        last_stable: i64,
        cleaned_to: Option<i64>,
        min_lag: i64,
        now: i64,
    }

    const QUIET: Case = Case { log_start: 0, last_stable: 50, cleaned_to: None, min_lag: 0, now: 100_000 };

    fn ask(case: &Case) -> (i64, i64, u64, u64) {
        let segments = segments();
        let config = LogConfig { min_compaction_lag_ms: case.min_lag, ..LogConfig::default() };
        let found = cleanable(&LogFacts {
            segments: &segments,
            log_start: Offset::new(case.log_start),
            log_end: Offset::new(50),
            last_stable: Offset::new(case.last_stable),
            cleaned_to: case.cleaned_to.map(Offset::new),
            config: &config,
            now: case.now,
        });
        (found.first_dirty.get(), found.first_uncleanable.get(), found.clean_bytes, found.dirty_bytes)
    }

    #[test]
    fn what_may_be_cleaned_is_what_kafka_would_clean() {
        let table = [
            ("all but the active segment", QUIET, (0, 40, 0, 400)),
            ("nothing of it is stable", Case { last_stable: 0, ..QUIET }, (0, 0, 0, 0)),
            ("a segment that is stable in part stays", Case { last_stable: 29, ..QUIET }, (0, 20, 0, 200)),
            ("one that is stable to its end goes", Case { last_stable: 30, ..QUIET }, (0, 30, 0, 300)),
            ("what was cleaned counts as clean", Case { cleaned_to: Some(20), ..QUIET }, (20, 40, 200, 200)),
            (
                "a segment cleaned in part counts as both",
                Case { cleaned_to: Some(25), ..QUIET },
                (25, 40, 300, 200),
            ),
            ("all was cleaned", Case { cleaned_to: Some(40), ..QUIET }, (40, 40, 400, 0)),
            (
                "a checkpoint behind the end tells nothing",
                Case { cleaned_to: Some(51), ..QUIET },
                (0, 40, 0, 400),
            ),
            (
                "nor does one before the start",
                Case { cleaned_to: Some(5), log_start: 10, ..QUIET },
                (10, 40, 100, 300),
            ),
            (
                "too young: exactly the lag is old enough",
                Case { min_lag: 1_000, now: 3_000, ..QUIET },
                (0, 20, 0, 200),
            ),
            ("too young by a millisecond", Case { min_lag: 1_000, now: 2_999, ..QUIET }, (0, 10, 0, 100)),
        ];
        for (name, case, expected) in table {
            assert_eq!(ask(&case), expected, "{name}");
        }
    }

    #[test]
    fn a_log_is_due_above_the_ratio_or_when_a_record_has_waited_too_long() {
        let config = LogConfig { max_compaction_lag_ms: 5_000, ..LogConfig::default() };
        let of = |clean_bytes, dirty_bytes| Cleanable {
            first_dirty: Offset::ZERO,
            first_uncleanable: Offset::ZERO,
            clean_bytes,
            dirty_bytes,
        };
        assert!(!of(50, 50).is_due(&config, false), "exactly the ratio is not above it");
        assert!(of(49, 51).is_due(&config, false));
        assert!(of(99, 1).is_due(&config, true));
        assert!(!of(99, 0).is_due(&config, true));
        assert!(!is_overdue([-1, 0], &config, 100_000));
        assert!(!is_overdue([10_000, 5_000], &config, 10_000));
        assert!(is_overdue([10_000, 4_999], &config, 10_000));
        let chosen = filthiest(vec![("a", of(5, 1)), ("b", of(1, 5)), ("c", of(3, 3))]);
        assert_eq!(chosen.map(|(name, _)| name), Some("b"));
    }
}
