//! Sources of the engine, compiled once more with loom's primitives in place of the standard library's: `crate::sync` is the
//! only name that differs. The models in `tests` run them under every order of threads, and of what each sees of the others'
//! memory, that C11 allows.

mod sync {
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{AtomicI64, Ordering};
    }
}

use log_engine::types;

#[path = "../../../log-engine/src/log/offsets.rs"]
pub mod offsets;

#[path = "../../../log-engine/src/commit/ticket.rs"]
pub mod ticket;

pub mod models;
