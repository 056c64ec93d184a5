//! What configures groups, read once at the start.

use log_engine::batch::{Compression, CompressionType};

use crate::{config::Config, coordinator::TopicSettings};

/// The topic of groups and their offsets.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

const MINUTE_MS: i64 = 60 * 1000;

/// See the module; each field after its key.
#[derive(Clone, Debug)]
pub(crate) struct GroupConfig {
    pub(super) offset_metadata_max_bytes: usize,
    pub(super) initial_rebalance_delay_ms: i64,
    pub(super) min_session_timeout_ms: i64,
    pub(super) max_session_timeout_ms: i64,
    pub(super) max_size: usize,
    pub(super) offsets_retention_ms: i64,
    pub(super) expiry_check_interval_ms: i64,
}

impl GroupConfig {
    pub(crate) fn of(config: &Config) -> Self {
        let size = |key| usize::try_from(config.number(key)).unwrap_or(0);
        Self {
            offset_metadata_max_bytes: size("offset.metadata.max.bytes"),
            initial_rebalance_delay_ms: config.number("group.initial.rebalance.delay.ms"),
            min_session_timeout_ms: config.number("group.min.session.timeout.ms"),
            max_session_timeout_ms: config.number("group.max.session.timeout.ms"),
            max_size: size("group.max.size"),
            offsets_retention_ms: config.number("offsets.retention.minutes").saturating_mul(MINUTE_MS),
            expiry_check_interval_ms: config.number("offsets.retention.check.interval.ms"),
        }
    }
}

/// How the topic of groups is made (Kafka's `GroupCoordinatorService.groupMetadataTopicConfigs`).
pub(crate) fn topic_settings(config: &Config) -> TopicSettings {
    TopicSettings {
        name: OFFSETS_TOPIC,
        partitions: i32::try_from(config.number("offsets.topic.num.partitions")).unwrap_or(1),
        replication_factor: i16::try_from(config.number("offsets.topic.replication.factor")).unwrap_or(1),
        configs: vec![
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", config.number("offsets.topic.segment.bytes").to_string()),
        ],
        compression: compression(config.number("offsets.topic.compression.codec")),
    }
}

/// A number that is none of a codec's stands for none.
fn compression(codec: i64) -> Compression {
    let codec = u8::try_from(codec).ok().and_then(|id| CompressionType::from_id(id).ok());
    Compression::of(codec.unwrap_or(CompressionType::None))
}
