//! `.log` files and the metadata log's `.checkpoint` snapshots: a line per batch, and going on after damage.

use std::{ops::ControlFlow, path::Path};

use log_engine::batch::{
    BatchHeader, BatchView, HEADER_LEN, HeaderError, LOG_OVERHEAD, Prefix, TimestampType, legacy::LegacyView,
};

use super::{
    DumpError, Session, base_offset, checkpoint,
    damage::Rule,
    decoder::MessageParser,
    json::Line,
    records, refused,
    segment::{READ_AHEAD, Segment},
    text::push_int,
};

/// The smallest length that any batch can claim: that of an empty message of format 0.
const LENGTH_MIN: i32 = 14;

/// Batches up to this size are held in memory as they come; of larger ones the checksum is asked first, in pieces.
const HELD_UNASKED: usize = 4 * 1024 * 1024;

/// Bytes that are checksummed in search of the next whole batch, over one file.
const SEARCH_BYTES_MAX: u64 = 1 << 30;

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
    search_budget: u64,
}

/// A batch as far as its first 17 bytes tell.
struct Extent {
    size: u64,
    magic: i8,
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

    /// A batch that is not what was written may also have lost its size: where nothing like a batch follows, the next
    /// whole one is looked for.
    fn after_doubtful_batch(
        &mut self,
        dump: &mut LogDump<'_>,
        segment: &mut Segment,
        position: u64,
        next: u64,
    ) -> Result<ControlFlow<(), u64>, DumpError> {
        let is_end = next + Prefix::LEN as u64 >= segment.end();
        let follows = !is_end
            && extent(segment, next)
                .map_err(refused(dump.file))?
                .is_ok_and(|extent| (0..=2).contains(&extent.magic) && next + extent.size <= segment.end());
        if is_end || follows {
            return Ok(ControlFlow::Continue(next));
        }
        Ok(match self.next_valid_batch(dump, segment, position + 1)? {
            Some(found) if found < next => {
                self.damage(dump.file, position, Rule::Skipped(found - position, found));
                ControlFlow::Continue(found)
            }
            _ => ControlFlow::Continue(next),
        })
    }

    /// Tells what is wrong at `position` and looks for the next whole batch.
    fn search(
        &mut self,
        dump: &mut LogDump<'_>,
        segment: &mut Segment,
        position: u64,
        rule: Rule,
    ) -> Result<ControlFlow<(), u64>, DumpError> {
        if matches!(rule, Rule::BatchCutShort(_)) {
            self.found_invalid_bytes(dump, segment, position);
        }
        let found = self.next_valid_batch(dump, segment, position + 1)?;
        self.damage(dump.file, position, rule);
        match found {
            Some(found) => {
                self.damage(dump.file, position, Rule::Skipped(found - position, found));
                Ok(ControlFlow::Continue(found))
            }
            None => Ok(ControlFlow::Break(())),
        }
    }

    /// The first position from `from` on where a batch of format 2 lies whole, with the right checksum.
    fn next_valid_batch(
        &mut self,
        dump: &mut LogDump<'_>,
        segment: &mut Segment,
        mut from: u64,
    ) -> Result<Option<u64>, DumpError> {
        while from + HEADER_LEN as u64 <= segment.end() {
            let end = segment.end();
            let bytes = segment.bytes(from, READ_AHEAD / 2).map_err(refused(dump.file))?;
            if bytes.len() < HEADER_LEN {
                break;
            }
            let starts = bytes.len() - HEADER_LEN + 1;
            let candidate =
                (0..starts).find(|&start| looks_like_a_batch(&bytes[start..], end - from - start as u64));
            let Some(start) = candidate else {
                from += starts as u64;
                continue;
            };
            let position = from + start as u64;
            let checksum = Checksum::of(segment, position).map_err(refused(dump.file))?;
            if checksum.is_valid() {
                return Ok(Some(position));
            }
            dump.search_budget = dump.search_budget.saturating_sub(checksum.size);
            if dump.search_budget == 0 {
                break;
            }
            from = position + 1;
        }
        Ok(None)
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
            .int(header.last_sequence().get())
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
    fn found_invalid_bytes(&mut self, dump: &LogDump<'_>, segment: &Segment, position: u64) {
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

/// What an index is compared with: where a batch ends, in offsets and in bytes.
pub(super) struct BatchEnds {
    pub(super) last_offset: i64,
    pub(super) next: u64,
}

/// The ends of the batch at `position`, if there is one whole within `limit` bytes.
pub(super) fn batch_ends(
    segment: &mut Segment,
    position: u64,
    limit: i32,
) -> std::io::Result<Option<BatchEnds>> {
    let end = segment.end().min(position.saturating_add(u64::try_from(limit).unwrap_or(0)));
    if position + Prefix::LEN as u64 >= end {
        return Ok(None);
    }
    let Ok(extent) = extent(segment, position)? else { return Ok(None) };
    let next = position + extent.size;
    if next > end {
        return Ok(None);
    }
    let bytes = segment.bytes(position, HEADER_LEN)?;
    let last_offset = if (0..2).contains(&extent.magic) {
        bytes.first_chunk().map(|offset| i64::from_be_bytes(*offset))
    } else {
        BatchHeader::read(bytes).ok().map(|header| header.last_offset().get())
    };
    Ok(last_offset.map(|last_offset| BatchEnds { last_offset, next }))
}

/// The largest timestamp of the records of the batch at `position`.
pub(super) fn max_timestamp_at(segment: &mut Segment, position: u64) -> std::io::Result<Result<i64, Rule>> {
    let extent = match extent(segment, position)? {
        Ok(extent) => extent,
        Err(rule) => return Ok(Err(rule)),
    };
    let bytes = segment.bytes(position, usize::try_from(extent.size).unwrap_or(usize::MAX))?;
    Ok(if (0..2).contains(&extent.magic) {
        LegacyView::read(bytes)
            .map_err(Rule::Legacy)
            .and_then(|message| records::legacy_max_timestamp(&message))
    } else {
        BatchView::read(bytes)
            .map_err(|error| header_rule(&error, &extent))
            .and_then(|batch| records::max_timestamp(&batch))
    })
}

/// The first 17 bytes of what should be a batch.
fn extent(segment: &mut Segment, position: u64) -> std::io::Result<Result<Extent, Rule>> {
    let bytes = segment.bytes(position, Prefix::LEN)?;
    let Some(prefix) = bytes.first_chunk::<{ Prefix::LEN }>() else {
        return Ok(Err(Rule::BatchCutShort(bytes.len() as u64)));
    };
    let [.., a, b, c, d, _, _, _, _, magic] = *prefix;
    let length = i32::from_be_bytes([a, b, c, d]);
    if length < LENGTH_MIN {
        return Ok(Err(Rule::BatchTooSmall(length)));
    }
    Ok(Ok(Extent { size: LOG_OVERHEAD as u64 + u64::from(length.unsigned_abs()), magic: magic as i8 }))
}

/// Kafka reads every format above 1 as format 2. The checksum does not cover the format, so a copy that says 2 reads and
/// checks the same.
fn as_format_2(bytes: &[u8], extent: &Extent) -> Option<Vec<u8>> {
    if extent.magic <= 2 {
        return None;
    }
    let size = usize::try_from(extent.size).unwrap_or(usize::MAX).min(bytes.len());
    let mut copy = bytes[..size].to_vec();
    *copy.get_mut(Prefix::LEN - 1)? = 2;
    Some(copy)
}

fn header_rule(error: &HeaderError, extent: &Extent) -> Rule {
    match error {
        HeaderError::Magic { magic, .. } => Rule::UnknownMagic(*magic),
        HeaderError::Length { .. } | HeaderError::Incomplete { .. } => {
            Rule::HeaderCutShort(extent.size, extent.magic)
        }
    }
}

/// Whether a header stands here that is worth a checksum; `left` is what remains of the file.
fn looks_like_a_batch(bytes: &[u8], left: u64) -> bool {
    // Asked first and alone, as it sorts out nearly every position.
    if bytes.get(Prefix::LEN - 1) != Some(&2) {
        return false;
    }
    BatchHeader::read(bytes).is_ok_and(|header| {
        header.size_in_bytes() as u64 <= left
            && header.base_offset().get() >= 0
            && header.last_offset_delta() >= 0
            && header.record_count() >= 0
            && header.leader_epoch().get() >= -1
            && header.compression().is_ok()
    })
}

/// The checksum that a batch carries and that of its bytes.
#[derive(Clone, Copy)]
struct Checksum {
    size: u64,
    stored: u32,
    computed: u32,
}

impl Checksum {
    /// Reads the batch in pieces, so that its size costs no memory.
    fn of(segment: &mut Segment, position: u64) -> std::io::Result<Self> {
        const COVERED_FROM: u64 = 21;
        let bytes = segment.bytes(position, HEADER_LEN)?;
        let Ok(header) = BatchHeader::read(bytes) else {
            return Ok(Self { size: 0, stored: 0, computed: u32::MAX });
        };
        let (size, stored) = (header.size_in_bytes() as u64, header.crc());
        let mut computed = 0;
        let mut at = COVERED_FROM;
        while at < size {
            let wanted = usize::try_from(size - at).unwrap_or(usize::MAX).min(READ_AHEAD);
            let bytes = segment.bytes(position + at, wanted)?;
            let piece = &bytes[..bytes.len().min(wanted)];
            if piece.is_empty() {
                break;
            }
            computed = crc32c::crc32c_append(computed, piece);
            at += piece.len() as u64;
        }
        Ok(Self { size, stored, computed })
    }

    fn is_valid(self) -> bool {
        self.stored == self.computed
    }
}

fn large_batch_checksum(
    segment: &mut Segment,
    position: u64,
    size: u64,
) -> std::io::Result<Option<Checksum>> {
    if size <= HELD_UNASKED as u64 { Ok(None) } else { Checksum::of(segment, position).map(Some) }
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
        .int("lastSequence", header.last_sequence().get())
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
