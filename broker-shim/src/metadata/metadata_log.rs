//! `__cluster_metadata-0` as a log of the engine, and the metadata of an engine as a whole.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::BytesMut;
use log_engine::{
    AppendRequest, AppendTicket, Durability, Engine, Isolation, Log, LogConfig, ReadMode, ReadRequest,
    batch::{AppendOrigin, BatchView},
    io::atomic_replace,
    log_dir::{MetaProperties, PARTITION_METADATA_FILE, Shutdown, format_partition_metadata},
    producer::TransactionContext,
    types::{LeaderEpoch, Offset, TopicId, TopicPartition},
};

use super::{
    ControllerConfig, KnownKeys, MetadataHandle, MetadataListener, PlacedLog, SnapshotPolicy, StartError,
    format::{FormatError, metadata_log_path, read_bootstrap},
    ids::DirectoryId,
    leadership::Identity,
    load::snapshots,
    ops::{CLUSTER_METADATA_TOPIC, TopicDefaults},
    record::{Endpoint, MetadataRecord},
    record_log::{LogFailure, PendingAppend, RecordLog},
    snapshot::SnapshotId,
};

/// The id that every metadata log has (Kafka's `Uuid.METADATA_TOPIC_ID`).
const METADATA_TOPIC_ID: TopicId = TopicId::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// Largest batch, as in Kafka's `KafkaRaftClient.MAX_BATCH_SIZE_BYTES`.
const BATCH_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// What the metadata of a broker are opened with.
pub struct MetadataOptions {
    /// `node.id`.
    pub node_id: i32,
    /// `metadata.log.dir`, or the first of `log.dirs`; as it is named in the engine's configuration.
    pub metadata_log_dir: PathBuf,
    /// Where clients reach the broker.
    pub endpoints: Vec<Endpoint>,
    /// Where brokers reach the controller.
    pub controller_endpoints: Vec<Endpoint>,
    /// `broker.rack`.
    pub rack: Option<Arc<str>>,
    /// `min.insync.replicas`.
    pub min_insync_replicas: String,
    /// What topics get that ask for nothing.
    pub defaults: TopicDefaults,
    /// When snapshots are written, and how long they are kept.
    pub snapshots: SnapshotPolicy,
    /// When the log begins a new segment.
    pub segments: SegmentPolicy,
    /// Who acts on changes.
    pub listener: Option<Arc<dyn MetadataListener>>,
}

/// When the metadata log begins a new segment.
#[derive(Clone, Copy, Debug)]
pub struct SegmentPolicy {
    /// `metadata.log.segment.bytes`.
    pub max_bytes: u32,
    /// `metadata.log.segment.ms`.
    pub max_ms: i64,
}

impl Default for SegmentPolicy {
    fn default() -> Self {
        Self { max_bytes: 1 << 30, max_ms: 7 * 24 * 3600 * 1000 }
    }
}

impl MetadataHandle {
    /// Opens the metadata in an engine's directories: loads them, begins a new leader epoch, registers this broker and
    /// unfences it. Waits for the disk. When this returns, the image names this broker as leader of every partition that
    /// it can lead, and with which leader epoch; the caller tells the logs.
    ///
    /// # Errors
    /// See [`StartError`]. A start that failed can be repeated.
    pub fn open(engine: &Engine, options: MetadataOptions) -> Result<Self, StartError> {
        let directories = &engine.open_report().directories;
        let home = directories
            .iter()
            .find(|directory| directory.path == options.metadata_log_dir)
            .ok_or_else(|| {
                let dir = options.metadata_log_dir.display();
                LogFailure::new(format!("{dir} is none of the data directories"))
            })?;
        let epochs: Vec<_> = directories.iter().map(|directory| directory.shutdown).collect();
        let config = ControllerConfig {
            identity: Identity {
                node_id: options.node_id,
                endpoints: options.endpoints,
                controller_endpoints: options.controller_endpoints,
                rack: options.rack,
                log_dirs: directories.iter().map(|directory| id_of(&directory.meta)).collect(),
            },
            cluster_id: home.meta.cluster_id.clone(),
            dir: metadata_log_path(&home.path),
            directory_id: id_of(&home.meta),
            placed: placed(engine),
            bootstrap: bootstrap(engine, &home.path)?,
            min_insync_replicas: options.min_insync_replicas,
            previous_broker_epoch: previous_broker_epoch(&epochs),
            defaults: options.defaults,
            rules: Arc::new(KnownKeys),
            snapshots: options.snapshots,
            clock: Arc::clone(&engine.config().clock),
            listener: options.listener,
        };
        check_not_lost(engine, &config.dir)?;
        let log = MetadataLog::open(engine, &home.path, options.segments)?;
        Self::start(Arc::clone(engine.disk()), Box::new(log), config)
    }
}

/// What an empty log begins with. In a log that has begun nobody needs it any more, damaged or not. (Kafka reads it at every
/// start, and does not start where it is damaged.)
fn bootstrap(engine: &Engine, metadata_log_dir: &Path) -> Result<Vec<MetadataRecord>, FormatError> {
    let log = engine.log(&TopicPartition::new(CLUSTER_METADATA_TOPIC, 0));
    match read_bootstrap(engine.disk(), metadata_log_dir) {
        Err(error) if log.is_some_and(|log| log.offsets().log_end > Offset::ZERO) => {
            tracing::warn!("{error}; the metadata have begun, so that it is not needed");
            Ok(Vec::new())
        }
        read => read,
    }
}

/// The id of a data directory; those of before KIP-858 have none.
pub(crate) fn id_of(meta: &MetaProperties) -> DirectoryId {
    meta.directory_id.map_or(DirectoryId::MIGRATING, |id| DirectoryId::new(id.get()))
}

/// Which logs lie where.
fn placed(engine: &Engine) -> Vec<PlacedLog> {
    let directories = &engine.open_report().directories;
    let ids: BTreeMap<&Path, DirectoryId> =
        directories.iter().map(|directory| (&*directory.path, id_of(&directory.meta))).collect();
    let logs = engine.logs();
    let place = |log: &Arc<Log>| {
        let directory = *ids.get(log.data_directory())?;
        Some(PlacedLog { partition: log.partition().clone(), topic_id: log.topic_id(), directory })
    };
    logs.iter().filter_map(place).collect()
}

/// Records of topics without the metadata that name them: a cluster that began anew beside them would know none of them.
/// (Kafka either finds no leader then, or begins anew and renames every log.)
fn check_not_lost(engine: &Engine, dir: &Path) -> Result<(), StartError> {
    let is_metadata = |log: &Arc<Log>| &*log.partition().topic == CLUSTER_METADATA_TOPIC;
    let (metadata, others): (Vec<_>, Vec<_>) = engine.logs().into_iter().partition(is_metadata);
    if others.is_empty() || metadata.iter().any(|log| log.offsets().log_end > Offset::ZERO) {
        return Ok(());
    }
    let listed = snapshots(engine.disk(), dir).map_err(LogFailure::new)?;
    if listed.iter().any(|id| *id > SnapshotId::BOOTSTRAP) {
        return Ok(());
    }
    Err(StartError::MetadataLost { dir: dir.to_owned(), logs: others.len() })
}

/// The epoch with which every directory was left cleanly; one that was not makes the broker's stop an unclean one.
fn previous_broker_epoch(shutdowns: &[Shutdown]) -> Option<i64> {
    let epoch = |shutdown: &Shutdown| match shutdown {
        Shutdown::Clean { broker_epoch } => Some(*broker_epoch),
        Shutdown::Unclean => None,
    };
    let first = shutdowns.first().and_then(epoch)?;
    shutdowns.iter().all(|shutdown| epoch(shutdown) == Some(first)).then_some(first)
}

/// The metadata log over the engine.
struct MetadataLog {
    log: Arc<Log>,
    /// Behind what is on its way to the disk.
    next_offset: Offset,
}

impl MetadataLog {
    fn open(engine: &Engine, metadata_log_dir: &Path, segments: SegmentPolicy) -> Result<Self, LogFailure> {
        let partition = TopicPartition::new(CLUSTER_METADATA_TOPIC, 0);
        let log = match engine.log(&partition) {
            Some(log) if log.data_directory() == metadata_log_dir => log,
            Some(log) => {
                let (there, here) = (log.data_directory().display(), metadata_log_dir.display());
                return Err(LogFailure::new(format!(
                    "it lies in {there}, not in {here}: is metadata.log.dir right?"
                )));
            }
            None => engine
                .create_log(&partition, METADATA_TOPIC_ID, config(segments), Some(metadata_log_dir))
                .map_err(LogFailure::new)?,
        };
        log.update_config(config(segments));
        if log.topic_id().is_none() {
            // A directory that was only formatted has the snapshot of the voters, but is no partition yet.
            let path = metadata_log_path(metadata_log_dir).join(PARTITION_METADATA_FILE);
            let text = format_partition_metadata(METADATA_TOPIC_ID);
            atomic_replace(&**engine.disk(), &path, text.as_bytes()).map_err(LogFailure::new)?;
        }
        let next_offset = log.offsets().log_end;
        Ok(Self { log, next_offset })
    }
}

/// Nothing is removed by its own age or size, only what a snapshot that stays says as well.
fn config(segments: SegmentPolicy) -> LogConfig {
    LogConfig {
        segment_bytes: segments.max_bytes,
        segment_ms: segments.max_ms,
        max_message_bytes: BATCH_BYTES_MAX,
        retention_ms: -1,
        retention_bytes: -1,
        ..LogConfig::default()
    }
}

impl RecordLog for MetadataLog {
    fn end_offset(&self) -> Offset {
        self.next_offset
    }

    fn append(&mut self, batch: Vec<u8>) -> Result<Box<dyn PendingAppend>, LogFailure> {
        let (epoch, next_offset) = {
            let view = BatchView::read(&batch).map_err(LogFailure::new)?;
            (view.header().leader_epoch(), view.header().next_offset())
        };
        let request = AppendRequest {
            records: BytesMut::from(&batch[..]),
            leader_epoch: epoch,
            origin: AppendOrigin::RaftLeader,
            durability: Some(Durability::Sync),
            transaction: TransactionContext::default(),
        };
        let ticket = self.log.append(request).map_err(LogFailure::new)?;
        self.next_offset = next_offset;
        Ok(Box::new(ticket))
    }

    fn forget_failed(&mut self) {
        self.next_offset = self.log.offsets().log_end;
    }

    fn read(&self, from: Offset, max_bytes: usize) -> Result<Vec<u8>, LogFailure> {
        let request = ReadRequest {
            from,
            max_bytes,
            at_least_one: true,
            isolation: Isolation::LogEnd,
            mode: ReadMode::Blocking,
        };
        let fetched = self.log.read(&request).map_err(LogFailure::new)?;
        let bytes = fetched.to_bytes().map_err(LogFailure::new)?;
        Ok(whole_batches(&bytes).to_vec())
    }

    fn start_offset(&self) -> Offset {
        self.log.offsets().log_start
    }

    fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.log.latest_epoch()
    }

    fn begin_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogFailure> {
        self.log.begin_epoch(epoch).map_err(LogFailure::new)
    }

    fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    /// Whole segments go with the engine's next retention.
    fn delete_before(&mut self, offset: Offset) -> Result<(), LogFailure> {
        self.log.delete_records_before(offset).map(drop).map_err(LogFailure::new)
    }

    fn set_high_watermark(&mut self, offset: Offset) {
        self.log.set_high_watermark(offset);
    }
}

impl PendingAppend for AppendTicket {
    fn wait(self: Box<Self>) -> Result<(), LogFailure> {
        (*self).wait().map(drop).map_err(LogFailure::new)
    }
}

/// A read may end within a batch.
fn whole_batches(bytes: &[u8]) -> &[u8] {
    let mut end = 0;
    while let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        match BatchView::read(rest) {
            Ok(view) => end += view.header().size_in_bytes(),
            Err(_) => break,
        }
    }
    &bytes[..end]
}
