//! What Kafka's own classes answered. How the answers were made stands in `../data/NOTE.md`.

use std::path::PathBuf;

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
