//! What Kafka's own classes answered. How the answers were made stands in `../data/NOTE.md`.

use std::path::PathBuf;

use log_engine::producer::Refusal;

/// The lines of a file of answers: of that in the tree, or of another that was made just now.
pub(crate) fn answers(file: &str) -> String {
    let checked_in = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let directory = std::env::var_os("KLAMM_ORACLE_DATA").map_or(checked_in, PathBuf::from);
    std::fs::read_to_string(directory.join(file)).unwrap()
}

/// Bytes as the answers have them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The error code that Kafka has for a refusal.
pub(crate) fn refusal_code(refusal: Refusal) -> i16 {
    match refusal {
        Refusal::InvalidProducerEpoch { .. } | Refusal::MarkerEpoch { .. } => 47,
        Refusal::SequenceOfNewEpoch { .. }
        | Refusal::OutOfOrderSequence { .. }
        | Refusal::SequenceWithoutState { .. }
        | Refusal::SequenceAboveUnverified { .. } => 45,
        Refusal::NotTransactional { .. } | Refusal::NotVerified => 48,
        Refusal::CoordinatorFenced { .. } => 52,
    }
}
