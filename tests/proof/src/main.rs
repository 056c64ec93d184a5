//! `proof WHAT COUNT`: runs so much of one of the proofs, from where the last run on the same code ended, and notes in
//! `docs/proof.md` what was run.

use std::error::Error;
use std::fs;

use klamm_proof::crash::{self, End, Trial};
use klamm_proof::{damage, notes, sim};

/// Seeds between two notes: what an interrupted run loses at most.
const STRETCH: u64 = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    if std::env::args().nth(1).is_some_and(|first| first == "child") {
        return be_the_child(arguments.skip(1));
    }
    let (Some(what), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err(
            "usage: proof sim|faults|damage|kill|power-os|power-sync|power-group COUNT, or proof sim-seed SEED [PLANT]"
                .into(),
        );
    };
    let count: u64 = count.parse()?;
    match what.as_str() {
        "sim" => in_stretches("sim", count, |seeds| {
            sim::run(seeds, None).map(|counts| counts.to_string()).map_err(|broken| broken.to_string())
        }),
        "faults" => in_stretches("faults", count, |seeds| {
            let failures = sim::faults::run(seeds, 1).map_err(|broken| broken.to_string())?;
            Ok(format!("{failures} failures"))
        }),
        "damage" => in_stretches("damage", count, |seeds| {
            damage::random(seeds).map(|count| format!("{count} stretches of bytes"))
        }),
        "kill" => in_stretches("kill", count, |seeds| crash_and_compare(End::Kill, "os", seeds)),
        "power-os" => in_stretches("power-os", count, |seeds| crash_and_compare(End::PowerLoss, "os", seeds)),
        "power-sync" => {
            in_stretches("power-sync", count, |seeds| crash_and_compare(End::PowerLoss, "sync", seeds))
        }
        "power-group" => {
            in_stretches("power-group", count, |seeds| crash_and_compare(End::PowerLoss, "group", seeds))
        }
        "sim-seed" => {
            let plant = arguments.next().map(|name| name.parse()).transpose()?;
            println!("{}", sim::run([count], plant).map_err(|broken| broken.to_string())?);
            Ok(())
        }
        _ => Err(format!("there is no proof {what}").into()),
    }
}

fn crash_and_compare(end: End, policy: &'static str, seeds: std::ops::Range<u64>) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let trial = Trial { program, end, policy, plant: None };
    trial.run(seeds).map(|counts| counts.to_string()).map_err(|failure| failure.to_string())
}

// `child DIRECTORY SEED POLICY [PLANT]`: what the crash harness starts and kills.
fn be_the_child(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let (Some(data), Some(seed), Some(policy)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("the child is told a directory, a seed and a policy".into());
    };
    let plant = arguments.next().map(|name| name.parse()).transpose()?;
    crash::child::live(data.into(), seed.parse()?, &policy, plant)
}

fn in_stretches(
    proof: &str,
    count: u64,
    run: impl Fn(std::ops::Range<u64>) -> Result<String, String>,
) -> Result<(), Box<dyn Error>> {
    let (page, commit) = (notes::page(), notes::commit());
    let first = notes::next_seed(&fs::read_to_string(&page)?, proof, &commit);
    for from in (first..first + count).step_by(STRETCH as usize) {
        let until = (from + STRETCH).min(first + count);
        let result = run(from..until);
        let told =
            result.as_ref().map_or_else(|broken| format!("BROKEN: {}", first_line(broken)), Clone::clone);
        notes::note(&page, proof, &commit, (from, until), &told)?;
        println!("{proof} {from}..{until}: {}", result?);
    }
    Ok(())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
