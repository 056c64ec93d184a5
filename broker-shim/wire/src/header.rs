//! What stands before the body of every request and response.

use std::borrow::Cow;

#[cfg(feature = "json")]
use crate::json::{JsonText, ToJson};
use crate::message::*;
use crate::primitives::{Reader, UnknownTaggedFields, Writer};
use crate::{ApiKey, ErrorCode};

include!(concat!(env!("OUT_DIR"), "/headers.rs"));

/// A request header, read far enough to know what follows.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingHeader<'a> {
    /// The API.
    pub key: ApiKey,
    /// The version that the client chose, not checked yet.
    pub version: i16,
    /// What the response repeats.
    pub correlation_id: i32,
    /// How the client calls itself; empty if it does not say.
    pub client_id: Cow<'a, str>,
}

impl<'a> IncomingHeader<'a> {
    /// Reads the header. What it says decides itself how it goes on: key and version come first.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut ahead = r.clone();
        let (key, version) = (ahead.i16()?, ahead.i16()?);
        let key = ApiKey::from_code(key).ok_or(DecodeError::UnknownApiKey { key })?;
        let header = RequestHeader::decode(r, key.request_header_version(version))?;
        let client_id = header.client_id.unwrap_or_default();
        Ok(Self { key, version, correlation_id: header.correlation_id, client_id })
    }

    /// What a broker does with the request.
    pub fn admission(&self) -> Admission {
        match self.key {
            key if key.accepts(self.version) => Admission::Accepted,
            ApiKey::ApiVersions => Admission::UnknownApiVersionsVersion,
            _ => Admission::Refused,
        }
    }
}

/// Whether the version of a request is one that a broker speaks.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is.
    Accepted,
    /// A newer client asks for the versions. It is answered in version 0 with
    /// [`unsupported_api_versions`], whatever its body holds, and asks again.
    UnknownApiVersionsVersion,
    /// Nothing that could be answered: the connection is closed, as Kafka does.
    Refused,
}

/// The answer to an ApiVersions request of a version that we do not have, to be sent in version 0: the error,
/// and the versions of ApiVersions itself, so that the client knows how to ask (KIP-511).
pub fn unsupported_api_versions() -> crate::messages::ApiVersionsResponse<'static> {
    use crate::messages::{ApiVersionsResponse, api_versions_response::ApiVersion};
    let Versions { first, last } = ApiKey::ApiVersions.versions();
    let itself = ApiVersion {
        api_key: ApiKey::ApiVersions.code(),
        min_version: first,
        max_version: last,
        ..ApiVersion::default()
    };
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![itself],
        ..ApiVersionsResponse::default()
    }
}
