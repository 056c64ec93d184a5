//! The two queues of waiting appends and who serves them.

use std::io::IoSlice;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::io::{QueueCounts, WriteGroup, WriteQueue, write_runs};

use super::bell::Bell;
use super::carry::{Verdict, carry_out, precheck, verdict_of_write};
use super::group::GroupBounds;
use super::lead::Lead;
use super::waiting::{Lane, Led, Requests};
use super::{CommitError, CommitLimits, CommitRequest, Counters, DirState, Durability};

/// Both lanes of a data directory.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) dir: Arc<DirState>,
    pub(super) counters: Counters,
    pub(super) group_delay_max: Duration,
    waiting_bytes_max: u64,
    os: Lane,
    pub(super) sync: Lane,
    waiting_bytes: AtomicU64,
    room: Mutex<()>,
    room_made: Condvar,
}

impl Lanes {
    pub(super) fn new(dir: Arc<DirState>, limits: CommitLimits) -> Self {
        let bounds = |bytes_max| GroupBounds { bytes_max, appends_max: limits.group_appends_max };
        Self {
            dir,
            counters: Counters::default(),
            group_delay_max: limits.group_delay_max,
            waiting_bytes_max: limits.waiting_bytes_max,
            os: Lane::new(bounds(limits.os_group_bytes_max)),
            sync: Lane::new(bounds(limits.sync_group_bytes_max)),
            waiting_bytes: AtomicU64::new(0),
            room: Mutex::new(()),
            room_made: Condvar::new(),
        }
    }

    /// An append stays behind earlier ones of its chain: in the `os` lane while any of them is there (the leader
    /// forwards it), otherwise in the `sync` lane if it or an earlier one has to be durable.
    pub(super) fn enqueue(&self, request: CommitRequest) -> Option<Arc<Bell>> {
        self.waiting_bytes.fetch_add(request.bytes.len() as u64, Ordering::Relaxed);
        let chain = request.target.chain();
        let behind_os = chain.in_os_lane.load(Ordering::Acquire) > 0;
        let behind_sync = chain.in_sync_lane.load(Ordering::Acquire) > 0;
        if behind_os || (request.durability == Durability::Os && !behind_sync) {
            chain.in_os_lane.fetch_add(1, Ordering::AcqRel);
            self.os.push(request);
            None
        } else {
            chain.in_sync_lane.fetch_add(1, Ordering::AcqRel);
            Some(self.sync.push(request))
        }
    }

    pub(super) fn drive(&self) {
        if self.sync.has_waiting() {
            self.sync.wake_thread();
        }
        if self.os.has_waiting() {
            self.lead_inline();
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting_bytes.load(Ordering::Relaxed) < self.waiting_bytes_max
    }

    pub(super) fn wait_for_room(&self) {
        if self.has_room() {
            return;
        }
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.has_room() && self.dir.offline().is_none() {
            room = self.room_made.wait(room).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The `os` lane ends first, because it forwards to the other.
    pub(super) fn close_os_lane(&self) {
        self.os.close();
    }

    pub(super) fn close_sync_lane(&self) {
        self.sync.close();
    }

    /// Leads the `os` lane on the calling thread until it is empty or the lead is better handed over.
    fn lead_inline(&self) {
        let mut groups_led = 0;
        let mut state = self.os.lock();
        let mut started = Instant::now();
        while !state.led && !state.waiting.is_empty() {
            if state.pace.decide(groups_led, started) == Lead::Handover {
                state.handed_over = true;
                self.os.notify(&mut state);
                return;
            }
            let led = self.os.take_lead(&mut state, &self.dir);
            drop(state);
            self.carry_out_os(led, true);
            let ended = Instant::now();
            state = self.os.lock();
            state.led = false;
            state.pace.record(started, ended);
            started = ended;
            groups_led += 1;
        }
    }

    /// Body of the `os` lane's thread: leads when it is asked to.
    pub(super) fn run_os_lane(&self) {
        until_no_panic(|| {
            while let Some(led) = self.wait_for_handover() {
                let started = Instant::now();
                self.carry_out_os(led, false);
                let mut state = self.os.lock();
                state.pace.record(started, Instant::now());
                state.led = false;
                state.handed_over = !state.waiting.is_empty();
            }
        });
    }

    /// Sleeps until there is a group to carry out; `None` once the lane is closed and empty.
    fn wait_for_handover(&self) -> Option<Led<'_>> {
        let mut state = self.os.lock();
        loop {
            let asked = state.handed_over || state.closed;
            if asked && !state.led && !state.waiting.is_empty() {
                return Some(self.os.take_lead(&mut state, &self.dir));
            }
            if state.closed && state.waiting.is_empty() && !state.led {
                return None;
            }
            state = self.os.sleep(state);
        }
    }

    /// Writes what belongs in the `os` lane and forwards what has to be durable, in this order.
    fn carry_out_os(&self, (requests, guard): Led<'_>, inline: bool) {
        let forwarded = match requests {
            Requests::One(request) if !must_be_forwarded(&request) => {
                self.carry_out_one(request, inline);
                Vec::new()
            }
            requests => {
                let (forwarded, own): (Vec<_>, Vec<_>) = requests.into_vec().into_iter().partition(forward);
                self.carry_out_group(Requests::Many(own), &mut PageCacheOnly, LaneKind::Os, inline);
                forwarded
            }
        };
        for request in forwarded {
            let target = Arc::clone(&request.target);
            // The ticket is with somebody who knows of no bell.
            let _ = self.sync.push(request);
            // Only now: whoever enqueues next for this chain must find it either here or there.
            target.chain().in_os_lane.fetch_sub(1, Ordering::AcqRel);
            self.sync.wake_thread();
        }
        guard.disarm();
    }

    /// The hot path: one append, one write, nothing allocated.
    fn carry_out_one(&self, request: CommitRequest, inline: bool) {
        let len = request.bytes.len() as u64;
        let verdict = match precheck(&self.dir, &request) {
            Some(refusal) => Err(refusal),
            None => {
                self.counters.add_queue(QueueCounts { writes: 1, ..QueueCounts::default() });
                let written =
                    request.file.write_vectored_all_at(&[IoSlice::new(&request.bytes)], request.position);
                verdict_of_write(&self.dir, request.file.path(), written.map_err(|short| short.error))
            }
        };
        self.counters.add_group(1, if verdict.is_ok() { len } else { 0 }, inline);
        self.finish(request, verdict, LaneKind::Os);
    }

    fn carry_out_group(&self, requests: Requests, queue: &mut dyn WriteQueue, lane: LaneKind, inline: bool) {
        let requests = requests.into_vec();
        if !requests.is_empty() {
            let verdicts = carry_out(&self.dir, &requests, queue, &self.counters);
            self.finish_group(requests, verdicts, lane, inline);
        }
    }

    pub(super) fn finish_group(
        &self,
        requests: Vec<CommitRequest>,
        verdicts: Vec<Verdict>,
        lane: LaneKind,
        inline: bool,
    ) {
        let bytes =
            requests.iter().zip(&verdicts).filter(|(_, v)| v.is_ok()).map(|(r, _)| r.bytes.len() as u64);
        self.counters.add_group(requests.len() as u64, bytes.sum(), inline);
        for (request, verdict) in requests.into_iter().zip(verdicts) {
            self.finish(request, verdict, lane);
        }
    }

    /// Tells the target, in the order of enqueueing. An append that was written well still fails if one before it
    /// in its chain failed: its bytes lie behind a hole.
    fn finish(&self, request: CommitRequest, verdict: Verdict, lane: LaneKind) {
        let chain = request.target.chain();
        let result = match (verdict, chain.failure()) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(first)) => Err(CommitError::AfterFailure { first: Arc::new(first) }),
            (Err(error), _) => {
                chain.break_with(&error);
                Err(error)
            }
        };
        request.target.committed(request.reservation, result);
        match lane {
            LaneKind::Os => chain.in_os_lane.fetch_sub(1, Ordering::AcqRel),
            LaneKind::Sync => chain.in_sync_lane.fetch_sub(1, Ordering::AcqRel),
        };
        self.release_room(request.bytes.len() as u64);
    }

    fn release_room(&self, bytes: u64) {
        let before = self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        let limit = self.waiting_bytes_max;
        let was_full = before >= limit;
        if (was_full && before - bytes < limit) || self.dir.offline().is_some() {
            // Taken so that a thread between its check and its sleep does not miss the call.
            drop(self.room.lock().unwrap_or_else(PoisonError::into_inner));
            self.room_made.notify_all();
        }
    }
}

/// A panic under the lead has taken the directory offline; the lane lives on to say so to all who still wait in it.
/// Ends, because a directory that is offline is not written to, and each turn takes at least one append away.
pub(super) fn until_no_panic(mut serve: impl FnMut()) {
    while panic::catch_unwind(AssertUnwindSafe(&mut serve)).is_err() {}
}

/// Which lane an append is in when it ends.
#[derive(Copy, Clone)]
pub(super) enum LaneKind {
    Os,
    Sync,
}

fn must_be_forwarded(request: &CommitRequest) -> bool {
    request.durability.is_durable() || request.target.chain().in_sync_lane.load(Ordering::Acquire) > 0
}

/// Counts a request that has to be durable into its new lane at once, so that later ones of its chain follow it.
fn forward(request: &CommitRequest) -> bool {
    let forward = must_be_forwarded(request);
    if forward {
        request.target.chain().in_sync_lane.fetch_add(1, Ordering::AcqRel);
    }
    forward
}

/// Writes a group of several appends on the leading thread; no flush is ever asked of it.
struct PageCacheOnly;

impl WriteQueue for PageCacheOnly {
    fn execute(&mut self, group: &mut WriteGroup) {
        for file in &mut group.files {
            debug_assert!(!file.sync, "what has to be durable was forwarded");
            write_runs(file, &mut group.counts);
        }
    }
}
