//! The codec against Kafka's own bytes, against another codec.

mod api_versions;
mod budget;
mod kafka_bytes;
mod other_codec;
mod samples;
