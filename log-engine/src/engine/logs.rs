//! The logs of an engine, by partition.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::log::Log;
use crate::types::TopicPartition;

/// The logs of an engine, by partition.
#[derive(Debug, Default)]
pub(crate) struct Logs(RwLock<HashMap<TopicPartition, Arc<Log>>>);

impl Logs {
    pub(crate) fn get(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(partition).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Log>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn insert(&self, log: Arc<Log>) -> Option<Arc<Log>> {
        log.home().note_stale();
        let replaced =
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(log.partition().clone(), log);
        replaced.inspect(|log| log.home().note_stale())
    }

    pub(super) fn remove(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        let removed = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(partition);
        removed.inspect(|log| log.home().note_stale())
    }
}
