//! Making a log: where, and durably.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Engine;
use crate::config::LogConfig;
use crate::error::{CreateLogError, OfflineError};
use crate::home::Home;
use crate::io::{Disk, atomic_replace};
use crate::log::Log;
use crate::log::recover::LogSeed;
use crate::log_dir::{PARTITION_METADATA_FILE, format_partition_metadata};
use crate::segment::LogPath;
use crate::segment::name::{FileType, is_legal_topic_name, parse_file_name};
use crate::segment::open_files::FILES_OF_NEW_SEGMENT;
use crate::segment::rebuild::Unproven;
use crate::types::{Offset, TopicId, TopicPartition};

impl Engine {
    /// The log of a partition, created where there is none, with `config` in force from now on. The configuration is in
    /// no file: after a start a log has [`crate::EngineConfig::log_defaults`] until it is given another one. `topic_id` counts
    /// only where the log is created.
    pub fn open_or_create_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<Arc<Log>, CreateLogError> {
        let existing = match self.create_log(partition, topic_id, config.clone(), None) {
            Err(CreateLogError::Exists { partition }) => self.log(&partition),
            created => return created,
        };
        let log = existing.ok_or_else(|| CreateLogError::Exists { partition: partition.clone() })?;
        log.update_config(config);
        Ok(log)
    }

    /// Creates an empty log, in `dir` or else in the directory with the fewest logs. Durable when this returns; a crash
    /// before leaves nothing, or an empty log that the next start opens.
    pub fn create_log(
        &self,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: LogConfig,
        dir: Option<&Path>,
    ) -> Result<Arc<Log>, CreateLogError> {
        if !is_legal_topic_name(&partition.topic) || partition.partition < 0 {
            return Err(CreateLogError::IllegalName { partition: partition.clone() });
        }
        if let Some(existing) = self.log(partition) {
            return Err(match existing.topic_id() {
                Some(found) if found != topic_id => {
                    CreateLogError::OtherTopicId { partition: partition.clone(), found, expected: topic_id }
                }
                _ => CreateLogError::Exists { partition: partition.clone() },
            });
        }
        let home = self.home_for_new_log(dir)?;
        let path = home.path.join(partition.to_string());
        if holds_records(&*home.disk, &path)
            .map_err(|error| CreateLogError::Io { path: path.clone(), error })?
        {
            return Err(CreateLogError::DirectoryTaken { path });
        }
        let log = create_files(&home, &path, partition, topic_id, config)
            .map_err(|error| CreateLogError::Io { path, error })?;
        self.logs.insert(Arc::clone(&log));
        Ok(log)
    }

    fn home_for_new_log(&self, dir: Option<&Path>) -> Result<Arc<Home>, CreateLogError> {
        let homes = || self.directories.iter().map(|directory| &directory.home);
        if let Some(dir) = dir {
            let Some(home) = homes().find(|home| home.path == dir) else {
                return Err(CreateLogError::UnknownDirectory { dir: dir.to_owned() });
            };
            home.is_still_there();
            return match home.dir_state().offline() {
                Some(offline) => Err(OfflineError(Arc::clone(offline)).into()),
                None => Ok(Arc::clone(home)),
            };
        }
        let logs = self.logs();
        let logs_in = |home: &Arc<Home>| logs.iter().filter(|log| log.data_directory() == home.path).count();
        match homes().filter(|home| home.is_still_there()).min_by_key(|home| logs_in(home)) {
            Some(home) => Ok(Arc::clone(home)),
            None => {
                let offline = homes().find_map(|home| home.dir_state().offline().cloned());
                Err(OfflineError(offline.expect("no directory serves, so one is offline")).into())
            }
        }
    }
}

// Whether a directory holds more of a log than a creation that was cut short leaves: its empty first segment.
fn holds_records(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
    let entries = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        if let Some(name) = entry.name().and_then(parse_file_name)
            && name.file_type == FileType::Log
            && (name.offset > Offset::ZERO || disk.metadata(&entry.path)?.len > 0)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn create_files(
    home: &Arc<Home>,
    path: &Path,
    partition: &TopicPartition,
    topic_id: TopicId,
    config: LogConfig,
) -> io::Result<Arc<Log>> {
    home.site.open_files.make_room_by_flushing(FILES_OF_NEW_SEGMENT);
    home.disk.create_dir_all(path)?;
    let metadata = format_partition_metadata(topic_id);
    atomic_replace(&*home.disk, &path.join(PARTITION_METADATA_FILE), metadata.as_bytes())?;
    let seed = LogSeed {
        home: Arc::clone(home),
        path: LogPath::new(&home.site, path.to_owned()),
        partition: partition.clone(),
        topic_id: Some(topic_id),
        config: home.config(config),
        clean: true,
        recovery_point: Offset::ZERO,
        log_start: Offset::ZERO,
        high_watermark: Offset::ZERO,
        cleaned_to: None,
        unproven: Unproven::Cut,
    };
    let (log, _) = Log::open(seed).map_err(|error| io::Error::other(error.to_string()))?;
    // The new files' names, then the new directory's: what is appended durably must be found after a power loss.
    home.disk.sync_dir(path)?;
    home.disk.sync_dir(&home.path)?;
    Ok(log)
}
