//! `proof WHAT COUNT`: runs so much of one of the proofs, from where the last run on the same code ended, and notes in
//! `docs/proof.md` what was run.

use std::error::Error;
use std::fs;

use klamm_proof::{notes, sim};

/// Seeds between two notes: what an interrupted run loses at most.
const STRETCH: u64 = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: proof sim COUNT, or proof sim-seed SEED [PLANT]".into());
    };
    let count: u64 = count.parse()?;
    match what.as_str() {
        "sim" => in_stretches("sim", count, |seeds| {
            sim::run(seeds, None).map(|counts| counts.to_string()).map_err(|broken| broken.to_string())
        }),
        "sim-seed" => {
            let plant = arguments.next().map(|name| name.parse()).transpose()?;
            println!("{}", sim::run([count], plant).map_err(|broken| broken.to_string())?);
            Ok(())
        }
        _ => Err(format!("there is no proof {what}").into()),
    }
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
