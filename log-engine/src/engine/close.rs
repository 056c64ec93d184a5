//! Stopping, and the checkpoints that make the next start a short one.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{Directory, Engine};
use crate::checkpoint::{
    self, CLEANER_FILE, Checkpoint, LOG_START_FILE, OffsetsByPartition, RECOVERY_POINT_FILE,
};
use crate::home::Home;
use crate::io::atomic_replace;
use crate::log::Log;
use crate::log_dir::CLUSTER_METADATA_TOPIC;
use crate::types::Offset;

impl Engine {
    /// Stops: what is on its way arrives, everything is flushed, and each directory in which all that went well gets
    /// the marker of a clean stop. Appends are refused from now on; reads go on. Dropping an engine without it is as a crash of
    /// the process: nothing that was acknowledged is lost, and the next start looks at what lies behind the recovery points. The
    /// first error of any directory is answered, after all were tried.
    pub fn close(&self) -> io::Result<()> {
        self.moves.stop();
        self.scrubber.stop();
        self.cleaner.stop();
        let mut first_failure = Ok(());
        for directory in &self.directories {
            let background = directory.background.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(background);
            if let Err(error) = self.close_directory(directory) {
                tracing::error!("{} was not closed cleanly: {error}", directory.home.path.display());
                first_failure = first_failure.and(Err(error));
            }
        }
        first_failure
    }

    fn close_directory(&self, directory: &Directory) -> io::Result<()> {
        let home = &directory.home;
        let logs: Vec<Arc<Log>> =
            self.logs().into_iter().filter(|log| log.data_directory() == home.path).collect();
        for log in &logs {
            log.close()?;
        }
        write_checkpoints(home, &logs)?;
        if let Some(offline) = home.dir_state().offline() {
            return Err(io::Error::other(offline.to_string()));
        }
        directory.log_dir.mark_clean(&home.disk, self.broker_epoch.load(Ordering::Acquire))
    }
}

fn offset_in(checkpoint: Checkpoint, log: &Log) -> Option<Offset> {
    match checkpoint {
        Checkpoint::RecoveryPoints => Some(log.recovery_point()),
        Checkpoint::LogStarts => log.log_start_worth_noting(),
        Checkpoint::HighWatermarks => Some(log.offsets().high_watermark),
    }
}

/// Writes the offset checkpoints of a data directory.
pub(crate) fn write_checkpoints(home: &Home, logs: &[Arc<Log>]) -> io::Result<()> {
    write_some_checkpoints(home, logs, &Checkpoint::ALL)
}

/// Some of them. The metadata log is not among the partitions, as in Kafka.
pub(crate) fn write_some_checkpoints(home: &Home, logs: &[Arc<Log>], which: &[Checkpoint]) -> io::Result<()> {
    // Held while the offsets are taken, so that what is written last is what was true last.
    let mut written = home.checkpoints();
    let listed = || logs.iter().filter(|log| &*log.partition().topic != CLUSTER_METADATA_TOPIC);
    for checkpoint in which {
        let offsets: OffsetsByPartition = listed()
            .filter_map(|log| Some((log.partition().clone(), offset_in(*checkpoint, log)?)))
            .collect();
        write_if_changed(home, &mut written, checkpoint.file(), &offsets)?;
    }
    drop(written);
    write_cleaner_checkpoint(home, logs)
}

/// Writes where the recovery points of a data directory are, and nothing else.
pub(super) fn write_recovery_points(home: &Home, logs: &[Arc<Log>]) -> io::Result<()> {
    let mut written = home.checkpoints();
    let listed = logs.iter().filter(|log| &*log.partition().topic != CLUSTER_METADATA_TOPIC);
    let offsets = listed.map(|log| (log.partition().clone(), log.recovery_point())).collect();
    write_if_changed(home, &mut written, RECOVERY_POINT_FILE, &offsets)
}

fn write_if_changed(
    home: &Home,
    written: &mut HashMap<&'static str, String>,
    name: &'static str,
    offsets: &OffsetsByPartition,
) -> io::Result<()> {
    let text = checkpoint::format_offsets(offsets);
    if written.get(name) != Some(&text) {
        atomic_replace(&*home.disk, &home.path.join(name), text.as_bytes())?;
        written.insert(name, text);
    }
    Ok(())
}

impl Engine {
    /// Makes durable where the logs of a log's data directory start: after [`Log::delete_records_before`], so that no crash
    /// brings records back.
    pub fn note_log_starts(&self, of: &Log) -> io::Result<()> {
        let home = of.home();
        // Held while the offsets are taken: who waited here finds them written.
        let mut written = home.checkpoints();
        let logs = self.logs();
        let listed = logs.iter().filter(|log| Arc::ptr_eq(log.home(), home));
        let starts = listed
            .filter(|log| &*log.partition().topic != CLUSTER_METADATA_TOPIC)
            .filter_map(|log| Some((log.partition().clone(), log.log_start_worth_noting()?)))
            .collect();
        write_if_changed(home, &mut written, LOG_START_FILE, &starts)
    }
}

/// Writes up to where the logs of a data directory are compacted, where that has changed. A directory that never had such
/// logs gets no file.
pub(crate) fn write_cleaner_checkpoint(home: &Home, logs: &[Arc<Log>]) -> io::Result<()> {
    let mut written = home.cleaner_checkpoint();
    let offsets: OffsetsByPartition =
        logs.iter().filter_map(|log| Some((log.partition().clone(), log.cleaned_to()?))).collect();
    let text = checkpoint::format_offsets(&offsets);
    let path = home.path.join(CLEANER_FILE);
    let is_needless = match &*written {
        Some(written) => *written == text,
        None => offsets.is_empty() && home.disk.metadata(&path).is_err(),
    };
    if is_needless {
        return Ok(());
    }
    atomic_replace(&*home.disk, &path, text.as_bytes())?;
    *written = Some(text);
    Ok(())
}
