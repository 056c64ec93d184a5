//! Each disk operation of a script fails once, in every way there is; then the process ends and what is left is compared.

use log_engine::io::sim::{Fault, Operation};

use super::Broken;
use super::life::World;

/// Operations on the log in a script: about 2 000 on the disk.
const OPERATIONS: u64 = 350;

/// `errno`, and how many bytes of a write arrive before it; 0 for none.
const KINDS: [(i32, usize); 8] = [
    (5, 0),   // EIO
    (28, 0),  // ENOSPC
    (122, 0), // EDQUOT
    (30, 0),  // EROFS
    (24, 0),  // EMFILE
    (12, 0),  // ENOMEM
    (5, 40),  // a short write, then EIO
    (28, 40), // a short write, then ENOSPC
];

/// Runs the scripts of `seeds`, of which every `stride`th operation fails. Answers how many failures there were.
pub fn run(seeds: impl IntoIterator<Item = u64>, stride: usize) -> Result<u64, Box<Broken>> {
    let mut failures = 0;
    for seed in seeds {
        for (kind, (errno, arriving)) in KINDS.into_iter().enumerate() {
            // Other operations with each kind, so that together they leave out none.
            for after in (kind % stride..).step_by(stride) {
                let after = after as u64;
                let faults = match arriving {
                    0 => vec![Fault::next(Operation::Any, errno).after(after)],
                    // The second strikes what the kernel is asked to write of the rest.
                    _ => vec![
                        Fault::next(Operation::Write, errno).after(after).arriving(arriving),
                        Fault::next(Operation::Write, errno).after(after),
                    ],
                };
                let mut world = World::new(seed, None);
                match world.live_with(faults, OPERATIONS) {
                    Ok(true) => failures += 1,
                    Ok(false) => break,
                    Err(what) => {
                        let what = format!(
                            "{what}; errno {errno} after {after} operations, {arriving} bytes arriving"
                        );
                        return Err(Box::new(Broken { seed, what, story: world.story }));
                    }
                }
            }
        }
    }
    Ok(failures)
}
