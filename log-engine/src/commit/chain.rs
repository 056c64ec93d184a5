//! What holds the appends of one target together: their order and their first failure.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::CommitError;

/// One per target, embedded in it.
///
/// A failed write fails what was built on it: from the first failure on every later append of the chain fails
/// without touching the file, until the target has cut its file back and calls [`Chain::heal`].
#[derive(Debug, Default)]
pub struct Chain {
    broken: AtomicBool,
    first_failure: Mutex<Option<CommitError>>,
    // How many appends wait or are in flight per lane; both are only raised by `Committer::enqueue`.
    pub(super) in_os_lane: AtomicU32,
    pub(super) in_sync_lane: AtomicU32,
}

impl Chain {
    /// A chain without failures.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first failure since the last healing.
    pub fn failure(&self) -> Option<CommitError> {
        if !self.broken.load(Ordering::Acquire) {
            return None;
        }
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Appends are accepted again. For the target, once every outstanding reservation was told its failure and the
    /// file is cut to what was published.
    pub fn heal(&self) {
        *self.first_failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.broken.store(false, Ordering::Release);
    }

    pub(super) fn break_with(&self, error: &CommitError) {
        self.first_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| error.clone());
        self.broken.store(true, Ordering::Release);
    }
}
