//! What the metadata log of a data directory says of topics: their ids, and what is configured. The newest snapshot, and the
//! records behind it; all of them are taken for committed, which they are where there is one controller.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use log_engine::{
    Offset, TopicId,
    batch::{BatchView, DecompressionCap},
    inspect::{FileType, Found, SegmentFile},
};
use wire::{primitives::Reader, records::MetadataRecord};

use super::{OfflineError, layout::PartitionDir, refused};

/// The directory of the metadata log.
pub(super) const METADATA_DIR: &str = "__cluster_metadata-0";

/// Kafka writes metadata in batches of at most 8 MiB.
const BATCH_BYTES_MAX: u64 = 64 << 20;

const RESOURCE_BROKER: i8 = 4;
const RESOURCE_TOPIC: i8 = 2;

/// Topics and their configuration.
#[derive(Clone, Default, Debug)]
pub(super) struct ClusterFacts {
    topic_ids: BTreeMap<String, TopicId>,
    topic_configs: BTreeMap<String, BTreeMap<String, String>>,
    // Of the whole cluster, and then of each broker.
    broker_configs: BTreeMap<String, BTreeMap<String, String>>,
}

/// Broker keys that are changed while a broker runs, and the topic keys that have their defaults from them.
const DEFAULTS_OF_TOPICS: [(&str, &str); 14] = [
    ("log.cleanup.policy", "cleanup.policy"),
    ("log.retention.ms", "retention.ms"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.segment.bytes", "segment.bytes"),
    ("log.roll.ms", "segment.ms"),
    ("log.roll.jitter.ms", "segment.jitter.ms"),
    ("log.index.interval.bytes", "index.interval.bytes"),
    ("log.index.size.max.bytes", "segment.index.bytes"),
    ("log.segment.delete.delay.ms", "file.delete.delay.ms"),
    ("log.cleaner.delete.retention.ms", "delete.retention.ms"),
    ("log.cleaner.min.cleanable.ratio", "min.cleanable.dirty.ratio"),
    ("log.cleaner.min.compaction.lag.ms", "min.compaction.lag.ms"),
    ("log.cleaner.max.compaction.lag.ms", "max.compaction.lag.ms"),
    ("message.max.bytes", "max.message.bytes"),
];

impl ClusterFacts {
    /// Reads the metadata log in a data directory; `None` where it has none.
    pub(super) fn read(data_dir: &Path) -> Result<Option<Self>, OfflineError> {
        let path = data_dir.join(METADATA_DIR);
        if !path.is_dir() {
            return Ok(None);
        }
        let dir = PartitionDir::read(&path)?;
        let mut reading = Reading::default();
        let from = match newest_snapshot(&path)? {
            None => Offset::ZERO,
            Some((end, file)) => {
                reading.file(&file, Offset::ZERO, None)?;
                end
            }
        };
        for base in dir.offsets(FileType::Log) {
            reading.file(&dir.file(FileType::Log, base), base, Some(from))?;
        }
        Ok(Some(reading.facts))
    }

    pub(super) fn topic_id(&self, topic: &str) -> Option<TopicId> {
        self.topic_ids.get(topic).copied()
    }

    pub(super) fn topic_of(&self, id: TopicId) -> Option<&str> {
        self.topic_ids.iter().find(|(_, found)| **found == id).map(|(name, _)| name.as_str())
    }

    /// What is configured for a topic on this broker, defaults first: keys and values of topics, and where each comes from.
    pub(super) fn configs(&self, topic: &str, node_id: Option<i32>) -> Vec<(String, String, &'static str)> {
        let node = node_id.map(|id| id.to_string());
        let mut configs = Vec::new();
        for broker in [Some(String::new()), node].into_iter().flatten() {
            let set = self.broker_configs.get(&broker).into_iter().flatten();
            configs.extend(set.filter_map(|(key, value)| {
                let (_, topic_key) = DEFAULTS_OF_TOPICS.iter().find(|(broker_key, _)| broker_key == key)?;
                Some(((*topic_key).to_owned(), value.clone(), "broker"))
            }));
        }
        let own = self.topic_configs.get(topic).into_iter().flatten();
        configs.extend(own.map(|(key, value)| (key.clone(), value.clone(), "topic")));
        configs
    }

    /// What is configured for a topic itself.
    pub(super) fn topic_config(&self, topic: &str) -> BTreeMap<String, String> {
        self.topic_configs.get(topic).cloned().unwrap_or_default()
    }

    fn fold(&mut self, record: MetadataRecord<'_>) {
        match record {
            MetadataRecord::Topic(topic) => {
                self.topic_ids.insert(topic.name.into_owned(), TopicId::new(topic.topic_id.0));
            }
            MetadataRecord::RemoveTopic(removed) => {
                let id = TopicId::new(removed.topic_id.0);
                let gone: Vec<String> =
                    self.topic_ids.extract_if(.., |_, found| *found == id).map(|(name, _)| name).collect();
                gone.iter().for_each(|name| drop(self.topic_configs.remove(name)));
            }
            MetadataRecord::Config(config) => {
                let of_resources = match config.resource_type {
                    RESOURCE_TOPIC => &mut self.topic_configs,
                    RESOURCE_BROKER => &mut self.broker_configs,
                    _ => return,
                };
                let configs = of_resources.entry(config.resource_name.into_owned()).or_default();
                match config.value {
                    Some(value) => drop(configs.insert(config.name.into_owned(), value.into_owned())),
                    None => drop(configs.remove(&*config.name)),
                }
            }
            _ => {}
        }
    }
}

#[derive(Default)]
struct Reading {
    facts: ClusterFacts,
    // As they were before a transaction that has not ended yet (KIP-868).
    before: Option<ClusterFacts>,
}

impl Reading {
    // Records before `from` are in the snapshot. What is damaged is passed over: `verify` tells of it.
    fn file(&mut self, path: &Path, base: Offset, from: Option<Offset>) -> Result<(), OfflineError> {
        let file = SegmentFile::open(path, base).map_err(refused(path))?;
        let mut batches = file.batches(None);
        while let Some(found) = batches.next_found().map_err(refused(path))? {
            let Found::Batch(batch) = found else { continue };
            if from.is_some_and(|from| batch.at.base_offset < from) {
                continue;
            }
            if batch.bytes.len() as u64 == batch.at.size {
                self.batch(batch.bytes);
            } else if batch.at.size <= BATCH_BYTES_MAX {
                self.batch(&read_at(path, batch.at.position, batch.at.size as usize).map_err(refused(path))?);
            }
        }
        Ok(())
    }

    fn batch(&mut self, bytes: &[u8]) {
        let Ok(batch) = BatchView::read(bytes) else { return };
        if batch.header().is_control() {
            return;
        }
        let Ok(mut records) = batch.records(DecompressionCap::default()) else { return };
        while let Some(Ok(record)) = records.next_record() {
            match record.value.map(|value| MetadataRecord::decode(&mut Reader::new(value))) {
                Some(Ok((MetadataRecord::BeginTransaction(_), _))) => self.before = Some(self.facts.clone()),
                Some(Ok((MetadataRecord::EndTransaction(_), _))) => self.before = None,
                Some(Ok((MetadataRecord::AbortTransaction(_), _))) => {
                    self.facts = self.before.take().unwrap_or_default();
                }
                Some(Ok((record, _))) => self.facts.fold(record),
                // Of a newer Kafka, or damaged.
                Some(Err(_)) | None => {}
            }
        }
    }
}

fn read_at(path: &Path, position: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    fs::File::open(path)?.read_exact_at(&mut bytes, position)?;
    Ok(bytes)
}

/// The `.checkpoint` files of a metadata log with the offsets at which they end.
pub(super) fn snapshots(dir: &Path) -> Result<Vec<(Offset, PathBuf)>, OfflineError> {
    const DIGITS: usize = 20;
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(refused(dir))? {
        let path = entry.map_err(refused(dir))?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".checkpoint"));
        let end =
            name.and_then(|name| name.split_once('-')).map(|(end, _)| end).filter(|end| end.len() == DIGITS);
        if let Some(end) = end.and_then(|end| end.parse().ok()) {
            found.push((Offset::new(end), path));
        }
    }
    found.sort();
    Ok(found)
}

fn newest_snapshot(dir: &Path) -> Result<Option<(Offset, PathBuf)>, OfflineError> {
    Ok(snapshots(dir)?.pop())
}
