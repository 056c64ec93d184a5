//! Tools that look inside Kafka's files.

pub mod wire_gen;
