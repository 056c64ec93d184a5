//! ApiVersions: what this broker speaks, and which features are finalized.

use wire::{
    ErrorCode,
    messages::{
        ApiVersionsRequest, ApiVersionsResponse,
        api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey},
    },
};

use super::SERVED;
use crate::{broker::Broker, metadata::Image, request_context::RequestContext};

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: ApiVersionsRequest<'_>,
) -> ApiVersionsResponse<'r> {
    if context.version >= 3
        && !(is_valid(&request.client_software_name) && is_valid(&request.client_software_version))
    {
        return ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..ApiVersionsResponse::default()
        };
    }
    let image = broker.image();
    let finalized = image
        .features()
        .filter(|(_, level)| *level > 0)
        .map(|(name, level)| FinalizedFeatureKey {
            name: name.to_owned().into(),
            max_version_level: level,
            min_version_level: level,
            ..FinalizedFeatureKey::default()
        })
        .collect();
    ApiVersionsResponse {
        api_keys: api_keys(),
        supported_features: supported_features(&image, broker.node_id(), context.version),
        finalized_features_epoch: image.provenance().end_offset.get() - 1,
        finalized_features: finalized,
        ..ApiVersionsResponse::default()
    }
}

/// Kafka's pattern for names and versions of clients: letters, digits, dots and dashes, the latter two not at an end.
fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

fn api_keys<'r>() -> Vec<ApiVersion<'r>> {
    SERVED
        .iter()
        .filter_map(|served| {
            let versions = served.key.advertised()?;
            Some(ApiVersion {
                api_key: served.key.code(),
                min_version: versions.first,
                max_version: versions.last,
                ..ApiVersion::default()
            })
        })
        .collect()
}

/// Clients before version 4 cannot read a feature whose lowest level is 0 (KAFKA-17492).
fn supported_features<'r>(image: &Image, node_id: i32, version: i16) -> Vec<SupportedFeatureKey<'r>> {
    image
        .broker(node_id)
        .iter()
        .flat_map(|broker| &broker.features)
        .filter(|feature| version >= 4 || feature.min > 0)
        .map(|feature| SupportedFeatureKey {
            name: feature.name.to_string().into(),
            min_version: feature.min,
            max_version: feature.max,
            ..SupportedFeatureKey::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn names_of_clients_are_judged_as_kafka_does() {
        for (name, valid) in [
            ("apache-kafka-java", true),
            ("4.3.0", true),
            ("a", true),
            ("", false),
            ("-a", false),
            ("a.", false),
            ("a b", false),
        ] {
            assert_eq!(is_valid(name), valid, "{name:?}");
        }
    }
}
