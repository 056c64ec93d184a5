//! Making a segment trustworthy again from its `.log` alone: cut what is not whole, valid and continuous, and write
//! anew what is derived. Kafka's `LogSegment.recover`, except that what lies before the recovery point is believed
//! instead of read: it was synced, indexes included, before the point moved there.

use std::io;
use std::sync::Arc;

use crate::batch::BatchView;
use crate::error::{Corruption, ReadError, Rule};
use crate::io::{DiskFile, FileHandle, OpenMode, is_full};
use crate::types::{Offset, TimestampMs};

use super::damage::DamageMet;
use super::files::Flushed;
use super::index::{Entry, IndexFile};
use super::name::{FileState, FileType};
use super::offset_index::OffsetEntry;
use super::pace::Pace;
use super::place::Names;
use super::scan::{BatchAt, CANDIDATES_MAX, CheckedBatch, CheckedWalk, ReadMode, WalkError, header_at};
use super::time_index::TimeEntry;
use super::txn_index::{AbortedTransaction, TxnIndex};
use super::{LogPath, Segment, State};

/// What a rebuild is told.
pub(crate) struct RebuildRequest<'a> {
    pub(crate) path: &'a Arc<LogPath>,
    pub(crate) base_offset: Offset,
    /// Records before this are believed.
    pub(crate) trusted_before: Offset,
    /// The next start believes the indexes up to here: all of it was on the disk once. Not behind the segment's end.
    pub(crate) recovery_point: Offset,
    pub(crate) index_interval_bytes: u32,
    /// The last batch of the segment before, where it was looked at.
    pub(crate) previous: Option<BatchAt>,
    /// What becomes of bytes that cannot be proven.
    pub(crate) unproven: Unproven,
}

/// What becomes of the bytes from the first batch on that is not whole, valid and continuous.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unproven {
    /// They are cut off: nobody was told that they last.
    Cut,
    /// They are cut off where they are the end that a crash tears. Where whole batches lie behind the damage, each of which
    /// was written only after those before it were durable, the rebuild fails and changes nothing.
    CutTornEnd,
    /// They stay: they were durable once, and what lies behind the damage may be whole.
    Keep,
}

/// What a rebuild found.
pub(crate) struct Rebuilt {
    /// It knows what was durable once and stays, although nobody may be shown it.
    pub(crate) segment: Arc<Segment>,
    /// What ended the good part, if the file went on behind it.
    pub(crate) damage: Option<Corruption>,
    /// Where the batch lies that says a wrong offset, of which the one behind it tells: all else was in order.
    pub(crate) misplaced: Option<u64>,
    /// Bytes that were cut off.
    pub(crate) cut_bytes: u64,
    /// Bytes whose checksums were computed.
    pub(crate) scanned_bytes: u64,
}

/// Rebuilds a segment. `visit` sees every batch that is not merely believed, and may answer with a transaction that
/// the batch aborted.
pub(crate) fn rebuild(
    request: &RebuildRequest<'_>,
    mut visit: impl FnMut(&CheckedBatch<'_>) -> Option<AbortedTransaction>,
) -> Result<Rebuilt, ReadError> {
    let base = request.base_offset;
    let names = Names::new(request.path, base, FileState::Live);
    let names = &names;
    // What is checked stays open until it is flushed.
    names.site().open_files.make_room_by_flushing(1);
    let file = names.open(FileType::Log, OpenMode::OpenOrCreate)?;
    let length = file.len()?;
    let mut trusted_before = request.trusted_before;
    let mut state = derived_before(request, names, (trusted_before, length))?;
    let indexed = state.offset_index.last().map(|entry| (entry.position.get(), entry.absolute(base)));
    let (start, previous) = match believed(&file, &mut state, names, request, length) {
        Ok(start) => start,
        // What was to be believed does not even hang together: look at everything.
        Err(ReadError::Corrupt(_)) => {
            trusted_before = base;
            state = derived_before(request, names, (trusted_before, length))?;
            (0, None)
        }
        Err(error) => return Err(error),
    };
    let is_redone = trusted_before == base && request.recovery_point > base;
    if is_redone {
        // A crash from here on leaves no offset index, and so nothing that is believed for its sake.
        unless_full(state.offset_index.trim(names).and_then(|file| file.sync_data()))?;
        state.offset_index.hold_back();
    }
    let mut aborted = Vec::new();
    let mut walk = CheckedWalk::new(&*file, length, base, previous.or(request.previous));
    let mut position = start;
    let mut damage = None;
    let mut misplaced = None;
    let mut last: Option<BatchAt> = None;
    let mut before_last = previous;
    let mut kept_damage = DamageMet::default();
    let mut candidates = CANDIDATES_MAX;
    loop {
        let expected = last.or(previous).map_or(base, |batch| batch.last_offset.next());
        let was_durable = request.was_durable(expected);
        match walk.check_at(position) {
            Ok(None) => break,
            Ok(Some(at)) if was_durable && is_misplaced(request, &file, &at, expected, length, indexed)? => {
                kept_damage.note(at.end(), expected, out_of_order(&file, &at, expected));
                state.pace.entry_is_due();
                position = at.end();
            }
            // What nobody was promised continues nothing where what was promised last is damaged.
            Ok(Some(at)) if kept_damage.ending_at(position).is_some() && !request.may_follow_damage(&at) => {
                damage = Some(out_of_order(&file, &at, expected));
                break;
            }
            Ok(Some(at)) => {
                let batch = walk.accept(at)?;
                if let Some(stretch) = kept_damage.ending_at(position) {
                    stretch.next_offset = at.base_offset;
                }
                unless_full(state.note(names, &at, request.index_interval_bytes))?;
                match visit(&batch) {
                    Some(transaction) if is_redone => aborted.push(transaction),
                    Some(transaction) => state.txn_index.append(names, &transaction)?,
                    None => {}
                }
                position = at.end();
                before_last = last.or(before_last);
                last = Some(at);
            }
            // Which of the two says a wrong epoch nobody knows; their records are what they were.
            Err(WalkError::Corrupt(Corruption { rule: Rule::EpochOrder { .. }, .. })) if was_durable => {
                walk.forget_previous();
            }
            Err(WalkError::Corrupt(corruption)) => {
                if was_durable && let Some(next) = walk.next_whole(position, &mut candidates)? {
                    kept_damage.note(next, expected, corruption);
                    state.pace.entry_is_due();
                    position = next;
                    continue;
                }
                if was_durable && request.unproven == Unproven::Cut {
                    kept_damage.note(length, expected, corruption);
                    position = length;
                    break;
                }
                if request.unproven == Unproven::CutTornEnd && goes_on_behind(&*file, position, length)? {
                    return Err(ReadError::Corrupt(corruption));
                }
                misplaced = last.filter(|last| {
                    !request.was_durable(last.base_offset)
                        && gives_the_lie(&corruption.rule, last, before_last, base)
                });
                damage = Some(corruption);
                break;
            }
            Err(WalkError::Io(error)) => return Err(error.into()),
        }
    }
    if let Some(at_end) = kept_damage.ending_at(position) {
        // Offsets that were durable are not given out again.
        state.end_offset = state.end_offset.max(request.recovery_point);
        at_end.next_offset = at_end.next_offset.max(state.end_offset);
        state.pace.entry_is_due();
    }
    let kept = if request.unproven == Unproven::Keep { length } else { position };
    if kept < length {
        file.set_len(kept)?;
        // Before the next segment begins: what was cut off must not come back in front of it.
        file.sync_data()?;
    }
    unless_full(state.append_last_time_entry(names))?;
    if is_redone {
        // Where there is damage nobody can look, nor behind that at which the walk ended.
        let unseen = |entry: &AbortedTransaction| {
            (kept > position && entry.last_offset >= state.end_offset) || kept_damage.had(entry.last_offset)
        };
        let before = state.txn_index.entries_from(names, base)?;
        aborted.extend(before.into_iter().filter(unseen));
        aborted.sort_by_key(|transaction| transaction.last_offset);
        state.txn_index.replace(names, &aborted)?;
    } else {
        state.txn_index.trim(names)?;
    }
    let time_index = state.time_index.trim(names);
    let rests_on_it = state.offset_index.is_held_back();
    unless_full(time_index.and_then(|file| if rests_on_it { file.sync_data() } else { Ok(()) }))?;
    // Last: an entry of it says that the time index is complete up to there, and the index of aborted transactions.
    unless_full(state.offset_index.trim(names).map(drop))?;
    state.size = kept;
    let scanned_bytes = position - start;
    // What was checked may be in memory only: see `open_files`. An index whose writing fails unnoticed is found out.
    state.close_indexes();
    state.flushed = if scanned_bytes > 0 { Flushed::nothing_of(kept) } else { Flushed::up_to(kept) };
    if scanned_bytes > 0 {
        state.log_file.replace(names.keep(file));
    }
    let segment = Segment::with_state(Names::new(request.path, base, FileState::Live), state);
    segment.set_damage(kept_damage.into_stretches());
    Ok(Rebuilt {
        segment,
        damage,
        misplaced: misplaced.map(|batch| batch.position),
        cut_bytes: length - kept,
        scanned_bytes,
    })
}

impl RebuildRequest<'_> {
    // Whether the record at `offset` was on the disk once. Where a start must not go on over damage, nothing counts as such.
    fn was_durable(&self, offset: Offset) -> bool {
        match self.unproven {
            Unproven::Keep => true,
            Unproven::Cut => offset < self.recovery_point,
            Unproven::CutTornEnd => false,
        }
    }

    // Whether a batch that lies behind damage continues the log: all that the damage took, and was durable, lay before it.
    fn may_follow_damage(&self, batch: &BatchAt) -> bool {
        self.unproven == Unproven::Keep || batch.base_offset <= self.recovery_point
    }
}

fn out_of_order(file: &FileHandle, batch: &BatchAt, expected: Offset) -> Corruption {
    let rule = Rule::OffsetOrder { base: batch.base_offset, previous: expected.plus(-1) };
    Corruption { file: file.path().to_owned(), position: batch.position, rule }
}

// Whether a batch that does not follow the last one follows the one before, and that one leaves a gap: no checksum covers
// offsets. Where it leaves none, the last one is right.
fn gives_the_lie(rule: &Rule, last: &BatchAt, before_last: Option<BatchAt>, base: Offset) -> bool {
    let expected = before_last.map_or(base, |batch| batch.last_offset.next());
    last.base_offset > expected && matches!(rule, Rule::OffsetOrder { base, .. } if *base >= expected)
}

// Index entries for which a full disk has no room stay in memory, and are written with the next flush.
fn unless_full(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if is_full(&error) => Ok(()),
        written => written,
    }
}

/// How far behind damage a whole batch is looked for.
const LOOK_BEHIND_BYTES: usize = 16 << 20;

// Whether a whole batch begins anywhere behind `position`: its own length may be what is damaged there.
fn goes_on_behind(file: &dyn DiskFile, position: u64, length: u64) -> io::Result<bool> {
    let from = position + 1;
    let len = usize::try_from(length.saturating_sub(from)).unwrap_or(usize::MAX).min(LOOK_BEHIND_BYTES);
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, from)?;
    let is_batch = |at: usize| BatchView::read(&bytes[at..]).is_ok_and(|batch| batch.crc_is_valid());
    Ok((0..len).any(is_batch))
}

// The state of a segment that ends at `trusted_before`, as its indexes tell; of whatever they hold, only what is in
// order and points before that offset is kept.
fn derived_before(
    request: &RebuildRequest<'_>,
    names: &Names,
    (trusted_before, length): (Offset, u64),
) -> io::Result<State> {
    let base = request.base_offset;
    let mut offset_index = IndexFile::empty();
    offset_index.keep_valid_prefix(names, |entry: OffsetEntry| {
        entry.absolute(base) < trusted_before && entry.position.get() < length && entry.position.get() > 0
    })?;
    let mut time_index = IndexFile::empty();
    time_index.keep_valid_prefix(names, |entry: TimeEntry| {
        entry.absolute(base) < trusted_before && entry.timestamp.get() >= 0
    })?;
    let mut txn_index = TxnIndex::open(names)?;
    if trusted_before > base || request.recovery_point <= base {
        txn_index.truncate_to(names, trusted_before)?;
    }
    let created = names.metadata(FileType::Log).map_or(0, |metadata| metadata.modified_ms);
    let created = TimestampMs::new(created);
    Ok(State { created, offset_index, time_index, txn_index, ..State::empty(base) })
}

// Walks headers from the last kept index entry to the first batch that is not believed; answers its position and the
// batch before it.
fn believed(
    file: &FileHandle,
    state: &mut State,
    names: &Names,
    request: &RebuildRequest<'_>,
    length: u64,
) -> Result<(u64, Option<BatchAt>), ReadError> {
    let (base, trusted_before) = (request.base_offset, request.trusted_before);
    let mut position = state.offset_index.last().map_or(0, |entry| entry.position.get());
    let indexed = state.offset_index.last();
    let mut previous: Option<BatchAt> = None;
    // The time index has an entry for each of the offset index, and so tells of what lies before these.
    let mut newest: Option<BatchAt> = None;
    // Without an offset index all headers are walked, and the indexes come from them.
    let is_anew = indexed.is_none() && length > u64::from(request.index_interval_bytes);
    if is_anew {
        state.time_index.keep_valid_prefix(names, |_| false)?;
        state.offset_index.hold_back();
    }
    if indexed.is_some() && state.time_index.len() == 0 {
        let first = header_at(&**file, 0, length, ReadMode::Blocking)?;
        if first.is_some_and(|first| first.last_offset < trusted_before && first.max_timestamp.get() >= 0) {
            let rule = Rule::IndexLength { length: 0, entry: TimeEntry::LEN as u64 };
            return Err(Corruption { file: names.path(FileType::TimeIndex), position: 0, rule }.into());
        }
    }
    while let Some(batch) = header_at(&**file, position, length, ReadMode::Blocking)? {
        if previous.is_none() && indexed.is_some_and(|entry| entry.absolute(base) != batch.last_offset) {
            return Err(misleading(names, &state.offset_index, position));
        }
        let expected = previous.map_or(base, |previous| previous.last_offset.next());
        if expected < trusted_before && is_misplaced(request, file, &batch, expected, length, None)? {
            return Err(out_of_order(file, &batch, expected).into());
        }
        // A power loss can tear the offset off a batch, and spare all that its checksum covers.
        if batch.base_offset < expected || batch.last_offset >= trusted_before {
            break;
        }
        position = batch.end();
        previous = Some(batch);
        if is_anew {
            unless_full(state.note(names, &batch, request.index_interval_bytes))?;
        }
        if newest.is_none_or(|newest| newest.max_timestamp < batch.max_timestamp) {
            newest = Some(batch);
        }
    }
    if indexed.is_some() && previous.is_none() {
        return Err(misleading(names, &state.offset_index, position));
    }
    if is_anew && state.offset_index.len() > 0 {
        // It had entries, and lost them: nobody knows what the index of aborted transactions lost with it.
        let rule = Rule::IndexLength { length: 0, entry: OffsetEntry::LEN as u64 };
        return Err(Corruption { file: names.path(FileType::OffsetIndex), position: 0, rule }.into());
    }
    if !is_anew {
        state.pace = Pace::resumed(base, position, &state.offset_index, &state.time_index);
    }
    if let Some(previous) = previous {
        state.end_offset = previous.last_offset.next();
    }
    if let Some(newest) = newest {
        // No earlier batch is newer than what a time entry says.
        if state.time_index.last().is_some_and(|last| {
            last.timestamp < newest.max_timestamp && last.absolute(base) >= newest.last_offset
        }) {
            let rule = Rule::IndexOrder { entry: state.time_index.len() - 1 };
            return Err(Corruption { file: names.path(FileType::TimeIndex), position: 0, rule }.into());
        }
        state.pace.see_timestamp(&newest);
    }
    state.size = position;
    Ok((position, previous))
}

// Whether a batch says an offset that is not its own: one that lies before it, or behind the batch that follows it, or
// another one than an index entry, which knows the last offset of the batch at a position. The recovery point vouches for the
// batch that ends there, unless what follows it goes on where it should be.
fn is_misplaced(
    request: &RebuildRequest<'_>,
    file: &FileHandle,
    batch: &BatchAt,
    expected: Offset,
    length: u64,
    indexed: Option<(u64, Offset)>,
) -> Result<bool, ReadError> {
    if batch.base_offset == expected || batch.magic < 2 {
        return Ok(false);
    }
    let in_place = expected.plus(batch.last_offset.get() - batch.base_offset.get());
    if batch.base_offset < expected || indexed == Some((batch.position, in_place)) {
        return Ok(true);
    }
    match header_at(&**file, batch.end(), length, ReadMode::Blocking) {
        Ok(next) => Ok(next.is_some_and(|next| {
            let is_vouched_for =
                batch.last_offset.next() == request.recovery_point && next.base_offset != in_place.next();
            next.base_offset >= expected && next.base_offset <= batch.last_offset && !is_vouched_for
        })),
        Err(ReadError::Corrupt(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

// The last entry points to no batch that it could stand for.
fn misleading(names: &Names, index: &IndexFile<OffsetEntry>, position: u64) -> ReadError {
    let rule = Rule::IndexOrder { entry: index.len() - 1 };
    Corruption { file: names.path(FileType::OffsetIndex), position, rule }.into()
}
