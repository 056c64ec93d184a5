//! `repair`: makes a directory one that every start accepts and that `verify` finds whole, as far as its records allow.
//!
//! ```text
//! verify's findings --+
//!                     +--> plan (changes nothing) --> printed --> carried out, with --execute
//! survey of the logs -+
//! ```
//!
//! Every batch that is whole and in order is kept, also behind damage. What is replaced or taken out is kept beside, under a name that
//! ends in `.aside`. The order of steps is such that a crash between any two leaves a directory that can be opened and repaired
//! again: the marker of a clean stop goes first, the recovery point moves last.

mod carry_out;
mod checkpoints;
mod plan;
mod step;
mod survey;

use std::{io::Write, path::PathBuf, sync::Arc};

use log_engine::{
    io::{BackendChoice, Disk, FileLock, NativeDisk},
    log_dir::LOCK_FILE,
};
use serde_json::json;

use self::{
    plan::Plan,
    step::{Left, Step},
};
use super::{OfflineError, Outcome, layout::Target, progress, refused, verify::records_bytes};

/// Arguments of `repair`.
#[derive(Debug, clap::Args)]
pub struct Repair {
    /// Data directories, or directories of partitions.
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Carry the plan out. Without it, nothing is changed.
    #[arg(long)]
    execute: bool,
    /// An object per line: one for each step, one for each thing that cannot be repaired, and a summary at the end.
    #[arg(long)]
    json: bool,
}

impl Repair {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, OfflineError> {
        let disk: Arc<dyn Disk> = Arc::new(NativeDisk::new(BackendChoice::Threads));
        let (mut steps, mut left) = (0, 0);
        for directory in &self.directories {
            let target = Target::read(directory)?;
            // Held until the directory is done.
            let _lock = if self.execute { take_lock(&*disk, &target)? } else { None };
            let progress = progress::bar(records_bytes(std::slice::from_ref(&target)));
            let plan = Plan::make(&target, progress.clone())?;
            progress.finish_and_clear();
            for step in &plan.steps {
                if self.execute {
                    carry_out::carry_out(&*disk, step)?;
                }
                self.tell_step(step, out)?;
            }
            plan.left.iter().try_for_each(|left| self.tell_left(left, out))?;
            steps += plan.steps.len();
            left += plan.left.iter().filter(|left| left.needs_somebody).count();
        }
        self.tell_summary(steps, left, out)?;
        let is_open = left > 0 || (steps > 0 && !self.execute);
        Ok(if is_open { Outcome::Differs } else { Outcome::InOrder })
    }

    fn tell_step(&self, step: &Step, out: &mut dyn Write) -> Result<(), OfflineError> {
        if self.json {
            let line = json!({
                "type": "step", "action": step.action(), "file": step.path().display().to_string(),
                "what": step.to_string(), "done": self.execute,
            });
            return Ok(writeln!(out, "{line}")?);
        }
        Ok(writeln!(out, "{}{step}", if self.execute { "" } else { "would " })?)
    }

    fn tell_left(&self, left: &Left, out: &mut dyn Write) -> Result<(), OfflineError> {
        let Left { path, problem, needs_somebody } = left;
        if self.json {
            let line = json!({
                "type": "left", "file": path.display().to_string(), "what": problem, "needsSomebody": needs_somebody,
            });
            return Ok(writeln!(out, "{line}")?);
        }
        Ok(writeln!(out, "cannot be repaired: {}: {problem}", path.display())?)
    }

    fn tell_summary(&self, steps: usize, left: usize, out: &mut dyn Write) -> Result<(), OfflineError> {
        if self.json {
            let line = json!({ "type": "summary", "steps": steps, "left": left, "done": self.execute });
            return Ok(writeln!(out, "{line}")?);
        }
        let text = match (steps, self.execute) {
            (0, _) => "nothing is to be done".to_owned(),
            (steps, true) => format!("steps carried out: {steps}"),
            (steps, false) => format!("steps: {steps}; nothing was changed, --execute carries them out"),
        };
        Ok(writeln!(out, "{text}")?)
    }
}

// Kafka and Klamm respect it. A partition that lies in no data directory has none.
fn take_lock(disk: &dyn Disk, target: &Target) -> Result<Option<FileLock>, OfflineError> {
    let Some(data_dir) = target.data_dir() else { return Ok(None) };
    let path = data_dir.join(LOCK_FILE);
    match disk.lock(&path) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(OfflineError::InUse(data_dir)),
        Err(error) => Err(refused(&path)(error)),
    }
}

#[cfg(test)]
mod tests;
