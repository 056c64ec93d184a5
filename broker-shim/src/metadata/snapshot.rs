//! Snapshots of the metadata: files `%020d-%010d.checkpoint` that say in one go what all records before an offset say,
//! so that a start replays little. Named after the offset they end at and the leader epoch of the record before it.
//!
//! ```text
//! control batch   SnapshotHeader [KRaftVersion KRaftVoters]
//! data batches    features, brokers, controllers, topics with partitions, configs, the rest
//! control batch   SnapshotFooter
//! ```
//!
//! Offsets inside count from 0. The file appears whole: written beside, made durable, renamed.

use std::{path::Path, sync::Arc};

use log_engine::{
    batch::HEADER_LEN,
    io::{Disk, OpenMode},
    types::{LeaderEpoch, Offset, TimestampMs},
};

use super::{
    batches::{self, BatchProblem, Entry},
    codec::MetadataVersion,
    image::{Image, METADATA_VERSION, Provenance},
    raft::{self, ControlRecord, EncodeBatchError, Quorum},
    record::{ConfigResource, KeptKey, KeptRecord, MetadataRecord, PartitionRecord, ResourceKind},
};

const _: () = assert!(HEADER_LEN == 61);

/// Records of one batch of a snapshot, as in Kafka's `RaftSnapshotWriter`.
const RECORDS_PER_BATCH: usize = 1024;

/// The name of a snapshot: what it contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// First offset that is not in it.
    pub end_offset: Offset,
    /// Leader epoch of the last offset in it.
    pub epoch: LeaderEpoch,
}

impl SnapshotId {
    /// The snapshot with which a quorum begins: it holds only the voters.
    pub const BOOTSTRAP: Self = Self { end_offset: Offset::ZERO, epoch: LeaderEpoch::new(0) };

    /// The name of its file.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:020}-{:010}.checkpoint", self.end_offset.get(), self.epoch.get())
    }

    /// The id of the snapshot in this file; `None` for any other file.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".checkpoint")?;
        let (offset, epoch) = name.split_once('-')?;
        let digits =
            |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(offset, 20) || !digits(epoch, 10) {
            return None;
        }
        Some(Self {
            end_offset: Offset::new(offset.parse().ok()?),
            epoch: LeaderEpoch::new(epoch.parse().ok()?),
        })
    }
}

/// The bytes of a snapshot with these records between header and footer.
pub(super) fn encode(
    id: SnapshotId,
    last_contained: TimestampMs,
    quorum: &Quorum,
    records: &[MetadataRecord],
    version: MetadataVersion,
    now: TimestampMs,
) -> Result<Vec<u8>, EncodeBatchError> {
    let mut head = vec![ControlRecord::SnapshotHeader { last_contained_log_timestamp: last_contained }];
    head.extend(quorum.records());
    let mut next = Offset::ZERO;
    let mut take = |count: usize| {
        let base = next;
        next = base.plus(i64::try_from(count).unwrap_or(i64::MAX));
        base
    };
    let mut bytes = raft::control_batch(&head, take(head.len()), id.epoch, now)?;
    for chunk in records.chunks(RECORDS_PER_BATCH) {
        bytes.extend(batches::data_batch(chunk, version, take(chunk.len()), id.epoch, now)?);
    }
    bytes.extend(raft::control_batch(&[ControlRecord::SnapshotFooter], take(1), id.epoch, now)?);
    Ok(bytes)
}

/// What a snapshot file says.
#[derive(Debug, PartialEq)]
pub(super) struct Decoded {
    pub(super) last_contained: TimestampMs,
    pub(super) quorum: Quorum,
    pub(super) records: Vec<MetadataRecord>,
    /// What could not be understood.
    pub(super) unknown: Vec<String>,
}

/// Reads a whole snapshot; one without its footer is not whole.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, BatchProblem> {
    let mut decoded = Decoded {
        last_contained: TimestampMs::new(0),
        quorum: Quorum::default(),
        records: Vec::new(),
        unknown: Vec::new(),
    };
    let mut ended = false;
    for batch in batches::decode_batches(bytes, 0) {
        for entry in batch?.entries {
            match entry {
                Entry::Metadata(record) => decoded.records.push(record),
                Entry::Unknown(what) => decoded.unknown.push(what),
                Entry::Control(ControlRecord::SnapshotHeader { last_contained_log_timestamp }) => {
                    decoded.last_contained = last_contained_log_timestamp;
                }
                Entry::Control(ControlRecord::SnapshotFooter) => ended = true,
                Entry::Control(record) => decoded.quorum.fold(&record),
            }
        }
    }
    if ended {
        return Ok(decoded);
    }
    let problem = "the snapshot has no footer".to_owned();
    Err(BatchProblem { position: bytes.len() as u64, problem })
}

/// Time of the last record that a snapshot contains, from its header; `None` where that cannot be read.
pub(super) fn read_last_contained(disk: &Arc<dyn Disk>, path: &Path) -> Option<TimestampMs> {
    const ENOUGH: usize = 4096;
    let file = disk.open(path, OpenMode::Read).ok()?;
    let mut bytes = vec![0; ENOUGH.min(usize::try_from(file.len().ok()?).ok()?)];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let first = batches::decode_batches(&bytes, 0).next()?.ok()?;
    first.entries.into_iter().find_map(|entry| match entry {
        Entry::Control(ControlRecord::SnapshotHeader { last_contained_log_timestamp }) => {
            Some(last_contained_log_timestamp)
        }
        _ => None,
    })
}

impl Image {
    /// The id of the snapshot that this image makes.
    pub(super) fn snapshot_id(&self) -> SnapshotId {
        let Provenance { end_offset, epoch, .. } = self.provenance();
        SnapshotId { end_offset, epoch }
    }

    /// The records that make an equal image, in the order of Kafka's `MetadataImage.write`.
    pub(super) fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        self.features_to(&mut records);
        records.extend(self.brokers().cloned().map(MetadataRecord::RegisterBroker));
        records.extend(self.controllers().cloned().map(MetadataRecord::RegisterController));
        self.topics_to(&mut records);
        self.configs_to(&mut records);
        let kept = |wanted: fn(&KeptKey) -> bool| {
            let found = self.kept.iter().filter(move |(key, _)| wanted(key));
            found.map(|(key, value)| {
                MetadataRecord::Kept(KeptRecord { key: key.clone(), value: Some(value.clone()) })
            })
        };
        records.extend(self.client_quotas().flat_map(|(entity, values)| {
            values.iter().map(|(key, value)| MetadataRecord::ClientQuota {
                entity: entity.clone(),
                key: Arc::clone(key),
                value: Some(*value),
            })
        }));
        if self.next_producer_id > 0 {
            let next_producer_id = self.next_producer_id;
            records.push(MetadataRecord::ProducerIds { broker_id: -1, broker_epoch: -1, next_producer_id });
        }
        records.extend(kept(|key| matches!(key, KeptKey::AccessControlEntry(_))));
        records.extend(self.scram_credentials().flat_map(|(user, credentials)| {
            credentials.iter().map(|(mechanism, credential)| MetadataRecord::UserScramCredential {
                user: Arc::clone(user),
                mechanism: *mechanism,
                credential: Some(credential.clone()),
            })
        }));
        records.extend(kept(|key| matches!(key, KeptKey::DelegationToken(_))));
        records
    }

    /// The metadata version comes first: how the rest is read may depend on it.
    fn features_to(&self, records: &mut Vec<MetadataRecord>) {
        let (first, rest): (Vec<_>, Vec<_>) =
            self.features().partition(|(name, _)| *name == METADATA_VERSION);
        let record = |(name, level): (&str, i16)| MetadataRecord::FeatureLevel { name: name.into(), level };
        records.extend(first.into_iter().chain(rest).map(record));
    }

    fn topics_to(&self, records: &mut Vec<MetadataRecord>) {
        let mut topics: Vec<_> = self.topics().collect();
        topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for topic in topics {
            records.push(MetadataRecord::Topic { name: topic.name.clone(), topic_id: topic.topic_id });
            records.extend(topic.partitions.iter().map(|partition| {
                let partition = (**partition).clone();
                MetadataRecord::Partition(PartitionRecord { topic_id: topic.topic_id, partition })
            }));
        }
    }

    fn configs_to(&self, records: &mut Vec<MetadataRecord>) {
        // Kafka's image holds no configuration of a topic that it does not hold; neither does ours, see fold_remove_topic.
        let mut resources: Vec<(&ConfigResource, _)> = self.configs.iter().collect();
        resources.sort_unstable_by_key(|(resource, _)| *resource);
        debug_assert!(resources.iter().all(
            |(resource, _)| resource.kind != ResourceKind::TOPIC || self.topic(&resource.name).is_some()
        ));
        for (resource, values) in resources {
            records.extend(values.iter().map(|(name, value)| MetadataRecord::Config {
                resource: resource.clone(),
                name: name.clone(),
                value: Some(value.clone()),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_snapshot_says_where_it_ends() {
        let id = SnapshotId { end_offset: Offset::new(143), epoch: LeaderEpoch::new(2) };
        assert_eq!(id.file_name(), "00000000000000000143-0000000002.checkpoint");
        assert_eq!(SnapshotId::of_file(Path::new("/a/00000000000000000143-0000000002.checkpoint")), Some(id));
        for other in [
            "bootstrap.checkpoint",
            "143-2.checkpoint",
            "00000000000000000143-0000000002.checkpoint.part",
            "00000000000000000143-0000000002.checkpoint.deleted",
            "+0000000000000000143-0000000002.checkpoint",
            "00000000000000000143.log",
        ] {
            assert_eq!(SnapshotId::of_file(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_snapshot_cut_short_anywhere_is_not_taken_for_a_whole_one() {
        let records = [MetadataRecord::FeatureLevel { name: METADATA_VERSION.into(), level: 30 }];
        let now = TimestampMs::new(7);
        let whole =
            encode(SnapshotId::BOOTSTRAP, now, &Quorum::default(), &records, MetadataVersion::LATEST, now)
                .expect("encodes");
        let decoded = decode(&whole).expect("whole");
        assert_eq!((decoded.records.as_slice(), decoded.last_contained), (&records[..], now));
        for len in 0..whole.len() {
            assert!(decode(&whole[..len]).is_err(), "cut at {len}");
        }
    }
}
