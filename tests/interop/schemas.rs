//! The schemas, recorded bytes and tables of package `wire`, made again from Kafka's jars.

use std::path::PathBuf;

use klamm_tests::binaries::workspace;
use klamm_tests::client::Client;
use klamm_tests::oracle;
use klamm_tests::process::run;
use tools::wire_gen;
use wire::header::ResponseHeader;
use wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use wire::primitives::Reader;
use wire::{ApiKey, ErrorCode};

fn wire() -> PathBuf {
    workspace().join("broker-shim/wire")
}

#[test]
fn the_schemas_in_the_tree_are_those_in_kafkas_jars() {
    let Some(oracle) = oracle::required() else { return };
    let derived = wire_gen::derive(oracle.jars()).expect("the jars hold message definitions");
    let differences =
        wire_gen::differences(&derived, &wire().join("schemas")).expect("the schemas are readable");
    assert_eq!(differences, Vec::<String>::new(), "run wire-gen");
}

/// Panics if the broker at `bootstrap` does not offer what the recorded answer in the schemas' tests offers.
pub(crate) fn assert_versions_are_kept(bootstrap: &str) {
    const VERSION: i16 = 4;
    let versions = |frame: &[u8]| {
        let mut reader = Reader::new(frame);
        ResponseHeader::decode(&mut reader, ApiKey::ApiVersions.response_header_version(VERSION))
            .expect("a header");
        let answer = ApiVersionsResponse::decode(&mut reader, VERSION).expect("an answer");
        answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect::<Vec<_>>()
    };
    let request = ApiVersionsRequest {
        client_software_name: "klamm-tests".into(),
        client_software_version: "1".into(),
        ..ApiVersionsRequest::default()
    };
    let mut client = Client::connect(bootstrap).expect("a connection");
    client.send(&request, VERSION).expect("sent");
    let told = client.receive_frame().expect("an answer");
    let kept = std::fs::read_to_string(wire().join("tests/golden/api_versions.txt"));
    let kept = kept.expect("the recorded answer is in the tree");
    let digits: Vec<u32> = kept.trim().chars().filter_map(|digit| digit.to_digit(16)).collect();
    let kept: Vec<u8> =
        digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("a byte")).collect();
    assert_eq!(versions(&told), versions(&kept));
}

/// Seed 1 is that of the recorded file; `KLAMM_WRITE_GOLDEN=1` records it anew.
#[test]
fn the_recorded_bytes_in_the_schemas_tests_are_what_kafka_writes() {
    let Some(oracle) = oracle::required() else { return };
    let mut java = oracle.java("MessageBytes");
    let written = run(java.arg("1").arg(wire().join("schemas")), b"");
    let recorded = wire().join("tests/golden/messages.txt");
    if std::env::var_os("KLAMM_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&recorded, &written).expect("the recorded bytes can be written");
    }
    let recorded = std::fs::read_to_string(recorded).expect("the recorded bytes are in the tree");
    for (kafka, ours) in written.lines().zip(recorded.lines()) {
        assert_eq!(kafka, ours);
    }
    assert_eq!(written.lines().count(), recorded.lines().count());
}

#[test]
fn error_numbers_and_versions_of_apis_are_kafkas() {
    let Some(oracle) = oracle::required() else { return };
    let mut ours: Vec<String> = Vec::new();
    for error in ErrorCode::ALL {
        let retry = if error.is_retriable() { "retriable" } else { "final" };
        ours.push(format!("error {} {} {retry}", error.code(), error.name()));
    }
    for key in ApiKey::ALL {
        for version in key.versions().iter() {
            let headers = [key.request_header_version(version), key.response_header_version(version)];
            ours.push(format!("api {} {key} {version} {} {}", key.code(), headers[0], headers[1]));
        }
    }
    let kafkas = run(&mut oracle.java("ProtocolTables"), b"");
    assert_eq!(ours, kafkas.lines().collect::<Vec<_>>());
}
