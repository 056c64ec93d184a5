//! Flushes on hold: for tests of what happens meanwhile.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Holds flushes back from [`super::SimDisk::hold_flushes`] on, until it is dropped.
#[derive(Debug)]
pub struct HeldFlushes {
    gate: Arc<Gate>,
}

impl HeldFlushes {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }

    /// Blocks until a flush is held back.
    pub fn wait_for_one(&self) {
        let _held = self.gate.wait_while(|state| state.held == 0);
    }
}

impl Drop for HeldFlushes {
    fn drop(&mut self) {
        self.gate.lock().open = true;
        self.gate.changed.notify_all();
    }
}

#[derive(Debug)]
pub(super) struct Gate {
    path_contains: String,
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    held: usize,
}

impl Gate {
    pub(super) fn on(path_contains: &str) -> Self {
        Self { path_contains: path_contains.to_owned(), state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn concerns(&self, path: &str) -> bool {
        path.contains(&self.path_contains)
    }

    pub(super) fn pass(&self) {
        self.lock().held += 1;
        self.changed.notify_all();
        self.wait_while(|state| !state.open).held -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl Fn(&GateState) -> bool) -> MutexGuard<'_, GateState> {
        self.changed.wait_while(self.lock(), |state| condition(state)).unwrap_or_else(PoisonError::into_inner)
    }
}
