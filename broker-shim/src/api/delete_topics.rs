//! DeleteTopics, by name or by id.

use std::sync::Arc;

use wire::{
    ErrorCode,
    messages::{DeleteTopicsRequest, DeleteTopicsResponse, delete_topics_response::DeletableTopicResult},
    primitives::Uuid,
};

use super::{strictness, text_of, throttle_ms, topic_id, uuid};
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    error_map,
    metadata::{
        Image,
        ops::{DeleteTopics, Refusal, TopicSelector},
    },
    request_context::RequestContext,
};

/// From this version on clients know how to go on where a quota is used up (KIP-599).
const STRICT_FROM: i16 = 5;

pub(super) async fn handle<'r>(
    broker: &Arc<Broker>,
    context: &RequestContext,
    request: DeleteTopicsRequest<'r>,
) -> DeleteTopicsResponse<'r> {
    let selectors = selectors(&request);
    let image = broker.image();
    let mut responses = Vec::new();
    let mut allowed = Vec::new();
    for selector in selectors {
        match refuse(broker, context, &image, &selector) {
            Some(code) => responses.push(failed(&selector, code, None)),
            None => allowed.push(selector),
        }
    }
    let mut quota = broker.client_quotas().mutations(context.payer(), strictness(context, STRICT_FROM));
    let wanted = DeleteTopics { topics: allowed.clone() };
    match broker.metadata.delete_topics_within(wanted, quota.allowance()).await {
        Ok(answers) => responses.extend(answers.into_iter().map(|(selector, answer)| match answer {
            Ok(topic) => DeletableTopicResult {
                name: Some(topic.name.to_string().into()),
                topic_id: uuid(topic.topic_id),
                ..DeletableTopicResult::default()
            },
            // Of this Kafka says nothing more.
            Err(refusal @ Refusal::ThrottlingQuotaExceeded) => DeletableTopicResult {
                error_message: None,
                ..failed(&selector, error_map::refusal(&refusal), None)
            },
            Err(refusal) => failed(&selector, error_map::refusal(&refusal), Some(refusal.to_string())),
        })),
        Err(error) => responses.extend(
            allowed
                .iter()
                .map(|selector| failed(selector, error_map::change(&error), Some(error.to_string()))),
        ),
    }
    forget_offsets(broker, &responses);
    DeleteTopicsResponse {
        throttle_time_ms: throttle_ms(quota.throttle()),
        responses,
        ..DeleteTopicsResponse::default()
    }
}

/// What groups have committed of topics that are gone; nobody waits for it.
fn forget_offsets(broker: &Arc<Broker>, responses: &[DeletableTopicResult<'_>]) {
    let gone = responses.iter().filter(|response| response.error_code == ErrorCode::None.code());
    let gone: Vec<Arc<str>> = gone.filter_map(|response| Some(response.name.as_deref()?.into())).collect();
    if !gone.is_empty() {
        let broker = Arc::clone(broker);
        tokio::spawn(async move { broker.groups.forget_topics(&gone).await });
    }
}

/// Up to version 5 a list of names, then a list of names or ids.
fn selectors(request: &DeleteTopicsRequest<'_>) -> Vec<TopicSelector> {
    let names = request.topic_names.iter().map(|name| TopicSelector::Name(name.to_string()));
    let states = request.topics.iter().map(|state| match &state.name {
        Some(name) => TopicSelector::Name(name.to_string()),
        None => TopicSelector::Id(topic_id(state.topic_id)),
    });
    names.chain(states).collect()
}

fn refuse(
    broker: &Broker,
    context: &RequestContext,
    image: &Image,
    selector: &TopicSelector,
) -> Option<ErrorCode> {
    if !broker.config().flag("delete.topic.enable") {
        return Some(if context.version < 3 {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        });
    }
    let name = match selector {
        TopicSelector::Name(name) => name.as_str(),
        TopicSelector::Id(id) => &image.topic_by_id(*id)?.name,
    };
    let denied = !broker.allows(context, Operation::Describe, Resource::topic(name))
        || !broker.allows(context, Operation::Delete, Resource::topic(name));
    denied.then_some(ErrorCode::TopicAuthorizationFailed)
}

fn failed<'r>(
    selector: &TopicSelector,
    code: ErrorCode,
    message: Option<String>,
) -> DeletableTopicResult<'r> {
    let (name, id) = match selector {
        TopicSelector::Name(name) => (Some(name.clone().into()), Uuid::ZERO),
        TopicSelector::Id(id) => (None, uuid(*id)),
    };
    DeletableTopicResult {
        name,
        topic_id: id,
        error_code: code.code(),
        error_message: Some(message.unwrap_or_else(|| text_of(code).to_owned()).into()),
        ..DeletableTopicResult::default()
    }
}
