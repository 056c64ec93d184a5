//! How many connections there may be, in all and from one address: `max.connections` and its relatives, which can change
//! while the broker runs. Nobody who is in is sent away by a smaller number, as in Kafka's `ConnectionQuotas`.

use std::{
    collections::HashMap,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// What was configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// `max.connections`.
    pub(crate) total: usize,
    /// `max.connections.per.ip`.
    pub(crate) per_ip: usize,
    /// `max.connections.per.ip.overrides`.
    pub(crate) per_ip_overrides: HashMap<String, usize>,
}

/// Gives out places.
#[derive(Debug)]
pub(crate) struct Admission {
    state: Mutex<State>,
    /// Wakes who waits for a slot.
    room: Notify,
}

#[derive(Debug)]
struct State {
    quota: Quota,
    /// Hosts of the overrides, resolved.
    overrides: HashMap<IpAddr, usize>,
    total: usize,
    held: HashMap<IpAddr, usize>,
}

impl Admission {
    pub(crate) fn new(quota: Quota) -> Self {
        let overrides = resolved(&quota);
        let state = State { quota, overrides, total: 0, held: HashMap::new() };
        Self { state: Mutex::new(state), room: Notify::new() }
    }

    /// Holds for who comes from now on. May ask the resolver for addresses.
    pub(crate) fn change(&self, quota: Quota) {
        if self.state().quota == quota {
            return;
        }
        let overrides = resolved(&quota);
        let mut state = self.state();
        (state.quota, state.overrides) = (quota, overrides);
        drop(state);
        self.room.notify_waiters();
    }

    /// Waits until there may be one connection more.
    pub(crate) async fn slot(self: &Arc<Self>) -> Slot {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Before the look: what is given back in between is not missed.
            room.as_mut().enable();
            if let Some(slot) = self.take_slot() {
                return slot;
            }
            room.await;
        }
    }

    fn take_slot(self: &Arc<Self>) -> Option<Slot> {
        let mut state = self.state();
        if state.total >= state.quota.total {
            return None;
        }
        state.total += 1;
        Some(Slot { admission: Arc::clone(self) })
    }

    /// A place for a connection from this address, if there may be one more.
    pub(crate) fn place(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let ip = ip.to_canonical();
        let mut state = self.state();
        let allowed = state.overrides.get(&ip).copied().unwrap_or(state.quota.per_ip);
        let held = state.held.get(&ip).copied().unwrap_or(0);
        if held >= allowed {
            return None;
        }
        state.held.insert(ip, held + 1);
        Some(Place { admission: Arc::clone(self), ip })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn resolved(quota: &Quota) -> HashMap<IpAddr, usize> {
    let hosts = quota.per_ip_overrides.iter();
    hosts
        .flat_map(|(host, number)| {
            let addresses = (host.as_str(), 0).to_socket_addrs().into_iter().flatten();
            addresses.map(move |address| (address.ip().to_canonical(), *number))
        })
        .collect()
}

/// One of all connections; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    admission: Arc<Admission>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.state().total -= 1;
        self.admission.room.notify_one();
    }
}

/// One connection of an address; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        if let Some(held) = state.held.get_mut(&self.ip) {
            *held -= 1;
            if *held == 0 {
                state.held.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future as _, task::Context, task::Poll, task::Waker};

    use super::*;

    fn quota(total: usize, per_ip: usize, overrides: &[(&str, usize)]) -> Quota {
        let overrides = overrides.iter().map(|(host, number)| ((*host).to_owned(), *number));
        Quota { total, per_ip, per_ip_overrides: overrides.collect() }
    }

    #[test]
    fn a_slot_is_waited_for_until_one_is_given_back_or_there_may_be_more() {
        let admission = Arc::new(Admission::new(quota(1, 9, &[])));
        let mut context = Context::from_waker(Waker::noop());
        let first = admission.take_slot().expect("there may be one");
        let mut second = Box::pin(admission.slot());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(first);
        let Poll::Ready(second) = second.as_mut().poll(&mut context) else { panic!("one was given back") };

        let mut third = Box::pin(admission.slot());
        assert!(third.as_mut().poll(&mut context).is_pending());
        admission.change(quota(2, 9, &[]));
        let Poll::Ready(third) = third.as_mut().poll(&mut context) else { panic!("there may be two") };

        admission.change(quota(1, 9, &[]));
        drop(second);
        assert!(admission.take_slot().is_none(), "who is in counts, though nobody is sent away");
        drop(third);
        assert!(admission.take_slot().is_some());
    }

    #[test]
    fn places_of_an_address_follow_what_is_configured_for_it() {
        let admission = Arc::new(Admission::new(quota(9, 1, &[("10.0.0.2", 2)])));
        let place = |ip: &str| admission.place(ip.parse().expect("an address"));
        let one = place("10.0.0.1").expect("one of one");
        assert!(place("::ffff:10.0.0.1").is_none(), "the same address");
        let two = (place("10.0.0.2").expect("one of two"), place("10.0.0.2").expect("two of two"));
        assert!(place("10.0.0.2").is_none());
        admission.change(quota(9, 2, &[("10.0.0.1", 0)]));
        assert!(place("10.0.0.1").is_none());
        drop((one, two));
        assert!(place("10.0.0.1").is_none());
        assert!(place("10.0.0.2").is_some());
    }
}
