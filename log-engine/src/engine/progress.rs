//! Lines on the log that tell how far the opening of a data directory is, where it takes long.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::home::Home;

/// Between two lines, and before the first.
const INTERVAL_MS: i64 = 2_000;

pub(super) struct Progress<'a> {
    home: &'a Home,
    logs: u64,
    begun: i64,
    opened: AtomicU64,
    scanned_bytes: AtomicU64,
    told: AtomicI64,
}

impl<'a> Progress<'a> {
    pub(super) fn begin(home: &'a Home, logs: usize) -> Self {
        let begun = home.clock.now().get();
        Self {
            home,
            logs: logs as u64,
            begun,
            opened: AtomicU64::new(0),
            scanned_bytes: AtomicU64::new(0),
            told: AtomicI64::new(begun),
        }
    }

    /// One more log is open.
    pub(super) fn note(&self, scanned_bytes: u64) {
        let opened = self.opened.fetch_add(1, Relaxed) + 1;
        let scanned = self.scanned_bytes.fetch_add(scanned_bytes, Relaxed) + scanned_bytes;
        let (now, told) = (self.home.clock.now().get(), self.told.load(Relaxed));
        let is_due = now.saturating_sub(told) >= INTERVAL_MS && opened < self.logs;
        // One of the threads tells.
        if is_due && self.told.compare_exchange(told, now, Relaxed, Relaxed).is_ok() {
            let elapsed = now.saturating_sub(self.begun);
            tracing::info!(
                "{}: {}, {} MB read to be checked",
                self.home.path.display(),
                line(opened, self.logs, elapsed),
                scanned / 1_000_000
            );
        }
    }
}

fn line(opened: u64, logs: u64, elapsed_ms: i64) -> String {
    let left_ms = (elapsed_ms.unsigned_abs() * (logs - opened)).div_ceil(opened.max(1));
    format!("{opened} of {logs} logs are open, about {} s to go", left_ms.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_go_is_what_the_logs_so_far_took() {
        assert_eq!(line(2_500, 10_000, 4_000), "2500 of 10000 logs are open, about 12 s to go");
        assert_eq!(line(9_999, 10_000, 4_000), "9999 of 10000 logs are open, about 1 s to go");
    }
}
