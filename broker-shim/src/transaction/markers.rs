//! Writing the markers that end a transaction in its partitions.

use std::sync::Arc;

use bytes::BytesMut;
use log_engine::{
    AppendError, AppendTicket, Attempt,
    batch::control::{EndTxnMarker, TxnOutcome},
    producer::{TransactionContext, TransactionProtocol},
    types::{ProducerEpoch, ProducerId},
};
use tokio::task::spawn_blocking;
use wire::ErrorCode;

use super::{
    Inner,
    state::{Producer, TransactionMetadata},
};
use crate::{
    coordinator::{EndMarker, Transaction},
    error_map,
    group::{Groups, OFFSETS_TOPIC},
    partition::Partition,
};

/// The end of a transaction, as one partition is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    pub(crate) producer: Producer,
    pub(crate) outcome: TxnOutcome,
    pub(crate) coordinator_epoch: i32,
    pub(crate) protocol: TransactionProtocol,
}

/// Writes the marker of a transaction whose end is decided to all its partitions; all are tried, and the first failure is
/// told. A topic that was deleted needs none.
pub(super) async fn write_all(
    inner: &Inner,
    decided: &TransactionMetadata,
    coordinator_epoch: i32,
) -> Result<(), ErrorCode> {
    let Some(outcome) = decided.state.outcome_under_way() else { return Ok(()) };
    let protocol = decided.client_version.protocol();
    let marker = Marker { producer: decided.producer, outcome, coordinator_epoch, protocol };
    let mut begun = Vec::new();
    for (topic, numbers) in &decided.partitions {
        for number in numbers {
            match begin(inner, topic, *number, &marker) {
                Err(ErrorCode::UnknownTopicOrPartition) => {
                    tracing::info!(%topic, partition = number, "a transaction ends in a topic that is gone");
                }
                one => begun.push(one),
            }
        }
    }
    let mut first_failure = Ok(());
    for one in begun {
        let written = match one {
            Ok(begun) => begun.written().await,
            Err(error) => Err(error),
        };
        first_failure = first_failure.and(written);
    }
    first_failure
}

/// Writes a marker to one partition, and waits until it is committed.
pub(super) async fn write(inner: &Inner, topic: &str, number: i32, marker: &Marker) -> Result<(), ErrorCode> {
    begin(inner, topic, number, marker)?.written().await
}

enum Begun<'a> {
    /// On its way to the partition.
    Append { partition: Arc<Partition>, attempt: Attempt },
    /// Offsets of groups: their coordinator has to hear of it.
    Groups { groups: &'a Groups, number: i32, marker: EndMarker },
}

fn begin<'a>(inner: &'a Inner, topic: &str, number: i32, marker: &Marker) -> Result<Begun<'a>, ErrorCode> {
    let Marker { producer, outcome, coordinator_epoch, protocol } = *marker;
    if producer.id == ProducerId::NONE || producer.epoch == ProducerEpoch::NONE {
        // Kafka cannot build a batch of nobody.
        return Err(ErrorCode::UnknownServerError);
    }
    let partition = inner.partition(topic, number)?;
    if topic == OFFSETS_TOPIC {
        let transaction = Transaction { producer_id: producer.id, producer_epoch: producer.epoch };
        let marker = EndMarker { transaction, coordinator_epoch, outcome };
        return Ok(Begun::Groups { groups: &inner.groups, number, marker });
    }
    let bytes = EndTxnMarker { outcome, coordinator_epoch }
        .to_batch(producer.id, producer.epoch, inner.coordinator.now().wall)
        .map_err(|_| ErrorCode::UnknownServerError)?;
    let attempt = partition
        .try_append_own(BytesMut::from(&bytes[..]), TransactionContext { verified_by: None, protocol })
        .map_err(|error| error_map::append(&error))?;
    Ok(Begun::Append { partition, attempt })
}

impl Begun<'_> {
    async fn written(self) -> Result<(), ErrorCode> {
        let (partition, attempt) = match self {
            Self::Append { partition, attempt } => (partition, attempt),
            Self::Groups { groups, number, marker } => {
                // It is of the groups' partition that they are not the coordinator.
                return groups.end_transaction(number, marker).await.map_err(|error| match error {
                    ErrorCode::NotCoordinator => ErrorCode::NotLeaderOrFollower,
                    other => other,
                });
            }
        };
        let ticket: AppendTicket = match attempt {
            Attempt::Started(ticket) => ticket,
            Attempt::WouldWait(append) => spawn_blocking(move || append.append())
                .await
                .unwrap_or(Err(AppendError::Closed))
                .map_err(|error| error_map::append(&error))?,
        };
        let appended = ticket.await.map_err(|error| error_map::append(&error))?;
        partition.visible_to(appended.last_offset.next()).await;
        Ok(())
    }
}
