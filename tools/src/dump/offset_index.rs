//! `.index` files: where in the log an offset lies.
//!
//! ```text
//! relative offset i32 | position in the .log i32
//! ```

use std::path::Path;

use super::{
    DumpError, Session, base_offset,
    damage::Rule,
    extent::{BatchEnds, batch_ends},
    index_file::IndexFile,
    refused,
    segment::Segment,
};

pub(super) const ENTRY: usize = 8;

/// An open offset index.
pub(super) struct OffsetIndex {
    file: IndexFile<ENTRY>,
    base_offset: i64,
}

/// One entry of it.
#[derive(Clone, Copy)]
pub(super) struct OffsetPosition {
    pub(super) offset: i64,
    pub(super) position: i32,
}

impl OffsetIndex {
    pub(super) fn open(path: &Path, base_offset: i64) -> std::io::Result<Self> {
        Ok(Self { file: IndexFile::open(path)?, base_offset })
    }

    fn entry(&mut self, index: u64) -> std::io::Result<OffsetPosition> {
        let [a, b, c, d, position @ ..] = self.file.entry(index)?;
        let relative = i32::from_be_bytes([a, b, c, d]);
        let offset = self.base_offset.wrapping_add(relative.into());
        Ok(OffsetPosition { offset, position: i32::from_be_bytes(position) })
    }

    /// The last entry at or before `offset`, found as Kafka finds it: among the last 1 KiB of entries first. The way
    /// matters where an index is not sorted, as with the unused zeros behind an index that was not closed.
    pub(super) fn lookup(&mut self, offset: i64) -> std::io::Result<OffsetPosition> {
        const WARM_ENTRIES: u64 = 8192 / ENTRY as u64;
        let start = OffsetPosition { offset: self.base_offset, position: 0 };
        let entries = self.file.entries();
        let Some(last) = entries.checked_sub(1) else { return Ok(start) };
        let first_warm = last.saturating_sub(WARM_ENTRIES);
        if self.entry(first_warm)?.offset < offset {
            return self.search(first_warm, last, offset);
        }
        if self.entry(0)?.offset > offset {
            return Ok(start);
        }
        self.search(0, first_warm, offset)
    }

    fn search(&mut self, mut low: u64, mut high: u64, offset: i64) -> std::io::Result<OffsetPosition> {
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let found = self.entry(middle)?;
            match found.offset.cmp(&offset) {
                std::cmp::Ordering::Greater => high = middle - 1,
                std::cmp::Ordering::Less => low = middle,
                std::cmp::Ordering::Equal => return Ok(found),
            }
        }
        self.entry(low)
    }
}

impl Session<'_> {
    pub(super) fn dump_offset_index(&mut self, file: &Path, name: &str) -> Result<(), DumpError> {
        let base_offset = base_offset(file, name)?;
        let log = sibling(file, name, ".log");
        let mut segment = Segment::open(&log, u64::MAX).map_err(refused(&log))?;
        let mut index = OffsetIndex::open(file, base_offset).map_err(refused(file))?;
        if index.file.entries() == 0 {
            self.say(file, "is empty.");
        } else if self.options.checks_index_sanity_only() {
            return self.offset_index_sanity(file, &mut index);
        } else {
            self.dump_entries(file, &mut index, &mut segment)?;
        }
        self.check_index_size(file, index.file.length(), ENTRY as u64);
        Ok(())
    }

    fn offset_index_sanity(&mut self, file: &Path, index: &mut OffsetIndex) -> Result<(), DumpError> {
        let last = index.file.entries().saturating_sub(1);
        let last_offset = index.entry(last).map_err(refused(file))?.offset;
        if last_offset < index.base_offset {
            let rule = Rule::IndexBehindBase { last_offset, base_offset: index.base_offset };
            self.damage(file, last * ENTRY as u64, rule);
            return Ok(());
        }
        if self.check_index_size(file, index.file.length(), ENTRY as u64) {
            self.say(file, "passed sanity check.");
        }
        Ok(())
    }

    fn dump_entries(
        &mut self,
        file: &Path,
        index: &mut OffsetIndex,
        segment: &mut Segment,
    ) -> Result<(), DumpError> {
        let max_message_size = self.options.max_message_size()?;
        for number in 0..index.file.entries() {
            let entry = index.entry(number).map_err(refused(file))?;
            // Zeros behind the last entry: an index that was not closed keeps its preallocated size.
            if number > 0 && entry.offset == index.base_offset {
                break;
            }
            let ends = u64::try_from(entry.position)
                .ok()
                .filter(|position| *position <= segment.end())
                .map(|position| batch_ends(segment, position, max_message_size))
                .transpose()
                .map_err(refused(file))?
                .flatten();
            match ends {
                Some(BatchEnds { last_offset, .. }) if last_offset == entry.offset => {}
                Some(BatchEnds { last_offset, .. }) => {
                    // Zeros from the beginning on: nothing was indexed yet, and the index was not closed.
                    self.is_damaged |= entry.offset != index.base_offset || entry.position != 0;
                    self.index_mismatch(file, entry.offset, last_offset);
                }
                None => {
                    let rule = Rule::PointsNowhere { offset: entry.offset, target: entry.position.into() };
                    self.damage(file, number * ENTRY as u64, rule);
                }
            }
            if !self.options.verifies_index_only() {
                self.offset_entry(entry);
            }
            if self.out.is_closed() {
                break;
            }
        }
        Ok(())
    }

    fn index_mismatch(&mut self, file: &Path, index_offset: i64, log_offset: i64) {
        if self.options.is_json() {
            self.json_line("indexMismatch", |line| {
                line.int("indexOffset", index_offset).int("logOffset", log_offset)
            });
        }
        if let Some(text) = self.index_mismatches.add(file, index_offset, log_offset) {
            let _ = self.errors.write_all(text.as_bytes());
        }
    }

    fn offset_entry(&mut self, entry: OffsetPosition) {
        if self.options.is_json() {
            self.json_line("indexEntry", |line| {
                line.int("offset", entry.offset).int("position", entry.position)
            });
        } else {
            self.out.str("offset: ").int(entry.offset).str(" position: ").int(entry.position).end_line();
        }
    }

    /// A line that is the file's name and what is the case with it.
    pub(super) fn say(&mut self, file: &Path, what: &str) {
        if self.options.is_json() {
            self.json_line("index", |line| line.str("file", &file.display().to_string()).str("is", what));
        } else {
            self.out.str(&file.to_string_lossy()).str(" ").str(what).end_line();
        }
    }

    pub(super) fn check_index_size(&mut self, file: &Path, size: u64, entry: u64) -> bool {
        let is_whole = size.is_multiple_of(entry);
        if !is_whole {
            self.damage(file, size / entry * entry, Rule::IndexSize { size, entry });
        }
        is_whole
    }
}

/// The file of the same segment with this suffix.
pub(super) fn sibling(file: &Path, name: &str, suffix: &str) -> std::path::PathBuf {
    file.with_file_name(format!("{}{suffix}", name.split('.').next().unwrap_or_default()))
}
