//! The ends of a log, in their order, and the one place that moves them.
//!
//! ```text
//!   log_start <= last_stable <= high_watermark <= log_end        visibility
//!                                  durable_end <= log_end        storage
//! ```
//!
//! Each end is an atomic of its own, so that readers take no lock. A snapshot loads the smaller ends first: all move
//! forward only, except where the log is cut, and there the smaller ones are moved first. So no snapshot shows an end
//! before a start. What holds back the last stable offset is noted before the high watermark passes it and loaded after the high
//! watermark. `tests/interleavings` runs this file in every order of threads.

use crate::sync::atomic::{AtomicI64, Ordering};
use crate::types::Offset;

/// The ends of a log at one moment. Ends are exclusive: each is the offset after the last record it covers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LogOffsets {
    /// First offset that can be read.
    pub log_start: Offset,
    /// Where a reader at `read_committed` stops: the first record of an open transaction, or the high watermark.
    pub last_stable: Offset,
    /// Where a consumer stops.
    pub high_watermark: Offset,
    /// Where the next record will be.
    pub log_end: Offset,
    /// Up to here records survive a power loss.
    pub durable_end: Offset,
}

#[derive(Debug)]
pub(crate) struct SharedOffsets {
    log_start: AtomicI64,
    // i64::MAX while no transaction is open.
    first_unstable: AtomicI64,
    high_watermark: AtomicI64,
    log_end: AtomicI64,
    durable_end: AtomicI64,
}

impl SharedOffsets {
    pub(crate) fn new(log_start: Offset, high_watermark: Offset, log_end: Offset) -> Self {
        assert!(log_start <= log_end, "a log from {log_start} cannot end at {log_end}");
        Self {
            log_start: AtomicI64::new(log_start.get()),
            first_unstable: AtomicI64::new(i64::MAX),
            high_watermark: AtomicI64::new(high_watermark.clamp(log_start, log_end).get()),
            log_end: AtomicI64::new(log_end.get()),
            durable_end: AtomicI64::new(log_start.get()),
        }
    }

    pub(crate) fn snapshot(&self) -> LogOffsets {
        let log_start = load(&self.log_start);
        let durable_end = load(&self.durable_end);
        let high_watermark = load(&self.high_watermark);
        // Behind the high watermark: the transaction that the watermark has passed into was noted before it moved there.
        let first_unstable = load(&self.first_unstable);
        let log_end = load(&self.log_end).max(log_start);
        let high_watermark = high_watermark.clamp(log_start, log_end);
        LogOffsets {
            log_start,
            last_stable: first_unstable.clamp(log_start, high_watermark),
            high_watermark,
            log_end,
            durable_end: durable_end.min(log_end),
        }
    }

    pub(crate) fn log_end(&self) -> Offset {
        load(&self.log_end)
    }

    pub(crate) fn log_start(&self) -> Offset {
        load(&self.log_start)
    }

    pub(crate) fn high_watermark(&self) -> Offset {
        load(&self.high_watermark)
    }

    pub(crate) fn durable_end(&self) -> Offset {
        load(&self.durable_end)
    }

    /// Records up to `end` can be read from now on.
    pub(crate) fn publish(&self, end: Offset, first_unstable: Option<Offset>) {
        debug_assert!(end >= self.log_end(), "a published end moves back only through truncation");
        // First: a transaction that begins here must hold the last stable offset back before its records show.
        self.set_first_unstable(first_unstable);
        self.log_end.store(end.get(), Ordering::Release);
    }

    pub(crate) fn set_first_unstable(&self, first_unstable: Option<Offset>) {
        self.first_unstable.store(first_unstable.map_or(i64::MAX, Offset::get), Ordering::Release);
    }

    pub(crate) fn has_unstable(&self) -> bool {
        self.first_unstable.load(Ordering::Acquire) != i64::MAX
    }

    /// Moves the high watermark forward, within the log; answers whether it moved.
    pub(crate) fn raise_high_watermark(&self, to: Offset) -> bool {
        let to = to.clamp(self.log_start(), self.log_end());
        self.high_watermark.fetch_max(to.get(), Ordering::AcqRel) < to.get()
    }

    pub(crate) fn raise_durable_end(&self, to: Offset) {
        self.durable_end.fetch_max(to.get(), Ordering::AcqRel);
    }

    /// Moves the start forward; the ends that are smaller are pushed along.
    pub(crate) fn raise_log_start(&self, to: Offset) -> bool {
        debug_assert!(to <= self.log_end(), "a log does not start behind its end");
        self.high_watermark.fetch_max(to.get(), Ordering::AcqRel);
        self.log_start.fetch_max(to.get(), Ordering::AcqRel) < to.get()
    }

    /// The log now ends at `end`.
    pub(crate) fn truncate(&self, end: Offset, first_unstable: Option<Offset>) {
        self.log_start.fetch_min(end.get(), Ordering::AcqRel);
        self.durable_end.fetch_min(end.get(), Ordering::AcqRel);
        self.high_watermark.fetch_min(end.get(), Ordering::AcqRel);
        self.log_end.store(end.get(), Ordering::Release);
        // Last: who still has the high watermark from before must not find the transactions gone that held it back.
        self.set_first_unstable(first_unstable);
    }

    /// The log is empty and begins at `at`.
    pub(crate) fn restart(&self, at: Offset) {
        self.truncate(Offset::ZERO, None);
        for end in [&self.log_end, &self.durable_end, &self.high_watermark, &self.log_start] {
            end.store(at.get(), Ordering::Release);
        }
    }
}

fn load(end: &AtomicI64) -> Offset {
    Offset::new(end.load(Ordering::Acquire))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(raw: i64) -> Offset {
        Offset::new(raw)
    }

    #[test]
    fn the_high_watermark_moves_forward_and_stays_inside_the_log() {
        let ends = SharedOffsets::new(offset(10), offset(5), offset(20));
        assert_eq!(ends.snapshot().high_watermark, offset(10));
        assert!(ends.raise_high_watermark(offset(15)));
        assert!(!ends.raise_high_watermark(offset(12)));
        assert!(ends.raise_high_watermark(offset(99)));
        assert_eq!(ends.snapshot().high_watermark, offset(20));
    }

    #[test]
    fn the_last_stable_offset_stops_at_the_first_open_transaction_and_at_the_high_watermark() {
        let ends = SharedOffsets::new(offset(0), offset(20), offset(20));
        ends.publish(offset(30), Some(offset(22)));
        assert_eq!(ends.snapshot().last_stable, offset(20));
        ends.raise_high_watermark(offset(30));
        assert_eq!(ends.snapshot().last_stable, offset(22));
        ends.publish(offset(31), None);
        assert_eq!(ends.snapshot().last_stable, offset(30));
    }

    #[test]
    fn every_end_follows_a_cut_and_a_raised_start() {
        let ends = SharedOffsets::new(offset(0), offset(20), offset(20));
        ends.raise_durable_end(offset(20));
        ends.truncate(offset(7), None);
        assert_eq!(
            ends.snapshot(),
            LogOffsets {
                log_start: offset(0),
                last_stable: offset(7),
                high_watermark: offset(7),
                log_end: offset(7),
                durable_end: offset(7)
            }
        );
        ends.raise_log_start(offset(5));
        assert_eq!(ends.snapshot().log_start, offset(5));
        ends.restart(offset(100));
        assert_eq!(ends.snapshot().log_start, offset(100));
        assert_eq!(ends.snapshot().log_end, offset(100));
    }
}
