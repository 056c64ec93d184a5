//! The codec against Kafka's own bytes, against another codec.

mod api_versions;
mod budget;
mod kafka_bytes;
mod limits;
mod other_codec;
mod record_bytes;
mod samples;
