//! What happens when an append has arrived, or failed. Called by the committer in the order of reservation, so a
//! reader never sees offset n + 1 before n.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::commit::{Chain, CommitError, CommitTarget};
use crate::error::AppendError;
use crate::io::is_shortage;
use crate::producer::CompletedTxn;
use crate::segment::Segment;

use super::Log;
use super::append::{Appended, batch_at};
use super::producers::{aborted_transaction, write_snapshot};
use super::tail::{Pending, Reservation, Tail};

impl CommitTarget for Log {
    fn chain(&self) -> &Chain {
        &self.chain
    }

    fn committed(&self, reservation: u64, result: Result<(), CommitError>) {
        let mut tail = self.tail();
        let Some(Pending::Append(arrived)) = tail.pending.pop_front() else {
            unreachable!("an append that nobody reserved was committed");
        };
        assert_eq!(arrived.number, reservation, "appends are committed in the order of their reservation");
        let outcome = match result {
            Ok(()) => {
                self.publish(&mut tail, &arrived);
                Ok(arrived.answer)
            }
            Err(error) => Err(AppendError::Commit(error)),
        };
        let failed = self.chain.failure().is_some();
        if failed {
            discard_rolls(&mut tail)
        } else {
            self.publish_rolls(&mut tail)
        }
        if failed && tail.pending.is_empty() {
            self.fall_back(&mut tail);
        }
        if tail.waiting > 0 {
            self.arrived.notify_all();
        }
        drop(tail);
        // First whoever moves the high watermark, then the producer: who holds an acknowledgement finds its records.
        if let (Ok(_), Some(listener)) = (&outcome, self.end_listener.get()) {
            listener.published(self, self.offsets.snapshot());
        }
        for repetition in arrived.repetitions {
            repetition.resolve(outcome.clone().map(|first| Appended { duplicate: true, ..first }));
        }
        arrived.resolver.resolve(outcome);
    }
}

impl Log {
    // All state changes at once, and only now that the bytes are in the file.
    fn publish(&self, tail: &mut Tail, arrived: &Reservation) {
        for batch in &arrived.batches {
            let at = batch_at(batch, arrived.position);
            if let Err(error) = arrived.segment.publish(&at, arrived.index_interval_bytes) {
                // The entries stay in memory and are written with the next ones; a start would rebuild them.
                tracing::warn!("index entries of {} cannot be written yet: {error}", self.partition);
            }
            if let Some(completed) = tail.producers.publish(batch) {
                self.publish_completed(&arrived.segment, &completed);
            }
            if tail.epochs.assign(batch.leader_epoch, batch.base_offset) {
                self.epochs_dirty.store(true, Ordering::Release);
            }
        }
        let bytes: usize = arrived.batches.iter().map(|batch| batch.size_in_bytes).sum();
        self.unflushed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.home.note_appended();
        self.offsets.publish(arrived.end, tail.producers.first_unstable_offset());
        if arrived.durable {
            self.offsets.raise_durable_end(arrived.end);
        }
    }

    fn publish_completed(&self, segment: &Segment, completed: &CompletedTxn) {
        let Some(aborted) = aborted_transaction(completed) else { return };
        match segment.publish_aborted(&aborted) {
            Err(error) if is_shortage(&error) => {
                tracing::warn!("an aborted transaction of {} is only in memory yet: {error}", self.partition);
            }
            // Without this entry a reader would take aborted records for committed ones, now or after a start.
            Err(error) => self.fail_directory("index write", &error),
            Ok(()) => {}
        }
    }

    /// Seals the segments that everything has arrived in.
    pub(super) fn publish_rolls(&self, tail: &mut Tail) {
        while let Some(Pending::Roll(segment)) = tail.pending.front() {
            if let Err(error) = segment.seal() {
                tracing::warn!(
                    "segment {} of {} is not sealed yet: {error}",
                    segment.base_offset,
                    self.partition
                );
            }
            let next = tail.producers.end_offset();
            let snapshot = tail.producers.to_snapshot();
            if let Err(error) = write_snapshot(&self.home.disk, &self.path.get(), next, &snapshot) {
                tracing::warn!("no producer snapshot at offset {next} of {}: {error}", self.partition);
            }
            tail.pending.pop_front();
            self.home.note_rolled(&self.partition);
        }
    }

    // The last append on its way has failed: the reserved end becomes the published one again, and the file ends there.
    fn fall_back(&self, tail: &mut Tail) {
        let published = self.offsets.log_end();
        let abandoned = self.segments_mut().take_from(published.next());
        if let Err(error) = self.fall_back_to_published(tail, &abandoned) {
            self.home.dir_state().fail("cut", &self.directory(), error);
            return;
        }
        tail.next_offset = published;
        tail.producers.drop_tentative();
        self.chain.heal();
    }

    fn fall_back_to_published(&self, tail: &mut Tail, abandoned: &[Arc<Segment>]) -> std::io::Result<()> {
        for segment in abandoned {
            segment.discard()?;
        }
        let active = Arc::clone(self.segments().active());
        active.cut_to_published()?;
        let jitter = tail.jitter;
        tail.activate(active, jitter);
        Ok(())
    }
}

// Rolls that were reserved behind a failure never happened.
fn discard_rolls(tail: &mut Tail) {
    while let Some(Pending::Roll(_)) = tail.pending.front() {
        tail.pending.pop_front();
    }
}
