//! What configures transactions, read once at the start.

use std::time::Duration;

use log_engine::batch::Compression;

use crate::{config::Config, coordinator::TopicSettings};

/// The topic of transactional ids.
pub(crate) const TRANSACTION_TOPIC: &str = "__transaction_state";

/// See the module; each field after its key.
#[derive(Clone, Debug)]
pub(super) struct TransactionConfig {
    pub(super) max_timeout_ms: i64,
    pub(super) id_expiration_ms: i64,
    /// How often and how long adding a partition by producing waits for the transaction before it.
    pub(super) add_partitions_backoff: Duration,
    pub(super) add_partitions_backoff_max: Duration,
}

impl TransactionConfig {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            max_timeout_ms: config.number("transaction.max.timeout.ms"),
            id_expiration_ms: config.number("transactional.id.expiration.ms"),
            add_partitions_backoff: config.millis("add.partitions.to.txn.retry.backoff.ms"),
            add_partitions_backoff_max: config.millis("add.partitions.to.txn.retry.backoff.max.ms"),
        }
    }
}

/// How the topic of transactional ids is made (Kafka's `TransactionStateManager.transactionTopicConfigs`).
pub(super) fn topic_settings(config: &Config) -> TopicSettings {
    let number = |key| i32::try_from(config.number(key)).unwrap_or(1);
    TopicSettings {
        name: TRANSACTION_TOPIC,
        partitions: number("transaction.state.log.num.partitions"),
        replication_factor: i16::try_from(config.number("transaction.state.log.replication.factor"))
            .unwrap_or(1),
        configs: vec![
            ("unclean.leader.election.enable", "false".to_owned()),
            ("compression.type", "uncompressed".to_owned()),
            ("cleanup.policy", "compact".to_owned()),
            ("min.insync.replicas", number("transaction.state.log.min.isr").to_string()),
            ("segment.bytes", number("transaction.state.log.segment.bytes").to_string()),
        ],
        compression: Compression::None,
    }
}
