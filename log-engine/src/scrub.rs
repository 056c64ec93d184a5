//! The scrubber: re-reads closed segments, slowly, and holds every batch against its checksum and the one before it. What
//! does not stand is put in quarantine, see [`crate::log`]; nothing is repaired and nothing is cut.
//!
//! One thread for all directories. What it brought into the page cache it lets go of again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::engine::Logs;
use crate::error::{Corruption, Rule};
use crate::inspect::{BatchWalk, Found};
use crate::io::FileHandle;
use crate::log::Log;
use crate::segment::Segment;
use crate::segment::damage::DamagedStretch;
use crate::segment::scan::BatchAt;
use crate::throttle::Throttle;
use crate::types::Offset;

/// How often, and how fast.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ScrubConfig {
    /// Milliseconds from the beginning of one pass over all logs to that of the next; `None` for never.
    pub interval_ms: Option<u64>,
    /// Most bytes that are read per second.
    pub bytes_per_second: u64,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self { interval_ms: Some(7 * 24 * 3_600_000), bytes_per_second: 8 << 20 }
    }
}

/// What a pass found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Segments that were read.
    pub segments: u64,
    /// Bytes of records that were read.
    pub bytes: u64,
    /// Stretches that are damaged, known ones included.
    pub damaged: u64,
    /// Segments that could not be read.
    pub unreadable: u64,
}

/// After a start, the first pass waits for so long at most.
const FIRST_PASS_AFTER: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug)]
pub(crate) struct Scrubber {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    logs: Arc<Logs>,
    config: ScrubConfig,
    began: Instant,
    throttle: Mutex<Throttle>,
    stopped: Mutex<bool>,
    stop: Condvar,
    bytes: AtomicU64,
}

impl Scrubber {
    pub(crate) fn new(logs: &Arc<Logs>, config: ScrubConfig) -> Self {
        let shared = Shared {
            logs: Arc::clone(logs),
            config,
            began: Instant::now(),
            throttle: Mutex::new(Throttle::new(config.bytes_per_second as f64)),
            stopped: Mutex::new(false),
            stop: Condvar::new(),
            bytes: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), thread: Mutex::new(None) }
    }

    /// Begins, unless it is never to be done.
    pub(crate) fn start(&self) -> io::Result<()> {
        let Some(interval) = self.shared.config.interval_ms.map(Duration::from_millis) else { return Ok(()) };
        let shared = Arc::clone(&self.shared);
        let run = move || shared.run(interval);
        let thread = thread::Builder::new().name("log-scrubber".to_owned()).spawn(run)?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    pub(crate) fn stop(&self) {
        *self.shared.stopped() = true;
        self.shared.stop.notify_all();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic in a pass was caught there.
            let _ = thread.join();
        }
    }

    /// One pass on this thread, as fast as the configuration allows.
    pub(crate) fn pass(&self) -> ScrubReport {
        self.shared.pass()
    }

    /// Bytes that were read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn run(&self, interval: Duration) {
        let mut wait = interval.min(FIRST_PASS_AFTER);
        while self.rest(wait) {
            let began = Instant::now();
            match catch_unwind(AssertUnwindSafe(|| self.pass())) {
                Ok(report) => tracing::debug!("scrubbed: {report:?}"),
                Err(_) => tracing::error!("the scrubber panicked; it goes on with the next pass"),
            }
            wait = interval.saturating_sub(began.elapsed());
        }
    }

    fn pass(&self) -> ScrubReport {
        let mut logs = self.logs.all();
        logs.sort_by(|a, b| a.partition().cmp(b.partition()));
        let mut report = ScrubReport::default();
        for log in logs {
            for segment in log.closed_segments() {
                if *self.stopped() || log.home().dir_state().offline().is_some() {
                    break;
                }
                self.scrub(&log, &segment, &mut report);
            }
        }
        report
    }

    // A segment that cannot be read is the disk's matter, or was deleted meanwhile: who reads it is told.
    fn scrub(&self, log: &Log, segment: &Arc<Segment>, report: &mut ScrubReport) {
        let (size, end) = segment.published();
        let found = segment.file().and_then(|file| {
            let was_cached = is_cached(&file, size);
            let found = self.check(&file, segment.base_offset, size, end);
            if !was_cached {
                file.forget(0, size);
            }
            found
        });
        match found {
            Ok(Some(found)) if log.has_segment(segment) => {
                report.segments += 1;
                report.bytes += size;
                report.damaged += found.len() as u64;
                log.quarantine(segment, found);
            }
            Ok(_) => {}
            Err(_) if !log.has_segment(segment) => {}
            Err(error) => {
                report.unreadable += 1;
                tracing::error!(
                    "segment {} of {} cannot be read: {error}",
                    segment.base_offset,
                    log.partition()
                );
            }
        }
    }

    // `None` where it was stopped.
    fn check(
        &self,
        file: &FileHandle,
        base: Offset,
        size: u64,
        end: Offset,
    ) -> io::Result<Option<Vec<DamagedStretch>>> {
        let mut walk = BatchWalk::over(&**file, size, base, None);
        let mut findings = Findings::of_segment(file.path(), base, end);
        while let Some(next) = walk.next_found()? {
            match next {
                Found::Batch(batch) => {
                    findings.see(batch.at);
                    self.bytes.fetch_add(batch.at.size, Ordering::Relaxed);
                    if !self.take_pace(batch.at.size) {
                        return Ok(None);
                    }
                }
                Found::Damage { corruption, resumes_at } if resumes_at == Some(corruption.position) => {
                    findings.note_disorder(corruption);
                }
                Found::Damage { corruption, resumes_at } => {
                    findings.note(corruption, resumes_at.unwrap_or(size));
                }
            }
        }
        Ok(Some(findings.ranges))
    }

    fn take_pace(&self, bytes: u64) -> bool {
        let now = self.began.elapsed();
        let rest = self.throttle.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, now);
        self.rest(rest)
    }

    // Answers whether to go on.
    fn rest(&self, time: Duration) -> bool {
        let waited = self.stop.wait_timeout_while(self.stopped(), time, |stopped| !*stopped);
        let (stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !*stopped
    }

    fn stopped(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a walk over a segment finds.
struct Findings<'a> {
    path: &'a Path,
    base: Offset,
    end: Offset,
    ranges: Vec<DamagedStretch>,
    // The last two batches that are in their places.
    before_last: Option<BatchAt>,
    last: Option<BatchAt>,
    // What is wrong with the batch that comes next.
    misplaced: Option<Corruption>,
    // Whether the last range still has to learn which offset follows.
    open: bool,
}

impl<'a> Findings<'a> {
    fn of_segment(path: &'a Path, base: Offset, end: Offset) -> Self {
        let (ranges, open) = (Vec::new(), false);
        Self { path, base, end, ranges, before_last: None, last: None, misplaced: None, open }
    }

    fn see(&mut self, at: BatchAt) {
        if let Some(corruption) = self.misplaced.take() {
            return self.note(corruption, at.end());
        }
        if at.last_offset >= self.end {
            return self.note(self.out_of_order(&at, self.expected()), at.end());
        }
        if let Some(range) = self.ranges.last_mut().filter(|_| self.open) {
            (range.next_offset, self.open) = (at.base_offset, false);
        }
        (self.before_last, self.last) = (self.last, Some(at));
    }

    fn note(&mut self, corruption: Corruption, end_position: u64) {
        let (first_offset, next_offset) = (self.expected(), self.end);
        self.ranges.push(DamagedStretch { end_position, first_offset, next_offset, corruption });
        self.open = true;
    }

    // The batch that comes next is whole, and does not follow the last one. No checksum covers offsets: the one that says a
    // wrong one is the last where the next follows the one before it, and otherwise the next. Of two epochs nobody can say
    // which is wrong, and the records are what they were.
    fn note_disorder(&mut self, corruption: Corruption) {
        let Rule::OffsetOrder { base, .. } = corruption.rule else {
            tracing::error!("{corruption}; both batches are served");
            return;
        };
        // The walk measures by the batch that was found to lie behind the segment's end.
        if base >= self.expected() {
            return;
        }
        let expected = self.before_last.map_or(self.base, |batch| batch.last_offset.next());
        match self.last.filter(|last| last.base_offset > expected && base >= expected) {
            Some(last) => {
                self.last = self.before_last;
                self.note(self.out_of_order(&last, expected), last.end());
            }
            None => self.misplaced = Some(corruption),
        }
    }

    fn out_of_order(&self, batch: &BatchAt, expected: Offset) -> Corruption {
        let rule = Rule::OffsetOrder { base: batch.base_offset, previous: expected.plus(-1) };
        Corruption { file: self.path.to_owned(), position: batch.position, rule }
    }

    fn expected(&self) -> Offset {
        self.last.map_or(self.base, |batch| batch.last_offset.next())
    }
}

// Judged by its ends and its middle.
fn is_cached(file: &FileHandle, size: u64) -> bool {
    let mut byte = [0];
    [0, size / 2, size.saturating_sub(1)].into_iter().all(|at| file.read_cached_at(&mut byte, at).is_ok())
}
