//! CreatePartitions: more partitions for topics that exist.

use std::collections::HashMap;

use wire::{
    ErrorCode,
    messages::{
        CreatePartitionsRequest, CreatePartitionsResponse, create_partitions_request::CreatePartitionsTopic,
        create_partitions_response::CreatePartitionsTopicResult,
    },
};

use super::{strictness, text_of, throttle_ms};
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    error_map,
    metadata::ops::{CreatePartitions, MorePartitions, Refusal},
    request_context::RequestContext,
};

/// From this version on clients know how to go on where a quota is used up (KIP-599).
const STRICT_FROM: i16 = 3;

pub(super) async fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: CreatePartitionsRequest<'r>,
) -> CreatePartitionsResponse<'r> {
    let mut results = Vec::new();
    let mut topics = Vec::new();
    let mut times: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *times.entry(&topic.name).or_default() += 1;
    }
    for topic in &request.topics {
        if !broker.allows(context, Operation::Alter, Resource::topic(&topic.name)) {
            results.push(failed(&topic.name, ErrorCode::TopicAuthorizationFailed, None));
        } else if times.get(topic.name.as_ref()).is_some_and(|times| *times > 1) {
            results.push(failed(
                &topic.name,
                ErrorCode::InvalidRequest,
                Some("Duplicate topic name.".to_owned()),
            ));
        } else {
            topics.push(more_partitions(topic));
        }
    }
    let wanted = CreatePartitions { topics, validate_only: request.validate_only };
    let names: Vec<String> = wanted.topics.iter().map(|topic| topic.name.clone()).collect();
    let mut quota = broker.client_quotas().mutations(context.payer(), strictness(context, STRICT_FROM));
    match broker.metadata.create_partitions_within(wanted, quota.allowance()).await {
        Ok(answers) => results.extend(answers.into_iter().map(|(name, answer)| match answer {
            Ok(()) => {
                CreatePartitionsTopicResult { name: name.into(), ..CreatePartitionsTopicResult::default() }
            }
            // Of these Kafka says nothing more here.
            Err(
                refusal @ (Refusal::UnknownTopic
                | Refusal::TooManyPartitions
                | Refusal::ThrottlingQuotaExceeded),
            ) => CreatePartitionsTopicResult {
                name: name.into(),
                error_code: error_map::refusal(&refusal).code(),
                ..CreatePartitionsTopicResult::default()
            },
            Err(refusal) => failed(&name, error_map::refusal(&refusal), Some(refusal.to_string())),
        })),
        Err(error) => {
            let code = error_map::change(&error);
            results.extend(names.iter().map(|name| failed(name, code, Some(error.to_string()))));
        }
    }
    CreatePartitionsResponse {
        throttle_time_ms: throttle_ms(quota.throttle()),
        results,
        ..CreatePartitionsResponse::default()
    }
}

fn more_partitions(topic: &CreatePartitionsTopic<'_>) -> MorePartitions {
    let assignments = topic.assignments.as_ref();
    MorePartitions {
        name: topic.name.to_string(),
        count: topic.count,
        assignments: assignments
            .map(|list| list.iter().map(|assignment| assignment.broker_ids.clone()).collect()),
    }
}

fn failed<'r>(name: &str, code: ErrorCode, message: Option<String>) -> CreatePartitionsTopicResult<'r> {
    CreatePartitionsTopicResult {
        name: name.to_owned().into(),
        error_code: code.code(),
        error_message: Some(message.unwrap_or_else(|| text_of(code).to_owned()).into()),
        ..CreatePartitionsTopicResult::default()
    }
}
