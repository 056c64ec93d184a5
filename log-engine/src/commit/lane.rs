//! The two queues of waiting appends and who serves them.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::io::{QueueCounts, WriteGroup, WriteQueue, write_runs};

use super::carry::{Verdict, carry_out, precheck, verdict_of_write};
use super::group::{GroupBounds, next_group};
use super::lead::{Lead, Pace};
use super::{CommitError, CommitLimits, CommitRequest, Counters, DirState, Durability};

/// Both lanes of a data directory.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) dir: Arc<DirState>,
    pub(super) counters: Counters,
    waiting_bytes_max: u64,
    os: Lane,
    sync: Lane,
    waiting_bytes: AtomicU64,
    room: Mutex<()>,
    room_made: Condvar,
}

#[derive(Debug)]
struct Lane {
    bounds: GroupBounds,
    state: Mutex<LaneState>,
    wake: Condvar,
    // Mirrors whether `waiting` has anything, so that `drive` can pass by an empty lane without its lock.
    has_waiting: AtomicBool,
}

#[derive(Debug, Default)]
struct LaneState {
    waiting: VecDeque<CommitRequest>,
    /// Somebody is carrying out a group; nobody else may.
    led: bool,
    /// The lane's thread is asked to lead.
    handed_over: bool,
    thread_sleeps: bool,
    closed: bool,
    pace: Pace,
}

impl Lanes {
    pub(super) fn new(dir: Arc<DirState>, limits: CommitLimits) -> Self {
        let CommitLimits { waiting_bytes_max, os_group_bytes_max, sync_group_bytes_max, group_appends_max } =
            limits;
        let bounds = |bytes_max| GroupBounds { bytes_max, appends_max: group_appends_max };
        Self {
            dir,
            counters: Counters::default(),
            waiting_bytes_max,
            os: Lane::new(bounds(os_group_bytes_max)),
            sync: Lane::new(bounds(sync_group_bytes_max)),
            waiting_bytes: AtomicU64::new(0),
            room: Mutex::new(()),
            room_made: Condvar::new(),
        }
    }

    /// An append stays behind earlier ones of its chain: in the `os` lane while any of them is there (the leader
    /// forwards it), otherwise in the `sync` lane if it or an earlier one has to be durable.
    pub(super) fn enqueue(&self, request: CommitRequest) {
        self.waiting_bytes.fetch_add(request.bytes.len() as u64, Ordering::Relaxed);
        let chain = request.target.chain();
        let behind_os = chain.in_os_lane.load(Ordering::Acquire) > 0;
        let behind_sync = chain.in_sync_lane.load(Ordering::Acquire) > 0;
        if behind_os || (request.durability == Durability::Os && !behind_sync) {
            chain.in_os_lane.fetch_add(1, Ordering::AcqRel);
            self.os.push(request);
        } else {
            chain.in_sync_lane.fetch_add(1, Ordering::AcqRel);
            self.sync.push(request);
        }
    }

    pub(super) fn drive(&self) {
        if self.sync.has_waiting.load(Ordering::Acquire) {
            self.sync.wake_thread();
        }
        if self.os.has_waiting.load(Ordering::Acquire) {
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
            let led = self.take_lead(&self.os, &mut state);
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
            while let Some(led) = self.wait_for_group(&self.os, |state| state.handed_over || state.closed) {
                let started = Instant::now();
                self.carry_out_os(led, false);
                let mut state = self.os.lock();
                state.pace.record(started, Instant::now());
                state.led = false;
                state.handed_over = !state.waiting.is_empty();
            }
        });
    }

    /// Body of the `sync` lane's thread: whatever waits when a flush ends shares the next one.
    pub(super) fn run_sync_lane(&self, mut queue: Box<dyn WriteQueue>) {
        until_no_panic(|| {
            while let Some((requests, guard)) = self.wait_for_group(&self.sync, |_| true) {
                self.carry_out_group(requests, queue.as_mut(), LaneKind::Sync, false);
                guard.disarm();
                self.sync.lock().led = false;
            }
        });
    }

    /// Sleeps until there is a group to carry out; `None` once the lane is closed and empty.
    fn wait_for_group<'a>(
        &'a self,
        lane: &'a Lane,
        may_lead: impl Fn(&LaneState) -> bool,
    ) -> Option<Led<'a>> {
        let mut state = lane.lock();
        loop {
            if !state.led && !state.waiting.is_empty() && may_lead(&state) {
                return Some(self.take_lead(lane, &mut state));
            }
            if state.closed && state.waiting.is_empty() && !state.led {
                return None;
            }
            state.thread_sleeps = true;
            state = lane.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.thread_sleeps = false;
        }
    }

    fn take_lead<'a>(&'a self, lane: &'a Lane, state: &mut LaneState) -> Led<'a> {
        state.led = true;
        let count = next_group(state.waiting.iter().map(|r| r.bytes.len() as u64), lane.bounds);
        let requests = match count {
            1 => Requests::One(state.waiting.pop_front().expect("the group counts one that waits")),
            _ => Requests::Many(state.waiting.drain(..count).collect()),
        };
        lane.has_waiting.store(!state.waiting.is_empty(), Ordering::Release);
        (requests, LeadGuard { dir: &self.dir, lane, armed: true })
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
            self.sync.push(request);
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
        if requests.is_empty() {
            return;
        }
        let verdicts = carry_out(&self.dir, &requests, queue, &self.counters);
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
fn until_no_panic(mut serve: impl FnMut()) {
    while panic::catch_unwind(AssertUnwindSafe(&mut serve)).is_err() {}
}

/// Which lane an append is in when it ends.
#[derive(Copy, Clone)]
enum LaneKind {
    Os,
    Sync,
}

enum Requests {
    One(CommitRequest),
    Many(Vec<CommitRequest>),
}

impl Requests {
    fn into_vec(self) -> Vec<CommitRequest> {
        match self {
            Self::One(request) => vec![request],
            Self::Many(requests) => requests,
        }
    }
}

type Led<'a> = (Requests, LeadGuard<'a>);

fn must_be_forwarded(request: &CommitRequest) -> bool {
    request.durability == Durability::Sync || request.target.chain().in_sync_lane.load(Ordering::Acquire) > 0
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

impl Lane {
    fn new(bounds: GroupBounds) -> Self {
        Self { bounds, state: Mutex::default(), wake: Condvar::new(), has_waiting: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, request: CommitRequest) {
        let mut state = self.lock();
        state.waiting.push_back(request);
        self.has_waiting.store(true, Ordering::Release);
    }

    fn wake_thread(&self) {
        self.notify(&mut self.lock());
    }

    /// Spares the system call where nobody sleeps, or somebody has been woken already.
    fn notify(&self, state: &mut LaneState) {
        if std::mem::take(&mut state.thread_sleeps) {
            self.wake.notify_one();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }
}

/// Leaves no lane without a leader that thinks it has one: a panic under the lead takes the directory offline and
/// lets the next leader tell everybody so.
struct LeadGuard<'a> {
    dir: &'a DirState,
    lane: &'a Lane,
    armed: bool,
}

impl LeadGuard<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for LeadGuard<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.dir.fail("write", self.dir.dir(), std::io::Error::other("the committer panicked"));
            self.lane.lock().led = false;
        }
    }
}
