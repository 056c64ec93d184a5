//! IncrementalAlterConfigs, and the older AlterConfigs that replaces a whole configuration.

use wire::{
    ErrorCode,
    messages::{
        AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
        IncrementalAlterConfigsResponse, alter_configs_response, incremental_alter_configs_response,
    },
};

use super::text_of;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    config::requirements,
    effective::Layers,
    error_map,
    metadata::{
        Image,
        ops::{AlterConfigs, ConfigOp, ResourceAlterations},
        record::{ConfigResource, ResourceKind},
    },
    request_context::RequestContext,
};

/// How one resource fared.
struct Answer {
    resource: ConfigResource,
    code: ErrorCode,
    message: Option<String>,
}

/// A code, and a sentence where there is one.
type Refused = (ErrorCode, Option<String>);

/// What is asked of one resource, or why it is refused before anything is decided.
type Asked = (ConfigResource, Result<Vec<(String, ConfigOp, Option<String>)>, Refused>);

/// Both responses have the same shape, as two types.
macro_rules! response {
    ($answers:expr, $response:ident, $module:ident) => {
        $response {
            responses: $answers
                .into_iter()
                .map(|Answer { resource, code, message }| $module::AlterConfigsResourceResponse {
                    error_code: code.code(),
                    error_message: message.map(Into::into),
                    resource_type: resource.kind.0,
                    resource_name: resource.name.to_string().into(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    };
}

pub(super) async fn handle_incremental<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: IncrementalAlterConfigsRequest<'r>,
) -> IncrementalAlterConfigsResponse<'r> {
    let asked = request.resources.iter().map(|resource| {
        let ops = resource.configs.iter().map(|config| {
            // Kafka fails without a word on a number that it does not know.
            let op = operation(config.config_operation).ok_or((ErrorCode::UnknownServerError, None))?;
            Ok((config.name.to_string(), op, config.value.as_deref().map(ToOwned::to_owned)))
        });
        (named(resource.resource_type, &resource.resource_name), ops.collect())
    });
    let answers = alter(broker, context, asked.collect(), request.validate_only).await;
    response!(answers, IncrementalAlterConfigsResponse, incremental_alter_configs_response)
}

pub(super) async fn handle_all<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: AlterConfigsRequest<'r>,
) -> AlterConfigsResponse<'r> {
    let image = broker.image();
    let asked = request.resources.iter().map(|resource| {
        let id = named(resource.resource_type, &resource.resource_name);
        let given = resource.configs.iter();
        let given =
            given.map(|config| (config.name.to_string(), config.value.as_deref().map(ToOwned::to_owned)));
        let ops = replacement(&image, &id, given.collect());
        (id, Ok(ops))
    });
    let answers = alter(broker, context, asked.collect(), request.validate_only).await;
    response!(answers, AlterConfigsResponse, alter_configs_response)
}

fn named(kind: i8, name: &str) -> ConfigResource {
    ConfigResource { kind: ResourceKind(kind), name: name.into() }
}

/// Kafka's numbers of operations.
fn operation(code: i8) -> Option<ConfigOp> {
    match code {
        0 => Some(ConfigOp::Set),
        1 => Some(ConfigOp::Delete),
        2 => Some(ConfigOp::Append),
        3 => Some(ConfigOp::Subtract),
        _ => None,
    }
}

/// A whole configuration as single steps: what is given is set, everything else is removed.
fn replacement(
    image: &Image,
    resource: &ConfigResource,
    given: Vec<(String, Option<String>)>,
) -> Vec<(String, ConfigOp, Option<String>)> {
    let present = image.config(resource);
    let gone = present
        .iter()
        .flat_map(|values| values.keys())
        .filter(|key| given.iter().all(|(name, _)| **name != ***key))
        .map(|key| (key.to_string(), ConfigOp::Delete, None))
        .collect::<Vec<_>>();
    given.into_iter().map(|(name, value)| (name, ConfigOp::Set, value)).chain(gone).collect()
}

async fn alter(
    broker: &Broker,
    context: &RequestContext,
    asked: Vec<Asked>,
    validate_only: bool,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut resources = Vec::new();
    for (resource, ops) in asked {
        let refusal = |ops: &[_]| {
            refuse(broker, context, &resource).or_else(|| cleaner_threads(broker, &resource, ops))
        };
        match ops.and_then(|ops| refusal(&ops).map_or(Ok(ops), Err)) {
            Ok(ops) => resources.push(ResourceAlterations { resource, ops }),
            Err((code, message)) => answers.push(Answer { resource, code, message }),
        }
    }
    let ids: Vec<_> = resources.iter().map(|entry| entry.resource.clone()).collect();
    match broker.metadata.incremental_alter_configs(AlterConfigs { resources, validate_only }).await {
        Ok(results) => answers.extend(results.into_iter().map(|(resource, result)| match result {
            Ok(()) => Answer { resource, code: ErrorCode::None, message: None },
            Err(refusal) => {
                Answer { resource, code: error_map::refusal(&refusal), message: Some(refusal.to_string()) }
            }
        })),
        Err(error) => answers.extend(ids.into_iter().map(|resource| Answer {
            resource,
            code: error_map::change(&error),
            message: Some(error.to_string()),
        })),
    }
    answers
}

fn refuse(broker: &Broker, context: &RequestContext, resource: &ConfigResource) -> Option<Refused> {
    let (allowed, code) = match resource.kind {
        ResourceKind::TOPIC => (
            broker.allows(context, Operation::AlterConfigs, Resource::topic(&resource.name)),
            ErrorCode::TopicAuthorizationFailed,
        ),
        ResourceKind::BROKER => (
            broker.allows(context, Operation::AlterConfigs, Resource::cluster()),
            ErrorCode::ClusterAuthorizationFailed,
        ),
        ResourceKind(other) => {
            return Some((ErrorCode::InvalidRequest, Some(format!("Unknown resource type {other}"))));
        }
    };
    if !allowed {
        return Some((code, Some(text_of(code).to_owned())));
    }
    (resource.kind == ResourceKind::BROKER).then(|| another_broker(broker, &resource.name)).flatten()
}

/// A broker's keys are changed by asking that broker; the empty name stands for all.
fn another_broker(broker: &Broker, name: &str) -> Option<Refused> {
    let own = broker.node_id();
    let asked: i32 = name.parse().ok()?;
    (asked != own).then(|| {
        (
            ErrorCode::InvalidRequest,
            Some(format!("Unexpected broker id, expected {own}, but received {name}")),
        )
    })
}

/// What the broker refuses because of how many threads it compacts with now.
fn cleaner_threads(
    broker: &Broker,
    resource: &ConfigResource,
    ops: &[(String, ConfigOp, Option<String>)],
) -> Option<Refused> {
    const KEY: &str = "log.cleaner.threads";
    let is_set = |(key, op, _): &&(String, ConfigOp, Option<String>)| key == KEY && *op == ConfigOp::Set;
    if resource.kind != ResourceKind::BROKER {
        return None;
    }
    let wanted: i64 = ops.iter().rfind(is_set)?.2.as_deref()?.trim().parse().ok()?;
    let image = broker.image();
    let current = Layers::of(broker.config(), &image).broker_number(KEY);
    let reason = requirements::check_cleaner_threads(current, wanted)?;
    Some((ErrorCode::InvalidRequest, Some(reason)))
}
