//! Random operations on one log, on a disk in memory that loses power, with a model beside it that says what must be
//! there.
//!
//! ```text
//!   lives: open -> look -> operations ... -> power fails in the middle, or is cut, or the process is killed, or a clean stop
//!                  ^------------------------------------------------------------------------------'
//! ```
//!
//! One seed is one story of a few lives. All of it runs on one thread at a time and the engine's upkeep is done by hand,
//! so that the same seed is the same story, to the disk operation.

pub mod faults;
mod life;
mod steps;

use std::fmt;

use log_engine::io::sim::Seeded;

use crate::planted::Plant;

use life::World;

/// Crashes and stops in one story.
const LIVES: u64 = 4;

/// What was done.
#[derive(Copy, Clone, Default, Debug)]
pub struct Counts {
    /// Stories told.
    pub seeds: u64,
    /// Operations on logs.
    pub operations: u64,
    /// Power losses.
    pub power_losses: u64,
    /// Of these, those while the engine was opening.
    pub while_opening: u64,
    /// Killed processes.
    pub kills: u64,
    /// Times that everything was read and compared.
    pub comparisons: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, operations, power_losses, while_opening, kills, comparisons } = self;
        write!(
            f,
            "{seeds} seeds, {operations} operations, {power_losses} power losses ({while_opening} while opening), \
             {kills} kills, {comparisons} comparisons"
        )
    }
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The story in which it was.
    pub seed: u64,
    /// What was not as it should be.
    pub what: String,
    /// The last operations before.
    pub story: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        self.story.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Tells the stories of `seeds`, on a disk with a bug if one is planted, until a promise is broken.
pub fn run(seeds: impl IntoIterator<Item = u64>, plant: Option<Plant>) -> Result<Counts, Box<Broken>> {
    let mut counts = Counts::default();
    for seed in seeds {
        let mut world = World::new(seed, plant);
        if let Err(what) = tell(&mut world) {
            return Err(Box::new(Broken { seed, what, story: world.story }));
        }
        counts.seeds += 1;
        counts.operations += world.counts.operations;
        counts.power_losses += world.counts.power_losses;
        counts.while_opening += world.counts.while_opening;
        counts.kills += world.counts.kills;
        counts.comparisons += world.counts.comparisons;
    }
    Ok(counts)
}

fn tell(world: &mut World) -> Result<(), String> {
    for _ in 0..LIVES {
        world.live()?;
    }
    world.come_up()
}

fn chance(random: &mut Seeded, of: u64) -> bool {
    random.one_in(of)
}
