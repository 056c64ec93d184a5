//! The building blocks of messages: reading, writing, ids, tagged fields, record bytes.

mod reader;
mod record_bytes;
mod tagged;
#[allow(clippy::indexing_slicing, reason = "writes what is ours")]
mod uuid;
#[allow(clippy::indexing_slicing, reason = "writes what is ours")]
mod writer;

pub use reader::Reader;
pub use record_bytes::{RecordsRef, ResponseRecords};
pub use tagged::{RawTaggedField, UnknownTaggedFields};
pub use uuid::{Uuid, UuidError};
pub use writer::{Encoded, Piece, RecordsSlot, Writer};
