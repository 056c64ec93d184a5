//! A map whose copies share what they have in common.
//!
//! The metadata image is copied for each change. This map is a fixed number of shards, each behind an `Arc`: a copy
//! bumps that many counters, and a change after it copies one shard, so a change in a cluster of 10 000 topics copies
//! some 150 entries.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

const SHARDS: usize = 64;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct SharedMap<K, V> {
    shards: Vec<Arc<HashMap<K, V>>>,
    chooser: RandomState,
    len: usize,
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        let empty = Arc::new(HashMap::new());
        Self { shards: vec![empty; SHARDS], chooser: RandomState::new(), len: 0 }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> SharedMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards[self.shard_of(key)].get(key)
    }

    pub(crate) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let shard = self.shard_of(key);
        if !self.shards[shard].contains_key(key) {
            return None;
        }
        Arc::make_mut(&mut self.shards[shard]).get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let shard = self.shard_of(&key);
        let before = Arc::make_mut(&mut self.shards[shard]).insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let shard = self.shard_of(key);
        if !self.shards[shard].contains_key(key) {
            return None;
        }
        let removed = Arc::make_mut(&mut self.shards[shard]).remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    fn shard_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The remainder is below SHARDS, so it fits.
        (self.chooser.hash_one(key) % SHARDS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_copy_is_not_seen_in_the_original() {
        let mut original = SharedMap::default();
        for key in 0..1000 {
            original.insert(key, key);
        }
        let mut copy = original.clone();
        copy.insert(1, -1);
        copy.remove(&2);
        copy.insert(1000, 1000);
        if let Some(value) = copy.get_mut(&3) {
            *value = -3;
        }
        assert_eq!((original.get(&1), original.get(&2), original.get(&3)), (Some(&1), Some(&2), Some(&3)));
        assert_eq!((copy.get(&1), copy.get(&2), copy.get(&3)), (Some(&-1), None, Some(&-3)));
        assert_eq!((original.len(), copy.len()), (1000, 1000));
        assert_eq!(original.iter().count(), 1000);
    }

    #[test]
    fn a_change_copies_one_shard_and_shares_the_others() {
        let mut original = SharedMap::default();
        for key in 0..1000 {
            original.insert(key, key);
        }
        let mut copy = original.clone();
        copy.insert(7, 8);
        let copied = original.shards.iter().zip(&copy.shards).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!(copied, 1);
    }
}
