//! What clients have used, and for how long they are to wait where that is more than their quota.
//!
//! Where nobody has a quota of a kind, asking costs one load. Nothing here waits.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

use super::{
    bucket::TokenBucket,
    limits::{Account, Limit, Limited, Limits, Payer},
    rate::{Rate, Windows},
};
use crate::metadata::{
    Image,
    ops::{Allowance, Refusal},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct ClientQuotas {
    windows: Windows,
    controller_windows: Windows,
    /// One bit for each kind of which somebody has a quota.
    present: AtomicU8,
    limits: ArcSwap<[Limits; 4]>,
    produce: Accounts<Rate>,
    fetch: Accounts<Rate>,
    request: Accounts<Rate>,
    mutation: Accounts<TokenBucket>,
    /// Times count from here.
    started: Instant,
}

/// Whether a request fails where its quota is used up, or is carried out and the next one waits (KIP-599).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    Strict,
    Permissive,
}

/// Half a percent of a second of one thread is worth 0.5.
const PERCENT_PER_SECOND: f64 = 100.0;

impl ClientQuotas {
    /// `controller_windows` are for changes of the metadata, `windows` for all else.
    pub(crate) fn new(windows: Windows, controller_windows: Windows) -> Self {
        Self {
            windows,
            controller_windows,
            present: AtomicU8::new(0),
            limits: ArcSwap::default(),
            produce: Accounts::default(),
            fetch: Accounts::default(),
            request: Accounts::default(),
            mutation: Accounts::default(),
            started: Instant::now(),
        }
    }

    /// From now on quotas are as the metadata say.
    pub(crate) fn apply(&self, image: &Image) {
        let limits = Limited::ALL.map(|limited| Limits::of(image, limited));
        let present = limits.iter().rev().fold(0, |bits, limits| bits << 1 | u8::from(!limits.is_empty()));
        self.limits.store(Arc::new(limits));
        self.present.store(present, Ordering::Release);
    }

    fn limit(&self, limited: Limited, payer: Payer<'_>) -> Option<Limit> {
        if self.present.load(Ordering::Acquire) & 1 << limited as u8 == 0 {
            return None;
        }
        self.limits.load()[limited as usize].get(payer)
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// A request to produce of this many bytes was carried out: for how long the client is to wait.
    pub(crate) fn produced(&self, payer: Payer<'_>, bytes: usize) -> Duration {
        self.charge(&self.produce, Limited::Produce, payer, bytes as f64)
    }

    /// The most that one answer to a fetch may hold.
    pub(crate) fn fetch_bytes_max(&self, payer: Payer<'_>) -> Option<usize> {
        let limit = self.limit(Limited::Fetch, payer)?;
        // The cast keeps to the type's bounds.
        Some((limit.bound * self.windows.seconds_but_one()) as usize)
    }

    /// An answer of this many bytes is ready: for how long the client is to wait instead. Then nothing was used.
    pub(crate) fn fetched(&self, payer: Payer<'_>, bytes: usize) -> Duration {
        let wait = self.charge(&self.fetch, Limited::Fetch, payer, bytes as f64);
        if !wait.is_zero() {
            self.unfetched(payer, bytes);
        }
        wait
    }

    /// The answer is not sent after all.
    pub(crate) fn unfetched(&self, payer: Payer<'_>, bytes: usize) {
        if let Some(limit) = self.limit(Limited::Fetch, payer) {
            let now = self.now_ms();
            self.fetch.with(&limit.account, now, self.windows.memory_ms(), Rate::default, |rate| {
                rate.record(self.windows, -(bytes as f64), now);
            });
        }
    }

    /// Whether the time that threads spend on the client's requests is limited.
    pub(crate) fn limits_requests(&self, payer: Payer<'_>) -> bool {
        self.limit(Limited::Request, payer).is_some()
    }

    /// Threads spent this much on a request: for how long the client is to wait, at most one window.
    pub(crate) fn spent(&self, payer: Payer<'_>, time: Duration) -> Duration {
        let percent = time.as_secs_f64() * PERCENT_PER_SECOND;
        let wait = self.charge(&self.request, Limited::Request, payer, percent);
        wait.min(Duration::from_millis(self.windows.size_ms.unsigned_abs()))
    }

    fn charge(&self, accounts: &Accounts<Rate>, limited: Limited, payer: Payer<'_>, amount: f64) -> Duration {
        let Some(limit) = self.limit(limited, payer) else { return Duration::ZERO };
        let now = self.now_ms();
        let throttle = accounts.with(&limit.account, now, self.windows.memory_ms(), Rate::default, |rate| {
            rate.record(self.windows, amount, now);
            rate.throttle_ms(self.windows, limit.bound, now)
        });
        millis(throttle)
    }

    /// The quota of changes that a request is charged with.
    pub(crate) fn mutations(self: &Arc<Self>, payer: Payer<'_>, strictness: Strictness) -> Mutations {
        let limit = self.limit(Limited::Mutation, payer);
        Mutations {
            charged: limit.map(|limit| Charged { quotas: Arc::clone(self), limit, strictness }),
            throttle_ms: Arc::default(),
        }
    }
}

fn millis(throttle_ms: Option<i64>) -> Duration {
    Duration::from_millis(throttle_ms.and_then(|wait| u64::try_from(wait).ok()).unwrap_or(0))
}

/// What a request that changes partitions is charged with (Kafka's `ControllerMutationQuota`).
#[derive(Debug)]
pub(crate) struct Mutations {
    charged: Option<Charged>,
    throttle_ms: Arc<AtomicI64>,
}

#[derive(Debug)]
struct Charged {
    quotas: Arc<ClientQuotas>,
    limit: Limit,
    strictness: Strictness,
}

impl Mutations {
    /// What the decision about the request asks.
    pub(crate) fn allowance(&mut self) -> Allowance {
        let Some(charged) = self.charged.take() else { return Box::new(|_| Ok(())) };
        let throttle_ms = Arc::clone(&self.throttle_ms);
        Box::new(move |partitions| {
            let (throttle, allowed) = charged.take(partitions);
            if let Some(wait) = throttle {
                throttle_ms.store(wait, Ordering::Release);
            }
            allowed
        })
    }

    /// For how long the client is to wait, once the request is decided.
    pub(crate) fn throttle(&self) -> Duration {
        millis(Some(self.throttle_ms.load(Ordering::Acquire)))
    }
}

impl Charged {
    fn take(&self, partitions: usize) -> (Option<i64>, Result<(), Refusal>) {
        let (windows, bound, now) = (self.quotas.controller_windows, self.limit.bound, self.quotas.now_ms());
        let full = || TokenBucket::new(windows, bound, now);
        self.quotas.mutation.with(&self.limit.account, now, windows.memory_ms(), full, |bucket| {
            if self.strictness == Strictness::Strict
                && let Some(wait) = bucket.throttle_ms(windows, bound, now)
            {
                return (Some(wait), Err(Refusal::ThrottlingQuotaExceeded));
            }
            bucket.take(windows, bound, partitions as f64, now);
            let throttle = match self.strictness {
                Strictness::Strict => None,
                Strictness::Permissive => bucket.throttle_ms(windows, bound, now),
            };
            (throttle, Ok(()))
        })
    }
}

/// What is kept for each account that was used lately.
#[derive(Debug)]
struct Accounts<T>(Mutex<Kept<T>>);

#[derive(Debug)]
struct Kept<T> {
    by_account: HashMap<Account, T>,
    /// With so many it is looked for those that can be forgotten.
    sweep_at: usize,
}

/// So few are not worth a look.
const SWEEP_FROM: usize = 1024;

impl<T> Default for Accounts<T> {
    fn default() -> Self {
        Self(Mutex::new(Kept { by_account: HashMap::new(), sweep_at: SWEEP_FROM }))
    }
}

/// What can be told apart from a new one for a limited time only.
trait Fades {
    fn last_ms(&self) -> i64;
}

impl Fades for Rate {
    fn last_ms(&self) -> i64 {
        Rate::last_ms(self)
    }
}

impl Fades for TokenBucket {
    fn last_ms(&self) -> i64 {
        TokenBucket::last_ms(self)
    }
}

impl<T: Fades> Accounts<T> {
    fn with<R>(
        &self,
        account: &Account,
        now_ms: i64,
        memory_ms: i64,
        new: impl FnOnce() -> T,
        act: impl FnOnce(&mut T) -> R,
    ) -> R {
        let mut kept = self.kept();
        if let Some(found) = kept.by_account.get_mut(account) {
            return act(found);
        }
        kept.make_room(now_ms, memory_ms);
        act(kept.by_account.entry(account.clone()).or_insert_with(new))
    }

    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Fades> Kept<T> {
    /// Names of clients are theirs to choose: what is faded goes before the memory for new ones grows.
    fn make_room(&mut self, now_ms: i64, memory_ms: i64) {
        if self.by_account.len() >= self.sweep_at {
            self.by_account.retain(|_, kept| now_ms - kept.last_ms() < memory_ms);
            self.sweep_at = (self.by_account.len() * 2).max(SWEEP_FROM);
        }
    }
}

#[cfg(test)]
mod tests;
