//! ListTransactions: the transactional ids that are coordinated here, by state, producer, age and name.

use regex::{Regex, RegexBuilder};
use wire::{
    ErrorCode,
    messages::{
        ListTransactionsRequest, ListTransactionsResponse,
        list_transactions_response::TransactionState as Listed,
    },
};

use crate::{
    authorizer::{Operation, Resource},
    broker::Broker,
    request_context::RequestContext,
    transaction::{TransactionMetadata, TransactionState},
};

/// What the request wants to see.
struct Filter {
    /// Known states among those named; `None` where none was named.
    states: Option<Vec<TransactionState>>,
    producer_ids: Vec<i64>,
    longer_than_ms: i64,
    pattern: Option<Regex>,
}

pub(super) fn handle<'r>(
    broker: &Broker,
    context: &RequestContext,
    request: ListTransactionsRequest<'_>,
) -> ListTransactionsResponse<'r> {
    let failed = |code: ErrorCode| ListTransactionsResponse {
        error_code: code.code(),
        ..ListTransactionsResponse::default()
    };
    let Ok(pattern) = pattern(request.transactional_id_pattern.as_deref()) else {
        return failed(ErrorCode::InvalidRegularExpression);
    };
    let named = request.state_filters.iter();
    let filter = Filter {
        states: (!request.state_filters.is_empty())
            .then(|| named.clone().filter_map(|name| TransactionState::from_name(name)).collect()),
        producer_ids: request.producer_id_filters.clone(),
        longer_than_ms: request.duration_filter,
        pattern,
    };
    let listed = broker.transactions.list(|id, metadata, now| {
        let allowed = || broker.allows(context, Operation::Describe, Resource::transactional_id(id));
        (filter.wants(id, metadata, now.wall.get()) && allowed()).then(|| Listed {
            transactional_id: id.to_owned().into(),
            producer_id: metadata.producer.id.get(),
            transaction_state: metadata.state.name().into(),
            ..Listed::default()
        })
    });
    match listed {
        Err(code) => failed(code),
        Ok(transaction_states) => ListTransactionsResponse {
            unknown_state_filters: named
                .filter(|name| TransactionState::from_name(name).is_none())
                .map(|name| name.to_string().into())
                .collect(),
            transaction_states,
            ..ListTransactionsResponse::default()
        },
    }
}

/// What a pattern may take when it is compiled: enough for a long one.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// The whole id has to match.
fn pattern(given: Option<&str>) -> Result<Option<Regex>, regex::Error> {
    let compile =
        |text: &str| RegexBuilder::new(&format!("^(?:{text})$")).size_limit(COMPILED_BYTES_MAX).build();
    given.filter(|text| !text.is_empty()).map(compile).transpose()
}

impl Filter {
    fn wants(&self, id: &str, metadata: &TransactionMetadata, now_ms: i64) -> bool {
        let age_ms = now_ms.saturating_sub(metadata.started_ms);
        (self.producer_ids.is_empty() || self.producer_ids.contains(&metadata.producer.id.get()))
            && self.states.as_ref().is_none_or(|states| states.contains(&metadata.state))
            && (self.longer_than_ms < 0 || age_ms > self.longer_than_ms)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    }
}
