//! One cleaning of one log: keys, groups, exchange. Kafka's `Cleaner`. What is decided here is decided next door, in
//! `keep`, `group` and `transactions`; the steps and what a crash leaves of each are in ADR 8.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::batch::control::ControlError;
use crate::batch::filter::{self, FilterBuffers, RefoldError};
use crate::batch::{BatchView, DecompressionCap, RecordError};
use crate::error::{Corruption, ReadError};
use crate::io::is_shortage;
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
use super::offset_map::{KeyHash, OffsetMap};
use super::transactions::Transactions;
use super::walk::{Walk, WalkError};

const CAP: DecompressionCap = DecompressionCap::new(CLEANED_BATCH_BYTES_MAX);

/// What a cleaning did.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct CleaningReport {
    /// The log is compacted up to here.
    pub cleaned_to: Offset,
    /// Bytes of batches that were read, those read for their keys and again for their records counted twice.
    pub bytes_read: u64,
    /// Bytes of batches that were written.
    pub bytes_written: u64,
    /// Records that were looked at to be kept or not.
    pub records_read: u64,
    /// Records that stayed.
    pub records_kept: u64,
    /// Keys in the dirty part.
    pub keys: u64,
    /// Segments there were and segments there are of them.
    pub segments: (u32, u32),
}

/// Why a log was not cleaned.
#[derive(Debug, thiserror::Error)]
pub enum CleaningError {
    /// The cleaner was told to stop.
    #[error("the cleaner stops")]
    Stopped,
    /// Somebody else cleans the log.
    #[error("the log is being cleaned")]
    Busy,
    /// Records were cut or deleted meanwhile; nothing is lost, and the log can be cleaned again.
    #[error("the log was cut while it was cleaned")]
    Changed,
    /// Damage was found. The log is left alone until the next start.
    #[error(transparent)]
    Corrupt(Box<Corruption>),
    /// A batch that cannot be cleaned. The log is left alone until the next start.
    #[error("the batch at offset {offset}: {reason}")]
    Batch {
        /// Where the batch begins.
        offset: Offset,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk failed. The log is left alone until the next start, unless the disk was merely full.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl CleaningError {
    /// Whether trying again may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Stopped | Self::Busy | Self::Changed => true,
            Self::Io(error) => is_shortage(error),
            Self::Corrupt(_) | Self::Batch { .. } => false,
        }
    }

    fn batch(batch: &BatchView<'_>, reason: &dyn std::fmt::Display) -> Self {
        Self::Batch { offset: batch.base_offset(), reason: reason.to_string() }
    }
}

impl From<WalkError> for CleaningError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Io(error) => Self::Io(error),
            WalkError::Corrupt(corruption) => Self::Corrupt(corruption),
            WalkError::OldFormat { .. } => Self::Io(io::Error::other(error.to_string())),
        }
    }
}

impl From<ReadError> for CleaningError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Io(error),
            ReadError::Corrupt(corruption) => Self::Corrupt(Box::new(corruption)),
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }
}

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
        let Self { map, buffers, report, pacer, .. } = self;
        let mut walk = Walk::new(&*file, from, size, &mut buffers.read);
        while let Some(batch) = walk.next_batch()? {
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
                    if record.offset >= first_dirty {
                        keys.extend(record.key.map(|key| (map.prepare(key), record.offset)));
                    }
                })
                .map_err(|error| unreadable(&batch, &error))?;
                if !keys.iter().all(|(key, offset)| map.put(*key, *offset)) {
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
        let (disk, path) = (&self.log.home().disk, self.log.path());
        let interval = self.log.config().index_interval_bytes;
        let mut cleaned = CleanedSegment::create(disk, path, first.base_offset, interval)?;
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
        while let Some(batch) = walk.next_batch()? {
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

    // What is left of a batch goes to the write buffer.
    fn clean_batch(&mut self, batch: &BatchView<'_>, fate: BatchFate) -> Result<(), CleaningError> {
        let Self { map, buffers, report, now, .. } = self;
        if fate.drops_records {
            report.records_read += u64::from(batch.record_count().unsigned_abs());
            if fate.keeps_header {
                filter::write_emptied(batch, &mut buffers.write);
            }
            return Ok(());
        }
        let is_control = batch.is_control();
        let keeps_tombstones = keeps_tombstones(batch, *now);
        let mapped_to = map.latest();
        let prepare = |record: &filter::Candidate<'_>| {
            if is_control { None } else { record.key.map(|key| map.prepare(key)) }
        };
        let stays = |record: &filter::Candidate<'_>, key: Option<KeyHash>| {
            is_control
                || keeps_record(
                    record.offset,
                    record.key.is_some(),
                    record.has_value,
                    keeps_tombstones,
                    mapped_to,
                    || key.and_then(|key| map.get(key)),
                )
        };
        let filtered = filter::filter(batch, CAP, &mut buffers.filter, prepare, stays)
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
