//! `log.cleaner.io.max.bytes.per.second` and its like: how long to rest so that reading and writing stay below it. Pure.

use std::time::Duration;

/// Rests shorter than this are put off until more has gathered.
const REST_MIN: Duration = Duration::from_millis(20);

/// What may be read and written, by all who share it together.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: f64,
    // The time that the bytes so far take at the rate, less the time that has gone by; never below zero.
    debt: Duration,
    // Of the process's own steady clock.
    last: Duration,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second, debt: Duration::ZERO, last: Duration::ZERO }
    }

    /// Another rate, from now on; what is owed at the old one is forgiven.
    pub(crate) fn set_rate(&mut self, bytes_per_second: f64) {
        if bytes_per_second != self.bytes_per_second {
            (self.bytes_per_second, self.debt) = (bytes_per_second, Duration::ZERO);
        }
    }

    /// Counts bytes that were just read or written; answers how long to rest.
    pub(crate) fn take(&mut self, bytes: u64, now: Duration) -> Duration {
        let due = Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_second).unwrap_or(Duration::MAX);
        self.debt = self.debt.saturating_sub(now.saturating_sub(self.last)).saturating_add(due);
        self.last = self.last.max(now);
        if self.debt < REST_MIN { Duration::ZERO } else { self.debt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_any_stretch_of_time_the_rate_is_kept_and_time_unused_is_not_saved_up() {
        let mut throttle = Throttle::new(1_000_000.0);
        let mut now = Duration::from_secs(100);
        let mut bytes = 0;
        let began = now;
        while now < began + Duration::from_secs(10) {
            let rest = throttle.take(50_000, now);
            bytes += 50_000_u64;
            now += rest + Duration::from_millis(1);
        }
        assert!((9_500_000..=10_200_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_limit_that_is_lifted_holds_nobody_up_any_more() {
        let mut throttle = Throttle::new(1_000.0);
        assert_eq!(throttle.take(10_000, Duration::ZERO), Duration::from_secs(10));
        throttle.set_rate(f64::MAX);
        assert_eq!(throttle.take(10_000, Duration::ZERO), Duration::ZERO);
        throttle.set_rate(1_000.0);
        assert_eq!(throttle.take(1_000, Duration::ZERO), Duration::from_secs(1));
    }

    #[test]
    fn without_a_limit_nobody_rests_and_with_none_allowed_nobody_overflows() {
        let mut unlimited = Throttle::new(f64::MAX);
        assert_eq!(unlimited.take(u64::MAX, Duration::ZERO), Duration::ZERO);
        let mut none = Throttle::new(0.0);
        assert_eq!(none.take(1, Duration::ZERO), Duration::MAX);
        assert_eq!(none.take(1, Duration::from_secs(1)), Duration::MAX);
    }
}
