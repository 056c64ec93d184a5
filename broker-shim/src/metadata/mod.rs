//! Cluster metadata: topics, partitions, configuration, brokers and features as a log of KRaft records in
//! `__cluster_metadata-0`, folded into an image that requests read without a lock.
//!
//! ```text
//! request -> ops (decide) -> codec, batches -> record_log (append, fsync) -> fold -> image (publish) -> answer
//! start:  format -> load (snapshot + log) -> quorum_state (new epoch) -> leadership (register, unfence)
//! ```
//!
//! The controller's side decides and appends, one request after the other; the broker's side reads [`Image`]s and acts
//! on them through [`MetadataListener`]. They share nothing else. Neither knows sockets, and who may ask is judged before.

mod batches;
mod bring_up;
mod codec;
mod config_rules;
mod controller;
mod fold;
pub mod format;
#[cfg(test)]
mod golden;
mod handle;
pub mod ids;
pub mod image;
mod leadership;
mod load;
#[cfg(test)]
mod memory_log;
mod metadata_log;
pub mod ops;
mod quorum_state;
mod raft;
pub mod record;
mod record_log;
mod shared_map;
mod snapshot;
mod snapshot_writer;
#[cfg(test)]
mod tests;

pub use codec::MetadataVersion;
pub use config_rules::KnownKeys;
pub use controller::{ChangeError, ControllerConfig, MetadataListener, PlacedLog, StartError};
pub use fold::{Delta, FoldError};
pub use handle::MetadataHandle;
pub use image::{Image, PartitionImage, TopicImage};
pub use leadership::Identity;
pub use load::LoadError;
pub(crate) use metadata_log::id_of;
pub use metadata_log::{MetadataOptions, SegmentPolicy};
pub use quorum_state::QuorumStateError;
pub use record_log::LogFailure;
pub use snapshot::SnapshotId;
pub use snapshot_writer::SnapshotPolicy;
