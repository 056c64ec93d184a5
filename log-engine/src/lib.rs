//! A segmented append-only log whose files are Apache Kafka's files, bit for bit.
//!
//! An [`Engine`] opens data directories; each partition in them is a [`Log`]. An append returns a ticket, which is a
//! future and can also be waited for by a thread: the engine has no runtime. A read returns a slice of a file, which
//! can be sent to a socket without passing through memory, or copied.
//!
//! ```
//! use log_engine::batch::{BatchBuilder, Compression, NewRecord};
//! use log_engine::log_dir::{self, MetaProperties};
//! use log_engine::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let dir = temporary.path().join("data");
//! let config = EngineConfig::new([dir.clone()], 1);
//! let meta = MetaProperties { cluster_id: "example".into(), node_id: 1, directory_id: None };
//! log_dir::format(&config.open_disk(), &dir, &meta, config.clock.now())?;
//!
//! let engine = Engine::open(config.clone())?;
//! let orders = TopicPartition::new("orders", 0);
//! let log = engine.create_log(&orders, TopicId::new([7; 16]), LogConfig::default(), None)?;
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
//! What the engine promises: a record that was acknowledged survives the death of the process, and under
//! [`FlushPolicy::Sync`] that of the machine; a reader sees records in order and never one that was not published; a
//! directory opens here and in Apache Kafka, after a clean stop or none.

mod background;
pub mod batch;
pub mod checkpoint;
mod clean;
pub mod clock;
pub mod commit;
pub mod config;
mod engine;
pub mod epoch;
pub mod error;
mod home;
pub mod inspect;
pub mod io;
pub mod limits;
mod log;
pub mod log_dir;
mod metrics;
pub mod producer;
mod retain;
mod scrub;
mod segment;
mod throttle;
pub mod types;

pub use clean::{CleanerConfig, CleaningError, CleaningReport};
pub use clock::{Clock, ManualClock, SystemClock};
pub use commit::Durability;
pub use config::{
    CleanupPolicy, DiskChoice, EngineConfig, FlushPolicy, InvalidConfig, LogConfig, TargetCompression, Upkeep,
};
pub use engine::{DirectoryReport, Engine, LogMove, MoveListener, OfflineDirectory, OpenReport};
pub use error::{
    AppendError, Corruption, CreateLogError, MoveLogError, OpenError, ReadError, Rule, TruncateError,
};
pub use log::{
    AppendRequest, AppendTicket, Appended, Attempt, DamagedRange, EndListener, Fetched, FetchedData,
    FoundOffset, Isolation, Log, LogOffsets, LogOpening, PostponedAppend, ReadRequest, TimestampQuery,
};
pub use metrics::EngineCounts;
pub use scrub::{ScrubConfig, ScrubReport};
pub use segment::SegmentInfo;
pub use segment::data::FileSlice;
pub use segment::name::is_legal_topic_name;
pub use segment::scan::ReadMode;
pub use segment::txn_index::AbortedTransaction;
pub use types::{
    FilePosition, LeaderEpoch, Offset, ProducerEpoch, ProducerId, RelativeOffset, Sequence, TimestampMs,
    TopicId, TopicPartition,
};

#[cfg(test)]
mod tests;
