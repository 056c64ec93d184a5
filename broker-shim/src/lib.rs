//! klamm: a thin Kafka broker in front of `log-engine`.

#![forbid(unsafe_code)]

pub mod config;
pub mod metadata;
