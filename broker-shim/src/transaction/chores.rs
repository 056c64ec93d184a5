//! What the coordinator does by itself: it writes the markers of transactions whose end is decided, and aborts those that
//! were open for too long. Whatever fails is tried again, except where a newer producer or coordinator has been there.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use wire::ErrorCode;

use super::{
    Inner, decide,
    decide::{Decided, Step},
    markers,
    shard::{Chore, Place, TransactionTimer},
    state::{TransactionMetadata, TransactionState},
};
use crate::coordinator::Decision;

/// Between attempts: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(10));

pub(super) async fn run(inner: Arc<Inner>, chore: Chore) {
    match chore {
        Chore::Complete(place) => complete(&inner, &place).await,
        Chore::AbortTimedOut(place) => abort_timed_out(&inner, place).await,
    }
}

/// Writes the markers, then says that they are written.
async fn complete(inner: &Inner, place: &Place) {
    let (mut pause, longest) = PAUSES;
    loop {
        match try_to_complete(inner, place).await {
            Ok(()) => return,
            Err(error) if is_final(error) => {
                tracing::warn!(id = %place.id, %error, "the end of a transaction is not carried out");
                return;
            }
            Err(error) => {
                tracing::info!(id = %place.id, %error, "the end of a transaction is tried again");
            }
        }
        sleep(pause).await;
        pause = longest.min(pause * 2);
    }
}

/// Whether trying again is of no use: the coordinator stopped, or others have taken over the transactional id, or its
/// partition of the topic.
fn is_final(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::NotCoordinator | ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced
    )
}

async fn try_to_complete(inner: &Inner, place: &Place) -> Result<(), ErrorCode> {
    let coordinator = &inner.coordinator;
    let decided = coordinator.read(place.shard, |shard, _| {
        shard.get(&place.id).filter(|metadata| metadata.state.outcome_under_way().is_some()).cloned()
    })?;
    let Some(decided) = decided else { return Ok(()) };
    let coordinator_epoch = coordinator.leader_epoch(place.shard)?;
    markers::write_all(inner, &decided, coordinator_epoch).await?;
    let finalized = inner.finalized();
    let completed = coordinator.write(place.shard, |shard, now| {
        let completed = shard.get(&place.id).and_then(|metadata| metadata.completed(now.wall.get()));
        match completed {
            Some(completed) => shard.write(&place.id, &completed, finalized, ()),
            None => Ok(Decision::answer(())),
        }
    });
    completed.await
}

async fn abort_timed_out(inner: &Inner, place: Place) {
    let aborted = inner.step(&place.id, |known, circumstances| -> Decided<bool> {
        let timed_out = |metadata: &&TransactionMetadata| metadata.state == TransactionState::Ongoing;
        let Some(metadata) = known.filter(timed_out) else { return Ok(Step::Answer(false)) };
        // Since the deadline passed, another transaction may have begun.
        if metadata.times_out_at_ms().is_some_and(|at| at >= circumstances.now_ms) {
            return Ok(Step::Answer(false));
        }
        Ok(match decide::fence(metadata, circumstances) {
            Some(aborted) => Step::Write(Box::new(aborted), true),
            None => Step::NeedsProducerId,
        })
    });
    match aborted.await {
        Ok(true) => tracing::info!(id = %place.id, "a transaction was open for too long and is aborted"),
        // Whatever it is now, it has its deadline: the clock on the wall may have been set back.
        Ok(false) => drop(inner.coordinator.read(place.shard, |shard, now| shard.arm(&place.id, now))),
        Err(error) => {
            tracing::warn!(id = %place.id, %error, "a transaction that was open for too long is not aborted yet");
            let timer = TransactionTimer::TimeOut(place.id);
            // A shard that is gone has no deadlines.
            let _ = inner.coordinator.read(place.shard, |shard, now| shard.try_later(timer, now));
        }
    }
}
