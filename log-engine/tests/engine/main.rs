//! The engine from outside, one binary: against what Kafka wrote and answered, and against bytes that nobody wrote.
#![expect(clippy::unwrap_used, reason = "tests")]

mod corpus;
mod kafka_answers;
mod kafka_replicas;
mod kafka_rolls;
mod kafka_transactions;
mod mutilated;
mod oracle;
mod partition;
