//! One cleaning of one log: keys, groups, exchange. Kafka's `Cleaner`. What is decided here is decided next door, in
//! `keep`, `group` and `transactions`; the steps and what a crash leaves of each are in ADR 8.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::control::ControlError;
use crate::batch::filter::{self, Candidate, FilterBuffers, Filtered, RefoldError};
use crate::batch::{BatchHeader, BatchView, DecompressionCap, HEADER_LEN, RecordError};
use crate::limits::CLEANED_BATCH_BYTES_MAX;
use crate::log::Log;
use crate::log::compact::{CleaningTurn, ExchangeError};
use crate::segment::Segment;
use crate::segment::cleaned::CleanedSegment;
use crate::types::{Offset, ProducerId, TimestampMs};

use super::CleanerConfig;
use super::choose::Cleanable;
use super::group::{Member, group};
use super::keep::{BatchFate, LastOfProducer, fate_of, horizon_of, keeps_record, keeps_tombstones};
use super::keys::{Findings, KeyWalk};
use super::offset_map::KeyHash;
use super::outcome::{CleaningError, CleaningReport};
use super::superseded::Stays;
use super::transactions::Transactions;
use super::walk::{Found, Walk, Wanted};

pub(super) const CAP: DecompressionCap = DecompressionCap::new(CLEANED_BATCH_BYTES_MAX);

/// Lets a cleaning go on: rests as long as the I/O limit wants, and ends it when the cleaner stops.
pub(super) trait Pacer {
    /// Some bytes were read or written. `false`: stop.
    fn go_on(&self, bytes: u64) -> bool;

    /// The same, for a cleaning that ends where it is told to stop.
    fn pause(&self, bytes: u64) -> Result<(), CleaningError> {
        if self.go_on(bytes) { Ok(()) } else { Err(CleaningError::Stopped) }
    }
}

pub(super) struct Cleaning<'a> {
    log: &'a Arc<Log>,
    turn: &'a CleaningTurn<'a>,
    config: &'a CleanerConfig,
    pacer: &'a dyn Pacer,
    now: TimestampMs,
    upper: Offset,
    buffers: Buffers,
    report: CleaningReport,
}

/// Room that is kept from batch to batch.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) read: Vec<u8>,
    pub(super) keys: Vec<(KeyHash, Offset)>,
    pub(super) filter: FilterBuffers,
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
            buffers: Buffers { read: vec![0; buffer.max(4096)], ..Buffers::default() },
            report: CleaningReport::default(),
        }
    }

    /// Cleans from the log's start to the end of what fits the map.
    pub(super) fn run(mut self, first_dirty: Offset) -> Result<CleaningReport, CleaningError> {
        let Self { log, config, pacer, upper, .. } = self;
        let walk =
            KeyWalk::new(log, config, pacer, (first_dirty, upper), &mut self.buffers, &mut self.report);
        let mut findings = walk.run()?;
        let end = findings.map.latest().map_or(first_dirty, Offset::next);
        let sources = self.log.segments_before(end);
        let members: Vec<Member> = sources.iter().map(|segment| member(segment)).collect();
        let mut transactions = Transactions::default();
        let mut rest = &sources[..];
        for count in group(&members, &self.log.config(), self.upper) {
            let (sources, behind) = rest.split_at(count);
            rest = behind;
            self.clean_group(sources, &mut findings, &mut transactions)?;
            self.report.segments.0 += count as u32;
            self.report.segments.1 += 1;
        }
        self.report.cleaned_to = end;
        self.report.keys = findings.map.len() as u64;
        Ok(self.report)
    }

    fn clean_group(
        &mut self,
        sources: &[Arc<Segment>],
        findings: &mut Findings,
        transactions: &mut Transactions,
    ) -> Result<(), CleaningError> {
        let Some((first, last)) = sources.first().zip(sources.last()) else { return Ok(()) };
        let ends: Vec<(u64, Offset)> = sources.iter().map(|source| source.published()).collect();
        let written = self.write_group(first, sources, findings, transactions).and_then(|cleaned| {
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
        findings: &mut Findings,
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
            self.clean_segment((source, size), &producers, findings, transactions, &mut cleaned)?;
        }
        Ok(cleaned)
    }

    fn clean_segment(
        &mut self,
        (source, size): (&Segment, u64),
        producers: &HashMap<ProducerId, LastOfProducer>,
        findings: &mut Findings,
        transactions: &mut Transactions,
        cleaned: &mut CleanedSegment,
    ) -> Result<(), CleaningError> {
        let file = source.file()?;
        let mut read = std::mem::take(&mut self.buffers.read);
        let room = read.len();
        let mut walk = Walk::new(&*file, 0, size, &mut read);
        while let Some(found) = walk.next(|header| wanted(header, findings))? {
            let before = self.buffers.write.len();
            let header = &found.header;
            let may_go = match &found.batch {
                Some(batch) if batch.is_control() => {
                    let fate =
                        transactions.pass_control(batch).map_err(|error| unreadable_marker(batch, &error))?;
                    if let Some(aborted) = &fate.aborted {
                        cleaned.append_aborted(aborted)?;
                    }
                    fate.may_go
                }
                _ => transactions.pass_data(header),
            };
            let fate = fate_of(header, may_go, producers.get(&header.producer_id()), self.upper, self.now);
            self.clean_batch(&found, fate, findings)?;
            let written = (self.buffers.write.len() - before) as u64;
            self.report.bytes_read += found.batch.map_or(HEADER_LEN, |batch| batch.size_in_bytes()) as u64;
            self.report.bytes_written += written;
            self.pacer.pause(walk.take_read() + written)?;
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

    // What is left of a batch goes to the write buffer.
    fn clean_batch(
        &mut self,
        found: &Found<'_>,
        fate: BatchFate,
        findings: &mut Findings,
    ) -> Result<(), CleaningError> {
        let header = &found.header;
        let stays = if fate.drops_records { Stays::None } else { findings.stays_of(header) };
        let refolded = findings.take_refolded(header).filter(|_| stays == Stays::Some);
        let Self { buffers, report, now, .. } = self;
        let count = u64::from(header.record_count().unsigned_abs());
        match (stays, &found.batch) {
            (Stays::None, _) => {
                report.records_read += count;
                if fate.keeps_header {
                    filter::write_emptied(header, &mut buffers.write);
                }
                return Ok(());
            }
            (Stays::All, Some(batch)) => {
                report.records_read += count;
                report.records_kept += count;
                buffers.write.extend_from_slice(batch.as_bytes());
                return Ok(());
            }
            _ => {}
        }
        if let Some(refolded) = refolded {
            report.records_read += count;
            report.records_kept += kept_in(&refolded);
            buffers.write.extend_from_slice(&refolded);
            return Ok(());
        }
        let Some(batch) = &found.batch else { return Err(CleaningError::Changed) };
        let filtered = filter_batch(batch, findings, &mut buffers.filter, *now)
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

// As much of a batch as is needed: what nothing stays of, or what is folded again already, was verified by the first walk, and
// what stays as it lies was, too.
fn wanted(header: &BatchHeader<'_>, findings: &Findings) -> Wanted {
    match findings.stays_of(header) {
        Stays::None => Wanted::Header,
        Stays::All => Wanted::Bytes,
        Stays::Some if findings.has_refolded(header) => Wanted::Header,
        Stays::Some => Wanted::Verified,
    }
}

fn kept_in(refolded: &[u8]) -> u64 {
    BatchHeader::read(refolded).map_or(0, |header| u64::from(header.record_count().unsigned_abs()))
}

fn filter_batch<'b>(
    batch: &BatchView<'b>,
    Findings { map, superseded, .. }: &Findings,
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

pub(super) fn unreadable(batch: &BatchView<'_>, error: &RecordError) -> CleaningError {
    CleaningError::batch(batch, error)
}

pub(super) fn unreadable_marker(batch: &BatchView<'_>, error: &ControlError) -> CleaningError {
    CleaningError::batch(batch, error)
}
