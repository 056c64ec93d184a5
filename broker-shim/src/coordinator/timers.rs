//! Deadlines of one shard, by what they are for. Setting one again moves it.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// Milliseconds since the coordinator began. No clock that is set moves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticks(i64);

impl Ticks {
    pub(crate) const fn new(ticks: i64) -> Self {
        Self(ticks)
    }

    pub(crate) const fn get(self) -> i64 {
        self.0
    }

    /// So much later.
    #[must_use]
    pub(crate) const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_time: BTreeSet<(Ticks, K)>,
    by_key: HashMap<K, Ticks>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_key: HashMap::new() }
    }
}

impl<K: Clone + Ord + Hash> Timers<K> {
    /// `key` is due at `at`, and at no other time.
    pub(crate) fn set(&mut self, key: K, at: Ticks) {
        self.cancel(&key);
        self.by_time.insert((at, key.clone()));
        self.by_key.insert(key, at);
    }

    pub(crate) fn cancel(&mut self, key: &K) {
        if let Some((key, at)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Whether `key` is still to come.
    pub(crate) fn is_set(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// When something is due.
    pub(crate) fn earliest(&self) -> Option<Ticks> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Removes and gives what was due first, if it is due.
    pub(crate) fn take_due(&mut self, now: Ticks) -> Option<K> {
        if self.earliest()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_the_order_of_its_time_and_once() {
        let mut timers = Timers::default();
        timers.set("late", Ticks::new(30));
        timers.set("early", Ticks::new(10));
        timers.set("moved", Ticks::new(5));
        timers.set("moved", Ticks::new(20));
        timers.set("cancelled", Ticks::new(1));
        timers.cancel(&"cancelled");
        assert_eq!(timers.earliest(), Some(Ticks::new(10)));
        assert_eq!(timers.take_due(Ticks::new(9)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.take_due(Ticks::new(29))).collect();
        assert_eq!(due, ["early", "moved"]);
        assert!(timers.is_set(&"late") && !timers.is_set(&"early"));
    }
}
