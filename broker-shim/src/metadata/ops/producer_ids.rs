//! AllocateProducerIds (Kafka's `ProducerIdControlManager`): ids are handed to brokers in blocks, so that not every new
//! producer costs a record.

use super::{Decision, Refusal};
use crate::metadata::{image::Image, record::MetadataRecord};

/// How many ids one record hands out.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// Ids that a broker may give to producers. What it has not given when it stops is never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// First id.
    pub first: i64,
    /// How many.
    pub len: i64,
}

pub(in crate::metadata) fn allocate_producer_ids(
    image: &Image,
    broker_id: i32,
    broker_epoch: i64,
) -> Decision<Result<ProducerIdBlock, Refusal>> {
    let first = image.next_producer_id();
    let Some(next_producer_id) = first.checked_add(PRODUCER_ID_BLOCK) else {
        return Decision::new(Vec::new(), Err(Refusal::ProducerIdsExhausted));
    };
    let record = MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id };
    Decision::new(vec![record], Ok(ProducerIdBlock { first, len: PRODUCER_ID_BLOCK }))
}
