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
//! A broker decodes requests and encodes responses. The other direction is behind the feature `client`, and
//! Kafka's JSON form of internal records behind the feature `json`.

#![forbid(unsafe_code)]

mod api_key;
mod error_code;
pub mod frame;
pub mod header;
#[cfg(feature = "json")]
pub mod json;
pub mod message;
pub mod messages;
pub mod primitives;
pub mod records;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use message::{DecodeError, EncodeError, Versions};
