//! Is what a log shows what it was told? Every rule answers the first thing that is not as it should be.

use std::collections::{BTreeMap, BTreeSet};

use log_engine::{FoundOffset, Isolation, Log, Offset, TimestampMs, TimestampQuery};

use super::model::{Batch, Part, Timeline};
use super::seen::{SeenBatch, committed, read_all};

/// What is expected of a log.
#[derive(Copy, Clone, Debug)]
pub(super) struct Expected<'a> {
    pub(super) timeline: &'a Timeline,
    /// Compaction may have taken records before this.
    pub(super) compacted_to: i64,
    /// The log has started here: of epochs that ended before it, and of where transactions began before it, nothing need
    /// be known.
    pub(super) highest_start: i64,
}

impl Expected<'_> {
    /// All of it, read in pieces of `max_bytes`.
    pub(super) fn check(&self, log: &Log, max_bytes: usize) -> Result<(), String> {
        let offsets = log.offsets();
        let (start, end) = (offsets.log_start.get(), offsets.log_end.get());
        if end != self.timeline.end {
            return Err(format!("the log ends at {end}, not at {}", self.timeline.end));
        }
        let (batches, _) = read_all(log, start, Isolation::LogEnd, max_bytes)?;
        self.records(&batches, start)?;
        self.latest(&batches, start)?;
        self.committed(log, max_bytes)?;
        self.producers(log, start)?;
        self.epochs(log)?;
        times(log, &batches)
    }

    // Each record is the one appended at its offset, and none is missing that has to be there.
    fn records(&self, batches: &[SeenBatch], start: i64) -> Result<(), String> {
        let mut found = BTreeSet::new();
        let mut last = -1;
        for batch in batches {
            let told = self.told(batch.base)?;
            same_batch(batch, told)?;
            for (offset, record) in &batch.records {
                let index = usize::try_from(offset - told.base).unwrap_or(usize::MAX);
                let Some(appended) = told.records.get(index) else {
                    return Err(format!("nothing was appended at {offset}"));
                };
                if batch.commits.is_none() && record != appended {
                    return Err(format!("at {offset} lies {record:?}, but {appended:?} was appended"));
                }
                if *offset <= last {
                    return Err(format!("{offset} comes after {last}"));
                }
                last = *offset;
                found.insert(*offset);
            }
        }
        let from = start.max(self.compacted_to);
        match (from..self.timeline.end).find(|offset| !found.contains(offset)) {
            Some(missing) => Err(format!("the record at {missing} is missing")),
            None => Ok(()),
        }
    }

    fn told(&self, offset: i64) -> Result<&Batch, String> {
        let batches = &self.timeline.batches;
        let behind = batches.partition_point(|batch| batch.base <= offset);
        let told = behind.checked_sub(1).map(|index| &*batches[index]).filter(|batch| offset < batch.end());
        told.ok_or_else(|| format!("a batch at {offset}, where nothing was appended"))
    }

    // A reader who follows the log to its end knows of each key what was said last.
    fn latest(&self, batches: &[SeenBatch], start: i64) -> Result<(), String> {
        let aborted = self.timeline.aborted();
        let mut seen = BTreeMap::new();
        for (offset, record) in batches.iter().flat_map(|batch| &batch.records) {
            if *offset >= start
                && !aborted.contains(offset)
                && let Some(key) = &record.key
            {
                seen.insert(key.clone(), (*offset, record.value.is_none()));
            }
        }
        for (key, (offset, is_removed)) in self.timeline.latest_by_key() {
            let shown = seen.get(&key);
            let right = match shown {
                Some((shown, _)) => *shown == offset,
                None => is_removed || offset < start,
            };
            if !right {
                let key = String::from_utf8_lossy(&key);
                return Err(format!("the last record of {key} is {shown:?}, not the one at {offset}"));
            }
        }
        Ok(())
    }

    // Readers of committed records see them, all of them and no others.
    fn committed(&self, log: &Log, max_bytes: usize) -> Result<(), String> {
        let offsets = log.offsets();
        let (high_watermark, start) = (offsets.high_watermark.get(), offsets.log_start.get());
        let stable = offsets.last_stable.get();
        // A start that finds a snapshot knows nothing of a marker above the high watermark, as with Kafka; what the marker
        // says is known nevertheless.
        let least = self.timeline.last_stable(high_watermark).max(start);
        let most = self
            .timeline
            .first_open(self.highest_start)
            .map_or(high_watermark, |open| open.min(high_watermark))
            .max(start);
        if stable < least || stable > most {
            return Err(format!("the last stable offset is {stable}, not {least} to {most}"));
        }
        let (batches, aborted) = read_all(log, start, Isolation::LastStable, max_bytes)?;
        let shown: BTreeSet<i64> =
            committed(&batches, &aborted).into_iter().filter(|o| *o >= start).collect();
        let void = self.timeline.aborted();
        if let Some(wrong) = shown.iter().find(|offset| void.contains(offset) || **offset >= stable) {
            return Err(format!("a reader of committed records sees the one at {wrong}"));
        }
        // A batch that goes on behind the end is not shown yet.
        let (from, stable) = (start.max(self.compacted_to), self.timeline.boundary(stable));
        let due = self.timeline.records().map(|(offset, _)| offset);
        let mut due = due.filter(|offset| (from..stable).contains(offset) && !void.contains(offset));
        match due.find(|offset| !shown.contains(offset)) {
            Some(missing) => Err(format!("a reader of committed records misses the one at {missing}")),
            None => Ok(()),
        }
    }

    // Those whose last words are still in the log must be known; any other that is known must be known rightly.
    fn producers(&self, log: &Log, start: i64) -> Result<(), String> {
        let mut known: BTreeMap<i64, _> =
            log.active_producers().into_iter().map(|entry| (entry.producer_id.get(), entry)).collect();
        for (id, told) in self.timeline.producers() {
            let Some(entry) = known.remove(&id) else {
                if told.heard_at >= start.max(self.compacted_to) {
                    return Err(format!("producer {id} is forgotten, who wrote at {}", told.heard_at));
                }
                continue;
            };
            let last = entry.last_batch().map(|batch| (batch.last_sequence.get(), batch.last_offset.get()));
            let open = entry.current_txn_first_offset.map(Offset::get);
            // Of a batch that retention has taken, a log read again knows nothing.
            let last_is_right =
                last == told.last || told.last.is_some_and(|(_, offset)| offset < self.highest_start);
            let open_is_right =
                open == told.open || told.open.is_some_and(|first| first < self.highest_start);
            if entry.producer_epoch.get() != told.epoch || !open_is_right || !last_is_right {
                return Err(format!("producer {id} is known as {entry:?}, not as {told:?}"));
            }
        }
        match known.keys().find(|id| !self.timeline.said_before.contains_key(id)) {
            Some(stranger) => Err(format!("producer {stranger} never wrote")),
            None => Ok(()),
        }
    }

    // An epoch ends where the next began.
    fn epochs(&self, log: &Log) -> Result<(), String> {
        let start = log.offsets().log_start.get().max(self.highest_start);
        let epochs = &self.timeline.epochs;
        for (index, (epoch, _)) in epochs.iter().enumerate() {
            let end = epochs.get(index + 1).map_or(self.timeline.end, |(_, start)| *start);
            if end <= start {
                continue;
            }
            let found = log.epoch_end_offset(log_engine::LeaderEpoch::new(*epoch));
            let found = found.map(|(epoch, end)| (epoch.get(), end.get()));
            if found != Some((*epoch, end)) {
                return Err(format!("epoch {epoch} ends at {found:?}, not at {end}"));
            }
        }
        Ok(())
    }
}

fn same_batch(seen: &SeenBatch, told: &Batch) -> Result<(), String> {
    let producer = told.producer.map_or((-1, -1, -1), |p| (p.id, p.epoch, p.sequence));
    let right = seen.base >= told.base
        && seen.end <= told.end()
        && seen.producer == producer
        && seen.transactional == (told.part != Part::Plain)
        && seen.epoch == told.epoch
        && seen.commits.is_none_or(|commit| told.part == Part::End { commit });
    if right { Ok(()) } else { Err(format!("the batch {seen:?} was appended as {told:?}")) }
}

// The first record that is not older than a time is the first one that is not older.
fn times(log: &Log, batches: &[SeenBatch]) -> Result<(), String> {
    let start = log.offsets().log_start.get();
    let records: Vec<(i64, i64)> = batches
        .iter()
        .flat_map(|batch| batch.records.iter().map(|(offset, record)| (*offset, record.timestamp)))
        .filter(|(offset, _)| *offset >= start)
        .collect();
    for (_, wanted) in records.iter().step_by(records.len() / 4 + 1) {
        let query = TimestampQuery::AtOrAfter(TimestampMs::new(*wanted));
        let found = log
            .offset_for_timestamp(query, Isolation::LogEnd)
            .map_err(|error| format!("looking for time {wanted} fails: {error}"))?;
        let found = found.map(|FoundOffset { offset, timestamp, .. }| (offset.get(), timestamp.get()));
        let first = records.iter().find(|(_, timestamp)| timestamp >= wanted).copied();
        if found != first {
            return Err(format!("time {wanted} is found at {found:?}, not at {first:?}"));
        }
    }
    Ok(())
}
