//! Flipped bits, and stretches of other bytes.

use klamm_proof::{damage, first_seed, size};

#[test]
fn whatever_bit_is_flipped_no_wrong_record_is_shown_and_none_before_it_is_lost() {
    let flips = damage::sweep(1).unwrap_or_else(|what| panic!("{what}"));
    println!("{flips} flips");
    assert!(flips > 20_000, "no proof: {flips}");
}

#[test]
fn whatever_bytes_are_overwritten_no_wrong_record_is_shown_and_none_before_them_is_lost() {
    let (first, count) = (first_seed(), size(3_000));
    assert_eq!(damage::random(first..first + count), Ok(count));
}
