//! The append walk: validate, then, under the tail's lock, admit, place, stamp and enqueue; then let the committer
//! carry it out. Where the place comes from is told in `room.rs`, what happens when it has been carried out in `commit.rs`.
//!
//! The lock covers arithmetic and stamping. A roll creates the new segment's files under it, which delays appends to
//! this log only; nothing is flushed under it. A thread that must not wait for the disk asks with [`Log::try_append`],
//! which hands back what would.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;

use crate::batch::{
    AppendOrigin, BatchSummary, BatchView, DecompressError, DecompressionCap, RecordError, ValidBatches,
    ValidationRules, Violation, validate,
};
use crate::commit::{CommitError, CommitRequest, CommitTarget, Durability, Ticket};
use crate::config::LogConfig;
use crate::error::AppendError;
use crate::io::{FileHandle, is_shortage};
use crate::producer::{Admission, AdmissionRules, AppendedBatch, TransactionContext};
use crate::segment::scan::BatchAt;
use crate::types::{LeaderEpoch, Offset, TimestampMs};

use super::Log;
use super::offsets::LogOffsets;
use super::room::TailAndFile;
use super::tail::{FirstTimestamp, Pending, Reservation, Tail};

/// What to append.
#[derive(Debug)]
pub struct AppendRequest {
    /// Record batches. They are stamped in place and become the bytes of the file.
    pub records: BytesMut,
    /// The epoch of the leader that appends.
    pub leader_epoch: LeaderEpoch,
    /// Who appends; decides what is checked and who gives the offsets.
    pub origin: AppendOrigin,
    /// When the append counts as stored; `None` as the log is configured.
    pub durability: Option<Durability>,
    /// What is known of the transaction that the records belong to.
    pub transaction: TransactionContext,
}

impl AppendRequest {
    /// A client's records, as durable as the log is configured to make them.
    pub fn from_client(records: BytesMut, leader_epoch: LeaderEpoch) -> Self {
        let transaction = TransactionContext::default();
        Self { records, leader_epoch, origin: AppendOrigin::Client, durability: None, transaction }
    }

    /// A coordinator's records or markers, as durable as the log is configured to make them.
    pub fn from_coordinator(records: BytesMut, leader_epoch: LeaderEpoch) -> Self {
        Self { origin: AppendOrigin::Coordinator, ..Self::from_client(records, leader_epoch) }
    }

    /// What a follower has fetched from its leader: the batches have their offsets and epochs, and continue the log, perhaps
    /// behind a gap that compaction left. Those from the first of a newer epoch on are left out, which may be all: they
    /// come from a leader that the follower has not heard of, whose log may have been cut before (KAFKA-18723).
    pub fn from_leader(records: BytesMut, leader_epoch: LeaderEpoch) -> Self {
        Self { origin: AppendOrigin::Replication, ..Self::from_client(records, leader_epoch) }
    }

    /// The same records, as part of a transaction.
    #[must_use]
    pub fn in_transaction(self, transaction: TransactionContext) -> Self {
        Self { transaction, ..self }
    }
}

/// Becomes the place of the records once they are stored and can be read: a future that needs no runtime, and something a thread
/// can wait for. A ticket that is dropped changes nothing: the records are stored all the same.
pub type AppendTicket = Ticket<Appended, AppendError>;

/// Where appended records are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Offset of the first record.
    pub first_offset: Offset,
    /// Offset of the last record; below the first where nothing was appended, see [`AppendRequest::from_leader`].
    pub last_offset: Offset,
    /// The broker's time, where the log's timestamps are the broker's.
    pub log_append_time: Option<TimestampMs>,
    /// First offset of the log.
    pub log_start_offset: Offset,
    /// Whether the producer had sent the records before; the offsets are those of the first time.
    pub duplicate: bool,
}

/// How far an append that must not wait has come.
#[derive(Debug)]
pub enum Attempt {
    /// It is under way.
    Started(AppendTicket),
    /// It would wait for the disk, or unfold a large batch: nothing has been done that anybody can see.
    WouldWait(PostponedAppend),
}

/// An append for a thread that may wait.
#[derive(Debug)]
pub struct PostponedAppend {
    log: Arc<Log>,
    state: Postponed,
}

#[derive(Debug)]
enum Postponed {
    AsItCame(AppendRequest),
    Validated(Prepared),
}

impl PostponedAppend {
    /// Goes on with it, as [`Log::append`] does.
    pub fn append(self) -> Result<AppendTicket, AppendError> {
        match self.state {
            Postponed::AsItCame(request) => self.log.append(request),
            Postponed::Validated(prepared) => self.log.append_prepared(prepared),
        }
    }
}

/// Records that keep all rules, and all that placing them asks for.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) config: Arc<LogConfig>,
    pub(super) now: TimestampMs,
    pub(super) valid: ValidBatches,
    pub(super) records: BytesMut,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) origin: AppendOrigin,
    pub(super) transaction: TransactionContext,
    /// `None` as the log is configured when the append is placed.
    pub(super) durability: Option<Durability>,
}

/// Bytes that an append unfolds on a thread that serves many sockets: some milliseconds of it.
const UNFOLDED_AT_ONCE_MAX: DecompressionCap = DecompressionCap::new(2 << 20);

impl Log {
    /// Appends record batches. What breaks a rule is refused at once, and nothing of the request is stored then:
    /// [`AppendError::Invalid`], [`AppendError::Producer`], [`AppendError::OutOfOrder`]. Whether the rest got stored, the ticket
    /// tells; [`AppendError::is_full`] where the same may go well once there is room. May wait for the disk.
    ///
    /// The request is stored whole or not at all while the process lives. A crash before the ticket resolves leaves the
    /// request, the first batches of it, or nothing. After the ticket resolved, a crash of the process leaves all of it, and one of
    /// the machine what the log's [`crate::FlushPolicy`] promises: a suffix of the log may be missing under
    /// [`crate::FlushPolicy::Os`], nothing under the others.
    pub fn append(self: &Arc<Self>, request: AppendRequest) -> Result<AppendTicket, AppendError> {
        let config = self.config();
        let now = self.home.clock.now();
        let valid = validate(&request.records, &rules(&config, &request), now).map_err(Arc::new)?;
        if valid.batches().is_empty() {
            return Ok(self.nothing_appended());
        }
        self.append_prepared(Prepared::new(request, config, valid, now))
    }

    /// As [`Log::append`], for a thread that must not wait for the disk: what would is handed back, for
    /// [`PostponedAppend::append`] on another thread. Until that is done, append nothing that has to come behind it.
    pub fn try_append(self: &Arc<Self>, request: AppendRequest) -> Result<Attempt, AppendError> {
        let config = self.config();
        if !self.home.committer.has_room() || is_rewritten(&request.records, &config) {
            return Ok(Attempt::WouldWait(self.postpone(request)));
        }
        let now = self.home.clock.now();
        let rules = ValidationRules { decompression: UNFOLDED_AT_ONCE_MAX, ..rules(&config, &request) };
        let valid = match validate(&request.records, &rules, now) {
            Err(violation) if is_over_cap(&violation) => {
                return Ok(Attempt::WouldWait(self.postpone(request)));
            }
            valid => valid.map_err(Arc::new)?,
        };
        if valid.batches().is_empty() {
            return Ok(Attempt::Started(self.nothing_appended()));
        }
        let prepared = Prepared::new(request, config, valid, now);
        match self.tail_with_room_now(&prepared) {
            Ok(Some(place)) => self.place(place, prepared).map(Attempt::Started),
            Err(error) if self.successor(&error).is_none() => Err(error),
            Ok(None) | Err(_) => {
                let state = Postponed::Validated(prepared);
                Ok(Attempt::WouldWait(PostponedAppend { log: Arc::clone(self), state }))
            }
        }
    }

    // All of it was left out.
    fn nothing_appended(&self) -> AppendTicket {
        let LogOffsets { log_start, log_end, .. } = self.offsets();
        AppendTicket::ready(Ok(Appended {
            first_offset: log_end,
            last_offset: log_end.plus(-1),
            log_append_time: None,
            log_start_offset: log_start,
            duplicate: false,
        }))
    }

    /// Nothing is tried: for what must come after an append that was postponed.
    pub fn postpone(self: &Arc<Self>, request: AppendRequest) -> PostponedAppend {
        PostponedAppend { log: Arc::clone(self), state: Postponed::AsItCame(request) }
    }

    fn append_prepared(self: &Arc<Self>, prepared: Prepared) -> Result<AppendTicket, AppendError> {
        self.home.committer.wait_for_room();
        match self.tail_with_room(&prepared) {
            Ok(place) => self.place(place, prepared),
            Err(error) => match self.successor(&error) {
                Some(successor) => successor.append_prepared(prepared),
                None => Err(error),
            },
        }
    }

    fn place(
        self: &Arc<Self>,
        (mut tail, file): TailAndFile<'_>,
        prepared: Prepared,
    ) -> Result<AppendTicket, AppendError> {
        let rules = AdmissionRules {
            origin: prepared.origin,
            transaction: prepared.transaction,
            demand_verification: self.home.demands_verification(),
        };
        let durability = tail.durability_of(prepared.durability);
        let Prepared { config, mut valid, mut records, leader_epoch, origin, .. } = prepared;
        if let Some(answer) = self.admit(&mut tail, &valid, &rules)? {
            return Ok(answer);
        }
        let first_offset = first_offset(&tail, &valid, origin)?;
        valid.stamp(&mut records, first_offset, leader_epoch);
        let ticket = self.reserve((&mut tail, file), &config, valid, first_offset, records, durability);
        drop(tail);
        self.home.committer.drive();
        Ok(ticket)
    }

    pub(super) fn refuse(&self, error: io::Error) -> AppendError {
        AppendError::Io { path: self.directory(), error: Arc::new(error) }
    }

    // The active segment's file cannot be opened any more, unless the log was deleted meanwhile.
    pub(super) fn refuse_without_file(&self, error: io::Error) -> AppendError {
        if self.flushed().gone {
            return AppendError::Closed;
        }
        if !is_shortage(&error) {
            self.fail_directory("open", &error);
        }
        self.refuse(error)
    }

    // The log that goes on where this one is closed.
    fn successor(&self, error: &AppendError) -> Option<&Arc<Self>> {
        if matches!(error, AppendError::Closed) { self.successor.get() } else { None }
    }

    pub(super) fn check_open(&self, tail: &Tail) -> Result<(), AppendError> {
        if tail.closed {
            return Err(AppendError::Closed);
        }
        // What would be built on a failed append fails with it.
        match self.chain.failure() {
            Some(first) => Err(CommitError::AfterFailure { first: Arc::new(first) }.into()),
            None => Ok(()),
        }
    }

    // Whether the producers may append this; a ticket where they have done so before.
    fn admit(
        &self,
        tail: &mut Tail,
        valid: &ValidBatches,
        rules: &AdmissionRules,
    ) -> Result<Option<AppendTicket>, AppendError> {
        for batch in valid.batches() {
            match tail.producers.admit(batch, *rules) {
                Admission::Accept => {}
                Admission::Refuse(refusal) => return Err(refusal.into()),
                Admission::Duplicate { of, in_flight } => {
                    return Ok(Some(self.answer_duplicate(tail, &of, in_flight)));
                }
            }
        }
        Ok(None)
    }

    fn answer_duplicate(&self, tail: &mut Tail, of: &AppendedBatch, in_flight: bool) -> AppendTicket {
        let answer = Appended {
            first_offset: of.first_offset(),
            last_offset: of.last_offset,
            log_append_time: Some(of.timestamp),
            log_start_offset: self.offsets.log_start(),
            duplicate: true,
        };
        if in_flight {
            for pending in &mut tail.pending {
                if let Pending::Append(reservation) = pending
                    && (reservation.answer.first_offset..reservation.end).contains(&answer.first_offset)
                {
                    let (ticket, resolver) = AppendTicket::new();
                    reservation.repetitions.push(resolver);
                    return ticket;
                }
            }
        }
        AppendTicket::ready(Ok(answer))
    }

    // Gives the stamped batches their place in the file and hands them to the committer.
    fn reserve(
        self: &Arc<Self>,
        (tail, file): (&mut Tail, FileHandle),
        config: &LogConfig,
        valid: ValidBatches,
        first_offset: Offset,
        records: BytesMut,
        durability: Durability,
    ) -> AppendTicket {
        let log_append_time = valid.log_append_time();
        let batches = valid.into_batches();
        for batch in &batches {
            tail.producers.reserve(batch);
            let at = batch_at(batch, tail.position);
            tail.pace.step(tail.active.base_offset, &at, config.index_interval_bytes);
            if tail.first_timestamp == FirstTimestamp::NoBatch {
                tail.first_timestamp = FirstTimestamp::Known(batch.max_timestamp);
            }
        }
        let last_offset = batches.last().map_or(first_offset, BatchSummary::last_offset);
        let answer = Appended {
            first_offset,
            last_offset,
            log_append_time,
            log_start_offset: self.offsets.log_start(),
            duplicate: false,
        };
        let (ticket, resolver) = AppendTicket::new();
        let reservation = Reservation {
            number: tail.next_reservation,
            segment: Arc::clone(&tail.active),
            position: tail.position,
            batches,
            end: last_offset.next(),
            durable: durability.is_durable(),
            index_interval_bytes: config.index_interval_bytes,
            answer,
            resolver,
            repetitions: Vec::new(),
        };
        let position = tail.position;
        tail.position += records.len() as u64;
        let request = CommitRequest {
            file: tail.active.set_out(file, tail.position),
            position,
            bytes: records.freeze(),
            durability,
            target: Arc::clone(self) as Arc<dyn CommitTarget>,
            reservation: reservation.number,
        };
        tail.next_offset = reservation.end;
        tail.next_reservation += 1;
        tail.pending.push_back(Pending::Append(reservation));
        ticket.announced_by(self.home.committer.enqueue_behind_bell(request))
    }
}

impl Prepared {
    fn new(
        request: AppendRequest,
        config: Arc<LogConfig>,
        mut valid: ValidBatches,
        now: TimestampMs,
    ) -> Self {
        let AppendRequest { mut records, leader_epoch, origin, durability, transaction } = request;
        match valid.take_rewritten() {
            Some(rewritten) => records = BytesMut::from(&rewritten[..]),
            None => records.truncate(valid.valid_bytes()),
        }
        // Here, because a checksum under the tail's lock would hold up others.
        valid.stamp_time(&mut records);
        Self { config, now, valid, records, leader_epoch, origin, transaction, durability }
    }
}

// Whether validating builds the batch anew, which takes as long as compressing it.
fn is_rewritten(records: &[u8], config: &LogConfig) -> bool {
    let Some(target) = config.target_compression() else { return false };
    BatchView::read(records).is_ok_and(|batch| batch.compression() != Ok(target.codec()))
}

fn is_over_cap(violation: &Violation) -> bool {
    matches!(violation, Violation::Records(RecordError::Decompress(DecompressError::OverCap { .. })))
}

pub(super) fn batch_at(batch: &BatchSummary, records_at: u64) -> BatchAt {
    BatchAt {
        position: records_at + batch.position as u64,
        size: batch.size_in_bytes as u64,
        base_offset: batch.base_offset,
        last_offset: batch.last_offset(),
        max_timestamp: batch.max_timestamp,
        leader_epoch: batch.leader_epoch,
        magic: 2,
    }
}

// The log gives offsets to what clients and coordinators append; replicas bring theirs, which may leave gaps but
// never go back.
pub(super) fn first_offset(
    tail: &Tail,
    valid: &ValidBatches,
    origin: AppendOrigin,
) -> Result<Offset, AppendError> {
    if origin.assigns_offsets() {
        return Ok(tail.next_offset);
    }
    let first = valid.batches().first().map_or(tail.next_offset, |batch| batch.base_offset);
    if first < tail.next_offset {
        return Err(AppendError::OutOfOrder { first, log_end: tail.next_offset });
    }
    Ok(first)
}

fn rules(config: &LogConfig, request: &AppendRequest) -> ValidationRules {
    ValidationRules {
        origin: request.origin,
        leader_epoch: request.leader_epoch,
        compression: config.target_compression(),
        compacted: config.cleanup_policy.compact,
        timestamp_type: config.message_timestamp_type,
        timestamp_before_max_ms: config.message_timestamp_before_max_ms,
        timestamp_after_max_ms: config.message_timestamp_after_max_ms,
        max_message_bytes: config.max_message_bytes as usize,
        segment_bytes: config.segment_bytes as usize,
        decompression: DecompressionCap::default(),
    }
}
