//! The schemas, recorded bytes and tables of package `wire`, made again from Kafka's jars.

use std::path::PathBuf;

use klamm_tests::binaries::workspace;
use klamm_tests::oracle;
use klamm_tests::process::run;
use tools::wire_gen;
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
