//! Sources of the engine, compiled once more with loom's primitives in place of the standard library's: `crate::sync` is the
//! only name that differs. The models in `tests` run them under every order of threads, and of what each sees of the others'
//! memory, that C11 allows.

mod sync {
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
    }

    /// What of the kernel's promise counts: nobody sleeps once the word has changed.
    pub(crate) mod futex {
        use loom::sync::atomic::{AtomicU32, Ordering};

        pub(crate) fn wait(word: &AtomicU32, heard: u32) {
            while word.load(Ordering::Acquire) == heard {
                loom::thread::yield_now();
            }
        }

        pub(crate) fn wake_all(_: &AtomicU32) {}
    }
}

use log_engine::types;

#[path = "../../../log-engine/src/log/offsets.rs"]
pub mod offsets;

#[path = "../../../log-engine/src/commit/bell.rs"]
pub mod bell;

#[path = "../../../log-engine/src/commit/ticket.rs"]
pub mod ticket;

pub mod models;
