//! What the engine gets out of the disk, against loops that do nothing but write: each pair in turn, several rounds, so
//! that both meet the machine in the same moods. Medians of the rounds, and their ratio.

pub mod bare;
pub mod rig;

use std::time::Duration;

/// One promise in figures.
pub struct Row {
    /// What is done.
    pub name: &'static str,
    /// What the times are of.
    pub unit: &'static str,
    /// What the ratio is to be at least, or at most.
    pub wanted: Wanted,
    /// One round of the bare loop.
    pub bare: Box<dyn FnMut() -> Duration>,
    /// One round of ours.
    pub ours: Box<dyn FnMut() -> Duration>,
}

/// Which ratio keeps the promise.
#[derive(Copy, Clone)]
pub enum Wanted {
    /// Bare time through our time, at least.
    SpeedAtLeast(f64),
    /// Our time through bare time, at most.
    TimeAtMost(f64),
}

/// How a row came out.
pub struct Outcome {
    /// Median of the bare rounds, in microseconds.
    pub bare: f64,
    /// Median of ours.
    pub ours: f64,
    /// Median of the ratios round by round.
    pub ratio: f64,
    /// Whether that is what was wanted.
    pub kept: bool,
}

impl Row {
    /// Runs both sides in turn.
    pub fn run(&mut self, rounds: usize) -> Outcome {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (mut bare, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (b, o) = (micros((self.bare)()), micros((self.ours)()));
            ratios.push(match self.wanted {
                Wanted::SpeedAtLeast(_) => b / o,
                Wanted::TimeAtMost(_) => o / b,
            });
            bare.push(b);
            ours.push(o);
        }
        let ratio = median(ratios);
        let kept = match self.wanted {
            Wanted::SpeedAtLeast(least) => ratio >= least,
            Wanted::TimeAtMost(most) => ratio <= most,
        };
        Outcome { bare: median(bare), ours: median(ours), ratio, kept }
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value that 99 of 100 do not exceed.
pub fn percentile_99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_judged_by_the_median_of_its_rounds() {
        let row = |wanted| {
            let mut times = [10, 400, 20].into_iter().cycle();
            Row {
                name: "test",
                unit: "turn",
                wanted,
                bare: Box::new(|| Duration::from_micros(40)),
                ours: Box::new(move || Duration::from_micros(times.next().unwrap_or_default())),
            }
        };
        let outcome = row(Wanted::SpeedAtLeast(2.0)).run(3);
        assert_eq!((outcome.bare, outcome.ours, outcome.ratio, outcome.kept), (40.0, 20.0, 2.0, true));
        assert!(!row(Wanted::SpeedAtLeast(2.1)).run(3).kept);
        assert!(row(Wanted::TimeAtMost(0.5)).run(3).kept);
        assert!(!row(Wanted::TimeAtMost(0.4)).run(3).kept);
    }

    #[test]
    fn one_in_a_hundred_may_be_slower() {
        let times = (1..=100).map(Duration::from_micros).collect();
        assert_eq!(percentile_99(times), Duration::from_micros(100));
    }
}
