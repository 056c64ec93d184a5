//! How long the durable lane gathers appends before it flushes, under flush policy `group`. Pure.
//!
//! Gathering pays only where more appends are about to come, and those who are about to come are mostly those whom the
//! last flush told: a producer that waits for its acknowledgement brings the next append when it has it. So the lane
//! gathers until as many wait as were there when the last flush ended. It gives up early when nobody came for as long
//! as a flush takes, because a flush of its own would have served that append by now. Whoever is alone is never
//! delayed.

use std::time::{Duration, Instant};

/// No shorter than a thread's wake-up is precise.
const PATIENCE_MIN: Duration = Duration::from_micros(50);

/// What waits in the lane at one moment.
#[derive(Copy, Clone, Debug)]
pub(super) struct Gathered {
    pub(super) appends: usize,
    /// Whether any came since the lane was looked at before.
    pub(super) grows: bool,
    /// Somebody waits who was promised no delay, or the group can take no more.
    pub(super) urgent: bool,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Flush what waits.
    Flush,
    /// Look again when so many wait, or after so long.
    Gather { until: usize, at_most: Duration },
}

/// What the last flush leaves to expect.
#[derive(Debug)]
pub(super) struct Gathering {
    delay_max: Duration,
    last: Option<LastFlush>,
}

#[derive(Debug)]
struct LastFlush {
    ended: Instant,
    took: Duration,
    /// Appends that it told, and those that waited behind it.
    seen: usize,
}

impl Gathering {
    /// `delay_max` bounds what an append waits although it could be flushed.
    pub(super) fn new(delay_max: Duration) -> Self {
        Self { delay_max, last: None }
    }

    pub(super) fn decide(&self, gathered: Gathered, now: Instant) -> Step {
        let Some(last) = &self.last else { return Step::Flush };
        // Counted from the last flush and not from the first append: whoever was to come again has come by then.
        let left = (last.ended + self.delay_max).saturating_duration_since(now);
        let enough = gathered.appends >= last.seen || !gathered.grows;
        if gathered.urgent || enough || left.is_zero() {
            return Step::Flush;
        }
        Step::Gather { until: last.seen, at_most: left.min(last.took.max(PATIENCE_MIN)) }
    }

    /// A flush ended that told `told` appends, while `waiting` others came.
    pub(super) fn flushed(&mut self, told: usize, waiting: usize, started: Instant, ended: Instant) {
        self.last =
            Some(LastFlush { ended, took: ended.saturating_duration_since(started), seen: told + waiting });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(5);
    const FLUSH: Duration = Duration::from_micros(200);

    fn after_a_flush(told: usize, waiting: usize) -> (Gathering, Instant) {
        let (mut gathering, start) = (Gathering::new(DELAY), Instant::now());
        gathering.flushed(told, waiting, start, start + FLUSH);
        (gathering, start + FLUSH)
    }

    fn waiting(appends: usize) -> Gathered {
        Gathered { appends, grows: true, urgent: false }
    }

    #[test]
    fn whoever_is_alone_is_not_delayed() {
        let now = Instant::now();
        assert_eq!(Gathering::new(DELAY).decide(waiting(1), now), Step::Flush);
        let (gathering, now) = after_a_flush(1, 0);
        assert_eq!(gathering.decide(waiting(1), now), Step::Flush);
    }

    #[test]
    fn those_who_were_told_and_those_who_came_meanwhile_are_waited_for() {
        let (gathering, now) = after_a_flush(40, 24);
        assert_eq!(gathering.decide(waiting(24), now), Step::Gather { until: 64, at_most: FLUSH });
        assert_eq!(gathering.decide(waiting(63), now), Step::Gather { until: 64, at_most: FLUSH });
        assert_eq!(gathering.decide(waiting(64), now), Step::Flush);
    }

    #[test]
    fn nobody_is_waited_for_when_no_more_come_or_when_the_delay_is_over() {
        let (gathering, now) = after_a_flush(64, 0);
        assert_eq!(gathering.decide(Gathered { grows: false, ..waiting(2) }, now), Step::Flush);
        assert_eq!(gathering.decide(waiting(2), now + DELAY), Step::Flush);
        let almost = now + DELAY - Duration::from_micros(30);
        let rest = Step::Gather { until: 64, at_most: Duration::from_micros(30) };
        assert_eq!(gathering.decide(waiting(2), almost), rest);
    }

    #[test]
    fn who_was_promised_no_delay_has_none() {
        let (gathering, now) = after_a_flush(64, 0);
        assert_eq!(gathering.decide(Gathered { urgent: true, ..waiting(2) }, now), Step::Flush);
        let mut none = Gathering::new(Duration::ZERO);
        none.flushed(64, 0, now, now);
        assert_eq!(none.decide(waiting(2), now), Step::Flush);
    }

    #[test]
    fn a_quick_flush_leaves_enough_time_to_wake_up_in() {
        let (mut gathering, now) = (Gathering::new(DELAY), Instant::now());
        gathering.flushed(64, 0, now, now + Duration::from_micros(3));
        let step = gathering.decide(waiting(2), now);
        assert_eq!(step, Step::Gather { until: 64, at_most: PATIENCE_MIN });
    }
}
