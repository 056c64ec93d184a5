//! A promise of a result that needs no runtime: awaited as a future, or waited for by a thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::bell::Bell;

/// Yields what its [`Resolver`] is given. Dropping it changes nothing for the append: what is in flight stays owned
/// by the committer until it has ended.
#[must_use = "an append is only known to be stored once its ticket says so"]
pub struct Ticket<T, E> {
    inner: Inner<T, E>,
    /// Where a thread sleeps that waits for it, if others sleep there as well.
    bell: Option<Arc<Bell>>,
}

enum Inner<T, E> {
    Ready(Option<Result<T, E>>),
    Pending(Arc<Slot<T, E>>),
}

/// The other end of a [`Ticket`]. Dropped without an answer, it answers [`Abandoned`].
pub struct Resolver<T, E: From<Abandoned>> {
    slot: Option<Arc<Slot<T, E>>>,
}

/// Nobody is left who could answer; the engine was torn down under the ticket.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the append was abandoned before it ended")]
pub struct Abandoned;

struct Slot<T, E> {
    state: Mutex<State<T, E>>,
    resolved: Condvar,
}

enum State<T, E> {
    Waiting(Option<Waker>),
    // A thread sleeps on the condition variable and has to be woken.
    Blocked,
    // A thread sleeps on a bell that is rung when the others that sleep there have their results, too.
    Listening(Arc<Bell>),
    Resolved(Result<T, E>),
    Taken,
}

impl<T, E: From<Abandoned>> Ticket<T, E> {
    /// A ticket and the means to resolve it.
    pub fn new() -> (Self, Resolver<T, E>) {
        let slot = Arc::new(Slot { state: Mutex::new(State::Waiting(None)), resolved: Condvar::new() });
        (Self { inner: Inner::Pending(Arc::clone(&slot)), bell: None }, Resolver { slot: Some(slot) })
    }
}

impl<T, E> Ticket<T, E> {
    /// A ticket whose result is known already.
    pub fn ready(result: Result<T, E>) -> Self {
        Self { inner: Inner::Ready(Some(result)), bell: None }
    }

    /// Whoever resolves it rings this bell afterwards.
    pub(crate) fn announced_by(self, bell: Option<Arc<Bell>>) -> Self {
        Self { bell, ..self }
    }

    /// Blocks the calling thread until the result is there.
    pub fn wait(self) -> Result<T, E> {
        let slot = match self.inner {
            Inner::Ready(Some(result)) => return result,
            Inner::Ready(None) => unreachable!("a ticket that was polled to its end is not waited for"),
            Inner::Pending(slot) => slot,
        };
        match self.bell {
            Some(bell) => slot.listen(&bell),
            None => slot.block(),
        }
    }

    /// The result, if it is there already; otherwise the ticket back.
    pub fn try_take(self) -> Result<Result<T, E>, Self> {
        match self.inner {
            Inner::Ready(Some(result)) => Ok(result),
            Inner::Ready(None) => Err(self),
            Inner::Pending(ref slot) => match slot.take_resolved() {
                Some(result) => Ok(result),
                None => Err(self),
            },
        }
    }
}

impl<T, E> Slot<T, E> {
    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn block(&self) -> Result<T, E> {
        let mut state = self.lock();
        loop {
            match std::mem::replace(&mut *state, State::Blocked) {
                State::Resolved(result) => return result,
                _ => state = self.resolved.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn listen(&self, bell: &Arc<Bell>) -> Result<T, E> {
        loop {
            let heard = bell.listen();
            let before = std::mem::replace(&mut *self.lock(), State::Listening(Arc::clone(bell)));
            if let State::Resolved(result) = before {
                return result;
            }
            bell.sleep(heard);
        }
    }

    fn take_resolved(&self) -> Option<Result<T, E>> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Resolved(result) => Some(result),
            other => {
                *state = other;
                None
            }
        }
    }

    // A bell that is answered has yet to be rung.
    fn resolve(&self, result: Result<T, E>) -> Option<Arc<Bell>> {
        let before = std::mem::replace(&mut *self.lock(), State::Resolved(result));
        match before {
            State::Waiting(Some(waker)) => waker.wake(),
            State::Blocked => self.resolved.notify_one(),
            State::Listening(bell) => return Some(bell),
            State::Waiting(None) | State::Resolved(_) | State::Taken => {}
        }
        None
    }
}

impl<T, E> Future for Ticket<T, E>
where
    T: Unpin,
    E: Unpin,
{
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let slot = match &mut self.inner {
            Inner::Ready(result) => {
                return Poll::Ready(result.take().expect("a future is not polled after its end"));
            }
            Inner::Pending(slot) => Arc::clone(slot),
        };
        let mut state = slot.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Resolved(result) => {
                self.inner = Inner::Ready(None);
                Poll::Ready(result)
            }
            _ => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T, E: From<Abandoned>> Resolver<T, E> {
    /// Gives the ticket its result and wakes whoever waits for it, at its bell when that is rung.
    pub fn resolve(mut self, result: Result<T, E>) {
        if let Some(bell) = self.slot.take().and_then(|slot| slot.resolve(result)) {
            bell.want();
        }
    }
}

impl<T, E: From<Abandoned>> Drop for Resolver<T, E> {
    fn drop(&mut self) {
        let abandoned = |slot: Arc<Slot<T, E>>| slot.resolve(Err(Abandoned.into()));
        // Nobody is left who would ring.
        if let Some(bell) = self.slot.take().and_then(abandoned) {
            bell.ring();
        }
    }
}

impl<T, E> fmt::Debug for Ticket<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

impl<T, E: From<Abandoned>> fmt::Debug for Resolver<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    use super::*;

    type TestTicket = Ticket<u32, Abandoned>;

    struct CountWakes(AtomicUsize);

    impl Wake for CountWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_thread_that_waits_gets_the_result_whether_it_came_before_or_after() {
        let (early, resolver) = TestTicket::new();
        resolver.resolve(Ok(1));
        assert_eq!(early.wait(), Ok(1));

        let (late, resolver) = TestTicket::new();
        let waiter = thread::spawn(move || late.wait());
        resolver.resolve(Ok(2));
        assert_eq!(waiter.join().expect("no panic"), Ok(2));

        assert_eq!(TestTicket::ready(Ok(3)).wait(), Ok(3));
    }

    #[test]
    fn threads_that_wait_at_a_bell_have_their_results_when_it_has_rung() {
        let bell = crate::sync::Arc::new(Bell::default());
        let (waiters, resolvers): (Vec<_>, Vec<_>) = (0..8)
            .map(|_| {
                let (ticket, resolver) = TestTicket::new();
                let ticket = ticket.announced_by(Some(crate::sync::Arc::clone(&bell)));
                (thread::spawn(move || ticket.wait()), resolver)
            })
            .unzip();
        // Some may sleep by now and some not: both have to find their results.
        for (value, resolver) in (0..).zip(resolvers) {
            resolver.resolve(Ok(value));
        }
        bell.ring_if_wanted();
        let results = waiters.into_iter().map(|waiter| waiter.join().expect("no panic"));
        assert!(results.eq((0..8).map(Ok)));
    }

    #[test]
    fn who_waits_at_a_bell_is_not_left_there_by_a_resolver_that_is_dropped() {
        let bell = crate::sync::Arc::new(Bell::default());
        let (ticket, resolver) = TestTicket::new();
        let ticket = ticket.announced_by(Some(crate::sync::Arc::clone(&bell)));
        let waiter = thread::spawn(move || ticket.wait());
        drop(resolver);
        assert_eq!(waiter.join().expect("no panic"), Err(Abandoned));
    }

    #[test]
    fn a_polled_ticket_wakes_its_task_once_and_then_is_ready() {
        let wakes = Arc::new(CountWakes(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let (mut ticket, resolver) = TestTicket::new();
        assert!(Pin::new(&mut ticket).poll(&mut context).is_pending());
        assert!(Pin::new(&mut ticket).poll(&mut context).is_pending());
        resolver.resolve(Ok(7));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert_eq!(Pin::new(&mut ticket).poll(&mut context), Poll::Ready(Ok(7)));
    }

    #[test]
    fn a_resolver_that_is_dropped_answers_that_the_append_was_abandoned() {
        let (ticket, resolver) = TestTicket::new();
        drop(resolver);
        assert_eq!(ticket.wait(), Err(Abandoned));
    }

    #[test]
    fn a_dropped_ticket_does_not_disturb_its_resolver() {
        let (ticket, resolver) = TestTicket::new();
        drop(ticket);
        resolver.resolve(Ok(1));
    }

    #[test]
    fn a_result_can_be_taken_without_waiting_once_it_is_there() {
        let (ticket, resolver) = TestTicket::new();
        let ticket = ticket.try_take().expect_err("nothing is there yet");
        resolver.resolve(Ok(5));
        assert_eq!(ticket.try_take().expect("it is there"), Ok(5));
    }
}
