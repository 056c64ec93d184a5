//! The proof: programs that try to make the engine break a promise, and count how often they failed to.
//!
//! Each keeps what was acknowledged apart from the engine, compares content, is driven by a seed that it prints, and is
//! shown to find planted bugs. `tests/proof` runs them in small; the program `proof` runs them for as long as one likes
//! and adds what it did to `docs/proof.md`.

pub mod crash;
pub mod damage;
pub mod hooked_disk;
pub mod model;
pub mod notes;
pub mod planted;
pub mod seen;
pub mod sim;

mod check;

use std::env;

/// How often a proof is run: `normal` times the factor in `KLAMM_PROOF`, which is 1 unless it is set.
pub fn size(normal: u64) -> u64 {
    let factor = env::var("KLAMM_PROOF").ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(1.0);
    ((normal as f64 * factor) as u64).max(1)
}

/// Where the seeds of a run begin: `KLAMM_SEED`, or 0.
pub fn first_seed() -> u64 {
    env::var("KLAMM_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}
