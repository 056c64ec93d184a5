//! Delegation tokens: nobody who came in without authentication may ask for one (Kafka's `allowTokenRequests`), and so far
//! nobody comes in otherwise. Kafka decides this before it asks its authorizer, which therefore is not asked here.

use wire::{
    ErrorCode,
    messages::{
        CreateDelegationTokenRequest, CreateDelegationTokenResponse, DescribeDelegationTokenRequest,
        DescribeDelegationTokenResponse, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse,
        RenewDelegationTokenRequest, RenewDelegationTokenResponse,
    },
};

use crate::{broker::Broker, request_context::RequestContext};

const NOT_ALLOWED: i16 = ErrorCode::DelegationTokenRequestNotAllowed.code();
const NEVER: i64 = -1;

pub(super) fn create<'r>(
    _broker: &Broker,
    context: &RequestContext,
    request: CreateDelegationTokenRequest<'r>,
) -> CreateDelegationTokenResponse<'r> {
    let (kind, name) = context.peer.principal.split_once(':').unwrap_or(("User", context.peer.principal));
    // Since KIP-373 one may be made for somebody else.
    let tells_requester = context.version >= 3;
    let owner = match (request.owner_principal_type, request.owner_principal_name) {
        (Some(kind), Some(name)) if !name.is_empty() => (kind, name),
        _ => (kind.into(), name.into()),
    };
    CreateDelegationTokenResponse {
        error_code: NOT_ALLOWED,
        principal_type: owner.0,
        principal_name: owner.1,
        token_requester_principal_type: if tells_requester { kind.into() } else { "".into() },
        token_requester_principal_name: if tells_requester { name.into() } else { "".into() },
        issue_timestamp_ms: NEVER,
        expiry_timestamp_ms: NEVER,
        max_timestamp_ms: NEVER,
        ..CreateDelegationTokenResponse::default()
    }
}

pub(super) fn describe<'r>(
    _broker: &Broker,
    _context: &RequestContext,
    _request: DescribeDelegationTokenRequest<'_>,
) -> DescribeDelegationTokenResponse<'r> {
    DescribeDelegationTokenResponse { error_code: NOT_ALLOWED, ..DescribeDelegationTokenResponse::default() }
}

pub(super) fn renew<'r>(
    _broker: &Broker,
    _context: &RequestContext,
    _request: RenewDelegationTokenRequest<'_>,
) -> RenewDelegationTokenResponse<'r> {
    RenewDelegationTokenResponse {
        error_code: NOT_ALLOWED,
        expiry_timestamp_ms: NEVER,
        ..RenewDelegationTokenResponse::default()
    }
}

pub(super) fn expire<'r>(
    _broker: &Broker,
    _context: &RequestContext,
    _request: ExpireDelegationTokenRequest<'_>,
) -> ExpireDelegationTokenResponse<'r> {
    ExpireDelegationTokenResponse {
        error_code: NOT_ALLOWED,
        expiry_timestamp_ms: NEVER,
        ..ExpireDelegationTokenResponse::default()
    }
}
