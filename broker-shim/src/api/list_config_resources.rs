//! ListConfigResources: what has, or can have, a configuration.

use wire::{
    ErrorCode,
    messages::{
        ListConfigResourcesRequest, ListConfigResourcesResponse,
        list_config_resources_response::ConfigResource,
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
};

/// Kafka's numbers of resources. Of groups and client metrics there are none so far.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
/// In the order of Kafka's answers to who asks for all.
const ALL: [i8; 5] = [GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: ListConfigResourcesRequest<'_>,
) -> ListConfigResourcesResponse<'r> {
    if !broker.allows(context, Operation::DescribeConfigs, Resource::cluster()) {
        return failed(ErrorCode::ClusterAuthorizationFailed);
    }
    let asked = match &*request.resource_types {
        // The first version knows client metrics only.
        [] if context.version == 0 => &[CLIENT_METRICS][..],
        [] => &ALL,
        some => some,
    };
    if asked.iter().any(|kind| !ALL.contains(kind)) {
        return failed(ErrorCode::UnsupportedVersion);
    }
    let config_resources =
        ALL.iter().filter(|kind| asked.contains(kind)).flat_map(|kind| of_kind(broker, *kind)).collect();
    ListConfigResourcesResponse { config_resources, ..ListConfigResourcesResponse::default() }
}

fn of_kind<'r>(broker: &Broker, kind: i8) -> Vec<ConfigResource<'r>> {
    let resource = |name: String| ConfigResource {
        resource_name: name.into(),
        resource_type: kind,
        ..ConfigResource::default()
    };
    match kind {
        TOPIC => broker.image().topics().map(|topic| resource(topic.name.to_string())).collect(),
        BROKER | BROKER_LOGGER => {
            broker.image().brokers().map(|broker| resource(broker.broker_id.to_string())).collect()
        }
        _ => Vec::new(),
    }
}

fn failed<'r>(code: ErrorCode) -> ListConfigResourcesResponse<'r> {
    ListConfigResourcesResponse { error_code: code.code(), ..ListConfigResourcesResponse::default() }
}
