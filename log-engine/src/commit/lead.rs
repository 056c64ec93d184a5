//! Whether an appending thread writes itself.

use std::time::{Duration, Instant};

/// A page cache write that took this long was throttled by the kernel; losing the processor to others for a few
/// milliseconds on a busy machine is shorter, and no reason to pay for hand-offs on top.
pub(super) const SLOW_WRITE: Duration = Duration::from_millis(20);

/// For how long after a slow write appending threads leave writing to the lane's thread.
pub(super) const REST_AFTER_SLOW_WRITE: Duration = Duration::from_millis(500);

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

/// Inline while writes are quick: a hand-off costs several times what a page cache write does. Not inline once one
/// was slow, because the caller may be a thread that serves many sockets.
pub(super) fn decide(last_slow_write: Option<Instant>, groups_led: usize, now: Instant) -> Lead {
    let resting =
        last_slow_write.is_some_and(|slow| now.saturating_duration_since(slow) < REST_AFTER_SLOW_WRITE);
    if resting || groups_led >= GROUPS_LED_MAX { Lead::Handover } else { Lead::Inline }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_leads_until_a_write_was_slow_and_again_after_a_rest() {
        let start = Instant::now();
        assert_eq!(decide(None, 0, start), Lead::Inline);
        assert_eq!(decide(Some(start), 0, start), Lead::Handover);
        assert_eq!(decide(Some(start), 0, start + REST_AFTER_SLOW_WRITE / 2), Lead::Handover);
        assert_eq!(decide(Some(start), 0, start + REST_AFTER_SLOW_WRITE), Lead::Inline);
    }

    #[test]
    fn a_caller_does_not_lead_for_others_forever() {
        let now = Instant::now();
        assert_eq!(decide(None, GROUPS_LED_MAX - 1, now), Lead::Inline);
        assert_eq!(decide(None, GROUPS_LED_MAX, now), Lead::Handover);
    }
}
