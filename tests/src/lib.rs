//! What the test binaries share: starting and stopping brokers (Apache Kafka's and ours), the oracle's jars and tools,
//! our own binaries, the corpus.
//!
//! Nothing here decides a verdict; that is for the tests. Servers bind 127.0.0.1 on ports that were free a moment ago,
//! live in directories that vanish with the test, and are ended by the process id that started them, also when the
//! test panics.

pub mod binaries;
pub mod broker;
pub mod client;
pub mod corpus;
pub mod java_clients;
pub mod kafka;
pub mod oracle;
pub mod own_disk;
pub mod process;
pub mod properties;
pub mod questions;
pub mod transactional;

pub use klamm_proof::{hooked_disk, planted};
