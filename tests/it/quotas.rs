//! Quotas are kept: who uses more is answered at once and told to wait, and is not heard for as long. What is said of
//! quotas that cannot be is in `refusals`.

use std::time::{Duration, Instant};

use klamm_tests::client::{Client, batch, fetch_request, produce_request};
use log_engine::batch::Compression;
use wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use wire::messages::{AlterClientQuotasRequest, ApiVersionsRequest, DescribeClientQuotasRequest};

use crate::admin::{BROKER, alter};
use crate::in_process::{Klamm, NAMED, NOW, code, produce};

const TOPIC: &str = "quotas";
/// A window of a second, and the one that is being filled: what goes out at once is waited for at the next request.
const SHORT: &[&str] = &["quota.window.num=2"];

/// Sets a quota of everyone, or of an address; without a value it is removed.
fn set(client: &mut Client, entity_type: &'static str, key: &'static str, value: Option<f64>) {
    let entity = EntityData { entity_type: entity_type.into(), entity_name: None, ..Default::default() };
    let op = OpData {
        key: key.into(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
        ..Default::default()
    };
    let entry = EntryData { entity: vec![entity], ops: vec![op], ..Default::default() };
    let request = AlterClientQuotasRequest { entries: vec![entry], ..Default::default() };
    let told = client.call(&request, 1, |response| code(response.entries[0].error_code));
    assert_eq!(told.expect("an answer"), wire::ErrorCode::None);
}

/// How long a connection is not heard.
fn silence(client: &mut Client) -> Duration {
    let asked = Instant::now();
    client.call(&ApiVersionsRequest::default(), 0, |_| ()).expect("an answer");
    asked.elapsed()
}

fn records(bytes: usize) -> Vec<u8> {
    batch(Compression::None, NOW, &[&vec![7; bytes]])
}

/// Produces so many bytes: the time for which the client is told to wait.
fn throttled(client: &mut Client, bytes: usize) -> Duration {
    let records = records(bytes);
    let request = produce_request(TOPIC, 0, 1, &records);
    let told = client.call(&request, NAMED, |response| {
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0, "it is stored");
        response.throttle_time_ms
    });
    Duration::from_millis(told.expect("an answer at once").unsigned_abs().into())
}

/// Times are told in whole milliseconds, and begin before they are told.
fn assert_waits(silence: Duration, told: Duration) {
    assert!(silence + Duration::from_millis(50) >= told, "{silence:?} of {told:?}");
}

#[test]
fn a_producer_over_its_quota_is_stored_answered_at_once_and_not_heard_until_it_was_to_wait() {
    let klamm = Klamm::start(SHORT);
    let mut client = klamm.with_topic(TOPIC, 1);
    assert_eq!(throttled(&mut client, 60_000), Duration::ZERO, "nobody has a quota");
    set(&mut client, "user", "producer_byte_rate", Some(100_000.0));
    assert_eq!(throttled(&mut client, 60_000), Duration::ZERO, "below it");
    let mut other = klamm.client();
    let told = throttled(&mut client, 80_000);
    assert!(told >= Duration::from_millis(100), "{told:?}");
    assert!(silence(&mut other) < Duration::from_secs(20), "others are heard");
    assert_waits(silence(&mut client), told);
    set(&mut client, "user", "producer_byte_rate", None);
    assert_eq!(throttled(&mut client, 300_000), Duration::ZERO);
}

#[test]
fn a_producer_that_wants_no_answer_is_not_heard_either() {
    let klamm = Klamm::start(SHORT);
    let mut client = klamm.with_topic(TOPIC, 1);
    set(&mut client, "client-id", "producer_byte_rate", Some(100_000.0));
    let records = records(150_000);
    client.send(&produce_request(TOPIC, 0, 0, &records), NAMED).expect("it is sent");
    // Half of the bytes are too many: half a second at the least, however late they were counted.
    assert_waits(silence(&mut client), Duration::from_millis(400));
}

#[test]
fn requests_that_follow_each_other_closely_wait_for_all_that_was_too_much() {
    let klamm = Klamm::start(SHORT);
    let mut client = klamm.with_topic(TOPIC, 1);
    set(&mut client, "user", "producer_byte_rate", Some(100_000.0));
    let records = records(60_000);
    for _ in 0..3 {
        client.send(&produce_request(TOPIC, 0, 1, &records), NAMED).expect("it is sent");
    }
    for _ in 0..3 {
        client.receive_frame().expect("an answer");
    }
    assert_waits(silence(&mut client), Duration::from_millis(400));
}

#[test]
fn a_consumer_over_its_quota_gets_nothing_and_later_what_there_is() {
    let klamm = Klamm::start(SHORT);
    let mut client = klamm.with_topic(TOPIC, 1);
    for _ in 0..3 {
        produce(&mut client, TOPIC, &[&[7; 60_000]]);
    }
    set(&mut client, "user", "consumer_byte_rate", Some(100_000.0));
    let fetch = |client: &mut Client, offset| {
        let request = fetch_request(TOPIC, 0, offset, 60_100);
        let told = client.call(&request, NAMED, |response| {
            let records = response.responses.first().and_then(|topic| topic.partitions[0].records.as_ref());
            let bytes = records.and_then(|records| records.inline()).map_or(0, <[u8]>::len);
            (bytes, Duration::from_millis(response.throttle_time_ms.unsigned_abs().into()))
        });
        told.expect("an answer at once")
    };
    let (bytes, wait) = fetch(&mut client, 0);
    assert!(bytes >= 60_000 && wait.is_zero(), "{bytes} bytes, {wait:?}");
    let (bytes, wait) = fetch(&mut client, 1);
    assert!(bytes == 0 && wait >= Duration::from_millis(100), "{bytes} bytes, {wait:?}");
    assert_waits(silence(&mut client), wait);
    let comes = (0..20).any(|_| fetch(&mut client, 1).0 >= 60_000);
    assert!(comes, "what it asked for");
}

#[test]
fn an_answer_to_a_fetch_is_never_larger_than_its_quota_allows_in_all_windows() {
    let klamm = Klamm::start(SHORT);
    let mut client = klamm.with_topic(TOPIC, 1);
    for _ in 0..4 {
        produce(&mut client, TOPIC, &[&[7; 40_000]]);
    }
    set(&mut client, "user", "consumer_byte_rate", Some(100_000.0));
    let request = fetch_request(TOPIC, 0, 0, 1 << 20);
    let bytes = client.call(&request, NAMED, |response| {
        let records = response.responses[0].partitions[0].records.as_ref();
        records.and_then(|records| records.inline()).map_or(0, <[u8]>::len)
    });
    let bytes = bytes.expect("an answer");
    assert!((80_000..=100_000).contains(&bytes), "{bytes}");
}

#[test]
fn who_takes_more_time_of_threads_than_its_share_waits() {
    let klamm = Klamm::start(&[]);
    let mut client = klamm.with_topic(TOPIC, 1);
    // A millionth of one thread: a microsecond each second.
    set(&mut client, "user", "request_percentage", Some(0.0001));
    let told = (0..5).map(|_| throttled(&mut client, 100)).max().unwrap_or_default();
    assert!(told > Duration::ZERO && told <= Duration::from_secs(1), "{told:?}");
    assert_waits(silence(&mut client), told);
    let answer =
        client.call(&DescribeClientQuotasRequest::default(), 1, |response| response.throttle_time_ms);
    assert!(answer.expect("an answer") > 0, "any request counts, and any answer says it");
    set(&mut klamm.client(), "user", "request_percentage", None);
    assert_eq!(throttled(&mut klamm.client(), 100), Duration::ZERO);
}

#[test]
fn an_address_that_connects_too_often_is_turned_away_and_then_let_in_again() {
    let klamm = Klamm::start(SHORT);
    let mut first = klamm.client();
    set(&mut first, "ip", "connection_creation_rate", Some(4.0));
    let is_served = |mut client: Client| client.call(&ApiVersionsRequest::default(), 0, |_| ()).is_ok();
    let clients: Vec<Client> = (0..20).map(|_| klamm.client()).collect();
    let served = clients.into_iter().map(is_served).filter(|served| *served).count();
    assert!((1..20).contains(&served), "{served} of 20");
    let again = (0..20).any(|_| is_served(klamm.client()));
    assert!(again, "who was turned away waited for it");
    set(&mut first, "ip", "connection_creation_rate", None);
    assert!((0..20).all(|_| is_served(klamm.client())));
}

#[test]
fn all_who_connect_wait_where_more_come_than_the_broker_takes() {
    let klamm = Klamm::start(SHORT);
    let mut first = klamm.client();
    let key = "max.connection.creation.rate";
    assert_eq!(alter(&mut first, BROKER, "1", key, Some("10")), wire::ErrorCode::None);
    let begun = Instant::now();
    for _ in 0..15 {
        silence(&mut klamm.client());
    }
    // Ten may come in the first second, five in half of the next; a part of that was over before.
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[test]
fn quotas_hold_after_a_restart() {
    let mut klamm = Klamm::start(SHORT);
    let mut client = klamm.with_topic(TOPIC, 1);
    set(&mut client, "user", "producer_byte_rate", Some(100_000.0));
    drop(client);
    klamm.restart();
    let mut client = klamm.client();
    assert!(throttled(&mut client, 150_000) > Duration::ZERO);
}
