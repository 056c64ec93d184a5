//! The Fetch response: header bytes in memory, and between them the slices that go out by sendfile.

use std::time::Duration;

use bytes::Bytes;
use log_engine::{Fetched, FetchedData, FileSlice};
use wire::{
    ErrorCode,
    frame::encode_response,
    messages::{
        FetchResponse,
        fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData},
    },
    primitives::{Encoded, ResponseRecords, Uuid},
};

use super::{
    Fetch, PartitionRead,
    session::{Told, TopicKey},
};
use crate::{
    api::{answer, throttle_ms, uuid},
    connection::{Outcome, Piece, Response},
    partition::Visibility,
};

pub(super) fn respond(fetch: &Fetch, reads: Vec<PartitionRead>) -> Outcome {
    if let Some(wait) = throttle(fetch, &reads) {
        return throttled(fetch, wait);
    }
    let told: Vec<Told> = reads.iter().map(told).collect();
    let included = fetch.session.tell(&told);
    let mut slices = Vec::new();
    let mut responses: Vec<FetchableTopicResponse<'_>> = Vec::new();
    let mut current: Option<&TopicKey> = None;
    let wanted = fetch.session.wanted().iter().zip(reads).zip(included);
    for ((wanted, read), _) in wanted.filter(|(_, included)| *included) {
        if current != Some(&wanted.topic) {
            current = Some(&wanted.topic);
            responses.push(topic(&wanted.topic));
        }
        let data = partition(wanted.partition, read, fetch.visibility, &mut slices);
        if let Some(topic) = responses.last_mut() {
            topic.partitions.push(data);
        }
    }
    let response =
        FetchResponse { session_id: fetch.session.session_id(), responses, ..FetchResponse::default() };
    send(fetch, &response, slices, Duration::ZERO)
}

fn send(fetch: &Fetch, response: &FetchResponse<'_>, slices: Vec<FileSlice>, mute: Duration) -> Outcome {
    let context = &fetch.context;
    match encode_response(response, context.version, context.correlation_id, Vec::new()) {
        Ok(encoded) => answer(context, assemble(encoded, slices), mute),
        Err(error) => Outcome::Close(format!("the answer to a fetch cannot be written: {error}")),
    }
}

/// For how long the client is to wait before it gets anything. Kafka charges what the whole answer takes; here it is the
/// records, beside which the rest is little.
fn throttle(fetch: &Fetch, reads: &[PartitionRead]) -> Option<Duration> {
    let context = &fetch.context;
    let bytes = reads.iter().flatten().map(Fetched::len).sum();
    let for_time = context.time.as_ref().map_or(Duration::ZERO, |time| time.charge());
    let for_bytes = fetch.quotas.fetched(context.payer(), bytes);
    if !for_time.is_zero() && for_bytes.is_zero() {
        fetch.quotas.unfetched(context.payer(), bytes);
    }
    Some(for_time.max(for_bytes)).filter(|wait| !wait.is_zero())
}

/// Nothing, and when to ask again. What the client knows of its partitions stays as it is; a session that has just begun
/// is not told of.
fn throttled(fetch: &Fetch, wait: Duration) -> Outcome {
    let response = FetchResponse {
        throttle_time_ms: throttle_ms(wait),
        session_id: fetch.session.ongoing_id(),
        ..FetchResponse::default()
    };
    send(fetch, &response, Vec::new(), wait)
}

fn told(read: &PartitionRead) -> Told {
    match read {
        Ok(fetched) => Told {
            high_watermark: fetched.offsets.high_watermark.get(),
            log_start_offset: fetched.offsets.log_start.get(),
            has_records: !fetched.is_empty(),
            is_error: false,
        },
        Err(_) => Told { high_watermark: -1, log_start_offset: -1, has_records: false, is_error: true },
    }
}

fn topic<'r>(key: &TopicKey) -> FetchableTopicResponse<'r> {
    let (name, id) = match key {
        TopicKey::Name(name) => (name.to_string(), Uuid::ZERO),
        TopicKey::Id(id) => (String::new(), uuid(*id)),
    };
    FetchableTopicResponse { topic: name.into(), topic_id: id, ..FetchableTopicResponse::default() }
}

fn partition<'r>(
    partition_index: i32,
    read: PartitionRead,
    visibility: Visibility,
    slices: &mut Vec<FileSlice>,
) -> PartitionData<'r> {
    let fetched = match read {
        Ok(fetched) => fetched,
        Err(code) => return failed(partition_index, code),
    };
    PartitionData {
        partition_index,
        high_watermark: fetched.offsets.high_watermark.get(),
        last_stable_offset: fetched.offsets.last_stable.get(),
        log_start_offset: fetched.offsets.log_start.get(),
        aborted_transactions: (visibility == Visibility::Committed).then(|| aborted(&fetched)),
        preferred_read_replica: -1,
        records: Some(records(fetched, slices)),
        ..PartitionData::default()
    }
}

fn failed<'r>(partition_index: i32, code: ErrorCode) -> PartitionData<'r> {
    PartitionData {
        partition_index,
        error_code: code.code(),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        // As Kafka: an empty list where the partition was never looked at, none where reading it failed.
        aborted_transactions: is_unknown(code).then(Vec::new),
        preferred_read_replica: -1,
        records: Some(ResponseRecords::Inline(&[])),
        ..PartitionData::default()
    }
}

fn is_unknown(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId | ErrorCode::TopicAuthorizationFailed
    )
}

fn aborted<'r>(fetched: &Fetched) -> Vec<AbortedTransaction<'r>> {
    fetched
        .aborted
        .iter()
        .map(|aborted| AbortedTransaction {
            producer_id: aborted.producer_id.get(),
            first_offset: aborted.first_offset.get(),
            ..AbortedTransaction::default()
        })
        .collect()
}

fn records<'r>(fetched: Fetched, slices: &mut Vec<FileSlice>) -> ResponseRecords<'r> {
    match fetched.data {
        FetchedData::File(slice) => {
            let len = slice.len();
            slices.push(slice);
            ResponseRecords::Elsewhere { slot: slices.len() - 1, len }
        }
        _ => ResponseRecords::Inline(&[]),
    }
}

/// Slots are filled in the order in which they were given out.
fn assemble(encoded: Encoded, slices: Vec<FileSlice>) -> Response {
    let bytes = Bytes::from(encoded.bytes);
    if slices.is_empty() {
        return Response::Bytes(bytes);
    }
    let mut pieces = Vec::with_capacity(2 * slices.len() + 1);
    let mut from = 0;
    for (slot, slice) in encoded.slots.iter().zip(slices) {
        pieces.push(Piece::Bytes(bytes.slice(from..slot.at)));
        pieces.push(Piece::File(slice));
        from = slot.at;
    }
    pieces.push(Piece::Bytes(bytes.slice(from..)));
    Response::Pieces(pieces)
}
