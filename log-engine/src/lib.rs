//! A segmented append-only log whose files are Apache Kafka's files, bit for bit.
//!
//! An [`Engine`] opens data directories; each partition in them is a [`Log`]. An append returns a ticket, which is a
//! future and can also be waited for by a thread: the engine has no runtime. A read returns a slice of a file, which
//! can be sent to a socket without passing through memory, or copied.
//!
//! ```
//! use log_engine::batch::{BatchBuilder, Compression, NewRecord};
//! use log_engine::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let dir = temporary.path().join("data");
//! let config = EngineConfig::new([dir], 1);
//! let engine = Engine::open_or_format(config.clone())?;
//! let orders = TopicPartition::new("orders", 0);
//! let log = engine.open_or_create_log(&orders, TopicId::new([7; 16]), LogConfig::default())?;
//! let mut batch = BatchBuilder::new(Compression::None);
//! batch.append(&NewRecord { timestamp: config.clock.now(), key: None, value: Some(b"hello"), headers: &[] })?;
//! let records = bytes::BytesMut::from(&batch.finish()?[..]);
//! let stored = log.append(AppendRequest::from_client(records, LeaderEpoch::new(0)))?.wait()?;
//! assert_eq!(stored.first_offset, Offset::ZERO);
//! engine.close()?;
//! drop((log, engine));
//!
//! let engine = Engine::open(config)?;
//! let log = engine.log(&orders).ok_or("the log is still there")?;
//! let fetched = log.read(&ReadRequest::from_start(Isolation::LogEnd))?;
//! assert!(fetched.to_bytes()?.ends_with(b"hello\0"));
//! # Ok(())
//! # }
//! ```
//!
//! Three programs in `examples` are written for reading: a durable queue, a map whose changes are a compacted log, and an event
//! log that a thread and an async task follow.
//!
//! # What is where
//!
//! What a program needs to append, read and be told is here, in about thirty names. [`batch`] makes records and takes them apart.
//! [`operation`] is for whoever operates an engine for long: upkeep, compaction, damage, moves between disks, counts. [`inspect`]
//! looks at files without an engine.
//!
//! # Units
//!
//! An [`Offset`] numbers records from 0; ends are exclusive, and what is called last is inclusive. Times are milliseconds since
//! 1970 ([`TimestampMs`], -1 for none) and come from a [`Clock`]; names ending in `_ms` are milliseconds, in `_bytes` bytes.
//! A log holds offsets up to 2^63 - 1, a segment bytes and relative offsets below 2^31, as Kafka's.
//!
//! # Threads
//!
//! Everything is `Send` and `Sync`. An [`AppendTicket`] is a future that needs no runtime, and can be waited for by a thread.
//! Whatever may wait for the disk says so; [`Log::try_append`] and [`ReadMode::CachedOnly`] are for threads that must not.
//!
//! What the engine promises: a record that was acknowledged survives the death of the process, and under
//! [`FlushPolicy::Sync`] that of the machine; a reader sees records in order and never one that was not published; a
//! directory opens here and in Apache Kafka, after a clean stop or none.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod background;
pub mod batch;
mod clean;
mod engine;
mod home;
pub mod inspect;
mod log;
mod metrics;
pub mod operation;
mod retain;
mod scrub;
mod segment;
mod sync;
mod throttle;

// The broker, the tools and the tests of disks reach deeper than a program that embeds the engine has to. What such a program
// meets of these modules is named below or in `operation`.
#[doc(hidden)]
pub mod checkpoint;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod commit;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod epoch;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod io;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod log_dir;
#[doc(hidden)]
pub mod producer;
#[doc(hidden)]
pub mod types;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{CleanupPolicy, EngineConfig, FlushPolicy, LogConfig};
pub use engine::{Engine, OpenReport};
pub use error::{AppendError, CreateLogError, OpenError, ReadError, TruncateError};
pub use log::{
    AppendRequest, AppendTicket, Appended, Attempt, EndListener, Fetched, FetchedData, FoundOffset,
    Isolation, Log, LogOffsets, PostponedAppend, ReadRequest, TimestampQuery,
};
pub use segment::data::FileSlice;
pub use segment::scan::ReadMode;
pub use types::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition};

// The same as in `operation`: where our own packages look for them.
#[doc(hidden)]
pub use operation::*;

#[cfg(test)]
mod tests;
