//! DescribeClientQuotas and AlterClientQuotas.

use std::{collections::BTreeMap, sync::Arc};

use wire::{
    ErrorCode,
    messages::{
        AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
        DescribeClientQuotasResponse, alter_client_quotas_request, alter_client_quotas_response,
        describe_client_quotas_request::ComponentData, describe_client_quotas_response,
    },
};

use super::text_of;
use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    error_map,
    metadata::{
        image::QuotaValues,
        ops::{AlterClientQuotas, QuotaAlterations, entity_type, in_kafkas_order},
        record::QuotaEntity,
    },
    request_context::RequestContext,
};

/// Kafka's numbers of how a name is compared.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

pub(super) fn describe<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: DescribeClientQuotasRequest<'_>,
) -> DescribeClientQuotasResponse<'r> {
    if !broker.allows(context, Operation::DescribeConfigs, Resource::cluster()) {
        let code = ErrorCode::ClusterAuthorizationFailed;
        return refused((code, text_of(code).to_owned()));
    }
    let filter = match Filter::of(&request.components) {
        Ok(filter) => filter,
        Err(refusal) => return refused(refusal),
    };
    let image = broker.image();
    let found = image.client_quotas().filter(|(entity, _)| filter.takes(entity, request.strict));
    DescribeClientQuotasResponse {
        error_message: Some("".into()),
        entries: Some(found.map(|(entity, values)| described(entity, values)).collect()),
        ..DescribeClientQuotasResponse::default()
    }
}

type Refused = (ErrorCode, String);

fn refused<'r>((code, text): Refused) -> DescribeClientQuotasResponse<'r> {
    DescribeClientQuotasResponse {
        error_code: code.code(),
        error_message: Some(text.into()),
        entries: None,
        ..DescribeClientQuotasResponse::default()
    }
}

fn described<'r>(
    entity: &QuotaEntity,
    values: &QuotaValues,
) -> describe_client_quotas_response::EntryData<'r> {
    let part = |(kind, name): (&Arc<str>, &Option<Arc<str>>)| describe_client_quotas_response::EntityData {
        entity_type: kind.to_string().into(),
        entity_name: name.as_deref().map(|name| name.to_owned().into()),
        ..Default::default()
    };
    let value = |(key, value): (&Arc<str>, &f64)| describe_client_quotas_response::ValueData {
        key: key.to_string().into(),
        value: *value,
        ..Default::default()
    };
    describe_client_quotas_response::EntryData {
        entity: in_kafkas_order(entity).map(part).collect(),
        values: values.iter().map(value).collect(),
        ..Default::default()
    }
}

/// Which entities are asked about (Kafka's `ClientQuotasImage.describe`).
struct Filter<'a>(BTreeMap<&'a str, Wanted<'a>>);

enum Wanted<'a> {
    Named(&'a str),
    Default,
    Any,
}

impl<'a> Filter<'a> {
    fn of(components: &'a [ComponentData<'_>]) -> Result<Self, Refused> {
        let mut wanted = BTreeMap::new();
        for component in components {
            let kind = component.entity_type.as_ref();
            if kind.is_empty() {
                return invalid("Invalid empty entity type.".to_owned());
            }
            if wanted.contains_key(kind) {
                return invalid(format!("Entity type {kind} cannot appear more than once in the filter."));
            }
            if ![entity_type::USER, entity_type::CLIENT_ID, entity_type::IP].contains(&kind) {
                let text = format!("Unsupported entity type {kind}");
                return Err((ErrorCode::UnsupportedVersion, text));
            }
            wanted.insert(kind, Wanted::of(component)?);
        }
        if wanted.contains_key(entity_type::IP) && wanted.len() > 1 {
            return invalid(
                "Invalid entity filter component combination. IP filter component should not be used with user \
                 or clientId filter component."
                    .to_owned(),
            );
        }
        Ok(Self(wanted))
    }

    fn takes(&self, entity: &QuotaEntity, strict: bool) -> bool {
        (!strict || entity.len() == self.0.len())
            && self.0.iter().all(|(kind, wanted)| match (entity.get(*kind), wanted) {
                (Some(Some(name)), Wanted::Named(wanted)) => **name == **wanted,
                (Some(None), Wanted::Default) | (Some(_), Wanted::Any) => true,
                _ => false,
            })
    }
}

impl<'a> Wanted<'a> {
    fn of(component: &'a ComponentData<'_>) -> Result<Self, Refused> {
        let also = |kind: &str| {
            invalid(format!("Request specified MATCH_TYPE_{kind}, but also specified a match string."))
        };
        match (component.match_type, component.r#match.as_deref()) {
            (EXACT, Some(name)) => Ok(Self::Named(name)),
            (EXACT, None) => {
                invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.".to_owned())
            }
            (DEFAULT, None) => Ok(Self::Default),
            (DEFAULT, Some(_)) => also("DEFAULT"),
            (SPECIFIED, None) => Ok(Self::Any),
            (SPECIFIED, Some(_)) => also("SPECIFIED"),
            (other, _) => invalid(format!("Unknown match type {other}")),
        }
    }
}

fn invalid<T>(text: String) -> Result<T, Refused> {
    Err((ErrorCode::InvalidRequest, text))
}

pub(super) async fn alter<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: AlterClientQuotasRequest<'_>,
) -> AlterClientQuotasResponse<'r> {
    let entries: Vec<_> = request.entries.iter().map(alterations).collect();
    let entities: Vec<_> = entries.iter().map(|entry| entry.entity.clone()).collect();
    let all = |code: ErrorCode, text: String| {
        entities.iter().map(|entity| altered(entity, code, Some(text.clone()))).collect()
    };
    let entries = if broker.allows(context, Operation::AlterConfigs, Resource::cluster()) {
        let wanted = AlterClientQuotas { entries, validate_only: request.validate_only };
        match broker.metadata.alter_client_quotas(wanted).await {
            Ok(answers) => answers
                .iter()
                .map(|(entity, answer)| match answer {
                    Ok(()) => altered(entity, ErrorCode::None, None),
                    Err(refusal) => altered(entity, error_map::refusal(refusal), Some(refusal.to_string())),
                })
                .collect(),
            Err(error) => all(error_map::change(&error), error.to_string()),
        }
    } else {
        let code = ErrorCode::ClusterAuthorizationFailed;
        all(code, text_of(code).to_owned())
    };
    AlterClientQuotasResponse { entries, ..AlterClientQuotasResponse::default() }
}

fn alterations(entry: &alter_client_quotas_request::EntryData<'_>) -> QuotaAlterations {
    let parts = entry.entity.iter();
    let ops = entry.ops.iter();
    QuotaAlterations {
        entity: parts
            .map(|part| (part.entity_type.as_ref().into(), part.entity_name.as_deref().map(Into::into)))
            .collect(),
        ops: ops.map(|op| (op.key.to_string(), (!op.remove).then_some(op.value))).collect(),
    }
}

fn altered<'r>(
    entity: &QuotaEntity,
    code: ErrorCode,
    text: Option<String>,
) -> alter_client_quotas_response::EntryData<'r> {
    let part = |(kind, name): (&Arc<str>, &Option<Arc<str>>)| alter_client_quotas_response::EntityData {
        entity_type: kind.to_string().into(),
        entity_name: name.as_deref().map(|name| name.to_owned().into()),
        ..Default::default()
    };
    alter_client_quotas_response::EntryData {
        error_code: code.code(),
        error_message: text.map(Into::into),
        entity: in_kafkas_order(entity).map(part).collect(),
        ..Default::default()
    }
}
