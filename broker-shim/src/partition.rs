//! One partition as this broker leads it: the log, the epoch it is led under, and who waits for its end.
//!
//! The in-sync replicas are one, ourselves, so the high watermark follows every publication: under flush policy `os` what
//! was written, under `sync` and `group` what is durable, since the engine publishes no sooner.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
};

use arc_swap::ArcSwap;
use bytes::BytesMut;
use log_engine::{
    AppendError, AppendRequest, Attempt, EndListener, Engine, Fetched, Isolation, Log, LogConfig, LogOffsets,
    PostponedAppend, ReadError, ReadMode, ReadRequest, TimestampQuery,
    commit::CommitError,
    io::is_full,
    producer::{ProducerEntry, TransactionContext, Verification, VerificationGuard, VerificationRequest},
    types::{LeaderEpoch, Offset, TimestampMs, TopicPartition},
};
use wire::ErrorCode;

use crate::{
    error_map,
    wait::{Waiter, Watch, Watched},
};

/// A leading replica.
#[derive(Debug)]
pub(crate) struct Partition {
    id: TopicPartition,
    // Another one once the log was moved to another data directory.
    log: ArcSwap<Log>,
    leader_epoch: AtomicI32,
    /// Whether its epoch is known to the metadata and to the log, so that records may be added under it.
    takes_records: AtomicBool,
    deleted: AtomicBool,
    end: Arc<End>,
}

/// What the log tells of its end. Apart from the partition, so that log and partition do not hold each other.
#[derive(Debug, Default)]
struct End {
    watch: Watch,
}

impl EndListener for End {
    fn published(&self, log: &Log, offsets: LogOffsets) {
        log.set_high_watermark(offsets.log_end);
        self.watch.wake();
    }
}

impl Watched for Partition {
    fn watch(&self) -> &Watch {
        &self.end.watch
    }
}

/// How far a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    Replica,
    Uncommitted,
    Committed,
}

/// Kafka's number of `read_committed`.
const READ_COMMITTED: i8 = 1;

impl Visibility {
    /// From a request's replica id (below zero for consumers) and isolation level.
    pub(crate) fn of(replica_id: i32, isolation_level: i8) -> Self {
        if replica_id >= 0 {
            Self::Replica
        } else if isolation_level == READ_COMMITTED {
            Self::Committed
        } else {
            Self::Uncommitted
        }
    }

    fn isolation(self) -> Isolation {
        match self {
            Self::Replica => Isolation::LogEnd,
            Self::Uncommitted => Isolation::HighWatermark,
            Self::Committed => Isolation::LastStable,
        }
    }
}

/// A question of ListOffsets that only the log can answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OffsetQuery {
    Earliest,
    EarliestLocal,
    MaxTimestamp,
    AtOrAfter(i64),
}

/// Stands for "up to the high watermark" in DeleteRecords.
const HIGH_WATERMARK: i64 = -1;

impl Partition {
    /// Begins to lead: the log learns its epoch, and what it holds becomes visible. Waits for the disk.
    pub(crate) fn lead(log: Arc<Log>, epoch: LeaderEpoch) -> io::Result<Self> {
        if log.latest_epoch().is_none_or(|latest| latest < epoch) {
            log.begin_epoch(epoch)?;
        }
        Self::over(log, epoch, true)
    }

    /// Shows what the log holds, and takes nothing until [`Partition::lead_on`].
    pub(crate) fn show(log: Arc<Log>, epoch: LeaderEpoch) -> io::Result<Self> {
        Self::over(log, epoch, false)
    }

    fn over(log: Arc<Log>, epoch: LeaderEpoch, takes_records: bool) -> io::Result<Self> {
        // What a crash left may be in the page cache only. Under `sync` and `group` nobody is shown it before it is on the
        // disk.
        if log.config().flush_policy().durability().is_durable() {
            log.flush_records()?;
        }
        let end = Arc::new(End::default());
        log.set_end_listener(Arc::clone(&end) as Arc<dyn EndListener>);
        log.set_high_watermark(log.offsets().log_end);
        Ok(Self {
            id: log.partition().clone(),
            log: ArcSwap::new(log),
            leader_epoch: AtomicI32::new(epoch.get()),
            takes_records: AtomicBool::new(takes_records),
            deleted: AtomicBool::new(false),
            end,
        })
    }

    /// The data directory that the log lies in.
    pub(crate) fn data_directory(&self) -> PathBuf {
        self.log.load().data_directory().to_owned()
    }

    /// The log goes on elsewhere, and nobody has appended there yet.
    pub(crate) fn follow(&self, log: &Arc<Log>) {
        log.set_end_listener(Arc::clone(&self.end) as Arc<dyn EndListener>);
        let before = self.log.swap(Arc::clone(log)).offsets();
        log.set_high_watermark(before.high_watermark);
        // A start that was moved while the log was on its way.
        if log.offsets().log_start < before.log_start
            && let Err(error) = log.delete_records_before(before.log_start)
        {
            tracing::warn!("{} starts earlier than it did: {error}", self.id);
        }
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.id.topic
    }

    pub(crate) fn number(&self) -> i32 {
        self.id.partition
    }

    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch::new(self.leader_epoch.load(Ordering::Acquire))
    }

    /// A newer epoch of ours.
    pub(crate) fn lead_on(&self, epoch: LeaderEpoch) -> io::Result<()> {
        if self.leader_epoch() < epoch {
            self.log.load().begin_epoch(epoch)?;
            self.leader_epoch.store(epoch.get(), Ordering::Release);
        }
        self.takes_records.store(true, Ordering::Release);
        Ok(())
    }

    fn check_takes_records(&self) -> Result<(), AppendError> {
        if self.takes_records.load(Ordering::Acquire) {
            return Ok(());
        }
        let error = Arc::new(io::ErrorKind::StorageFull.into());
        Err(CommitError::NoSpace { path: self.log.load().directory(), error }.into())
    }

    /// Whether a client's idea of the leader epoch is ours; -1 is no idea.
    pub(crate) fn check_leader_epoch(&self, claimed: i32) -> Result<(), ErrorCode> {
        let ours = self.leader_epoch().get();
        match claimed {
            -1 => Ok(()),
            older if older < ours => Err(ErrorCode::FencedLeaderEpoch),
            newer if newer > ours => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Starts to append, unless that would make this thread wait.
    ///
    /// What may open a transaction comes with a guard.
    pub(crate) fn try_append(
        &self,
        records: BytesMut,
        verified_by: Option<VerificationGuard>,
    ) -> Result<Attempt, AppendError> {
        self.check_takes_records()?;
        self.log.load().try_append(self.client_append(records, verified_by))
    }

    fn client_append(&self, records: BytesMut, verified_by: Option<VerificationGuard>) -> AppendRequest {
        let transaction = TransactionContext { verified_by, ..TransactionContext::default() };
        AppendRequest::from_client(records, self.leader_epoch()).in_transaction(transaction)
    }

    /// Starts to append records of this broker's own, unless that would make this thread wait; with what is known of the
    /// transaction that they belong to, or end.
    pub(crate) fn try_append_own(
        &self,
        records: BytesMut,
        transaction: TransactionContext,
    ) -> Result<Attempt, AppendError> {
        self.check_takes_records()?;
        let request = AppendRequest::from_coordinator(records, self.leader_epoch());
        self.log.load().try_append(request.in_transaction(transaction))
    }

    /// Whether the coordinator must be asked before a batch may open a transaction here; `None` where finding out would
    /// make this thread wait.
    pub(crate) fn try_begin_verification(
        &self,
        request: &VerificationRequest,
    ) -> Result<Option<Verification>, AppendError> {
        self.log.load().try_begin_verification(request)
    }

    /// The same for a thread that may wait.
    pub(crate) fn begin_verification(
        &self,
        request: &VerificationRequest,
    ) -> Result<Verification, AppendError> {
        self.log.load().begin_verification(request)
    }

    /// Who writes here.
    pub(crate) fn active_producers(&self) -> Vec<ProducerEntry> {
        self.log.load().active_producers()
    }

    /// An append for another thread, behind one that was tried before.
    pub(crate) fn postpone(
        &self,
        records: BytesMut,
        verified_by: Option<VerificationGuard>,
    ) -> PostponedAppend {
        self.log.load().postpone(self.client_append(records, verified_by))
    }

    /// Until consumers can read what lies before `end`, or the topic is gone.
    pub(crate) async fn visible_to(self: Arc<Self>, end: Offset) {
        let is_visible =
            |partition: &Self| partition.offsets().high_watermark >= end || partition.is_deleted();
        if is_visible(&self) {
            return;
        }
        let waiter = Waiter::at([Arc::clone(&self)]);
        while !is_visible(&self) {
            waiter.woken().await;
        }
    }

    pub(crate) fn offsets(&self) -> LogOffsets {
        self.log.load().offsets()
    }

    /// The end that a reader sees.
    pub(crate) fn end(&self, visibility: Visibility) -> Offset {
        visibility.isolation().end(&self.offsets())
    }

    pub(crate) fn min_insync_replicas(&self) -> u32 {
        self.log.load().config().min_insync_replicas
    }

    pub(crate) fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        at_least_one: bool,
        visibility: Visibility,
        mode: ReadMode,
    ) -> Result<Fetched, ReadError> {
        let isolation = visibility.isolation();
        self.log.load().read(&ReadRequest { from, max_bytes, at_least_one, isolation, mode })
    }

    pub(crate) fn epoch_end(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.log.load().epoch_end_offset(epoch)
    }

    /// Timestamp, offset and leader epoch of what is asked for; nothing where a reader may not see it yet.
    pub(crate) fn find_offset(
        &self,
        query: OffsetQuery,
        visibility: Visibility,
    ) -> Result<Option<(i64, i64, i32)>, ErrorCode> {
        let query = match query {
            OffsetQuery::Earliest => TimestampQuery::Earliest,
            OffsetQuery::EarliestLocal => TimestampQuery::EarliestLocal,
            OffsetQuery::MaxTimestamp => TimestampQuery::MaxTimestamp,
            OffsetQuery::AtOrAfter(at) => TimestampQuery::AtOrAfter(TimestampMs::new(at)),
        };
        let found = self
            .log
            .load()
            .offset_for_timestamp(query, visibility.isolation())
            .map_err(|error| error_map::read(&error))?;
        Ok(found.map(|found| {
            let epoch = found.leader_epoch.map_or(-1, LeaderEpoch::get);
            (found.timestamp.get(), found.offset.get(), epoch)
        }))
    }

    /// The log's new start.
    pub(crate) fn delete_records_before(&self, before: i64, engine: &Engine) -> Result<Offset, ErrorCode> {
        let high_watermark = self.offsets().high_watermark;
        let before = if before == HIGH_WATERMARK { high_watermark } else { Offset::new(before) };
        if before.get() < 0 || before > high_watermark {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        self.log.load().delete_records_before(before).map_err(|error| error_map::truncate(&error))?;
        // Before it is acknowledged. Where there is no room, room is what the deletion is to make.
        match engine.note_log_starts(&self.log.load()) {
            Err(error) if !is_full(&error) => {
                tracing::error!("the start of {} is not noted: {error}", self.id);
                Err(ErrorCode::KafkaStorageError)
            }
            _ => Ok(self.offsets().log_start),
        }
    }

    pub(crate) fn update_config(&self, config: LogConfig) {
        self.log.load().update_config(config);
    }

    /// Its topic is gone: who waits here learns of it.
    pub(crate) fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
        self.end.watch.wake();
    }

    /// Whether its topic is gone.
    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use log_engine::{
        Durability, Engine, EngineConfig,
        batch::{AppendOrigin, BatchBuilder, Compression, NewRecord},
        log_dir::{self, MetaProperties},
        types::TopicId,
    };

    use super::*;

    fn batch() -> BytesMut {
        let mut batch = BatchBuilder::new(Compression::None);
        let timestamp = TimestampMs::new(1_700_000_000_000);
        batch.append(&NewRecord { timestamp, key: None, value: Some(b"v"), headers: &[] }).unwrap();
        BytesMut::from(&batch.finish().unwrap()[..])
    }

    #[test]
    fn under_sync_what_a_crash_left_is_on_the_disk_before_it_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = EngineConfig::new([dir.path().to_owned()], 1);
        config.log_defaults.flush_messages = 1;
        let meta = MetaProperties { cluster_id: "c".into(), node_id: 1, directory_id: None };
        log_dir::format(&config.open_disk(), dir.path(), &meta, TimestampMs::new(0)).unwrap();
        let (id, topic_id) = (TopicPartition::new("t", 0), TopicId::new([7; 16]));
        let defaults = config.log_defaults.clone();
        let engine = Engine::open(config.clone()).unwrap();
        let log = engine.create_log(&id, topic_id, defaults, None).unwrap();
        // As a write that was under way when the process was killed: in the page cache, not on the disk.
        let request = AppendRequest {
            records: batch(),
            leader_epoch: LeaderEpoch::new(0),
            origin: AppendOrigin::Client,
            durability: Some(Durability::Os),
            transaction: log_engine::producer::TransactionContext::default(),
        };
        log.append(request).unwrap().wait().unwrap();
        drop((log, engine));

        let engine = Engine::open(config).unwrap();
        let log = engine.log(&id).unwrap();
        assert_eq!((log.offsets().durable_end.get(), log.offsets().log_end.get()), (0, 1));
        let partition = Partition::lead(log, LeaderEpoch::new(1)).unwrap();
        let offsets = partition.offsets();
        assert_eq!((offsets.high_watermark.get(), offsets.durable_end.get()), (1, 1));
    }

    /// In the moment between a publication and the listener that is told of it.
    #[derive(Debug)]
    struct NotYetTold;

    impl EndListener for NotYetTold {
        fn published(&self, _log: &Log, _offsets: LogOffsets) {}
    }

    #[tokio::test]
    async fn published_records_are_visible_only_once_the_high_watermark_covers_them() {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig::new([dir.path().to_owned()], 1);
        let meta = MetaProperties { cluster_id: "c".into(), node_id: 1, directory_id: None };
        log_dir::format(&config.open_disk(), dir.path(), &meta, TimestampMs::new(0)).unwrap();
        let engine = Engine::open(config).unwrap();
        let id = TopicPartition::new("t", 0);
        let log = engine.create_log(&id, TopicId::new([7; 16]), LogConfig::default(), None).unwrap();
        assert!(log.set_end_listener(Arc::new(NotYetTold)));
        let partition = Arc::new(Partition::lead(Arc::clone(&log), LeaderEpoch::new(0)).unwrap());
        let appended = partition.postpone(batch(), None).append().unwrap().wait().unwrap();
        let waiting = tokio::spawn(Arc::clone(&partition).visible_to(appended.last_offset.next()));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        log.set_high_watermark(Offset::new(1));
        partition.watch().wake();
        waiting.await.unwrap();
    }
}
