//! Kill -9 under load: what was acknowledged is there afterwards, once, in order, at its offset.
//!
//! The harness is another process than the broker and keeps in its own memory what was acknowledged. Producers send
//! numbered records to partitions of their own, with several requests unanswered; after a random number of
//! acknowledgements the broker is killed, started again on the same directory, and read back. The same harness runs
//! against brokers with planted bugs, which it has to find.
//!
//! `KLAMM_KILL_CYCLES` sets the number of cycles (100), `KLAMM_SEED` the seed.

mod ledger;
mod planted;
mod producer;
mod transactions;
mod verify;

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use klamm_tests::broker::{self, Running};
use klamm_tests::properties::Properties;

use ledger::Ledger;

const PARTITIONS: i32 = 3;
/// The first kills come while segments are being created, the later ones in long logs with several segments.
const ACKNOWLEDGEMENTS_MAX: u64 = 400;

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let cycles = variable("KLAMM_KILL_CYCLES", 100);
    let seed = seed();
    println!("seed {seed}, {cycles} cycles");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let properties = properties(directory.path());
    let ledger = Ledger::new(PARTITIONS, seed);
    let report = run(&ledger, cycles, seed, || broker::start(&properties));
    println!("{report:?}");
    assert_eq!(report.violation, None, "seed {seed}");
    assert_eq!(report.cycles, cycles);
    assert!(report.acknowledged > cycles, "the load was no load: {report:?}");
}

/// What a run has seen.
#[derive(Debug)]
struct Report {
    cycles: u64,
    acknowledged: u64,
    violation: Option<String>,
}

/// Runs cycles of load, kill, start and read back until one shows a violation.
fn run(ledger: &Ledger, cycles: u64, seed: u64, start: impl Fn() -> Running) -> Report {
    let mut random = Random(seed);
    let mut running = start();
    producer::create_topic(running.bootstrap());
    for cycle in 0..cycles {
        let acknowledgements = 1 + random.next() % ACKNOWLEDGEMENTS_MAX;
        let acks = if cycle % 2 == 0 { 1 } else { -1 };
        producer::load_until_killed(ledger, running, acks, acknowledgements);
        running = start();
        let whole = cycle + 1 == cycles || cycle % 25 == 24;
        if let Err(violation) = verify::read_back(ledger, running.bootstrap(), whole, &mut random) {
            return Report {
                cycles: cycle + 1,
                acknowledged: ledger.acknowledged(),
                violation: Some(violation),
            };
        }
    }
    running.kill();
    Report { cycles, acknowledged: ledger.acknowledged(), violation: None }
}

/// Segments small enough that rolling happens under the kills, indexes dense enough to be of use.
fn properties(directory: &std::path::Path) -> Properties {
    Properties::new(&directory.join("data"))
        .with("num.partitions", PARTITIONS.to_string())
        .with("log.segment.bytes", (1 << 20).to_string())
        .with("log.index.interval.bytes", "1024")
}

fn variable(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn seed() -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
    variable("KLAMM_SEED", clock)
}

/// xorshift64*: enough randomness for choosing moments, and repeatable from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
