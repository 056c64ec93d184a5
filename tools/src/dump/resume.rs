//! Going on after damage: where the next batch begins that can be trusted.

use std::ops::ControlFlow;

use log_engine::batch::{BatchHeader, HEADER_LEN, Prefix};

use super::{
    DumpError, Session,
    damage::Rule,
    extent::{Checksum, extent},
    log::LogDump,
    refused,
    segment::{READ_AHEAD, Segment},
};

/// Bytes that are checksummed in search of the next whole batch, over one file.
pub(super) const SEARCH_BYTES_MAX: u64 = 1 << 30;

impl Session<'_> {
    /// A batch that is not what was written may also have lost its size: where nothing like a batch follows, the next
    /// whole one is looked for.
    pub(super) fn after_doubtful_batch(
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
    pub(super) fn search(
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
