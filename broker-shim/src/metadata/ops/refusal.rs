//! Why the controller refuses a request, or one entry of it.

use log_engine::types::TopicId;

use super::MAX_PARTITIONS_PER_REQUEST;

/// One refusal; its text is what Kafka says in the same case.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// INVALID_TOPIC_EXCEPTION: the name cannot be that of a topic.
    #[error("{0}")]
    InvalidTopic(String),
    /// TOPIC_ALREADY_EXISTS.
    #[error("Topic '{0}' already exists.")]
    TopicExists(String),
    /// INVALID_PARTITIONS.
    #[error("{0}")]
    InvalidPartitions(String),
    /// INVALID_REPLICATION_FACTOR.
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// INVALID_REPLICA_ASSIGNMENT.
    #[error("{0}")]
    InvalidReplicaAssignment(String),
    /// INVALID_CONFIG.
    #[error("{0}")]
    InvalidConfig(String),
    /// INVALID_REQUEST.
    #[error("{0}")]
    InvalidRequest(String),
    /// POLICY_VIOLATION.
    #[error("{0}")]
    PolicyViolation(String),
    /// UNKNOWN_SERVER_ERROR without a text, as Kafka answers where a topic would get more partitions than fit in one batch.
    #[error("a request may add at most {MAX_PARTITIONS_PER_REQUEST} partitions; nothing was added")]
    TooManyPartitions,
    /// UNKNOWN_TOPIC_OR_PARTITION, where the request names one topic.
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    /// UNKNOWN_TOPIC_OR_PARTITION, where the request configures a topic.
    #[error("The topic '{0}' does not exist.")]
    UnknownTopicResource(String),
    /// UNKNOWN_TOPIC_OR_PARTITION, in words of its own.
    #[error("{0}")]
    UnknownPartition(String),
    /// ELECTION_NOT_NEEDED.
    #[error("Leader election not needed for topic partition.")]
    ElectionNotNeeded,
    /// PREFERRED_LEADER_NOT_AVAILABLE.
    #[error("The preferred leader was not available.")]
    NoPreferredLeader,
    /// ELIGIBLE_LEADERS_NOT_AVAILABLE.
    #[error("Eligible topic partition leaders are not available.")]
    NoEligibleLeader,
    /// NO_REASSIGNMENT_IN_PROGRESS.
    #[error("No partition reassignment is in progress.")]
    NoReassignment,
    /// THROTTLING_QUOTA_EXCEEDED.
    #[error("The throttling quota has been exceeded.")]
    ThrottlingQuotaExceeded,
    /// UNKNOWN_TOPIC_ID.
    #[error("This server does not host this topic ID.")]
    UnknownTopicId(TopicId),
    /// UNKNOWN_SERVER_ERROR, as Kafka answers when producer ids run out.
    #[error("Exhausted all producerIds as the next block's end producerId has exceeded long type limit")]
    ProducerIdsExhausted,
}
