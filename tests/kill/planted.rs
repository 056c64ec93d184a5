//! The harness finds bugs: brokers on a disk that lies, one lie each.
//!
//! Three lies are found: an early acknowledgement, a lost last batch, and records that are another partition's under a
//! right offset and a right CRC. A stale index was the third once. The engine holds every entry against the log by now
//! and answers rightly in spite of it, which is what the harness is run for here, on that disk, too.

use std::process::Command;

use klamm_tests::broker;
use klamm_tests::planted::Plant;
use klamm_tests::properties::Properties;

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
fn a_buffer_with_the_records_of_another_partition_is_found() {
    expect_violation(Plant::ReusedBuffer, "was never sent");
}

#[test]
fn an_index_that_leads_past_the_batch_misleads_nobody_and_is_mended() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let properties = properties(directory.path());
    let report = run_planted(Plant::StaleIndex, &properties);
    assert_eq!(report.violation, None);
    let output = broker::output(&properties);
    assert!(output.contains(".index did not agree with its log and was written anew"), "{output}");
}

/// Runs the harness against the planted broker; it has to see this bug, and see it as what it is.
fn expect_violation(plant: Plant, sign: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let report = run_planted(plant, &properties(directory.path()));
    let violation = report.violation.unwrap_or_else(|| panic!("{plant:?} was not found"));
    assert!(violation.contains(sign), "{plant:?} shows as: {violation}");
}

fn run_planted(plant: Plant, properties: &Properties) -> Report {
    let seed = seed();
    println!("seed {seed}, {plant:?}");
    let ledger = Ledger::new(PARTITIONS, seed);
    let report = run(&ledger, CYCLES, seed, || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_planted-broker"));
        command.arg(plant.name()).arg(properties.write());
        broker::start_command(command, properties)
    });
    println!("{report:?}");
    report
}
