//! The codec against Kafka's own bytes, against another codec, and against bytes of a stranger.

mod kafka_bytes;
mod samples;
