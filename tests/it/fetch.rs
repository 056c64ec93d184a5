//! What Fetch answers: how much, when, and to whom.

use std::thread;
use std::time::{Duration, Instant};

use klamm_tests::client::{Client, batch, fetch_request, produce_request};
use log_engine::batch::Compression;
use wire::header::ResponseHeader;
use wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use wire::messages::{FetchRequest, FetchResponse};
use wire::primitives::{Reader, Uuid};
use wire::{ApiKey, ErrorCode};

use crate::in_process::{Klamm, NAMED, NOW, code, create, fetch, produce, topic_id};

/// Bytes of records that a request gets, per partition, in the order of the answer.
fn lengths(client: &mut Client, request: &FetchRequest<'_>) -> Vec<(i32, usize)> {
    client
        .call(request, NAMED, |response| {
            assert_eq!(code(response.error_code), ErrorCode::None);
            let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
            partitions
                .map(|data| (data.partition_index, data.records.as_ref().map_or(0, |records| records.len())))
                .collect()
        })
        .expect("an answer")
}

fn wanted(partition: i32, fetch_offset: i64, partition_max_bytes: i32) -> FetchPartition<'static> {
    FetchPartition { partition, fetch_offset, partition_max_bytes, ..Default::default() }
}

fn request(partitions: Vec<FetchPartition<'_>>, max_bytes: i32) -> FetchRequest<'_> {
    let topic = FetchTopic { topic: "t".into(), partitions, ..Default::default() };
    FetchRequest { max_bytes, session_epoch: -1, topics: vec![topic], ..Default::default() }
}

fn produce_to(client: &mut Client, partition: i32, value: &[u8]) -> usize {
    let records = batch(Compression::None, NOW, &[value]);
    client
        .produce("t", partition, 1, &records, |answer| assert_eq!(answer.error_code, 0))
        .expect("an answer");
    records.len()
}

#[test]
fn the_first_batch_comes_whole_however_small_the_limits_and_the_next_partitions_share_the_rest() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 3);
    let sizes: Vec<usize> =
        (0..3).map(|partition| produce_to(&mut client, partition, &[b'x'; 1000])).collect();
    let size = sizes[0];
    let all = |partition_max| (0..3).map(|partition| wanted(partition, 0, partition_max)).collect::<Vec<_>>();
    let limit = i32::try_from(size).expect("small");
    let rows = [
        (request(all(1 << 20), 1 << 20), [size, size, size]),
        (request(all(1), 1 << 20), [size, 0, 0]),
        (request(all(1 << 20), 1), [size, 0, 0]),
        (request(all(1 << 20), 2 * limit), [size, size, 0]),
        (request(all(1 << 20), 2 * limit + 10), [size, size, 0]),
    ];
    for (number, (request, expected)) in rows.into_iter().enumerate() {
        let expected: Vec<_> = (0..).zip(expected).collect();
        assert_eq!(lengths(&mut client, &request), expected, "row {number}");
    }
}

#[test]
fn a_fetch_begins_with_the_batch_that_holds_the_offset() {
    let klamm = Klamm::start(&["log.index.interval.bytes=0"]);
    let mut client = klamm.with_topic("t", 1);
    for _ in 0..20 {
        produce(&mut client, "t", &[b"a", b"b", b"c"]);
    }
    for offset in 0..60 {
        let (error, stored) = fetch(&mut client, "t", offset);
        let base = i64::from_be_bytes(stored[..8].try_into().expect("8 bytes"));
        assert_eq!((error, base), (ErrorCode::None, offset / 3 * 3));
    }
}

#[test]
fn offsets_outside_the_log_and_wrong_epochs_are_refused() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    produce(&mut client, "t", &[b"x"]);
    let rows = [
        (0, -1, ErrorCode::None),
        (1, -1, ErrorCode::None),
        (2, -1, ErrorCode::OffsetOutOfRange),
        (-1, -1, ErrorCode::OffsetOutOfRange),
        (0, 0, ErrorCode::None),
        (0, 1, ErrorCode::UnknownLeaderEpoch),
    ];
    for (fetch_offset, current_leader_epoch, expected) in rows {
        let mut request = request(vec![wanted(0, fetch_offset, 1000)], 1000);
        request.topics[0].partitions[0].current_leader_epoch = current_leader_epoch;
        let answered = client
            .call(&request, NAMED, |response| code(response.responses[0].partitions[0].error_code))
            .expect("an answer");
        assert_eq!(answered, expected, "offset {fetch_offset}, epoch {current_leader_epoch}");
    }
}

#[test]
fn a_fetch_that_finds_too_little_waits_until_enough_is_there() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    let mut producer = klamm.client();
    let size = batch(Compression::None, NOW, &[b"0"]).len();
    let waiting = FetchRequest {
        min_bytes: i32::try_from(3 * size).expect("small"),
        max_wait_ms: 60_000,
        ..fetch_request("t", 0, 0, 1 << 20)
    };
    client.send(&waiting, NAMED).expect("sent");
    let producing = thread::spawn(move || {
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(20));
            produce(&mut producer, "t", &[b"0"]);
        }
    });
    let frame = client.receive_frame().expect("an answer long before the wait is over");
    producing.join().expect("all was produced");
    assert!(frame.len() > 3 * size);
}

#[test]
fn a_segment_that_ends_before_enough_was_found_does_not_make_the_reader_wait_while_more_is_behind_it() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.client();
    create(&mut client, "t", 1, &[("segment.bytes", "1048576")]);
    let size = (0..4).map(|_| produce_to(&mut client, 0, &[b'x'; 600_000])).max().expect("four");
    for offset in 0..3 {
        let waiting = FetchRequest {
            min_bytes: 8 << 20,
            max_wait_ms: 3_600_000,
            ..fetch_request("t", 0, offset, 8 << 20)
        };
        assert_eq!(lengths(&mut client, &waiting), [(0, size)], "offset {offset}");
    }
}

#[test]
fn a_fetch_that_finds_nothing_is_answered_when_its_time_is_up() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    let begun = Instant::now();
    let waiting = FetchRequest { min_bytes: 1, max_wait_ms: 50, ..fetch_request("t", 0, 0, 1 << 20) };
    assert_eq!(lengths(&mut client, &waiting), [(0, 0)]);
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[test]
fn a_deleted_topic_ends_the_wait() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    let waiting = FetchRequest { min_bytes: 1, max_wait_ms: 60_000, ..fetch_request("t", 0, 0, 1 << 20) };
    client.send(&waiting, NAMED).expect("sent");
    let mut admin = klamm.client();
    crate::topics::delete(&mut admin, "t");
    let frame = client.receive_frame().expect("an answer");
    let mut reader = Reader::new(&frame);
    ResponseHeader::decode(&mut reader, ApiKey::Fetch.response_header_version(NAMED)).expect("a header");
    let answer = FetchResponse::decode(&mut reader, NAMED).expect("an answer to the fetch");
    let error = code(answer.responses[0].partitions[0].error_code);
    assert_eq!(error, ErrorCode::UnknownTopicOrPartition, "not the empty answer of a wait that ran out");
}

#[test]
fn a_session_carries_only_what_changed() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 3);
    let mut full = request((0..3).map(|partition| wanted(partition, 0, 1000)).collect(), 10_000);
    full.session_epoch = 0;
    let (session_id, partitions) = client
        .call(&full, NAMED, |response| (response.session_id, response.responses[0].partitions.len()))
        .expect("an answer");
    assert_ne!(session_id, 0);
    assert_eq!(partitions, 3);
    let next =
        |session_epoch, partitions| FetchRequest { session_id, session_epoch, ..request(partitions, 10_000) };
    let mut nothing = next(1, Vec::new());
    nothing.topics.clear();
    assert_eq!(lengths(&mut client, &nothing), []);
    let size = produce_to(&mut client, 1, b"new");
    let again = FetchRequest { session_epoch: 2, ..nothing.clone() };
    assert_eq!(lengths(&mut client, &again), [(1, size)]);
    let moved = next(3, vec![wanted(1, 1, 1000)]);
    assert_eq!(lengths(&mut client, &moved), []);
    let forgotten = ForgottenTopic { topic: "t".into(), partitions: vec![1], ..Default::default() };
    let without =
        FetchRequest { session_epoch: 4, forgotten_topics_data: vec![forgotten], ..nothing.clone() };
    produce_to(&mut client, 1, b"unseen");
    assert_eq!(lengths(&mut client, &without), []);
    for (session_id, session_epoch, expected) in [
        (session_id, 9, ErrorCode::InvalidFetchSessionEpoch),
        (session_id.wrapping_add(1), 1, ErrorCode::FetchSessionIdNotFound),
    ] {
        let wrong = FetchRequest { session_id, session_epoch, ..nothing.clone() };
        let answered = client.call(&wrong, NAMED, |response| code(response.error_code)).expect("an answer");
        assert_eq!(answered, expected);
    }
}

#[test]
fn topics_can_be_named_by_id() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    let size = produce_to(&mut client, 0, b"x");
    let id = topic_id(&mut client, "t").expect("the topic exists");
    for version in [13, 15, 18] {
        for (id, expected) in [(id, (ErrorCode::None, size)), (Uuid([9; 16]), (ErrorCode::UnknownTopicId, 0))]
        {
            let mut request = request(vec![wanted(0, 0, 1000)], 1000);
            request.topics[0].topic = "".into();
            request.topics[0].topic_id = id;
            let answered = client
                .call(&request, version, |response| {
                    let data = &response.responses[0].partitions[0];
                    (code(data.error_code), data.records.as_ref().map_or(0, |records| records.len()))
                })
                .expect("an answer");
            assert_eq!(answered, expected, "version {version}");
        }
    }
}

#[test]
fn what_was_deleted_below_the_log_start_is_out_of_range() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    for _ in 0..5 {
        produce(&mut client, "t", &[b"x"]);
    }
    assert_eq!(crate::admin::delete_records(&mut client, "t", 3), (ErrorCode::None, 3));
    assert_eq!(fetch(&mut client, "t", 2).0, ErrorCode::OffsetOutOfRange);
    assert_eq!(fetch(&mut client, "t", 3).0, ErrorCode::None);
    assert_eq!(crate::admin::delete_records(&mut client, "t", 9).0, ErrorCode::OffsetOutOfRange);
}

#[test]
fn a_request_in_front_of_a_waiting_fetch_is_answered_first() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic("t", 1);
    create(&mut client, "other", 1, &[]);
    let records = batch(Compression::None, NOW, &[b"x"]);
    let first = client.send(&produce_request("other", 0, 1, &records), NAMED).expect("sent");
    let waiting = FetchRequest { min_bytes: 1, max_wait_ms: 30, ..fetch_request("t", 0, 0, 1000) };
    let second = client.send(&waiting, NAMED).expect("sent");
    for expected in [first, second] {
        let frame = client.receive_frame().expect("an answer");
        assert_eq!(i32::from_be_bytes(frame[..4].try_into().expect("4 bytes")), expected);
    }
}
