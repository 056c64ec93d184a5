//! A partition in a directory of its own, opened and closed as often as a story wants.

use std::sync::Arc;

use log_engine::io::BackendChoice;
use log_engine::log_dir::{self, MetaProperties};
use log_engine::types::{TimestampMs, TopicId, TopicPartition};
use log_engine::{DiskChoice, Engine, EngineConfig, Log, LogConfig, ManualClock};
use tempfile::TempDir;

/// The time at which every story is told.
pub(crate) const NOW: TimestampMs = TimestampMs::new(1_700_000_000_000);

pub(crate) struct Partition {
    dir: TempDir,
    settings: LogConfig,
    /// What is to be done with an engine that was opened.
    prepare: fn(&Engine),
    open: Option<(Engine, Arc<Log>)>,
}

impl Partition {
    pub(crate) fn new(dir: TempDir, settings: LogConfig, prepare: fn(&Engine)) -> Self {
        let meta = MetaProperties { cluster_id: "c".into(), node_id: 1, directory_id: None };
        log_dir::format(&config(&dir).open_disk(), dir.path(), &meta, NOW).unwrap();
        let mut partition = Self { dir, settings, prepare, open: None };
        partition.open();
        partition
    }

    pub(crate) fn open(&mut self) {
        let engine = Engine::open(config(&self.dir)).unwrap();
        (self.prepare)(&engine);
        let id = TopicPartition::new("t", 0);
        let log = engine.log(&id).unwrap_or_else(|| {
            engine.create_log(&id, TopicId::new([7; 16]), self.settings.clone(), None).unwrap()
        });
        log.update_config(self.settings.clone());
        self.open = Some((engine, log));
    }

    pub(crate) fn close(&mut self) {
        let (engine, log) = self.open.take().unwrap();
        drop(log);
        engine.close().unwrap();
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.open.as_ref().unwrap().1
    }

    /// A file of it; `None` where there is none.
    pub(crate) fn file(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.dir.path().join("t-0").join(name)).ok()
    }
}

fn config(dir: &TempDir) -> EngineConfig {
    let mut config = EngineConfig::new([dir.path().to_owned()], 1);
    config.disk = DiskChoice::Native(BackendChoice::Threads);
    config.clock = Arc::new(ManualClock::starting_at(NOW));
    config
}
