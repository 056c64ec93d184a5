//! The proof in small. `KLAMM_PROOF` multiplies the sizes; see `klamm_proof` and `docs/proof.md`.

mod crash;
mod damage;
mod sim;
