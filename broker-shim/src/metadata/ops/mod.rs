//! What the controller decides: from an image and a request to records and an answer, without acting.
//!
//! The errors are Kafka's, with Kafka's sentences, so that tools print what their users know. Nothing here appends,
//! waits, or reads a clock; ids of new topics are a parameter.

mod alter_configs;
mod assign_directories;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod elections;
mod placement;
mod producer_ids;
mod refusal;
mod topic_name;

use super::record::MetadataRecord;

pub use alter_configs::{AlterConfigs, ConfigOp, ConfigRules, DefaultList, ResourceAlterations};
pub use assign_directories::DirectoryAssignment;
pub use create_partitions::{CreatePartitions, MorePartitions};
pub use create_topics::{CreateTopics, CreatedTopic, NewTopic, TopicDefaults};
pub use delete_topics::{DeleteTopics, TopicSelector};
pub use elections::ElectionType;
pub(crate) use elections::{election, reassignment};
pub use producer_ids::{PRODUCER_ID_BLOCK, ProducerIdBlock};
pub use refusal::Refusal;
pub use topic_name::check_topic_name;

pub(super) use alter_configs::alter_configs;
pub(super) use assign_directories::assign_directories;
pub(super) use create_partitions::create_partitions;
pub(super) use create_topics::create_topics;
pub(super) use delete_topics::delete_topics;
pub(super) use producer_ids::allocate_producer_ids;

/// The topic that the metadata log itself is.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Partitions that one request may create, as in Kafka's `ReplicationControlManager`.
pub const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// Records of topics and partitions that one request may lead to: Kafka's `MAX_RECORDS_PER_USER_OP`.
const MAX_RECORDS_PER_REQUEST: usize = 10_000;

/// Records to append as one batch, and what to tell the caller once they are in the image.
#[derive(Debug)]
pub(super) struct Decision<A> {
    pub(super) records: Vec<MetadataRecord>,
    pub(super) answer: A,
}

impl<A> Decision<A> {
    /// The answer without the records, where only validation was asked for.
    fn without_records_if(mut self, validate_only: bool) -> Self {
        if validate_only {
            self.records.clear();
        }
        self
    }
}
