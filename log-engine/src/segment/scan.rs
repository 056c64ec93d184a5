//! Walking the batches of a `.log` file: header by header for readers, byte by byte with checksums for recovery.
//!
//! A reader's walk fetches 61 bytes per batch and never the records. Recovery's walk trusts nothing: a batch counts
//! only if it is whole, its checksum matches, and it continues the one before it. It holds one window of the file in
//! memory, whatever a length field claims.

use std::io;

use crate::batch::legacy::LegacyView;
use crate::batch::{BatchHeader, Crc32c, HEADER_LEN, LOG_OVERHEAD, Prefix};
use crate::error::{Corruption, ReadError, Rule};
use crate::io::DiskFile;
use crate::types::{LeaderEpoch, Offset, TimestampMs};

/// Whether a read may wait for the disk.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum ReadMode {
    /// Only what is in the page cache; the answer may be [`ReadError::WouldBlock`].
    CachedOnly,
    /// Whatever it takes.
    #[default]
    Blocking,
}

/// Fills `buffer` from `position`, in the way `mode` allows.
pub(crate) fn read_exact(
    file: &dyn DiskFile,
    buffer: &mut [u8],
    position: u64,
    mode: ReadMode,
) -> io::Result<()> {
    if mode == ReadMode::Blocking {
        return file.read_exact_at(buffer, position);
    }
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_cached_at(&mut buffer[filled..], position + filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => filled += n,
        }
    }
    Ok(())
}

/// What a walk tells of a batch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BatchAt {
    /// Where the batch begins in its file.
    pub position: u64,
    /// Bytes of it, the header included.
    pub size: u64,
    /// Offset of its first record; with the old formats that of its last.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// The largest timestamp of its records.
    pub max_timestamp: TimestampMs,
    /// The leader epoch it was appended in; none with the old formats.
    pub leader_epoch: LeaderEpoch,
    /// Its format.
    pub magic: i8,
}

impl BatchAt {
    /// Where the next batch begins.
    pub fn end(&self) -> u64 {
        self.position + self.size
    }

    // `present` bytes are there from the batch's beginning on, of which `bytes` holds the header, if it is whole.
    fn read_within(bytes: &[u8], position: u64, present: u64) -> Result<Self, Rule> {
        match Prefix::read(bytes) {
            Ok(prefix) if prefix.size_in_bytes as u64 > present => {
                Err(Rule::BatchCut { expected: prefix.size_in_bytes as u64, present })
            }
            _ => Self::read(bytes, position),
        }
    }

    // `bytes` begins with the batch and holds a whole header of its format.
    pub(super) fn read(bytes: &[u8], position: u64) -> Result<Self, Rule> {
        let prefix = Prefix::read(bytes).map_err(|_| broken_prefix(bytes))?;
        let size = prefix.size_in_bytes as u64;
        if prefix.magic < 2 {
            // Magic 0 and 1 carry the last offset in front, whether compressed or not; magic 1 has a timestamp.
            let timestamp = match (prefix.magic, bytes.get(LEGACY_TIMESTAMP..LEGACY_TIMESTAMP + 8)) {
                (1, Some(bytes)) => bytes.iter().fold(0, |number: i64, byte| number << 8 | i64::from(*byte)),
                _ => TimestampMs::NONE.get(),
            };
            return Ok(Self {
                position,
                size,
                base_offset: prefix.base_offset,
                last_offset: prefix.base_offset,
                max_timestamp: TimestampMs::new(timestamp),
                leader_epoch: LeaderEpoch::NONE,
                magic: prefix.magic,
            });
        }
        let header = BatchHeader::read(bytes).map_err(|_| broken_prefix(bytes))?;
        if header.last_offset_delta() < 0 || header.base_offset().get() < 0 {
            return Err(Rule::BatchHeader);
        }
        Ok(Self {
            position,
            size,
            base_offset: header.base_offset(),
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp(),
            leader_epoch: header.leader_epoch(),
            magic: header.magic(),
        })
    }
}

const LEGACY_TIMESTAMP: usize = 18;
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CRC: usize = 17;
const CRC_FROM: usize = 21;

fn broken_prefix(bytes: &[u8]) -> Rule {
    match (bytes.get(LENGTH..LOG_OVERHEAD), bytes.get(MAGIC)) {
        (Some(length), Some(&magic)) => {
            let length = length.iter().fold(0, |number: i32, byte| number << 8 | i32::from(*byte));
            if (0..=2).contains(&magic) {
                Rule::BatchLength { length }
            } else {
                Rule::Magic { magic: magic as i8 }
            }
        }
        _ => Rule::BatchHeader,
    }
}

/// The batch at `position` of a stretch that ends at `end`; `None` at the end.
pub(crate) fn header_at(
    file: &dyn DiskFile,
    position: u64,
    end: u64,
    mode: ReadMode,
) -> Result<Option<BatchAt>, ReadError> {
    if position >= end {
        return Ok(None);
    }
    let present = end - position;
    let corrupt = |rule| Corruption { file: file.path().to_owned(), position, rule };
    if present < Prefix::LEN as u64 {
        return Err(corrupt(Rule::BatchCut { expected: Prefix::LEN as u64, present }).into());
    }
    let mut bytes = [0; HEADER_LEN];
    let bytes = &mut bytes[..present.min(HEADER_LEN as u64) as usize];
    read_exact(file, bytes, position, mode)?;
    Ok(Some(BatchAt::read_within(bytes, position, present).map_err(corrupt)?))
}

fn legacy_crc_is_valid(bytes: &[u8]) -> bool {
    LegacyView::read(bytes).is_ok_and(|view| view.crc_is_valid())
}

/// Bytes of the file that a checking walk holds at a time.
const WINDOW: usize = 256 * 1024;

/// Candidates whose checksum is computed in search of the next whole batch, in one file.
pub(crate) const CANDIDATES_MAX: u32 = 10_000;

/// Walks batches and believes none.
pub(crate) struct CheckedWalk<'a> {
    file: &'a dyn DiskFile,
    end: u64,
    base_offset: Offset,
    previous: Option<BatchAt>,
    window: Vec<u8>,
    // Where in the file the window begins, and how much of it is filled.
    window_at: u64,
    window_len: usize,
}

/// A batch that is whole, valid and continues the log.
#[derive(Debug)]
pub struct CheckedBatch<'a> {
    /// Where it lies, and what its header says.
    pub at: BatchAt,
    /// All of the batch, unless it is larger than the window; then only its first bytes.
    pub bytes: &'a [u8],
}

/// Why a checking walk ended early.
#[derive(Debug)]
pub(crate) enum WalkError {
    /// The stretch up to here is good; this is not.
    Corrupt(Corruption),
    Io(io::Error),
}

impl From<io::Error> for WalkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<'a> CheckedWalk<'a> {
    /// Will walk `file` up to `end`, the segment of `base_offset`. `previous` is the batch before, where it is known.
    pub(crate) fn new(
        file: &'a dyn DiskFile,
        end: u64,
        base_offset: Offset,
        previous: Option<BatchAt>,
    ) -> Self {
        Self { file, end, base_offset, previous, window: Vec::new(), window_at: 0, window_len: 0 }
    }

    /// Takes a batch that was checked for the one that the next has to follow.
    pub(crate) fn accept(&mut self, at: BatchAt) -> io::Result<CheckedBatch<'_>> {
        self.previous = Some(at);
        let bytes = self.bytes(at.position, at.size.min(WINDOW as u64) as usize)?;
        Ok(CheckedBatch { at, bytes })
    }

    /// The batch at `position`, `None` at the end. The walk goes on measuring by the batch before until this one is accepted.
    pub(crate) fn check_at(&mut self, position: u64) -> Result<Option<BatchAt>, WalkError> {
        if position >= self.end {
            return Ok(None);
        }
        let at = self.parse_at(position)?;
        check_order(&at, self.base_offset, self.previous).map_err(|rule| self.corrupt(position, rule))?;
        self.check_crc(&at)?;
        Ok(Some(at))
    }

    /// The next batch is not measured by the one before it.
    pub(crate) fn forget_previous(&mut self) {
        self.previous = None;
    }

    /// Where a batch ends that begins at `position`, as its length field says; `None` where that lies outside the file.
    fn announced_end(&mut self, position: u64) -> io::Result<Option<u64>> {
        let present = (self.end - position.min(self.end)).min(Prefix::LEN as u64) as usize;
        let end =
            Prefix::read(self.bytes(position, present)?).ok().map(|p| position + p.size_in_bytes as u64);
        Ok(end.filter(|end| *end <= self.end))
    }

    /// The first position from `from` on where a header of format 2 stands that contradicts neither itself nor the batch
    /// before.
    fn next_likely_header(&mut self, mut from: u64) -> io::Result<Option<u64>> {
        let (base_offset, previous) = (self.base_offset, self.previous);
        while from + HEADER_LEN as u64 <= self.end {
            let end = self.end;
            let held = self.bytes(from, (end - from).min(WINDOW as u64) as usize)?;
            let starts = held.len() - HEADER_LEN + 1;
            let likely = |start: &usize| {
                held.get(start + MAGIC) == Some(&2)
                    && BatchAt::read_within(&held[*start..], from, end - from - *start as u64)
                        .is_ok_and(|at| check_order(&at, base_offset, previous).is_ok())
            };
            if let Some(start) = (0..starts).find(likely) {
                return Ok(Some(from + start as u64));
            }
            from += starts as u64;
        }
        Ok(None)
    }

    /// Where the next whole batch begins behind the damage at `position`, or where the file ends if the damaged batch says
    /// so. Uses up `candidates`, places whose checksums are computed.
    pub(crate) fn next_whole(&mut self, position: u64, candidates: &mut u32) -> io::Result<Option<u64>> {
        if let Some(end) = self.announced_end(position)?
            && self.is_credible(end, true)?
        {
            return Ok(Some(end));
        }
        let mut from = position + 1;
        while let Some(candidate) = self.next_likely_header(from)? {
            if *candidates == 0 {
                break;
            }
            *candidates -= 1;
            if self.is_credible(candidate, false)? {
                return Ok(Some(candidate));
            }
            from = candidate + 1;
        }
        Ok(None)
    }

    // Whether a batch stands here, or the end of the file. One whose checksum alone is wrong may stand where another
    // one's length leads, but not anywhere.
    fn is_credible(&mut self, position: u64, may_be_damaged: bool) -> io::Result<bool> {
        match self.check_at(position) {
            Ok(_) => Ok(true),
            Err(WalkError::Corrupt(damage)) => {
                Ok(may_be_damaged && matches!(damage.rule, Rule::CrcMismatch { .. }))
            }
            Err(WalkError::Io(error)) => Err(error),
        }
    }

    fn parse_at(&mut self, position: u64) -> Result<BatchAt, WalkError> {
        let present = self.end - position;
        if present < Prefix::LEN as u64 {
            let rule = Rule::BatchCut { expected: Prefix::LEN as u64, present };
            return Err(self.corrupt(position, rule));
        }
        let bytes = self.bytes(position, present.min(HEADER_LEN as u64) as usize)?;
        BatchAt::read_within(bytes, position, present).map_err(|rule| self.corrupt(position, rule))
    }

    fn check_crc(&mut self, at: &BatchAt) -> Result<(), WalkError> {
        if at.magic < 2 {
            return self.check_legacy(at);
        }
        let stored =
            self.bytes(at.position + CRC as u64, 4)?.iter().fold(0, |n: u32, byte| n << 8 | u32::from(*byte));
        let mut checksum = Crc32c::new();
        let mut position = at.position + CRC_FROM as u64;
        while position < at.end() {
            let len = (at.end() - position).min(WINDOW as u64) as usize;
            checksum.update(self.bytes(position, len)?);
            position += len as u64;
        }
        let computed = checksum.value();
        if stored == computed {
            Ok(())
        } else {
            Err(self.corrupt(at.position, Rule::CrcMismatch { stored, computed }))
        }
    }

    // The older formats have another checksum and no split header: one that is larger than the window is read as a
    // whole, which is at most what is left of the file.
    fn check_legacy(&mut self, at: &BatchAt) -> Result<(), WalkError> {
        let valid = if at.size <= WINDOW as u64 {
            legacy_crc_is_valid(self.bytes(at.position, at.size as usize)?)
        } else {
            let mut bytes = vec![0; at.size as usize];
            self.file.read_exact_at(&mut bytes, at.position)?;
            legacy_crc_is_valid(&bytes)
        };
        if valid { Ok(()) } else { Err(self.corrupt(at.position, Rule::BatchHeader)) }
    }

    // `len` bytes from `position`; at most a window.
    fn bytes(&mut self, position: u64, len: usize) -> io::Result<&[u8]> {
        let held =
            position >= self.window_at && position + len as u64 <= self.window_at + self.window_len as u64;
        if !held {
            self.window.resize(WINDOW, 0);
            let want = (self.end - position).min(WINDOW as u64) as usize;
            self.window_len = 0;
            self.file.read_exact_at(&mut self.window[..want], position)?;
            (self.window_at, self.window_len) = (position, want);
        }
        let start = (position - self.window_at) as usize;
        Ok(&self.window[start..start + len])
    }

    fn corrupt(&self, position: u64, rule: Rule) -> WalkError {
        WalkError::Corrupt(Corruption { file: self.file.path().to_owned(), position, rule })
    }
}

// The checksum covers neither base offset nor epoch: a batch that was written to the wrong place is only known by its not
// continuing the log.
fn check_order(at: &BatchAt, base_offset: Offset, previous: Option<BatchAt>) -> Result<(), Rule> {
    if at.last_offset.relative_to(base_offset).is_none() || at.base_offset < base_offset {
        return Err(Rule::OffsetRange { offset: at.last_offset, base: base_offset });
    }
    let Some(previous) = previous else { return Ok(()) };
    if at.base_offset <= previous.last_offset {
        return Err(Rule::OffsetOrder { base: at.base_offset, previous: previous.last_offset });
    }
    if at.leader_epoch.get() >= 0 && at.leader_epoch < previous.leader_epoch {
        return Err(Rule::EpochOrder { epoch: at.leader_epoch, previous: previous.leader_epoch });
    }
    Ok(())
}
