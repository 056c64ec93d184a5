//! The names of the metadata log's snapshots: `%020d-%010d.checkpoint`.

/// End offset and epoch that a snapshot's name tells, by the positions Kafka cuts it at.
pub(super) fn parse_name(name: &str) -> Option<(i64, i32)> {
    let end_offset = name.get(..20)?.parse().ok()?;
    let epoch = name.get(21..31)?.parse().ok()?;
    Some((end_offset, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_named_by_end_offset_and_epoch() {
        assert_eq!(parse_name("00000000000000000071-0000000001.checkpoint"), Some((71, 1)));
        assert_eq!(parse_name("recovery.checkpoint"), None);
        assert_eq!(parse_name("0000000000000000007\u{e4}-0000000001.checkpoint"), None);
    }
}
