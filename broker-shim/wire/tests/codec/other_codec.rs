//! The crate `kafka-protocol`, written by others from the same definitions, reads what we write and writes the same.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey as TheirKey, RequestKind, ResponseKind};
use wire::ApiKey;
use wire::messages::{EXPANDED, Request, Response};
use wire::primitives::{Reader, Writer};

use crate::samples::{Kind, Sample, samples};

/// Versions that Kafka 4.3 has and the crate has not.
const UNKNOWN_TO_THEM: [(ApiKey, i16); 6] = [
    (ApiKey::ListOffsets, 11),
    (ApiKey::InitProducerId, 6),
    (ApiKey::DescribeLogDirs, 5),
    (ApiKey::OffsetCommit, 10),
    (ApiKey::OffsetFetch, 10),
    (ApiKey::WriteTxnMarkers, 2),
];

#[test]
fn another_codec_reads_and_writes_the_same_bytes() {
    let mut compared = 0;
    for sample in samples().iter().filter(|sample| sample.kind != Kind::Default) {
        let Some((key, is_request)) = api_of(sample) else { continue };
        if !UNKNOWN_TO_THEM.contains(&(key, sample.version)) {
            let ours = ours(sample, key, is_request);
            assert_eq!(theirs(&ours, key, sample.version, is_request), ours, "{sample}");
            compared += 1;
        }
    }
    // Two samples of each version of each half of each API.
    let versions: usize = EXPANDED.iter().map(|key| key.versions().iter().count()).sum();
    assert_eq!(compared, 2 * 2 * (versions - UNKNOWN_TO_THEM.len()));
}

fn api_of(sample: &Sample) -> Option<(ApiKey, bool)> {
    let (name, is_request) = match sample.name.strip_suffix("Request") {
        Some(name) => (name, true),
        None => (sample.name.strip_suffix("Response")?, false),
    };
    EXPANDED.iter().find(|key| key.name() == name).map(|key| (*key, is_request))
}

fn ours(sample: &Sample, key: ApiKey, is_request: bool) -> Vec<u8> {
    let (mut r, mut w) = (Reader::new(&sample.bytes), Writer::new());
    if is_request {
        let request = Request::decode(&mut r, key, sample.version).expect("Kafka wrote it");
        assert_eq!(request.key(), key);
        request.encode(&mut w, sample.version).expect("Kafka wrote it");
    } else {
        let response = Response::decode(&mut r, key, sample.version).expect("Kafka wrote it");
        assert_eq!(response.key(), key);
        response.encode(&mut w, sample.version).expect("Kafka wrote it");
    }
    w.into_bytes()
}

fn theirs(bytes: &[u8], key: ApiKey, version: i16, is_request: bool) -> Vec<u8> {
    let key = TheirKey::try_from(key.code()).expect("they know the API too");
    let mut bytes = Bytes::copy_from_slice(bytes);
    let mut written = BytesMut::new();
    if is_request {
        let request = RequestKind::decode(key, &mut bytes, version).expect("they can read it");
        request.encode(&mut written, version).expect("they can write it");
    } else {
        let response = ResponseKind::decode(key, &mut bytes, version).expect("they can read it");
        response.encode(&mut written, version).expect("they can write it");
    }
    assert!(bytes.is_empty(), "they read it to its end");
    written.to_vec()
}
