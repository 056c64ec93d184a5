//! Tools that look inside Kafka's files.
