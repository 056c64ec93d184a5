//! Flipped bits.

use klamm_proof::damage;

#[test]
fn whatever_bit_is_flipped_no_wrong_record_is_shown_and_none_before_it_is_lost() {
    let flips = damage::sweep(1).unwrap_or_else(|what| panic!("{what}"));
    println!("{flips} flips");
    assert!(flips > 20_000, "no proof: {flips}");
}
