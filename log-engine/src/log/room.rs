//! A place for an append: the log's tail, locked, with a segment active that takes it and that segment's file open. Rolls
//! where a new segment is due, and does what has to come before the first append after a crash, or before the first that
//! promises durability.

use std::sync::{Arc, MutexGuard};

use crate::batch::{AppendOrigin, BatchSummary, ValidBatches};
use crate::error::AppendError;
use crate::io::FileHandle;
use crate::segment::Segment;
use crate::segment::open_files::FILES_OF_NEW_SEGMENT;
use crate::segment::scan::{ReadMode, header_at};
use crate::types::{Offset, TimestampMs};

use super::Log;
use super::append::{Prepared, first_offset};
use super::roll::{RollQuestion, decide, jitter_ms};
use super::tail::{FirstTimestamp, Pending, Tail};

/// The tail, locked, and the file that its active segment is in.
pub(super) type TailAndFile<'a> = (MutexGuard<'a, Tail>, FileHandle);

impl Log {
    // The tail, locked, with a segment active that takes the append, and that segment's file; under `Sync` also one whose
    // files cannot vanish in a power loss. Files are opened and flushed without the lock, hence the loop.
    pub(super) fn tail_with_room<'a>(
        self: &'a Arc<Self>,
        prepared: &Prepared,
    ) -> Result<TailAndFile<'a>, AppendError> {
        let mut opened: Option<(Arc<Segment>, FileHandle)> = None;
        let mut room_was_made = false;
        loop {
            let mut tail = self.wait_while(self.tail(), |tail| tail.handing_over);
            self.check_open(&tail)?;
            let at_hand = opened.as_ref().filter(|(segment, _)| Arc::ptr_eq(segment, &tail.active));
            let Some(file) = at_hand.map(|(_, file)| Arc::clone(file)).or_else(|| tail.active.opened_file())
            else {
                let segment = Arc::clone(&tail.active);
                drop(tail);
                let file = segment.file().map_err(|error| self.refuse_without_file(error))?;
                opened = Some((segment, file));
                continue;
            };
            if let Some(base_offset) = due_roll(&mut tail, &file, prepared)? {
                if !room_was_made {
                    drop(tail);
                    self.home.site.open_files.make_room_by_flushing(FILES_OF_NEW_SEGMENT);
                    room_was_made = true;
                    continue;
                }
                if !tail.pending.is_empty() {
                    // Else the old segment would be sealed by whoever publishes the last append to it, which may be a
                    // thread that must not wait for the disk.
                    drop(self.wait_until_drained(tail));
                    continue;
                }
                if !self.may_begin_segment(&tail, base_offset) {
                    self.go_on_at(&mut tail, base_offset);
                    drop(tail);
                    self.note_gap()?;
                    continue;
                }
                self.roll(&mut tail, base_offset, prepared.now)?;
                continue;
            }
            if stands_on_ground(&tail, prepared) {
                self.wipe_behind_end(&mut tail, &file)?;
                return Ok((tail, file));
            }
            let segment = Arc::clone(&tail.active);
            drop(tail);
            self.make_ground_durable(&segment)?;
        }
    }

    // A crash can leave a record behind the end, in the block in which the file ends: written there, while the file's new
    // length was not. Over such a block a file may grow on the disk before what takes the record's place is written (ext4
    // writes lengths first where a block is not new), and a power loss then shows the record as if it had never been
    // lost. Cutting makes the file system write zeros there before any greater length.
    fn wipe_behind_end(&self, tail: &mut Tail, file: &FileHandle) -> Result<(), AppendError> {
        if tail.unwiped {
            let wiped = file.set_len(tail.position + 1).and_then(|()| file.set_len(tail.position));
            wiped.map_err(|error| self.refuse(error))?;
            tail.unwiped = false;
        }
        Ok(())
    }

    // A start takes a segment that does not continue the one before it for what a power loss has left over, unless the
    // recovery point says that no record is missing between the two.
    fn may_begin_segment(&self, tail: &Tail, base_offset: Offset) -> bool {
        base_offset <= tail.active.published().1 || base_offset <= self.noted_recovery_point()
    }

    // A gap becomes part of the log: a leader that was compacted sent what lies behind it, or the log was cut inside a batch.
    fn go_on_at(&self, tail: &mut Tail, offset: Offset) {
        tail.next_offset = offset;
        tail.producers.advance_end_offset(offset);
        self.offsets.publish(offset, tail.producers.first_unstable_offset());
    }

    // Called with no lock held.
    fn note_gap(&self) -> Result<(), AppendError> {
        let noted = self.flush().and_then(|()| self.raise_checkpoint());
        noted.map_err(|error| AppendError::Io { path: self.directory(), error: Arc::new(error) })
    }

    // The same if nothing has to be waited for.
    pub(super) fn tail_with_room_now(
        &self,
        prepared: &Prepared,
    ) -> Result<Option<TailAndFile<'_>>, AppendError> {
        let Some(mut tail) = self.tail_soon() else { return Ok(None) };
        self.check_open(&tail)?;
        if tail.handing_over || tail.unwiped {
            return Ok(None);
        }
        let Some(file) = tail.active.opened_file() else { return Ok(None) };
        if tail.first_timestamp == FirstTimestamp::Unread || due_roll(&mut tail, &file, prepared)?.is_some() {
            return Ok(None);
        }
        Ok(stands_on_ground(&tail, prepared).then_some((tail, file)))
    }

    /// Makes a new segment active. The old one is sealed once everything on its way to it has arrived.
    pub(super) fn roll(
        self: &Arc<Self>,
        tail: &mut Tail,
        base_offset: Offset,
        now: TimestampMs,
    ) -> Result<(), AppendError> {
        let next = Segment::create(&self.path, base_offset, now).map_err(|error| self.refuse(error))?;
        self.segments_mut().push(Arc::clone(&next));
        tail.pending.push_back(Pending::Roll(Arc::clone(&tail.active)));
        tail.activate(next, self.home.random());
        self.publish_rolls(tail);
        Ok(())
    }
}

// Whether all that the append promises to be durable with it is so.
fn stands_on_ground(tail: &Tail, prepared: &Prepared) -> bool {
    !tail.durability_of(prepared.durability).is_durable() || tail.active.ground_is_durable()
}

// Where the next segment begins, if the append needs one.
fn due_roll(tail: &mut Tail, file: &FileHandle, prepared: &Prepared) -> Result<Option<Offset>, AppendError> {
    let Prepared { config, now, valid, records, origin, .. } = prepared;
    let first_offset = first_offset(tail, valid, *origin)?;
    let due = decide(&RollQuestion {
        base_offset: tail.active.base_offset,
        size_bytes: tail.position,
        created: tail.created,
        first_timestamp: first_timestamp(tail, file),
        index_full: tail.pace.is_full(config),
        append_bytes: records.len() as u64,
        append_last_offset: last_offset(valid, first_offset, *origin),
        append_max_timestamp: valid
            .batches()
            .iter()
            .map(|batch| batch.max_timestamp)
            .max()
            .unwrap_or(TimestampMs::NONE),
        now: *now,
        segment_bytes: u64::from(config.segment_bytes),
        segment_ms: config.roll_ms() - jitter_ms(tail.jitter, config.segment_jitter_ms, config.segment_ms),
    });
    // A segment without records at this very offset is as good as a new one.
    Ok((due.is_some() && tail.active.base_offset != first_offset).then_some(first_offset))
}

fn last_offset(valid: &ValidBatches, first_offset: Offset, origin: AppendOrigin) -> Offset {
    if origin.assigns_offsets() {
        return valid.last_offset(first_offset);
    }
    valid.batches().last().map_or(first_offset, BatchSummary::last_offset)
}

// Read from the file once per opened segment, and only when an append asks.
fn first_timestamp(tail: &mut Tail, file: &FileHandle) -> Option<TimestampMs> {
    if tail.first_timestamp == FirstTimestamp::Unread {
        let (size, _) = tail.active.published();
        let first = header_at(&**file, 0, size, ReadMode::Blocking).ok().flatten();
        tail.first_timestamp =
            FirstTimestamp::Known(first.map_or(TimestampMs::NONE, |batch| batch.max_timestamp));
    }
    match tail.first_timestamp {
        FirstTimestamp::Known(timestamp) => Some(timestamp),
        FirstTimestamp::NoBatch | FirstTimestamp::Unread => None,
    }
}
