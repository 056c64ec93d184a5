//! DescribeCluster: the brokers, and who controls.

use wire::{
    ErrorCode,
    messages::{
        DescribeClusterRequest, DescribeClusterResponse, describe_cluster_response::DescribeClusterBroker,
    },
};

use super::metadata::operations_on_cluster;
use crate::{broker::Broker, request_context::RequestContext};

/// Kafka's number for "brokers, please"; 2 asks a controller.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn handle<'r>(
    broker: &'r Broker,
    context: &RequestContext,
    request: DescribeClusterRequest<'_>,
) -> DescribeClusterResponse<'r> {
    if request.endpoint_type != BROKERS {
        return refusal(request.endpoint_type);
    }
    DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: broker.cluster_id().into(),
        controller_id: broker.node_id(),
        brokers: brokers(broker, context),
        cluster_authorized_operations: operations_on_cluster(
            broker,
            context,
            request.include_cluster_authorized_operations,
        ),
        ..DescribeClusterResponse::default()
    }
}

fn refusal<'r>(endpoint_type: i8) -> DescribeClusterResponse<'r> {
    let (code, text) = match endpoint_type {
        CONTROLLERS => (
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER".to_owned(),
        ),
        other => (ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}")),
    };
    DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(text.into()),
        controller_id: -1,
        ..DescribeClusterResponse::default()
    }
}

fn brokers<'r>(broker: &'r Broker, context: &RequestContext) -> Vec<DescribeClusterBroker<'r>> {
    broker
        .endpoint(&context.peer.listener)
        .map(|endpoint| DescribeClusterBroker {
            broker_id: broker.node_id(),
            host: endpoint.host.as_str().into(),
            port: endpoint.port.into(),
            rack: broker.config().rack.as_deref().map(Into::into),
            ..DescribeClusterBroker::default()
        })
        .into_iter()
        .collect()
}
