//! The Kafka protocol as pure functions between bytes and structs.
