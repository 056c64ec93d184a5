//! Loading a shard: its partition is read from start to end and replayed, off the threads that serve connections.

use std::{sync::Arc, time::Instant};

use log_engine::{
    ReadError, ReadMode,
    batch::{BatchView, HeaderError},
    types::Offset,
};

use super::{Coordinator, CoordinatorState, log::for_each_entry, replay_entry, shard::Shard};
use crate::partition::{Partition, Visibility};

/// Why a shard was not loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the log ends at offset {0}, before its end offset")]
    Short(Offset),
    #[error("offset {offset}: {error}")]
    Batch { offset: Offset, error: HeaderError },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Bytes read at a time; a larger batch comes whole.
const READ_BYTES: usize = 1 << 20;

/// Starts to load. Where there is nothing to read, all is done when this returns.
pub(super) fn begin<S: CoordinatorState>(coordinator: &Arc<Coordinator<S>>, shard: &Arc<Shard<S>>) {
    let offsets = shard.partition().offsets();
    if offsets.log_start == offsets.log_end {
        let state = (coordinator.make)(shard.number());
        return shard.loaded(&coordinator.alarm, state, coordinator.now());
    }
    let (coordinator, shard) = (Arc::clone(coordinator), Arc::clone(shard));
    coordinator.runtime.clone().spawn_blocking(move || {
        let began = Instant::now();
        let (topic, partition) = (coordinator.topic.name(), shard.number());
        match load(&coordinator, &shard) {
            Ok((state, end)) => {
                tracing::info!(topic, partition, %end, took = ?began.elapsed(), "a coordinator's partition is loaded");
                shard.loaded(&coordinator.alarm, state, coordinator.now());
            }
            Err(error) => {
                tracing::error!(topic, partition, %error, "a coordinator's partition cannot be loaded");
                shard.unload();
                coordinator.forget(&shard);
            }
        }
    });
}

fn load<S: CoordinatorState>(
    coordinator: &Coordinator<S>,
    shard: &Shard<S>,
) -> Result<(S, Offset), LoadError> {
    let mut state = (coordinator.make)(shard.number());
    let partition = shard.partition();
    let place = |offset| (coordinator.topic.name(), shard.number(), offset);
    // Nobody else appends to it before it is loaded.
    let end = partition.offsets().log_end;
    let mut next = partition.offsets().log_start;
    while next < end {
        next = read_on(partition, next, |batch| {
            let read = for_each_entry(batch, |entry| replay_entry(&mut state, entry, place));
            if let Err(unreadable) = read {
                let (topic, partition, offset) = place(unreadable.offset);
                let problem = &unreadable.problem;
                tracing::error!(topic, partition, %offset, %problem, "the rest of a batch is passed over");
            }
        })?;
    }
    Ok((state, end))
}

/// Hands the batches from `from` on to `apply`; gives the offset behind them.
fn read_on(
    partition: &Partition,
    from: Offset,
    mut apply: impl FnMut(&BatchView<'_>),
) -> Result<Offset, LoadError> {
    let fetched = partition.read(from, READ_BYTES, true, Visibility::Replica, ReadMode::Blocking)?;
    let bytes = fetched.to_bytes()?;
    let (mut rest, mut next) = (&bytes[..], from);
    while !rest.is_empty() {
        let batch = match BatchView::read(rest) {
            Ok(batch) => batch,
            // A read may end within a batch.
            Err(HeaderError::Incomplete { .. }) if next > from => break,
            Err(error) => return Err(LoadError::Batch { offset: next, error }),
        };
        rest = rest.get(batch.header().size_in_bytes()..).unwrap_or_default();
        next = batch.header().next_offset();
        apply(&batch);
    }
    if next > from { Ok(next) } else { Err(LoadError::Short(from)) }
}
