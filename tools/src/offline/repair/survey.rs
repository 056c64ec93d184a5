//! Which bytes of a log stay: all batches that are whole and continue each other, also behind damage.
//!
//! Base offset and leader epoch of a batch are outside its checksum. So where two whole batches contradict each other, one
//! of them was written or flipped wrong, and which one the batch before both tells: taking what comes later for wrong
//! would lose everything behind a single flipped bit.

use std::{ops::Range, path::PathBuf};

use indicatif::ProgressBar;
use log_engine::{
    LeaderEpoch, Offset, Rule,
    epoch::EpochCache,
    inspect::{BatchAt, FileType, Found, SegmentFile},
};

use crate::offline::{OfflineError, layout::PartitionDir, refused};

/// A segment as it will be.
#[derive(Debug)]
pub(super) struct SurveyedSegment {
    pub(super) base: Offset,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    /// Bytes that stay, ascending, neighbours joined.
    pub(super) kept: Vec<Range<u64>>,
    /// Why the first of the others do not.
    pub(super) reason: Option<String>,
}

impl SurveyedSegment {
    pub(super) fn is_whole(&self) -> bool {
        self.size == self.kept.iter().map(|range| range.end - range.start).sum::<u64>()
    }

    /// Whether something stays behind what does not.
    pub(super) fn goes_on_behind_damage(&self) -> bool {
        self.kept.first().is_some_and(|first| first.start > 0) || self.kept.len() > 1
    }

    fn keep(&mut self, batch: &BatchAt) {
        match self.kept.last_mut() {
            Some(last) if last.end == batch.position => last.end = batch.end(),
            _ => self.kept.push(batch.position..batch.end()),
        }
    }

    // `batch` was the last that was kept.
    fn give_up(&mut self, batch: &BatchAt, reason: String) {
        if let Some(last) = self.kept.last_mut() {
            last.end = batch.position;
        }
        self.kept.retain(|range| !range.is_empty());
        self.reason.get_or_insert(reason);
    }
}

/// A log as it will be.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) segments: Vec<SurveyedSegment>,
    /// Where it will end.
    pub(super) end: Offset,
    /// Whether the leader epochs that stand beside it are not those of its batches.
    pub(super) contradicts_epochs: bool,
}

/// Looks at a log. `epochs` are those of its checkpoint, where that can be read.
pub(super) fn survey(
    dir: &PartitionDir,
    epochs: Option<&EpochCache>,
    progress: &ProgressBar,
) -> Result<Survey, OfflineError> {
    let mut walk = Walk { epochs, segments: Vec::new(), before: None, last: None, contradicts_epochs: false };
    for base in dir.offsets(FileType::Log) {
        let path = dir.file(FileType::Log, base);
        let file = SegmentFile::open(&path, base).map_err(refused(&path))?;
        let size = file.size_bytes();
        walk.segments.push(SurveyedSegment {
            base,
            path: path.clone(),
            size,
            kept: Vec::new(),
            reason: None,
        });
        let mut batches = file.batches(None);
        while let Some(found) = batches.next_found().map_err(refused(&path))? {
            match found {
                Found::Batch(batch) => {
                    progress.inc(batch.at.size);
                    walk.see(batch.at);
                }
                // It is whole and comes next; `see` judges its order.
                Found::Damage { corruption, .. } if is_order(&corruption.rule) => {}
                Found::Damage { corruption, .. } => walk.damage(corruption.rule.to_string()),
            }
        }
    }
    Ok(walk.finish(dir))
}

fn is_order(rule: &Rule) -> bool {
    matches!(rule, Rule::OffsetOrder { .. } | Rule::EpochOrder { .. })
}

struct Walk<'a> {
    epochs: Option<&'a EpochCache>,
    segments: Vec<SurveyedSegment>,
    // The batch before the last that was kept; and the last, with its segment: it may yet turn out to be the wrong one.
    before: Option<BatchAt>,
    last: Option<(usize, BatchAt)>,
    contradicts_epochs: bool,
}

impl Walk<'_> {
    fn see(&mut self, batch: BatchAt) {
        let Some((at, last)) = self.last else { return self.keep(batch) };
        let Err(contradiction) = follows(&last, &batch) else {
            self.settle();
            return self.keep(batch);
        };
        if self.last_is_wrong(&last, &batch, contradiction) {
            let reason = format!(
                "offsets {} to {} of leader epoch {} fit neither what is before nor what is behind them",
                last.base_offset, last.last_offset, last.leader_epoch
            );
            self.segments[at].give_up(&last, reason);
            self.last = None;
            self.keep(batch);
        } else {
            self.damage(match contradiction {
                Contradiction::Offset => {
                    format!("base offset {} does not follow offset {}", batch.base_offset, last.last_offset)
                }
                Contradiction::Epoch => {
                    format!("leader epoch {} follows leader epoch {}", batch.leader_epoch, last.leader_epoch)
                }
            });
        }
    }

    fn last_is_wrong(&self, last: &BatchAt, batch: &BatchAt, contradiction: Contradiction) -> bool {
        if self.before.is_some_and(|before| follows(&before, batch).is_err()) {
            return false;
        }
        match contradiction {
            Contradiction::Offset => {
                let first = self.segments.first().map_or(Offset::ZERO, |segment| segment.base);
                let expected = self.before.map_or(first, |before| before.last_offset.next());
                last.base_offset > expected
            }
            Contradiction::Epoch => {
                let told = |batch: &BatchAt| {
                    self.epochs
                        .is_some_and(|epochs| epochs.epoch_at(batch.last_offset) == Some(batch.leader_epoch))
                };
                match (told(last), told(batch)) {
                    (true, false) => false,
                    (false, true) => true,
                    _ => self.before.is_some_and(|before| before.leader_epoch == batch.leader_epoch),
                }
            }
        }
    }

    fn keep(&mut self, batch: BatchAt) {
        let at = self.segments.len() - 1;
        self.segments[at].keep(&batch);
        self.last = Some((at, batch));
    }

    // The last one stays for good.
    fn settle(&mut self) {
        let Some((_, last)) = self.last.take() else { return };
        self.before = Some(last);
        let Some(epochs) = self.epochs else { return };
        let oldest = epochs.entries().first().map(|entry| entry.start_offset);
        let is_covered =
            last.leader_epoch > LeaderEpoch::NONE && oldest.is_none_or(|oldest| last.last_offset >= oldest);
        self.contradicts_epochs |= is_covered && epochs.epoch_at(last.last_offset) != Some(last.leader_epoch);
    }

    fn damage(&mut self, reason: String) {
        if let Some(segment) = self.segments.last_mut() {
            segment.reason.get_or_insert(reason);
        }
    }

    fn finish(mut self, dir: &PartitionDir) -> Survey {
        self.settle();
        let begin = dir.offsets(FileType::Log).next().unwrap_or(Offset::ZERO);
        let end = self.before.map_or(begin, |last| last.last_offset.next());
        // An empty segment that stays says where the log ends, too.
        let empty =
            self.segments.iter().filter(|segment| segment.size == 0).map(|segment| segment.base).max();
        let Self { segments, contradicts_epochs, .. } = self;
        Survey { segments, end: end.max(empty.unwrap_or(end)), contradicts_epochs }
    }
}

#[derive(Copy, Clone)]
enum Contradiction {
    Offset,
    Epoch,
}

fn follows(previous: &BatchAt, batch: &BatchAt) -> Result<(), Contradiction> {
    if batch.base_offset <= previous.last_offset {
        return Err(Contradiction::Offset);
    }
    if batch.leader_epoch > LeaderEpoch::NONE && batch.leader_epoch < previous.leader_epoch {
        return Err(Contradiction::Epoch);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_engine::TimestampMs;

    // (base offset, last offset, epoch) of batches of ten bytes in one segment, and which of them stay.
    fn kept(batches: &[(i64, i64, i32)], epochs: Option<&EpochCache>) -> Vec<usize> {
        let segment = SurveyedSegment {
            base: Offset::ZERO,
            path: PathBuf::new(),
            size: batches.len() as u64 * 10,
            kept: Vec::new(),
            reason: None,
        };
        let mut walk =
            Walk { epochs, segments: vec![segment], before: None, last: None, contradicts_epochs: false };
        for (number, &(base, last, epoch)) in batches.iter().enumerate() {
            walk.see(BatchAt {
                position: number as u64 * 10,
                size: 10,
                base_offset: Offset::new(base),
                last_offset: Offset::new(last),
                max_timestamp: TimestampMs::NONE,
                leader_epoch: LeaderEpoch::new(epoch),
                magic: 2,
            });
        }
        let kept = &walk.segments[0].kept;
        (0..batches.len())
            .filter(|number| kept.iter().any(|range| range.contains(&(*number as u64 * 10))))
            .collect()
    }

    #[test]
    fn of_two_batches_that_contradict_each_other_the_one_that_fits_the_rest_stays() {
        for (what, batches, stays) in [
            ("all in order", &[(0, 4, 0), (5, 9, 0), (10, 14, 1)][..], &[0, 1, 2][..]),
            ("gaps of a compaction", &[(0, 4, 0), (50, 59, 0), (100, 114, 1)], &[0, 1, 2]),
            ("a base offset too large", &[(0, 4, 0), (4101, 4105, 0), (10, 14, 0), (15, 19, 0)], &[0, 2, 3]),
            ("the first one's too large", &[(4096, 4100, 0), (5, 9, 0), (10, 14, 0)], &[1, 2]),
            ("a base offset too small", &[(0, 4, 0), (5, 9, 0), (2, 6, 0), (15, 19, 0)], &[0, 1, 3]),
            ("the same batch twice", &[(0, 4, 0), (5, 9, 0), (5, 9, 0), (10, 14, 0)], &[0, 1, 3]),
            ("an epoch too large", &[(0, 4, 2), (5, 9, 66), (10, 14, 2), (15, 19, 2)], &[0, 2, 3]),
            ("an epoch too small", &[(0, 4, 2), (5, 9, 2), (10, 14, 0), (15, 19, 2)], &[0, 1, 3]),
        ] {
            assert_eq!(kept(batches, None), stays, "{what}");
        }
    }

    #[test]
    fn the_epoch_checkpoint_says_which_of_two_epochs_is_wrong() {
        let batches = [(0, 4, 0), (5, 9, 3), (10, 14, 0), (15, 19, 3)];
        let entry = |epoch, start| log_engine::epoch::EpochEntry {
            epoch: LeaderEpoch::new(epoch),
            start_offset: Offset::new(start),
        };
        let epochs = EpochCache::from_entries([entry(0, 0), entry(3, 5)]);
        assert_eq!(kept(&batches, Some(&epochs)), [0, 1, 3], "what came back from below a cut goes");
    }
}
