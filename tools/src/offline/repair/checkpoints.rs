//! What has to be done to the small files of a data directory, once it is known where its logs end.

use std::{collections::BTreeMap, fs, io, path::Path};

use log_engine::{
    Offset, TopicPartition,
    checkpoint::{
        CLEANER_FILE, LOG_START_FILE, OffsetsByPartition, RECOVERY_POINT_FILE, REPLICATION_FILE,
        format_offsets, parse_offsets,
    },
    inspect::FileType,
    log_dir::{CLEAN_SHUTDOWN_FILE, CLUSTER_METADATA_TOPIC, META_PROPERTIES_FILE},
};

use super::{plan::Planning, step::Step};
use crate::offline::{OfflineError, layout::PartitionDir, refused, verify::damage::Rule};

impl Planning {
    pub(super) fn data_dir(&mut self, dir: &Path) -> Result<(), OfflineError> {
        let path = dir.join(META_PROPERTIES_FILE);
        if let Some(damage) = self.damages.get(&path) {
            let problem = format!(
                "{}; write it with version=1, cluster.id, node.id and directory.id as the other directories of this node have them",
                damage.rule
            );
            self.leave(&path, true, problem);
        }
        self.recovery_points(dir)?;
        for name in [LOG_START_FILE, REPLICATION_FILE, CLEANER_FILE] {
            self.offsets(&dir.join(name), name == REPLICATION_FILE)?;
        }
        let mark = dir.join(CLEAN_SHUTDOWN_FILE);
        if self.has_doubt && mark.exists() {
            self.plan.steps.insert(0, Step::RemoveCleanMark { path: mark });
        }
        Ok(())
    }

    // Offsets behind the end are cut to it, or forgotten.
    fn offsets(&mut self, path: &Path, cut: bool) -> Result<(), OfflineError> {
        let Some(mut offsets) = self.readable_offsets(path)? else { return Ok(()) };
        let before = offsets.clone();
        for (partition, end) in self.new_ends() {
            match offsets.get_mut(&partition) {
                Some(offset) if *offset > end && cut => *offset = end,
                Some(offset) if *offset > end => drop(offsets.remove(&partition)),
                _ => {}
            }
        }
        if offsets != before {
            self.rewrite(path, &offsets, "it reaches behind the end of a log");
        }
        Ok(())
    }

    // What was looked at and lost something is durable as it is now, up to its end: no later start is to take the hole for
    // the end.
    fn recovery_points(&mut self, dir: &Path) -> Result<(), OfflineError> {
        let path = dir.join(RECOVERY_POINT_FILE);
        let readable = self.readable_offsets(&path)?;
        let had_one = readable.is_some();
        let mut offsets = readable.unwrap_or_default();
        let before = offsets.clone();
        for (partition, end) in self.new_ends() {
            if self.surveyed.contains_key(&partition) && &*partition.topic != CLUSTER_METADATA_TOPIC {
                let path = dir.join(partition.to_string());
                let log = PartitionDir::read(&path)?;
                let logs = log.offsets(FileType::Log).map(|base| log.file(FileType::Log, base)).collect();
                self.plan.steps.push(Step::Flush { dir: path, logs });
                offsets.insert(partition, end);
            } else if let Some(offset) = offsets.get_mut(&partition).filter(|offset| **offset > end) {
                *offset = end;
            }
        }
        if offsets != before {
            let reason = if had_one { "logs end elsewhere" } else { "what was repaired is durable" };
            self.rewrite(&path, &offsets, reason);
        }
        Ok(())
    }

    fn new_ends(&self) -> BTreeMap<TopicPartition, Offset> {
        let mut ends = self.ends.clone();
        ends.extend(self.surveyed.clone());
        ends
    }

    // `None` where there is no such file, or none that can be read: that one goes aside.
    fn readable_offsets(&mut self, path: &Path) -> Result<Option<OffsetsByPartition>, OfflineError> {
        if path.is_dir() {
            self.set_aside(path, Rule::NotAFile);
            return Ok(None);
        }
        let bytes = match fs::read(path) {
            Ok(bytes) if bytes.is_empty() => return Ok(None),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(path)(error)),
        };
        match parse_offsets(path, &String::from_utf8_lossy(&bytes)) {
            Ok(offsets) => Ok(Some(offsets)),
            Err(corruption) => {
                self.set_aside(path, corruption.rule);
                Ok(None)
            }
        }
    }

    fn rewrite(&mut self, path: &Path, offsets: &OffsetsByPartition, reason: &str) {
        self.set_aside(path, reason);
        let content = format_offsets(offsets);
        self.plan.steps.push(Step::Write { path: path.to_owned(), content, reason: reason.to_owned() });
    }
}
