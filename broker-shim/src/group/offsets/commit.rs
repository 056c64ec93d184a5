//! OffsetCommit and TxnOffsetCommit: which offsets are written, and which are too large.

use log_engine::types::TimestampMs;
use wire::{ErrorCode, primitives::Uuid, records::OffsetCommitValue};

use crate::{
    coordinator::Record,
    group::{GroupConfig, records},
};

/// An offset that a client commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewOffset<'a> {
    pub(crate) topic: &'a str,
    /// Zero where the client names topics.
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: Option<&'a str>,
}

/// The records, and for each offset what it is answered with.
pub(in crate::group) fn decide(
    config: &GroupConfig,
    group: &str,
    offsets: &[NewOffset<'_>],
    retention_ms: Option<i64>,
    now: TimestampMs,
) -> Result<(Vec<Record>, Vec<ErrorCode>), records::Unwritable> {
    let mut written = Vec::with_capacity(offsets.len());
    let mut codes = Vec::with_capacity(offsets.len());
    for new in offsets {
        let metadata = new.metadata.unwrap_or_default();
        // Java counts UTF-16 units.
        if metadata.encode_utf16().count() > config.offset_metadata_max_bytes {
            codes.push(ErrorCode::OffsetMetadataTooLarge);
            continue;
        }
        let value = OffsetCommitValue {
            offset: new.offset,
            leader_epoch: new.leader_epoch,
            metadata: metadata.into(),
            topic_id: new.topic_id,
            commit_timestamp: now.get(),
            expire_timestamp: retention_ms.map_or(-1, |retention| now.get().saturating_add(retention)),
            ..OffsetCommitValue::default()
        };
        written.push(records::offset_commit(group, new.topic, new.partition, Some(&value))?);
        codes.push(ErrorCode::None);
    }
    Ok((written, codes))
}
