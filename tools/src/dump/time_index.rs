//! `.timeindex` files: from which offset on records are younger than a time.
//!
//! ```text
//! timestamp i64 | relative offset i32
//! ```

use std::path::Path;

use super::{
    DumpError, Session, base_offset,
    damage::Rule,
    extent::{batch_ends, max_timestamp_at},
    index_file::IndexFile,
    offset_index::{OffsetIndex, sibling},
    refused,
    segment::Segment,
};

const ENTRY: usize = 12;

/// One entry.
#[derive(Clone, Copy)]
struct TimestampOffset {
    timestamp: i64,
    offset: i64,
}

/// What a time index is checked against.
struct Log {
    index: OffsetIndex,
    segment: Segment,
}

impl Session<'_> {
    pub(super) fn dump_time_index(&mut self, file: &Path, name: &str) -> Result<(), DumpError> {
        let base_offset = base_offset(file, name)?;
        let (log, index) = (sibling(file, name, ".log"), sibling(file, name, ".index"));
        let segment = Segment::open(&log, u64::MAX).map_err(refused(&log))?;
        let index = OffsetIndex::open(&index, base_offset).map_err(refused(&index))?;
        let mut times = IndexFile::<ENTRY>::open(file).map_err(refused(file))?;
        if self.options.checks_index_sanity_only() {
            if self.time_index_is_sane(file, &mut times, base_offset)? {
                self.say(file, "passed sanity check.");
            }
            return Ok(());
        }
        self.dump_times(file, &mut times, base_offset, &mut Log { index, segment })?;
        self.check_index_size(file, times.length(), ENTRY as u64);
        Ok(())
    }

    fn time_index_is_sane(
        &mut self,
        file: &Path,
        times: &mut IndexFile<ENTRY>,
        base_offset: i64,
    ) -> Result<bool, DumpError> {
        if let Some(last) = times.entries().checked_sub(1) {
            let first_entry = entry(times, 0, base_offset).map_err(refused(file))?;
            let last_entry = entry(times, last, base_offset).map_err(refused(file))?;
            let rule = if last_entry.timestamp < first_entry.timestamp {
                Some(Rule::TimestampsGoBack { first: first_entry.timestamp, last: last_entry.timestamp })
            } else if last_entry.offset < base_offset {
                Some(Rule::IndexBehindBase { last_offset: last_entry.offset, base_offset })
            } else {
                None
            };
            if let Some(rule) = rule {
                self.damage(file, last * ENTRY as u64, rule);
                return Ok(false);
            }
        }
        Ok(self.check_index_size(file, times.length(), ENTRY as u64))
    }

    fn dump_times(
        &mut self,
        file: &Path,
        times: &mut IndexFile<ENTRY>,
        base_offset: i64,
        log: &mut Log,
    ) -> Result<(), DumpError> {
        let mut previous = -1;
        for number in 0..times.entries() {
            let found = entry(times, number, base_offset).map_err(refused(file))?;
            // Zeros behind the last entry: an index that was not closed keeps its preallocated size.
            if number > 0 && found.offset == base_offset {
                break;
            }
            if let Err(rule) = self.check_time(file, found, previous, log)? {
                self.damage(file, number * ENTRY as u64, rule);
            }
            if !self.options.verifies_index_only() {
                self.time_entry(found);
            }
            previous = found.timestamp;
            if self.out.is_closed() {
                break;
            }
        }
        Ok(())
    }

    /// Compares an entry with the batch that it names.
    fn check_time(
        &mut self,
        file: &Path,
        entry: TimestampOffset,
        previous: i64,
        log: &mut Log,
    ) -> Result<Result<(), Rule>, DumpError> {
        let from = log.index.lookup(entry.offset).map_err(refused(file))?.position;
        let nowhere = Rule::PointsNowhere { offset: entry.offset, target: from.into() };
        let Some(mut position) = u64::try_from(from).ok().filter(|from| *from <= log.segment.end()) else {
            return Ok(Err(nowhere));
        };
        let mut found = -1;
        while let Some(ends) = batch_ends(&mut log.segment, position, i32::MAX).map_err(refused(file))? {
            if ends.last_offset >= entry.offset {
                found = ends.last_offset;
                break;
            }
            position = ends.next;
        }
        if found != entry.offset {
            // Zeros from the beginning on: nothing was indexed yet, and the index was not closed.
            self.is_damaged |= entry.timestamp != 0;
            self.offset_not_found(file, entry.offset, found);
            return Ok(Ok(()));
        }
        let max_timestamp = match max_timestamp_at(&mut log.segment, position).map_err(refused(file))? {
            Ok(max_timestamp) => max_timestamp,
            Err(rule) => return Ok(Err(rule)),
        };
        if max_timestamp != entry.timestamp {
            // Compaction may leave a batch without a record; the entry still tells its largest timestamp.
            self.is_damaged |= max_timestamp != -1;
            self.time_mismatch(file, entry.timestamp, max_timestamp);
        }
        if previous >= entry.timestamp {
            self.is_damaged = true;
            self.time_out_of_order(file, entry.timestamp, previous);
        }
        Ok(Ok(()))
    }

    fn offset_not_found(&mut self, file: &Path, index_offset: i64, log_offset: i64) {
        if self.options.is_json() {
            self.json_line("timeIndexOffsetNotFound", |line| {
                line.int("indexOffset", index_offset).int("logOffset", log_offset)
            });
        }
        if let Some(text) = self.offsets_not_found.add(file, index_offset, log_offset) {
            let _ = self.errors.write_all(text.as_bytes());
        }
    }

    fn time_mismatch(&mut self, file: &Path, index_timestamp: i64, log_timestamp: i64) {
        if self.options.is_json() {
            self.json_line("timeIndexMismatch", |line| {
                line.int("indexTimestamp", index_timestamp).int("logTimestamp", log_timestamp)
            });
        }
        if let Some(text) = self.timestamp_mismatches.add(file, index_timestamp, log_timestamp) {
            let _ = self.errors.write_all(text.as_bytes());
        }
    }

    fn time_out_of_order(&mut self, file: &Path, timestamp: i64, previous: i64) {
        if self.options.is_json() {
            self.json_line("timeIndexOutOfOrder", |line| {
                line.int("timestamp", timestamp).int("previousTimestamp", previous)
            });
        }
        if let Some(text) = self.timestamps_out_of_order.add(file, timestamp, previous) {
            let _ = self.errors.write_all(text.as_bytes());
        }
    }

    fn time_entry(&mut self, entry: TimestampOffset) {
        if self.options.is_json() {
            self.json_line("timeIndexEntry", |line| {
                line.int("timestamp", entry.timestamp).int("offset", entry.offset)
            });
        } else {
            self.out.str("timestamp: ").int(entry.timestamp).str(" offset: ").int(entry.offset).end_line();
        }
    }
}

fn entry(times: &mut IndexFile<ENTRY>, number: u64, base_offset: i64) -> std::io::Result<TimestampOffset> {
    let bytes = times.entry(number)?;
    let [a, b, c, d, e, f, g, h, relative @ ..] = bytes;
    let timestamp = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    Ok(TimestampOffset { timestamp, offset: base_offset.wrapping_add(i32::from_be_bytes(relative).into()) })
}
