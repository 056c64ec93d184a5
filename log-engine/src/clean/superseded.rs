//! Which records of the dirty part go, as the first walk over them finds out: one bit an offset. The second walk then
//! need not hash their keys again, and knows of most batches whether all or none of their records stay before it
//! unfolds them.

use std::ops::RangeInclusive;

use crate::types::Offset;

const WORD_BITS: u64 = u64::BITS as u64;

/// Records from `from` on, of which those that the walk did not reach count as staying.
#[derive(Debug)]
pub(super) struct Superseded {
    from: Offset,
    words: Vec<u64>,
    words_max: usize,
    /// First offsets of batches that hold a tombstone, in order once the walk is over.
    with_tombstone: Vec<Offset>,
    /// Told nothing that it could not hold.
    is_whole: bool,
}

/// What is known of a batch without its records.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Stays {
    /// Every record, and none is a tombstone.
    All,
    None,
    /// Some records, or it is not known.
    Some,
}

impl Superseded {
    /// Of records from `from` on, in `bytes` of memory at most. A log with more offsets, or with offsets out of order,
    /// has to be asked record by record.
    pub(super) fn new(from: Offset, bytes: u64) -> Self {
        let words_max = usize::try_from(bytes / 8).unwrap_or(usize::MAX);
        Self { from, words: Vec::new(), words_max, with_tombstone: Vec::new(), is_whole: true }
    }

    /// The record at `offset` goes.
    pub(super) fn note(&mut self, offset: Offset) {
        let Some((word, bit)) = self.place(offset) else {
            self.is_whole = false;
            return;
        };
        if word >= self.words.len() {
            if word >= self.words_max {
                self.is_whole = false;
                return;
            }
            self.words.resize((word + 1).max(self.words.len() * 2).min(self.words_max), 0);
        }
        self.words[word] |= bit;
    }

    /// The batch that begins at `base_offset` holds a tombstone.
    pub(super) fn note_tombstone(&mut self, base_offset: Offset) {
        if self.with_tombstone.last() == Some(&base_offset) {
            return;
        }
        if self.with_tombstone.len() < self.words_max {
            self.with_tombstone.push(base_offset);
        } else {
            self.is_whole = false;
        }
    }

    /// The walk is over: from here on it can be asked.
    pub(super) fn complete(&mut self) {
        self.with_tombstone.sort_unstable();
    }

    /// Records were met out of the order of their offsets.
    pub(super) fn give_up(&mut self) {
        self.is_whole = false;
    }

    /// Whether the record at `offset`, which the walk has reached, goes; `None` where that is not known here.
    pub(super) fn has(&self, offset: Offset) -> Option<bool> {
        if !self.is_whole {
            return None;
        }
        let (word, bit) = self.place(offset)?;
        Some(self.words.get(word).is_some_and(|bits| bits & bit != 0))
    }

    /// What stays of a batch of `count` records over `offsets`, all of which the walk has reached.
    pub(super) fn of_batch(&self, offsets: RangeInclusive<Offset>, count: i32) -> Stays {
        let (first, last) = (*offsets.start(), *offsets.end());
        let span = last.get() - first.get() + 1;
        // A gap is an offset of which nothing is known.
        if !self.is_whole || first < self.from || span != i64::from(count) {
            return Stays::Some;
        }
        let gone = self.count(first, last);
        if gone == span as u64 {
            Stays::None
        } else if gone == 0 && self.with_tombstone.binary_search(&first).is_err() {
            Stays::All
        } else {
            Stays::Some
        }
    }

    fn count(&self, first: Offset, last: Offset) -> u64 {
        let from = (first.get() - self.from.get()) as u64;
        let end = (last.get() - self.from.get()) as u64 + 1;
        let (first_word, last_word) = (from / WORD_BITS, (end - 1) / WORD_BITS);
        let mut count = 0;
        for word in first_word..=last_word {
            let Some(mut bits) = self.words.get(word as usize).copied() else { break };
            if word == first_word {
                bits &= u64::MAX << (from % WORD_BITS);
            }
            if word == last_word {
                bits &= u64::MAX >> ((WORD_BITS - end % WORD_BITS) % WORD_BITS);
            }
            count += u64::from(bits.count_ones());
        }
        count
    }

    fn place(&self, offset: Offset) -> Option<(usize, u64)> {
        let index = u64::try_from(offset.get().checked_sub(self.from.get())?).ok()?;
        Some((usize::try_from(index / WORD_BITS).ok()?, 1 << (index % WORD_BITS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Offset {
        Offset::new(offset)
    }

    fn noted(from: i64, gone: impl IntoIterator<Item = i64>) -> Superseded {
        let mut superseded = Superseded::new(at(from), 1 << 10);
        gone.into_iter().for_each(|offset| superseded.note(at(offset)));
        superseded
    }

    #[test]
    fn a_batch_stays_goes_or_has_to_be_looked_at() {
        let superseded = noted(100, (110..120).chain([131]).chain(150..400));
        for (first, last, expected) in [
            (100, 109, Stays::All),
            (110, 119, Stays::None),
            (109, 119, Stays::Some),
            (110, 120, Stays::Some),
            (131, 131, Stays::None),
            (120, 140, Stays::Some),
            (150, 399, Stays::None),
            (150, 400, Stays::Some),
            (400, 9_000, Stays::All),
            (99, 109, Stays::Some),
        ] {
            let stays = superseded.of_batch(at(first)..=at(last), (last - first + 1) as i32);
            assert_eq!(stays, expected, "{first} to {last}");
        }
        assert_eq!(superseded.of_batch(at(110)..=at(119), 9), Stays::Some, "a gap");
        assert_eq!((superseded.has(at(131)), superseded.has(at(132))), (Some(true), Some(false)));
        assert_eq!(superseded.has(at(99)), None);
    }

    #[test]
    fn counting_agrees_with_asking_one_by_one() {
        let gone: Vec<i64> = (0..500).filter(|offset| offset * offset % 7 < 3).collect();
        let superseded = noted(0, gone.iter().copied());
        for first in 0..200 {
            for last in [first, first + 1, first + 62, first + 63, first + 64, first + 200] {
                let expected = gone.iter().filter(|offset| (first..=last).contains(*offset)).count();
                assert_eq!(superseded.count(at(first), at(last)), expected as u64, "{first} to {last}");
            }
        }
    }

    #[test]
    fn a_batch_with_a_tombstone_is_looked_at() {
        let mut superseded = noted(0, []);
        for base_offset in [30, 30, 10] {
            superseded.note_tombstone(at(base_offset));
        }
        superseded.complete();
        assert_eq!(superseded.of_batch(at(10)..=at(19), 10), Stays::Some);
        assert_eq!(superseded.of_batch(at(20)..=at(29), 10), Stays::All);
        assert_eq!(superseded.of_batch(at(30)..=at(39), 10), Stays::Some);
    }

    #[test]
    fn nothing_is_known_beyond_its_memory_or_out_of_order() {
        let mut small = noted(0, [1]);
        small.note(at(1 << 20));
        let mut disordered = noted(0, [1]);
        disordered.give_up();
        let before = noted(10, [1]);
        for unknown in [small, disordered, before] {
            assert_eq!(unknown.has(at(11)), None);
            assert_eq!(unknown.of_batch(at(11)..=at(11), 1), Stays::Some);
        }
    }
}
