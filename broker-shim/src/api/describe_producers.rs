//! DescribeProducers: who writes to partitions, and since when transactions are open in them.

use log_engine::{producer::ProducerEntry, types::Offset};
use wire::{
    ErrorCode,
    messages::{
        DescribeProducersRequest, DescribeProducersResponse,
        describe_producers_response::{PartitionResponse, ProducerState, TopicResponse},
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

const NONE_OPEN: i64 = -1;

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeProducersRequest<'_>,
) -> DescribeProducersResponse<'r> {
    let topics = request.topics.iter().map(|topic| {
        let allowed = broker.allows(context, Operation::Read, Resource::topic(&topic.name));
        let partitions = topic.partition_indexes.iter().map(|number| {
            let producers = if allowed {
                broker.partition(&topic.name, *number).map(|partition| partition.active_producers())
            } else {
                Err(ErrorCode::TopicAuthorizationFailed)
            };
            partition(*number, producers)
        });
        TopicResponse {
            name: topic.name.to_string().into(),
            partitions: partitions.collect(),
            ..TopicResponse::default()
        }
    });
    DescribeProducersResponse { topics: topics.collect(), ..DescribeProducersResponse::default() }
}

fn partition<'r>(number: i32, producers: Result<Vec<ProducerEntry>, ErrorCode>) -> PartitionResponse<'r> {
    match producers {
        Ok(producers) => PartitionResponse {
            partition_index: number,
            active_producers: producers.iter().map(producer).collect(),
            ..PartitionResponse::default()
        },
        Err(code) => PartitionResponse {
            partition_index: number,
            error_code: code.code(),
            ..PartitionResponse::default()
        },
    }
}

fn producer<'r>(entry: &ProducerEntry) -> ProducerState<'r> {
    ProducerState {
        producer_id: entry.producer_id.get(),
        producer_epoch: entry.producer_epoch.get().into(),
        last_sequence: entry.last_sequence().get(),
        last_timestamp: entry.last_timestamp.get(),
        coordinator_epoch: entry.coordinator_epoch,
        current_txn_start_offset: entry.current_txn_first_offset.map_or(NONE_OPEN, Offset::get),
        ..ProducerState::default()
    }
}
