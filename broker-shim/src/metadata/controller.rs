//! The controller: one thread that decides, appends and folds, in the order in which it is asked.
//!
//! What waits when it comes round forms a group: each request is decided on the image that the ones before it make,
//! their batches are appended without waiting in between, and one wait for the last makes them all durable. Only then
//! is the image published and are the callers told. If a batch fails, it and everything decided after it fails, and the
//! published image is the one before.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use arc_swap::ArcSwap;
use log_engine::{
    clock::Clock,
    io::{Disk, is_full},
    types::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    batches,
    bring_up::{self, BringUp},
    fold::{Delta, FoldError},
    format::FormatError,
    ids::DirectoryId,
    image::Image,
    leadership::Identity,
    load::{self, LoadError},
    ops::{self, ConfigRules, DirectoryAssignment, TopicDefaults},
    quorum_state::{QuorumState, QuorumStateError},
    raft::{EncodeBatchError, Quorum},
    record::MetadataRecord,
    record_log::{LogFailure, PendingAppend, RecordLog},
    snapshot::SnapshotId,
    snapshot_writer::{SnapshotPolicy, SnapshotWriter},
};

/// Requests that wait; more of them wait before they are handed over.
const QUEUE_LEN: usize = 1024;

/// Most requests of one group.
const GROUP_LEN: usize = 256;

/// Why a change of the metadata did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// The controller has stopped.
    #[error("the controller has stopped")]
    Stopped,
    /// The records could not be stored; nothing changed.
    #[error(transparent)]
    Log(#[from] LogFailure),
    /// The records cannot be encoded; nothing changed.
    #[error("{0}")]
    Encode(Arc<EncodeBatchError>),
    /// The request would lead to more records than fit into one batch; nothing changed. Kafka's words.
    #[error("Unable to perform excessively large batch operation.")]
    TooManyRecords,
    /// The records contradict the image: a mistake in the decision; nothing changed.
    #[error("{0}")]
    Fold(#[from] FoldError),
}

/// Why the controller cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The metadata cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The leader epoch cannot be read or written.
    #[error(transparent)]
    QuorumState(#[from] QuorumStateError),
    /// The first records cannot be written.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The records that a cluster begins with cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogFailure),
    /// There are logs of topics, but no metadata that name these.
    #[error("{} holds no metadata, but the data directories hold {logs} logs of topics: bring the metadata back, or move the logs away; nothing was removed", dir.display())]
    MetadataLost {
        /// Directory of the metadata log.
        dir: PathBuf,
        /// How many logs.
        logs: usize,
    },
    /// The log belongs to a quorum of which this node is not the only voter.
    #[error(
        "{}: the metadata quorum has the voters {voters:?}, but klamm can only be the only voter, here node {node_id} with directory {directory}",
        dir.display()
    )]
    Voters {
        /// Directory of the metadata log.
        dir: PathBuf,
        /// Their node ids.
        voters: Vec<i32>,
        /// This node.
        node_id: i32,
        /// The directory id of the metadata log's data directory.
        directory: DirectoryId,
    },
    /// The metadata are of a Kafka before 3.3.
    #[error("{}: metadata.version {level} is not one that this build can work with", dir.display())]
    MetadataVersion {
        /// Directory of the metadata log.
        dir: PathBuf,
        /// The finalized level.
        level: i16,
    },
    /// The system gives no random bytes or no thread.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    /// Whether there was no room, and nothing else is wrong.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::QuorumState(QuorumStateError::Io { error, .. }) => is_full(error),
            Self::Log(failure) | Self::Change(ChangeError::Log(failure)) => failure.is_full(),
            _ => false,
        }
    }
}

/// What a controller is started with.
pub struct ControllerConfig {
    /// Who this node is.
    pub identity: Identity,
    /// Id of the cluster, from `meta.properties`.
    pub cluster_id: String,
    /// Directory of the metadata log: `<metadata.log.dir>/__cluster_metadata-0`.
    pub dir: PathBuf,
    /// Id of the data directory in which that lies.
    pub directory_id: DirectoryId,
    /// The logs that were found, and where.
    pub placed: Vec<PlacedLog>,
    /// The records of `bootstrap.checkpoint`, for a log that has none yet.
    pub bootstrap: Vec<MetadataRecord>,
    /// `min.insync.replicas` of the configuration.
    pub min_insync_replicas: String,
    /// The epoch in the marker of the last clean stop, where every data directory had one and they agree.
    pub previous_broker_epoch: Option<i64>,
    /// What topics get that ask for nothing.
    pub defaults: TopicDefaults,
    /// What is known of configuration keys.
    pub rules: Arc<dyn ConfigRules>,
    /// When snapshots are written.
    pub snapshots: SnapshotPolicy,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Who acts on changes.
    pub listener: Option<Arc<dyn MetadataListener>>,
}

/// A log that was found when the data directories were opened.
#[derive(Clone, Debug)]
pub struct PlacedLog {
    /// Its partition.
    pub partition: TopicPartition,
    /// The id of its topic, where it knows that.
    pub topic_id: Option<TopicId>,
    /// The data directory that it lies in.
    pub directory: DirectoryId,
}

/// Acts on changes of the metadata: creates and deletes logs, changes their configuration.
pub trait MetadataListener: Send + Sync {
    /// Called on the controller's thread after `image` was published and before those who asked for the change are told.
    /// Answers which replicas lie elsewhere than the image says; that is recorded, too, before anyone is told.
    fn published(&self, image: &Arc<Image>, delta: &Delta) -> Vec<DirectoryAssignment>;

    /// The disk has no room for what the start has to write: what is stored may be read as `image` says, and nothing may
    /// be added before the next call of [`MetadataListener::published`].
    fn readable(&self, image: &Arc<Image>);
}

/// What is decided on an image.
type Decide = Box<dyn FnOnce(&Image, &Rules) -> (Vec<MetadataRecord>, Reply) + Send>;
/// Tells the caller.
type Reply = Box<dyn FnOnce(Result<(), ChangeError>) + Send>;

/// What decisions depend on besides the image.
pub(super) struct Rules {
    pub(super) node_id: i32,
    pub(super) defaults: TopicDefaults,
    pub(super) config: Arc<dyn ConfigRules>,
}

/// The way to a controller, from any thread.
#[derive(Clone)]
pub(super) struct Requests {
    queue: mpsc::Sender<Event>,
}

/// What the controller's thread is told.
pub(super) enum Event {
    Decide(Decide),
    LookAgain(BTreeSet<(TopicId, i32)>),
    TakeTheLead,
    Stop,
}

impl Requests {
    /// Ends the controller after what was handed over before.
    pub(super) async fn stop(&self) {
        // A controller that is gone has nothing left to stop.
        drop(self.queue.send(Event::Stop).await);
    }

    /// Has the listener look at partitions again, which it could not serve before.
    pub(super) async fn look_again(&self, partitions: BTreeSet<(TopicId, i32)>) -> Result<(), ChangeError> {
        self.queue.send(Event::LookAgain(partitions)).await.map_err(|_| ChangeError::Stopped)
    }

    /// Hands over a decision and waits until its records are durable and folded.
    pub(super) async fn submit<A: Send + 'static>(
        &self,
        decide: impl FnOnce(&Image, &Rules) -> (Vec<MetadataRecord>, A) + Send + 'static,
    ) -> Result<A, ChangeError> {
        let (tell, told) = oneshot::channel();
        let decide: Decide = Box::new(move |image, rules| {
            let (records, answer) = decide(image, rules);
            // A caller that went away needs no answer.
            let reply: Reply = Box::new(move |outcome| drop(tell.send(outcome.map(|()| answer))));
            (records, reply)
        });
        self.queue.send(Event::Decide(decide)).await.map_err(|_| ChangeError::Stopped)?;
        told.await.unwrap_or(Err(ChangeError::Stopped))
    }
}

/// A controller that leads.
pub(super) struct Started {
    pub(super) requests: Requests,
    pub(super) image: Arc<ArcSwap<Image>>,
    pub(super) thread: thread::JoinHandle<()>,
}

/// Loads, takes the leadership, registers the broker and unfences it; where the disk has no room for that, begins with
/// what can be read, and does it as soon as there is.
pub(super) fn start(
    disk: Arc<dyn Disk>,
    log: Box<dyn RecordLog>,
    config: ControllerConfig,
) -> Result<Started, StartError> {
    let loaded = load::load(&disk, &config.dir, &*log, &config.cluster_id)?;
    match loaded.snapshot {
        Some(id) => tracing::debug!("metadata loaded from {} and the log behind it", id.file_name()),
        None => tracing::debug!("metadata loaded from the log alone"),
    }
    check_voters(&loaded.quorum, &config)?;
    let known = QuorumState::read(&disk, &config.dir)?;
    let epoch = next_epoch(known, &loaded.image, &*log);
    let node_id = config.identity.node_id;
    let snapshots = SnapshotWriter::new(Arc::clone(&disk), config.dir.clone(), config.snapshots, &loaded);
    let is_first = log.end_offset() == Offset::ZERO;
    let image = Arc::new(loaded.image);
    let mut leader = Leader {
        log,
        epoch,
        quorum: loaded.quorum,
        published: Arc::new(ArcSwap::new(Arc::clone(&image))),
        image,
        bring_up: None,
        is_up: Arc::default(),
        unknown: loaded.unknown,
        snapshots,
        rules: Rules { node_id, defaults: config.defaults, config: Arc::clone(&config.rules) },
        clock: Arc::clone(&config.clock),
        listener: config.listener.clone(),
    };
    let told_elsewhere = leader.quorum.listen_at(&config.identity.controller_endpoints);
    leader.bring_up = Some(BringUp::new(disk, config, told_elsewhere || is_first, loaded.open_transaction));
    let (queue, waiting) = mpsc::channel(QUEUE_LEN);
    leader.take_the_lead()?;
    if leader.bring_up.is_some() {
        bring_up::remind(&queue, &leader.is_up)?;
    }
    let image = Arc::clone(&leader.published);
    let thread = thread::Builder::new().name("controller".to_owned()).spawn(move || leader.run(waiting))?;
    Ok(Started { requests: Requests { queue }, image, thread })
}

fn check_voters(quorum: &Quorum, config: &ControllerConfig) -> Result<(), StartError> {
    let ours =
        |id: i32, directory: DirectoryId| id == config.identity.node_id && directory == config.directory_id;
    match &*quorum.voters {
        [] => Ok(()),
        [only] if ours(only.id, only.directory_id) => Ok(()),
        voters => Err(StartError::Voters {
            dir: config.dir.clone(),
            voters: voters.iter().map(|voter| voter.id).collect(),
            node_id: config.identity.node_id,
            directory: config.directory_id,
        }),
    }
}

/// Above every epoch that this node, or its log, has seen.
fn next_epoch(known: Option<QuorumState>, image: &Image, log: &dyn RecordLog) -> LeaderEpoch {
    let seen = [known.map(|state| state.leader_epoch), Some(image.provenance().epoch), log.latest_epoch()];
    let latest = seen.into_iter().flatten().map(LeaderEpoch::get).max().unwrap_or(0);
    LeaderEpoch::new(latest.saturating_add(1))
}

/// The leader's thread and its state.
pub(super) struct Leader {
    pub(super) log: Box<dyn RecordLog>,
    pub(super) epoch: LeaderEpoch,
    pub(super) quorum: Quorum,
    /// What requests see: what the log says, once the lead is taken.
    pub(super) published: Arc<ArcSwap<Image>>,
    /// What the log says.
    image: Arc<Image>,
    /// What is left to do before anything is decided.
    pub(super) bring_up: Option<BringUp>,
    /// Nothing is.
    pub(super) is_up: Arc<AtomicBool>,
    unknown: BTreeSet<String>,
    snapshots: SnapshotWriter,
    pub(super) rules: Rules,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) listener: Option<Arc<dyn MetadataListener>>,
}

/// What was waiting when the controller came round.
#[derive(Default)]
struct Round {
    group: Vec<Decide>,
    look_again: BTreeSet<(TopicId, i32)>,
    take_the_lead: bool,
    stop: bool,
}

impl Round {
    fn take(&mut self, event: Event) {
        match event {
            Event::Decide(decide) => self.group.push(decide),
            Event::LookAgain(partitions) => self.look_again.extend(partitions),
            Event::TakeTheLead => self.take_the_lead = true,
            Event::Stop => self.stop = true,
        }
    }
}

/// A batch on its way, and the image that holds once it is durable.
struct Appended {
    pending: Box<dyn PendingAppend>,
    image: Image,
    delta: Delta,
}

impl Leader {
    pub(super) fn image(&self) -> Arc<Image> {
        Arc::clone(&self.image)
    }

    /// One batch, durable and published.
    pub(super) fn commit(&mut self, records: &[MetadataRecord]) -> Result<(), ChangeError> {
        if records.is_empty() {
            return Ok(());
        }
        let before = self.image();
        let appended = self.append(&before, records)?;
        if let Err(error) = appended.pending.wait() {
            self.log.forget_failed();
            return Err(error.into());
        }
        self.publish(appended.image, &appended.delta);
        Ok(())
    }

    /// Folds first, so that nothing is appended that could not be loaded again.
    fn append(&mut self, before: &Image, records: &[MetadataRecord]) -> Result<Appended, ChangeError> {
        let (mut image, mut delta) = (before.clone(), Delta::default());
        for record in records {
            image.fold(record, &mut delta)?;
        }
        let (base, now) = (self.log.end_offset(), self.clock.now());
        let version = image.metadata_version();
        let batch = batches::data_batch(records, version, base, self.epoch, now).map_err(encode_failure)?;
        self.snapshots.count(batch.len());
        let pending = self.log.append(batch)?;
        image.stamp(self.log.end_offset(), self.epoch, now);
        Ok(Appended { pending, image, delta })
    }

    pub(super) fn publish(&mut self, image: Image, delta: &Delta) {
        self.log.set_high_watermark(image.provenance().end_offset);
        let image = Arc::new(image);
        self.image = Arc::clone(&image);
        if self.is_up.load(Ordering::Acquire) {
            self.published.store(Arc::clone(&image));
        }
        self.tell_listener(&image, delta);
    }

    fn tell_listener(&mut self, image: &Arc<Image>, delta: &Delta) {
        let placed = match &self.listener {
            Some(listener) => listener.published(image, delta),
            None => return,
        };
        let records = ops::assign_directories(image, self.rules.node_id, &placed);
        if let Err(error) = self.commit(&records) {
            tracing::error!("where new logs lie is not recorded until the next start: {error}");
        }
    }

    fn run(mut self, mut waiting: mpsc::Receiver<Event>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut round = Round::default();
            round.take(first);
            while round.group.len() < GROUP_LEN && !round.stop {
                match waiting.try_recv() {
                    Ok(next) => round.take(next),
                    Err(_) => break,
                }
            }
            if round.take_the_lead
                && let Err(error) = self.take_the_lead()
            {
                tracing::error!("the lead of the metadata is not taken: {error}");
                return;
            }
            if let Some(bring_up) = &self.bring_up {
                refuse(&self.image, &self.rules, &bring_up.refusal(), round.group);
                if round.stop {
                    return;
                }
                continue;
            }
            self.group(round.group);
            if !round.look_again.is_empty() {
                let delta = Delta { partitions: round.look_again, ..Delta::default() };
                self.tell_listener(&self.image(), &delta);
            }
            self.snapshot_if_due();
            if round.stop {
                return;
            }
        }
    }

    fn group(&mut self, group: Vec<Decide>) {
        let mut latest = (*self.image()).clone();
        let mut appended = Vec::with_capacity(group.len());
        let mut broken = None;
        for decide in group {
            let (records, reply) = decide(&latest, &self.rules);
            let outcome = match &broken {
                Some(error) => Err(ChangeError::clone(error)),
                None if records.is_empty() => Ok(None),
                None => self.append(&latest, &records).map(Some),
            };
            match &outcome {
                Ok(Some(batch)) => latest = batch.image.clone(),
                Ok(None) => {}
                // What a log refused, it may refuse again: nothing is built on it in this group.
                Err(error @ ChangeError::Log(_)) => broken = Some(error.clone()),
                Err(_) => {}
            }
            appended.push((outcome, reply));
        }
        self.settle(appended);
    }

    /// Waits for the batches in their order, publishes once, and tells everyone.
    fn settle(&mut self, appended: Vec<(Result<Option<Appended>, ChangeError>, Reply)>) {
        let mut publish: Option<(Image, Delta)> = None;
        let mut failed = None;
        let mut replies = Vec::with_capacity(appended.len());
        for (outcome, reply) in appended {
            let outcome = match (outcome, &failed) {
                (outcome, Some(error)) => {
                    if let Ok(Some(batch)) = outcome {
                        // What was built on a failed append fails with it; that is not news.
                        drop(batch.pending.wait());
                    }
                    Err(ChangeError::clone(error))
                }
                (Ok(Some(batch)), None) => match batch.pending.wait() {
                    Ok(()) => {
                        let mut delta = publish.take().map(|(_, delta)| delta).unwrap_or_default();
                        delta.extend(batch.delta);
                        publish = Some((batch.image, delta));
                        Ok(())
                    }
                    Err(error) => {
                        failed = Some(ChangeError::Log(error.clone()));
                        Err(error.into())
                    }
                },
                (Ok(None), None) => Ok(()),
                (Err(error), None) => Err(error),
            };
            replies.push((outcome, reply));
        }
        if failed.is_some() {
            self.log.forget_failed();
        }
        if let Some((image, delta)) = publish {
            self.publish(image, &delta);
        }
        for (outcome, reply) in replies {
            if let Err(error) = &outcome {
                tracing::error!("a change of the metadata failed: {error}");
            }
            reply(outcome);
        }
    }

    /// A snapshot that cannot be written is no harm: the log has everything.
    fn snapshot_if_due(&mut self) {
        let now = self.clock.now();
        if !self.unknown.is_empty() || !self.snapshots.is_due(now) {
            return;
        }
        let image = self.image();
        match self.snapshots.write(&image, &self.quorum, now) {
            Ok(SnapshotId { end_offset, .. }) => {
                tracing::debug!("wrote a metadata snapshot up to {end_offset}")
            }
            Err(error) => tracing::warn!("no metadata snapshot: {error}"),
        }
        if let Err(error) = self.forget_old_snapshots(now) {
            tracing::warn!("old metadata is kept: {error}");
        }
    }

    /// The log first: while it is there, a snapshot that is missing is none that is needed.
    fn forget_old_snapshots(&mut self, now: TimestampMs) -> Result<(), LogFailure> {
        let first_kept = self.snapshots.first_to_keep(self.log.size_bytes(), now).map_err(LogFailure::new)?;
        let Some(first_kept) = first_kept else { return Ok(()) };
        self.log.delete_before(first_kept.end_offset)?;
        self.snapshots.remove_before(first_kept).map_err(LogFailure::new)
    }
}

/// Nothing is decided yet.
fn refuse(image: &Image, rules: &Rules, error: &ChangeError, group: Vec<Decide>) {
    for decide in group {
        let (_, reply) = decide(image, rules);
        reply(Err(error.clone()));
    }
}

/// A log with another topic's id is none of this topic's.
pub(super) fn placement(image: &Image, placed: &[PlacedLog]) -> Vec<DirectoryAssignment> {
    let assignment = |log: &PlacedLog| {
        let topic_id = image.topic(&log.partition.topic)?.topic_id;
        let ours = log.topic_id.is_none_or(|own| own == topic_id);
        ours.then_some(DirectoryAssignment {
            topic_id,
            partition: log.partition.partition,
            directory: log.directory,
        })
    };
    placed.iter().filter_map(assignment).collect()
}

pub(super) fn encode_failure(error: EncodeBatchError) -> ChangeError {
    ChangeError::Encode(Arc::new(error))
}
