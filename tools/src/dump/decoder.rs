//! How keys and payloads are shown: the four decoder classes of `org.apache.kafka.tools.api`, and the metadata log's records.

use super::{
    coordinator_log::CoordinatorLog,
    framed::metadata_json,
    remote_log::remote_log_text,
    text::{push_int, push_java_string},
};

/// What turns a record into text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageParser {
    /// Key and payload each by a decoder class.
    Decoders {
        /// For keys.
        key: Decoder,
        /// For payloads.
        value: Decoder,
    },
    /// The payload is a KRaft metadata record; keys are not shown.
    ClusterMetadata,
    /// The payload is a record of `__remote_log_metadata`; keys are not shown.
    RemoteLogMetadata,
    /// Key and payload are a record of a coordinator.
    Coordinator(CoordinatorLog),
}

impl MessageParser {
    /// The text of a topic's own records, or the sentence that stands in its place.
    pub(super) fn topic_record(self, value: Option<&[u8]>, offset: i64) -> Result<String, String> {
        match self {
            Self::Decoders { .. } | Self::Coordinator(_) => Ok(String::new()),
            Self::ClusterMetadata => {
                metadata_json(value).map_err(|reason| format!("Error at {offset}, skipping. {reason}"))
            }
            Self::RemoteLogMetadata => remote_log_text(value)
                .map_err(|reason| format!("Error at offset {offset}, skipping. {reason}")),
        }
    }
}

/// One of the decoder classes that Kafka's tools bring along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// `StringDecoder`: UTF-8.
    String,
    /// `IntegerDecoder`: the first four bytes, big-endian.
    Integer,
    /// `LongDecoder`: the first eight bytes, big-endian.
    Long,
    /// `DefaultDecoder`: bytes. Java prints an array's identity here, which says nothing and differs from run to run;
    /// this tool prints the bytes in hexadecimal after the same `[B@`.
    Default,
}

impl Decoder {
    /// The decoder that this class name stands for.
    pub(super) fn of_class(class: &str) -> Option<Self> {
        match class.strip_prefix("org.apache.kafka.tools.api.")? {
            "StringDecoder" => Some(Self::String),
            "IntegerDecoder" => Some(Self::Integer),
            "LongDecoder" => Some(Self::Long),
            "DefaultDecoder" => Some(Self::Default),
            _ => None,
        }
    }

    /// Whether the bytes suffice for this decoder.
    pub(super) fn accepts(self, bytes: &[u8]) -> bool {
        match self {
            Self::Integer => bytes.len() >= 4,
            Self::Long => bytes.len() >= 8,
            Self::String | Self::Default => true,
        }
    }

    /// Appends the text of the bytes; nothing where they do not suffice.
    pub(super) fn push(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::String => push_java_string(out, bytes),
            Self::Integer => {
                if let Some(number) = bytes.first_chunk() {
                    push_int(out, i32::from_be_bytes(*number).into());
                }
            }
            Self::Long => {
                if let Some(number) = bytes.first_chunk() {
                    push_int(out, i64::from_be_bytes(*number));
                }
            }
            Self::Default => {
                out.extend_from_slice(b"[B@");
                push_hex(out, bytes);
            }
        }
    }
}

/// Appends bytes in hexadecimal.
pub(super) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}
