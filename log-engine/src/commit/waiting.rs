//! Appends that wait in a lane, and who may take them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bell::Bell;
use super::group::{GroupBounds, next_group};
use super::lead::Pace;
use super::{CommitRequest, DirState, Durability};

#[derive(Debug)]
pub(super) struct Lane {
    bounds: GroupBounds,
    state: Mutex<LaneState>,
    wake: Condvar,
    pub(super) bells: Bells,
    // Mirrors whether `waiting` has anything, so that `drive` can pass by an empty lane without its lock.
    has_waiting: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct LaneState {
    pub(super) waiting: VecDeque<CommitRequest>,
    /// Bytes of those that wait.
    bytes: u64,
    /// Somebody is carrying out a group; nobody else may.
    pub(super) led: bool,
    /// The lane's thread is asked to lead.
    pub(super) handed_over: bool,
    thread_sleeps: bool,
    /// While fewer wait, the sleeping thread gathers and is left asleep; see `gather`.
    gathers_until: usize,
    pub(super) closed: bool,
    groups_left: usize,
    pub(super) pace: Pace,
}

/// The bells of a lane: whoever comes while a group is on its way belongs to the next one, and is not to be woken by it.
#[derive(Debug, Default)]
pub(super) struct Bells([Arc<Bell>; 2]);

impl Bells {
    /// The bell of those who come while so many groups have left.
    pub(super) fn of(&self, groups_left: usize) -> &Arc<Bell> {
        &self.0[groups_left % 2]
    }

    /// Wakes whoever has a result.
    pub(super) fn ring_if_wanted(&self) {
        self.0.iter().for_each(|bell| bell.ring_if_wanted());
    }
}

/// One append is the usual group of a quiet lane, and takes no allocation.
pub(super) enum Requests {
    One(CommitRequest),
    Many(Vec<CommitRequest>),
}

impl Requests {
    pub(super) fn into_vec(self) -> Vec<CommitRequest> {
        match self {
            Self::One(request) => vec![request],
            Self::Many(requests) => requests,
        }
    }
}

/// A group, and the lane that nobody else leads meanwhile.
pub(super) type Led<'a> = (Requests, LeadGuard<'a>);

impl Lane {
    pub(super) fn new(bounds: GroupBounds) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
            wake: Condvar::new(),
            bells: Bells::default(),
            has_waiting: AtomicBool::new(false),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything waits; may lag behind what another thread does at this moment.
    pub(super) fn has_waiting(&self) -> bool {
        self.has_waiting.load(Ordering::Acquire)
    }

    /// Answers the bell of the group that it will be in, if the group has room for it.
    pub(super) fn push(&self, request: CommitRequest) -> Arc<Bell> {
        let mut state = self.lock();
        if request.durability != Durability::Group {
            state.gathers_until = 0;
        }
        state.bytes += request.bytes.len() as u64;
        state.waiting.push_back(request);
        self.has_waiting.store(true, Ordering::Release);
        Arc::clone(self.bells.of(state.groups_left))
    }

    /// Takes the next group from the front.
    pub(super) fn take_lead<'a>(&'a self, state: &mut LaneState, dir: &'a DirState) -> Led<'a> {
        state.led = true;
        state.groups_left += 1;
        let count = next_group(state.waiting.iter().map(|r| r.bytes.len() as u64), self.bounds);
        let requests = match count {
            1 => Requests::One(state.waiting.pop_front().expect("the group counts one that waits")),
            _ => Requests::Many(state.waiting.drain(..count).collect()),
        };
        state.bytes = state.waiting.iter().map(|request| request.bytes.len() as u64).sum();
        self.has_waiting.store(!state.waiting.is_empty(), Ordering::Release);
        (requests, LeadGuard { dir, lane: self, armed: true })
    }

    /// Whether one group takes no more than waits already.
    pub(super) fn is_full(&self, state: &LaneState) -> bool {
        state.bytes >= self.bounds.bytes_max || state.waiting.len() >= self.bounds.appends_max
    }

    /// Puts the lane's thread to sleep until it is wanted.
    pub(super) fn sleep<'a>(&self, mut state: MutexGuard<'a, LaneState>) -> MutexGuard<'a, LaneState> {
        state.thread_sleeps = true;
        state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.thread_sleeps = false;
        state
    }

    /// The same until `until` appends wait, one of them cannot, or `at_most` is over.
    pub(super) fn sleep_gathering<'a>(
        &self,
        mut state: MutexGuard<'a, LaneState>,
        until: usize,
        at_most: Duration,
    ) -> MutexGuard<'a, LaneState> {
        state.thread_sleeps = true;
        state.gathers_until = until;
        state = self.wake.wait_timeout(state, at_most).unwrap_or_else(PoisonError::into_inner).0;
        state.thread_sleeps = false;
        state.gathers_until = 0;
        state
    }

    /// Wakes the lane's thread, unless it gathers and has not enough.
    pub(super) fn wake_thread(&self) {
        let mut state = self.lock();
        if state.waiting.len() >= state.gathers_until || self.is_full(&state) {
            self.notify(&mut state);
        }
    }

    /// Spares the system call where nobody sleeps, or somebody has been woken already.
    pub(super) fn notify(&self, state: &mut LaneState) {
        if std::mem::take(&mut state.thread_sleeps) {
            self.wake.notify_one();
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }
}

/// Leaves no lane without a leader that thinks it has one: a panic under the lead takes the directory offline and
/// lets the next leader tell everybody so.
pub(super) struct LeadGuard<'a> {
    dir: &'a DirState,
    lane: &'a Lane,
    armed: bool,
}

impl LeadGuard<'_> {
    pub(super) fn disarm(mut self) {
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
