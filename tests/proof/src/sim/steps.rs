//! The operations of a story, and what each changes in the model.

use std::sync::Arc;

use bytes::BytesMut;
use log_engine::batch::control::{EndTxnMarker, TxnOutcome};
use log_engine::batch::{AppendOrigin, BatchBuilder, Compression, CompressionType, NewRecord};
use log_engine::{
    AppendError, AppendRequest, Appended, Clock, Durability, LeaderEpoch, Offset, ProducerEpoch, ProducerId,
    Sequence, TimestampMs,
};

use crate::model::{Batch, Part, Producer, Record};

use super::chance;
use super::life::{InFlight, World, config};

/// Producers 1 to 3 are idempotent, 4 to 6 transactional.
const PRODUCERS: u64 = 6;
const FIRST_TRANSACTIONAL: i64 = 4;

impl World {
    /// One operation.
    pub(super) fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..24 => self.append_plain(),
            24..54 => self.append_of_producer(),
            54..62 => self.end_transaction(),
            62..66 => self.append_again(),
            66..71 => self.flush(),
            71..79 => self.look_after(),
            79..83 => self.move_high_watermark(),
            83..86 => self.delete_records(),
            86..89 => self.truncate(),
            89..90 => self.start_over(),
            90..94 => self.compact(),
            94..96 => self.configure(),
            96..98 => self.begin_epoch(),
            _ => self.look(),
        }
    }

    fn append_plain(&mut self) -> Result<(), String> {
        self.append(None, Part::Plain)
    }

    fn append_of_producer(&mut self) -> Result<(), String> {
        let id = 1 + self.random.below(PRODUCERS) as i64;
        let known = self.timeline.producers().remove(&id);
        let (mut epoch, mut sequence) = known.as_ref().map_or((0, 0), |producer| {
            (producer.epoch, producer.last.map_or(0, |(sequence, _)| sequence + 1))
        });
        // Of one whose last batch retention took, a log read again does not know the sequence.
        let last = known.as_ref().and_then(|producer| producer.last).map_or(i64::MAX, |(_, offset)| offset);
        let must_begin_anew = last < self.highest_start;
        let may_begin_anew = known.is_none_or(|producer| producer.open.is_none());
        if must_begin_anew && !may_begin_anew {
            return Ok(());
        }
        if must_begin_anew || (may_begin_anew && chance(&mut self.random, 10)) {
            (epoch, sequence) = (epoch + 1, 0);
        }
        let part = if id >= FIRST_TRANSACTIONAL { Part::Records } else { Part::Plain };
        self.append(Some(Producer { id, epoch, sequence }), part)
    }

    fn end_transaction(&mut self) -> Result<(), String> {
        let open: Vec<(i64, i16)> = self
            .timeline
            .producers()
            .into_iter()
            .filter(|(_, producer)| producer.open.is_some())
            .map(|(id, producer)| (id, producer.epoch))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let (id, epoch) = open[self.random.below(open.len() as u64) as usize];
        let commit = chance(&mut self.random, 2);
        self.append(Some(Producer { id, epoch, sequence: -1 }), Part::End { commit })
    }

    fn append(&mut self, producer: Option<Producer>, part: Part) -> Result<(), String> {
        let is_marker = matches!(part, Part::End { .. });
        let records = if is_marker { vec![self.record()] } else { self.records() };
        let batch = Batch { base: self.timeline.end, records, producer, part, epoch: self.epoch };
        let durability = if chance(&mut self.random, 4) { Durability::Sync } else { Durability::Os };
        let mut next = self.timeline.clone();
        next.push(batch.clone());
        self.in_flight = InFlight::Becomes(next.clone());
        self.tell(format!(
            "append {}..{} {:?} {:?} {durability:?}",
            batch.base,
            batch.end(),
            batch.part,
            batch.producer
        ));
        let appended =
            self.send(&batch, durability).map_err(|error| format!("an append is refused: {error}"))?;
        if (appended.first_offset.get(), appended.last_offset.get(), appended.duplicate)
            != (batch.base, batch.end() - 1, false)
        {
            return Err(format!("the batch at {} was acknowledged as {appended:?}", batch.base));
        }
        self.timeline = next;
        if durability == Durability::Sync {
            self.durable = self.timeline.end;
        }
        if !chance(&mut self.random, 6) {
            self.log().set_high_watermark(Offset::new(self.timeline.end));
        }
        Ok(())
    }

    fn send(&mut self, batch: &Batch, durability: Durability) -> Result<Appended, AppendError> {
        let origin = match batch.part {
            Part::End { .. } => AppendOrigin::Coordinator,
            _ => AppendOrigin::Client,
        };
        let epoch = LeaderEpoch::new(batch.epoch);
        let mut request = AppendRequest::from_client(self.encode(batch), epoch);
        (request.origin, request.durability) = (origin, Some(durability));
        self.log().append(request)?.wait()
    }

    fn encode(&mut self, batch: &Batch) -> BytesMut {
        if let (Part::End { commit }, Some(producer)) = (batch.part, batch.producer) {
            let outcome = if commit { TxnOutcome::Commit } else { TxnOutcome::Abort };
            let marker = EndTxnMarker { outcome, coordinator_epoch: 0 };
            let time = TimestampMs::new(batch.records[0].timestamp);
            let bytes =
                marker.to_batch(ProducerId::new(producer.id), ProducerEpoch::new(producer.epoch), time);
            return BytesMut::from(&bytes.expect("a marker fits a batch")[..]);
        }
        let codec = if chance(&mut self.random, 5) { CompressionType::Lz4 } else { CompressionType::None };
        let mut builder = BatchBuilder::new(Compression::of(codec));
        if let Some(producer) = batch.producer {
            let (id, epoch) = (ProducerId::new(producer.id), ProducerEpoch::new(producer.epoch));
            builder = builder.producer(id, epoch, Sequence::new(producer.sequence));
        }
        if batch.part == Part::Records {
            builder = builder.transactional();
        }
        for record in &batch.records {
            let timestamp = TimestampMs::new(record.timestamp);
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            builder.append(&NewRecord { timestamp, key, value, headers: &[] }).expect("a record fits");
        }
        BytesMut::from(&builder.finish().expect("a batch is built")[..])
    }

    fn records(&mut self) -> Vec<Record> {
        let count = 1 + self.random.below(4) * self.random.below(2);
        (0..count).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> Record {
        let key = format!("key-{}", self.random.below(6)).into_bytes();
        let len = if chance(&mut self.random, 12) { 200 } else { 10 };
        let value = format!("{:010}{}", self.random.below(1 << 30), "x".repeat(len)).into_bytes();
        let timestamp = self.clock.now().get() - self.random.below(500) as i64;
        Record { timestamp, key: Some(key), value: (!chance(&mut self.random, 6)).then_some(value) }
    }

    // What a producer does that has got no answer.
    fn append_again(&mut self) -> Result<(), String> {
        let producers = self.timeline.producers();
        let is_last = |batch: &&Arc<Batch>| {
            batch.producer.is_some_and(|who| {
                let last = producers.get(&who.id).filter(|known| known.epoch == who.epoch);
                last.and_then(|known| known.last).is_some_and(|(_, offset)| offset == batch.end() - 1)
            })
        };
        let may_be_forgotten = self.log_start.max(self.compacted_to);
        let last: Vec<Arc<Batch>> = self
            .timeline
            .batches
            .iter()
            .filter(is_last)
            .filter(|b| b.base >= may_be_forgotten)
            .cloned()
            .collect();
        if last.is_empty() {
            return Ok(());
        }
        let batch = Arc::clone(&last[self.random.below(last.len() as u64) as usize]);
        self.tell(format!("append {} again", batch.base));
        let appended = self.send(&batch, Durability::Os);
        let appended = appended.map_err(|error| format!("a batch sent again is refused: {error}"))?;
        if (appended.first_offset.get(), appended.duplicate) != (batch.base, true) {
            return Err(format!("the batch at {} sent again is acknowledged as {appended:?}", batch.base));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        self.tell("flush");
        self.log().flush().map_err(|error| format!("a flush fails: {error}"))?;
        self.durable = self.timeline.end;
        Ok(())
    }

    fn look_after(&mut self) -> Result<(), String> {
        let step = 1 + self.random.below(20_000) as i64;
        self.clock.advance_ms(step);
        self.in_flight = InFlight::StartMoves(self.timeline.end);
        self.tell(format!("upkeep, {step} ms later"));
        let engine = self.engine.as_ref().expect("the engine is up");
        engine.look_after();
        let start = self.log().offsets().log_start.get();
        self.may_retention_move_to(start)?;
        self.start_at(start);
        // Whatever the upkeep made durable, it says so.
        self.durable = self.durable.max(self.log().recovery_point().get());
        Ok(())
    }

    fn may_retention_move_to(&self, start: i64) -> Result<(), String> {
        let config = &self.config;
        if start <= self.log_start {
            return Ok(());
        }
        let oldest_kept = self.clock.now().get() - config.retention_ms;
        // How old what compaction took was plays no part.
        let from = self.log_start.max(self.compacted_to);
        let gone = self.timeline.records().filter(|(offset, _)| (from..start).contains(offset));
        let by_age =
            config.retention_ms >= 0 && gone.map(|(_, record)| record.timestamp).all(|t| t < oldest_kept);
        let by_size = config.retention_bytes >= 0 && self.log().size_bytes() as i64 >= config.retention_bytes;
        if config.cleanup_policy.delete && (by_age || by_size) {
            return Ok(());
        }
        Err(format!("retention moved the start from {} to {start} without a reason", self.log_start))
    }

    fn move_high_watermark(&mut self) -> Result<(), String> {
        let to = self.timeline.boundary(self.timeline.end - self.random.below(4) as i64);
        self.tell(format!("the high watermark moves to {to}"));
        self.log().set_high_watermark(Offset::new(to));
        Ok(())
    }

    fn delete_records(&mut self) -> Result<(), String> {
        let high_watermark = self.log().offsets().high_watermark.get();
        let room = (high_watermark - self.log_start).max(0) as u64;
        let to = self.log_start + self.random.below(room + 1) as i64;
        self.in_flight = InFlight::StartMoves(to);
        self.tell(format!("records before {to} are deleted"));
        self.log()
            .delete_records_before(Offset::new(to))
            .map_err(|error| format!("records before {to} cannot be deleted: {error}"))?;
        self.start_at(self.log_start.max(to));
        Ok(())
    }

    fn truncate(&mut self) -> Result<(), String> {
        let back = self.random.below(12) as i64;
        let to = self.timeline.boundary((self.timeline.end - back).max(self.log_start));
        // What compaction decided by is committed, and stays.
        if to < self.log_start.max(self.compacted_at) {
            return Ok(());
        }
        self.in_flight = InFlight::CutTo(to);
        self.tell(format!("truncate to {to}"));
        self.log().truncate_to(Offset::new(to)).map_err(|error| format!("truncating to {to}: {error}"))?;
        self.timeline.cut(to);
        self.durable = self.durable.min(to);
        self.in_flight = InFlight::Nothing;
        self.begin_epoch()
    }

    pub(super) fn start_over(&mut self) -> Result<(), String> {
        let to = self.timeline.end - 5 + self.random.below(20) as i64;
        let to = to.max(0);
        self.in_flight = InFlight::StartsOver;
        self.tell(format!("start over at {to}"));
        self.log()
            .truncate_fully_and_start_at(Offset::new(to))
            .map_err(|error| format!("starting over at {to}: {error}"))?;
        self.timeline = crate::model::Timeline { start: to, end: to, ..Default::default() };
        (self.durable, self.log_start, self.compacted_to, self.highest_start) = (to, to, to, to);
        self.compacted_at = to;
        self.in_flight = InFlight::Nothing;
        self.begin_epoch()
    }

    fn compact(&mut self) -> Result<(), String> {
        if !self.config.cleanup_policy.compact {
            return Ok(());
        }
        let active = self.log().segments_info().last().map_or(0, |segment| segment.base_offset.get());
        self.compacted_to = self.compacted_to.max(active);
        self.compacted_at = self.timeline.end;
        self.tell(format!("compact, at most to {active}"));
        let engine = self.engine.as_ref().expect("the engine is up");
        let report = engine.compact(self.log());
        report.map_err(|error| format!("compacting fails: {error}"))?;
        self.durable = self.durable.max(self.log().recovery_point().get());
        Ok(())
    }

    // A log that was compacted once stays so: what it lost does not come back.
    fn configure(&mut self) -> Result<(), String> {
        let compact = self.config.cleanup_policy.compact;
        self.config = config(&mut self.random);
        if compact {
            self.config.cleanup_policy.compact = true;
        }
        self.tell(format!("configured: {:?}", self.config.cleanup_policy));
        self.log().update_config(self.config.clone());
        Ok(())
    }

    pub(super) fn begin_epoch(&mut self) -> Result<(), String> {
        let epoch = self.epoch + 1;
        self.epoch = epoch;
        self.in_flight = InFlight::Epoch(epoch);
        self.tell(format!("epoch {epoch} begins"));
        self.log().begin_epoch(LeaderEpoch::new(epoch)).map_err(|error| format!("epoch {epoch}: {error}"))?;
        self.timeline.note_epoch(epoch, self.timeline.end);
        Ok(())
    }
}
