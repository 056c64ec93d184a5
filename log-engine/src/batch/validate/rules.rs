//! What is asked of batches: by whom they come, and what the topic's configuration says.

use crate::batch::compress::{Compression, DecompressionCap};
use crate::batch::header::TimestampType;
use crate::types::LeaderEpoch;

/// Who appends; decides what is checked. Kafka's `AppendOrigin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A client's produce request: every rule.
    Client,
    /// A group or transaction coordinator of this broker: sequences are not checked, control batches may be written.
    Coordinator,
    /// The leader of the metadata log, which gives offsets and epochs itself.
    RaftLeader,
    /// Another replica, or our own log read again: offsets and epochs are given.
    Replication,
}

impl AppendOrigin {
    /// Whether the log gives the batches their offsets.
    #[must_use]
    pub const fn assigns_offsets(self) -> bool {
        matches!(self, Self::Client | Self::Coordinator)
    }
}

/// What the topic's configuration asks of its batches.
#[derive(Debug, Clone, Copy)]
pub struct ValidationRules {
    /// Who appends.
    pub origin: AppendOrigin,
    /// `compression.type`; `None` for `producer`, which keeps what comes.
    pub compression: Option<Compression>,
    /// Whether `cleanup.policy` has `compact`: every record needs a key then.
    pub compacted: bool,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub timestamp_after_max_ms: i64,
    /// `max.message.bytes`
    pub max_message_bytes: usize,
    /// `segment.bytes`
    pub segment_bytes: usize,
    /// The leader that replicated batches come from: from the first one of a newer epoch on they are left out (KAFKA-18723).
    pub leader_epoch: LeaderEpoch,
    /// What a batch may unfold to.
    pub decompression: DecompressionCap,
}

impl ValidationRules {
    /// The rules of a topic without configuration.
    #[must_use]
    pub fn defaults(origin: AppendOrigin) -> Self {
        Self {
            origin,
            compression: None,
            compacted: false,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            max_message_bytes: 1_048_588,
            segment_bytes: 1 << 30,
            leader_epoch: LeaderEpoch::new(i32::MAX),
            decompression: DecompressionCap::default(),
        }
    }
}
