//! What the controller decides: from an image and a request to records and an answer, without acting.
//!
//! The errors are Kafka's, with Kafka's sentences, so that tools print what their users know. Nothing here appends,
//! waits, or reads a clock; ids of new topics are a parameter.

mod alter_configs;
mod assign_directories;
mod client_quotas;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod elections;
mod placement;
mod producer_ids;
mod refusal;
mod topic_name;

use super::{controller::ChangeError, record::MetadataRecord};

pub use alter_configs::{AlterConfigs, ConfigOp, ConfigRules, DefaultList, ResourceAlterations};
pub use assign_directories::DirectoryAssignment;
pub use client_quotas::{AlterClientQuotas, QuotaAlterations};
pub(crate) use client_quotas::{entity_type, in_kafkas_order, quota_key};
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
pub(super) use client_quotas::alter_client_quotas;
pub(super) use create_partitions::create_partitions;
pub(super) use create_topics::create_topics;
pub(super) use delete_topics::delete_topics;
pub(super) use producer_ids::allocate_producer_ids;

/// The topic that the metadata log itself is.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Partitions that one request may create, as in Kafka's `ReplicationControlManager`.
pub const MAX_PARTITIONS_PER_REQUEST: usize = 10_000;

/// Records that one request of a client may lead to: Kafka's `MAX_RECORDS_PER_USER_OP`.
const MAX_RECORDS_PER_REQUEST: usize = 10_000;

/// Says whether partitions may be created or deleted, how many at a time.
pub type Allowance = Box<dyn FnMut(usize) -> Result<(), Refusal> + Send>;

/// Records to append as one batch, and what to tell the caller once they are in the image.
#[derive(Debug)]
pub(super) struct Decision<A> {
    records: Vec<MetadataRecord>,
    answer: A,
    /// More records than a request may lead to, also where they were only to be judged.
    is_too_large: bool,
}

impl<A> Decision<A> {
    fn new(records: Vec<MetadataRecord>, answer: A) -> Self {
        let is_too_large = records.len() > MAX_RECORDS_PER_REQUEST;
        Self { records, answer, is_too_large }
    }

    /// What is to be appended, and what the caller is told then.
    pub(super) fn carry_out(self) -> (Vec<MetadataRecord>, Result<A, ChangeError>) {
        match self.is_too_large {
            true => (Vec::new(), Err(ChangeError::TooManyRecords)),
            false => (self.records, Ok(self.answer)),
        }
    }

    /// The answer without the records, where only validation was asked for.
    fn without_records_if(mut self, validate_only: bool) -> Self {
        if validate_only {
            self.records.clear();
        }
        self
    }
}
