//! Producer state from the disk: the newest snapshot that serves, and the headers of the batches behind it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::batch::control::TxnOutcome;
use crate::batch::{BatchHeader, BatchSummary, BatchView, HEADER_LEN};
use crate::checkpoint::read_small_file;
use crate::error::ReadError;
use crate::io::{Disk, DiskFile, FileHandle, OpenMode};
use crate::producer::{CompletedTxn, ProducerStates};
use crate::segment::Segment;
use crate::segment::data::FileSlice;
use crate::segment::ignore_missing;
use crate::segment::name::{FileState, FileType, file_name, parse_file_name};
use crate::segment::scan::{BatchAt, CANDIDATES_MAX, CheckedWalk, ReadMode, header_at, read_exact};
use crate::segment::txn_index::AbortedTransaction;
use crate::types::{Offset, TimestampMs};

/// Offsets of the snapshots in a log's directory, ascending.
pub(super) fn list_snapshots(disk: &Arc<dyn Disk>, dir: &Path) -> io::Result<Vec<Offset>> {
    let snapshot = |name: &str| {
        let name = parse_file_name(name)?;
        (name.file_type == FileType::ProducerSnapshot && name.state == FileState::Live).then_some(name.offset)
    };
    let mut offsets: Vec<Offset> =
        disk.list(dir)?.iter().filter_map(|entry| snapshot(entry.name()?)).collect();
    offsets.sort();
    Ok(offsets)
}

/// The state at the newest snapshot not behind `until`; an empty one at `from` where there is none. A snapshot that
/// cannot be read is removed, as Kafka removes it: an older one and the log tell the same.
pub(super) fn load_newest(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    from: Offset,
    until: Offset,
    now: TimestampMs,
    expiration_ms: i64,
) -> io::Result<ProducerStates> {
    for offset in
        list_snapshots(disk, dir)?.into_iter().rev().filter(|offset| *offset <= until && *offset >= from)
    {
        let path = dir.join(file_name(offset, FileType::ProducerSnapshot));
        let bytes = read_small_file(disk, &path)?.unwrap_or_default();
        match ProducerStates::from_snapshot(&bytes, offset, now, expiration_ms) {
            Ok(states) => return Ok(states),
            Err(error) => {
                tracing::warn!("removing {}, which cannot be read: {error}", path.display());
                ignore_missing(disk.remove_file(&path))?;
            }
        }
    }
    Ok(ProducerStates::new(from))
}

/// Brings the state up to `until`, from the batches of these segments; what is known to be damaged is stepped over.
pub(super) fn replay(
    states: &mut ProducerStates,
    segments: &[Arc<Segment>],
    until: Offset,
) -> Result<(), ReadError> {
    let from = states.end_offset();
    for segment in segments.iter().filter(|segment| segment.base_offset < until) {
        let (size, end) = segment.published();
        if end <= from {
            continue;
        }
        let file = segment.file()?;
        let mut next = readable(segment.batch_reaching(from, size, ReadMode::Blocking))?;
        while let Some(batch) = next {
            if batch.base_offset >= until {
                break;
            }
            if batch.base_offset >= from && batch.magic >= 2 {
                states.replay(&summary_at(&file, &batch)?);
            }
            next = readable(segment.batch_after(&batch, size, ReadMode::Blocking))?;
        }
    }
    states.advance_end_offset(until);
    Ok(())
}

/// The same from the first batches of a file, which is not the segment at `base` yet. Damage is stepped over.
pub(super) fn replay_file(
    states: &mut ProducerStates,
    file: &FileHandle,
    base: Offset,
    until: Offset,
) -> Result<(), ReadError> {
    let (from, length) = (states.end_offset(), file.len()?);
    let mut behind_damage = CheckedWalk::new(&**file, length, base, None);
    let mut candidates = CANDIDATES_MAX;
    let mut position = 0;
    loop {
        let batch = match header_at(&**file, position, length, ReadMode::Blocking) {
            Ok(Some(batch)) if batch.base_offset < until => batch,
            Ok(_) => break,
            Err(ReadError::Corrupt(_)) => match behind_damage.next_whole(position, &mut candidates)? {
                Some(next) => {
                    position = next;
                    continue;
                }
                None => break,
            },
            Err(error) => return Err(error),
        };
        if batch.base_offset >= from && batch.magic >= 2 {
            states.replay(&summary_at(file, &batch)?);
        }
        position = batch.end();
    }
    states.advance_end_offset(until);
    Ok(())
}

/// What cannot be read any more no producer can have a sequence of; it was told when it was found.
pub(super) fn readable(batch: Result<Option<BatchAt>, ReadError>) -> Result<Option<BatchAt>, ReadError> {
    match batch {
        Err(ReadError::Corrupt(_)) => Ok(None),
        other => other,
    }
}

/// Writes the snapshot file of `offset`. Not synced: until a recovery point rests on it, it can be lost.
pub(super) fn write_snapshot(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    offset: Offset,
    bytes: &[u8],
) -> io::Result<()> {
    let file = disk.open(&dir.join(file_name(offset, FileType::ProducerSnapshot)), OpenMode::OpenOrCreate)?;
    file.set_len(0)?;
    file.write_all_at(bytes, 0)
}

/// Makes the snapshot of `offset` durable, where there is one.
pub(super) fn sync_snapshot(disk: &Arc<dyn Disk>, dir: &Path, offset: Offset) -> io::Result<()> {
    match disk.open(&dir.join(file_name(offset, FileType::ProducerSnapshot)), OpenMode::Read) {
        Ok(file) => file.sync_data(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the snapshots that `goes` says.
pub(super) fn remove_snapshots(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    goes: impl Fn(Offset) -> bool,
) -> io::Result<()> {
    list_snapshots(disk, dir)?.into_iter().filter(|offset| goes(*offset)).try_for_each(|offset| {
        ignore_missing(disk.remove_file(&dir.join(file_name(offset, FileType::ProducerSnapshot))))
    })
}

/// What the transaction index keeps of a completed transaction: nothing, unless it was aborted.
pub(crate) fn aborted_transaction(completed: &CompletedTxn) -> Option<AbortedTransaction> {
    match completed.outcome {
        TxnOutcome::Commit => None,
        TxnOutcome::Abort => Some(AbortedTransaction {
            producer_id: completed.producer_id,
            first_offset: completed.first_offset,
            last_offset: completed.last_offset,
            last_stable_offset: completed.last_stable_offset,
        }),
    }
}

/// The summary of a batch in memory, of which at least the header is there; control batches must be whole to have
/// their marker read.
pub(crate) fn summary_of(bytes: &[u8], position: u64) -> Option<BatchSummary> {
    if let Ok(batch) = BatchView::read(bytes)
        && let Ok(summary) = BatchSummary::of(&batch, position as usize)
    {
        return Some(summary);
    }
    BatchHeader::read(bytes).ok().map(|header| summary_of_header(&header, position))
}

fn summary_at(file: &Arc<dyn DiskFile>, batch: &BatchAt) -> Result<BatchSummary, ReadError> {
    let mut bytes = [0; HEADER_LEN];
    read_exact(&**file, &mut bytes, batch.position, ReadMode::Blocking)?;
    let header = BatchHeader::read(&bytes).map_err(|error| io::Error::other(error.to_string()))?;
    if header.is_control() && header.has_producer_id() {
        let whole = FileSlice::new(Arc::clone(file), batch.position, batch.size as usize).to_bytes()?;
        if let Some(summary) = summary_of(&whole, batch.position) {
            return Ok(summary);
        }
    }
    Ok(summary_of_header(&header, batch.position))
}

fn summary_of_header(header: &BatchHeader<'_>, position: u64) -> BatchSummary {
    BatchSummary {
        position: position as usize,
        size_in_bytes: header.size_in_bytes(),
        base_offset: header.base_offset(),
        last_offset_delta: header.last_offset_delta(),
        leader_epoch: header.leader_epoch(),
        max_timestamp: header.max_timestamp(),
        compression: header.compression().unwrap_or_default(),
        producer_id: header.producer_id(),
        producer_epoch: header.producer_epoch(),
        base_sequence: header.base_sequence(),
        transactional: header.is_transactional(),
        control: header.is_control(),
        record_count: header.record_count(),
        marker: None,
    }
}
