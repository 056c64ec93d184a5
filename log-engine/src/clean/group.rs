//! Which segments become one? Pure; the rules of Kafka's `Cleaner.groupSegmentsBySize`.

use crate::config::LogConfig;
use crate::types::Offset;

/// A segment, as far as grouping looks at it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Member {
    pub(super) base_offset: Offset,
    pub(super) size_bytes: u64,
    pub(super) offset_index_bytes: u64,
    pub(super) time_index_bytes: u64,
}

/// The number of segments in each group, from the first segment on. A group's files and offsets fit one segment even if
/// nothing of it goes. `end` is where the last segment ends at most.
pub(super) fn group(segments: &[Member], config: &LogConfig, end: Offset) -> Vec<usize> {
    let mut groups = Vec::new();
    let mut rest = segments;
    while let Some((first, behind)) = rest.split_first() {
        let mut sum = *first;
        let mut count = 1;
        for (index, next) in behind.iter().enumerate() {
            let last_offset = behind.get(index + 1).map_or(end, |segment| segment.base_offset).get() - 1;
            if !fits(&sum, next, config, last_offset) {
                break;
            }
            sum.size_bytes += next.size_bytes;
            sum.offset_index_bytes += next.offset_index_bytes;
            sum.time_index_bytes += next.time_index_bytes;
            count += 1;
        }
        groups.push(count);
        rest = &rest[count..];
    }
    groups
}

// An empty segment does not stretch the offsets, or a log would keep one for every 2^31 offsets.
fn fits(sum: &Member, next: &Member, config: &LogConfig, last_offset: i64) -> bool {
    let index_max = u64::from(config.segment_index_bytes);
    sum.size_bytes + next.size_bytes <= u64::from(config.segment_bytes)
        && sum.offset_index_bytes + next.offset_index_bytes <= index_max
        && sum.time_index_bytes + next.time_index_bytes <= index_max
        && (next.size_bytes == 0 || last_offset - sum.base_offset.get() <= i64::from(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(base: i64, size_bytes: u64) -> Member {
        Member { base_offset: Offset::new(base), size_bytes, offset_index_bytes: 8, time_index_bytes: 12 }
    }

    #[test]
    fn segments_are_grouped_while_they_fit_one() {
        let config = LogConfig { segment_bytes: 250, segment_index_bytes: 36, ..LogConfig::default() };
        let far = i64::from(i32::MAX);
        let table = [
            ("none", vec![], 10, vec![]),
            ("by size", vec![member(0, 100), member(1, 150), member(2, 1)], 3, vec![2, 1]),
            ("one too large stays alone", vec![member(0, 300), member(1, 10)], 2, vec![1, 1]),
            ("by index", vec![member(0, 1), member(1, 1), member(2, 1), member(3, 1)], 4, vec![3, 1]),
            ("by offsets: the last one fits", vec![member(0, 1), member(5, 1)], far + 1, vec![2]),
            ("by offsets: one more does not", vec![member(0, 1), member(5, 1)], far + 2, vec![1, 1]),
            ("by offsets: an empty segment always fits", vec![member(0, 1), member(5, 0)], far + 2, vec![2]),
            (
                "by offsets: a segment ends where the next begins",
                vec![member(0, 1), member(5, 1), member(far + 1, 1)],
                far + 2,
                vec![2, 1],
            ),
        ];
        for (name, segments, end, expected) in table {
            assert_eq!(group(&segments, &config, Offset::new(end)), expected, "{name}");
        }
    }
}
