//! Kafka's `TokenBucket`: so many per second, and what was not used for a while at once. A request may take more than
//! there is; the next ones wait until that is made up for.

use super::rate::Windows;

/// One bucket. Times are milliseconds of a clock that does not go back.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    tokens: f64,
    filled_ms: i64,
}

impl TokenBucket {
    /// A full one.
    pub(crate) fn new(windows: Windows, per_second: f64, now_ms: i64) -> Self {
        Self { tokens: burst(windows, per_second), filled_ms: now_ms }
    }

    /// How many there are; below none where more were taken.
    pub(crate) fn tokens(&mut self, windows: Windows, per_second: f64, now_ms: i64) -> f64 {
        let since = (now_ms - self.filled_ms).max(0) as f64 / 1000.0;
        self.tokens = burst(windows, per_second).min(self.tokens + per_second * since);
        self.filled_ms = now_ms;
        self.tokens
    }

    /// Takes some.
    pub(crate) fn take(&mut self, windows: Windows, per_second: f64, wanted: f64, now_ms: i64) {
        let before = self.tokens(windows, per_second, now_ms);
        self.tokens = burst(windows, per_second).min(before - wanted);
    }

    /// Until there are no longer fewer than none; `None` where there are not.
    pub(crate) fn throttle_ms(&mut self, windows: Windows, per_second: f64, now_ms: i64) -> Option<i64> {
        let tokens = self.tokens(windows, per_second, now_ms);
        // The cast keeps to the type's bounds.
        (tokens < 0.0).then(|| (-tokens / per_second * 1000.0).round() as i64)
    }

    /// When it was looked at last.
    pub(crate) fn last_ms(&self) -> i64 {
        self.filled_ms
    }
}

fn burst(windows: Windows, per_second: f64) -> f64 {
    windows.memory_ms() as f64 / 1000.0 * per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_beyond_what_there_was_is_made_up_for_at_the_rate() {
        let windows = Windows::new(11, 1);
        let mut bucket = TokenBucket::new(windows, 2.0, 0);
        assert_eq!(bucket.tokens(windows, 2.0, 0), 22.0);
        bucket.take(windows, 2.0, 30.0, 0);
        assert_eq!(bucket.throttle_ms(windows, 2.0, 0), Some(4000));
        assert_eq!(bucket.throttle_ms(windows, 2.0, 3000), Some(1000));
        assert_eq!(bucket.throttle_ms(windows, 2.0, 4000), None);
        assert_eq!(bucket.tokens(windows, 2.0, 1_000_000), 22.0, "no more than the windows hold");
    }

    #[test]
    fn another_rate_holds_at_once() {
        let windows = Windows::new(1, 1);
        let mut bucket = TokenBucket::new(windows, 10.0, 0);
        bucket.take(windows, 10.0, 20.0, 0);
        assert_eq!(bucket.throttle_ms(windows, 10.0, 0), Some(1000));
        assert_eq!(bucket.throttle_ms(windows, 5.0, 0), Some(2000));
    }
}
