//! How much per second, as Kafka's `Rate` over a `SampledStat` reckons it: in windows, of which the last few count.

/// How long something is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// `quota.window.num`: how many windows there are.
    pub(crate) number: usize,
    /// `quota.window.size.seconds`, in milliseconds: how long one is.
    pub(crate) size_ms: i64,
}

impl Windows {
    /// From configuration.
    pub(crate) fn new(number: i64, size_seconds: i64) -> Self {
        let number = usize::try_from(number).unwrap_or(1).max(1);
        Self { number, size_ms: size_seconds.max(1).saturating_mul(1000) }
    }

    fn number_i64(self) -> i64 {
        i64::try_from(self.number).unwrap_or(i64::MAX)
    }

    /// After so long without any event nothing is left of what was before.
    pub(crate) fn memory_ms(self) -> i64 {
        self.number_i64().saturating_mul(self.size_ms)
    }

    /// The windows but the one that is filled, in seconds: what a bound per second allows at once (Kafka's
    /// `maxValueInQuotaWindow`).
    pub(crate) fn seconds_but_one(self) -> f64 {
        (self.number_i64() - 1) as f64 * (self.size_ms as f64 / 1000.0)
    }
}

/// One rate. Times are milliseconds of a clock that does not go back.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    samples: Vec<Sample>,
    current: usize,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    started_ms: i64,
    last_ms: i64,
    total: f64,
}

impl Sample {
    fn new(now_ms: i64) -> Self {
        Self { started_ms: now_ms, last_ms: now_ms, total: 0.0 }
    }
}

impl Rate {
    /// Takes note of `amount`; less than none takes back.
    pub(crate) fn record(&mut self, windows: Windows, amount: f64, now_ms: i64) {
        let sample = self.current(windows, now_ms);
        sample.total += amount;
        sample.last_ms = now_ms;
    }

    fn current(&mut self, windows: Windows, now_ms: i64) -> &mut Sample {
        let is_over = |sample: &Sample| now_ms - sample.started_ms >= windows.size_ms;
        match self.samples.get(self.current) {
            None => self.samples.push(Sample::new(now_ms)),
            Some(sample) if is_over(sample) => {
                // One more than count: the oldest may still reach into the time that does.
                self.current = (self.current + 1) % (windows.number + 1);
                match self.samples.get_mut(self.current) {
                    Some(oldest) => *oldest = Sample::new(now_ms),
                    None => self.samples.push(Sample::new(now_ms)),
                }
            }
            Some(_) => {}
        }
        &mut self.samples[self.current]
    }

    /// What was noted per second.
    pub(crate) fn per_second(&mut self, windows: Windows, now_ms: i64) -> f64 {
        self.forget(windows, now_ms);
        let total: f64 = self.samples.iter().map(|sample| sample.total).sum();
        total / (self.window_ms(windows, now_ms) as f64 / 1000.0)
    }

    /// For how long nothing more may come so that the rate falls to `bound` (Kafka's `QuotaUtils.throttleTime`); `None`
    /// where it is not above.
    pub(crate) fn throttle_ms(&mut self, windows: Windows, bound: f64, now_ms: i64) -> Option<i64> {
        let rate = self.per_second(windows, now_ms);
        // The cast keeps to the type's bounds.
        let wait = || ((rate - bound) / bound * self.window_ms(windows, now_ms) as f64).round() as i64;
        (rate > bound).then(wait)
    }

    /// When something was noted last.
    pub(crate) fn last_ms(&self) -> i64 {
        self.samples.iter().map(|sample| sample.last_ms).max().unwrap_or(i64::MIN)
    }

    fn forget(&mut self, windows: Windows, now_ms: i64) {
        for sample in &mut self.samples {
            if now_ms - sample.last_ms >= windows.memory_ms() {
                *sample = Sample::new(now_ms);
            }
        }
    }

    /// The time that the rate is about: all windows but the current one are taken for full, also at the begin, where
    /// there were none. Otherwise the first bytes of a client would be a very high rate.
    fn window_ms(&self, windows: Windows, now_ms: i64) -> i64 {
        let oldest = self.samples.iter().map(|sample| sample.started_ms).min().unwrap_or(now_ms);
        let elapsed = now_ms - oldest;
        let missing = (windows.number_i64() - 1 - elapsed / windows.size_ms).max(0);
        (elapsed + missing.saturating_mul(windows.size_ms)).max(1)
    }
}

#[cfg(test)]
mod tests;
