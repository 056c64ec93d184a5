//! The engine as a process that is killed, and on a file system that loses its power.

use std::io::Write;

use klamm_proof::crash::{Counts, End, Failure, Trial};
use klamm_proof::planted::Plant;
use klamm_proof::{first_seed, size};

fn trial(end: End, policy: &'static str) -> Trial {
    Trial { program: env!("CARGO_BIN_EXE_proof").into(), end, policy, plant: None }
}

/// What was done; nothing, and a line that says so, where there are no loop mounts.
fn run(trial: &Trial, cycles: u64) -> Option<Counts> {
    let first = first_seed();
    match trial.run(first..first + cycles) {
        Ok(counts) => {
            println!("{trial:?} from seed {first}: {counts}");
            assert!(counts.acknowledged > cycles, "the load was no load: {counts}");
            Some(counts)
        }
        Err(Failure::Skipped(why)) => {
            // Past the test harness, which swallows the output of tests that pass.
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
            None
        }
        Err(Failure::Broken(what)) => panic!("{trial:?}: {what}"),
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_killed_engine() {
    run(&trial(End::Kill, "os"), size(200));
}

#[test]
fn nothing_acknowledged_under_sync_is_lost_by_a_power_loss() {
    run(&trial(End::PowerLoss, "sync"), size(100));
}

#[test]
fn nothing_acknowledged_under_group_is_lost_by_a_power_loss() {
    run(&trial(End::PowerLoss, "group"), size(100));
}

#[test]
fn under_os_a_power_loss_takes_a_suffix_and_nothing_that_was_flushed() {
    run(&trial(End::PowerLoss, "os"), size(100));
}

#[test]
fn planted_bugs_are_found_by_kills_and_power_losses() {
    for (plant, end, policy) in [
        (Plant::EarlyAck, End::Kill, "os"),
        (Plant::LostLastBatch, End::Kill, "os"),
        (Plant::ReusedBuffer, End::Kill, "os"),
        (Plant::SkippedFsync, End::PowerLoss, "sync"),
    ] {
        let planted = Trial { plant: Some(plant), ..trial(end, policy) };
        match planted.run(0..60) {
            Err(Failure::Broken(what)) => println!("{}: {what}", plant.name()),
            Err(Failure::Skipped(_)) => {}
            Ok(counts) => panic!("{} was not found: {counts}", plant.name()),
        }
    }
}
