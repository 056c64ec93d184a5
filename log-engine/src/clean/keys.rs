//! The first walk of a cleaning: the last offset of each key of the dirty part, and which records go for it.
//!
//! From the last batch to the first, wherever the map is sure to have room for all keys: then it is known of each record
//! whether it stays the moment it is met, and a batch that loses some is folded again while it is unfolded anyway. Else
//! from the first to the last, until the map is full.

use std::sync::Arc;

use crate::batch::filter::{self, Candidate, FromLast};
use crate::batch::{BatchHeader, BatchView};
use crate::io::DiskFile;
use crate::log::Log;
use crate::segment::Segment;
use crate::segment::scan::ReadMode;
use crate::types::Offset;

use super::CleanerConfig;
use super::cleaning::{Buffers, CAP, Pacer, unreadable, unreadable_marker};
use super::offset_map::{KeyHash, OffsetMap, Put};
use super::outcome::{CleaningError, CleaningReport};
use super::outline::{Lying, Outline};
use super::refolded::Refolded;
use super::superseded::{Stays, Superseded};
use super::transactions::Transactions;
use super::walk::{Walk, Wanted, verified};

/// The memory for what goes is this part of what there is for keys, and so is that for where batches lie.
const PART_OF_MEMORY: u64 = 16;

/// What the first walk finds out.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) map: OffsetMap,
    pub(super) superseded: Superseded,
    refolded: Refolded,
}

impl Findings {
    /// What is known of a batch without its records, if the walk came to its end.
    pub(super) fn stays_of(&self, batch: &BatchHeader<'_>) -> Stays {
        if batch.is_control() || self.map.latest().is_none_or(|end| batch.last_offset() > end) {
            return Stays::Some;
        }
        self.superseded.of_batch(batch.base_offset()..=batch.last_offset(), batch.record_count())
    }

    /// Whether the batch has been folded again without the records that go.
    pub(super) fn has_refolded(&self, batch: &BatchHeader<'_>) -> bool {
        self.superseded.has(batch.base_offset()).is_some() && self.refolded.has(batch)
    }

    /// Hands out what a batch has become. Batches are asked for in their order.
    pub(super) fn take_refolded(&mut self, batch: &BatchHeader<'_>) -> Option<Vec<u8>> {
        let taken = self.refolded.take(batch);
        taken.filter(|_| self.superseded.has(batch.base_offset()).is_some())
    }
}

/// The walk.
pub(super) struct KeyWalk<'a> {
    log: &'a Log,
    pacer: &'a dyn Pacer,
    first_dirty: Offset,
    upper: Offset,
    memory: u64,
    findings: Findings,
    buffers: &'a mut Buffers,
    report: &'a mut CleaningReport,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Mapped {
    Whole,
    Full,
}

impl<'a> KeyWalk<'a> {
    pub(super) fn new(
        log: &'a Log,
        config: &CleanerConfig,
        pacer: &'a dyn Pacer,
        dirty: (Offset, Offset),
        buffers: &'a mut Buffers,
        report: &'a mut CleaningReport,
    ) -> Self {
        let memory = (config.dedupe_buffer_bytes / config.threads.max(1) as u64).min(i32::MAX as u64);
        let (first_dirty, upper) = dirty;
        let findings = Findings {
            map: OffsetMap::new(memory, config.load_factor),
            superseded: Superseded::new(first_dirty, memory / PART_OF_MEMORY),
            refolded: Refolded::default(),
        };
        Self { log, pacer, first_dirty, upper, memory, findings, buffers, report }
    }

    pub(super) fn run(mut self) -> Result<Findings, CleaningError> {
        let segments = self.log.segments_between(self.first_dirty, self.upper);
        match self.outline(&segments)? {
            Some(outlines) => self.walk_backwards(&segments, &outlines)?,
            None => self.walk_forwards(&segments)?,
        }
        self.findings.superseded.complete();
        Ok(self.findings)
    }

    fn transactions(&self) -> Result<Transactions, CleaningError> {
        let mut transactions = Transactions::default();
        transactions.announce(&self.log.aborted_between(self.first_dirty, self.upper)?);
        Ok(transactions)
    }

    // Where the batches lie whose keys count; `None` where they or their records are too many.
    fn outline(&mut self, segments: &[Arc<Segment>]) -> Result<Option<Vec<Outline>>, CleaningError> {
        let mut transactions = self.transactions()?;
        let mut left = self.memory / PART_OF_MEMORY / size_of::<Lying>() as u64;
        let mut records = 0;
        let mut outlines = Vec::with_capacity(segments.len());
        for segment in segments {
            let Some(outline) = self.outline_segment(segment, left, &mut transactions)? else {
                return Ok(None);
            };
            records += outline.records;
            left -= outline.batches.len() as u64;
            if !self.findings.map.has_room_for(records) {
                return Ok(None);
            }
            outlines.push(outline);
        }
        self.findings.refolded = Refolded::within(self.memory.saturating_sub(OffsetMap::bytes_for(records)));
        Ok(Some(outlines))
    }

    // `None` where there are more than `batches_max`.
    fn outline_segment(
        &mut self,
        segment: &Segment,
        batches_max: u64,
        transactions: &mut Transactions,
    ) -> Result<Option<Outline>, CleaningError> {
        let file = segment.file()?;
        let (from, end) = self.dirty_bytes(segment)?;
        let mut outline = Outline::default();
        let mut walk = Walk::new(&*file, from, end, &mut self.buffers.read);
        loop {
            self.pacer.pause(walk.take_read())?;
            let mut is_aborted = false;
            let found = walk.next(|header| {
                is_aborted = !header.is_control() && transactions.pass_data(header);
                // What is looked at now is not looked at again.
                if header.is_control() || is_aborted { Wanted::Verified } else { Wanted::Header }
            })?;
            let Some(found) = found else { return Ok(Some(outline)) };
            match found.batch {
                Some(batch) if batch.is_control() => {
                    transactions.pass_control(&batch).map_err(|error| unreadable_marker(&batch, &error))?;
                }
                Some(_) if is_aborted => {}
                _ if outline.batches.len() as u64 >= batches_max => return Ok(None),
                _ => outline.add(found.position, &found.header),
            }
        }
    }

    // From the batch with the first dirty record on.
    fn dirty_bytes(&self, segment: &Segment) -> Result<(u64, u64), CleaningError> {
        let (size, _) = segment.published();
        let first = segment.batch_reaching(self.first_dirty, size, ReadMode::Blocking)?;
        Ok((first.map_or(size, |batch| batch.position), size))
    }

    fn walk_backwards(
        &mut self,
        segments: &[Arc<Segment>],
        outlines: &[Outline],
    ) -> Result<(), CleaningError> {
        for (segment, outline) in segments.iter().zip(outlines).rev() {
            let file = segment.file()?;
            let mut read = std::mem::take(&mut self.buffers.read);
            for stretch in outline.stretches_from_the_last(read.len()) {
                self.meet_stretch(&*file, stretch, &mut read)?;
            }
            self.buffers.read = read;
        }
        if !segments.is_empty() {
            self.findings.map.see(self.upper.plus(-1));
        }
        Ok(())
    }

    fn meet_stretch(
        &mut self,
        file: &dyn DiskFile,
        stretch: &[Lying],
        read: &mut Vec<u8>,
    ) -> Result<(), CleaningError> {
        let Some((first, last)) = stretch.first().zip(stretch.last()) else { return Ok(()) };
        let len = (last.end() - first.position) as usize;
        if read.len() < len {
            read.resize(len, 0);
        }
        file.read_exact_at(&mut read[..len], first.position)?;
        self.pacer.pause(len as u64)?;
        for lying in stretch.iter().rev() {
            let start = (lying.position - first.position) as usize;
            let batch = verified(file, lying.position, &read[start..start + lying.size as usize])?;
            self.meet(&batch)?;
            self.report.bytes_read += u64::from(lying.size);
        }
        Ok(())
    }

    fn meet(&mut self, batch: &BatchView<'_>) -> Result<(), CleaningError> {
        let Findings { map, superseded, refolded } = &mut self.findings;
        let (first_dirty, base_offset) = (self.first_dirty, batch.base_offset());
        let mut decides = Decides { map, superseded, first_dirty, base_offset };
        let filtered = filter::filter_from_last(batch, CAP, &mut self.buffers.filter, &mut decides)
            .map_err(|error| unreadable(batch, &error))?;
        // A tombstone may have to wait, which is the second walk's affair.
        if base_offset >= first_dirty && !filtered.has_tombstone {
            refolded.offer(batch, filtered);
        }
        Ok(())
    }

    fn walk_forwards(&mut self, segments: &[Arc<Segment>]) -> Result<(), CleaningError> {
        let mut transactions = self.transactions()?;
        for (index, segment) in segments.iter().enumerate() {
            if self.map_segment(segment, &mut transactions)? == Mapped::Full {
                return Ok(());
            }
            // Offsets that compaction took before count as seen.
            let next = segments.get(index + 1).map_or(self.upper, |next| next.base_offset);
            self.findings.map.see(next.plus(-1));
        }
        Ok(())
    }

    fn map_segment(
        &mut self,
        segment: &Segment,
        transactions: &mut Transactions,
    ) -> Result<Mapped, CleaningError> {
        let file = segment.file()?;
        let (from, end) = self.dirty_bytes(segment)?;
        let Self { findings: Findings { map, superseded, .. }, buffers, report, pacer, first_dirty, .. } =
            self;
        let mut walk = Walk::new(&*file, from, end, &mut buffers.read);
        while let Some(batch) = walk.next_batch()? {
            let bytes = batch.size_in_bytes() as u64;
            report.bytes_read += bytes;
            pacer.pause(bytes)?;
            if batch.is_control() {
                transactions.pass_control(&batch).map_err(|error| unreadable_marker(&batch, &error))?;
            } else if !transactions.pass_data(&batch) {
                let keys = &mut buffers.keys;
                keys.clear();
                filter::visit_records(&batch, CAP, &mut buffers.filter, |record| {
                    if record.offset < *first_dirty {
                        return;
                    }
                    if !record.has_value {
                        superseded.note_tombstone(batch.base_offset());
                    }
                    match record.key {
                        Some(key) => keys.push((map.prepare(key), record.offset)),
                        None => superseded.note(record.offset),
                    }
                })
                .map_err(|error| unreadable(&batch, &error))?;
                if put_keys(keys, map, superseded) == Mapped::Full {
                    return Ok(Mapped::Full);
                }
            }
            if batch.last_offset() >= *first_dirty {
                map.see(batch.last_offset());
            }
        }
        Ok(Mapped::Whole)
    }
}

fn put_keys(keys: &[(KeyHash, Offset)], map: &mut OffsetMap, superseded: &mut Superseded) -> Mapped {
    for (key, offset) in keys {
        match map.put(*key, *offset) {
            Put::New => {}
            Put::Replaced(before) if before < *offset => superseded.note(before),
            Put::Replaced(_) => superseded.give_up(),
            Put::Full => return Mapped::Full,
        }
    }
    Mapped::Whole
}

/// Whether records stay whose keys were not met behind them.
struct Decides<'f> {
    map: &'f mut OffsetMap,
    superseded: &'f mut Superseded,
    first_dirty: Offset,
    base_offset: Offset,
}

impl FromLast for Decides<'_> {
    type Prepared = Option<KeyHash>;

    fn prepare(&self, record: &Candidate<'_>) -> Option<KeyHash> {
        record.key.map(|key| self.map.prepare(key))
    }

    fn stays(&mut self, record: &Candidate<'_>, key: Option<KeyHash>) -> bool {
        if record.offset < self.first_dirty {
            return true;
        }
        if !record.has_value {
            self.superseded.note_tombstone(self.base_offset);
        }
        match key.map(|key| self.map.put_from_behind(key, record.offset)) {
            Some(Put::New) => true,
            Some(Put::Replaced(behind)) if behind > record.offset => {
                self.superseded.note(record.offset);
                false
            }
            // Out of order, or more keys than the headers told of records: nothing is known for sure.
            Some(Put::Replaced(_) | Put::Full) => {
                self.superseded.give_up();
                true
            }
            None => {
                self.superseded.note(record.offset);
                false
            }
        }
    }
}
