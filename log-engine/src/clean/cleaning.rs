//! One cleaning of one log: keys, groups, exchange. Kafka's `Cleaner`. What is decided here is decided next door, in
//! `keep`, `group` and `transactions`; the steps and what a crash leaves of each are in ADR 8.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::control::ControlError;
use crate::batch::filter::{self, Candidate, FilterBuffers, Filtered, RefoldError};
use crate::batch::{BatchView, DecompressionCap, RecordError};
use crate::limits::CLEANED_BATCH_BYTES_MAX;
use crate::log::Log;
use crate::log::compact::{CleaningTurn, ExchangeError};
use crate::segment::Segment;
use crate::segment::cleaned::CleanedSegment;
use crate::segment::scan::ReadMode;
use crate::types::{Offset, ProducerId, TimestampMs};

use super::CleanerConfig;
use super::choose::Cleanable;
use super::group::{Member, group};
use super::keep::{BatchFate, LastOfProducer, fate_of, horizon_of, keeps_record, keeps_tombstones};
use super::offset_map::{KeyHash, OffsetMap, Put};
use super::outcome::{CleaningError, CleaningReport};
use super::superseded::{Stays, Superseded};
use super::transactions::Transactions;
use super::walk::Walk;

/// The memory for what goes is this part of what there is for keys.
const SUPERSEDED_PART: u64 = 16;

const CAP: DecompressionCap = DecompressionCap::new(CLEANED_BATCH_BYTES_MAX);

/// Lets a cleaning go on: rests as long as the I/O limit wants, and ends it when the cleaner stops.
pub(super) trait Pacer {
    /// Some bytes were read or written. `false`: stop.
    fn go_on(&self, bytes: u64) -> bool;
}

pub(super) struct Cleaning<'a> {
    log: &'a Arc<Log>,
    turn: &'a CleaningTurn<'a>,
    config: &'a CleanerConfig,
    pacer: &'a dyn Pacer,
    now: TimestampMs,
    upper: Offset,
    map: OffsetMap,
    superseded: Superseded,
    buffers: Buffers,
    report: CleaningReport,
}

#[derive(Default)]
struct Buffers {
    read: Vec<u8>,
    keys: Vec<(KeyHash, Offset)>,
    filter: FilterBuffers,
    write: Vec<u8>,
}

impl<'a> Cleaning<'a> {
    pub(super) fn new(
        log: &'a Arc<Log>,
        turn: &'a CleaningTurn<'a>,
        config: &'a CleanerConfig,
        pacer: &'a dyn Pacer,
        cleanable: &Cleanable,
    ) -> Self {
        let buffer = (config.io_buffer_bytes / config.threads.max(1) as u32 / 2) as usize;
        Self {
            log,
            turn,
            config,
            pacer,
            now: log.home().clock.now(),
            upper: cleanable.first_uncleanable,
            map: OffsetMap::new(0, 0.0),
            superseded: Superseded::new(Offset::ZERO, 0),
            buffers: Buffers { read: vec![0; buffer.max(4096)], ..Buffers::default() },
            report: CleaningReport::default(),
        }
    }

    /// Cleans from the log's start to the end of what fits the map.
    pub(super) fn run(mut self, first_dirty: Offset) -> Result<CleaningReport, CleaningError> {
        self.map_keys(first_dirty)?;
        let end = self.map.latest().map_or(first_dirty, Offset::next);
        let sources = self.log.segments_before(end);
        let members: Vec<Member> = sources.iter().map(|segment| member(segment)).collect();
        let mut transactions = Transactions::default();
        let mut rest = &sources[..];
        for count in group(&members, &self.log.config(), self.upper) {
            let (sources, behind) = rest.split_at(count);
            rest = behind;
            self.clean_group(sources, &mut transactions)?;
            self.report.segments.0 += count as u32;
            self.report.segments.1 += 1;
        }
        self.report.cleaned_to = end;
        self.report.keys = self.map.len() as u64;
        Ok(self.report)
    }

    fn pause(&self, bytes: u64) -> Result<(), CleaningError> {
        if self.pacer.go_on(bytes) { Ok(()) } else { Err(CleaningError::Stopped) }
    }

    // The last offset of each key, from the first dirty record on until the map is full.
    fn map_keys(&mut self, first_dirty: Offset) -> Result<(), CleaningError> {
        let bytes = self.config.dedupe_buffer_bytes / self.config.threads.max(1) as u64;
        self.map = OffsetMap::new(bytes.min(i32::MAX as u64), self.config.load_factor);
        self.superseded = Superseded::new(first_dirty, bytes / SUPERSEDED_PART);
        let segments = self.log.segments_between(first_dirty, self.upper);
        let mut transactions = Transactions::default();
        transactions.announce(&self.log.aborted_between(first_dirty, self.upper)?);
        for (index, segment) in segments.iter().enumerate() {
            if self.map_segment(segment, first_dirty, &mut transactions)? == Mapped::Full {
                return Ok(());
            }
            // Offsets that compaction took before count as seen.
            let next = segments.get(index + 1).map_or(self.upper, |next| next.base_offset);
            self.map.see(next.plus(-1));
        }
        Ok(())
    }

    fn map_segment(
        &mut self,
        segment: &Arc<Segment>,
        first_dirty: Offset,
        transactions: &mut Transactions,
    ) -> Result<Mapped, CleaningError> {
        let file = segment.file()?;
        let (size, _) = segment.published();
        let first = segment.batch_reaching(first_dirty, size, ReadMode::Blocking)?;
        let from = first.map_or(size, |batch| batch.position);
        let Self { map, superseded, buffers, report, pacer, .. } = self;
        let mut walk = Walk::new(&*file, from, size, &mut buffers.read);
        while let Some(batch) = walk.next_batch(|_| false)? {
            let bytes = batch.size_in_bytes() as u64;
            report.bytes_read += bytes;
            if !pacer.go_on(bytes) {
                return Err(CleaningError::Stopped);
            }
            if batch.is_control() {
                transactions.pass_control(&batch).map_err(|error| unreadable_marker(&batch, &error))?;
            } else if !transactions.pass_data(&batch) {
                let keys = &mut buffers.keys;
                keys.clear();
                filter::visit_records(&batch, CAP, &mut buffers.filter, |record| {
                    if record.offset < first_dirty {
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
            if batch.last_offset() >= first_dirty {
                map.see(batch.last_offset());
            }
        }
        Ok(Mapped::Whole)
    }

    fn clean_group(
        &mut self,
        sources: &[Arc<Segment>],
        transactions: &mut Transactions,
    ) -> Result<(), CleaningError> {
        let Some((first, last)) = sources.first().zip(sources.last()) else { return Ok(()) };
        let ends: Vec<(u64, Offset)> = sources.iter().map(|source| source.published()).collect();
        let written = self.write_group(first, sources, transactions).and_then(|cleaned| {
            let (_, end) = last.published();
            let flushed = cleaned.finish(end, last.info().created);
            Ok(flushed.inspect_err(|error| self.log.note_failed_flush(error))?)
        });
        let cleaned = written.inspect_err(|_| self.log.discard_cleaned(first.base_offset))?;
        self.log.exchange_segments(self.turn, sources, &ends, &cleaned).map_err(|error| match error {
            ExchangeError::Changed => CleaningError::Changed,
            ExchangeError::Io(error) => CleaningError::Io(error),
        })
    }

    fn write_group(
        &mut self,
        first: &Segment,
        sources: &[Arc<Segment>],
        transactions: &mut Transactions,
    ) -> Result<CleanedSegment, CleaningError> {
        let path = self.log.path();
        let interval = self.log.config().index_interval_bytes;
        let mut cleaned = CleanedSegment::create(path, first.base_offset, interval)?;
        let producers = self.log.map_producers(LastOfProducer::of);
        for (index, source) in sources.iter().enumerate() {
            let (size, end) = source.published();
            // The whole of the segment counts, also where the log starts in it: the new index is made from these.
            let upper = sources.get(index + 1).map_or(end, |next| next.base_offset);
            transactions.announce(&self.log.aborted_between(source.base_offset, upper)?);
            self.clean_segment(source, size, &producers, transactions, &mut cleaned)?;
        }
        Ok(cleaned)
    }

    fn clean_segment(
        &mut self,
        source: &Segment,
        size: u64,
        producers: &HashMap<ProducerId, LastOfProducer>,
        transactions: &mut Transactions,
        cleaned: &mut CleanedSegment,
    ) -> Result<(), CleaningError> {
        let file = source.file()?;
        let mut read = std::mem::take(&mut self.buffers.read);
        let room = read.len();
        let mut walk = Walk::new(&*file, 0, size, &mut read);
        // What all or nothing stays of was verified by the first walk, and is copied as it is or not at all.
        while let Some(batch) = walk.next_batch(|batch| self.stays_of(batch) != Stays::Some)? {
            let before = self.buffers.write.len();
            let may_go = if batch.is_control() {
                let fate =
                    transactions.pass_control(&batch).map_err(|error| unreadable_marker(&batch, &error))?;
                if let Some(aborted) = &fate.aborted {
                    cleaned.append_aborted(aborted)?;
                }
                fate.may_go
            } else {
                transactions.pass_data(&batch)
            };
            let fate = fate_of(&batch, may_go, producers.get(&batch.producer_id()), self.upper, self.now);
            self.clean_batch(&batch, fate)?;
            let written = (self.buffers.write.len() - before) as u64;
            self.report.bytes_read += batch.size_in_bytes() as u64;
            self.report.bytes_written += written;
            self.pause(batch.size_in_bytes() as u64 + written)?;
            if self.buffers.write.len() >= room {
                cleaned.append(&self.buffers.write)?;
                self.buffers.write.clear();
            }
        }
        cleaned.append(&self.buffers.write)?;
        self.buffers.write.clear();
        self.buffers.read = read;
        Ok(())
    }

    // What the first walk found out of a batch, if it came to its end.
    fn stays_of(&self, batch: &BatchView<'_>) -> Stays {
        if batch.is_control() || self.map.latest().is_none_or(|end| batch.last_offset() > end) {
            return Stays::Some;
        }
        self.superseded.of_batch(batch.base_offset()..=batch.last_offset(), batch.record_count())
    }

    // What is left of a batch goes to the write buffer.
    fn clean_batch(&mut self, batch: &BatchView<'_>, fate: BatchFate) -> Result<(), CleaningError> {
        let stays = if fate.drops_records { Stays::None } else { self.stays_of(batch) };
        let Self { map, superseded, buffers, report, now, .. } = self;
        let count = u64::from(batch.record_count().unsigned_abs());
        match stays {
            Stays::None => {
                report.records_read += count;
                if fate.keeps_header {
                    filter::write_emptied(batch, &mut buffers.write);
                }
                return Ok(());
            }
            Stays::All => {
                report.records_read += count;
                report.records_kept += count;
                buffers.write.extend_from_slice(batch.as_bytes());
                return Ok(());
            }
            Stays::Some => {}
        }
        let filtered = filter_batch(batch, map, superseded, &mut buffers.filter, *now)
            .map_err(|error| unreadable(batch, &error))?;
        report.records_read += u64::from(filtered.read);
        report.records_kept += u64::from(filtered.kept());
        if filtered.kept() == 0 {
            if fate.keeps_header {
                filter::write_emptied(batch, &mut buffers.write);
            }
            return Ok(());
        }
        let waits = filtered.has_tombstone || fate.is_spent_marker;
        let horizon = horizon_of(batch, waits, *now, self.log.config().delete_retention_ms);
        if filtered.is_whole() && horizon == batch.delete_horizon() {
            buffers.write.extend_from_slice(batch.as_bytes());
            return Ok(());
        }
        filtered.write(horizon, &mut buffers.write).map_err(|error| match error {
            RefoldError::Codec(error) => CleaningError::Io(error),
            RefoldError::TooLong => CleaningError::batch(batch, &error),
        })
    }
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Mapped {
    Whole,
    Full,
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

fn filter_batch<'b>(
    batch: &BatchView<'b>,
    map: &OffsetMap,
    superseded: &Superseded,
    buffers: &'b mut FilterBuffers,
    now: TimestampMs,
) -> Result<Filtered<'b>, RecordError> {
    if batch.is_control() {
        return filter::filter_at_once(batch, CAP, buffers, |_| true);
    }
    let keeps_tombstones = keeps_tombstones(batch, now);
    let keeps = |record: &Candidate<'_>, is_superseded: &dyn Fn() -> bool| {
        let has_key = record.key.is_some();
        keeps_record(record.offset, has_key, record.has_value, keeps_tombstones, map.latest(), is_superseded)
    };
    if superseded.has(batch.base_offset()).is_some() {
        return filter::filter_at_once(batch, CAP, buffers, |record| {
            keeps(record, &|| superseded.has(record.offset) == Some(true))
        });
    }
    let prepare = |record: &Candidate<'_>| record.key.map(|key| map.prepare(key));
    filter::filter(batch, CAP, buffers, prepare, |record, key| {
        keeps(record, &|| key.and_then(|key| map.get(key)).is_some_and(|latest| record.offset < latest))
    })
}

fn member(segment: &Segment) -> Member {
    let (offset_index_bytes, time_index_bytes) = segment.index_bytes();
    let (size_bytes, _) = segment.published();
    Member { base_offset: segment.base_offset, size_bytes, offset_index_bytes, time_index_bytes }
}

fn unreadable(batch: &BatchView<'_>, error: &RecordError) -> CleaningError {
    CleaningError::batch(batch, error)
}

fn unreadable_marker(batch: &BatchView<'_>, error: &ControlError) -> CleaningError {
    CleaningError::batch(batch, error)
}
