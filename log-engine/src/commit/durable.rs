//! The thread of the durable lane: what waits when a flush ends shares the next one, after a while of gathering where
//! all of it came under flush policy `group`.

use std::time::Instant;

use crate::io::WriteQueue;

use super::Durability;
use super::carry::carry_out;
use super::gather::{Gathered, Gathering, Step};
use super::lane::{LaneKind, Lanes, until_no_panic};
use super::waiting::{LaneState, Led};

impl Lanes {
    /// Body of the lane's thread.
    pub(super) fn run_sync_lane(&self, mut queue: Box<dyn WriteQueue>) {
        let mut gathering = Gathering::new(self.group_delay_max);
        until_no_panic(|| {
            // For those who had their results when a panic came.
            self.sync.bells.ring_if_wanted();
            while let Some((requests, guard)) = self.wait_for_gathered(&gathering) {
                let (requests, started) = (requests.into_vec(), Instant::now());
                let verdicts = carry_out(&self.dir, &requests, queue.as_mut(), &self.counters);
                // Before anybody is told: who is told comes again at once, and would be counted twice.
                let waiting = self.sync.lock().waiting.len();
                gathering.flushed(requests.len(), waiting, started, Instant::now());
                self.finish_group(requests, verdicts, LaneKind::Sync, false);
                self.sync.bells.ring_if_wanted();
                guard.disarm();
                self.sync.lock().led = false;
            }
        });
    }

    /// Sleeps until a group is gathered; `None` once the lane is closed and empty.
    fn wait_for_gathered(&self, gathering: &Gathering) -> Option<Led<'_>> {
        let mut state = self.sync.lock();
        let mut seen = 0;
        loop {
            if state.waiting.is_empty() {
                if state.closed {
                    return None;
                }
                state = self.sync.sleep(state);
                continue;
            }
            let gathered = Gathered {
                appends: state.waiting.len(),
                grows: state.waiting.len() > seen,
                urgent: state.closed || self.sync.is_full(&state) || has_impatient(&state),
            };
            seen = gathered.appends;
            state = match gathering.decide(gathered, Instant::now()) {
                Step::Flush => return Some(self.sync.take_lead(&mut state, &self.dir)),
                Step::Gather { until, at_most } => self.sync.sleep_gathering(state, until, at_most),
            };
        }
    }
}

fn has_impatient(state: &LaneState) -> bool {
    state.waiting.iter().any(|request| request.durability != Durability::Group)
}
