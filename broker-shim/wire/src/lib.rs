//! The Kafka protocol as pure functions between bytes and structs.
//!
//! What is here: the length frame ([`frame`]), request and response headers ([`header`]), every request and
//! response that the broker speaks ([`messages`]), the records that Kafka keeps in its own logs and files
//! ([`records`]), the table of APIs and versions ([`ApiKey`]) and the error numbers ([`ErrorCode`]).
//!
//! What is deliberately not here: sockets, files, a runtime, and any look inside record batches. Record bytes
//! pass through as slices.
//!
//! Messages are expanded at build time from the schemas in `schemas/`. Decoding borrows from the frame, takes
//! counts and lengths for what they are, claims of a stranger, and runs under a budget of bytes
//! ([`primitives::Reader`]).
//!
//! ```
//! use wire::header::IncomingHeader;
//! use wire::messages::{MetadataRequest, MetadataResponse, metadata_response::MetadataResponseTopic};
//! use wire::primitives::Reader;
//! use wire::{ErrorCode, frame};
//!
//! // Metadata, version 4, correlation id 7, no client id; one topic, "t"; no auto-creation.
//! let request = [0, 3, 0, 4, 0, 0, 0, 7, 0xff, 0xff, 0, 0, 0, 1, 0, 1, b't', 0];
//! let mut r = Reader::new(&request);
//! let header = IncomingHeader::decode(&mut r)?;
//! let request = MetadataRequest::decode(&mut r, header.version)?;
//!
//! let unknown = |name| MetadataResponseTopic {
//!     error_code: ErrorCode::UnknownTopicOrPartition.code(),
//!     name,
//!     ..Default::default()
//! };
//! let topics = request.topics.unwrap_or_default();
//! let response = MetadataResponse {
//!     topics: topics.into_iter().map(|topic| unknown(topic.name)).collect(),
//!     ..Default::default()
//! };
//! let encoded = frame::encode_response(&response, header.version, header.correlation_id, Vec::new())?;
//! assert_eq!(encoded.bytes[..8], [0, 0, 0, 32, 0, 0, 0, 7]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A broker decodes requests and encodes responses. The other direction is behind the feature `client`, and
//! Kafka's JSON form of internal records behind the feature `json`.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::indexing_slicing))]

mod api_key;
mod error_code;
pub mod frame;
pub mod header;
#[cfg(feature = "json")]
#[allow(clippy::indexing_slicing, reason = "writes what is ours")]
pub mod json;
pub mod message;
pub mod messages;
pub mod primitives;
pub mod records;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use message::{DecodeError, EncodeError, Versions};
