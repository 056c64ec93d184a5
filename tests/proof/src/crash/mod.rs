//! The engine in a process of its own, under load, on a real file system: killed, or with the power taken from under it.
//!
//! ```text
//!   this process                            the child: engine, three writers
//!   ledger <------- acknowledgements ------ (a pipe: what was written to it outlives the child)
//!   shutdown ioctl, SIGKILL ------------->  dies
//!   unmount, mount, open, compare
//! ```
//!
//! The power loss is ext4's own: after the ioctl nothing more of what it holds in memory reaches the image, journal
//! included. What is lost is what a machine would lose whose disk keeps what it has confirmed.

pub mod child;
mod ledger;
mod mounted;
mod power_off;

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use log_engine::io::sim::Seeded;

use crate::planted::Plant;
use ledger::Ledger;
use mounted::Mounted;

/// How the child ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// By `SIGKILL`; the machine goes on.
    Kill,
    /// With the machine.
    PowerLoss,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The program that is the child: `proof`.
    pub program: PathBuf,
    /// How it ends each time.
    pub end: End,
    /// `os`, `sync` or `group`.
    pub policy: &'static str,
    /// A bug in the child's disk.
    pub plant: Option<Plant>,
}

/// What was done.
#[derive(Copy, Clone, Default, Debug)]
pub struct Counts {
    /// Lives of the child.
    pub cycles: u64,
    /// Batches it acknowledged.
    pub acknowledged: u64,
    /// Acknowledged batches that a power loss took: under `os`, and of what was said after the power had gone.
    pub lost: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cycles, {} batches acknowledged, {} lost", self.cycles, self.acknowledged, self.lost)
    }
}

/// Why a trial ended early.
#[derive(Debug)]
pub enum Failure {
    /// It cannot be made here.
    Skipped(String),
    /// A promise was broken.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skipped(why) => write!(f, "skipped: {why}"),
            Self::Broken(what) => f.write_str(what),
        }
    }
}

impl Trial {
    /// Runs the cycles of these seeds.
    pub fn run(&self, seeds: std::ops::Range<u64>) -> Result<Counts, Failure> {
        let temporary = place().map_err(|error| Failure::Skipped(error.to_string()))?;
        let mut mounted = match self.end {
            End::Kill => None,
            End::PowerLoss => Some(Mounted::new(temporary.path()).map_err(Failure::Skipped)?),
        };
        let data = mounted.as_ref().map_or(temporary.path(), Mounted::path).join("data");
        let mut ledger = Ledger::new(self.policy != "os");
        let mut counts = Counts::default();
        for seed in seeds {
            self.cycle(seed, &data, &mut mounted, &mut ledger)
                .map_err(|what| Failure::Broken(format!("seed {seed}: {what}")))?;
            counts.cycles += 1;
        }
        (counts.acknowledged, counts.lost) = (ledger.acknowledged, ledger.lost);
        Ok(counts)
    }

    fn cycle(
        &self,
        seed: u64,
        data: &Path,
        mounted: &mut Option<Mounted>,
        ledger: &mut Ledger,
    ) -> Result<(), String> {
        let acknowledgements = 1 + Seeded::new(seed).below(150);
        let mut child = self.start(seed, data).map_err(|error| format!("no child: {error}"))?;
        let output = child.stdout.take().ok_or("the child has no output")?;
        let mut lines = BufReader::new(output).lines();
        for _ in 0..acknowledgements {
            match lines.next() {
                Some(Ok(line)) => ledger.note(&line, false)?,
                _ => return Err(self.ended_early(&mut child)),
            }
        }
        if let Some(mounted) = mounted {
            mounted.power_off().map_err(|error| format!("the power cannot be taken: {error}"))?;
        }
        let killed = child.kill().and_then(|()| child.wait());
        killed.map_err(|error| format!("the child cannot be killed: {error}"))?;
        for line in lines {
            let line = line.map_err(|error| format!("the pipe: {error}"))?;
            // The last one may have been cut by the kill, and then was said to nobody.
            if line.ends_with('.') {
                ledger.note(&line, mounted.is_some())?;
            }
        }
        if let Some(mounted) = mounted {
            mounted.power_on().map_err(|error| format!("no power: {error}"))?;
        }
        child::read_back(data, self.end == End::PowerLoss, ledger)
    }

    fn start(&self, seed: u64, data: &Path) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg("child").arg(data).arg(seed.to_string()).arg(self.policy);
        command.args(self.plant.map(Plant::name)).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).spawn()
    }

    fn ended_early(&self, child: &mut Child) -> String {
        let _ = child.kill();
        let mut text = String::new();
        if let Some(mut errors) = child.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut errors, &mut text);
        }
        let _ = child.wait();
        format!("the child ended by itself: {}", text.trim())
    }
}

// In memory where there is such a place: what the tests are about is what reaches the file system, not a disk.
fn place() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}
