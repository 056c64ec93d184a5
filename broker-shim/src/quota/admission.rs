//! How many connections there may be, in all and from one address, and how many may come per second: `max.connections` and
//! its relatives and the quotas of addresses, which can change while the broker runs. Nobody who is in is sent away by a
//! smaller number, as in Kafka's `ConnectionQuotas`.

use std::{
    collections::HashMap,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    limits::ConnectionRates,
    rate::{Rate, Windows},
};

/// What was configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    /// `max.connections`.
    pub(crate) total: usize,
    /// `max.connections.per.ip`.
    pub(crate) per_ip: usize,
    /// `max.connections.per.ip.overrides`.
    pub(crate) per_ip_overrides: HashMap<String, usize>,
    /// `max.connection.creation.rate`.
    pub(crate) per_second: i64,
}

/// Gives out places.
#[derive(Debug)]
pub(crate) struct Admission {
    state: Mutex<State>,
    windows: Windows,
    /// Times count from here.
    started: Instant,
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
    came: Rate,
    rates: ConnectionRates,
    /// For addresses that have a quota.
    came_from: HashMap<IpAddr, Rate>,
    /// With so many addresses it is looked for those that can be forgotten.
    sweep_at: usize,
}

/// What becomes of a connection.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// It is served.
    Served(Place),
    /// There are too many from its address.
    TooMany,
    /// Its address comes too often: it is closed, but only after this time, so that the client does not try again at once.
    TooOften(Duration),
}

/// So few addresses are not worth a look.
const SWEEP_FROM: usize = 1024;

impl Admission {
    pub(crate) fn new(quota: Quota, windows: Windows) -> Self {
        let overrides = resolved(&quota);
        let state = State {
            quota,
            overrides,
            total: 0,
            held: HashMap::new(),
            came: Rate::default(),
            rates: ConnectionRates::default(),
            came_from: HashMap::new(),
            sweep_at: SWEEP_FROM,
        };
        Self { state: Mutex::new(state), windows, started: Instant::now(), room: Notify::new() }
    }

    /// From now on addresses have these quotas.
    pub(crate) fn change_rates(&self, rates: ConnectionRates) {
        self.state().rates = rates;
    }

    /// Somebody connects: for how long nobody is to be let in, at most one window.
    pub(crate) fn pause(&self) -> Duration {
        let (now, windows) = (self.now_ms(), self.windows);
        let mut state = self.state();
        if state.quota.per_second >= i64::from(i32::MAX) {
            return Duration::ZERO;
        }
        let bound = state.quota.per_second as f64;
        state.came.record(windows, 1.0, now);
        let throttle = state.came.throttle_ms(windows, bound, now);
        self.bounded(throttle)
    }

    fn bounded(&self, throttle_ms: Option<i64>) -> Duration {
        let wait = throttle_ms.unwrap_or(0).clamp(0, self.windows.size_ms);
        Duration::from_millis(wait.unsigned_abs())
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
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
    pub(crate) fn place(self: &Arc<Self>, ip: IpAddr) -> Admitted {
        let ip = ip.to_canonical();
        let now = self.now_ms();
        let mut state = self.state();
        let wait = self.bounded(state.throttle_ms(ip, self.windows, now));
        if !wait.is_zero() {
            return Admitted::TooOften(wait);
        }
        let allowed = state.overrides.get(&ip).copied().unwrap_or(state.quota.per_ip);
        let held = state.held.get(&ip).copied().unwrap_or(0);
        if held >= allowed {
            return Admitted::TooMany;
        }
        state.held.insert(ip, held + 1);
        Admitted::Served(Place { admission: Arc::clone(self), ip })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A connection that is not let in does not count.
    fn throttle_ms(&mut self, ip: IpAddr, windows: Windows, now_ms: i64) -> Option<i64> {
        let bound = self.rates.get(ip).filter(|bound| *bound < f64::from(i32::MAX))?;
        self.make_room(windows, now_ms);
        let rate = self.came_from.entry(ip).or_default();
        rate.record(windows, 1.0, now_ms);
        let throttle = rate.throttle_ms(windows, bound, now_ms);
        if throttle.is_some() {
            rate.record(windows, -1.0, now_ms);
        }
        throttle
    }

    fn make_room(&mut self, windows: Windows, now_ms: i64) {
        if self.came_from.len() >= self.sweep_at {
            self.came_from.retain(|_, rate| now_ms - rate.last_ms() < windows.memory_ms());
            self.sweep_at = (self.came_from.len() * 2).max(SWEEP_FROM);
        }
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
        Quota { total, per_ip, per_ip_overrides: overrides.collect(), per_second: i64::from(i32::MAX) }
    }

    fn admission(quota: Quota) -> Arc<Admission> {
        Arc::new(Admission::new(quota, Windows::new(11, 1)))
    }

    #[test]
    fn a_slot_is_waited_for_until_one_is_given_back_or_there_may_be_more() {
        let admission = admission(quota(1, 9, &[]));
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
        let admission = admission(quota(9, 1, &[("10.0.0.2", 2)]));
        let place = |ip: &str| match admission.place(ip.parse().expect("an address")) {
            Admitted::Served(place) => Some(place),
            _ => None,
        };
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

    #[test]
    fn an_address_that_comes_too_often_waits_and_does_not_count() {
        let admission = admission(quota(99, 99, &[]));
        let mut image = crate::metadata::Image::empty("c");
        let record = crate::metadata::record::MetadataRecord::ClientQuota {
            entity: [("ip".into(), Some("10.0.0.1".into()))].into(),
            key: "connection_creation_rate".into(),
            value: Some(1.0),
        };
        image.fold(&record, &mut Default::default()).expect("it follows");
        admission.change_rates(ConnectionRates::of(&image));
        let place = |ip: &str| admission.place(ip.parse().expect("an address"));
        // Ten windows of a second each, of which the rate is the mean.
        let served = (0..30).filter(|_| matches!(place("10.0.0.1"), Admitted::Served(_))).count();
        assert!((10..=12).contains(&served), "{served}");
        let Admitted::TooOften(wait) = place("10.0.0.1") else { panic!("it has had its share") };
        assert!(wait <= Duration::from_secs(1));
        assert!(matches!(place("10.0.0.2"), Admitted::Served(_)));
    }

    #[test]
    fn all_who_come_are_let_in_at_the_rate_that_is_configured() {
        let admission = admission(Quota { per_second: 2, ..quota(99, 99, &[]) });
        let at_once = (0..30).take_while(|_| admission.pause().is_zero()).count();
        assert!((20..=23).contains(&at_once), "{at_once}");
        let unlimited = Quota { per_second: i64::from(i32::MAX), ..quota(99, 99, &[]) };
        admission.change(unlimited);
        assert!(admission.pause().is_zero());
    }
}
