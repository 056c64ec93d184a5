//! The time that threads spend on one request, for whom that is limited: to decide, to work, to send, but not to wait.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{clients::ClientQuotas, limits::Payer};

/// See the module. One thread works on a request at a time.
#[derive(Debug)]
pub(crate) struct ThreadTime {
    quotas: Arc<ClientQuotas>,
    user: Arc<str>,
    client_id: Arc<str>,
    started: Instant,
    /// Nanoseconds of what has ended.
    spent: AtomicU64,
    /// Nanoseconds behind `started` at which what goes on began; [`NOTHING`] where nothing does.
    since: AtomicU64,
    /// Nanoseconds that the client was charged with.
    charged: AtomicU64,
}

const NOTHING: u64 = u64::MAX;

impl ThreadTime {
    /// Begins to count where the time of this client's requests is limited.
    pub(crate) fn of(quotas: &Arc<ClientQuotas>, payer: Payer<'_>) -> Option<Arc<Self>> {
        quotas.limits_requests(payer).then(|| {
            Arc::new(Self {
                quotas: Arc::clone(quotas),
                user: payer.user.into(),
                client_id: payer.client_id.into(),
                started: Instant::now(),
                spent: AtomicU64::new(0),
                since: AtomicU64::new(0),
                charged: AtomicU64::new(0),
            })
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(NOTHING - 1)
    }

    fn begin(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// What was begun goes on no longer.
    pub(crate) fn pause(&self) {
        let since = self.since.swap(NOTHING, Ordering::Relaxed);
        if since != NOTHING {
            self.spent.fetch_add(self.now().saturating_sub(since), Ordering::Relaxed);
        }
    }

    /// What was spent and not charged yet.
    fn due(&self) -> Duration {
        let since = self.since.load(Ordering::Relaxed);
        let running = if since == NOTHING { 0 } else { self.now().saturating_sub(since) };
        let total = self.spent.load(Ordering::Relaxed) + running;
        let before = self.charged.swap(total, Ordering::Relaxed);
        Duration::from_nanos(total.saturating_sub(before))
    }

    /// Charges the client with what was spent since the last time: for how long it is to wait.
    pub(crate) fn charge(&self) -> Duration {
        let payer = Payer { user: &self.user, client_id: &self.client_id };
        self.quotas.spent(payer, self.due())
    }

    /// Counts what working on a part of the request takes.
    pub(crate) fn count<F>(self: Arc<Self>, inner: F) -> Counted<F> {
        Counted { time: self, inner: Box::pin(inner) }
    }
}

/// A future whose progress is counted.
#[derive(Debug)]
pub(crate) struct Counted<F> {
    time: Arc<ThreadTime>,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.time.begin();
        let polled = self.inner.as_mut().poll(cx);
        self.time.pause();
        polled
    }
}
