//! DeleteRecords: moves the start of a partition forward.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use wire::{
    ErrorCode,
    messages::{
        DeleteRecordsRequest, DeleteRecordsResponse,
        delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult},
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

const NO_WATERMARK: i64 = -1;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DeleteRecordsRequest<'r>,
) -> DeleteRecordsResponse<'r> {
    let mut topics = Vec::new();
    for topic in &request.topics {
        let allowed = broker.allows(context, Operation::Delete, Resource::topic(&topic.name));
        let mut partitions = Vec::new();
        for asked in &topic.partitions {
            let deleted = if allowed {
                delete(broker, &topic.name, asked.partition_index, asked.offset).await
            } else {
                Err(ErrorCode::TopicAuthorizationFailed)
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark: deleted.unwrap_or(NO_WATERMARK),
                error_code: deleted.err().unwrap_or(ErrorCode::None).code(),
                ..DeleteRecordsPartitionResult::default()
            });
        }
        topics.push(DeleteRecordsTopicResult {
            name: topic.name.clone(),
            partitions,
            ..DeleteRecordsTopicResult::default()
        });
    }
    DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() }
}

async fn delete(broker: &Broker, topic: &str, partition: i32, before: i64) -> Result<i64, ErrorCode> {
    let partition = broker.partition(topic, partition)?;
    let (partition, engine) = (Arc::clone(&partition), Arc::clone(&broker.engine));
    spawn_blocking(move || partition.delete_records_before(before, &engine))
        .await
        .unwrap_or(Err(ErrorCode::UnknownServerError))
        .map(|start| start.get())
}
