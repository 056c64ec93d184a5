//! Which offsets nobody wants any more (KIP-211).

use log_engine::types::TimestampMs;

use super::{Committed, Offsets};

/// Whether an offset is over that counts since `since`: by the time that its client gave it, or by how long all are kept.
pub(in crate::group) fn is_over(
    committed: &Committed,
    since: i64,
    retention_ms: i64,
    now: TimestampMs,
) -> bool {
    match committed.expire_timestamp {
        Some(expires) => now.get() >= expires,
        None => now.get().saturating_sub(since) >= retention_ms,
    }
}

/// The offsets of a group that are over and that no open transaction is about to replace.
pub(in crate::group) fn expired<'a>(
    offsets: &'a Offsets,
    group: &'a str,
    is_over: impl Fn(&Committed) -> bool + 'a,
) -> impl Iterator<Item = (&'a str, i32)> {
    offsets
        .of_group(group)
        .flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(number, committed)| (topic, *number, committed))
        })
        .filter(move |(topic, number, committed)| {
            is_over(committed) && !offsets.is_pending(group, topic, *number)
        })
        .map(|(topic, number, _)| (&**topic, number))
}
