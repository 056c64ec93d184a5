//! The primitives of those modules that `tests/interleavings` compiles once more over a model of memory.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
}

/// Sleeping until a word changes.
pub(crate) mod futex {
    use std::sync::atomic::AtomicU32;

    use rustix::thread::futex::{self, Flags};

    /// Returns at once if the word is not `heard`, otherwise when it is woken, or earlier.
    pub(crate) fn wait(word: &AtomicU32, heard: u32) {
        // An interruption and a word that has changed are reasons to look again like any other.
        let _ = futex::wait(word, Flags::PRIVATE, heard, None);
    }

    /// Wakes all who wait for the word.
    pub(crate) fn wake_all(word: &AtomicU32) {
        // The word is ours and aligned, so that there is nothing the kernel could refuse.
        let _ = futex::wake(word, Flags::PRIVATE, i32::MAX.unsigned_abs());
    }
}
