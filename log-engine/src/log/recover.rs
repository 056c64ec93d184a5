//! Opening a log. After a clean stop, the files are believed: what is read are the ends of the indexes and the headers
//! behind them. After any other stop, what lies behind the recovery point is checked byte by byte, cut at the first
//! batch that is not whole, valid and continuous, and everything derived is written anew.
//!
//! The log is told epochs, it never invents one: what an unclean start means for leadership is decided above.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};

use crate::checkpoint::{self, LEADER_EPOCH_FILE, ReadCheckpointError};
use crate::commit::Chain;
use crate::config::LogConfig;
use crate::epoch::EpochCache;
use crate::error::{Corruption, ReadError, Rule};
use crate::home::Home;
use crate::io::{OpenMode, is_full, move_aside};
use crate::producer::ProducerStates;
use crate::segment::index::OpenIndexError;
use crate::segment::name::FileType;
use crate::segment::rebuild::{RebuildRequest, Rebuilt, Unproven, rebuild};
use crate::segment::scan::{BatchAt, ReadMode};
use crate::segment::set::SegmentSet;
use crate::segment::{LogPath, Segment, ignore_missing};
use crate::types::{Offset, TopicId, TopicPartition};

use super::Log;
use super::compact::CompactionState;
use super::flush::Flushed;
use super::offsets::SharedOffsets;
use super::producers::{
    aborted_transaction, list_snapshots, load_newest, readable, remove_snapshots, replay, replay_file,
    summary_of,
};
use super::sweep::sweep;
use super::tail::Tail;

/// What opening one log found.
#[derive(Debug, Clone)]
pub struct LogOpening {
    /// The partition.
    pub partition: TopicPartition,
    /// Whether the files were believed.
    pub clean: bool,
    /// Bytes whose checksums were computed.
    pub scanned_bytes: u64,
    /// Bytes cut off, later segments included.
    pub cut_bytes: u64,
    /// What was wrong at the cut.
    pub damage: Option<Corruption>,
}

/// What a log is opened with.
pub(crate) struct LogSeed {
    pub(crate) home: Arc<Home>,
    pub(crate) path: Arc<LogPath>,
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) config: Arc<LogConfig>,
    pub(crate) clean: bool,
    pub(crate) recovery_point: Offset,
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    /// What was compacted ends here.
    pub(crate) cleaned_to: Option<Offset>,
    /// What becomes of records behind the recovery point that are damaged.
    pub(crate) unproven: Unproven,
}

impl Log {
    /// Opens the log in `seed.path`, which may be empty: then it begins at `seed.log_start`.
    pub(crate) fn open(seed: LogSeed) -> Result<(Arc<Self>, LogOpening), ReadError> {
        let bases = sweep(&seed.home.disk, &seed.path.get())?;
        let mut recovery = Recovery::new(&seed)?;
        recovery.load_segments(&bases)?;
        recovery.start_over_if_behind_log_start()?;
        recovery.finish()
    }
}

struct Recovery<'a> {
    seed: &'a LogSeed,
    opening: LogOpening,
    segments: Vec<Arc<Segment>>,
    producers: Option<ProducerStates>,
    epochs: EpochCache,
    epochs_dirty: bool,
    // There is no checkpoint of them, or none that can be read.
    epochs_lost: bool,
    // The last batch checked, which the next segment must continue.
    previous: Option<BatchAt>,
    // Where the segment before ends, if it was looked at after an unclean stop.
    scanned_end: Option<Offset>,
    // Compaction was here: it leaves gaps between offsets.
    may_have_gaps: bool,
}

impl<'a> Recovery<'a> {
    fn new(seed: &'a LogSeed) -> Result<Self, ReadError> {
        let path = seed.path.get().join(LEADER_EPOCH_FILE);
        let (epochs, epochs_lost) = match checkpoint::read_epochs(&seed.home.disk, &path) {
            Ok(Some(entries)) => (EpochCache::from_entries(entries), false),
            // Absent or damaged: the batches tell.
            Ok(None) => (EpochCache::default(), true),
            Err(ReadCheckpointError::Corrupt(damage)) => {
                tracing::warn!(
                    "the leader epochs of {} are taken from its batches: {damage}",
                    seed.partition
                );
                (EpochCache::default(), true)
            }
            Err(ReadCheckpointError::Io(error)) => return Err(error.into()),
        };
        let opening = LogOpening {
            partition: seed.partition.clone(),
            clean: seed.clean,
            scanned_bytes: 0,
            cut_bytes: 0,
            damage: None,
        };
        Ok(Self {
            seed,
            opening,
            segments: Vec::new(),
            producers: None,
            epochs,
            epochs_dirty: false,
            epochs_lost,
            previous: None,
            scanned_end: None,
            may_have_gaps: false,
        })
    }

    fn load_segments(&mut self, bases: &[Offset]) -> Result<(), ReadError> {
        let mut bases = bases.iter().peekable();
        while let Some(&base) = bases.next() {
            self.check_order(base);
            if self.opening.damage.is_some() {
                self.drop_segment(base)?;
                continue;
            }
            // A segment ends where the next begins, as far as anybody knows without reading it.
            let next = bases.peek().map(|next| **next);
            let believed = self.seed.clean || next.is_some_and(|next| next <= self.seed.recovery_point);
            let segment = match believed.then(|| self.believe(base, next)).transpose()?.flatten() {
                Some(segment) => {
                    // Where it ends nobody looked: what comes next cannot be held against what came before it.
                    (self.scanned_end, self.previous) = (None, None);
                    segment
                }
                None if believed && next.is_some() => self.rebuild_derived(base, next)?,
                None => self.rebuild(base, next)?,
            };
            self.segments.push(segment);
        }
        Ok(())
    }

    // A power loss can take the end of a segment and spare the one behind it: a batch that continues nothing is not
    // part of the log, nor is a segment. Kafka keeps such a hole; but only compaction makes one that is none. Ours makes
    // none behind the recovery point (see `clean`), Kafka's leaves traces: its checkpoint, or gaps inside the segment
    // before.
    fn check_order(&mut self, base: Offset) {
        let Some(expected) = self.scanned_end.filter(|_| self.opening.damage.is_none()) else { return };
        let compacted_to = self.seed.cleaned_to.unwrap_or(Offset::ZERO).max(self.seed.recovery_point);
        if base < expected || (base > expected && base > compacted_to && !self.may_have_gaps) {
            let rule = Rule::SegmentOrder { base, expected };
            let file = self.seed.path.file(base, FileType::Log);
            tracing::warn!("{} ends at {expected}: segment {base} does not continue it", self.seed.partition);
            self.opening.damage = Some(Corruption { file, position: 0, rule });
        }
    }

    // `None` where the indexes do not agree with the log after all.
    fn believe(&mut self, base: Offset, next: Option<Offset>) -> Result<Option<Arc<Segment>>, ReadError> {
        let segment = match Segment::open_clean(&self.seed.path, base) {
            Ok(segment) => segment,
            Err(OpenIndexError::Missing) => {
                tracing::warn!("an index of {} at {base} is missing and is made again", self.seed.partition);
                return Ok(None);
            }
            Err(OpenIndexError::Corrupt(corruption)) => {
                tracing::warn!("rebuilding the indexes of {}: {corruption}", self.seed.partition);
                return Ok(None);
            }
            Err(OpenIndexError::Io(error)) => return Err(error.into()),
        };
        match segment.lacks_entries(self.seed.config.index_interval_bytes) {
            Ok(false) => {}
            Ok(true) | Err(ReadError::Corrupt(_)) if next.is_some() => {
                tracing::warn!(
                    "the offset index of {} at {base} is empty and is made again",
                    self.seed.partition
                );
                return Ok(None);
            }
            Ok(true) | Err(ReadError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
        match next {
            Some(next) => segment.set_end_offset(next),
            // The headers behind the last index entry tell where the log ends.
            None => match segment.resume() {
                Ok(()) => {}
                Err(ReadError::Corrupt(_)) => return Ok(None),
                Err(error) => return Err(error),
            },
        }
        Ok(Some(segment))
    }

    // A segment whose records were durable keeps them, damage or not, and so do those behind it: readers go on there, as
    // with Kafka.
    fn rebuild_derived(&mut self, base: Offset, next: Option<Offset>) -> Result<Arc<Segment>, ReadError> {
        let Rebuilt { segment, damage, .. } = self.rebuild_with(base, next, Unproven::Keep)?;
        if let Some(damage) = damage {
            tracing::error!("{}: what is behind this in its segment is lost: {damage}", self.seed.partition);
        }
        if let Some(next) = next {
            segment.set_end_offset(next);
            self.scanned_end = self.scanned_end.map(|_| next);
        }
        Ok(segment)
    }

    fn rebuild(&mut self, base: Offset, next: Option<Offset>) -> Result<Arc<Segment>, ReadError> {
        let before = (self.previous, self.epochs.clone(), self.may_have_gaps);
        let rebuilt = self.rebuild_with(base, next, self.seed.unproven)?;
        let Rebuilt { mut segment, damage, mut cut_bytes, misplaced, .. } = rebuilt;
        if let Some(position) = misplaced.filter(|_| self.seed.unproven == Unproven::Cut) {
            // Nobody shall read its records at offsets that are not theirs.
            segment.file()?.set_len(position)?;
            segment.file()?.sync_data()?;
            (self.previous, self.epochs, self.may_have_gaps) = before;
            self.producers = None;
            cut_bytes += segment.published().0 - position;
            segment = self.rebuild_with(base, next, self.seed.unproven)?.segment;
        }
        if let Some(damage) = damage {
            tracing::warn!("{}: {cut_bytes} bytes cut off: {damage}", self.seed.partition);
            self.opening.damage = Some(damage);
        }
        Ok(segment)
    }

    fn rebuild_with(
        &mut self,
        base: Offset,
        next: Option<Offset>,
        unproven: Unproven,
    ) -> Result<Rebuilt, ReadError> {
        let recovery_point = self.seed.recovery_point;
        let trusted_before = if self.seed.clean { base } else { recovery_point.max(base) };
        let mut producers = self.producers_at(base)?;
        let request = RebuildRequest {
            path: &self.seed.path,
            base_offset: base,
            trusted_before,
            recovery_point: next.map_or(recovery_point, |next| recovery_point.min(next)),
            index_interval_bytes: self.seed.config.index_interval_bytes,
            previous: self.previous,
            unproven,
        };
        let Self { seed, segments, epochs, epochs_dirty, may_have_gaps, .. } = self;
        let mut last: Option<BatchAt> = None;
        let mut unreadable = Ok(());
        let rebuilt = rebuild(&request, |batch| {
            // The epochs of what lies before the recovery point were flushed with it, and those below the log start dropped.
            if batch.at.last_offset >= seed.log_start.max(seed.recovery_point) {
                let first = batch.at.base_offset.max(seed.log_start);
                *epochs_dirty |= epochs.learn(batch.at.leader_epoch, first, batch.at.last_offset);
            }
            if last.is_none() && producers.end_offset() < batch.at.base_offset {
                // What was believed, and so not looked at, was written by somebody too.
                match believed_producers(seed, segments, base, batch.at.base_offset) {
                    Ok(believed) => producers = believed,
                    Err(error) => unreadable = Err(error),
                }
            }
            let continues = last.is_none_or(|last| last.last_offset.next() == batch.at.base_offset);
            last = Some(batch.at);
            let summary = summary_of(batch.bytes, batch.at.position).filter(|_| batch.at.magic >= 2)?;
            *may_have_gaps |= !continues || summary.record_count != summary.last_offset_delta + 1;
            aborted_transaction(&producers.replay(&summary)?)
        })?;
        unreadable?;
        // What producers wrote to what is damaged, a snapshot may know.
        self.producers = Some(producers).filter(|_| rebuilt.segment.damage().is_empty());
        self.previous = last.or(self.previous);
        self.scanned_end = (!self.seed.clean).then(|| rebuilt.segment.published().1);
        self.opening.scanned_bytes += rebuilt.scanned_bytes;
        self.opening.cut_bytes += rebuilt.cut_bytes;
        Ok(rebuilt)
    }

    // Producer state as of `offset`, from what was restored so far, or from a snapshot.
    fn producers_at(&mut self, offset: Offset) -> Result<ProducerStates, ReadError> {
        let mut states = match self.producers.take() {
            Some(states) if states.end_offset() <= offset => states,
            _ => self.load_producers(offset)?,
        };
        replay(&mut states, &self.segments, offset)?;
        Ok(states)
    }

    fn load_producers(&self, until: Offset) -> io::Result<ProducerStates> {
        let home = &self.seed.home;
        let Home { disk, clock, .. } = &**home;
        let first = self.segments.first().map_or(until, |segment| segment.base_offset);
        load_newest(disk, &self.seed.path.get(), first, until, clock.now(), home.producer_expiration_ms())
    }

    // Behind a cut nothing continues the log; but what is there may be whole, and nobody said that it may go.
    fn drop_segment(&mut self, base: Offset) -> Result<(), ReadError> {
        let path = self.seed.path.file(base, FileType::Log);
        self.opening.cut_bytes += self.seed.home.disk.metadata(&path)?.len;
        Ok(self.set_segment_aside(base)?)
    }

    fn set_segment_aside(&self, base: Offset) -> io::Result<()> {
        let disk = &*self.seed.home.disk;
        for file_type in FileType::ALL {
            let path = self.seed.path.file(base, file_type);
            match move_aside(disk, &path) {
                Ok(aside) if file_type == FileType::Log => {
                    tracing::warn!(
                        "{} is no part of the log any more; it is now {}",
                        path.display(),
                        aside.display()
                    );
                }
                moved => ignore_missing(moved.map(drop))?,
            }
        }
        Ok(())
    }

    // A log start behind the end can only be a checkpoint that outlived the records (KAFKA-8413 and the like), or a wrong one.
    // Kafka deletes the records; here they are kept for whoever knows better.
    fn start_over_if_behind_log_start(&mut self) -> Result<(), ReadError> {
        let end = self.segments.last().map(|segment| segment.published().1);
        if end.is_some_and(|end| end >= self.seed.log_start) {
            return Ok(());
        }
        let now = self.seed.home.clock.now();
        if let Some(end) = end {
            tracing::warn!(
                "{}: setting all segments aside, because the log ends at {end}, before its start at {}; were files \
                 of it removed?",
                self.seed.partition,
                self.seed.log_start
            );
        }
        let bases: Vec<Offset> = self.segments.drain(..).map(|segment| segment.base_offset).collect();
        bases.into_iter().try_for_each(|base| self.set_segment_aside(base))?;
        // Nor are the producers of those records known any more, as with Kafka (`truncateFullyAndStartAt`).
        self.producers = None;
        remove_snapshots(&self.seed.home.disk, &self.seed.path.get(), |_| true)?;
        let segment = Segment::create(&self.seed.path, self.seed.log_start, now)?;
        self.segments.push(segment);
        self.epochs_dirty |= !self.epochs.entries().is_empty();
        self.epochs.clear();
        Ok(())
    }

    fn restore_epochs(&mut self, log_start: Offset, log_end: Offset) -> Result<(), ReadError> {
        if self.epochs_lost {
            self.epochs = epochs_from_batches(&self.segments)?;
            self.epochs_dirty = true;
        }
        self.epochs_dirty |= self.epochs.truncate_from_end(log_end.next());
        self.epochs_dirty |= self.epochs.truncate_from_start(log_start);
        Ok(())
    }

    // Of the snapshots, those at the start of a segment stay, and the newest, as in Kafka. None behind the end.
    fn sweep_snapshots(&self, log_end: Offset) -> io::Result<Option<Offset>> {
        let (disk, dir) = (&self.seed.home.disk, self.seed.path.get());
        let snapshots = list_snapshots(disk, &dir)?;
        let newest = snapshots.iter().copied().rfind(|offset| *offset <= log_end);
        let at_segment = |offset: Offset| self.segments.iter().any(|segment| segment.base_offset == offset);
        let goes = |offset: &Offset| !at_segment(*offset) && Some(*offset) != newest;
        if snapshots.iter().any(goes) {
            remove_snapshots(disk, &dir, |offset| goes(&offset))?;
        }
        // One of records that are gone must not come back once others are in their place.
        if snapshots.last().is_some_and(|last| *last > log_end) {
            disk.sync_dir(&dir)?;
        }
        Ok(newest.filter(|offset| !at_segment(*offset)))
    }

    fn finish(mut self) -> Result<(Arc<Log>, LogOpening), ReadError> {
        let set = SegmentSet::new(std::mem::take(&mut self.segments));
        let log_end = set.active().published().1;
        if log_end < self.seed.recovery_point {
            tracing::error!(
                "{} ends at {log_end}, although its records up to {} were flushed: a file was removed or cut; those offsets \
                 will be given out again",
                self.seed.partition,
                self.seed.recovery_point
            );
        }
        let log_start = self.seed.log_start.max(set.first().base_offset).min(log_end);
        self.segments = set.iter().cloned().collect();
        self.restore_epochs(log_start, log_end)?;
        let mut producers = self.producers_at(log_end)?;
        let stray_snapshot = self.sweep_snapshots(log_end)?;
        let recovery_point = if self.opening.clean { log_end } else { self.seed.recovery_point.min(log_end) };
        let offsets = SharedOffsets::new(log_start, self.seed.high_watermark, log_end);
        offsets.raise_durable_end(recovery_point);
        producers.on_high_watermark_updated(offsets.high_watermark());
        offsets.set_first_unstable(producers.first_unstable_offset());
        if self.opening.clean {
            set.active().set_ground_durable();
        }
        let mut tail = Tail::new(
            &set,
            log_end,
            producers,
            self.epochs,
            self.seed.home.random(),
            self.seed.config.flush_policy(),
        );
        tail.unwiped = !self.opening.clean;
        let unflushed: u64 = set.floor_and_after(recovery_point).map(|segment| segment.published().0).sum();
        let seed = self.seed;
        let log = Arc::new(Log {
            partition: seed.partition.clone(),
            topic_id: seed.topic_id.map_or_else(OnceLock::new, OnceLock::from),
            home: Arc::clone(&seed.home),
            path: Arc::clone(&seed.path),
            config: RwLock::new(Arc::clone(&seed.config)),
            offsets,
            tail: Mutex::new(tail),
            segments: RwLock::new(set),
            arrived: Condvar::new(),
            chain: Chain::new(),
            recovery_point: AtomicI64::new(recovery_point.get()),
            noted_recovery_point: AtomicI64::new(0),
            flushing: Mutex::new(Flushed { stray_snapshot, gone: false }),
            epochs_dirty: AtomicBool::new(self.epochs_dirty),
            unflushed_bytes: AtomicU64::new(if recovery_point < log_end { unflushed } else { 0 }),
            compaction: CompactionState::new(seed.cleaned_to),
            flushed_at: AtomicI64::new(seed.home.clock.now().get()),
            end_listener: OnceLock::new(),
            successor: OnceLock::new(),
        });
        match log.finish_cut() {
            Err(error) if !is_full(&error) => return Err(error.into()),
            _ => {}
        }
        log.tell_of_kept_damage();
        Ok((log, self.opening))
    }
}

// Producer state at `until` in the segment at `base`, which follows `segments` and of which the batches before `until` are
// believed: usually a snapshot lies there.
fn believed_producers(
    seed: &LogSeed,
    segments: &[Arc<Segment>],
    base: Offset,
    until: Offset,
) -> Result<ProducerStates, ReadError> {
    let Home { disk, clock, .. } = &*seed.home;
    let first = segments.first().map_or(base, |segment| segment.base_offset);
    let expiration_ms = seed.home.producer_expiration_ms();
    let mut states = load_newest(disk, &seed.path.get(), first, until, clock.now(), expiration_ms)?;
    replay(&mut states, segments, base)?;
    let file = disk.open(&seed.path.file(base, FileType::Log), OpenMode::Read)?;
    replay_file(&mut states, &file, base, until)?;
    Ok(states)
}

// Only when the epoch file is lost: all headers of the log are walked, those behind damage in a segment that nobody knows of
// excepted.
fn epochs_from_batches(segments: &[Arc<Segment>]) -> Result<EpochCache, ReadError> {
    let mut epochs = EpochCache::default();
    for segment in segments {
        let (size, _) = segment.published();
        let mut next = readable(segment.batch_reaching(segment.base_offset, size, ReadMode::Blocking))?;
        while let Some(batch) = next {
            epochs.assign(batch.leader_epoch, batch.base_offset);
            next = readable(segment.batch_after(&batch, size, ReadMode::Blocking))?;
        }
    }
    Ok(epochs)
}

impl From<OpenIndexError> for ReadError {
    fn from(error: OpenIndexError) -> Self {
        match error {
            OpenIndexError::Missing => Self::Io(io::ErrorKind::NotFound.into()),
            OpenIndexError::Corrupt(corruption) => Self::Corrupt(corruption),
            OpenIndexError::Io(error) => Self::Io(error),
        }
    }
}
