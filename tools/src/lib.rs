//! Tools that look inside Kafka's files.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod dump;
pub mod offline;
pub mod wire_gen;
