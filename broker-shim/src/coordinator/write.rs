//! The way of one write: append, wait until it is visible, replay, settle.

use std::sync::Arc;

use log_engine::{AppendError, AppendTicket, Appended, Attempt, PostponedAppend, batch::BuildError};
use tokio::{sync::oneshot, task::spawn_blocking};
use wire::ErrorCode;

use super::{
    Coordinator, CoordinatorState, Decision, Moment,
    log::{Entry, Write},
    replay_entry,
    shard::{Passage, Shard},
};
use crate::{error_map, partition::Partition};

/// Why records were not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the append was abandoned")]
    Abandoned,
    #[error("the topic was deleted")]
    Deleted,
}

impl WriteError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Build(_) => ErrorCode::UnknownServerError,
            Self::Append(error) => error_map::coordinator(error_map::append(error)),
            Self::Abandoned | Self::Deleted => ErrorCode::NotCoordinator,
        }
    }
}

/// How far the append of a write is.
enum Begun {
    Ended(Result<Option<Appended>, WriteError>),
    Waiting(AppendTicket),
    Postponed(PostponedAppend),
}

impl Begun {
    /// Once it can be read, or has failed.
    async fn outcome(self, partition: &Arc<Partition>) -> Result<Option<Appended>, WriteError> {
        let ticket = match self {
            Self::Ended(Ok(Some(appended))) => AppendTicket::ready(Ok(appended)),
            Self::Ended(other) => return other,
            Self::Waiting(ticket) => ticket,
            Self::Postponed(append) => {
                spawn_blocking(move || append.append()).await.map_err(|_| WriteError::Abandoned)??
            }
        };
        let appended = ticket.await?;
        Arc::clone(partition).visible_to(appended.last_offset.next()).await;
        if partition.is_deleted() { Err(WriteError::Deleted) } else { Ok(Some(appended)) }
    }
}

/// A write whose outcome is not known yet. Nobody else writes to the shard.
struct UnderWay<S: CoordinatorState> {
    coordinator: Arc<Coordinator<S>>,
    shard: Arc<Shard<S>>,
    write: Write,
    after: Option<S::After>,
    now: Moment,
    _passage: Passage,
}

/// Appends what was decided, and gives the answer. Where the append has to be waited for, that is done on the coordinator's
/// runtime: a client that goes away leaves nothing half done.
pub(super) async fn carry_out<S: CoordinatorState, R>(
    coordinator: &Arc<Coordinator<S>>,
    shard: Arc<Shard<S>>,
    passage: Passage,
    decision: Decision<S, R>,
) -> Result<R, ErrorCode> {
    let Decision { write, after, answer } = decision;
    let (coordinator, now) = (Arc::clone(coordinator), coordinator.now());
    let under_way = UnderWay { coordinator, shard, write, after, now, _passage: passage };
    let ended = match under_way.begin() {
        Begun::Ended(result) if under_way.is_visible(&result) => under_way.conclude(result),
        begun => {
            let (tell, told) = oneshot::channel();
            let runtime = under_way.coordinator.runtime.clone();
            runtime.spawn(async move {
                // Who asked may have gone.
                let _ = tell.send(under_way.end(begun).await);
            });
            told.await.unwrap_or(Err(ErrorCode::NotCoordinator))
        }
    };
    ended.map(|()| answer)
}

impl<S: CoordinatorState> UnderWay<S> {
    fn begin(&self) -> Begun {
        let batch = match self.write.to_batch(
            self.coordinator.topic.compression(),
            S::BASE_SEQUENCE,
            self.now.wall,
        ) {
            Ok(Some(batch)) => batch,
            Ok(None) => return Begun::Ended(Ok(None)),
            Err(error) => return Begun::Ended(Err(error.into())),
        };
        match self.shard.partition().try_append_own(batch, self.write.transaction()) {
            Ok(Attempt::Started(ticket)) => match ticket.try_take() {
                Ok(result) => Begun::Ended(result.map(Some).map_err(WriteError::from)),
                Err(ticket) => Begun::Waiting(ticket),
            },
            Ok(Attempt::WouldWait(postponed)) => Begun::Postponed(postponed),
            Err(error) => Begun::Ended(Err(error.into())),
        }
    }

    /// What has failed is waited for no longer.
    fn is_visible(&self, result: &Result<Option<Appended>, WriteError>) -> bool {
        let Ok(Some(appended)) = result else { return true };
        self.shard.partition().offsets().high_watermark >= appended.last_offset.next()
    }

    async fn end(self, begun: Begun) -> Result<(), ErrorCode> {
        let partition = Arc::clone(self.shard.partition());
        self.conclude(begun.outcome(&partition).await)
    }
    /// Replays what was written, if it was, and lets others write.
    fn conclude(self, result: Result<Option<Appended>, WriteError>) -> Result<(), ErrorCode> {
        let Self { coordinator, shard, write, after, now: _, _passage } = self;
        let outcome = match &result {
            Ok(_) => Ok(()),
            Err(error) => {
                let (topic, partition) = (coordinator.topic.name(), shard.number());
                tracing::warn!(topic, partition, %error, "a coordinator's records could not be written");
                Err(error.code())
            }
        };
        shard.with(&coordinator.alarm, |state| {
            if let Ok(Some(appended)) = result {
                let place = |offset| (coordinator.topic.name(), shard.number(), offset);
                write.replay(appended.first_offset, |entry: Entry<'_>| {
                    replay_entry(state, entry, place);
                });
            }
            if let Some(after) = after {
                state.settled(after, outcome, coordinator.now());
            }
        })?;
        outcome
    }
}
