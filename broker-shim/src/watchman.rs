//! Keeps sockets served while a disk holds up one thread of the runtime.
//!
//! The thread that brings an append usually writes it into the page cache itself; now and then the kernel makes such a write
//! wait. The thread may be the one that polls the sockets for all, and tokio hands that duty on only when it sees other work.
//! The watchman is a thread that sees appends being started for longer than one tick, and then gives the runtime such work.
//! It sleeps while nothing is appended.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};

use tokio::runtime::Handle;

/// How long sockets may be left alone.
const TICK: Duration = Duration::from_millis(50);

/// Stops watching when it is dropped.
#[derive(Debug)]
pub(crate) struct Watchman {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that start appends at the moment.
    busy: AtomicUsize,
    asleep: AtomicBool,
    stopped: AtomicBool,
}

/// A thread starts appends for as long as this lives.
pub(crate) struct Watched<'a>(&'a State);

impl Watchman {
    /// Watches over the runtime that this is called in.
    pub(crate) fn start() -> io::Result<Self> {
        let state = Arc::new(State::default());
        let (watched, runtime) = (Arc::clone(&state), Handle::current());
        let thread =
            thread::Builder::new().name("watchman".to_owned()).spawn(move || watched.watch(&runtime))?;
        Ok(Self { state, thread: thread.thread().clone() })
    }

    /// The calling thread may be held up by the disk.
    pub(crate) fn watch(&self) -> Watched<'_> {
        // Ordered against `State::watch`: either it sees that somebody is busy, or its sleep is seen here.
        self.state.busy.fetch_add(1, SeqCst);
        if self.state.asleep.load(SeqCst) && self.state.asleep.swap(false, SeqCst) {
            self.thread.unpark();
        }
        Watched(&self.state)
    }
}

impl Drop for Watchman {
    fn drop(&mut self) {
        self.state.stopped.store(true, SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, SeqCst);
    }
}

impl State {
    fn watch(&self, runtime: &Handle) {
        while !self.stopped.load(SeqCst) {
            // In between nobody wakes it, so that frequent appends cost at most one call a tick.
            thread::sleep(TICK);
            if self.busy.load(SeqCst) > 0 {
                // A thread that has nothing to do takes this, and the polling of the sockets with it.
                drop(runtime.spawn(std::future::ready(())));
                continue;
            }
            self.asleep.store(true, SeqCst);
            if self.busy.load(SeqCst) == 0 && !self.stopped.load(SeqCst) {
                thread::park();
            }
            self.asleep.store(false, SeqCst);
        }
    }
}
