//! Which shard has to be looked at next, and when: the one queue that a coordinator's timer task waits at.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use super::timers::Ticks;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    queue: Mutex<BTreeSet<(Ticks, i32)>>,
    earlier: Notify,
}

impl Alarm {
    /// The shard's earliest deadline was `before` and is `now`.
    pub(super) fn moved(&self, shard: i32, before: Option<Ticks>, now: Option<Ticks>) {
        let mut queue = self.queue();
        if let Some(before) = before {
            queue.remove(&(before, shard));
        }
        let Some(now) = now else { return };
        queue.insert((now, shard));
        if queue.first() == Some(&(now, shard)) {
            self.earlier.notify_one();
        }
    }

    /// Until something is due: the shards that it belongs to, which are no longer in the queue.
    pub(super) async fn due(&self, now: impl Fn() -> Ticks) -> Vec<i32> {
        loop {
            let Some(earliest) = self.earliest() else {
                self.earlier.notified().await;
                continue;
            };
            let wait = earliest.get() - now().get();
            if wait <= 0 {
                return self.take(now());
            }
            // Woken or not, the queue is looked at again.
            let _ = timeout(Duration::from_millis(wait.unsigned_abs()), self.earlier.notified()).await;
        }
    }

    fn earliest(&self) -> Option<Ticks> {
        self.queue().first().map(|(at, _)| *at)
    }

    fn take(&self, now: Ticks) -> Vec<i32> {
        let mut queue = self.queue();
        let later = queue.split_off(&(now.plus_ms(1), i32::MIN));
        std::mem::replace(&mut *queue, later).into_iter().map(|(_, shard)| shard).collect()
    }

    fn queue(&self) -> MutexGuard<'_, BTreeSet<(Ticks, i32)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
