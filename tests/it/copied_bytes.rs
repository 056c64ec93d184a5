//! How much of the logs of topics is copied into the broker's memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use klamm_tests::hooked_disk::Hooks;
use log_engine::io::FileHandle;

/// Counts what is copied out of `.log` files of topics. A descriptor that is handed to sendfile copies nothing.
#[derive(Debug, Default)]
pub(crate) struct CopiedBytes(AtomicUsize);

impl CopiedBytes {
    pub(crate) fn so_far(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Hooks for CopiedBytes {
    fn read(&self, file: &FileHandle, bytes: &mut [u8], _position: u64) {
        let path = file.path();
        let of_metadata = path.components().any(|part| part.as_os_str() == "__cluster_metadata-0");
        if !of_metadata && path.extension().is_some_and(|extension| extension == "log") {
            self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        }
    }
}
