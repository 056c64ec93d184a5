//! What the controller needs of the log that its records go to. `__cluster_metadata-0` is one, see
//! [`super::metadata_log`]; tests have one in memory.

use std::{io, sync::Arc};

use log_engine::{
    AppendError,
    io::is_full,
    types::{LeaderEpoch, Offset},
};

/// Why the log could not be written or read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the metadata log: {0}")]
pub struct LogFailure(pub Arc<dyn std::error::Error + Send + Sync>);

impl LogFailure {
    pub(super) fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Arc::from(error.into()))
    }

    /// Whether there was no room, and nothing else is wrong.
    pub(super) fn is_full(&self) -> bool {
        let of_append = self.0.downcast_ref::<AppendError>().is_some_and(AppendError::is_full);
        of_append || self.0.downcast_ref::<io::Error>().is_some_and(is_full)
    }
}

/// A log of batches.
pub(super) trait RecordLog: Send {
    /// The offset that the next record gets.
    fn end_offset(&self) -> Offset;

    /// Appends one batch that already has its offset and epoch. Batches become durable in order.
    fn append(&mut self, batch: Vec<u8>) -> Result<Box<dyn PendingAppend>, LogFailure>;

    /// After an append failed and every later one was waited for: the log ends where it did before.
    fn forget_failed(&mut self);

    /// Whole batches from the one that holds `from` on, at least one where there is any; empty at the end.
    fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<u8>, LogFailure>;

    /// The first offset that can be read.
    fn start_offset(&self) -> Offset;

    /// The leader epoch of the last batch.
    fn latest_epoch(&self) -> Option<LeaderEpoch>;

    /// A new leader epoch begins at the end of the log.
    fn begin_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogFailure>;

    /// How many bytes the log has.
    fn size_bytes(&self) -> u64;

    /// What is below this may go.
    fn delete_before(&mut self, offset: Offset) -> Result<(), LogFailure>;

    /// Readers may see everything below this.
    fn set_high_watermark(&mut self, offset: Offset);
}

/// An append on its way to the disk.
pub(super) trait PendingAppend {
    /// Waits until it is durable.
    fn wait(self: Box<Self>) -> Result<(), LogFailure>;
}
