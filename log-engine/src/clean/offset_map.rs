//! The last offset of each key, in bounded memory. Kafka's `SkimpyOffsetMap`.
//!
//! ```text
//! slot: hash of the key, 16 bytes | offset, 8 bytes          a hash of zeros is an empty slot
//! ```
//!
//! Keys themselves are not kept: two keys of the same hash would count as one, so the hash has 128 bits and a secret
//! key, drawn once in the life of the process. The table doubles in its place, so that a log with few keys costs little
//! and one with many never more than the bound.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;

use crate::types::Offset;

/// Bytes of a slot; with Kafka's MD5 they are as many.
const SLOT_BYTES: u64 = 24;

const WORDS: usize = 3;

/// Tables smaller than this are not worth growing.
const SLOTS_MIN: usize = 1 << 15;

/// Hashes keys, under keys of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyHasher {
    high: RandomState,
    low: RandomState,
}

/// What is kept of a key.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeyHash([u64; 2]);

impl KeyHasher {
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        let half = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write(key);
            hasher.finish()
        };
        // Zeros mean an empty slot.
        KeyHash([half(&self.high), half(&self.low).max(1)])
    }
}

/// What became of a key that was put into the map.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    New,
    /// The key was met at this offset before.
    Replaced(Offset),
    /// Nothing was noted. As in Kafka, a full map is full for every key, also for one that it holds.
    Full,
}

#[derive(Debug)]
pub(crate) struct OffsetMap {
    hasher: KeyHasher,
    // Three words a slot.
    table: Vec<u64>,
    // How often the table can still double; it has `slots_max >> doublings` slots.
    doublings: u32,
    slots: usize,
    slots_max: usize,
    len: usize,
    len_max: usize,
    load_factor: f64,
    latest: Option<Offset>,
}

impl OffsetMap {
    /// A map of `bytes` at most, of whose slots `load_factor` are filled at most.
    pub(crate) fn new(bytes: u64, load_factor: f64) -> Self {
        let slots_max = (bytes / SLOT_BYTES).max(1) as usize;
        let doublings = (slots_max / SLOTS_MIN).checked_ilog2().unwrap_or(0);
        let slots = slots_max >> doublings;
        let load_factor = load_factor.clamp(0.0, 1.0);
        Self {
            hasher: KeyHasher::default(),
            table: vec![0; slots * WORDS],
            doublings,
            slots,
            slots_max,
            len: 0,
            // One slot stays empty, where a search ends.
            len_max: ((slots_max as f64 * load_factor) as usize).min(slots_max - 1),
            load_factor,
            latest: None,
        }
    }

    /// Hashes a key and has the memory of its slot fetched, so that whoever asks for many keys waits once.
    #[inline]
    pub(crate) fn prepare(&self, key: &[u8]) -> KeyHash {
        let hash = self.hasher.hash(key);
        black_box(self.table[home(hash, self.slots) * WORDS]);
        hash
    }

    /// Notes that the last record of a key so far is at `offset`.
    #[inline]
    pub(crate) fn put(&mut self, hash: KeyHash, offset: Offset) -> Put {
        if self.len >= self.len_max {
            return Put::Full;
        }
        if self.doublings > 0 && self.len as f64 >= self.slots as f64 * self.load_factor.min(0.8) {
            self.grow();
        }
        let before = place(&mut self.table, self.slots, hash, offset.get() as u64);
        self.len += usize::from(before.is_none());
        self.see(offset);
        before.map_or(Put::New, |before| Put::Replaced(Offset::new(before as i64)))
    }

    /// Notes a key at `offset`, unless it was met behind it: for who comes from the last record to the first.
    #[inline]
    pub(crate) fn put_from_behind(&mut self, hash: KeyHash, offset: Offset) -> Put {
        match self.get(hash) {
            Some(met) if met > offset => Put::Replaced(met),
            _ => self.put(hash, offset),
        }
    }

    /// Memory of a table for so many keys.
    pub(crate) fn bytes_for(keys: u64) -> u64 {
        // It doubles at a load of 0.8 at the latest.
        (5 * keys / 2).max(2 * SLOTS_MIN as u64) * SLOT_BYTES
    }

    /// Whether so many records can be put, whatever their keys.
    pub(crate) fn has_room_for(&self, records: u64) -> bool {
        self.len as u64 + records <= self.len_max as u64
    }

    /// The last offset of a key.
    #[inline]
    pub(crate) fn get(&self, hash: KeyHash) -> Option<Offset> {
        let mut slot = home(hash, self.slots);
        loop {
            match self.table[slot * WORDS..][..WORDS] {
                [_, 0, _] => return None,
                [high, low, offset] if KeyHash([high, low]) == hash => {
                    return Some(Offset::new(offset as i64));
                }
                _ => slot = next(slot, self.slots),
            }
        }
    }

    /// Notes that the records up to `offset` have been seen.
    pub(crate) fn see(&mut self, offset: Offset) {
        self.latest = self.latest.max(Some(offset));
    }

    /// The last offset that was seen.
    pub(crate) fn latest(&self) -> Option<Offset> {
        self.latest
    }

    /// Keys in the map.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    // Entries lie in the order of their home slots, and a home in the larger table is never before that in the smaller one.
    // So, from the last entry to the first, each finds its new slot among those that are done; the few that do not, where
    // the table begins and ends, wait until all are.
    fn grow(&mut self) {
        let before = self.slots;
        self.doublings -= 1;
        self.slots = self.slots_max >> self.doublings;
        self.table.resize(self.slots * WORDS, 0);
        let mut waiting = Vec::new();
        for slot in (0..before).rev() {
            let entry = &mut self.table[slot * WORDS..][..WORDS];
            if let [high, low, offset] = *entry
                && low != 0
            {
                entry.fill(0);
                let hash = KeyHash([high, low]);
                if !place_behind(&mut self.table, self.slots, hash, offset, slot) {
                    waiting.push((hash, offset));
                }
            }
        }
        for (hash, offset) in waiting {
            place(&mut self.table, self.slots, hash, offset);
        }
    }
}

// Puts an entry that the table does not hold into a slot not before `first`; false where there is none on its way.
fn place_behind(table: &mut [u64], slots: usize, hash: KeyHash, offset: u64, first: usize) -> bool {
    let home = home(hash, slots);
    if home < first {
        return false;
    }
    let Some(free) = table[home * WORDS..].chunks_exact_mut(WORDS).find(|entry| entry[1] == 0) else {
        return false;
    };
    free.copy_from_slice(&[hash.0[0], hash.0[1], offset]);
    true
}

// The slot that a hash is looked for first.
#[inline]
fn home(hash: KeyHash, slots: usize) -> usize {
    ((u128::from(hash.0[0]) * slots as u128) >> 64) as usize
}

#[inline]
fn next(slot: usize, slots: usize) -> usize {
    if slot + 1 == slots { 0 } else { slot + 1 }
}

// Answers the offset that the key had.
#[inline]
fn place(table: &mut [u64], slots: usize, hash: KeyHash, offset: u64) -> Option<u64> {
    let mut slot = home(hash, slots);
    loop {
        let entry = &mut table[slot * WORDS..][..WORDS];
        let is_new = entry[1] == 0;
        if is_new || KeyHash([entry[0], entry[1]]) == hash {
            let before = (!is_new).then_some(entry[2]);
            entry.copy_from_slice(&[hash.0[0], hash.0[1], offset]);
            return before;
        }
        slot = next(slot, slots);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn put(map: &mut OffsetMap, key: &[u8], offset: i64) -> bool {
        let hash = map.prepare(key);
        map.put(hash, Offset::new(offset)) != Put::Full
    }

    fn get(map: &OffsetMap, key: &[u8]) -> Option<Offset> {
        map.get(map.prepare(key))
    }

    #[test]
    fn the_last_offset_of_each_key_is_found_also_after_the_table_grew() {
        let mut map = OffsetMap::new(64 << 20, 0.9);
        let mut model = HashMap::new();
        for i in 0..400_000_i64 {
            let key = (i * 7919 % 150_000).to_be_bytes();
            assert!(put(&mut map, &key, i));
            model.insert(key, i);
        }
        assert_eq!(map.len(), model.len());
        for (key, offset) in model {
            assert_eq!(get(&map, &key), Some(Offset::new(offset)));
        }
        assert_eq!(get(&map, b"never seen"), None);
        assert_eq!(map.latest(), Some(Offset::new(399_999)));
    }

    #[test]
    fn a_map_is_full_at_its_load_factor_and_not_before() {
        for (bytes, load_factor, expected) in
            [(24 * 100, 0.9, 90), (24 * 100 + 23, 0.5, 50), (24 * 10, 1.0, 9)]
        {
            let mut map = OffsetMap::new(bytes, load_factor);
            let taken = (0..200_i64).take_while(|i| put(&mut map, &i.to_be_bytes(), *i)).count();
            assert_eq!(taken, expected);
            assert_eq!(get(&map, &3_i64.to_be_bytes()), Some(Offset::new(3)));
            assert!(!put(&mut map, &3_i64.to_be_bytes(), 500), "full for keys that it holds, as Kafka's");
        }
    }

    #[test]
    fn whoever_puts_a_key_again_hears_where_it_was() {
        let mut map = OffsetMap::new(1 << 20, 0.9);
        let (a, b) = (map.prepare(b"a"), map.prepare(b"b"));
        assert_eq!(map.put(a, Offset::new(5)), Put::New);
        assert_eq!(map.put(b, Offset::new(6)), Put::New);
        assert_eq!(map.put(a, Offset::new(9)), Put::Replaced(Offset::new(5)));
        assert_eq!(map.put(a, Offset::new(10)), Put::Replaced(Offset::new(9)));
    }

    #[test]
    fn from_the_last_record_to_the_first_the_offset_that_is_met_first_stays() {
        let mut map = OffsetMap::new(1 << 20, 0.9);
        let a = map.prepare(b"a");
        assert_eq!(map.put_from_behind(a, Offset::new(9)), Put::New);
        assert_eq!(map.put_from_behind(a, Offset::new(5)), Put::Replaced(Offset::new(9)));
        assert_eq!(map.get(a), Some(Offset::new(9)));
        assert_eq!(map.put_from_behind(a, Offset::new(11)), Put::Replaced(Offset::new(9)), "out of order");
        assert_eq!(map.get(a), Some(Offset::new(11)));
    }

    #[test]
    fn there_is_room_for_as_many_records_as_can_be_put_one_by_one() {
        let map = OffsetMap::new(24 * 100, 0.9);
        assert!(map.has_room_for(90) && !map.has_room_for(91));
    }

    #[test]
    fn a_map_without_room_holds_nothing_and_searches_end() {
        let mut map = OffsetMap::new(0, 0.9);
        assert!(!put(&mut map, b"a", 0));
        assert_eq!(get(&map, b"a"), None);
    }
}
