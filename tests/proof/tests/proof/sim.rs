//! Random operations on a disk that loses power, against a model.

use klamm_proof::planted::Plant;
use klamm_proof::{first_seed, sim, size};

#[test]
fn no_promise_is_broken_by_any_order_of_operations_and_crashes() {
    let (first, seeds) = (first_seed(), size(2_000));
    let counts = sim::run(first..first + seeds, None).unwrap_or_else(|broken| panic!("{broken}"));
    println!("from seed {first}: {counts}");
    assert_eq!(counts.seeds, seeds);
    assert!(counts.power_losses > seeds / 2 && counts.comparisons > seeds, "no proof: {counts}");
}

#[test]
fn planted_bugs_are_found() {
    for plant in Plant::ALL {
        match sim::run(0..2_000, Some(plant)) {
            Ok(counts) => panic!("{} was not found: {counts}", plant.name()),
            Err(broken) => println!("{}: seed {}: {}", plant.name(), broken.seed, broken.what),
        }
    }
}
