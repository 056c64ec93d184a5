//! klamm: a thin Kafka broker in front of `log-engine`.
