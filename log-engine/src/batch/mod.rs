//! Record batches of Kafka's message format v2, and enough of the older formats to read them.
//!
//! ```text
//!  0 base offset        i64 | stamped by the leader, outside the checksum
//!  8 length             i32 | bytes from here on: size - 12
//! 12 leader epoch       i32 | stamped by the leader, outside the checksum
//! 16 magic              i8  | 2
//! 17 crc                u32 | CRC32C of everything that follows
//! 21 attributes         i16 | compression 0-2, timestamp type 3, transactional 4, control 5, delete horizon 6
//! 23 last offset delta  i32
//! 27 base timestamp     i64
//! 35 max timestamp      i64
//! 43 producer id        i64 | 51 producer epoch i16 | 53 base sequence i32
//! 57 record count       i32
//! 61 records, compressed as a whole
//! ```
//!
//! The same bytes travel on the wire and lie in the file. This module knows no file, no lock and no offset counter:
//! it turns bytes into views, checks them, stamps them in place and builds them.

mod builder;
mod checksum;
mod compress;
pub mod control;
pub(crate) mod filter;
mod header;
pub mod legacy;
mod record;
mod validate;
mod varint;

pub use builder::{BatchBuilder, BuildError, NewRecord};
pub use checksum::{Crc32c, crc32c};
pub use compress::{Compression, CompressionType, DecompressError, DecompressionCap};
pub use header::{
    Attributes, BatchHeader, BatchView, Batches, HEADER_LEN, HeaderError, LOG_OVERHEAD, Prefix,
    TimestampType, batches, stamp_base_offset, stamp_leader_epoch, stamp_log_append_time,
};
pub use record::{RecordError, RecordHeader, RecordHeaders, RecordRule, RecordView, Records, SkimmedRecord};
pub use validate::{
    AppendOrigin, BatchSummary, RecordProblem, RecordProblemRule, ValidBatches, ValidationRules, Violation,
    ViolationClass, validate,
};
