//! The harness finds bugs: brokers on a disk that lies, one lie each.
//!
//! Four lies are found: an early acknowledgement, a lost last batch, records that are another partition's under a right
//! offset and a right CRC, and a stale index. The engine holds every entry of an index against the log, and answers
//! rightly where they differ, for which the harness is run here, too. So the disk of the stale index that is found also
//! has the log say, where an entry points, what the entry says.

use std::process::Command;

use klamm_tests::broker;
use klamm_tests::planted::Plant;
use klamm_tests::properties::Properties;

use crate::ledger::Ledger;
use crate::{PARTITIONS, Random, Report, properties, run, seed, verify};

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
fn a_stale_index_that_is_believed_is_found_and_everything_is_there_once_nobody_believes_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let properties = properties(directory.path());
    let ledger = Ledger::new(PARTITIONS, seed());
    let report = run_planted(Plant::BelievedIndex, &properties, &ledger);
    let violation = report.violation.expect("it is found");
    let signs = ["was acknowledged at", "begins with", "follows"];
    assert!(signs.iter().any(|sign| violation.contains(sign)), "it shows as: {violation}");
    let honest = broker::start(&properties);
    let read = verify::read_back(&ledger, honest.bootstrap(), true, &mut Random(1));
    assert_eq!(read, Ok(()), "nothing but the index was wrong");
    honest.kill();
}

#[test]
fn an_index_that_leads_past_the_batch_misleads_nobody_and_is_mended() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let properties = properties(directory.path());
    let report = run_planted(Plant::StaleIndex, &properties, &Ledger::new(PARTITIONS, seed()));
    assert_eq!(report.violation, None);
    let output = broker::output(&properties);
    assert!(output.contains(".index did not agree with its log and was written anew"), "{output}");
}

/// Runs the harness against the planted broker; it has to see this bug, and see it as what it is.
fn expect_violation(plant: Plant, sign: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ledger = Ledger::new(PARTITIONS, seed());
    let report = run_planted(plant, &properties(directory.path()), &ledger);
    let violation = report.violation.unwrap_or_else(|| panic!("{plant:?} was not found"));
    assert!(violation.contains(sign), "{plant:?} shows as: {violation}");
}

fn run_planted(plant: Plant, properties: &Properties, ledger: &Ledger) -> Report {
    let seed = seed();
    println!("seed {seed}, {plant:?}");
    let report = run(ledger, CYCLES, seed, || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_planted-broker"));
        command.arg(plant.name()).arg(properties.write());
        broker::start_command(command, properties)
    });
    println!("{report:?}");
    report
}
