//! What a broker of Apache Kafka says about its versions, against our table.

use wire::header::{Admission, IncomingHeader, ResponseHeader, unsupported_api_versions};
use wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use wire::primitives::Reader;
use wire::{ApiKey, ErrorCode, frame};

use crate::samples::unhex;

const ANSWER_VERSION: i16 = 4;

fn kafkas_answer() -> Vec<u8> {
    unhex(include_str!("../golden/api_versions.txt").trim())
}

#[test]
fn the_table_advertises_what_a_broker_of_kafka_does() {
    let bytes = kafkas_answer();
    let mut r = Reader::new(&bytes);
    ResponseHeader::decode(&mut r, ApiKey::ApiVersions.response_header_version(ANSWER_VERSION))
        .expect("a header");
    let answer = ApiVersionsResponse::decode(&mut r, ANSWER_VERSION).expect("a body");
    assert!(r.remaining().is_empty());

    let kafkas = answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version));
    let ours = ApiKey::ALL.iter().filter_map(|key| {
        let versions = key.advertised()?;
        Some((key.code(), versions.first, versions.last))
    });
    assert_eq!(ours.collect::<Vec<_>>(), kafkas.collect::<Vec<_>>());
}

#[test]
fn a_broker_that_sends_the_same_answer_sends_the_same_bytes() {
    let bytes = kafkas_answer();
    let mut r = Reader::new(&bytes);
    let header = ResponseHeader::decode(&mut r, 0).expect("a header");
    let answer = ApiVersionsResponse::decode(&mut r, ANSWER_VERSION).expect("a body");
    let encoded = frame::encode_response(&answer, ANSWER_VERSION, header.correlation_id, Vec::new());
    assert_eq!(encoded.expect("Kafka wrote it").bytes[frame::PREFIX_LEN..], bytes);
}

#[test]
fn a_client_that_is_too_new_learns_how_to_ask() {
    let newer = ApiKey::ApiVersions.versions().last + 1;
    let mut request =
        frame::encode_request(&ApiVersionsRequest::default(), newer - 1, 5, Some("c")).expect("written");
    request[frame::PREFIX_LEN + 3] = newer as u8;

    let mut r = Reader::new(&request[frame::PREFIX_LEN..]);
    let header = IncomingHeader::decode(&mut r).expect("the header is readable in any version");
    assert_eq!((header.version, header.correlation_id, &*header.client_id), (newer, 5, "c"));
    assert_eq!(header.admission(), Admission::UnknownApiVersionsVersion);

    let answer = frame::encode_response(&unsupported_api_versions(), 0, 5, Vec::new()).expect("written");
    let mut expected = vec![0, 0, 0, 16, 0, 0, 0, 5];
    expected.extend(ErrorCode::UnsupportedVersion.code().to_be_bytes());
    expected.extend([0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    assert_eq!(answer.bytes, expected);
}

#[test]
fn other_unknown_versions_and_keys_are_not_answered() {
    let header = |key: i16, version: i16| {
        [key.to_be_bytes(), version.to_be_bytes(), [0, 0], [0, 1], [0xff; 2], [0, 0]].concat()
    };
    for (key, version) in
        [(ApiKey::Produce, 2), (ApiKey::Fetch, 19), (ApiKey::Metadata, -1), (ApiKey::Vote, 0)]
    {
        let bytes = header(key.code(), version);
        let decoded = IncomingHeader::decode(&mut Reader::new(&bytes)).expect("a header");
        assert_eq!(decoded.admission(), Admission::Refused, "{key} {version}");
    }
    for key in [-1, 4, 93] {
        assert!(IncomingHeader::decode(&mut Reader::new(&header(key, 0))).is_err(), "{key}");
    }
}
