//! Whether an appending thread writes itself. Pure.

use std::time::{Duration, Instant};

/// A page cache write that took this long was throttled by the kernel, or lost the processor for a long while.
const SLOW_WRITE: Duration = Duration::from_millis(20);

/// For how long after a slow write appending threads leave writing to the lane's thread. Short, because it may have
/// been the processor; doubled as long as writes stay slow, because then it is the disk.
const REST: Duration = Duration::from_millis(50);
const REST_DOUBLINGS_MAX: u32 = 5;

/// Groups an appending thread carries out for others before it hands the lead over.
pub(super) const GROUPS_LED_MAX: usize = 4;

/// Who writes next.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Lead {
    /// The thread that brought the append.
    Inline,
    /// The lane's own thread.
    Handover,
}

/// How quick the latest writes were.
#[derive(Debug, Default)]
pub(super) struct Pace {
    resting_until: Option<Instant>,
    slow_in_a_row: u32,
}

impl Pace {
    /// Inline while writes are quick: a hand-off costs several times what a page cache write does. Not inline once
    /// one was slow, because the caller may be a thread that serves many sockets.
    pub(super) fn decide(&self, groups_led: usize, now: Instant) -> Lead {
        let resting = self.resting_until.is_some_and(|until| now < until);
        if resting || groups_led >= GROUPS_LED_MAX { Lead::Handover } else { Lead::Inline }
    }

    /// A group was written, by whichever thread.
    pub(super) fn record(&mut self, started: Instant, ended: Instant) {
        if ended.saturating_duration_since(started) < SLOW_WRITE {
            self.slow_in_a_row = 0;
            return;
        }
        self.resting_until = Some(ended + REST * (1 << self.slow_in_a_row.min(REST_DOUBLINGS_MAX)));
        self.slow_in_a_row += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_leads_until_a_write_was_slow_and_again_after_a_rest() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.record(start, start + SLOW_WRITE / 2);
        assert_eq!(pace.decide(0, start), Lead::Inline);
        let slow = start + SLOW_WRITE;
        pace.record(start, slow);
        assert_eq!(pace.decide(0, slow), Lead::Handover);
        assert_eq!(pace.decide(0, slow + REST / 2), Lead::Handover);
        assert_eq!(pace.decide(0, slow + REST), Lead::Inline);
    }

    #[test]
    fn the_rest_doubles_while_writes_stay_slow_and_is_short_again_after_a_quick_one() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let slow = start + SLOW_WRITE;
        for doublings in [0, 1, 2, 3, 4, 5, 5, 5] {
            pace.record(start, slow);
            let rest = REST * (1 << doublings);
            assert_eq!(pace.decide(0, slow + rest - Duration::from_millis(1)), Lead::Handover);
            assert_eq!(pace.decide(0, slow + rest), Lead::Inline);
        }
        pace.record(start, start);
        pace.record(start, slow);
        assert_eq!(pace.decide(0, slow + REST), Lead::Inline);
    }

    #[test]
    fn a_caller_does_not_lead_for_others_forever() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.decide(GROUPS_LED_MAX - 1, now), Lead::Inline);
        assert_eq!(pace.decide(GROUPS_LED_MAX, now), Lead::Handover);
    }
}
