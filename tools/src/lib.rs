//! Tools that look inside Kafka's files.

pub mod dump;
pub mod offline;
pub mod wire_gen;
