//! The harness finds bugs: brokers on a disk that lies, one lie each.

use std::process::Command;

use klamm_tests::broker;
use klamm_tests::planted::Plant;

use crate::ledger::Ledger;
use crate::{PARTITIONS, Report, properties, run, seed};

/// A bug that so many kills do not show would be no plant, or this no harness.
const CYCLES: u64 = 40;

#[test]
fn an_acknowledgement_before_the_write_is_found() {
    expect_violation(Plant::EarlyAck, "was acknowledged at");
}

#[test]
fn a_recovery_that_cuts_a_whole_batch_is_found() {
    expect_violation(Plant::LostLastBatch, "was acknowledged at");
}

#[test]
fn an_index_that_leads_past_the_batch_is_found() {
    expect_violation(Plant::StaleIndex, "fetch at");
}

/// Runs the harness against the planted broker; it has to see this bug, and see it as what it is.
fn expect_violation(plant: Plant, sign: &str) {
    let seed = seed();
    println!("seed {seed}, {plant:?}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let properties = properties(directory.path());
    let ledger = Ledger::new(PARTITIONS, seed);
    let report: Report = run(&ledger, CYCLES, seed, || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_planted-broker"));
        command.arg(plant.name()).arg(properties.write());
        broker::start_command(command, &properties)
    });
    println!("{report:?}");
    let violation = report.violation.unwrap_or_else(|| panic!("{plant:?} was not found, seed {seed}"));
    assert!(violation.contains(sign), "{plant:?} shows as: {violation}");
}
