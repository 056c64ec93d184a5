//! Which leader epoch began at which offset: Kafka's `LeaderEpochFileCache` and its file `leader-epoch-checkpoint`.
//!
//! The cache is told of epochs, it never invents one. Epochs and start offsets both increase along the list. The text
//! form lies in [`crate::checkpoint`]; writing the file is the log's business, off the append path.

use crate::types::{LeaderEpoch, Offset};

/// One line of the leader epoch checkpoint.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Offset of the first record that can carry it.
    pub start_offset: Offset,
}

/// The epochs of one log, oldest first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// A cache of these entries, as far as each follows the one before it.
    pub fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> Self {
        let mut cache = Self::default();
        for entry in entries {
            cache.assign(entry.epoch, entry.start_offset);
        }
        cache
    }

    /// The entries, oldest first.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that `epoch` starts at `start_offset`; true if that was news. Entries that contradict it (newer or equal
    /// epochs, or starts at or after it) are dropped, as Kafka does: they describe records that were never kept.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch.get() < 0 || start_offset.get() < 0 {
            return false;
        }
        // Almost every call repeats the current epoch: one comparison.
        if self.entries.last().is_some_and(|last| last.epoch == epoch && start_offset >= last.start_offset) {
            return false;
        }
        self.entries.retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The epoch that a record at `offset` carries.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.entries.iter().rev().find(|entry| entry.start_offset <= offset).map(|entry| entry.epoch)
    }

    /// The largest epoch not above `requested`, and where it ends: the answer to OffsetsForLeaderEpoch (KIP-101,
    /// KIP-279). `None` where the log knows nothing that old, or the epoch is newer than all it knows.
    pub fn end_offset_of(&self, requested: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if requested == latest {
            return Some((latest, log_end));
        }
        if requested.get() < 0 || requested > latest {
            return None;
        }
        let after = self.entries.partition_point(|entry| entry.epoch <= requested);
        let end = self.entries.get(after)?.start_offset;
        match after.checked_sub(1).and_then(|index| self.entries.get(index)) {
            Some(floor) => Some((floor.epoch, end)),
            // Older than the oldest epoch kept: everything from its start on diverges.
            None => Some((requested, end)),
        }
    }

    /// Drops the epochs that start at or after `end`; true if there were any.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start_offset < end);
        self.entries.len() != before
    }

    /// Takes what a batch of the log says, in the order of the log: its epoch holds from its first offset to its last. Newer
    /// epochs that the entries have there were cut off, and the file that tells of them was not written since. True if that
    /// was news.
    pub fn learn(&mut self, epoch: LeaderEpoch, first: Offset, last: Offset) -> bool {
        if epoch.get() < 0 {
            return false;
        }
        let before = self.entries.len();
        self.entries.retain(|entry| entry.epoch <= epoch || entry.start_offset > last);
        let dropped = self.entries.len() != before;
        (self.epoch_at(first) != Some(epoch) && self.assign(epoch, first)) || dropped
    }

    /// Drops the epochs that end at or before `start`; the one that `start` lies in begins there now. True if
    /// anything changed.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let kept_from = self.entries.partition_point(|entry| entry.start_offset <= start);
        let Some(floor) = kept_from.checked_sub(1) else { return false };
        let changed = floor > 0 || self.entries[floor].start_offset != start;
        self.entries.drain(..floor);
        self.entries[0].start_offset = start;
        changed
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        EpochCache {
            entries: entries
                .iter()
                .map(|&(epoch, start)| EpochEntry {
                    epoch: LeaderEpoch::new(epoch),
                    start_offset: Offset::new(start),
                })
                .collect(),
        }
    }

    #[test]
    fn what_a_batch_says_of_its_epoch_counts_more_than_newer_entries_that_begin_before_its_end() {
        for (before, (epoch, first, last), after) in [
            (&[][..], (4, 2, 2), &[(4, 2)][..]),
            (&[(1, 0)], (1, 5, 9), &[(1, 0)]),
            (&[(1, 0), (4, 5)], (1, 3, 4), &[(1, 0), (4, 5)]),
            (&[(1, 0), (5, 3)], (4, 2, 2), &[(1, 0), (4, 2)]),
            (&[(1, 0), (4, 2), (5, 4)], (4, 3, 4), &[(1, 0), (4, 2)]),
            (&[(1, 0), (4, 2), (5, 3)], (4, 3, 3), &[(1, 0), (4, 2)]),
            (&[(1, 0)], (-1, 5, 5), &[(1, 0)]),
        ] {
            let mut got = cache(before);
            let changed = got.learn(LeaderEpoch::new(epoch), Offset::new(first), Offset::new(last));
            assert_eq!(got, cache(after), "{before:?} + {epoch}@{first}..={last}");
            assert_eq!(changed, before != after, "{before:?} + {epoch}@{first}..={last}");
        }
    }

    #[test]
    fn an_assigned_epoch_replaces_what_contradicts_it() {
        for (before, (epoch, start), after) in [
            (&[][..], (0, 0), &[(0, 0)][..]),
            (&[(0, 0)], (0, 0), &[(0, 0)]),
            (&[(0, 0)], (0, 50), &[(0, 0)]),
            (&[(0, 0)], (3, 50), &[(0, 0), (3, 50)]),
            (&[(0, 0), (3, 50)], (4, 50), &[(0, 0), (4, 50)]),
            (&[(0, 0), (3, 50)], (4, 20), &[(0, 0), (4, 20)]),
            (&[(0, 0), (3, 50)], (2, 60), &[(0, 0), (2, 60)]),
            (&[(3, 50)], (3, 10), &[(3, 10)]),
            (&[(0, 0)], (-1, 10), &[(0, 0)]),
            (&[(0, 0)], (1, -1), &[(0, 0)]),
        ] {
            let mut got = cache(before);
            let changed = got.assign(LeaderEpoch::new(epoch), Offset::new(start));
            assert_eq!(got, cache(after), "{before:?} + {epoch}@{start}");
            assert_eq!(changed, before != after, "{before:?} + {epoch}@{start}");
        }
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next_and_the_log_end_for_the_newest() {
        let epochs = cache(&[(2, 10), (4, 20), (7, 30)]);
        for (requested, expected) in [
            (7, Some((7, 99))),
            (8, None),
            (6, Some((4, 30))),
            (4, Some((4, 30))),
            (3, Some((2, 20))),
            (2, Some((2, 20))),
            (1, Some((1, 10))),
            (-1, None),
        ] {
            let got = epochs.end_offset_of(LeaderEpoch::new(requested), Offset::new(99));
            assert_eq!(got.map(|(epoch, end)| (epoch.get(), end.get())), expected, "epoch {requested}");
        }
        assert_eq!(cache(&[]).end_offset_of(LeaderEpoch::new(0), Offset::new(9)), None);
    }

    #[test]
    fn cutting_the_log_cuts_its_epochs() {
        for (end, left) in [(31, 3), (30, 2), (15, 1), (10, 0)] {
            let mut epochs = cache(&[(2, 10), (4, 20), (7, 30)]);
            assert_eq!(epochs.truncate_from_end(Offset::new(end)), left != 3);
            assert_eq!(epochs.entries().len(), left, "end {end}");
        }
        for (start, kept) in [
            (5, &[(2, 10), (4, 20), (7, 30)][..]),
            (10, &[(2, 10), (4, 20), (7, 30)]),
            (15, &[(2, 15), (4, 20), (7, 30)]),
            (20, &[(4, 20), (7, 30)]),
            (90, &[(7, 90)]),
        ] {
            let mut epochs = cache(&[(2, 10), (4, 20), (7, 30)]);
            epochs.truncate_from_start(Offset::new(start));
            assert_eq!(epochs, cache(kept), "start {start}");
        }
    }

    #[test]
    fn the_epoch_of_an_offset_is_the_last_that_began_by_it() {
        let epochs = cache(&[(2, 10), (4, 20)]);
        for (offset, epoch) in [(9, None), (10, Some(2)), (19, Some(2)), (20, Some(4)), (1000, Some(4))] {
            assert_eq!(epochs.epoch_at(Offset::new(offset)).map(LeaderEpoch::get), epoch);
        }
    }
}
