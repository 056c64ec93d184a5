//! Answers that wait for an end to move: woken by the append that moves it, never by polling.
//!
//! A [`Watch`] belongs to a partition; a [`Waiter`] belongs to one request and may stand at many watches. An append that
//! nobody waits for pays one atomic load.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Who waits at one partition.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    anyone: AtomicBool,
    waiters: Mutex<Vec<Arc<Notify>>>,
}

impl Watch {
    /// Something changed: wakes everyone who waits here.
    pub(crate) fn wake(&self) {
        // Ordered against `Waiter::at`: either the waiter is seen here, or its later look at the log sees the change.
        if !self.anyone.load(Ordering::SeqCst) {
            return;
        }
        for waiter in self.waiters.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waiter.notify_one();
        }
    }

    fn add(&self, waiter: &Arc<Notify>) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.push(Arc::clone(waiter));
        self.anyone.store(true, Ordering::SeqCst);
    }

    fn remove(&self, waiter: &Arc<Notify>) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.retain(|other| !Arc::ptr_eq(other, waiter));
        if waiters.is_empty() {
            self.anyone.store(false, Ordering::SeqCst);
        }
    }
}

/// What owns a watch.
pub(crate) trait Watched {
    fn watch(&self) -> &Watch;
}

/// One request that waits. It leaves its watches when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiter<W: Watched> {
    woken: Arc<Notify>,
    at: Vec<Arc<W>>,
}

impl<W: Watched> Waiter<W> {
    /// Stands at these watches from now on. Look at what they watch after this, then wait.
    pub(crate) fn at(places: impl IntoIterator<Item = Arc<W>>) -> Self {
        let woken = Arc::new(Notify::new());
        let at: Vec<_> = places.into_iter().collect();
        for place in &at {
            place.watch().add(&woken);
        }
        Self { woken, at }
    }

    /// Until one of them wakes.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Until one of them wakes, or until the deadline: whether it was woken.
    pub(crate) async fn woken_before(&self, deadline: Instant) -> bool {
        timeout_at(deadline, self.woken.notified()).await.is_ok()
    }
}

impl<W: Watched> Drop for Waiter<W> {
    fn drop(&mut self) {
        for place in &self.at {
            place.watch().remove(&self.woken);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    impl Watched for Watch {
        fn watch(&self) -> &Watch {
            self
        }
    }

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test]
    async fn a_change_between_looking_and_waiting_is_not_missed() {
        let (first, second) = (Arc::new(Watch::default()), Arc::new(Watch::default()));
        let waiter = Waiter::at([Arc::clone(&first), Arc::clone(&second)]);
        second.wake();
        assert!(waiter.woken_before(far()).await);
    }

    #[tokio::test]
    async fn the_deadline_ends_the_wait() {
        let waiter = Waiter::at([Arc::new(Watch::default())]);
        assert!(!waiter.woken_before(Instant::now()).await);
    }

    #[tokio::test]
    async fn a_waiter_that_is_gone_leaves_nothing_behind() {
        let watch = Arc::new(Watch::default());
        let waiter = Waiter::at([Arc::clone(&watch)]);
        let other = Waiter::at([Arc::clone(&watch)]);
        drop(waiter);
        assert!(watch.anyone.load(Ordering::SeqCst));
        drop(other);
        assert!(!watch.anyone.load(Ordering::SeqCst));
        assert!(watch.waiters.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
    }
}
