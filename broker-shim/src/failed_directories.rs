//! A data directory that fails while the broker runs. The controller part is told, so that its partitions have no leader
//! and clients stop asking; where nothing is left to serve from, the broker ends, as Kafka does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use log_engine::{
    Engine,
    commit::{Offline, OfflineListener},
};
use tokio::sync::Notify;

use crate::metadata::{MetadataHandle, ids::DirectoryId};

/// Before the controller part is told again.
const PAUSE: Duration = Duration::from_secs(1);

/// Wakes who looks for failed directories.
#[derive(Debug, Default)]
struct Alarm(Notify);

impl OfflineListener for Alarm {
    fn went_offline(&self, _: &Offline) {
        self.0.notify_one();
    }
}

/// Looks after directories that fail.
pub(crate) struct FailedDirectories {
    engine: Arc<Engine>,
    metadata: MetadataHandle,
    /// Those that came up with the broker.
    directories: BTreeMap<PathBuf, DirectoryId>,
    metadata_log_dir: PathBuf,
    alarm: Arc<Alarm>,
}

impl FailedDirectories {
    pub(crate) fn new(
        engine: &Arc<Engine>,
        metadata: &MetadataHandle,
        directories: BTreeMap<PathBuf, DirectoryId>,
        metadata_log_dir: &Path,
    ) -> Self {
        let alarm = Arc::new(Alarm::default());
        engine.set_offline_listener(&(Arc::clone(&alarm) as Arc<dyn OfflineListener>));
        // For those that failed before somebody listened.
        alarm.0.notify_one();
        Self {
            engine: Arc::clone(engine),
            metadata: metadata.clone(),
            directories,
            metadata_log_dir: metadata_log_dir.to_owned(),
            alarm,
        }
    }

    /// Answers why the broker has to end; never, where it need not.
    pub(crate) async fn watch(self) -> String {
        loop {
            self.alarm.0.notified().await;
            if let Some(reason) = self.reason_to_end() {
                return reason;
            }
            while let Err(error) = self.metadata.lose_directories(self.failed()).await {
                tracing::warn!("the failure of a data directory is not recorded yet: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn failed(&self) -> Vec<DirectoryId> {
        let failed = self.directories.iter().filter(|(path, _)| !self.engine.is_online(path));
        failed.map(|(_, id)| *id).collect()
    }

    /// As Kafka's `ReplicaManager.handleLogDirFailure` and `LogManager.handleLogDirFailure`.
    fn reason_to_end(&self) -> Option<String> {
        if !self.engine.is_online(&self.metadata_log_dir) {
            let dir = self.metadata_log_dir.display();
            return Some(format!(
                "the data directory of the metadata log, {dir}, has failed; check its disk"
            ));
        }
        let all = self.failed().len() == self.directories.len();
        all.then(|| "all data directories have failed; check their disks".to_owned())
    }
}
