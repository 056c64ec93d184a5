//! CreateTopics: the controller part decides; here the request is translated, and the answer gets the topic's configuration.

use std::collections::HashMap;

use wire::{
    ErrorCode,
    messages::{
        CreateTopicsRequest, CreateTopicsResponse,
        create_topics_request::CreatableTopic,
        create_topics_response::{CreatableTopicConfigs, CreatableTopicResult},
    },
};

use super::{strictness, text_of, throttle_ms, uuid};
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    effective::Layers,
    error_map,
    metadata::ops::{CreateTopics, CreatedTopic, NewTopic, Refusal},
    request_context::RequestContext,
};

/// From this version on clients know how to go on where a quota is used up (KIP-599).
const STRICT_FROM: i16 = 6;

/// What Kafka says here of a topic that may not be created.
const DENIED: &str = "Authorization failed.";

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: CreateTopicsRequest<'r>,
) -> CreateTopicsResponse<'r> {
    let creates_all = broker.allows(context, Operation::Create, Resource::cluster());
    let (allowed, refused): (Vec<_>, Vec<_>) = request.topics.iter().partition(|topic| {
        creates_all || broker.allows(context, Operation::Create, Resource::topic(&topic.name))
    });
    let denied = |name| failed(name, ErrorCode::TopicAuthorizationFailed, Some(DENIED.to_owned()));
    let mut topics: Vec<_> = refused.iter().map(|topic| denied(&topic.name)).collect();
    let configs: HashMap<&str, &CreatableTopic<'_>> =
        allowed.iter().map(|topic| (topic.name.as_ref(), *topic)).collect();
    let wanted = CreateTopics {
        topics: allowed.iter().map(|topic| new_topic(topic)).collect(),
        validate_only: request.validate_only,
    };
    let mut quota = broker.client_quotas().mutations(context.payer(), strictness(context, STRICT_FROM));
    match broker.metadata.create_topics_within(wanted, quota.allowance()).await {
        Ok(answers) => topics.extend(answers.into_iter().map(|(name, answer)| match answer {
            Ok(created) => {
                let result = created_as(&name, &created, request.validate_only);
                if broker.allows(context, Operation::DescribeConfigs, Resource::topic(&name)) {
                    described(broker, configs.get(name.as_str()).copied(), &created, result)
                } else {
                    let topic_config_error_code = ErrorCode::TopicAuthorizationFailed.code();
                    CreatableTopicResult { topic_config_error_code, ..result }
                }
            }
            Err(refusal) => refused_with(&name, &refusal),
        })),
        Err(error) => topics.extend(
            allowed
                .iter()
                .map(|topic| failed(&topic.name, error_map::change(&error), Some(error.to_string()))),
        ),
    }
    CreateTopicsResponse {
        throttle_time_ms: throttle_ms(quota.throttle()),
        topics,
        ..CreateTopicsResponse::default()
    }
}

fn new_topic(topic: &CreatableTopic<'_>) -> NewTopic {
    NewTopic {
        name: topic.name.to_string(),
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: topic
            .assignments
            .iter()
            .map(|assignment| (assignment.partition_index, assignment.broker_ids.clone()))
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|config| (config.name.to_string(), config.value.as_deref().map(ToOwned::to_owned)))
            .collect(),
    }
}

/// As it is told to who may not see how the topic is configured, which includes its size.
fn created_as<'r>(name: &str, created: &CreatedTopic, validate_only: bool) -> CreatableTopicResult<'r> {
    CreatableTopicResult {
        name: name.to_owned().into(),
        topic_id: if validate_only { wire::primitives::Uuid::ZERO } else { uuid(created.topic_id) },
        error_message: None,
        ..CreatableTopicResult::default()
    }
}

fn described<'r>(
    broker: &Broker,
    asked: Option<&CreatableTopic<'_>>,
    created: &CreatedTopic,
    result: CreatableTopicResult<'r>,
) -> CreatableTopicResult<'r> {
    let given = asked
        .map(|topic| {
            let pairs = topic.configs.iter();
            pairs.filter_map(|config| Some((config.name.as_ref(), config.value.as_deref()?))).collect()
        })
        .unwrap_or_default();
    let image = broker.image();
    let configs = Layers::of(broker.config(), &image)
        .topic(&given)
        .into_iter()
        .map(|(key, effective)| CreatableTopicConfigs {
            name: key.name.into(),
            value: Some(effective.value.into()),
            read_only: false,
            config_source: effective.source.code(),
            is_sensitive: false,
            ..CreatableTopicConfigs::default()
        })
        .collect();
    CreatableTopicResult {
        num_partitions: created.num_partitions,
        replication_factor: created.replication_factor,
        configs: Some(configs),
        ..result
    }
}

fn refused_with<'r>(name: &str, refusal: &Refusal) -> CreatableTopicResult<'r> {
    if *refusal == Refusal::ThrottlingQuotaExceeded {
        // Of this Kafka says nothing more.
        return CreatableTopicResult {
            name: name.to_owned().into(),
            error_code: error_map::refusal(refusal).code(),
            error_message: None,
            ..CreatableTopicResult::default()
        };
    }
    failed(name, error_map::refusal(refusal), Some(refusal.to_string()))
}

fn failed<'r>(name: &str, code: ErrorCode, message: Option<String>) -> CreatableTopicResult<'r> {
    CreatableTopicResult {
        name: name.to_owned().into(),
        error_code: code.code(),
        error_message: Some(message.unwrap_or_else(|| text_of(code).to_owned()).into()),
        ..CreatableTopicResult::default()
    }
}
