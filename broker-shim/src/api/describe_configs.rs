//! DescribeConfigs: what is configured, where each value comes from, and what it means.

use wire::{
    ErrorCode,
    messages::{
        DescribeConfigsRequest, DescribeConfigsResponse,
        describe_configs_request::DescribeConfigsResource,
        describe_configs_response::{
            DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
        },
    },
};

use super::text_of;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    config::{
        keys::{self, Key, Mode},
        topic_keys::TOPIC_KEYS,
        value::Kind,
    },
    effective::{Given, Layers, Source, pairs},
    metadata::{ops::check_topic_name, record::ResourceKind},
    request_context::RequestContext,
};

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeConfigsRequest<'r>,
) -> DescribeConfigsResponse<'r> {
    let shown = Shown { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let results =
        request.resources.iter().map(|resource| describe(broker, context, resource, shown)).collect();
    DescribeConfigsResponse { results, ..DescribeConfigsResponse::default() }
}

#[derive(Clone, Copy)]
struct Shown {
    synonyms: bool,
    documentation: bool,
}

fn describe<'r>(
    broker: &Broker,
    context: &RequestContext,
    resource: &DescribeConfigsResource<'r>,
    shown: Shown,
) -> DescribeConfigsResult<'r> {
    let described = match ResourceKind(resource.resource_type) {
        ResourceKind::TOPIC => describe_topic(broker, context, &resource.resource_name, shown),
        ResourceKind::BROKER => describe_broker(broker, context, &resource.resource_name, shown),
        ResourceKind(other) => {
            Err((ErrorCode::InvalidRequest, format!("Unsupported resource type: {other}")))
        }
    };
    let (code, message, mut configs) = match described {
        Ok(configs) => (ErrorCode::None, None, configs),
        Err((code, message)) => (code, Some(message.into()), Vec::new()),
    };
    // No list asks for all keys, and so does an empty one.
    if let Some(wanted) = resource.configuration_keys.as_ref().filter(|wanted| !wanted.is_empty()) {
        configs.retain(|config| wanted.contains(&config.name));
    }
    DescribeConfigsResult {
        error_code: code.code(),
        error_message: message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs,
        ..DescribeConfigsResult::default()
    }
}

type Described<'r> = Result<Vec<DescribeConfigsResourceResult<'r>>, (ErrorCode, String)>;

fn describe_topic<'r>(broker: &Broker, context: &RequestContext, name: &str, shown: Shown) -> Described<'r> {
    if !broker.allows(context, Operation::DescribeConfigs, Resource::topic(name)) {
        return Err(plain(ErrorCode::TopicAuthorizationFailed));
    }
    if let Err(refusal) = check_topic_name(name) {
        return Err((ErrorCode::InvalidTopicException, refusal.to_string()));
    }
    let image = broker.image();
    if image.topic(name).is_none() {
        return Err(plain(ErrorCode::UnknownTopicOrPartition));
    }
    let own = image.topic_config(name).map(|values| pairs(values)).unwrap_or_default();
    let layers = Layers::of(broker.config(), &image);
    Ok(TOPIC_KEYS
        .iter()
        .map(|key| {
            let given = layers.topic_chain(key, own.get(key.name).copied());
            entry(
                &EntryFacts { name: key.name, kind: key.kind, doc: key.doc, read_only: false },
                &given,
                shown,
            )
        })
        .collect())
}

fn describe_broker<'r>(broker: &Broker, context: &RequestContext, name: &str, shown: Shown) -> Described<'r> {
    if !broker.allows(context, Operation::DescribeConfigs, Resource::cluster()) {
        return Err(plain(ErrorCode::ClusterAuthorizationFailed));
    }
    let image = broker.image();
    let layers = Layers::of(broker.config(), &image);
    if name.is_empty() {
        // The defaults of all brokers: only what was set there.
        return Ok(keys::KEYS
            .iter()
            .filter_map(|key| Some(entry(&EntryFacts::of(key), &[layers.default_broker(key)?], shown)))
            .collect());
    }
    if name.parse() != Ok(broker.node_id()) {
        let text = format!(
            "Unexpected broker id, expected {} or empty string, but received {name}",
            broker.node_id()
        );
        return Err((ErrorCode::InvalidRequest, text));
    }
    Ok(keys::KEYS.iter().map(|key| entry(&EntryFacts::of(key), &layers.broker_chain(key), shown)).collect())
}

fn plain(code: ErrorCode) -> (ErrorCode, String) {
    (code, text_of(code).to_owned())
}

struct EntryFacts {
    name: &'static str,
    kind: Kind,
    doc: &'static str,
    read_only: bool,
}

impl EntryFacts {
    fn of(key: &Key) -> Self {
        Self { name: key.name, kind: key.kind, doc: key.doc, read_only: key.mode == Mode::ReadOnly }
    }
}

fn entry<'r>(facts: &EntryFacts, chain: &[Given], shown: Shown) -> DescribeConfigsResourceResult<'r> {
    let sensitive = facts.kind == Kind::Password;
    let visible = |given: &Given| (!sensitive).then(|| given.value.clone().into());
    let synonyms = if shown.synonyms { chain } else { &[] };
    DescribeConfigsResourceResult {
        name: facts.name.into(),
        value: chain.first().and_then(visible),
        read_only: facts.read_only,
        config_source: chain.first().map_or(Source::Default, |given| given.source).code(),
        is_sensitive: sensitive,
        synonyms: synonyms
            .iter()
            .map(|given| DescribeConfigsSynonym {
                name: given.name.into(),
                value: visible(given),
                source: given.source.code(),
                ..DescribeConfigsSynonym::default()
            })
            .collect(),
        config_type: facts.kind as i8,
        documentation: shown.documentation.then(|| facts.doc.into()),
        ..DescribeConfigsResourceResult::default()
    }
}
