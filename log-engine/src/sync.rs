//! The primitives of those modules that `tests/interleavings` compiles once more over a model of memory.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicI64, Ordering};
}
