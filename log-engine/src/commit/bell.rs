//! Waking all who wait for a flush with one call.
//!
//! Sixty-four threads that wait for their own tickets take sixty-four calls to wake, one after the other, and until the
//! last has been called the next group cannot form. So whoever waits for an append that shares a flush sleeps on that
//! group's bell, which is rung once, after all tickets of the group have their results.

use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::futex;

/// Wakes all its sleepers at once.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Changes with each ring.
    rings: AtomicU32,
    /// A sleeper has its result since the last ring.
    wanted: AtomicBool,
}

impl Bell {
    /// What [`Bell::sleep`] needs to know; ask before looking whether there is reason to sleep.
    pub(super) fn listen(&self) -> u32 {
        self.rings.load(Ordering::Acquire)
    }

    /// Sleeps until a ring after `heard` was asked for. May return without one: look again.
    pub(super) fn sleep(&self, heard: u32) {
        futex::wait(&self.rings, heard);
    }

    /// The next [`Bell::ring_if_wanted`] has somebody to wake.
    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    /// Wakes all sleepers, if any of them has reason to wake.
    pub(super) fn ring_if_wanted(&self) {
        if self.wanted.swap(false, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// Wakes all sleepers.
    pub(super) fn ring(&self) {
        self.rings.fetch_add(1, Ordering::Release);
        futex::wake_all(&self.rings);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_ring_after_listening_is_never_slept_through() {
        let bell = Bell::default();
        let heard = bell.listen();
        bell.ring();
        bell.sleep(heard);
    }

    #[test]
    fn one_ring_wakes_all() {
        let bell = Bell::default();
        let results = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    loop {
                        let heard = bell.listen();
                        if results.load(Ordering::Acquire) == 1 {
                            break;
                        }
                        bell.sleep(heard);
                    }
                });
            }
            results.store(1, Ordering::Release);
            bell.want();
            bell.ring_if_wanted();
        });
    }
}
