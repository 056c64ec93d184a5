//! WriteTxnMarkers: a coordinator, or an administrator who ends a transaction that hangs, has markers written.

use log_engine::batch::control::TxnOutcome;
use wire::{
    ErrorCode,
    messages::{
        WriteTxnMarkersRequest, WriteTxnMarkersResponse,
        write_txn_markers_request::WritableTxnMarker,
        write_txn_markers_response::{
            WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
        },
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
    transaction::{Marker, Producer, TransactionVersion},
};

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: WriteTxnMarkersRequest<'_>,
) -> WriteTxnMarkersResponse<'r> {
    let allowed = broker.allows(context, Operation::Alter, Resource::cluster())
        || broker.allows(context, Operation::ClusterAction, Resource::cluster());
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in &request.markers {
        markers.push(write(broker, marker, allowed).await);
    }
    WriteTxnMarkersResponse { markers, ..WriteTxnMarkersResponse::default() }
}

async fn write<'r>(
    broker: &Broker,
    asked: &WritableTxnMarker<'_>,
    allowed: bool,
) -> WritableTxnMarkerResult<'r> {
    let version = TransactionVersion::from_level(asked.transaction_version.into());
    let marker = Marker {
        producer: Producer::new(asked.producer_id, asked.producer_epoch),
        outcome: if asked.transaction_result { TxnOutcome::Commit } else { TxnOutcome::Abort },
        coordinator_epoch: asked.coordinator_epoch,
        protocol: version.protocol(),
    };
    let mut topics = Vec::with_capacity(asked.topics.len());
    for topic in &asked.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for number in &topic.partition_indexes {
            let code = if allowed {
                let written = broker.transactions.write_marker(&topic.name, *number, &marker).await;
                written.err().unwrap_or(ErrorCode::None)
            } else {
                ErrorCode::ClusterAuthorizationFailed
            };
            partitions.push(WritableTxnMarkerPartitionResult {
                partition_index: *number,
                error_code: code.code(),
                ..WritableTxnMarkerPartitionResult::default()
            });
        }
        topics.push(WritableTxnMarkerTopicResult {
            name: topic.name.to_string().into(),
            partitions,
            ..WritableTxnMarkerTopicResult::default()
        });
    }
    WritableTxnMarkerResult { producer_id: asked.producer_id, topics, ..WritableTxnMarkerResult::default() }
}
