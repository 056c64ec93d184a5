//! What appenders share: where the next record goes, and what is on its way there.
//!
//! Two ends live here side by side. The reserved one (`next_offset`, `position`, `pace`) is ahead; the published one is
//! in the segments and in [`super::SharedOffsets`]. When an append fails, the reserved end falls back to the published
//! one.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batch::BatchSummary;
use crate::commit::{Durability, Resolver};
use crate::config::FlushPolicy;
use crate::epoch::EpochCache;
use crate::error::AppendError;
use crate::producer::ProducerStates;
use crate::segment::Segment;
use crate::segment::pace::Pace;
use crate::segment::set::SegmentSet;
use crate::types::{Offset, TimestampMs};

use super::append::Appended;

#[derive(Debug)]
pub(super) struct Tail {
    pub(super) closed: bool,
    /// What appends are that do not say how durable they want to be.
    pub(super) policy: FlushPolicy,
    /// The log is about to go on in another directory: who wants to append waits.
    pub(super) handing_over: bool,
    /// Where the next record goes.
    pub(super) next_offset: Offset,
    /// The segment that takes it.
    pub(super) active: Arc<Segment>,
    /// Where in it.
    pub(super) position: u64,
    /// The log was opened after a crash, and nothing has been appended since: see `Log::wipe_behind_end`.
    pub(super) unwiped: bool,
    /// The active segment's indexes, with what is on its way.
    pub(super) pace: Pace,
    pub(super) first_timestamp: FirstTimestamp,
    pub(super) created: TimestampMs,
    /// `segment.ms` less this segment's jitter is what it lives; this is the random part of the jitter.
    pub(super) jitter: u64,
    /// Enqueued and not yet published, in order.
    pub(super) pending: VecDeque<Pending>,
    pub(super) next_reservation: u64,
    /// Threads that wait for what is on its way; without any, nobody is woken.
    pub(super) waiting: u32,
    pub(super) producers: ProducerStates,
    pub(super) epochs: EpochCache,
}

/// Timestamp of the active segment's first batch.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum FirstTimestamp {
    /// The segment was opened and nobody has asked yet.
    Unread,
    /// There is no batch.
    NoBatch,
    Known(TimestampMs),
}

#[derive(Debug)]
pub(super) enum Pending {
    /// Bytes on their way to the file.
    Append(Reservation),
    /// Everything before goes to this segment, everything behind to the next one.
    Roll(Arc<Segment>),
}

/// A place in the file, and what publishing it means.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) number: u64,
    pub(super) segment: Arc<Segment>,
    pub(super) position: u64,
    pub(super) batches: Vec<BatchSummary>,
    pub(super) end: Offset,
    pub(super) durable: bool,
    pub(super) index_interval_bytes: u32,
    pub(super) answer: Appended,
    pub(super) resolver: Resolver<Appended, AppendError>,
    /// The same batch, sent again before this one had arrived: answered together.
    pub(super) repetitions: Vec<Resolver<Appended, AppendError>>,
}

impl Tail {
    /// The tail of a log that was opened: nothing is on its way.
    pub(super) fn new(
        segments: &SegmentSet,
        log_end: Offset,
        producers: ProducerStates,
        epochs: EpochCache,
        jitter: u64,
        policy: FlushPolicy,
    ) -> Self {
        let active = Arc::clone(segments.active());
        let mut tail = Self {
            closed: false,
            policy,
            handing_over: false,
            next_offset: log_end,
            active: Arc::clone(&active),
            position: 0,
            unwiped: false,
            pace: Pace::default(),
            first_timestamp: FirstTimestamp::NoBatch,
            created: TimestampMs::NONE,
            jitter,
            pending: VecDeque::new(),
            next_reservation: 0,
            waiting: 0,
            producers,
            epochs,
        };
        tail.activate(active, jitter);
        tail
    }

    /// What an append promises that asks for `asked`.
    pub(super) fn durability_of(&self, asked: Option<Durability>) -> Durability {
        asked.unwrap_or(self.policy.durability())
    }

    /// Makes `segment`, with nothing on its way, the active one.
    pub(super) fn activate(&mut self, segment: Arc<Segment>, jitter: u64) {
        let info = segment.info();
        self.unwiped = false;
        self.position = info.size_bytes;
        self.pace = segment.pace();
        self.first_timestamp =
            if info.size_bytes == 0 { FirstTimestamp::NoBatch } else { FirstTimestamp::Unread };
        self.created = info.created;
        self.jitter = jitter;
        self.active = segment;
    }
}
