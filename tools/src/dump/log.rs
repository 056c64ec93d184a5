//! `.log` files and the metadata log's `.checkpoint` snapshots: a line per batch.

use std::{ops::ControlFlow, path::Path};

use log_engine::batch::{BatchHeader, BatchView, HEADER_LEN, Prefix, TimestampType};

use super::{
    DumpError, Session, base_offset, checkpoint,
    damage::Rule,
    decoder::MessageParser,
    extent::{Extent, as_format_2, extent, header_rule, large_batch_checksum},
    json::Line,
    refused,
    resume::SEARCH_BYTES_MAX,
    segment::Segment,
    text::push_int,
};

/// What one file is dumped with.
pub(super) struct LogDump<'f> {
    pub(super) file: &'f Path,
    pub(super) parser: MessageParser,
    pub(super) is_deep: bool,
    pub(super) prints_data: bool,
    pub(super) skips_metadata: bool,
    /// The offset of the last record shown, -1 before the first.
    pub(super) last_offset: i64,
    /// The lowest offset that the next batch may begin with.
    next_offset: i64,
    /// What may still be checksummed in search of a batch.
    pub(super) search_budget: u64,
}

impl Session<'_> {
    pub(super) fn dump_log(&mut self, file: &Path, name: &str) -> Result<(), DumpError> {
        let mut dump = LogDump {
            file,
            parser: self.parser()?,
            is_deep: self.options.is_deep(),
            prints_data: self.options.prints_data(),
            skips_metadata: self.options.skips_record_metadata(),
            last_offset: -1,
            next_offset: if name.ends_with(".log") { base_offset(file, name)? } else { 0 },
            search_budget: SEARCH_BYTES_MAX,
        };
        let max_bytes = self.options.max_bytes()?;
        self.title(file, name)?;
        let limit = u64::try_from(max_bytes).map_err(|_| DumpError::NegativeLimit(max_bytes))?;
        let mut segment = Segment::open(file, limit).map_err(refused(file))?;
        self.dump_batches(&mut dump, &mut segment)
    }

    fn title(&mut self, file: &Path, name: &str) -> Result<(), DumpError> {
        if name.ends_with(".checkpoint") {
            return self.checkpoint_title(file, name);
        }
        let base_offset = base_offset(file, name)?;
        if self.options.is_json() {
            self.json_line("log", |line| line.int("startingOffset", base_offset));
        } else {
            self.out.str("Log starting offset: ").int(base_offset).end_line();
        }
        Ok(())
    }

    fn checkpoint_title(&mut self, file: &Path, name: &str) -> Result<(), DumpError> {
        if name == "bootstrap.checkpoint" {
            if self.options.is_json() {
                self.json_line("bootstrapSnapshot", |line| line);
            } else {
                self.out.str("KRaft bootstrap snapshot").end_line();
            }
            return Ok(());
        }
        let (end_offset, epoch) =
            checkpoint::parse_name(name).ok_or_else(|| DumpError::Name(file.to_owned()))?;
        if self.options.is_json() {
            self.json_line("snapshot", |line| line.int("endOffset", end_offset).int("epoch", epoch));
        } else {
            self.out.str("Snapshot end offset: ").int(end_offset).str(", epoch: ").int(epoch).end_line();
        }
        Ok(())
    }

    /// Shows batch after batch.
    fn dump_batches(&mut self, dump: &mut LogDump<'_>, segment: &mut Segment) -> Result<(), DumpError> {
        let mut position = 0;
        while position + (Prefix::LEN as u64) < segment.end() && !self.out.is_closed() {
            let next = match extent(segment, position).map_err(refused(dump.file))? {
                Ok(extent) if position + extent.size > segment.end() => {
                    if segment.is_cut_by_limit() {
                        return Ok(());
                    }
                    let rule = Rule::BatchCutShort(segment.end() - position);
                    self.search(dump, segment, position, rule)?
                }
                Ok(extent) => self.dump_batch(dump, segment, position, &extent)?,
                Err(rule) => self.search(dump, segment, position, rule)?,
            };
            match next {
                ControlFlow::Continue(next) => position = next,
                ControlFlow::Break(()) => return Ok(()),
            }
        }
        if position < segment.end() && !segment.is_cut_by_limit() && !self.out.is_closed() {
            self.found_invalid_bytes(dump, segment, position);
            self.damage(dump.file, position, Rule::BatchCutShort(segment.end() - position));
        }
        Ok(())
    }

    /// Shows the batch at `position` and returns where the next one begins.
    fn dump_batch(
        &mut self,
        dump: &mut LogDump<'_>,
        segment: &mut Segment,
        position: u64,
        extent: &Extent,
    ) -> Result<ControlFlow<(), u64>, DumpError> {
        let next = position + extent.size;
        if (0..2).contains(&extent.magic) {
            self.dump_legacy_batch(dump, segment, position, extent.size)?;
            return Ok(ControlFlow::Continue(next));
        }
        let file = dump.file;
        let checksum = large_batch_checksum(segment, position, extent.size).map_err(refused(file))?;
        let held = if checksum.is_some_and(|checksum| !checksum.is_valid()) {
            HEADER_LEN
        } else {
            extent.size as usize
        };
        let bytes = segment.bytes(position, held).map_err(refused(file))?;
        let patched = as_format_2(bytes, extent);
        let bytes = patched.as_deref().unwrap_or(bytes);
        let header = match BatchHeader::read(bytes) {
            Ok(header) => header,
            Err(error) => {
                self.damage(file, position, header_rule(&error, extent));
                return self.after_doubtful_batch(dump, segment, position, next);
            }
        };
        let whole = BatchView::read(bytes).ok();
        let computed = match (checksum, whole) {
            (Some(checksum), _) => checksum.computed,
            (None, Some(batch)) => batch.computed_crc(),
            (None, None) => return Ok(ControlFlow::Break(())),
        };
        let is_valid = computed == header.crc();
        self.batch_line(&header, extent.magic, position, is_valid);
        if extent.magic > 2 {
            self.damage(file, position, Rule::UnknownMagic(extent.magic));
        }
        self.check_order(dump, header.base_offset().get(), header.last_offset().get(), position);
        if let Err(codec) = header.compression() {
            self.damage(file, position, Rule::UnknownCodec(codec));
        } else if !is_valid {
            self.damage(file, position, Rule::CrcMismatch { stored: header.crc(), computed });
        }
        if dump.is_deep
            && header.compression().is_ok()
            && let Some(batch) = whole
        {
            self.dump_records(dump, &batch, position);
        }
        if is_valid {
            Ok(ControlFlow::Continue(next))
        } else {
            self.after_doubtful_batch(dump, segment, position, next)
        }
    }

    /// Offsets only grow from batch to batch; the checksum does not cover them.
    pub(super) fn check_order(&mut self, dump: &mut LogDump<'_>, first: i64, last: i64, position: u64) {
        if first < dump.next_offset {
            self.damage(dump.file, position, Rule::OffsetsGoBack { found: first, lowest: dump.next_offset });
        }
        dump.next_offset = last.wrapping_add(1);
    }

    fn batch_line(&mut self, header: &BatchHeader<'_>, magic: i8, position: u64, is_valid: bool) {
        if self.options.is_json() {
            self.json_line("batch", |line| json_batch(line, header, magic, position, is_valid));
            return;
        }
        self.out
            .str("baseOffset: ")
            .int(header.base_offset().get())
            .str(" lastOffset: ")
            .int(header.last_offset().get())
            .str(" count: ")
            .int(header.record_count())
            .str(" baseSequence: ")
            .int(header.base_sequence().get())
            .str(" lastSequence: ")
            .int(last_sequence(header))
            .str(" producerId: ")
            .int(header.producer_id().get())
            .str(" producerEpoch: ")
            .int(header.producer_epoch().get())
            .str(" partitionLeaderEpoch: ")
            .int(header.leader_epoch().get())
            .str(" isTransactional: ")
            .bool(header.is_transactional())
            .str(" isControl: ")
            .bool(header.is_control())
            .str(" deleteHorizonMs: ")
            .with(|out| push_optional_long(out, header.delete_horizon().map(|horizon| horizon.get())))
            .str(" position: ")
            .int(position as i64)
            .str(" ")
            .str(timestamp_type_name(header.timestamp_type()))
            .str(": ")
            .int(header.max_timestamp().get())
            .str(" size: ")
            .int(header.size_in_bytes() as i64)
            .str(" magic: ")
            .int(magic)
            .str(" compresscodec: ")
            .str(header.compression().map_or("unknown", |codec| codec.name()))
            .str(" crc: ")
            .int(header.crc())
            .str(" isvalid: ")
            .bool(is_valid)
            .end_line();
    }

    /// What Kafka says where it finds no further batch. Under `--max-bytes` it says nothing.
    pub(super) fn found_invalid_bytes(&mut self, dump: &LogDump<'_>, segment: &Segment, position: u64) {
        let is_unlimited = self.options.max_bytes().is_ok_and(|limit| limit == i32::MAX);
        if is_unlimited && !self.options.is_json() {
            let name = dump.file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            self.out
                .str("Found ")
                .int((segment.end() - position) as i64)
                .str(" invalid bytes at the end of ")
                .str(&name)
                .end_line();
        }
    }
}

/// As Kafka's `DefaultRecordBatch` counts, also from a base sequence below zero, which only damage leaves.
fn last_sequence(header: &BatchHeader<'_>) -> i32 {
    let (base, delta) = (header.base_sequence().get(), header.last_offset_delta());
    let room = i32::MAX.wrapping_sub(delta);
    if base == -1 {
        -1
    } else if base > room {
        delta.wrapping_sub(i32::MAX.wrapping_sub(base)).wrapping_sub(1)
    } else {
        base.wrapping_add(delta)
    }
}

pub(super) fn timestamp_type_name(timestamp_type: TimestampType) -> &'static str {
    match timestamp_type {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

/// As Java's `OptionalLong` shows itself.
pub(super) fn push_optional_long(out: &mut Vec<u8>, number: Option<i64>) {
    match number {
        Some(number) => {
            out.extend_from_slice(b"OptionalLong[");
            push_int(out, number);
            out.push(b']');
        }
        None => out.extend_from_slice(b"OptionalLong.empty"),
    }
}

fn json_batch<'o>(
    line: Line<'o>,
    header: &BatchHeader<'_>,
    magic: i8,
    position: u64,
    is_valid: bool,
) -> Line<'o> {
    line.int("baseOffset", header.base_offset().get())
        .int("lastOffset", header.last_offset().get())
        .int("count", header.record_count())
        .int("baseSequence", header.base_sequence().get())
        .int("lastSequence", last_sequence(header))
        .int("producerId", header.producer_id().get())
        .int("producerEpoch", header.producer_epoch().get())
        .int("partitionLeaderEpoch", header.leader_epoch().get())
        .bool("isTransactional", header.is_transactional())
        .bool("isControl", header.is_control())
        .int_or_null("deleteHorizonMs", header.delete_horizon().map(|horizon| horizon.get()))
        .int("position", position as i64)
        .str("timestampType", timestamp_type_name(header.timestamp_type()))
        .int("maxTimestamp", header.max_timestamp().get())
        .int("size", header.size_in_bytes() as i64)
        .int("magic", magic)
        .str("codec", header.compression().map_or("unknown", |codec| codec.name()))
        .int("crc", header.crc())
        .bool("isValid", is_valid)
}
